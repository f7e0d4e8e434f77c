#include "bench/store_tape.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

#include "tests/support/tape_client.h"

namespace coldshelf::bench {

namespace {

using test::TapeClient;

constexpr size_t kRecordBytes = 256 * KiB;
constexpr uint64_t kSegmentBytes = 64 * MiB;
constexpr size_t kGetBytes = 8 * MiB;
constexpr unsigned kGetThreads = 8;
constexpr int64_t kPatienceMs = 600'000;
// Too little to matter for minutes, which is "no upload" without a store that is away.
constexpr const char* kNoUpload = "[[bandwidth]]\nupload = \"128KiB/s\"\n";

double seconds_since(int64_t start_ns) {
  return static_cast<double>(SystemClock().monotonic_ns() - start_ns) / 1e9;
}
double mb(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

std::span<std::byte> record_of(Buffer& content, uint64_t number) {
  const uint64_t slots = (content.size() - kRecordBytes) / 4096;
  return std::span(content).subspan(static_cast<size_t>(number * 61 % slots) * 4096, kRecordBytes);
}

class TapeRun {
 public:
  TapeRun(StoreServer& server, const TapeSettings& settings)
      : server_(server), settings_(settings), scratch_(settings.directory) {
    SeededRandom(7).fill(content_);
  }

  Status run() {
    TRY(without_upload());
    TRY(write_with_upload());
    TRY(server_takes());
    if (settings_.write) tell_write();
    if (settings_.read) {
      TRY(parallel_gets());
      TRY(read_from_store());
      tell_read();
    }
    return server_.remove_everything("");
  }

 private:
  Result<TapeTarget> start(const std::string& name, const std::string& more,
                           bool existing = false) {
    TapeTargetOptions options;
    options.directory = scratch_.path() + "/" + name;
    std::filesystem::create_directories(options.directory);
    options.tape_bytes = settings_.bytes + 4 * GiB;
    options.port = test::free_port();
    options.programs = settings_.programs;
    options.existing = existing;
    options.extra_configuration = server_.configuration(options.directory + "/secret") + more;
    return start_coldshelf(options);
  }
  static Result<TapeClient> client_of(const TapeTarget& target) {
    ASSIGN_OR_RETURN(TapeClient client,
                     TapeClient::connect(target.portal, target.targets[0], target.luns[0],
                                         "iqn.2026-11.io.coldshelf:bench-client"));
    TRY(client.wait_ready(50));
    return client;
  }
  Status write(TapeClient& client) {
    for (uint64_t i = 0; i < settings_.bytes / kRecordBytes; ++i) {
      TRY(client.write(record_of(content_, i)));
    }
    return client.write_filemarks(1, false);
  }

  Status without_upload() {
    ASSIGN_OR_RETURN(TapeTarget target, start("quiet", kNoUpload));
    ASSIGN_OR_RETURN(TapeClient client, client_of(target));
    warm_memory(settings_.bytes);  // as much as the segments take of page cache
    const int64_t begin = clock_.monotonic_ns();
    TRY(write(client));
    quiet_mb_s_ = mb(settings_.bytes) / seconds_since(begin);
    target.process->kill_now();
    return server_.remove_everything("");
  }

  // From the first record until the store has the last segment.
  Status write_with_upload() {
    ASSIGN_OR_RETURN(TapeTarget target, start("upload", ""));
    {
      ASSIGN_OR_RETURN(TapeClient client, client_of(target));
      warm_memory(2 * settings_.bytes);  // what the store keeps is here, too
      const MachineLoad load;
      const int64_t begin = clock_.monotonic_ns();
      TRY(write(client));
      written_mb_s_ = mb(settings_.bytes) / seconds_since(begin);
      // Back into its slot, which ends the last segment.
      ASSIGN_OR_RETURN([[maybe_unused]] const std::string done,
                       run_command({settings_.programs + "/coldshelf", "--data",
                                    scratch_.path() + "/upload/data", "library", "unload", "1"}));
      TRY(wait_for_objects());
      sustained_mb_s_ = mb(settings_.bytes) / seconds_since(begin);
      write_busy_ = load.busy();
    }
    target.process->stop_and_wait();
    return {};
  }
  Status wait_for_objects() {
    ASSIGN_OR_RETURN(const auto store, server_.open(std::string(kGatewayPrefix)));
    const int64_t end = clock_.unix_ms() + kPatienceMs;
    while (clock_.unix_ms() < end) {
      uint64_t bytes = 0;
      objects_.clear();
      std::string after;
      do {
        ASSIGN_OR_RETURN(const ObjectStore::ListPage page, store->list("cartridges/", after, 1000));
        for (const ObjectInfo& object : page.objects) {
          if (!object.key.ends_with(".seg")) continue;
          bytes += object.size;
          objects_.push_back(object);
        }
        after = page.next;
      } while (!after.empty());
      if (bytes >= settings_.bytes) return {};
      clock_.sleep_ms(50);
    }
    return Error(ErrorCode::timed_out, "the tape did not get into the store");
  }

  // The same segments by the store alone: what the server takes, and gives.
  Status server_takes() {
    ASSIGN_OR_RETURN(const auto store, server_.open("takes"));
    Buffer segment(kSegmentBytes);
    SeededRandom(8).fill(segment);
    PutSource source;
    source.bytes = segment;
    source.size = segment.size();
    source.sha256 = Sha256::of(segment);
    TRY(with_status(store->capabilities()));
    const size_t count = std::max<size_t>(settings_.bytes / kSegmentBytes, 1);
    const int64_t begin = clock_.monotonic_ns();
    TRY(in_parallel(count, [&](size_t i) -> Status {
      return with_status(store->put(std::to_string(i), source, {}));
    }));
    takes_mb_s_ = mb(count * kSegmentBytes) / seconds_since(begin);
    return server_.remove_everything("takes/");
  }
  Status parallel_gets() {
    ASSIGN_OR_RETURN(const auto store, server_.open(std::string(kGatewayPrefix)));
    struct Range {
      const ObjectInfo* object;
      uint64_t offset;
    };
    std::vector<Range> ranges;
    uint64_t bytes = 0;
    for (const ObjectInfo& object : objects_) {
      bytes += object.size;
      for (uint64_t at = 0; at < object.size; at += kGetBytes) ranges.push_back({&object, at});
    }
    int64_t begin = clock_.monotonic_ns();
    TRY(in_parallel(ranges.size(), [&](size_t i) -> Status {
      thread_local Buffer room(kGetBytes);
      const Range& range = ranges[i];
      const size_t size = std::min<size_t>(kGetBytes, range.object->size - range.offset);
      return store->get(range.object->key, range.offset, MutableBytes(room).first(size));
    }));
    gets_mb_s_ = mb(bytes) / seconds_since(begin);
    Buffer whole(objects_.front().size);
    begin = clock_.monotonic_ns();
    TRY(store->get(objects_.front().key, 0, whole));
    one_segment_s_ = seconds_since(begin);
    return {};
  }

  // The same daemon anew, with room for few segments: the rest is only in the store.
  Status read_from_store() {
    std::filesystem::path data = scratch_.path() + "/upload/data";
    {
      ASSIGN_OR_RETURN(TapeTarget target, start("upload", "[cache]\nlimit = \"256MiB\"\n", true));
      TRY(wait_for_eviction(data.string() + "/cartridges"));
      ASSIGN_OR_RETURN(TapeClient client, client_of(target));
      TRY(client.rewind());
      Buffer room(kRecordBytes);
      warm_memory(settings_.bytes);
      const MachineLoad load;
      const int64_t begin = clock_.monotonic_ns();
      for (uint64_t i = 0; i < settings_.bytes / kRecordBytes; ++i) {
        TRY(client.read(room));
        if (i == 0) first_record_s_ = seconds_since(begin);
        if (i % 16 == 0 && !equal(room, record_of(content_, i))) {
          return Error(ErrorCode::corrupt, "record " + std::to_string(i) + " came back different");
        }
      }
      read_mb_s_ = mb(settings_.bytes) / seconds_since(begin);
      read_busy_ = load.busy();
      target.process->stop_and_wait();
    }
    return {};
  }
  Status wait_for_eviction(const std::string& directory) {
    const int64_t end = clock_.unix_ms() + kPatienceMs;
    while (clock_.unix_ms() < end) {
      size_t local = 0;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        local += entry.path().extension() == ".seg" ? 1 : 0;
      }
      if (local <= 4) return {};  // the cache's limit
      clock_.sleep_ms(100);
    }
    return Error(ErrorCode::timed_out, "the segments were not evicted");
  }

  template <typename T>
  static Status with_status(const Result<T>& result) {
    return result.ok() ? Status() : Status(result.error());
  }
  template <typename Do>
  static Status in_parallel(size_t count, const Do& once) {
    std::atomic<size_t> next{0};
    std::mutex mutex;
    Status failed;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kGetThreads; ++t) {
      threads.emplace_back([&] {
        for (size_t i = next++; i < count; i = next++) {
          Status done = once(i);
          const std::lock_guard lock(mutex);
          if (!done.ok()) failed = std::move(done);
        }
      });
    }
    for (std::thread& t : threads) t.join();
    return failed;
  }

  void tell_write() const {
    const double most = std::min(quiet_mb_s_, takes_mb_s_);
    const double ratio = sustained_mb_s_ / most;
    std::printf(
        "%s, %.0f MB of tape over iSCSI: without upload %.0f MB/s, the server takes %.0f MB/s;\n"
        "  while uploading %.0f MB/s to GOOD, %.0f MB/s until the store has the last segment: "
        "%.2fx of the smaller (goal 0.9x %s), processors %.0f %% busy\n",
        server_.name().c_str(), mb(settings_.bytes), quiet_mb_s_, takes_mb_s_, written_mb_s_,
        sustained_mb_s_, ratio, ratio >= 0.9 ? "met" : "MISSED", 100 * write_busy_);
    std::fflush(stdout);
  }
  void tell_read() const {
    const double ratio = read_mb_s_ / gets_mb_s_;
    std::printf(
        "%s, the tape read from the store alone: %.0f MB/s; %u GETs at once %.0f MB/s: %.2fx "
        "(goal 0.9x %s), processors %.0f %% busy\n"
        "  first record after %.2f s, one segment in one GET %.2f s\n",
        server_.name().c_str(), read_mb_s_, kGetThreads, gets_mb_s_, ratio,
        ratio >= 0.9 ? "met" : "MISSED", 100 * read_busy_, first_record_s_, one_segment_s_);
    std::fflush(stdout);
  }

  StoreServer& server_;
  const TapeSettings& settings_;
  const ScratchDirectory scratch_;
  SystemClock clock_;
  Buffer content_ = Buffer(16 * MiB);
  std::vector<ObjectInfo> objects_;
  double quiet_mb_s_ = 0;
  double written_mb_s_ = 0;
  double sustained_mb_s_ = 0;
  double takes_mb_s_ = 0;
  double gets_mb_s_ = 0;
  double read_mb_s_ = 0;
  double write_busy_ = 0;  // processors, with the server and the client
  double read_busy_ = 0;
  double first_record_s_ = 0;
  double one_segment_s_ = 0;
};

}  // namespace

Status run_tape(StoreServer& server, const TapeSettings& settings) {
  return TapeRun(server, settings).run();
}

}  // namespace coldshelf::bench
