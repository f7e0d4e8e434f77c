// The management API: how fast it answers a signed request, with a large catalog. In this process:
// the front door itself (who is it, may they, the operation, JSON), then the same over TLS.
//   api_bench [--tapes 1500] [--catalog 100000] [--seconds 3]
#include <stdlib.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <thread>

#include "gateway/api/front_door.h"
#include "gateway/api/tls_identity.h"
#include "tests/unit/gateway/gateway_fixture.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::bench {
namespace {

using api::Json;

constexpr const char* kAws = "StorageGateway_20130630.";

struct Arguments {
  unsigned tapes = 1'500;      // of the library
  unsigned catalog = 100'000;  // archived ones
  double seconds = 3;
};

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double wall_seconds() {
  SystemClock clock;
  return static_cast<double>(clock.monotonic_ns()) / 1e9;
}

[[noreturn]] void fail(const Error& why) {
  std::fprintf(stderr, "api_bench: %s\n", why.message().c_str());
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) fail(result.error());
  return std::move(*result);
}

class Bench {
 public:
  explicit Bench(const Arguments& arguments) : arguments_(arguments), gateway_(true) {
    gateway_.slots = arguments.tapes + 10;
    gateway_.options.drive = find_drive("IBM-ULT3580-TD8");
    gateway_.open();
    keys_ = must(AccessKeys::open(gateway_.files, gateway_.clock(), gateway_.random, directory()));
    AuditLog::Options audit;
    audit.directory = gateway_.root() + "/data/audit";
    audit.load_head = []() -> Result<std::string> { return std::string(); };
    audit.save_head = [](const std::string&) { return Status(); };
    audit_ = must(AuditLog::open(gateway_.files, gateway_.clock(), audit));
    api::ServiceEnv env;
    env.tapes = gateway_.tapes.get();
    env.config = must(default_config(gateway_.root() + "/data"));
    env.gateway_id = "sgw-0A1B2C3D";
    env.version = "bench";
    env.access_keys = keys_.get();
    env.audit = audit_.get();
    config_ = env.config;
    Metrics::Env numbers;
    numbers.tapes = gateway_.tapes.get();
    numbers.config = &config_;
    metrics_ = std::make_unique<Metrics>(std::move(numbers));
    env.metrics = metrics_.get();
    service_ = std::make_unique<api::Service>(std::move(env));
    door_ = std::make_unique<api::FrontDoor>(api::FrontDoor::Env{
        service_.get(), keys_.get(), audit_.get(), &gateway_.clock(), &gateway_.random, 60'000});
    AccessKeys::NewKey key = must(keys_->add("bench", Role::viewer));
    who_.access_key_id = key.access_key_id;
    who_.secret_access_key = key.secret;
  }

  void run() {
    fill_library();
    scrape();
    describe();
    fill_catalog();
    list();
    over_tls();
  }

 private:
  std::string directory() const { return gateway_.root() + "/data/api"; }

  std::vector<std::pair<std::string, std::string>> headers(const std::string& host,
                                                           const std::string& operation,
                                                           const std::string& body) {
    SignedRequest sign;
    sign.method = "POST";
    sign.host = host;
    sign.path = "/";
    sign.headers = {{"content-type", "application/x-amz-json-1.1"},
                    {"x-amz-target", kAws + operation}};
    sign.payload_hash = to_hex(Sha256::of(as_view(body)));
    auto out = sign.headers;
    for (auto& header :
         sign_v4(sign, {"eu-central-1", "storagegateway"}, who_, gateway_.clock().unix_ms())) {
      out.push_back(std::move(header));
    }
    return out;
  }

  ApiRequest request(const std::string& operation, const Json& input) {
    const std::string body = input.dump();
    ApiRequest out{"POST", "/", kAws + operation, body};
    out.local = false;
    out.peer = "127.0.0.1";
    out.headers = headers("gateway", operation, body);
    out.headers.emplace_back("host", "gateway");
    return out;
  }

  // Milliseconds of processor time for one request, the best and the median of many.
  void measure(const char* name, const ApiRequest& what, const char* goal) {
    std::vector<double> times;
    size_t bytes = 0;
    const double begin = wall_seconds();
    while (wall_seconds() - begin < arguments_.seconds) {
      const double before = cpu_seconds();
      const ApiResponse answer = door_->handle(what);
      times.push_back((cpu_seconds() - before) * 1e3);
      if (answer.status != 200) fail(Error(ErrorCode::internal, answer.body));
      bytes = answer.body.size();
    }
    std::sort(times.begin(), times.end());
    double all = 0;
    for (const double one : times) all += one;
    std::printf(
        "%-44s median %8.3f ms, 99%% %8.3f ms, %7.0f/s of one core, %zu bytes  (goal: %s)\n", name,
        times[times.size() / 2], times[times.size() * 99 / 100],
        static_cast<double>(times.size()) / all * 1e3, bytes, goal);
    std::fflush(stdout);
  }

  void fill_library() {
    TapeService::CreateRequest create;
    create.size_bytes = 100 * GiB;
    create.medium = "LTO-8";
    unsigned made = 0;
    while (made < arguments_.tapes) {
      create.count = std::min(1'000U, arguments_.tapes - made);
      char barcode[16];
      std::snprintf(barcode, sizeof barcode, "LIB%05u", made);
      create.barcode = barcode;
      must(gateway_.tapes->create(create));
      made += create.count;
    }
  }

  void fill_catalog() {
    TapeRow row;
    row.medium = "LTO-8";
    row.capacity_bytes = 100 * GiB;
    row.pool = "GLACIER";
    row.status = TapeStatus::archived;
    row.archived_ms = row.created_ms = gateway_.clock().unix_ms();
    for (unsigned i = 0; i < arguments_.catalog; ++i) {
      char barcode[16];
      std::snprintf(barcode, sizeof barcode, "ARC%07u", i);
      row.barcode = barcode;
      row.uuid = Uuid::generate(gateway_.random);
      if (const Status put = gateway_.catalog->put_tape(row); !put.ok()) fail(put.error());
    }
  }

  void scrape() {
    const ApiRequest get{"GET", "/metrics", "", ""};
    char name[64];
    std::snprintf(name, sizeof name, "/metrics, %u tapes", arguments_.tapes);
    measure(name, get, "< 20 ms");
  }

  Json one_tape() const {
    return {{"GatewayARN", "arn:aws:storagegateway:local-1:000000000000:gateway/sgw-0A1B2C3D"},
            {"TapeARNs", {"arn:aws:storagegateway:local-1:000000000000:tape/LIB00007"}}};
  }

  void describe() {
    measure("DescribeTapes, one tape, SigV4", request("DescribeTapes", one_tape()),
            "1,000/s of one core");
  }

  void list() {
    char name[64];
    std::snprintf(name, sizeof name, "ListTapes, first 100 of %u", arguments_.catalog);
    measure(name, request("ListTapes", Json::object()), "< 50 ms");
    measure("ListTapes, first 1,000", request("ListTapes", {{"Limit", 1'000}}), "-");
    measure("DescribeTapes, one tape, SigV4, large catalog", request("DescribeTapes", one_tape()),
            "1,000/s of one core");
  }

  // Four clients with a connection each; their work is in the figure, too.
  void over_tls() {
    const TlsIdentity identity = must(self_signed_identity(
        gateway_.files, gateway_.clock(), gateway_.random, directory(), "bench", {"127.0.0.1"}));
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.certificate_file = identity.certificate_file;
    options.key_file = identity.key_file;
    const auto server = must(HttpServer::start(
        options, [this](const ApiRequest& request) { return door_->handle(request); }));
    const std::string host = server->endpoint();
    std::atomic<unsigned> done{0};
    std::vector<std::thread> clients;
    const double begin = wall_seconds();
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        CurlOptions curl;
        curl.ca_file = identity.certificate_file;
        const auto transport = must(make_curl_transport(curl));
        const std::string body = one_tape().dump();
        while (wall_seconds() - begin < arguments_.seconds) {
          HttpRequest http;
          http.method = "POST";
          http.url = "https://" + host + "/";
          http.headers = headers(host, "DescribeTapes", body);
          http.body = as_view(body);
          http.direct = true;
          const HttpResponse answer = must(transport->perform(http));
          if (answer.status != 200) fail(Error(ErrorCode::internal, to_text(answer.body)));
          ++done;
        }
      });
    }
    for (std::thread& client : clients) client.join();
    std::printf("%-44s %.0f/s by 4 clients of the same machine\n",
                "DescribeTapes over TLS, connections kept", done / (wall_seconds() - begin));
  }

  const Arguments arguments_;
  test::TestGateway gateway_;
  std::unique_ptr<AccessKeys> keys_;
  std::unique_ptr<AuditLog> audit_;
  Config config_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<api::FrontDoor> door_;
  Credentials who_;
};

}  // namespace
}  // namespace coldshelf::bench

int main(int argc, char** argv) {
  coldshelf::bench::Arguments arguments;
  CLI::App app{"Measures the management API."};
  app.add_option("--tapes", arguments.tapes, "in the library");
  app.add_option("--catalog", arguments.catalog, "archived tapes in the catalog");
  app.add_option("--seconds", arguments.seconds, "for each figure");
  CLI11_PARSE(app, argc, argv);
  // Filling the catalog is not what is measured: in memory it takes seconds.
  ::setenv("TMPDIR", "/dev/shm", 0);
  coldshelf::configure_log(coldshelf::LogLevel::warning, false);
  coldshelf::bench::Bench(arguments).run();
  return 0;
}
