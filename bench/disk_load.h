// What an initiator puts on a disk over iSCSI: so many commands at once, by libiscsi's asynchronous
// calls on one connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"

struct iscsi_context;

namespace coldshelf::bench {

struct LoadSpec {
  bool write = false;
  uint64_t bytes = 4096;  // of each command
  unsigned depth = 32;
  bool sequential = false;
  bool sync_each = false;  // SYNCHRONIZE CACHE after each write, before the next of its turn
  uint64_t span = 0;       // of the disk, from its beginning
  double seconds = 5;      // or, when it is 0, the whole span once
  uint64_t seed = 1;
};

struct LoadResult {
  uint64_t commands = 0;
  double seconds = 0;
  double p50_us = 0, p99_us = 0;
  double rate() const { return static_cast<double>(commands) / seconds; }
};

class DiskLoad {
 public:
  static Result<std::unique_ptr<DiskLoad>> connect(const std::string& portal,
                                                   const std::string& target, int lun);
  ~DiskLoad();
  DiskLoad(const DiskLoad&) = delete;
  DiskLoad& operator=(const DiskLoad&) = delete;

  Result<LoadResult> run(const LoadSpec& spec);

 private:
  struct Slot;
  DiskLoad(iscsi_context* context, int lun) : context_(context), lun_(lun) {}
  Status start(Slot& slot);
  void done(Slot& slot, int status);
  uint64_t next_offset();

  iscsi_context* const context_;
  const int lun_;
  uint64_t block_ = 512;
  // Of the run under way.
  LoadSpec spec_;
  std::unique_ptr<SeededRandom> random_;
  Buffer content_;
  uint64_t next_ = 0;
  uint64_t under_way_ = 0;
  bool stopping_ = false;
  std::string failure_;
  std::vector<float> latencies_us_;

  friend void disk_load_callback(iscsi_context*, int, void*, void*);
};

}  // namespace coldshelf::bench
