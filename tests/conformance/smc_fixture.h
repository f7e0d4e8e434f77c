// A changer with its library for the conformance tests of SMC-3: two drives, six slots, two
// import/export slots, on cartridges in memory.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "target/iscsi/server.h"
#include "target/scsi/changer_unit.h"
#include "target/scsi/tape_unit.h"
#include "target/scsi/wire.h"
#include "tests/support/fake_cartridge.h"
#include "tests/support/scsi_client.h"
#include "tests/support/tape_rig.h"

namespace coldshelf::test {

using scsi::AdditionalSense;
using scsi::get_byte;
using scsi::get_number;
using scsi::SenseKey;
namespace asc = scsi::asc;

struct Shape {
  unsigned drives = 2;
  unsigned slots = 6;
  unsigned import_export_slots = 2;
  const char* profile = "STK-L700";
};

// Everything below the wire.
class ChangerWorld {
 public:
  explicit ChangerWorld(Transport transport, const Shape& shape = {}) : transport_(transport) {
    std::string pattern = (std::filesystem::temp_directory_path() / "smc.XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    LibraryOptions options;
    options.profile = find_changer(shape.profile);
    options.serial = "COLD00000001";
    options.slots = shape.slots;
    options.import_export_slots = shape.import_export_slots;
    options.inventory_path = directory_ + "/inventory";
    options.files = &files_;
    options.vault = &vault_;
    for (unsigned i = 1; i <= shape.drives; ++i) {
      TapeDrive::Options drive;
      drive.number = i;
      drive.serial = "DRV" + std::to_string(1000000 + i);
      drive.profile = find_drive("IBM-ULT3580-TD8");
      drive.clock = &clock_;
      drives_.push_back(std::make_unique<TapeDrive>(drive));
      options.drives.push_back(drives_.back().get());
    }
    auto opened = Library::open(options, nullptr);
    EXPECT_TRUE(opened.ok());
    library_ = std::move(opened).value();
    scsi::ChangerUnitOptions unit;
    unit.library = library_.get();
    unit.clock = &clock_;
    unit.target_name = kTarget;
    unit_ = std::make_shared<scsi::ChangerUnit>(unit);
    scsi::TapeUnitOptions tape;
    tape.drive = drives_[0].get();
    tape.clock = &clock_;
    tape.target_name = "iqn.2026-11.io.coldshelf:test-tapedrive-01";
    tape.on_prevent_changed = [this](bool prevented) { library_->set_drive_prevent(1, prevented); };
    tape_unit_ = std::make_shared<scsi::TapeUnit>(std::move(tape));
    if (transport_ == Transport::iscsi) {
      iscsi::ServerOptions server;
      server.listen = {"127.0.0.1:0"};
      auto started = iscsi::Server::start(server, {{kTarget, "changer", unit_}}, random_);
      CHECK(started.ok());
      server_ = std::move(*started);
    }
  }
  ~ChangerWorld() {
    if (server_) server_->stop(std::chrono::milliseconds(1000));
    server_.reset();
    tape_unit_.reset();
    unit_.reset();
    library_.reset();
    std::filesystem::remove_all(directory_);
  }
  ChangerWorld(const ChangerWorld&) = delete;
  ChangerWorld& operator=(const ChangerWorld&) = delete;

  LibraryCartridge add(const std::string& barcode, std::optional<uint16_t> address = {},
                       const std::string& medium = "LTO-8") {
    LibraryCartridge cartridge = vault_.make(barcode, medium);
    EXPECT_TRUE(library_->add(cartridge, address).ok());
    return cartridge;
  }
  std::string where(const std::string& barcode) const {
    const auto found = library_->find(barcode);
    return found ? library_->element_name(found->address) : "nowhere";
  }

  // An initiator port of the changer; the number makes its name.
  std::unique_ptr<ScsiClient> connect(unsigned number) {
    const std::string name = "iqn.2026-11.test:initiator-" + std::to_string(number);
    if (transport_ == Transport::direct)
      return std::make_unique<DirectClient>(*unit_, next_nexus_++, name);
    auto client = IscsiClient::connect(server_->endpoints().front(), kTarget, name);
    CHECK(client.ok());
    return std::move(*client);
  }
  // One of drive 1, always direct.
  std::unique_ptr<ScsiClient> connect_to_drive() {
    auto client = std::make_unique<DirectClient>(*tape_unit_, next_nexus_++, "iqn.2026-11.test:t");
    client->clear_unit_attentions();
    return client;
  }

  // By a host that has seen what is in drive 1.
  void write_in_drive() {
    connect_to_drive();
    EXPECT_TRUE(drive(1).write(as_view("data")).ok());
  }

  Library& library() { return *library_; }
  scsi::ChangerUnit& unit() { return *unit_; }
  FakeVault& vault() { return vault_; }
  TapeDrive& drive(unsigned number) { return *drives_.at(number - 1); }
  Clock& clock() { return clock_; }

 private:
  static constexpr const char* kTarget = "iqn.2026-11.io.coldshelf:test-mediachanger";

  const Transport transport_;
  std::string directory_;
  SystemClock clock_;
  SystemRandom random_;
  PosixFileSystem files_;
  FakeVault vault_;
  std::vector<std::unique_ptr<TapeDrive>> drives_;
  std::unique_ptr<Library> library_;
  std::shared_ptr<scsi::ChangerUnit> unit_;
  std::shared_ptr<scsi::TapeUnit> tape_unit_;
  std::unique_ptr<iscsi::Server> server_;
  uint64_t next_nexus_ = 1;
};

// READ ELEMENT STATUS data, parsed the way an initiator does it.
struct ParsedElement {
  uint8_t type = 0;
  uint16_t address = 0;
  uint8_t flags = 0;
  AdditionalSense exception;
  bool source_valid = false;
  uint16_t source = 0;
  std::string barcode;
  Buffer identifier;  // with its four header bytes
  bool full() const { return (flags & 0x01) != 0; }
  bool import_export_by_operator() const { return (flags & 0x02) != 0; }
  bool except() const { return (flags & 0x04) != 0; }
  bool access() const { return (flags & 0x08) != 0; }
};
struct ParsedStatus {
  uint16_t first_address = 0;
  uint16_t count = 0;
  uint8_t action = 0;
  size_t report_bytes = 0;
  size_t pages = 0;
  std::vector<size_t> descriptor_bytes;  // of each page
  std::vector<ParsedElement> elements;
};

inline void parse_descriptor(ByteView descriptor, uint8_t type, bool tags, ParsedStatus& to) {
  ParsedElement element;
  element.type = type;
  element.address = static_cast<uint16_t>(get_number(descriptor, 0, 2));
  element.flags = get_byte(descriptor, 2);
  element.exception = {get_byte(descriptor, 4), get_byte(descriptor, 5)};
  element.source_valid = (get_byte(descriptor, 9) & 0x80) != 0;
  element.source = static_cast<uint16_t>(get_number(descriptor, 10, 2));
  size_t at = 12;
  if (tags) {
    std::string_view tag = as_text(descriptor.subspan(at, 32));
    tag = tag.substr(0, tag.find_first_of(std::string_view(" \0", 2)));
    element.barcode = tag;
    at += 36;
  }
  element.identifier = to_buffer(descriptor.subspan(at));
  to.elements.push_back(std::move(element));
}

inline ParsedStatus parse_status(ByteView data) {
  ParsedStatus parsed;
  EXPECT_GE(data.size(), 8U);
  if (data.size() < 8) return parsed;
  parsed.first_address = static_cast<uint16_t>(get_number(data, 0, 2));
  parsed.count = static_cast<uint16_t>(get_number(data, 2, 2));
  parsed.action = get_byte(data, 4);
  parsed.report_bytes = get_number(data, 5, 3);
  size_t at = 8;
  while (at + 8 <= data.size()) {
    const uint8_t type = get_byte(data, at);
    const bool tags = (get_byte(data, at + 1) & 0x80) != 0;
    const size_t each = get_number(data, at + 2, 2);
    const size_t bytes = get_number(data, at + 5, 3);
    at += 8;
    ++parsed.pages;
    parsed.descriptor_bytes.push_back(each);
    EXPECT_GE(each, 12U);
    if (each < 12) break;
    EXPECT_EQ(bytes % each, 0U);
    EXPECT_GT(bytes, 0U) << "a page without descriptors";
    for (size_t done = 0; done < bytes && at + each <= data.size(); done += each, at += each) {
      parse_descriptor(data.subspan(at, each), type, tags, parsed);
    }
  }
  EXPECT_EQ(at, data.size()) << "a descriptor was cut";
  return parsed;
}

// CDBs.
inline ByteView view(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}
using Cdb = std::vector<uint8_t>;
inline uint8_t high(unsigned v) { return static_cast<uint8_t>(v >> 8); }
inline uint8_t low(unsigned v) { return static_cast<uint8_t>(v & 0xFF); }

inline Cdb move_cdb(unsigned source, unsigned destination, unsigned transport = 0,
                    uint8_t invert = 0) {
  return {0xA5,
          0,
          high(transport),
          low(transport),
          high(source),
          low(source),
          high(destination),
          low(destination),
          0,
          0,
          invert,
          0};
}
inline Cdb exchange_cdb(unsigned source, unsigned first, unsigned second) {
  return {0xA6,         0,           0, 0, high(source), low(source), high(first), low(first),
          high(second), low(second), 0, 0};
}
struct StatusQuery {
  uint8_t type = 0;
  unsigned first = 0;
  unsigned count = 0xFFFF;
  bool tags = true;
  uint8_t options = 0;  // byte 6: 1 DVCID, 2 CURDATA
  unsigned allocation = 0xFFFF;
};
inline Cdb status_cdb(const StatusQuery& query) {
  return {0xB8,
          static_cast<uint8_t>(query.type | (query.tags ? 0x10U : 0U)),
          high(query.first),
          low(query.first),
          high(query.count),
          low(query.count),
          query.options,
          static_cast<uint8_t>(query.allocation >> 16),
          static_cast<uint8_t>((query.allocation >> 8) & 0xFF),
          low(query.allocation),
          0,
          0};
}

class SmcTest : public ::testing::TestWithParam<Transport> {
 protected:
  void SetUp() override { build({}); }
  void TearDown() override {
    other_.reset();
    client_.reset();
    world_.reset();
  }
  // A library of this shape, with an initiator that has taken its unit attentions.
  void build(const Shape& shape) {
    other_.reset();
    client_.reset();
    world_ = std::make_unique<ChangerWorld>(GetParam(), shape);
    client_ = world_->connect(1);
    client_->clear_unit_attentions();
  }
  ScsiClient& other() {
    if (!other_) {
      other_ = world_->connect(2);
      other_->clear_unit_attentions();
    }
    return *other_;
  }
  // Adds as the operator; the unit attention of that is taken.
  LibraryCartridge add(const std::string& barcode, std::optional<uint16_t> address = {},
                       const std::string& medium = "LTO-8") {
    const LibraryCartridge cartridge = world_->add(barcode, address, medium);
    client_->clear_unit_attentions();
    if (other_) other_->clear_unit_attentions();
    return cartridge;
  }

  ScsiResult run(const Cdb& cdb, size_t in = 0) { return client_->run(view(cdb), {}, in); }
  ScsiResult send(const Cdb& cdb, const Buffer& out) { return client_->run(view(cdb), out, 0); }
  ScsiResult move(unsigned source, unsigned destination) {
    return run(move_cdb(source, destination));
  }
  ParsedStatus status(const StatusQuery& query = {}) {
    const ScsiResult result = run(status_cdb(query), query.allocation);
    EXPECT_TRUE(result.good()) << result;
    return parse_status(result.data);
  }
  std::string where(const std::string& barcode) { return world_->where(barcode); }

  static constexpr unsigned kTransport = 0;
  static constexpr unsigned kIe = 10;
  static constexpr unsigned kDrive = 500;
  static constexpr unsigned kSlot = 1000;

  std::unique_ptr<ChangerWorld> world_;
  std::unique_ptr<ScsiClient> client_;
  std::unique_ptr<ScsiClient> other_;
};

#define INSTANTIATE_SMC(suite)                                                                 \
  INSTANTIATE_TEST_SUITE_P(Transports, suite,                                                  \
                           ::testing::Values(Transport::direct, Transport::iscsi),             \
                           [](const ::testing::TestParamInfo<Transport>& transport) {          \
                             return transport.param == Transport::direct ? "Direct" : "Iscsi"; \
                           })

}  // namespace coldshelf::test
