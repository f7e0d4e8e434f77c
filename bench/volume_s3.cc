#include "bench/volume_s3.h"

#include <signal.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "bench/disk_load.h"
#include "bench/disk_targets.h"
#include "bench/store_server.h"

namespace coldshelf::bench {
namespace {

constexpr double kRandomGoal = 10;
constexpr double kSequentialGoal = 2;
constexpr double kObjectsGoal = 50;
constexpr int kStartAttempts = 100;  // 100 ms apart

struct Load {
  const char* name;
  bool sequential;
  uint64_t bytes;  // of each write
  unsigned depth;
  double goal;
};
constexpr Load kLoads[] = {
    {"random write 4 KiB, queue depth 32", false, 4 * KiB, 32, kRandomGoal},
    {"sequential write 1 MiB, queue depth 4", true, 1 * MiB, 4, kSequentialGoal}};

// What one load came to.
struct Sample {
  double answered = 0;         // writes a second, while it ran
  double stored = 0;           // writes a second, until the store had them
  double objects_per_gib = 0;  // put into the store, of GiB put there
  double bytes_per_byte = 0;   // of those writes
  bool whole = true;           // false: the patience ended before everything was in the store
};

// One load on one disk, on a server of its own.
class Run {
 public:
  Run(const S3DiskSettings& settings, const Load& load)
      : settings_(settings), load_(load), scratch_(settings.scratch) {}

  Status start_server() {
    test::ImposterOptions options;
    options.buckets = {"bench"};
    // A server elsewhere would not take the clients' processors for its digests.
    options.support.payload_hashes = false;
    options.support.md5_etags = false;
    options.directory = scratch_.path() + "/s3";
    std::filesystem::create_directories(options.directory);
    ASSIGN_OR_RETURN(imposter_, test::S3Imposter::start(options));
    imposter_->set_latency_ms(settings_.latency_ms);
    server_ = StoreServer::at(*imposter_);
    return {};
  }

  Result<Sample> coldshelf();
  Result<Sample> s3backer(uint64_t block_bytes);
  Result<Sample> nbdkit(uint64_t object_bytes, bool cached);

 private:
  struct Answered {
    double writes = 0, seconds = 0;
  };
  std::string path(const char* name) const { return scratch_.path() + "/" + name; }
  std::vector<std::string> with_keys(std::vector<std::string> command) const {
    std::vector<std::string> out = {"env", "TMPDIR=" + scratch_.path()};
    for (const std::string& variable : server_->environment()) out.push_back(variable);
    out.insert(out.end(), command.begin(), command.end());
    return out;
  }
  // `engine`: the options of fio that say how it reaches the disk.
  Result<Answered> fio(const std::vector<std::string>& engine);
  double since(int64_t ns) const { return static_cast<double>(clock_.monotonic_ns() - ns) / 1e9; }
  // Of writes answered in a run that began at `began_ns` and of which the store has everything, or
  // what its own counter says.
  Sample sample(const Answered& answered, int64_t began_ns, bool whole) const;

  const S3DiskSettings& settings_;
  const Load& load_;
  ScratchDirectory scratch_;
  std::unique_ptr<test::S3Imposter> imposter_;
  std::unique_ptr<StoreServer> server_;
  mutable SystemClock clock_;
};

Sample Run::sample(const Answered& answered, int64_t began_ns, bool whole) const {
  const double seconds = since(began_ns);
  const double bytes_in = static_cast<double>(imposter_->bytes_in());
  const double puts = static_cast<double>(imposter_->requests(test::S3Operation::put_object) +
                                          imposter_->requests(test::S3Operation::upload_part));
  const double bytes = answered.writes * static_cast<double>(load_.bytes);
  Sample out;
  out.whole = whole;
  out.answered = answered.writes / answered.seconds;
  out.stored =
      (whole ? bytes : std::min(bytes, bytes_in)) / static_cast<double>(load_.bytes) / seconds;
  out.objects_per_gib = puts / (bytes_in / static_cast<double>(GiB));
  out.bytes_per_byte = bytes_in / bytes;
  return out;
}

Result<Run::Answered> Run::fio(const std::vector<std::string>& engine) {
  const std::string seconds = std::to_string(static_cast<int>(std::ceil(settings_.seconds)));
  std::vector<std::string> command = {"fio",
                                      "--name=load",
                                      "--output-format=json",
                                      "--output=" + path("fio.json"),
                                      "--time_based",
                                      "--group_reporting",
                                      "--thread",
                                      "--refill_buffers",
                                      "--runtime=" + seconds,
                                      "--bs=" + std::to_string(load_.bytes),
                                      load_.sequential ? "--rw=write" : "--rw=randwrite"};
  command.insert(command.end(), engine.begin(), engine.end());
  ASSIGN_OR_RETURN(const auto done, test::run_to_end(command));
  std::ifstream result(path("fio.json"));
  // Remarks may stand before it.
  for (std::string line; result.peek() != '{' && std::getline(result, line);) {
  }
  const auto said = nlohmann::json::parse(result, nullptr, false);
  if (done.exit_code != 0 || said.is_discarded()) {
    return Error(ErrorCode::io, "fio failed: " + done.output);
  }
  const auto& written = said["jobs"][0]["write"];
  return Answered{written["total_ios"].get<double>(), written["runtime"].get<double>() / 1000};
}

Result<Sample> Run::coldshelf() {
  DiskTargetOptions options{path("gateway"), settings_.programs, settings_.size_bytes, ""};
  std::filesystem::create_directories(options.directory);
  const std::string cache = std::to_string(settings_.cache_bytes / MiB) + "MiB";
  options.extra_configuration = server_->configuration(options.directory + "/secret") +
                                "[cache]\nlimit = \"" + cache + "\"\n[buffer]\nlimit = \"" + cache +
                                "\"\n";
  ASSIGN_OR_RETURN(DiskTarget target, start_coldshelf_disk(options));
  LoadSpec spec;
  spec.write = true;
  spec.bytes = load_.bytes;
  spec.depth = load_.depth;
  spec.sequential = load_.sequential;
  spec.span = settings_.size_bytes;
  spec.seconds = settings_.seconds;
  imposter_->reset_counts();
  const int64_t began = clock_.monotonic_ns();
  LoadResult result;
  {
    ASSIGN_OR_RETURN(const auto load, DiskLoad::connect(target.portal, target.iqn, target.lun));
    ASSIGN_OR_RETURN(result, load->run(spec));
  }
  // Given up, with everything in the store.
  const std::string patience = std::to_string(static_cast<int>(settings_.patience_s)) + "s";
  ASSIGN_OR_RETURN(
      const auto detached,
      test::run_to_end({settings_.programs + "/coldshelf", "--data", target.data_directory,
                        "volume", "detach", "disk", "--timeout", patience}));
  constexpr int kTimeIsOver = 6;  // docs/cli.md
  if (detached.exit_code != 0 && detached.exit_code != kTimeIsOver) {
    return Error(ErrorCode::io, "detach failed: " + detached.output);
  }
  const Sample out = sample({static_cast<double>(result.commands), result.seconds}, began,
                            detached.exit_code == 0);
  target.process->kill_now();
  return out;
}

Result<Sample> Run::s3backer(uint64_t block_bytes) {
  const std::string keys = path("keys"), mount = path("mount");
  std::ofstream(keys) << imposter_->options().access_key << ":" << imposter_->options().secret_key
                      << "\n";
  std::filesystem::permissions(keys, std::filesystem::perms::owner_read);
  std::filesystem::create_directories(mount);
  // Its cache in memory: in a file, which it syncs, it is ten times slower. Without --md5CacheSize
  // it waits for old blocks to leave that cache.
  ASSIGN_OR_RETURN(
      const auto process,
      Process::start({"s3backer", "-f", "-o", "big_writes", "--quiet", "--listBlocks",
                      "--accessFile=" + keys, "--accessId=" + imposter_->options().access_key,
                      "--baseURL=" + server_->endpoint() + "/",
                      "--size=" + std::to_string(settings_.size_bytes),
                      "--blockSize=" + std::to_string(block_bytes),
                      "--blockCacheSize=" + std::to_string(settings_.cache_bytes / block_bytes),
                      "--md5CacheSize=" + std::to_string(settings_.size_bytes / block_bytes),
                      server_->bucket(), mount},
                     path("s3backer.log"), SIGTERM));
  const auto let_go = [&] {
    process->kill_now();
    [[maybe_unused]] const auto gone = test::run_to_end({"umount", "-l", mount});
  };
  const std::string file = mount + "/file";
  std::error_code none;
  for (int i = 0; i < kStartAttempts && process->running() && !std::filesystem::exists(file, none);
       ++i) {
    clock_.sleep_ms(100);
  }
  if (!std::filesystem::exists(file, none)) {
    let_go();
    return Error(ErrorCode::unavailable, "s3backer does not come up; is there /dev/fuse?");
  }
  imposter_->reset_counts();
  const int64_t began = clock_.monotonic_ns();
  const std::string part = std::to_string(settings_.size_bytes / load_.depth);
  std::vector<std::string> engine = {"--ioengine=psync", "--filename=" + file,
                                     "--numjobs=" + std::to_string(load_.depth)};
  if (load_.sequential) {
    engine.insert(engine.end(), {"--size=" + part, "--offset_increment=" + part});
  } else {
    engine.push_back("--size=" + std::to_string(settings_.size_bytes));
  }
  const auto answered = fio(engine);
  if (!answered.ok()) {
    let_go();
    return answered.error();
  }
  // It writes what is dirty before it ends.
  [[maybe_unused]] const auto unmounted = test::run_to_end({"umount", mount});
  const int64_t drain = clock_.monotonic_ns();
  while (process->running() && since(drain) < settings_.patience_s) clock_.sleep_ms(20);
  const Sample out = sample(*answered, began, !process->running());
  let_go();
  return out;
}

Result<Sample> Run::nbdkit(uint64_t object_bytes, bool cached) {
  const std::string socket = path("nbd");
  std::vector<std::string> command = {"nbdkit", "-f", "-t", "32", "-U", socket};
  if (cached) command.push_back("--filter=cache");
  command.insert(command.end(),
                 {"S3", "endpoint-url=" + server_->endpoint(), "bucket=" + server_->bucket(),
                  "key=disk", "size=" + std::to_string(settings_.size_bytes),
                  "object-size=" + std::to_string(object_bytes)});
  // Without cache-max-size: what is dirty and above it would be lost (1.32.5).
  if (cached) {
    command.insert(command.end(),
                   {"cache=writeback", "cache-min-block-size=" + std::to_string(object_bytes)});
  }
  ASSIGN_OR_RETURN(const auto process,
                   Process::start(with_keys(command), path("nbdkit.log"), SIGKILL));
  for (int i = 0; i < kStartAttempts && process->running() && !std::filesystem::exists(socket);
       ++i) {
    clock_.sleep_ms(100);
  }
  if (!process->running()) return Error(ErrorCode::unavailable, "nbdkit does not come up");
  const std::string uri = "nbd+unix:///?socket=" + socket;
  const std::string size = "--size=" + std::to_string(settings_.size_bytes);
  imposter_->reset_counts();
  const int64_t began = clock_.monotonic_ns();
  ASSIGN_OR_RETURN(const Answered answered, fio({"--ioengine=nbd", "--uri=" + uri, size,
                                                 "--iodepth=" + std::to_string(load_.depth)}));
  bool whole = true;
  if (cached) {
    // A flush is what makes the filter write.
    constexpr const char* kFlush =
        "import nbd, sys; disk = nbd.NBD(); disk.connect_uri(sys.argv[1]); disk.flush()";
    ASSIGN_OR_RETURN(const auto flushed,
                     test::run_to_end({"timeout", std::to_string(settings_.patience_s),
                                       "/usr/bin/python3", "-c", kFlush, uri}));
    constexpr int kTimedOut = 124;
    whole = flushed.exit_code != kTimedOut;
    if (whole && flushed.exit_code != 0) return Error(ErrorCode::io, "flush: " + flushed.output);
  }
  return sample(answered, began, whole);
}

struct Rival {
  std::string name;
  std::string package;
  std::string program;
  std::function<Result<Sample>(Run&)> run;
};

std::string kib(uint64_t bytes) { return std::to_string(bytes / KiB) + " KiB"; }

std::vector<Rival> rivals(const Load& load) {
  constexpr uint64_t kDefaultBlock = 4 * KiB;  // s3backer's
  std::vector<uint64_t> blocks = {kDefaultBlock};
  if (load.bytes != kDefaultBlock) blocks.push_back(load.bytes);  // which suits it better
  std::vector<Rival> out;
  for (const uint64_t block : blocks) {
    out.push_back({"s3backer, " + kib(block) + " blocks, cache in memory", "s3backer", "s3backer",
                   [block](Run& run) { return run.s3backer(block); }});
  }
  const uint64_t object = std::min(load.bytes, 64 * KiB);  // a smallest block of nbdkit's at most
  for (const bool cached : {false, true}) {
    out.push_back({"nbdkit S3, " + kib(object) + " objects" + (cached ? ", cache filter" : ""),
                   "nbdkit-plugin-python", "nbdkit",
                   [object, cached](Run& run) { return run.nbdkit(object, cached); }});
  }
  return out;
}

bool installed(const std::string& program) {
  const auto found = test::run_to_end({"which", program});
  return found.ok() && found->exit_code == 0;
}

void print(const std::string& name, const Load& load, const Sample& s) {
  const double unit = load.sequential ? static_cast<double>(load.bytes) / 1e6 : 1;
  std::printf("%-46s %8.0f %4s %8.0f%s %4s %9.0f", name.c_str(), s.answered * unit,
              load.sequential ? "MB/s" : "/s", s.stored * unit, s.whole ? " " : "*",
              load.sequential ? "MB/s" : "/s", s.objects_per_gib);
}

const char* verdict(bool met) { return met ? "met" : "MISSED"; }

Result<int> one_load(const S3DiskSettings& settings, const Load& load) {
  const auto measure = [&](const std::function<Result<Sample>(Run&)>& what) -> Result<Sample> {
    Run run(settings, load);
    TRY(run.start_server());
    return what(run);
  };
  std::printf("\n%s, disk of %llu GiB, cache of %llu MiB, S3 server that answers after %lld ms\n",
              load.name, static_cast<unsigned long long>(settings.size_bytes / GiB),
              static_cast<unsigned long long>(settings.cache_bytes / MiB),
              static_cast<long long>(settings.latency_ms));
  std::printf("%-46s %13s %14s %9s %8s %-7s %8s\n", "disk", "answered", "in the store", "objects/",
              "ratio", "", "objects'");
  std::printf("%-46s %13s %14s %9s %8s >= %-4.0f %8s <= 1/%.0f\n", "", "", "", "GiB", "", load.goal,
              "ratio", kObjectsGoal);
  ASSIGN_OR_RETURN(const Sample ours, measure([](Run& run) { return run.coldshelf(); }));
  print("coldshelf, over iSCSI", load, ours);
  std::printf("\n");
  int missed = 0;
  for (const Rival& rival : rivals(load)) {
    if (!installed(rival.program) || !installed("fio")) {
      std::printf("%-46s not run: install Debian's %s and fio\n", rival.name.c_str(),
                  rival.package.c_str());
      continue;
    }
    const Result<Sample> theirs = measure(rival.run);
    if (!theirs.ok()) {
      std::printf("%-46s not run: %s\n", rival.name.c_str(), theirs.error().message().c_str());
      continue;
    }
    const double ratio = ours.stored / theirs->stored;
    const double objects = ours.objects_per_gib / theirs->objects_per_gib;
    const bool fast = ratio >= load.goal, few = objects <= 1 / kObjectsGoal;
    print(rival.name, load, *theirs);
    std::printf(" %7.1fx %-7s  1/%-6.0f %s\n", ratio, verdict(fast), 1 / objects, verdict(few));
    std::fflush(stdout);
    missed += (fast ? 0 : 1) + (few ? 0 : 1);
  }
  return missed;
}

}  // namespace

Result<int> against_s3_disks(const S3DiskSettings& settings) {
  int missed = 0;
  for (const Load& load : kLoads) {
    if (std::string(load.name).find(settings.only) == std::string::npos) continue;
    ASSIGN_OR_RETURN(const int of_load, one_load(settings, load));
    missed += of_load;
  }
  std::printf(
      "*: not all of it after %.0f s; what the server had by then. The ratio is of what is in the "
      "store.\n",
      settings.patience_s);
  return missed;
}

}  // namespace coldshelf::bench
