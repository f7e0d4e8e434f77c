// The imposter as a program: for end-to-end tests, benchmarks and curiosity. Ends with
// SIGTERM or SIGINT.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/support/s3_imposter.h"

namespace coldshelf::test {

namespace {

int run(int argc, char** argv) {
  ImposterOptions options;
  ImposterStorm storm;
  std::string faults;
  int64_t latency_ms = 0;
  uint64_t in_mib = 0;
  uint64_t out_mib = 0;
  bool trust = false;
  CLI::App app{"An S3 server for tests, on loopback."};
  app.add_option("--port", options.port, "0: any; the endpoint is printed");
  app.add_option("--region", options.region);
  app.add_option("--bucket", options.buckets, "buckets that are there from the start");
  app.add_option("--access-key", options.access_key);
  app.add_option("--secret-key", options.secret_key);
  app.add_option("--directory", options.directory, "bodies in files below it, not in memory");
  app.add_flag("--trust", trust, "do not check payload hashes, give no MD5 as ETag");
  app.add_option("--latency-ms", latency_ms, "before every answer");
  app.add_option("--in-mib-s", in_mib, "bandwidth of what comes in");
  app.add_option("--out-mib-s", out_mib, "bandwidth of what goes out");
  app.add_option("--storm-one-in", storm.one_in, "one request in so many fails");
  app.add_option("--storm-seed", storm.seed);
  app.add_option("--storm-faults", storm.faults, "names; all when not given")
      ->transform([](const std::string& name) {
        const auto fault = parse_s3_fault(name);
        if (!fault) throw CLI::ValidationError("no fault " + name);
        return std::to_string(static_cast<int>(*fault));
      });
  CLI11_PARSE(app, argc, argv);
  options.support.payload_hashes = !trust;
  options.support.md5_etags = !trust;
  sigset_t ends;  // blocked before the first thread begins
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  auto server = S3Imposter::start(options);
  if (!server.ok()) {
    std::fprintf(stderr, "coldshelf_s3_imposter: %s\n", server.error().message().c_str());
    return 1;
  }
  if (storm.faults.empty()) storm.faults = all_s3_faults();
  server.value()->set_storm(storm);
  server.value()->set_latency_ms(latency_ms);
  server.value()->set_bandwidth(in_mib * MiB, out_mib * MiB);
  std::printf("%s\n", server.value()->endpoint().c_str());
  std::fflush(stdout);
  int ended_by = 0;
  sigwait(&ends, &ended_by);
  return 0;
}

}  // namespace

}  // namespace coldshelf::test

int main(int argc, char** argv) { return coldshelf::test::run(argc, argv); }
