// ./dev bench volume: a volume of coldshelf and a file behind Debian's tgt, by the same libiscsi
// client over loopback, in turn; how long a restart with a large map takes; and the volume beside
// other disks on S3 (volume_s3.h).
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "bench/disk_load.h"
#include "bench/disk_targets.h"
#include "bench/volume_s3.h"

namespace coldshelf::bench {
namespace {

// What one round writes at most: a log takes fresh memory for all of it.
constexpr uint64_t kWarmSpans = 5;

struct Settings {
  std::string programs;
  std::string scratch;
  uint64_t span = 1 * GiB;
  double seconds = 3;
  unsigned rounds = 5;
  double map_mblocks = 100;
  std::string only;
  std::string against = "all";
};

struct Case {
  const char* name;
  LoadSpec load;
  bool megabytes;  // shown as MB/s
};

std::vector<Case> cases(const Settings& s) {
  LoadSpec random_write;
  random_write.write = true;
  LoadSpec random_read;
  LoadSpec sequential_write;
  sequential_write.write = true;
  sequential_write.sequential = true;
  sequential_write.bytes = 1 * MiB;
  sequential_write.depth = 4;
  LoadSpec sequential_read = sequential_write;
  sequential_read.write = false;
  LoadSpec synced = random_write;
  synced.depth = 1;
  synced.sync_each = true;
  LoadSpec synced_deep = synced;
  synced_deep.depth = 32;
  std::vector<Case> out = {{"write 1 MiB sequential QD4", sequential_write, true},
                           {"read 1 MiB sequential QD4", sequential_read, true},
                           {"write 4 KiB random QD32", random_write, false},
                           {"read 4 KiB random QD32", random_read, false},
                           {"write 4 KiB + fdatasync QD1", synced, false},
                           {"write 4 KiB + fdatasync QD32", synced_deep, false}};
  for (Case& c : out) {
    c.load.span = s.span;
    c.load.seconds = s.seconds;
  }
  return out;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Measured {
  std::vector<double> rate, p99;  // of each round
};
using Results = std::map<std::string, Measured>;

Status measure(const Settings& s, bool ours, unsigned round, Results& out) {
  ScratchDirectory scratch(s.scratch);
  const std::string where = scratch.path() + (ours ? "/coldshelf" : "/tgt");
  const DiskTargetOptions options{where, s.programs, s.span, ""};
  ASSIGN_OR_RETURN(DiskTarget target,
                   ours ? start_coldshelf_disk(options) : start_tgt_disk(options));
  ::sync();
  warm_memory(kWarmSpans * s.span);
  {
    ASSIGN_OR_RETURN(const auto load, DiskLoad::connect(target.portal, target.iqn, target.lun));
    LoadSpec fill;  // both have every block then
    fill.write = true;
    fill.sequential = true;
    fill.bytes = 1 * MiB;
    fill.depth = 4;
    fill.span = s.span;
    fill.seconds = 0;
    TRY(load->run(fill));
    for (const Case& c : cases(s)) {
      if (!s.only.empty() && std::string(c.name).find(s.only) == std::string::npos) continue;
      LoadSpec spec = c.load;
      spec.seed = round + 1;
      ASSIGN_OR_RETURN(const LoadResult result, load->run(spec));
      out[c.name].rate.push_back(result.rate());
      out[c.name].p99.push_back(result.p99_us);
    }
  }
  target.process->stop_and_wait();
  return {};
}

// Round by round: what the machine was like in one counts for both.
double median_ratio(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  return median(std::move(ratios));
}

const char* verdict(bool met) { return met ? "met" : "MISSED"; }

// Gives how many goals were missed.
Result<int> against_tgt(const Settings& s) {
  Results ours;
  Results theirs;
  for (unsigned round = 0; round < s.rounds; ++round) {
    TRY(measure(s, true, round, ours));
    TRY(measure(s, false, round, theirs));
  }
  std::printf("%-30s %12s %12s %7s %-7s %10s %10s %7s %s\n", "case", "coldshelf", "tgt", "ratio",
              ">= 1.0", "p99 us", "tgt p99", "ratio", "<= 1.0");
  int missed = 0;
  for (const Case& c : cases(s)) {
    if (!ours.contains(c.name)) continue;
    const double unit = c.megabytes ? static_cast<double>(c.load.bytes) / 1e6 : 1;
    const Measured& a = ours[c.name];
    const Measured& b = theirs[c.name];
    const double rate = median_ratio(a.rate, b.rate), p99 = median_ratio(a.p99, b.p99);
    const char* of = c.megabytes ? "MB/s" : "/s";
    std::printf("%-30s %7.0f %4s %7.0f %4s %6.2fx %-7s %10.0f %10.0f %6.2fx %s\n", c.name,
                median(a.rate) * unit, of, median(b.rate) * unit, of, rate, verdict(rate >= 1),
                median(a.p99), median(b.p99), p99, verdict(p99 <= 1));
    missed += (rate >= 1 ? 0 : 1) + (p99 <= 1 ? 0 : 1);
  }
  return missed;
}

// In a process of its own: the memory it takes is its own.
Result<int> restart(const Settings& s) {
  ScratchDirectory scratch(s.scratch);
  ASSIGN_OR_RETURN(const std::string said,
                   run_command({s.programs + "/coldshelf_bench_volume_engine", scratch.path(),
                                "--map-mblocks", std::to_string(s.map_mblocks)}));
  std::fputs(said.c_str(), stdout);
  double extents = 0, seconds = 0, bytes = 0;
  const size_t at = said.find("restart with");
  if (at == std::string::npos ||
      std::sscanf(said.c_str() + at, "restart with %lf million extents: %lf s, %lf bytes of memory",
                  &extents, &seconds, &bytes) != 3) {
    return Error(ErrorCode::internal, "the engine's benchmark said something else: " + said);
  }
  std::printf("restart <= 5 s: %s; memory <= 16 bytes per extent: %s\n", verdict(seconds <= 5),
              verdict(bytes <= 16));
  return (seconds <= 5 ? 0 : 1) + (bytes <= 16 ? 0 : 1);
}

int run(int argc, char** argv) {
  CLI::App app{"Volumes beside Debian's tgt, s3backer and nbdkit"};
  Settings s;
  s.programs = std::filesystem::path(argv[0]).parent_path().string();
  s.scratch = std::filesystem::temp_directory_path().string();
  uint64_t span_mib = s.span / MiB;
  app.add_option("--scratch", s.scratch, "where the servers keep their data");
  app.add_option("--span-mib", span_mib, "of the disk");
  app.add_option("--seconds", s.seconds, "of each measurement");
  app.add_option("--rounds", s.rounds, "each in fresh directories, in turn; the median counts")
      ->check(CLI::PositiveNumber);
  app.add_option("--map-mblocks", s.map_mblocks, "million extents of the restart; 0: no restart");
  app.add_option("--only", s.only, "cases whose name has this");
  app.add_option("--against", s.against, "tgt, s3 or all")
      ->check(CLI::IsMember({"tgt", "s3", "all"}));
  S3DiskSettings s3;
  uint64_t s3_gib = s3.size_bytes / GiB, s3_cache_mib = s3.cache_bytes / MiB;
  app.add_option("--s3-gib", s3_gib, "the disk beside other disks on S3")
      ->check(CLI::PositiveNumber);
  app.add_option("--s3-cache-mib", s3_cache_mib, "its cache")->check(CLI::Range(64, 1 << 20));
  app.add_option("--s3-seconds", s3.seconds, "of each load")->check(CLI::PositiveNumber);
  app.add_option("--s3-patience", s3.patience_s, "seconds until everything is in the store")
      ->check(CLI::PositiveNumber);
  app.add_option("--s3-latency-ms", s3.latency_ms, "before every answer of the S3 server")
      ->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  s.span = span_mib * MiB;
  s3.programs = s.programs;
  s3.scratch = s.scratch;
  s3.only = s.only;
  s3.size_bytes = s3_gib * GiB;
  s3.cache_bytes = s3_cache_mib * MiB;
  int missed = 0;
  const auto add = [&](const Result<int>& part) {
    if (part.ok()) {
      missed += *part;
      return true;
    }
    std::fprintf(stderr, "%s\n", part.error().message().c_str());
    return false;
  };
  bool whole = true;
  if (s.against != "s3") {
    whole = add(against_tgt(s));
    if (s.map_mblocks > 0) whole = add(restart(s)) && whole;
  }
  if (s.against != "tgt") whole = add(against_s3_disks(s3)) && whole;
  std::printf("%d goal%s missed\n", missed, missed == 1 ? "" : "s");
  return whole ? 0 : 1;
}

}  // namespace
}  // namespace coldshelf::bench

int main(int argc, char** argv) { return coldshelf::bench::run(argc, argv); }
