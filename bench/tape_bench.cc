// ./dev bench tape: coldshelf and Debian's tgt as tape drives, side by side, by the same libiscsi
// client on loopback.
//
//   coldshelf_bench_tape [--gib N] [--rounds N] [--dir DIR] [--only TEXT]
//
// Queue depth 1. Every row is measured for both targets in turn within a round; with several rounds
// the median of the ratios counts. "stream" is from the first record to GOOD of the last; "synced"
// ends with WRITE FILEMARKS, IMMED=0.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "bench/locate_bench.h"
#include "bench/processes.h"
#include "tests/support/tape_client.h"

namespace coldshelf::bench {
namespace {

using test::TapeClient;

enum class Content { incompressible, half };

struct Case {
  const char* name;
  Content content;
  size_t record_bytes;
  unsigned drives;
  double wanted_write;  // ratio to tgt; 0: not a goal
  double wanted_read;
};

struct Measured {
  double write_stream = 0;  // MB/s
  double write_synced = 0;
  double read = 0;
  uint64_t peak_resident = 0;
  double cpu_seconds = 0;
};

struct Settings {
  uint64_t bytes = 4 * GiB;
  unsigned rounds = 1;
  std::string directory = "/var/tmp";
  std::string programs;
  std::string only;  // cases whose name has this in it
  int port = 13260;
  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
};

// 16 MiB of data that the client sends over and over at shifting offsets, so that no two records in
// a row are equal. `half`: in every 4 KiB, 2 KiB of noise and 2 KiB of zeros, as fio's
// buffer_compress_percentage=50 makes it.
Buffer make_content(Content content, uint64_t seed) {
  Buffer out(16 * MiB);
  SeededRandom random(seed);
  random.fill(out);
  if (content == Content::half) {
    for (size_t at = 0; at < out.size(); at += 4096) {
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(at + 2048), 2048, std::byte{0});
    }
  }
  return out;
}

std::span<std::byte> record_of(Buffer& content, uint64_t number, size_t record_bytes) {
  const uint64_t slots = (content.size() - record_bytes) / 4096;
  return std::span(content).subspan(static_cast<size_t>(number * 61 % slots) * 4096, record_bytes);
}

double megabytes_per_second(uint64_t bytes, int64_t ns) {
  return static_cast<double>(bytes) * 1000.0 / static_cast<double>(ns);
}

struct DriveTimes {
  int64_t stream_ns = 0;
  int64_t synced_ns = 0;
  int64_t read_ns = 0;
};

// One drive's share of the work: write, filemark, rewind, read back and compare.
Result<DriveTimes> stream_one(TapeClient& client, Content content, size_t record_bytes,
                              uint64_t bytes, uint64_t seed) {
  SystemClock clock;
  Buffer data = make_content(content, seed);
  Buffer back(record_bytes);
  DriveTimes times;
  const uint64_t records = bytes / record_bytes;
  TRY(client.rewind());
  int64_t start = clock.monotonic_ns();
  for (uint64_t i = 0; i < records; ++i) {
    TRY(client.write(record_of(data, i, record_bytes)));
  }
  times.stream_ns = clock.monotonic_ns() - start;
  TRY(client.write_filemarks(1, false));
  times.synced_ns = clock.monotonic_ns() - start;
  TRY(client.rewind());
  start = clock.monotonic_ns();
  for (uint64_t i = 0; i < records; ++i) {
    TRY(client.read(back));
    // Comparing everything would measure the client; every 16th record is compared whole.
    if (i % 16 == 0 && !equal(back, record_of(data, i, record_bytes))) {
      return Error(ErrorCode::corrupt, "record " + std::to_string(i) + " came back different");
    }
  }
  times.read_ns = clock.monotonic_ns() - start;
  return times;
}

Result<Measured> measure(TapeTarget& target, const Case& what, uint64_t bytes, uint64_t seed) {
  std::vector<TapeClient> clients;
  for (unsigned d = 0; d < what.drives; ++d) {
    ASSIGN_OR_RETURN(TapeClient client,
                     TapeClient::connect(target.portal, target.targets[d], target.luns[d],
                                         "iqn.2026-11.io.coldshelf:bench-client"));
    TRY(client.wait_ready(50));
    clients.push_back(std::move(client));
  }
  ::sync();
  warm_memory(bytes);
  const uint64_t each = bytes / what.drives;
  std::vector<Result<DriveTimes>> results(what.drives, Error(ErrorCode::internal, "not run"));
  std::vector<std::thread> threads;
  const double cpu_before = target.process->cpu_seconds();
  for (unsigned d = 0; d < what.drives; ++d) {
    threads.emplace_back([&, d] {
      results[d] = stream_one(clients[d], what.content, what.record_bytes, each, seed + d);
    });
  }
  for (std::thread& t : threads) t.join();
  DriveTimes slowest;
  for (const Result<DriveTimes>& r : results) {
    if (!r.ok()) return Error(r.error().code, target.name + ": " + r.error().context);
    slowest.stream_ns = std::max(slowest.stream_ns, r->stream_ns);
    slowest.synced_ns = std::max(slowest.synced_ns, r->synced_ns);
    slowest.read_ns = std::max(slowest.read_ns, r->read_ns);
  }
  Measured m;
  m.write_stream = megabytes_per_second(each * what.drives, slowest.stream_ns);
  m.write_synced = megabytes_per_second(each * what.drives, slowest.synced_ns);
  m.read = megabytes_per_second(each * what.drives, slowest.read_ns);
  m.peak_resident = target.process->peak_resident_bytes();
  m.cpu_seconds = target.process->cpu_seconds() - cpu_before;
  return m;
}

Result<Measured> measure_fresh(bool ours, const Case& what, const Settings& settings,
                               uint64_t seed) {
  ScratchDirectory scratch(settings.directory);
  TapeTargetOptions options;
  options.directory = scratch.path() + (ours ? "/coldshelf" : "/tgt");
  options.drives = what.drives;
  options.tape_bytes = settings.bytes + 4 * GiB;
  options.port = settings.port + (ours ? 0 : 1);
  options.programs = settings.programs;
  ASSIGN_OR_RETURN(TapeTarget target, ours ? start_coldshelf(options) : start_tgt(options));
  return measure(target, what, settings.bytes, seed);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

const char* verdict(double ratio, double wanted) {
  if (wanted <= 0) return "";
  return ratio >= wanted ? "met" : "MISSED";
}

Status run_case(const Case& what, const Settings& settings) {
  std::vector<double> write_ratio;
  std::vector<double> synced_ratio;
  std::vector<double> read_ratio;
  for (unsigned round = 0; round < settings.rounds; ++round) {
    ASSIGN_OR_RETURN(const Measured ours, measure_fresh(true, what, settings, round + 1));
    ASSIGN_OR_RETURN(const Measured theirs, measure_fresh(false, what, settings, round + 1));
    std::printf(
        "%-34s coldshelf write %5.0f (synced %5.0f) read %5.0f MB/s, %4.1f CPU s, %3.0f MiB | "
        "tgt write %5.0f (synced %5.0f) read %5.0f MB/s\n",
        what.name, ours.write_stream, ours.write_synced, ours.read, ours.cpu_seconds,
        static_cast<double>(ours.peak_resident) / static_cast<double>(MiB), theirs.write_stream,
        theirs.write_synced, theirs.read);
    std::fflush(stdout);
    write_ratio.push_back(ours.write_stream / theirs.write_stream);
    synced_ratio.push_back(ours.write_synced / theirs.write_synced);
    read_ratio.push_back(ours.read / theirs.read);
  }
  const double w = median(write_ratio);
  const double r = median(read_ratio);
  std::printf("%-34s write %.2fx (goal %.1fx %s), synced %.2fx, read %.2fx (goal %.1fx %s)\n", "",
              w, what.wanted_write, verdict(w, what.wanted_write), median(synced_ratio), r,
              what.wanted_read, verdict(r, what.wanted_read));
  std::fflush(stdout);
  return {};
}

// Ten drives streaming at once: the daemon's memory.
Status run_memory(const Settings& settings) {
  const Case what{"ten drives, 256 KiB", Content::incompressible, 256 * KiB, 10, 0, 0};
  ASSIGN_OR_RETURN(const Measured ours, measure_fresh(true, what, settings, 99));
  const double mib = static_cast<double>(ours.peak_resident) / static_cast<double>(MiB);
  std::printf("%-34s write %.0f MB/s, read %.0f MB/s, resident at most %.0f MiB (goal 512 %s)\n",
              what.name, ours.write_stream, ours.read, mib, mib <= 512 ? "met" : "MISSED");
  std::fflush(stdout);
  return {};
}

Status run_all(const Settings& settings) {
  static constexpr Case cases[] = {
      {"256 KiB incompressible", Content::incompressible, 256 * KiB, 1, 1.5, 1.0},
      {"256 KiB compressible 2:1", Content::half, 256 * KiB, 1, 1.0, 1.0},
      {"64 KiB incompressible", Content::incompressible, 64 * KiB, 1, 1.5, 1.0},
      {"64 KiB compressible 2:1", Content::half, 64 * KiB, 1, 1.0, 1.0},
      {"4 drives, 256 KiB incompressible", Content::incompressible, 256 * KiB, 4, 1.0, 1.0},
  };
  for (const Case& what : cases) {
    if (settings.wants(what.name)) TRY(run_case(what, settings));
  }
  if (settings.wants("memory")) TRY(run_memory(settings));
  if (settings.wants("locate")) TRY(run_locate(settings.directory));
  return {};
}

}  // namespace
}  // namespace coldshelf::bench

int main(int argc, char** argv) {
  using namespace coldshelf;
  CLI::App app{"Tape throughput beside Debian's tgt"};
  bench::Settings settings;
  uint64_t gib = 4;
  app.add_option("--gib", gib, "data per case")->check(CLI::Range(1, 64));
  app.add_option("--rounds", settings.rounds, "times each case is run")->check(CLI::Range(1, 99));
  app.add_option("--only", settings.only, "cases whose name has this in it; also: memory, locate");
  app.add_option("--dir", settings.directory, "where scratch directories are made");
  CLI11_PARSE(app, argc, argv);
  settings.bytes = gib * GiB;
  const std::string self = argv[0];
  settings.programs = self.substr(0, self.rfind('/'));
  std::printf("tape: %llu GiB per case, queue depth 1, libiscsi on loopback, %u processors\n",
              static_cast<unsigned long long>(gib), std::thread::hardware_concurrency());
  const Status done = bench::run_all(settings);
  if (!done.ok()) {
    std::fprintf(stderr, "bench: %s\n", done.error().message().c_str());
    return 1;
  }
  return 0;
}
