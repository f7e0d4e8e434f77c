// Which part of an image's manifest a store may hold.
#include "tape/format/image_manifest.h"

#include <gtest/gtest.h>

#include <set>

#include "tape/format/image_frame.h"

namespace coldshelf {
namespace {

SegmentEntry entry(uint32_t partition, uint64_t sequence) {
  SegmentEntry e;
  e.partition = partition;
  e.sequence = sequence;
  e.epoch = 1;
  e.stored_bytes = 100;
  return e;
}

Manifest image(std::vector<uint64_t> log, std::vector<std::pair<uint64_t, uint64_t>> maps) {
  Manifest m;
  m.kind = CartridgeKind::image;
  m.label = "v";
  m.partitions.resize(kImagePartitions);
  for (const uint64_t s : log) m.partitions[kImageLogPartition].segments.push_back(entry(0, s));
  for (const auto& [sequence, position] : maps) {
    m.partitions[kImageMapPartition].segments.push_back(entry(1, sequence));
    char name[32];
    std::snprintf(name, sizeof name, "map.%016llx", static_cast<unsigned long long>(sequence));
    m.properties[name] = std::to_string(position);
  }
  return m;
}

struct Answer {
  std::optional<Manifest> manifest;
  bool complete = false;
  size_t log() const { return manifest->partitions[kImageLogPartition].segments.size(); }
};
Answer ask(const Manifest& m, const std::set<uint64_t>& there) {
  Answer out;
  out.manifest = storable_image(
      m, [&](const SegmentEntry& e) { return there.contains(e.sequence); }, out.complete);
  return out;
}

TEST(ImageManifestTest, AllOfItWhenEverythingIsThere) {
  const Manifest m = image({0, 1, 3}, {{2, 2}});
  const Answer a = ask(m, {0, 1, 2, 3});
  ASSERT_TRUE(a.manifest.has_value());
  EXPECT_TRUE(a.complete);
  EXPECT_EQ(*a.manifest, m);
}

TEST(ImageManifestTest, TheLogEndsBeforeTheFirstThatIsMissing) {
  const Answer a = ask(image({0, 1, 2, 3}, {}), {0, 1, 3});
  ASSERT_TRUE(a.manifest.has_value());
  EXPECT_FALSE(a.complete);
  EXPECT_EQ(a.log(), 2U);
  EXPECT_EQ(ask(image({0, 1}, {}), {}).log(), 0U) << "nothing written is a state as well";
}

TEST(ImageManifestTest, NotWithoutTheMapThatReplacedWhatIsDropped) {
  // Segments 0 and 1 were dropped when map 4, which takes in all below 4, came.
  const Manifest m = image({2, 3, 5, 6}, {{4, 4}});
  EXPECT_FALSE(ask(m, {2, 3, 5, 6}).manifest.has_value()) << "the map is not there";
  EXPECT_FALSE(ask(m, {2, 4, 5, 6}).manifest.has_value()) << "the log ends before the map's place";
  const Answer a = ask(m, {2, 3, 4, 6});
  ASSERT_TRUE(a.manifest.has_value());
  EXPECT_EQ(a.log(), 2U);
}

TEST(ImageManifestTest, EveryMapIsNeeded) {
  const Manifest m = image({2, 3, 5, 6, 8}, {{4, 4}, {7, 7}});
  EXPECT_FALSE(ask(m, {2, 3, 5, 6, 7, 8}).manifest.has_value()) << "that of a recovery point";
  EXPECT_TRUE(ask(m, {2, 3, 4, 5, 6, 7}).manifest.has_value());
}

TEST(ImageManifestTest, RecoveryPointsBeyondTheEndStayBehind) {
  Manifest m = image({0, 1, 2}, {});
  m.properties["point.aaaa"] = "1 10 0 early";
  m.properties["point.bbbb"] = "2 10 0 just at the end";
  m.properties["point.cccc"] = "3 10 0 later";
  m.properties["pool"] = "p";
  const Answer a = ask(m, {0, 1});
  ASSERT_TRUE(a.manifest.has_value());
  EXPECT_TRUE(a.manifest->properties.contains("point.aaaa"));
  EXPECT_TRUE(a.manifest->properties.contains("point.bbbb"));
  EXPECT_FALSE(a.manifest->properties.contains("point.cccc"));
  EXPECT_TRUE(a.manifest->properties.contains("pool"));
}

TEST(ImageManifestTest, WhatIsSaidOfTheEndGoesWithIt) {
  const std::string early = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaea0";
  const std::string late = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";
  Manifest m = image({0, 1, 2}, {});
  for (const auto& [id, position] : {std::pair(early, "1"), std::pair(late, "3")}) {
    m.properties["point." + id] = std::string(position) + " 10 0 name";
    m.properties["ebs.point." + id] = "{}";
    m.properties["about." + id] = "x";
  }
  m.properties["ebs.source"] = "{}";
  m.properties["ebs.head"] = "snap-2";
  m.properties["ebs.pull"] = "{}";
  const Answer cut = ask(m, {0, 1});
  ASSERT_TRUE(cut.manifest.has_value());
  const auto& left = cut.manifest->properties;
  EXPECT_TRUE(left.contains("ebs.point." + early) && left.contains("about." + early));
  EXPECT_FALSE(left.contains("ebs.point." + late) || left.contains("about." + late));
  EXPECT_TRUE(left.contains("ebs.source"));
  EXPECT_FALSE(left.contains("ebs.head"));
  EXPECT_FALSE(left.contains("ebs.pull"));
  // All segments are there, but blocks that the pull counts may not be sealed.
  const Answer all = ask(m, {0, 1, 2});
  ASSERT_TRUE(all.complete);
  EXPECT_TRUE(all.manifest->properties.contains("ebs.head"));
  EXPECT_FALSE(all.manifest->properties.contains("ebs.pull"));
}

TEST(ImageManifestTest, TheSizeIsThatOfTheEnd) {
  Manifest m = image({}, {});
  EXPECT_EQ(image_size_bytes(m), 0U);
  m.properties["volume.block_bytes"] = "512";
  m.properties["volume.blocks"] = "2048";
  EXPECT_EQ(image_size_bytes(m), 1U << 20);
}

TEST(ImageManifestTest, BasesAndClonesAreRead) {
  Manifest m = image({}, {});
  EXPECT_FALSE((*image_base(m)).has_value());
  EXPECT_TRUE(clones_of(m).empty());
  const std::string uuid = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";
  m.properties["volume.base"] = uuid + " 33 2";
  m.properties["hold." + uuid] = "whatever";
  const auto base = image_base(m);
  ASSERT_TRUE(base.ok() && base->has_value());
  EXPECT_EQ((*base)->image.to_string(), uuid);
  EXPECT_EQ((*base)->sequence, 33U);
  EXPECT_EQ((*base)->epoch, 2U);
  ASSERT_EQ(clones_of(m).size(), 1U);
  for (const std::string bad : {"", "x", "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf",
                                "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf 3"}) {
    m.properties["volume.base"] = bad;
    EXPECT_EQ(image_base(m).error().code, ErrorCode::corrupt) << bad;
  }
}

}  // namespace
}  // namespace coldshelf
