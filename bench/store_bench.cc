// ./dev bench store: the S3 store beside Debian's rclone and aws, and the gateway on top of it.
//
//   coldshelf_bench_store [--only TEXT] [--server imposter|swift|both] [--rounds N] [--files N]
//
// Everything compared runs in turn against the same server, a process on loopback.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "bench/store_upload.h"

namespace coldshelf::bench {
namespace {

struct Settings {
  std::string only;
  std::string server = "both";
  std::string directory = "/var/tmp";
  std::string programs;
  UploadSettings upload;
  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
};

Status run_on(StoreServer& server, const Settings& settings) {
  if (settings.wants("upload")) TRY(run_upload(server, settings.upload));
  return {};
}

Status run_all(const Settings& settings) {
  if (settings.server != "swift") {
    const ScratchDirectory scratch(settings.directory);
    StoreServer::ImposterSettings imposter;
    imposter.programs = settings.programs;
    imposter.log_path = scratch.path() + "/imposter.log";
    ASSIGN_OR_RETURN(const auto server, StoreServer::imposter(imposter));
    TRY(run_on(*server, settings));
  }
  if (settings.server != "imposter") {
    auto server = StoreServer::swift();
    if (server.ok()) return run_on(**server, settings);
    std::printf("Swift: not run: %s\n", server.error().message().c_str());
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
  app.add_option("--only", settings.only, "upload, tape, read or recover");
  app.add_option("--server", settings.server, "imposter, swift or both")
      ->check(CLI::IsMember({"imposter", "swift", "both"}));
  app.add_option("--dir", settings.directory, "where scratch directories are made");
  app.add_option("--rounds", settings.upload.rounds)->check(CLI::Range(1, 99));
  app.add_option("--files", settings.upload.files, "of 64 MiB each")->check(CLI::Range(1, 1000));
  app.add_option("--threads", settings.upload.threads)->check(CLI::Range(1, 64));
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
