// Random changes of a library against a model, on a disk that fails and loses power at any call:
// each cartridge is in exactly one element, what was answered holds, and what was synced is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "base/clock.h"
#include "base/log.h"
#include "tape/library/library.h"
#include "tests/support/fake_cartridge.h"
#include "tests/support/sim_file_system.h"
#include "tests/support/sim_seeds.h"

namespace coldshelf {
namespace {

using test::FakeVault;
using test::SimFileSystem;

// Where each cartridge is, by address.
using Places = std::map<uint16_t, Uuid>;

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    EXPECT_TRUE(files_.create_directories("/library").ok());
    start();
  }

  struct Counts {
    uint64_t done = 0, refused = 0, failed = 0, crashes = 0;
  };
  const Counts& counts() const { return counts_; }

  void run(unsigned steps) {
    for (unsigned i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) step();
  }

 private:
  static constexpr unsigned kDrives = 3;
  static constexpr unsigned kSlots = 7;
  static constexpr unsigned kImportExport = 2;

  void start() {
    library_.reset();
    drives_.clear();
    LibraryOptions options;
    options.profile = find_changer("coldshelf");
    options.serial = "SIM";
    options.slots = kSlots;
    options.import_export_slots = kImportExport;
    options.inventory_path = "/library/inventory";
    options.files = &files_;
    options.vault = &vault_;
    for (unsigned i = 1; i <= kDrives; ++i) {
      TapeDrive::Options drive;
      drive.number = i;
      drive.serial = "SIMDRIVE0" + std::to_string(i);
      drive.profile = find_drive("IBM-ULT3580-TD8");
      drive.clock = &clock_;
      drives_.push_back(std::make_unique<TapeDrive>(drive));
      options.drives.push_back(drives_.back().get());
    }
    auto opened = Library::open(options, nullptr);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    library_ = std::move(opened).value();
    addresses_.clear();
    for (const Element& element : library_->elements()) {
      if (element.type != ElementType::transport) addresses_.push_back(element.address);
    }
  }

  Places places() const {
    Places found;
    for (const Element& element : library_->elements()) {
      if (element.cartridge) found[element.address] = element.cartridge->uuid;
    }
    return found;
  }

  bool is_drive(uint16_t address) const {
    return library_->element(address)->type == ElementType::data_transfer;
  }
  uint16_t any_address() { return addresses_[random_.below(addresses_.size())]; }

  // Mostly one that holds something.
  uint16_t any_source() {
    if (model_.empty() || random_.one_in(4)) return any_address();
    return std::next(model_.begin(), static_cast<ptrdiff_t>(random_.below(model_.size())))->first;
  }

  // The state after a change that went well, or why it must be refused.
  struct Expected {
    Places after;
    std::optional<ErrorCode> refusal;
  };

  bool held(uint16_t address) const {  // by PREVENT in a drive
    const Element element = *library_->element(address);
    return element.type == ElementType::data_transfer && prevented_[element.number - 1];
  }

  Expected expect_move(uint16_t from, uint16_t to) const {
    Expected expected{model_, std::nullopt};
    if (!model_.contains(from)) {
      expected.refusal = ErrorCode::element_empty;
    } else if (held(from)) {
      expected.refusal = ErrorCode::prevented;
    } else if (model_.contains(to)) {
      expected.refusal = ErrorCode::element_full;
    } else {
      expected.after.erase(from);
      expected.after[to] = model_.at(from);
    }
    return expected;
  }

  Expected expect_exchange(uint16_t from, uint16_t first, uint16_t second) const {
    Expected expected{model_, std::nullopt};
    if (from == first || first == second) {
      expected.refusal = ErrorCode::invalid_argument;
    } else if (!model_.contains(from)) {
      expected.refusal = ErrorCode::element_empty;
    } else if (held(from)) {
      expected.refusal = ErrorCode::prevented;
    } else if (!model_.contains(first)) {
      expected.refusal = ErrorCode::element_empty;
    } else if (held(first)) {
      expected.refusal = ErrorCode::prevented;
    } else if (second != from && model_.contains(second)) {
      expected.refusal = ErrorCode::element_full;
    } else {
      expected.after.erase(from);
      expected.after[second] = model_.at(first);
      expected.after[first] = model_.at(from);
    }
    return expected;
  }

  void step() {
    const uint64_t kind = random_.below(20);
    if (kind == 0) return restart();
    if (kind == 1 || model_.size() < 3) return add();
    if (kind == 2) return remove();
    if (kind == 3) return toggle_prevent();
    if (kind <= 6) return write();
    if (kind <= 9) {
      const uint16_t from = any_source();
      const uint16_t first = any_source();
      const uint16_t second = random_.one_in(3) ? from : any_address();
      return change(expect_exchange(from, first, second),
                    [=, this] { return library_->exchange(from, first, second, true); });
    }
    const uint16_t from = any_source();
    const uint16_t to = any_address();
    change(expect_move(from, to), [=, this] { return library_->move(from, to, true); });
  }

  // Runs a change, now and then with a disk that fails at one of the calls, once or for good; after
  // a failure for good the power goes out.
  template <typename Change>
  void change(const Expected& expected, const Change& run) {
    const bool faulty = random_.one_in(3);
    const bool power_loss = faulty && random_.one_in(2);
    if (faulty) {
      files_.fail_call(files_.counted_calls() + 1 + random_.below(6),
                       random_.one_in(2) ? ErrorCode::io : ErrorCode::no_space, power_loss);
    }
    const Status done = run();
    files_.no_faults();
    if (done.ok()) {
      ASSERT_FALSE(expected.refusal.has_value());
      model_ = expected.after;
      ++counts_.done;
    } else if (expected.refusal) {
      ++counts_.refused;
      ASSERT_EQ(done.error().code, *expected.refusal) << done.error().message();
    } else {
      ASSERT_TRUE(faulty) << done.error().message();
      ++counts_.failed;
      // Not moved; what a crash finds may be either.
      undecided_.push_back(expected.after);
    }
    ASSERT_EQ(places(), model_);
    if (done.ok()) undecided_.clear();
    check_drives();
    if (power_loss || random_.one_in(40)) crash();
  }

  void crash() {
    ++counts_.crashes;
    files_.crash(random_);
    vault_.crash();
    prevented_.assign(kDrives, false);
    start();
    if (::testing::Test::HasFatalFailure()) return;
    const Places found = places();
    if (found != model_) {
      ASSERT_NE(std::find(undecided_.begin(), undecided_.end(), found), undecided_.end());
      model_ = found;
    }
    undecided_.clear();
    check_data();
    check_drives();
  }

  void restart() {
    ASSERT_TRUE(library_->close_drives().ok());
    prevented_.assign(kDrives, false);
    crash();
  }

  void add() {
    const LibraryCartridge cartridge =
        vault_.make("SIM" + std::to_string(100 + ++made_) + "L8", "LTO-8");
    Expected expected{model_, std::nullopt};
    const uint16_t at = any_address();
    if (is_drive(at)) {
      expected.refusal = ErrorCode::invalid_argument;
    } else if (model_.contains(at)) {
      expected.refusal = ErrorCode::element_full;
    } else {
      expected.after[at] = cartridge.uuid;
      synced_records_[cartridge.uuid] = 0;
    }
    change(expected, [&]() -> Status {
      auto added = library_->add(cartridge, at);
      return added.ok() ? Status() : Status(added.error());
    });
  }

  void remove() {
    const uint16_t at = any_address();
    Expected expected{model_, std::nullopt};
    Uuid uuid;
    if (!model_.contains(at)) {
      expected.refusal = ErrorCode::not_found;
    } else {
      uuid = model_.at(at);
      if (is_drive(at)) expected.refusal = ErrorCode::busy;
      expected.after.erase(at);
    }
    change(expected, [&] { return library_->remove(uuid); });
  }

  void toggle_prevent() {
    const unsigned drive = static_cast<unsigned>(random_.below(kDrives));
    prevented_[drive] = !prevented_[drive];
    library_->set_drive_prevent(drive + 1, prevented_[drive]);
  }

  void write() {
    TapeDrive& drive = *drives_[random_.below(kDrives)];
    if (!drive.loaded()) return;
    ASSERT_TRUE(drive.locate_end_of_data(0).ok());
    const auto written = drive.write(as_view("record"));
    ASSERT_TRUE(written.ok()) << written.error().message();
    if (random_.one_in(2)) return;  // unloading must sync it
    ASSERT_TRUE(drive.sync().ok());
    for (const auto& [address, uuid] : model_) {
      if (library_->element(address)->drive == &drive) {
        synced_records_[uuid] = vault_.medium(uuid).synced.size();
      }
    }
  }

  // A drive holds exactly what its element says.
  void check_drives() {
    for (const Element& element : library_->elements(ElementType::data_transfer)) {
      const TapeDrive& drive = *drives_[element.number - 1];
      ASSERT_EQ(drive.inserted(), element.cartridge.has_value());
      const std::string label = element.cartridge ? element.cartridge->barcode : "";
      ASSERT_EQ(drive.label(), label);
    }
    for (const auto& [address, uuid] : model_) {
      ASSERT_EQ(vault_.medium(uuid).open, is_drive(address));
    }
  }

  void check_data() {
    for (const auto& [address, uuid] : model_) {
      ASSERT_GE(vault_.medium(uuid).synced.size(), synced_records_[uuid]);
    }
  }

  SeededRandom random_;
  SystemClock clock_;
  SimFileSystem files_;
  FakeVault vault_;
  std::vector<std::unique_ptr<TapeDrive>> drives_;
  std::unique_ptr<Library> library_;
  std::vector<uint16_t> addresses_;
  std::vector<bool> prevented_ = std::vector<bool>(kDrives, false);
  Places model_;
  std::vector<Places> undecided_;  // after changes that failed since the last one that did not
  std::map<Uuid, size_t> synced_records_;
  unsigned made_ = 0;
  Counts counts_;
};

TEST(LibrarySimulation, EachCartridgeIsInExactlyOneElement) {
  const std::vector<uint64_t> seeds = test::sim_seeds(60, 20261121);
  configure_log(LogLevel::error, false);
  uint64_t done = 0;
  uint64_t failed = 0;
  uint64_t crashes = 0;
  capture_log([](std::string_view) {});  // the faults are meant
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation simulation(seed);
    simulation.run(400);
    if (HasFatalFailure()) break;
    const auto& counts = simulation.counts();
    done += counts.done;
    failed += counts.failed;
    crashes += counts.crashes;
  }
  capture_log(nullptr);
  std::cout << done << " changes done, " << failed << " failed, " << crashes << " crashes\n";
  // The simulation must have gone where it is meant to go.
  EXPECT_GT(done, seeds.size() * 50);
  EXPECT_GT(failed, seeds.size());
  EXPECT_GT(crashes, seeds.size());
}

}  // namespace
}  // namespace coldshelf
