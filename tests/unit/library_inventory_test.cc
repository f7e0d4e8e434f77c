// The inventory file: what is written is read back, what is damaged is noticed.
#include <gtest/gtest.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tape/library/inventory.h"

namespace coldshelf {
namespace {

std::vector<Placement> example() {
  std::vector<Placement> all(2);
  all[0].cartridge.uuid.bytes[0] = std::byte{1};
  all[0].cartridge.barcode = "ABC001L8";
  all[0].cartridge.medium = "LTO-8";
  all[0].where = {ElementType::storage, 3};
  all[1].cartridge.uuid.bytes[0] = std::byte{2};
  all[1].cartridge.barcode = "ABC002L8";
  all[1].cartridge.medium = "LTO-8";
  all[1].where = {ElementType::import_export, 1};
  all[1].source = ElementId{ElementType::storage, 3200};
  all[1].placed_by_operator = true;
  return all;
}

TEST(Inventory, RoundTrip) {
  const auto decoded = decode_inventory(encode_inventory(example()));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  ASSERT_EQ(decoded->size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const Placement expected = example()[i];
    const Placement& found = (*decoded)[i];
    EXPECT_EQ(found.cartridge.uuid, expected.cartridge.uuid);
    EXPECT_EQ(found.cartridge.barcode, expected.cartridge.barcode);
    EXPECT_EQ(found.cartridge.medium, expected.cartridge.medium);
    EXPECT_EQ(found.where, expected.where);
    EXPECT_EQ(found.source, expected.source);
    EXPECT_EQ(found.placed_by_operator, expected.placed_by_operator);
  }
  EXPECT_TRUE(decode_inventory(encode_inventory({}))->empty());
}

TEST(Inventory, EveryFlippedBitAndEveryTruncationIsNoticed) {
  const Buffer good = encode_inventory(example());
  for (size_t i = 0; i < good.size() * 8; ++i) {
    Buffer bad = good;
    bad[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
    EXPECT_FALSE(decode_inventory(bad).ok()) << "bit " << i;
  }
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(decode_inventory(ByteView(good).first(n)).ok()) << n << " bytes";
  }
}

TEST(Inventory, NewerVersionIsToldApartFromDamage) {
  Buffer newer = encode_inventory(example());
  store_le<uint16_t>(newer.data() + 8, kInventoryFormatVersion + 1);
  EXPECT_EQ(decode_inventory(newer).error().code, ErrorCode::unsupported_version);
}

TEST(Inventory, OneCartridgeOrElementTwiceIsCorrupt) {
  auto twice = example();
  twice[1].cartridge.uuid = twice[0].cartridge.uuid;
  EXPECT_EQ(decode_inventory(encode_inventory(twice)).error().code, ErrorCode::corrupt);
  twice = example();
  twice[1].where = twice[0].where;
  EXPECT_EQ(decode_inventory(encode_inventory(twice)).error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace coldshelf
