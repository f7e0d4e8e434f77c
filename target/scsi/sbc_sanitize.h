// SANITIZE (SBC-4 4.11): an operation that outlives its command, resets and power loss.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "target/scsi/sense.h"
#include "target/scsi/unit_store.h"
#include "volume/block_device.h"

namespace coldshelf::scsi {

class SanitizeJob {
 public:
  struct Request {
    BlockDevice::Erasure erasure = BlockDevice::Erasure::blocks;
    bool unrestricted_exit = false;  // AUSE: EXIT FAILURE MODE is allowed after a failure
    Buffer pattern;                  // OVERWRITE: one block, written over all of the disk
  };

  // `medium` is locked for the operation: commands hold it shared. `store` may be null.
  SanitizeJob(BlockDevice* device, UnitStore* store, std::shared_mutex& medium)
      : device_(device), store_(store), medium_(medium) {}
  // Stops between two steps; what is left is done after resume().
  ~SanitizeJob();

  // Takes up what power loss interrupted, and what failed.
  Status resume();
  // Begins; from here on condition() says that it is under way. Durably noted when it returns.
  Status start(Request request);
  // Until it has ended, or the command is aborted: the operation goes on then.
  void wait(const std::atomic<bool>* aborted);
  // EXIT FAILURE MODE. False: it is not allowed, or an operation is under way; condition() tells.
  bool exit_failure();

  // NOT READY, sanitize in progress, or MEDIUM ERROR, sanitize command failed; else nullopt.
  std::optional<Sense> condition() const;

 private:
  enum class State : uint8_t { idle, running, failed };
  void launch();
  void run();
  Status work();
  Status note(State state);

  BlockDevice* const device_;
  UnitStore* const store_;
  std::shared_mutex& medium_;
  std::atomic<State> state_{State::idle};
  std::atomic<uint16_t> progress_{0};  // of 65,536
  std::atomic<bool> stopping_{false};
  Request request_;  // written while idle or failed, read by the thread
  std::mutex starting_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace coldshelf::scsi
