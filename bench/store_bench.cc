// ./dev bench store: the S3 store beside Debian's rclone and aws, and the gateway on top of it.
//
//   coldshelf_bench_store [--only TEXT] [--server imposter|swift|both] [--rounds N] [--files N]
//
// Everything compared runs in turn against the same server, a process on loopback.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "bench/store_recover.h"
#include "bench/store_tape.h"
#include "bench/store_upload.h"

namespace coldshelf::bench {
namespace {

constexpr unsigned kLineLatencyMs = 10;

struct Settings {
  std::string only;
  std::string server = "both";
  std::string directory = "/var/tmp";
  std::string programs;
  UploadSettings upload;
  TapeSettings tape;
  RecoverSettings recover;
  std::vector<unsigned> lines_mib_s = {100, 250};
  std::string log_path;
  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
};

Status run_gateway(StoreServer& server, const Settings& settings) {
  if (!settings.wants("tape") && !settings.wants("read")) return {};
  TapeSettings tape = settings.tape;
  tape.write = settings.wants("tape");
  tape.read = settings.wants("read");
  return run_tape(server, tape);
}

Result<std::unique_ptr<StoreServer>> start_imposter(const Settings& settings, const char* name,
                                                    unsigned mib_s, unsigned latency_ms) {
  StoreServer::ImposterSettings imposter;
  imposter.name = name;
  imposter.programs = settings.programs;
  imposter.log_path = settings.log_path;
  imposter.in_mib_s = mib_s;
  imposter.out_mib_s = mib_s;
  imposter.latency_ms = latency_ms;
  return StoreServer::imposter(imposter);
}

Status run_all(Settings settings) {
  const ScratchDirectory scratch(settings.directory);
  settings.log_path = scratch.path() + "/imposter.log";
  if (settings.server != "swift") {
    // As fast as memory, which no network is; then as fast as good lines.
    ASSIGN_OR_RETURN(auto fast, start_imposter(settings, "imposter", 0, 0));
    if (settings.wants("upload")) TRY(run_upload(*fast, settings.upload));
    TRY(run_gateway(*fast, settings));
    fast.reset();
    for (const unsigned mib_s : settings.lines_mib_s) {
      const std::string name = "imposter at " + std::to_string(mib_s) + " MiB/s";
      ASSIGN_OR_RETURN(const auto line,
                       start_imposter(settings, name.c_str(), mib_s, kLineLatencyMs));
      TRY(run_gateway(*line, settings));
    }
    if (settings.wants("recover")) TRY(run_recover(settings.recover));
  }
  if (settings.server != "imposter") {
    auto server = StoreServer::swift();
    if (!server.ok()) {
      std::printf("Swift: not run: %s\n", server.error().message().c_str());
      return {};
    }
    if (settings.wants("upload")) TRY(run_upload(**server, settings.upload));
    TRY(run_gateway(**server, settings));
  }
  return {};
}

}  // namespace
}  // namespace coldshelf::bench

int main(int argc, char** argv) {
  using namespace coldshelf;
  CLI::App app{"The S3 store beside rclone and aws"};
  bench::Settings settings;
  bench::UploadClient client;
  bool as_client = false;
  uint64_t tape_gib = 2;
  app.add_option("--only", settings.only, "upload, tape, read or recover");
  app.add_option("--server", settings.server, "imposter, swift or both")
      ->check(CLI::IsMember({"imposter", "swift", "both"}));
  app.add_option("--dir", settings.directory, "where scratch directories are made");
  app.add_option("--rounds", settings.upload.rounds)->check(CLI::Range(1, 99));
  app.add_option("--files", settings.upload.files, "of 64 MiB each")->check(CLI::Range(1, 1000));
  app.add_option("--threads", settings.upload.threads)->check(CLI::Range(1, 64));
  app.add_option("--tapes", settings.recover.tapes, "to recover")->check(CLI::Range(1, 100'000));
  app.add_option("--segments", settings.recover.segments, "of each")->check(CLI::Range(0, 1'000));
  app.add_option("--line", settings.lines_mib_s, "MiB/s of the slower imposters, each way");
  app.add_option("--gib", tape_gib, "of the tape")->check(CLI::Range(1, 64));
  // What this program is told when it runs itself.
  const std::string hidden;
  app.add_flag("--as-upload-client", as_client)->group(hidden);
  app.add_option("--endpoint", client.endpoint)->group(hidden);
  app.add_option("--bucket", client.bucket)->group(hidden);
  app.add_option("--prefix", client.prefix)->group(hidden);
  app.add_option("--files-in", client.directory)->group(hidden);
  app.add_flag("--hash", client.hash)->group(hidden);
  CLI11_PARSE(app, argc, argv);
  const std::string self = argv[0];
  settings.programs = self.substr(0, self.rfind('/'));
  settings.upload.self = self;
  settings.upload.directory = settings.directory;
  settings.tape.directory = settings.directory;
  settings.tape.programs = settings.programs;
  settings.recover.directory = settings.directory;
  settings.recover.programs = settings.programs;
  settings.tape.bytes = tape_gib * GiB;
  client.threads = settings.upload.threads;
  if (!as_client) {
    std::printf("store: %u processors\n", std::thread::hardware_concurrency());
    std::fflush(stdout);
  }
  const Status done = as_client ? bench::run_upload_client(client) : bench::run_all(settings);
  if (!done.ok()) {
    std::fprintf(stderr, "bench: %s\n", done.error().message().c_str());
    return 1;
  }
  return 0;
}
