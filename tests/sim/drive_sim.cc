// Random operations on several drives and cartridges, judged by the reference model of a tape.
// COLDSHELF_SIM_SEEDS=N runs N seeds for each kind of cartridge (default 8).
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "tape/drive/tape_drive.h"
#include "tests/support/memory_cartridge.h"
#include "tests/support/sim_seeds.h"
#include "tests/support/tape_model.h"

namespace coldshelf {
namespace {

constexpr uint64_t kCapacity = 6 * MiB;
constexpr uint64_t kEarlyWarning = 1 * MiB;

Buffer content_bytes(uint64_t length, uint64_t content) {
  Buffer out(length);
  SeededRandom random(content);
  // Half of them compress well, so that both paths of a real cartridge are used.
  if (content % 2 == 0) {
    std::ranges::fill(out, static_cast<std::byte>(content / 2));
    random.fill(MutableBytes(out).first(std::min<size_t>(out.size(), 16)));
  } else {
    random.fill(out);
  }
  return out;
}

// Where cartridges come from, and what closing and opening one again means.
class CartridgeKindUnderTest {
 public:
  virtual ~CartridgeKindUnderTest() = default;
  virtual std::unique_ptr<Cartridge> create(const NewCartridge& what) = 0;
  virtual std::unique_ptr<Cartridge> reopen(std::unique_ptr<Cartridge> cartridge) = 0;
};

class MemoryKind final : public CartridgeKindUnderTest {
 public:
  std::unique_ptr<Cartridge> create(const NewCartridge& what) override {
    return std::make_unique<MemoryCartridge>(what);
  }
  std::unique_ptr<Cartridge> reopen(std::unique_ptr<Cartridge> cartridge) override {
    return cartridge;
  }
};

// Real cartridges in a directory of their own: small segments, so that every operation crosses
// many.
class StoredKind final : public CartridgeKindUnderTest {
 public:
  explicit StoredKind(uint64_t seed) : random_(seed) {
    std::string pattern = (std::filesystem::temp_directory_path() / "drive-sim-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    env_.files = &files_;
    env_.clock = &clock_;
    env_.random = &random_;
    env_.workers = &workers_;
    env_.sealers = &sealers_;
    env_.buffers = BufferPool::create(16 * MiB);
    options_.segment_bytes = 96 * KiB;
  }
  ~StoredKind() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<Cartridge> create(const NewCartridge& what) override {
    auto made = Cartridge::create(env_, options_, join_path(directory_, what.label), what);
    if (!made.ok()) ADD_FAILURE() << made.error().message();
    return made.ok() ? std::move(*made) : nullptr;
  }
  std::unique_ptr<Cartridge> reopen(std::unique_ptr<Cartridge> cartridge) override {
    const std::string label = cartridge->label();
    const Status closed = cartridge->close();
    if (!closed.ok()) ADD_FAILURE() << closed.error().message();
    cartridge.reset();
    auto opened = Cartridge::open(env_, options_, join_path(directory_, label));
    if (!opened.ok()) ADD_FAILURE() << opened.error().message();
    return opened.ok() ? std::move(*opened) : nullptr;
  }

 private:
  std::string directory_;
  PosixFileSystem files_;
  SystemClock clock_;
  SeededRandom random_;
  WorkerPool workers_{2};
  WorkerPool sealers_{1};
  CartridgeEnv env_;
  CartridgeOptions options_;
};

struct Tape {
  std::unique_ptr<Cartridge> cartridge;  // null while in a drive
  std::unique_ptr<TapeModel> model;
};

class World {
 public:
  World(CartridgeKindUnderTest& kind, uint64_t seed) : kind_(kind), random_(seed) {
    const std::array<const char*, 3> models = {"IBM-ULT3580-TD8", "IBM-ULT3580-TD9",
                                               "HPE-Ultrium-8"};
    for (unsigned i = 0; i < models.size(); ++i) {
      TapeDrive::Options options;
      options.number = i + 1;
      options.serial = "SIM000000" + std::to_string(i);
      options.profile = find_drive(models[i]);
      options.clock = &clock_;
      options.early_warning_bytes = kEarlyWarning;
      drives_.push_back(std::make_unique<TapeDrive>(options));
    }
    in_drive_.resize(drives_.size());
    for (unsigned i = 0; i < 4; ++i) {
      NewCartridge what;
      what.uuid = Uuid::generate(random_);
      what.label = "SIM00" + std::to_string(i) + "L8";
      what.medium = "LTO-8";
      what.capacity_bytes = kCapacity;
      what.worm = i == 3;
      tapes_.push_back(
          {kind.create(what), std::make_unique<TapeModel>(kCapacity, kEarlyWarning, what.worm)});
    }
  }

  void run(unsigned steps) {
    for (unsigned i = 0; i < steps && !testing::Test::HasFailure(); ++i) step();
    for (size_t d = 0; d < drives_.size() && !testing::Test::HasFailure(); ++d) eject(d);
    for (size_t t = 0; t < tapes_.size() && !testing::Test::HasFailure(); ++t) verify(t);
  }

 private:
  void step() {
    const size_t d = random_.below(drives_.size());
    if (!in_drive_[d]) return insert(d);
    TapeDrive& drive = *drives_[d];
    TapeModel& model = *tapes_[*in_drive_[d]].model;
    SCOPED_TRACE("drive " + std::to_string(d + 1) + " tape " + std::to_string(*in_drive_[d]) +
                 " at " + std::to_string(model.partition()) + "/" + std::to_string(model.block()) +
                 " operation " + std::to_string(operations_));
    ++operations_;
    const uint64_t dice = random_.below(100);
    if (dice < 22) {
      write(drive, model);
    } else if (dice < 32) {
      filemarks(drive, model);
    } else if (dice < 55) {
      for (uint64_t n = 1 + random_.below(12); n > 0; --n) read(drive, model);
    } else if (dice < 80) {
      space(drive, model);
    } else if (dice < 92) {
      locate(drive, model);
    } else {
      rare(d, drive, model);
    }
    if (in_drive_[d]) check_position(drive, model);
  }

  void insert(size_t d) {
    const size_t t = random_.below(tapes_.size());
    Tape& tape = tapes_[t];
    if (!tape.cartridge) return;  // in another drive
    ASSERT_TRUE(drives_[d]->insert(tape.cartridge).ok());
    ASSERT_EQ(tape.cartridge, nullptr);
    tape.model->load();
    tape.model->set_programmable_early_warning(drives_[d]->programmable_early_warning());
    in_drive_[d] = t;
    check_position(*drives_[d], *tape.model);
  }

  void eject(size_t d) {
    if (!in_drive_[d]) return;
    std::unique_ptr<Cartridge> cartridge;
    const Status ejected = drives_[d]->eject(&cartridge);
    ASSERT_TRUE(ejected.ok()) << ejected.error().message();
    tapes_[*in_drive_[d]].cartridge = kind_.reopen(std::move(cartridge));
    ASSERT_NE(tapes_[*in_drive_[d]].cartridge, nullptr);
    in_drive_[d].reset();
  }

  uint64_t some_length() {
    if (random_.one_in(20)) return 1 + random_.below(400 * KiB);
    if (random_.one_in(3)) return 1 + random_.below(5000);
    return 512;
  }

  void write(TapeDrive& drive, TapeModel& model) {
    if (!random_.one_in(4)) {
      ASSERT_TRUE(drive.space(SpaceCode::end_of_data, 0).ok());
      model.space_end_of_data();
    }
    for (uint64_t n = 1 + random_.below(20); n > 0; --n) {
      const uint64_t length = some_length();
      const uint64_t content = random_.next();
      const TapeModel::Written want = model.write(length, content);
      const Result<WriteOutcome> got = drive.write(content_bytes(length, content));
      ASSERT_NO_FATAL_FAILURE(check_written(got, want));
    }
  }

  void filemarks(TapeDrive& drive, TapeModel& model) {
    const uint64_t count = random_.below(4);
    const TapeModel::Written want = model.write_filemarks(count);
    const Result<WriteOutcome> got = drive.write_filemarks(count, !random_.one_in(8));
    check_written(got, want);
  }

  void check_written(const Result<WriteOutcome>& got, const TapeModel::Written& want) {
    if (want.refused) {
      ASSERT_FALSE(got.ok());
      ASSERT_EQ(got.error().code, ErrorCode::write_protected);
      return;
    }
    ASSERT_TRUE(got.ok()) << got.error().message();
    ASSERT_EQ(got->volume_overflow, want.overflow);
    ASSERT_EQ(got->early_warning, want.early_warning);
    ASSERT_EQ(got->programmable_early_warning, want.programmable_early_warning);
  }

  void read(TapeDrive& drive, TapeModel& model) {
    const TapeModel::Object* want = model.read();
    const Result<ReadOutcome> got = drive.read();
    ASSERT_TRUE(got.ok()) << got.error().message();
    if (!want) {
      ASSERT_EQ(got->kind, ReadOutcome::Kind::end_of_data);
    } else if (want->filemark) {
      ASSERT_EQ(got->kind, ReadOutcome::Kind::filemark);
    } else {
      ASSERT_EQ(got->kind, ReadOutcome::Kind::record);
      ASSERT_TRUE(equal(got->record.flatten(), content_bytes(want->length, want->content)));
    }
    ASSERT_EQ(got->early_warning, model.behind_early_warning());
  }

  int64_t some_count(uint64_t bound) {
    const int64_t n = static_cast<int64_t>(random_.below(bound));
    return random_.one_in(2) ? n : -n;
  }

  void space(TapeDrive& drive, TapeModel& model) {
    TapeModel::Moved want;
    Result<SpaceOutcome> got = SpaceOutcome{};
    switch (random_.below(7)) {
      case 0:
      case 1:
      case 2: {
        const int64_t n = some_count(random_.one_in(4) ? 500 : 12);
        want = model.space_blocks(n);
        got = drive.space(SpaceCode::blocks, n);
        break;
      }
      case 3:
      case 4: {
        const int64_t n = some_count(random_.one_in(4) ? 60 : 5);
        want = model.space_filemarks(n);
        got = drive.space(SpaceCode::filemarks, n);
        break;
      }
      case 5: {
        const int64_t n = some_count(5);
        want = model.space_sequential_filemarks(n);
        got = drive.space(SpaceCode::sequential_filemarks, n);
        break;
      }
      default:
        model.space_end_of_data();
        got = drive.space(SpaceCode::end_of_data, 7);
    }
    ASSERT_TRUE(got.ok()) << got.error().message();
    ASSERT_EQ(static_cast<int>(got->stop), static_cast<int>(want.stop));
    ASSERT_EQ(got->residual, want.residual);
  }

  void locate(TapeDrive& drive, TapeModel& model) {
    const uint32_t p = static_cast<uint32_t>(random_.below(model.partition_count()));
    TapeModel::Moved want;
    Result<LocateOutcome> got = LocateOutcome::done;
    switch (random_.below(4)) {
      case 0:
      case 1: {
        const uint64_t block = random_.below(model.objects(p).size() + 5);
        want = model.locate_block(p, block);
        got = drive.locate_block(p, block);
        break;
      }
      case 2: {
        const uint64_t n = random_.below(12);
        want = model.locate_filemark(p, n);
        got = drive.locate_filemark(p, n);
        break;
      }
      default:
        model.locate_end_of_data(p);
        got = drive.locate_end_of_data(p);
    }
    ASSERT_TRUE(got.ok()) << got.error().message();
    ASSERT_EQ(*got == LocateOutcome::end_of_data, want.stop == TapeModel::Stop::end_of_data);
  }

  void rare(size_t d, TapeDrive& drive, TapeModel& model) {
    switch (random_.below(8)) {
      case 0:
      case 1:
        ASSERT_TRUE(drive.rewind().ok());
        model.rewind();
        break;
      case 2:
        eject(d);
        break;
      case 3:
        ASSERT_TRUE(drive.unload().ok());
        ASSERT_EQ(drive.read().error().code, ErrorCode::not_ready);
        ASSERT_TRUE(drive.load().ok());
        model.load();
        break;
      case 4:
        ASSERT_TRUE(drive.sync().ok());
        break;
      case 5: {
        const uint64_t bytes = random_.below(3) * 300'000;
        drive.set_programmable_early_warning(bytes);
        model.set_programmable_early_warning(bytes);
        break;
      }
      case 6:
        if (random_.one_in(3)) {
          const Status erased = drive.erase();
          ASSERT_EQ(erased.ok(), model.erase()) << (erased.ok() ? "" : erased.error().message());
        }
        break;
      default:
        format(drive, model);
    }
  }

  void format(TapeDrive& drive, TapeModel& model) {
    if (!random_.one_in(6)) return;
    std::vector<uint64_t> capacities{kCapacity};
    if (!random_.one_in(3)) capacities = {2 * MiB, kCapacity - 2 * MiB};
    const bool want = model.format(capacities);
    const Status got = drive.format_medium(capacities);
    ASSERT_EQ(got.ok(), want);
  }

  void check_position(TapeDrive& drive, const TapeModel& model) {
    const Result<DrivePosition> got = drive.position();
    ASSERT_TRUE(got.ok());
    ASSERT_EQ(got->at, (Position{model.partition(), model.block(), model.filemark()}));
    ASSERT_EQ(got->beginning_of_partition, model.block() == 0);
    ASSERT_EQ(got->end_of_partition, model.behind_early_warning());
    const auto space = drive.capacity(model.partition());
    ASSERT_TRUE(space.ok());
    ASSERT_EQ(space->used_bytes, model.used_bytes(model.partition()));
  }

  // The whole tape, front to back, in a drive that may be another than the one that wrote it.
  void verify(size_t t) {
    TapeDrive& drive = *drives_[random_.below(drives_.size())];
    TapeModel& model = *tapes_[t].model;
    ASSERT_TRUE(drive.insert(tapes_[t].cartridge).ok());
    for (uint32_t p = 0; p < model.partition_count(); ++p) {
      model.locate_block(p, 0);
      ASSERT_TRUE(drive.locate_block(p, 0).ok());
      for (size_t i = 0; i <= model.objects(p).size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(read(drive, model));
      }
    }
    ASSERT_TRUE(drive.eject(&tapes_[t].cartridge).ok());
  }

  CartridgeKindUnderTest& kind_;
  SeededRandom random_;
  SystemClock clock_;
  std::vector<std::unique_ptr<TapeDrive>> drives_;
  std::vector<std::optional<size_t>> in_drive_;  // which tape
  std::vector<Tape> tapes_;
  uint64_t operations_ = 0;
};

TEST(DriveSimulation, MemoryCartridgesBehaveAsTheModel) {
  for (const uint64_t seed : test::sim_seeds(8)) {
    if (HasFailure()) break;
    SCOPED_TRACE("seed " + std::to_string(seed));
    MemoryKind kind;
    World(kind, seed).run(3000);
  }
}

TEST(DriveSimulation, StoredCartridgesBehaveAsTheModel) {
  for (const uint64_t seed : test::sim_seeds(8)) {
    if (HasFailure()) break;
    SCOPED_TRACE("seed " + std::to_string(seed));
    StoredKind kind(seed);
    World(kind, seed).run(600);
  }
}

}  // namespace
}  // namespace coldshelf
