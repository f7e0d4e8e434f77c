// A cartridge on the simulated disk beside a model of what it must hold: every operation goes to
// both, faults and crashes in between, and the cartridge is compared with the model.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tape/format/keys.h"
#include "tests/support/cartridge_fixture.h"

namespace coldshelf::test {

struct ModelObject {
  uint64_t seed = 0;
  size_t size = 0;  // 0: a filemark
  bool operator==(const ModelObject&) const = default;
};

// One partition. After a crash it is a prefix of `objects`, and not shorter than `durable`.
struct ModelPartition {
  std::vector<ModelObject> objects;
  size_t durable = 0;
};

// Runs jobs at once while open, keeps them while shut: a sealer that is behind the writer, in one
// thread.
class GatedExecutor final : public Executor {
 public:
  void submit(std::function<void()> work) override {
    if (shut_) {
      kept_.push_back(std::move(work));
    } else {
      work();
    }
  }
  void shut() { shut_ = true; }
  void open() {
    shut_ = false;
    std::vector<std::function<void()>> jobs;
    jobs.swap(kept_);
    for (auto& job : jobs) job();
  }

 private:
  bool shut_ = false;
  std::vector<std::function<void()>> kept_;
};

class CartridgeSim {
 public:
  CartridgeSim(uint64_t seed, bool threads);
  ~CartridgeSim();

  // -- operations; each returns whether the cartridge took it. The model follows.
  bool write_records(uint32_t partition, size_t at, size_t count, size_t size);
  bool write_filemarks(uint32_t partition, size_t at, size_t count);
  bool sync();
  bool seal();
  bool erase(uint32_t partition, size_t at);
  bool format(size_t partitions);
  bool set_property();
  void random_operation();

  // -- what may go wrong; then open() again
  void crash();  // power loss
  void kill();   // of the daemon alone
  void fail_from_call(uint64_t distance, ErrorCode code, bool forever);
  // Opens what is there; with a fault armed it may fail: false. Faults end with `heal`.
  bool open(bool heal);

  // Everything below the end of data is right, and the end of data fits the model. Adds test
  // failures.
  void check_content();
  // After a failed operation: still readable, no more writes.
  void check_failed_state();
  // A few objects at random places, positions and filemarks.
  void check_random_reads();

  bool failed() const { return failed_; }
  SimFileSystem& files() { return files_; }
  SeededRandom& random() { return random_; }
  const std::vector<ModelPartition>& model() const { return model_; }
  size_t length(uint32_t partition) const { return model_[partition].objects.size(); }
  uint64_t frames_seen() const { return frames_.size(); }

 private:
  void end_of_life();
  void gate(bool may_shut);
  bool outcome(const Status& done);
  bool prepare(uint32_t partition, size_t at);
  void watch_frame(const std::string& path, ByteView bytes);
  bool adopt_partitions();
  void expect_object(const Position& at, const TapeObject& object, const ModelObject& model);

  const uint64_t seed_;
  SimFileSystem files_;
  StillClock clock_;
  SeededRandom random_;
  SeededRandom key_random_;
  RecordingObserver observer_;
  std::unique_ptr<Executor> workers_;
  std::unique_ptr<Executor> sealers_;
  GatedExecutor* gate_ = nullptr;  // the sealers, when they are gated
  std::optional<KeyEncryptionKey> key_;
  CartridgeEnv env_;
  CartridgeOptions options_;
  std::unique_ptr<Cartridge> cartridge_;
  std::vector<ModelPartition> model_{1};
  // What a failed or interrupted operation may have made of it, too: nothing in any partition,
  // with this many of them.
  std::optional<size_t> maybe_formatted_;
  uint64_t next_seed_ = 1;
  bool failed_ = false;
  bool must_be_told_ = false;  // the observer, of the failure
  std::mutex frames_mutex_;
  std::map<std::tuple<uint64_t, uint64_t, uint32_t>, Buffer> frames_;  // nonce -> frame header
};

}  // namespace coldshelf::test
