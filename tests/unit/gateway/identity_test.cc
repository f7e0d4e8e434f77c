// What tells a gateway from every other one outlives its catalog.
#include "gateway/identity.h"

#include <gtest/gtest.h>

#include "gateway/store_adoption.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {
namespace {

class IdentityTest : public testing::Test {
 protected:
  IdentityTest() { open(); }
  void open() {
    data_.reset();
    auto data = DataDirectory::open(disk_, "/data");
    ASSERT_TRUE(data.ok()) << data.error().message();
    data_ = std::move(data).value();
  }
  Result<Identity> identity(Catalog& catalog) {
    return open_identity(disk_, random_, *data_, catalog);
  }
  static std::unique_ptr<Catalog> new_catalog() {
    auto catalog = Catalog::open(":memory:");
    EXPECT_TRUE(catalog.ok());
    return std::move(catalog).value();
  }
  void make_cartridge() {
    ASSERT_TRUE(disk_.create_directories(data_->cartridges_path() + "/some-uuid").ok());
  }

  SimFileSystem disk_;
  SeededRandom random_{1};
  std::unique_ptr<DataDirectory> data_;
};

TEST_F(IdentityTest, ALostCatalogLeavesItToTheFile) {
  auto first = new_catalog();
  const auto made = identity(*first);
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_TRUE(made->gateway.starts_with("sgw-"));
  EXPECT_EQ(*identity(*first), *made);
  make_cartridge();
  SeededRandom power(2);
  disk_.crash(power);
  open();
  auto second = new_catalog();
  EXPECT_EQ(*identity(*second), *made);
  EXPECT_EQ(*second->setting("gateway_id"), made->gateway);
  EXPECT_EQ(*second->setting(kInstanceSetting), made->instance);
}

TEST_F(IdentityTest, TheCatalogMakesTheFileOfAnOlderDirectory) {
  auto catalog = new_catalog();
  ASSERT_TRUE(catalog->set_setting("gateway_id", "sgw-OLD").ok());
  ASSERT_TRUE(catalog->set_setting(kInstanceSetting, "its-instance").ok());
  make_cartridge();
  const auto known = identity(*catalog);
  ASSERT_TRUE(known.ok()) << known.error().message();
  EXPECT_EQ(known->gateway, "sgw-OLD");
  EXPECT_EQ(known->instance, "its-instance");
  EXPECT_EQ(known->serial_prefix.size(), 7U);
  auto other = new_catalog();
  EXPECT_EQ(*identity(*other), *known);
}

TEST_F(IdentityTest, WithoutBothNobodyTakesTheCartridgesForItsOwn) {
  make_cartridge();
  auto catalog = new_catalog();
  const auto refused = identity(*catalog);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("coldshelf recover"), std::string::npos);
  EXPECT_FALSE(catalog->setting("gateway_id")->has_value());
}

TEST_F(IdentityTest, ADamagedFileIsSaidAndMadeAnew) {
  auto catalog = new_catalog();
  const auto made = identity(*catalog);
  ASSERT_TRUE(made.ok());
  std::string text = encode_identity(*made);
  text[30] ^= 1;
  ASSERT_TRUE(disk_.replace_file(data_->identity_path(), as_view(text)).ok());
  auto lost = new_catalog();
  const auto refused = identity(*lost);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  EXPECT_NE(refused.error().context.find("/data/identity"), std::string::npos);
  EXPECT_EQ(*identity(*catalog), *made);
  EXPECT_EQ(*identity(*lost), *made);
}

TEST_F(IdentityTest, FormatsThatAreNotKnown) {
  const Identity identity{"sgw-A", "i", "C123456"};
  const std::string text = encode_identity(identity);
  EXPECT_EQ(*decode_identity(text), identity);
  EXPECT_TRUE(text.starts_with("coldshelf identity 1\ngateway sgw-A\ninstance i\n")) << text;
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(decode_identity(text.substr(0, n)).ok());
  EXPECT_EQ(decode_identity("coldshelf identity 2\n").error().code, ErrorCode::unsupported_version);
}

// What is in the store and here is put again unless the store shows it; the rest is left alone.
TEST_F(IdentityTest, AnAdoptedStoreIsAskedForEverything) {
  auto catalog = new_catalog();
  TapeRow tape;
  tape.uuid = Uuid::generate(random_);
  tape.barcode = "ABC001L8";
  tape.status = TapeStatus::available;
  tape.uploaded_manifest_generation = 7;
  ASSERT_TRUE(catalog->put_tape(tape).ok());
  std::vector<SegmentRow> rows(3);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].cartridge = tape.uuid;
    rows[i].sequence = i + 1;
    rows[i].local = i != 2;
    rows[i].state = i == 0   ? SegmentState::verified
                    : i == 1 ? SegmentState::sealed
                             : SegmentState::evicted;
  }
  ASSERT_TRUE(catalog->put_segments(rows).ok());
  EXPECT_EQ(*doubt_the_store(*catalog), 1U);
  const auto now = catalog->segments(tape.uuid);
  ASSERT_TRUE(now.ok());
  EXPECT_EQ((*now)[0].state, SegmentState::uploaded);
  EXPECT_EQ((*now)[1].state, SegmentState::sealed);
  EXPECT_EQ((*now)[2].state, SegmentState::evicted);
  EXPECT_EQ((*catalog->tape(tape.uuid))->uploaded_manifest_generation, 0U);

  EXPECT_EQ(*known_lease_epoch(*catalog), std::nullopt);
  for (const uint64_t epoch : {uint64_t{0}, uint64_t{12}}) {
    ASSERT_TRUE(remember_lease_epoch(*catalog, epoch).ok());
    EXPECT_EQ(*known_lease_epoch(*catalog), std::optional<uint64_t>(epoch));
  }
}

}  // namespace
}  // namespace coldshelf::test
