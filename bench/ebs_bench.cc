// ./dev bench ebs: pulling and restoring EBS snapshots, beside AWS's own SDK and command line.
//
//   coldshelf_bench_ebs [--only quota|list|free] [--gib N] [--rounds N] [--dir DIRECTORY]
//   [--encrypt] [--ours-only]
//
// Against the strict stand-in of the tests (coldshelf_ebs_standin), a process on loopback: with
// AWS's latency and quota first, then with neither.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "bench/ebs_jobs.h"

namespace coldshelf::bench {
namespace {

constexpr double kQuotaBlocks = 1000;  // a second
constexpr unsigned kLatencyMs = 100;
constexpr unsigned kSdkThreads = 64;
constexpr unsigned kCliBlocks = 24;

struct Settings {
  std::string only;
  std::string directory = "/var/tmp";
  std::string programs;
  uint64_t gib = 16;
  uint64_t free_gib = 4;
  uint64_t list_gib = 16 * 1024;
  unsigned rounds = 1;
  bool encrypt = false;
  bool ours_only = false;  // to profile
  std::string scratch;
  bool wants(const std::string& name) const { return only.empty() || only == name; }
};

void print(const Measured& m, double cpu_of_standin) {
  std::printf(
      "%-26s %7.0f blocks/s %7.1f MB/s  %5.2f cores  %6.3f CPU s/GiB  (stand-in %.2f cores)\n",
      m.name.c_str(), m.blocks_per_s(), m.mb_per_s(), m.cores(), m.cpu_per_gib(),
      cpu_of_standin / m.seconds);
  std::fflush(stdout);
}

StandinSettings standin_settings(const Settings& s, uint64_t gib) {
  StandinSettings out;
  out.programs = s.programs;
  out.log_path = s.scratch + "/standin";
  out.gib = gib;
  return out;
}

// A script on boto3, many threads.
Result<Measured> run_sdk(const Settings& s, const Standin& standin, uint64_t blocks) {
  std::vector<std::string> command = {"env"};
  for (const std::string& variable : Standin::environment()) command.push_back(variable);
  command.insert(command.end(),
                 {"/usr/bin/python3", COLDSHELF_SOURCE_DIR "/bench/ebs_sdk_client.py",
                  standin.endpoint(), standin.snapshot(), s.scratch + "/sdk.raw",
                  std::to_string(kSdkThreads), std::to_string(blocks)});
  warm_memory(blocks * kEbsBlockBytes);
  ASSIGN_OR_RETURN(const std::string text, run_command(command));
  std::filesystem::remove(s.scratch + "/sdk.raw");
  Measured out;
  out.name = "SDK, " + std::to_string(kSdkThreads) + " threads";
  std::istringstream in(text);
  if (!(in >> out.blocks >> out.seconds >> out.cpu_seconds)) {
    return Error(ErrorCode::internal, "ebs_sdk_client.py said: " + text);
  }
  return out;
}

// `aws ebs get-snapshot-block`, as many at once as there are processors.
Result<Measured> run_cli(const Settings& s, const Standin& standin) {
  const std::string script =
      "aws() { /usr/bin/aws --endpoint-url " + standin.endpoint() +
      " --output text ebs \"$@\"; }; export -f aws; aws list-snapshot-blocks --snapshot-id " +
      standin.snapshot() +
      " --max-results 100 --query 'Blocks[].[BlockIndex,BlockToken]' | head -" +
      std::to_string(kCliBlocks) +
      " | xargs -P \"$(nproc)\" -L 1 bash -c 'aws get-snapshot-block --snapshot-id " +
      standin.snapshot() + " --block-index $0 --block-token $1 " + s.scratch +
      "/cli.$0 > /dev/null'";
  std::vector<std::string> command = {"env"};
  for (const std::string& variable : Standin::environment()) command.push_back(variable);
  command.insert(command.end(), {"bash", "-c", script});
  SystemClock clock;
  Measured out;
  out.name = "aws ebs";
  out.blocks = kCliBlocks;
  const double cpu = cpu_seconds_of_children();
  const int64_t from = clock.monotonic_ns();
  TRY(run_command(command));
  out.seconds = static_cast<double>(clock.monotonic_ns() - from) / 1e9;
  out.cpu_seconds = cpu_seconds_of_children() - cpu;
  return out;
}

Result<JobResults> run_ours(const Settings& s, const StandinSettings& how, bool restore,
                            double& standin_cpu) {
  ASSIGN_OR_RETURN(const auto standin, Standin::start(how));
  const ScratchDirectory directory(s.directory);
  JobSettings jobs;
  jobs.directory = directory.path();
  jobs.encrypt = s.encrypt;
  jobs.quota = how.quota;
  warm_memory(how.gib * GiB);  // as much as the image takes of page cache
  const double before = standin->cpu_seconds();
  auto results = run_jobs(*standin, jobs, how.gib, restore);
  standin_cpu = standin->cpu_seconds() - before;
  return results;
}

Status bench_quota(const Settings& s) {
  StandinSettings how = standin_settings(s, s.gib);
  how.latency_ms = kLatencyMs;
  how.quota = true;
  std::printf("latency %u ms, quota %.0f blocks/s, %llu GiB of random blocks%s\n", kLatencyMs,
              kQuotaBlocks, static_cast<unsigned long long>(s.gib), s.encrypt ? ", encrypted" : "");
  for (unsigned round = 0; round < s.rounds; ++round) {
    double standin_cpu = 0;
    ASSIGN_OR_RETURN(const JobResults ours, run_ours(s, how, true, standin_cpu));
    // The stand-in's share of each job is not told apart.
    const double both = ours.pull.seconds + ours.restore->seconds;
    print(ours.pull, standin_cpu * ours.pull.seconds / both);
    print(*ours.restore, standin_cpu * ours.restore->seconds / both);
    std::printf(
        "  of the quota: pull %.1f %%, restore %.1f %% (goal 97); cores %.2f and %.2f (goal "
        "1.5); throttled %llu, failed %llu\n",
        ours.pull.blocks_per_s() / kQuotaBlocks * 100,
        ours.restore->blocks_per_s() / kQuotaBlocks * 100, ours.pull.cores(), ours.restore->cores(),
        static_cast<unsigned long long>(ours.throttled),
        static_cast<unsigned long long>(ours.failed));
  }
  if (s.ours_only) return {};
  ASSIGN_OR_RETURN(const auto standin, Standin::start(how));
  const double before = standin->cpu_seconds();
  ASSIGN_OR_RETURN(const Measured sdk, run_sdk(s, *standin, s.gib * 2048 / 8));
  print(sdk, standin->cpu_seconds() - before);
  return {};
}

Status bench_list(const Settings& s) {
  StandinSettings how = standin_settings(s, s.list_gib);
  how.quota = true;  // of 50 lists a second
  ASSIGN_OR_RETURN(const auto standin, Standin::start(how));
  ASSIGN_OR_RETURN(const ListResult list, run_list(*standin));
  std::printf(
      "list of %llu TiB: %llu blocks in %.1f s, %.1f CPU s; %zu entries in memory at most, "
      "%.1f MiB more resident, %.2f bytes a block (goal 16, 256 MiB)\n",
      static_cast<unsigned long long>(s.list_gib / 1024),
      static_cast<unsigned long long>(list.blocks), list.seconds, list.cpu_seconds,
      list.peak_entries, static_cast<double>(list.resident_bytes) / MiB,
      static_cast<double>(list.resident_bytes) / static_cast<double>(list.blocks));
  return {};
}

Status bench_free(const Settings& s) {
  const StandinSettings how = standin_settings(s, s.free_gib);
  std::printf("no latency, no quota, %llu GiB of random blocks%s\n",
              static_cast<unsigned long long>(s.free_gib), s.encrypt ? ", encrypted" : "");
  for (unsigned round = 0; round < s.rounds; ++round) {
    double standin_cpu = 0;
    ASSIGN_OR_RETURN(const JobResults ours, run_ours(s, how, true, standin_cpu));
    const double both = ours.pull.seconds + ours.restore->seconds;
    print(ours.pull, standin_cpu * ours.pull.seconds / both);
    print(*ours.restore, standin_cpu * ours.restore->seconds / both);
    if (s.ours_only) continue;
    ASSIGN_OR_RETURN(const auto standin, Standin::start(how));
    double before = standin->cpu_seconds();
    ASSIGN_OR_RETURN(const Measured sdk, run_sdk(s, *standin, s.free_gib * 2048 / 4));
    print(sdk, standin->cpu_seconds() - before);
    before = standin->cpu_seconds();
    ASSIGN_OR_RETURN(const Measured cli, run_cli(s, *standin));
    print(cli, standin->cpu_seconds() - before);
    std::printf(
        "  pull beside the SDK %.1fx its blocks/s, %.2fx its CPU; beside aws ebs %.0fx, %.4fx\n",
        ours.pull.blocks_per_s() / sdk.blocks_per_s(), ours.pull.cpu_per_gib() / sdk.cpu_per_gib(),
        ours.pull.blocks_per_s() / cli.blocks_per_s(), ours.pull.cpu_per_gib() / cli.cpu_per_gib());
  }
  return {};
}

Status run_all(Settings settings) {
  const ScratchDirectory scratch(settings.directory);
  settings.scratch = scratch.path();
  if (settings.wants("list")) TRY(bench_list(settings));
  if (settings.wants("quota")) TRY(bench_quota(settings));
  if (settings.wants("free")) TRY(bench_free(settings));
  return {};
}

int run(int argc, char** argv) {
  Settings settings;
  settings.programs = std::filesystem::canonical("/proc/self/exe").parent_path();
  CLI::App app{"Benchmark: EBS snapshots pulled and restored, beside AWS's SDK and command line."};
  app.add_option("--only", settings.only)->check(CLI::IsMember({"quota", "list", "free"}));
  app.add_option("--gib", settings.gib, "with the quota");
  app.add_option("--free-gib", settings.free_gib, "without it");
  app.add_option("--list-gib", settings.list_gib, "of the list, a multiple of 1024");
  app.add_option("--rounds", settings.rounds);
  app.add_option("--dir", settings.directory, "where the image is");
  app.add_flag("--encrypt", settings.encrypt);
  app.add_flag("--ours-only", settings.ours_only, "without the others");
  CLI11_PARSE(app, argc, argv);
  const Status done = run_all(settings);
  if (done.ok()) return 0;
  std::fprintf(stderr, "coldshelf_bench_ebs: %s\n", done.error().message().c_str());
  return 1;
}

}  // namespace
}  // namespace coldshelf::bench

int main(int argc, char** argv) { return coldshelf::bench::run(argc, argv); }
