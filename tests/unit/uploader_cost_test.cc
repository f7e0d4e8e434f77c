// The arithmetic of costs against figures worked out by hand, and which segments a part needs.
#include <gtest/gtest.h>

#include "uploader/cost_model.h"
#include "uploader/restore_plan.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

// 1 TiB in segments of 64 MiB: 16,384 objects.
std::vector<ObjectGroup> tebibyte(StorageClass c) { return {{c, 16'384, 1 * TiB}}; }

TEST(CostModel, AMonthOfATebibyte) {
  const Prices prices;
  // 1024 x 0.023
  EXPECT_NEAR(monthly_cost(prices, tebibyte(StorageClass::standard)).total(), 23.552, 1e-9);
  EXPECT_NEAR(monthly_cost(prices, tebibyte(StorageClass::standard_ia)).total(), 12.8, 1e-9);
  EXPECT_NEAR(monthly_cost(prices, tebibyte(StorageClass::onezone_ia)).total(), 10.24, 1e-9);
  EXPECT_NEAR(monthly_cost(prices, tebibyte(StorageClass::glacier_ir)).total(), 4.096, 1e-9);
  // 1024 x 0.023 + 16.384 x 0.0025
  const MonthlyCost tiering = monthly_cost(prices, tebibyte(StorageClass::intelligent_tiering));
  EXPECT_NEAR(tiering.overhead, 0.04096, 1e-9);
  // 16,384 x 32 KiB = 0.5 GiB at the class's rate, 16,384 x 8 KiB = 0.125 GiB at STANDARD's
  const MonthlyCost glacier = monthly_cost(prices, tebibyte(StorageClass::glacier));
  EXPECT_NEAR(glacier.storage, 3.6864, 1e-9);
  EXPECT_NEAR(glacier.overhead, 0.5 * 0.0036 + 0.125 * 0.023, 1e-9);
  const MonthlyCost deep = monthly_cost(prices, tebibyte(StorageClass::deep_archive));
  EXPECT_NEAR(deep.storage, 1.01376, 1e-9);
  EXPECT_NEAR(deep.overhead, 0.003370, 1e-6);
  EXPECT_EQ(monthly_cost(prices, {}).total(), 0);
}

TEST(CostModel, RestoresByTier) {
  const Prices prices;
  const auto groups = tebibyte(StorageClass::glacier);
  const auto standard = restore_cost(prices, groups, RestoreTier::standard, 7);
  ASSERT_TRUE(standard.has_value());
  EXPECT_EQ(standard->objects, 16'384U);
  EXPECT_EQ(standard->bytes, 1 * TiB);
  EXPECT_NEAR(standard->requests, 16.384 * 0.05, 1e-9);
  EXPECT_NEAR(standard->retrieval, 10.24, 1e-9);
  EXPECT_NEAR(standard->temporary_copy, 23.552 * 7 / 30, 1e-9);
  EXPECT_NEAR(standard->total(), 0.8192 + 10.24 + 5.495467, 1e-5);
  EXPECT_EQ(standard->time.at_most_ms, 5 * kHourMs);
  const auto expedited = restore_cost(prices, groups, RestoreTier::expedited, 1);
  ASSERT_TRUE(expedited.has_value());
  EXPECT_NEAR(expedited->requests, 163.84, 1e-9);
  EXPECT_NEAR(expedited->retrieval, 30.72, 1e-9);
  const auto bulk = restore_cost(prices, groups, RestoreTier::bulk, 1);
  ASSERT_TRUE(bulk.has_value());
  EXPECT_NEAR(bulk->requests + bulk->retrieval, 0, 1e-12) << "bulk is free from GLACIER";
}

TEST(CostModel, DeepArchiveHasNoExpeditedTier) {
  const Prices prices;
  const auto deep = tebibyte(StorageClass::deep_archive);
  EXPECT_FALSE(has_tier(StorageClass::deep_archive, RestoreTier::expedited));
  EXPECT_FALSE(restore_cost(prices, deep, RestoreTier::expedited, 1).has_value());
  const auto bulk = restore_cost(prices, deep, RestoreTier::bulk, 30);
  ASSERT_TRUE(bulk.has_value());
  EXPECT_NEAR(bulk->requests, 0.4096, 1e-9);
  EXPECT_NEAR(bulk->retrieval, 2.56, 1e-9);
  EXPECT_NEAR(bulk->temporary_copy, 23.552, 1e-9);
  EXPECT_EQ(bulk->time.at_most_ms, 48 * kHourMs);
  // Of a mixture the slowest counts, and the class without the tier rules it out.
  std::vector<ObjectGroup> mixed = deep;
  add_objects(mixed, StorageClass::glacier, 1, 64 * MiB);
  EXPECT_EQ(restore_time(mixed, RestoreTier::standard)->at_most_ms, 12 * kHourMs);
  EXPECT_FALSE(restore_time(mixed, RestoreTier::expedited).has_value());
}

TEST(CostModel, WhatIsReadableCostsNothingToRestore) {
  const Prices prices;
  const auto cost =
      restore_cost(prices, tebibyte(StorageClass::glacier_ir), RestoreTier::expedited, 7);
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(cost->objects, 0U);
  EXPECT_EQ(cost->total(), 0);
  EXPECT_EQ(cost->time.at_most_ms, 0);
  // Reading it does: 1 TiB x 0.03, and 16 GETs of 4 MiB for each segment at 0.01 a thousand.
  EXPECT_NEAR(reading_cost(prices, tebibyte(StorageClass::glacier_ir), 4 * MiB),
              30.72 + 16'384 * 16 / 1000.0 * 0.01, 1e-9);
}

TEST(CostModel, AMoveToAColderClass) {
  const Prices prices;
  const auto cost = move_cost(prices, tebibyte(StorageClass::glacier), StorageClass::deep_archive,
                              RestoreTier::bulk, 1, 60 * kDayMs);
  ASSERT_TRUE(cost.has_value());
  EXPECT_NEAR(cost->copies, 16.384 * 0.05, 1e-9);
  EXPECT_NEAR(cost->early_deletion, 3.6864, 1e-9) << "30 of 90 days are left";
  EXPECT_NEAR(cost->restore.temporary_copy, 23.552 / 30, 1e-9);
  EXPECT_NEAR(cost->total(), 0.8192 + 3.6864 + 0.785067, 1e-5);
  EXPECT_LT(cost->monthly_after, cost->monthly_before);
  const auto old = move_cost(prices, tebibyte(StorageClass::glacier), StorageClass::deep_archive,
                             RestoreTier::bulk, 1, 91 * kDayMs);
  EXPECT_EQ(old->early_deletion, 0);
  // What is there already costs nothing.
  const auto none = move_cost(prices, tebibyte(StorageClass::deep_archive),
                              StorageClass::deep_archive, RestoreTier::bulk, 1, 0);
  EXPECT_EQ(none->total(), 0);
}

// "A copy request can also result in a data retrieval charge for the source" (CopyObject).
TEST(CostModel, AMoveOutOfAClassThatBillsForReading) {
  const Prices prices;
  const auto moved = [&](StorageClass from, StorageClass to) {
    return *move_cost(prices, tebibyte(from), to, RestoreTier::bulk, 1, 200 * kDayMs);
  };
  const auto instant = moved(StorageClass::glacier_ir, StorageClass::deep_archive);
  EXPECT_NEAR(instant.retrieval, 30.72, 1e-9);
  EXPECT_NEAR(instant.total(), 30.72 + 16.384 * 0.05, 1e-9);
  const auto infrequent = moved(StorageClass::standard_ia, StorageClass::glacier);
  EXPECT_NEAR(infrequent.retrieval, 10.24, 1e-9);
  EXPECT_NEAR(infrequent.total(), 10.24 + 16.384 * 0.03, 1e-9);
  EXPECT_EQ(moved(StorageClass::standard, StorageClass::glacier).retrieval, 0);
  // The restore has paid for it.
  const auto restored = *move_cost(prices, tebibyte(StorageClass::glacier),
                                   StorageClass::deep_archive, RestoreTier::standard, 1, 0);
  EXPECT_EQ(restored.retrieval, 0);
  EXPECT_NEAR(restored.restore.retrieval, 10.24, 1e-9);
}

// -- parts

TEST(RestorePlan, RangesAreReadAndWrittenBack) {
  std::vector<TapeRange> parts;
  ASSERT_TRUE(parse_ranges("3-5,9", TapeRange::Kind::files, 0, parts).ok());
  ASSERT_TRUE(parse_ranges("100-200", TapeRange::Kind::records, 0, parts).ok());
  ASSERT_TRUE(parse_ranges("0", TapeRange::Kind::files, 1, parts).ok());
  EXPECT_EQ(encode_parts(parts), "f3-5,f9,r100-200,1:f0");
  EXPECT_EQ(*decode_parts("f3-5,f9,r100-200,1:f0"), parts);
  EXPECT_EQ(describe_parts(parts), "files 3-5, 9; records 100-200; partition 1: file 0");
  EXPECT_TRUE(decode_parts("")->empty());
  for (const char* bad : {"", "x", "3-", "-3", "5-3", "1,,2", "3 - 5", "99999999999999999999"}) {
    std::vector<TapeRange> out;
    const Status parsed = parse_ranges(bad, TapeRange::Kind::files, 0, out);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument) << bad;
  }
  for (const char* bad : {"g3", "f", ":f3", "4:f3", "f3,"}) EXPECT_FALSE(decode_parts(bad).ok());
}

SegmentEntry entry(uint64_t sequence, uint64_t first_block, uint64_t blocks, uint64_t first_mark,
                   uint64_t marks) {
  SegmentEntry e;
  e.sequence = sequence;
  e.epoch = 1;
  e.first_block = first_block;
  e.block_count = blocks;
  e.first_filemark = first_mark;
  e.filemark_count = marks;
  e.stored_bytes = 100;
  return e;
}

// Files over segments: file 0 in 0 and 1, file 1 in 1, file 2 in 1, 2 and 3, then filemarks 3 and 4
// in segment 3, and something behind the last one in segment 4.
Manifest tape() {
  Manifest m;
  m.partitions.resize(2);
  m.partitions[0].segments = {entry(0, 0, 10, 0, 0), entry(1, 10, 10, 0, 2), entry(2, 20, 10, 2, 0),
                              entry(3, 30, 10, 2, 3), entry(4, 40, 10, 5, 0)};
  return m;
}

std::vector<uint64_t> sequences(const std::string& parts) {
  std::vector<uint64_t> out;
  const auto selected = select_segments(tape(), *decode_parts(parts));
  if (!selected.ok()) return {999};
  for (const SegmentEntry& e : *selected) out.push_back(e.sequence);
  return out;
}

TEST(RestorePlan, TheSegmentsOfAPart) {
  using List = std::vector<uint64_t>;
  EXPECT_EQ(sequences(""), (List{0, 1, 2, 3, 4}));
  EXPECT_EQ(sequences("f0"), (List{0, 1}));
  EXPECT_EQ(sequences("f1"), (List{1}));
  EXPECT_EQ(sequences("f2"), (List{1, 2, 3})) << "with the filemark before it";
  EXPECT_EQ(sequences("f3"), (List{3}));
  EXPECT_EQ(sequences("f5"), (List{3, 4})) << "behind the last filemark";
  EXPECT_EQ(sequences("f0-1"), (List{0, 1}));
  EXPECT_EQ(sequences("f0-5"), (List{0, 1, 2, 3, 4}));
  EXPECT_EQ(sequences("r0"), (List{0}));
  EXPECT_EQ(sequences("r9-10"), (List{0, 1}));
  EXPECT_EQ(sequences("r49"), (List{4}));
  EXPECT_EQ(sequences("r0,r45,f1"), (List{0, 1, 4}));
  EXPECT_EQ(sequences("f6"), (List{999}));
  EXPECT_EQ(sequences("r50"), (List{999}));
  EXPECT_EQ(sequences("1:f0"), (List{999})) << "nothing on it";
  EXPECT_EQ(sequences("2:f0"), (List{999})) << "no such partition";
  EXPECT_EQ(select_segments(tape(), *decode_parts("f6")).error().code, ErrorCode::out_of_range);
}

}  // namespace
}  // namespace coldshelf::test
