// READ ELEMENT STATUS: what backup software builds its picture of the library from.
#include "tests/conformance/smc_fixture.h"

namespace coldshelf::test {
namespace {

class SmcStatus : public SmcTest {};

TEST_P(SmcStatus, AllElementsInAddressOrder) {
  add("ABC001L8", 1002);
  add("ABC002L8", 11);
  const ParsedStatus all = status();
  EXPECT_EQ(all.count, 1 + 2 + 2 + 6);
  EXPECT_EQ(all.elements.size(), 11U);
  EXPECT_EQ(all.first_address, 0);
  EXPECT_EQ(all.pages, 4U);  // one for each type
  for (size_t i = 1; i < all.elements.size(); ++i) {
    EXPECT_LT(all.elements[i - 1].address, all.elements[i].address);
  }
  for (const ParsedElement& element : all.elements) {
    const bool full = element.address == 1002 || element.address == 11;
    EXPECT_EQ(element.full(), full) << element.address;
    EXPECT_EQ(element.barcode, element.address == 1002 ? "ABC001L8"
                               : element.address == 11 ? "ABC002L8"
                                                       : "");
    EXPECT_EQ(element.access(), element.type != 1);
    EXPECT_FALSE(element.except());
  }
}

TEST_P(SmcStatus, EachType) {
  const std::pair<uint8_t, size_t> counts[] = {{1, 1}, {2, 6}, {3, 2}, {4, 2}};
  for (const auto& [type, count] : counts) {
    const ParsedStatus page = status({.type = type});
    EXPECT_EQ(page.elements.size(), count);
    EXPECT_EQ(page.pages, 1U);
    for (const ParsedElement& element : page.elements) EXPECT_EQ(element.type, type);
  }
  EXPECT_TRUE(run(status_cdb({.type = 5}), 1024)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SmcStatus, OneAtATimeAsTheKernelReadsThem) {
  add("ABC001L8", 1003);
  for (const Element& element : world_->library().elements()) {
    const ParsedStatus one = status({.type = static_cast<uint8_t>(element.type),
                                     .first = element.address,
                                     .count = 1,
                                     .allocation = 255});
    ASSERT_EQ(one.elements.size(), 1U);
    EXPECT_EQ(one.elements[0].address, element.address);
    EXPECT_EQ(one.elements[0].full(), element.address == 1003);
  }
}

TEST_P(SmcStatus, StartingAddressIsAMinimumAndCountAMaximum) {
  const ParsedStatus some = status({.type = 0, .first = 501, .count = 3});
  ASSERT_EQ(some.elements.size(), 3U);
  EXPECT_EQ(some.first_address, 501);
  EXPECT_EQ(some.elements[0].address, 501);
  EXPECT_EQ(some.elements[1].address, 1000);
  EXPECT_EQ(some.elements[2].address, 1001);
  EXPECT_EQ(some.pages, 2U);
  // In the gap between the types.
  EXPECT_EQ(status({.type = 2, .first = 600, .count = 2}).elements[0].address, 1000);
}

// Past the last element: an empty report without pages. mtx aborts on a page without descriptors,
// and Proxmox asks once more when it got exactly as many as it asked for.
TEST_P(SmcStatus, NothingToReport) {
  for (const StatusQuery& query :
       {StatusQuery{.type = 2, .first = 1006}, StatusQuery{.type = 0, .first = 0xFFFF},
        StatusQuery{.type = 2, .count = 0}, StatusQuery{.type = 1, .first = 1}}) {
    const ScsiResult result = run(status_cdb(query), 1024);
    ASSERT_TRUE(result.good());
    ASSERT_EQ(result.data.size(), 8U);
    EXPECT_EQ(result.number(2, 2), 0U);
    EXPECT_EQ(result.number(5, 3), 0U);
  }
}

TEST_P(SmcStatus, NoImportExportElementsNoPage) {
  build({.import_export_slots = 0});
  EXPECT_EQ(status().pages, 3U);
  const ScsiResult none = run(status_cdb({.type = 3}), 1024);
  ASSERT_TRUE(none.good());
  EXPECT_EQ(none.data.size(), 8U);
}

TEST_P(SmcStatus, AllocationLengthCutsAtDescriptors) {
  add("ABC001L8");
  const ScsiResult whole = run(status_cdb({.type = 0, .options = 1}), 0xFFFF);
  ASSERT_TRUE(whole.good());
  ASSERT_EQ(whole.number(5, 3) + 8, whole.data.size());
  for (unsigned allocation = 0; allocation <= whole.data.size() + 3; ++allocation) {
    const ScsiResult cut =
        run(status_cdb({.type = 0, .options = 1, .allocation = allocation}), 0xFFFF);
    ASSERT_TRUE(cut.good());
    ASSERT_LE(cut.data.size(), allocation);
    ASSERT_EQ(cut.residual, static_cast<int64_t>(0xFFFF - cut.data.size()));
    // What is there is a prefix with the counts of the whole report.
    ASSERT_TRUE(equal(cut.data, ByteView(whole.data).first(cut.data.size())));
    if (allocation >= whole.data.size()) {
      ASSERT_EQ(cut.data.size(), whole.data.size());
    }
    if (cut.data.size() < 8) continue;
    ASSERT_EQ(cut.number(5, 3) + 8, whole.data.size());
  }
}

TEST_P(SmcStatus, InitiatorThatExpectsLessThanItAllocates) {
  const ScsiResult result = run(status_cdb({.allocation = 4096}), 100);
  EXPECT_TRUE(result.good());
  EXPECT_LT(result.residual, 0);  // overflow: there was more
}

TEST_P(SmcStatus, DescriptorLengths) {
  EXPECT_EQ(status({.type = 2, .tags = false}).descriptor_bytes[0], 16U);
  EXPECT_EQ(status({.type = 2, .tags = true}).descriptor_bytes[0], 52U);
  EXPECT_EQ(status({.type = 4, .tags = false, .options = 1}).descriptor_bytes[0], 50U);
  EXPECT_EQ(status({.type = 4, .tags = true, .options = 1}).descriptor_bytes[0], 86U);
  // Only drives have an identifier.
  EXPECT_EQ(status({.type = 2, .tags = true, .options = 1}).descriptor_bytes[0], 52U);
}

TEST_P(SmcStatus, DvcidIsTheDrivesDesignator) {
  for (const bool tags : {false, true}) {
    const ParsedStatus drives = status({.type = 4, .tags = tags, .options = 1});
    ASSERT_EQ(drives.elements.size(), 2U);
    for (unsigned n = 1; n <= 2; ++n) {
      const Buffer& id = drives.elements[n - 1].identifier;
      ASSERT_EQ(id.size(), 38U);
      EXPECT_EQ(get_byte(id, 0), 2);  // ASCII
      EXPECT_EQ(get_byte(id, 1), 1);  // T10 vendor identification
      EXPECT_EQ(get_byte(id, 3), 34);
      EXPECT_EQ(as_text(ByteView(id).subspan(4)),
                "IBM     ULT3580-TD8     DRV" + std::to_string(1000000 + n));
    }
  }
  // The drive says the same of itself (VPD page 83h).
  auto tape = world_->connect_to_drive();
  const ScsiResult vpd = tape->read({0x12, 1, 0x83, 0x04, 0, 0}, 1024);
  ASSERT_TRUE(vpd.good());
  EXPECT_NE(as_text(vpd.data).find("IBM     ULT3580-TD8     DRV1000001"), std::string_view::npos);
}

TEST_P(SmcStatus, SourceElementIsTheLastStorageElement) {
  add("ABC001L8");
  EXPECT_FALSE(status({.type = 2, .count = 1}).elements[0].source_valid);
  ASSERT_TRUE(move(kSlot, kDrive).good());
  ParsedElement drive = status({.type = 4, .count = 1}).elements[0];
  EXPECT_TRUE(drive.source_valid);
  EXPECT_EQ(drive.source, kSlot);
  ASSERT_TRUE(move(kDrive, kDrive + 1).good());
  drive = status({.type = 4, .first = kDrive + 1, .count = 1}).elements[0];
  EXPECT_TRUE(drive.source_valid);
  EXPECT_EQ(drive.source, kSlot);  // a drive is no storage element
  EXPECT_FALSE(status({.type = 4, .count = 1}).elements[0].source_valid);
}

TEST_P(SmcStatus, ImportExportTellsWhoPlacedIt) {
  add("ABC001L8", kIe);
  ParsedElement element = status({.type = 3, .count = 1}).elements[0];
  EXPECT_TRUE(element.import_export_by_operator());
  EXPECT_EQ(element.flags & 0x30, 0x30);  // InEnab, ExEnab
  ASSERT_TRUE(move(kIe, kIe + 1).good());
  element = status({.type = 3, .first = kIe + 1, .count = 1}).elements[0];
  EXPECT_TRUE(element.full());
  EXPECT_FALSE(element.import_export_by_operator());
}

TEST_P(SmcStatus, DriveWithAProblemIsAnException) {
  const auto cartridge = add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  world_->write_in_drive();
  world_->vault().medium(cartridge.uuid).fail_sync = Error(ErrorCode::io, "EIO");
  world_->vault().medium(cartridge.uuid).fail_open = Error(ErrorCode::io, "EIO");
  EXPECT_FALSE(move(kDrive, kSlot).good());
  const ParsedElement drive = status({.type = 4, .count = 1}).elements[0];
  EXPECT_TRUE(drive.full());
  EXPECT_TRUE(drive.except());
  EXPECT_EQ(drive.exception, asc::media_load_or_eject_failed);
  const ScsiResult alerts = client_->read({0x4D, 0, 0x2E, 0, 0, 0, 0, 0x04, 0, 0}, 1024);
  ASSERT_TRUE(alerts.good());
  EXPECT_EQ(alerts.number(4 + 21 * 5 + 4, 1), 1U);  // flag 22: drive offline
  EXPECT_TRUE(move(kDrive, kSlot).good());
  EXPECT_FALSE(status({.type = 4, .count = 1}).elements[0].except());
}

TEST_P(SmcStatus, CurdataIsTheSameData) {
  add("ABC001L8");
  const ScsiResult plain = run(status_cdb({}), 4096);
  const ScsiResult current = run(status_cdb({.options = 2}), 4096);
  EXPECT_TRUE(equal(plain.data, current.data));
}

TEST_P(SmcStatus, BigLibraryAsProxmoxReadsIt) {
  build({.drives = 20, .slots = 3000, .import_export_slots = 200});
  add("ABC001L8", 3999);
  size_t found = 0;
  unsigned first = 0;
  for (int round = 0; round < 5; ++round) {
    // 1000 at a time into 64 KiB; less data than announced is an error there.
    const ScsiResult result =
        run(status_cdb({.type = 2, .first = first, .count = 1000, .allocation = 0x10000}), 0x10000);
    ASSERT_TRUE(result.good());
    const ParsedStatus page = parse_status(result.data);
    ASSERT_EQ(page.report_bytes + 8, result.data.size());
    found += page.elements.size();
    if (page.elements.size() < 1000) break;
    first = page.elements.back().address + 1U;
  }
  EXPECT_EQ(found, 3000U);
  // All of it at once, as mtx does.
  const ScsiResult whole = run(status_cdb({.type = 0, .allocation = 0x40000}), 0x40000);
  EXPECT_EQ(parse_status(whole.data).elements.size(), 3000U + 200 + 20 + 1);
}

INSTANTIATE_SMC(SmcStatus);

}  // namespace
}  // namespace coldshelf::test
