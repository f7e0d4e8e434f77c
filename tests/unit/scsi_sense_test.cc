// Sense data in both formats, and the table that turns errors into it.
#include <gtest/gtest.h>

#include "target/scsi/sense.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {
namespace {

TEST(Sense, FixedFormat) {
  Sense s;
  s.filemark = true;
  s.code = asc::filemark_detected;
  s.information = 0x01020304;
  EXPECT_EQ(to_hex(s.encode(false)), "f00080010203040a00000000000100000000");
  s.deferred = true;
  s.information.reset();
  EXPECT_EQ(to_hex(s.encode(false)).substr(0, 2), "71");
}

TEST(Sense, NegativeResidualIsTwosComplement) {
  Sense s;
  s.incorrect_length = true;
  s.information = -700;
  const Buffer fixed = s.encode(false);
  EXPECT_EQ(get_number(fixed, 2, 1), 0x20U);
  EXPECT_EQ(get_number(fixed, 3, 4), 0xFFFFFD44U);
  EXPECT_EQ(decode_sense(fixed)->information, -700);
  EXPECT_EQ(decode_sense(s.encode(true))->information, -700);
}

TEST(Sense, WhatFixedFormatCannotHoldIsNotValid) {
  Sense s;
  s.key = SenseKey::blank_check;
  s.information = int64_t{1} << 40;
  EXPECT_EQ(get_number(s.encode(false), 0, 1), 0x70U);
  EXPECT_EQ(decode_sense(s.encode(true))->information, int64_t{1} << 40);
}

TEST(Sense, FieldPointer) {
  const Buffer fixed = invalid_cdb_field(0x0102, 5).encode(false);
  EXPECT_EQ(get_number(fixed, 15, 3), 0xCD0102U);
  EXPECT_EQ(get_number(invalid_parameter_field(9).encode(false), 15, 3), 0x800009U);
  const auto back = decode_sense(invalid_cdb_field(3, 7).encode(true));
  ASSERT_TRUE(back && back->field);
  EXPECT_TRUE(back->field->in_cdb);
  EXPECT_EQ(back->field->byte, 3);
  EXPECT_EQ(back->field->bit, 7);
}

TEST(Sense, DescriptorsRoundTrip) {
  Sense s;
  s.key = SenseKey::volume_overflow;
  s.code = asc::end_of_partition_detected;
  s.end_of_medium = true;
  s.information = 2000;
  Buffer bytes = s.encode(true);
  EXPECT_EQ(get_number(bytes, 7, 1) + 8, bytes.size());
  EXPECT_EQ(*decode_sense(bytes), s);
  bytes.resize(bytes.size() + 2, std::byte{0});  // padding of a transport is no descriptor
  EXPECT_EQ(*decode_sense(bytes), s);
}

TEST(Sense, GarbageIsNotDecoded) {
  EXPECT_FALSE(decode_sense({}));
  EXPECT_FALSE(decode_sense(Buffer(4)));
  EXPECT_FALSE(decode_sense(Buffer(18, std::byte{0})));
}

struct Row {
  ErrorCode error;
  Activity activity;
  SenseKey key;
  AdditionalSense code;
};

TEST(SenseTable, ErrorsBySituation) {
  const Row rows[] = {
      {ErrorCode::corrupt, Activity::reading, SenseKey::medium_error, asc::unrecovered_read_error},
      {ErrorCode::corrupt, Activity::other, SenseKey::medium_error, asc::medium_format_corrupted},
      {ErrorCode::io, Activity::reading, SenseKey::medium_error, asc::unrecovered_read_error},
      {ErrorCode::io, Activity::writing, SenseKey::medium_error, asc::write_error},
      {ErrorCode::io, Activity::other, SenseKey::hardware_error, asc::internal_target_failure},
      {ErrorCode::no_space, Activity::writing, SenseKey::medium_error, asc::write_error},
      {ErrorCode::cold, Activity::reading, SenseKey::not_ready, asc::manual_intervention_required},
      {ErrorCode::timed_out, Activity::reading, SenseKey::not_ready,
       asc::not_ready_operation_in_progress},
      {ErrorCode::not_ready, Activity::other, SenseKey::not_ready, asc::medium_not_present},
      {ErrorCode::write_protected, Activity::writing, SenseKey::data_protect, asc::write_protected},
      {ErrorCode::read_only, Activity::writing, SenseKey::data_protect, asc::write_protected},
      {ErrorCode::prevented, Activity::moving, SenseKey::illegal_request,
       asc::medium_removal_prevented},
      {ErrorCode::element_empty, Activity::moving, SenseKey::illegal_request,
       asc::source_element_empty},
      {ErrorCode::element_full, Activity::moving, SenseKey::illegal_request,
       asc::destination_element_full},
      {ErrorCode::not_found, Activity::moving, SenseKey::illegal_request,
       asc::invalid_element_address},
      {ErrorCode::key_missing, Activity::reading, SenseKey::data_protect, asc::unable_to_decrypt},
      {ErrorCode::internal, Activity::other, SenseKey::hardware_error,
       asc::internal_target_failure},
  };
  for (const Row& row : rows) {
    const Sense s = sense_of(Error(row.error, "test"), row.activity);
    EXPECT_EQ(s.key, row.key) << to_string(row.error);
    EXPECT_EQ(s.code, row.code) << to_string(row.error);
  }
}

TEST(SenseTable, EveryErrorHasARow) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    const auto error = static_cast<ErrorCode>(code);
    if (error == ErrorCode::internal) continue;
    const Sense s = sense_of(Error(error, "test"), Activity::reading);
    EXPECT_FALSE(s.code == asc::internal_target_failure) << to_string(error);
  }
}

}  // namespace
}  // namespace coldshelf::scsi
