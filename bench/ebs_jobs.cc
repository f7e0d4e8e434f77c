#include "bench/ebs_jobs.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>

#include "snapshot/block_list.h"

namespace coldshelf::bench {

namespace {

constexpr const char* kAccessKey = "AKIAEBSSTANDIN";
constexpr const char* kSecretKey = "standin-secret";
constexpr const char* kRegion = "us-east-1";

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

double cpu_seconds(int who) {
  rusage use{};
  ::getrusage(who, &use);
  return seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
}

uint64_t status_bytes(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    if (word != field + ":") continue;
    uint64_t kib = 0;
    in >> kib;
    return kib * KiB;
  }
  return 0;
}

// From a resident peak of now on.
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// The client as the gateway makes it.
struct Client {
  std::shared_ptr<SystemClock> clock = std::make_shared<SystemClock>();
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<CredentialsProvider> credentials;
  std::unique_ptr<EbsClient> ebs;
  std::unique_ptr<Ec2Client> ec2;

  static Result<std::unique_ptr<Client>> make(const Standin& standin, bool quota,
                                              unsigned requests) {
    auto out = std::make_unique<Client>();
    CurlOptions curl;
    curl.idle_connections = requests;
    ASSIGN_OR_RETURN(auto transport, make_curl_transport(curl));
    out->transport = std::move(transport);
    Credentials key;
    key.access_key_id = kAccessKey;
    key.secret_access_key = Secret(std::string_view(kSecretKey));
    out->credentials = make_static_credentials(key);
    EbsQuotas quotas;
    if (!quota) {
      constexpr double kNoLimit = 1e6;
      quotas = {kNoLimit, kNoLimit, kNoLimit, kNoLimit, kNoLimit, kNoLimit, kNoLimit, 1};
    }
    EbsClient::Options options;
    options.region = kRegion;
    options.endpoint = standin.endpoint();
    options.account = std::string("111122223333/") + kRegion;
    options.window.most = requests;
    options.window.first = std::min<size_t>(options.window.first, requests);
    out->ebs = std::make_unique<EbsClient>(options, out->clock, out->transport, out->credentials,
                                           std::make_shared<EbsPace>(quotas));
    Ec2Client::Options ec2;
    ec2.region = kRegion;
    ec2.endpoint = standin.endpoint();
    out->ec2 = std::make_unique<Ec2Client>(ec2, out->clock, out->transport, out->credentials);
    return out;
  }
};

struct Machine {
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  WorkerPool workers{2};
  WorkerPool sealers{1};
  std::optional<KeyEncryptionKey> key;
  VolumeEnv env;
  VolumeOptions options;

  Status prepare(bool encrypt) {
    env.cartridge.files = &files;
    env.cartridge.clock = &clock;
    env.cartridge.random = &random;
    env.cartridge.workers = &workers;
    env.cartridge.sealers = &sealers;
    env.cartridge.buffers = BufferPool::create(64 * MiB);
    if (encrypt) {
      ASSIGN_OR_RETURN(key, KeyEncryptionKey::parse(std::string(64, 'a')));
      options.key = &*key;
    }
    return {};
  }
};

template <typename Run>
Status measure(Measured& out, SystemClock& clock, const Run& run) {
  const double cpu = cpu_seconds_of_self();
  const int64_t from = clock.monotonic_ns();
  TRY(run());
  out.seconds = static_cast<double>(clock.monotonic_ns() - from) / 1e9;
  out.cpu_seconds = cpu_seconds_of_self() - cpu;
  return {};
}

}  // namespace

double cpu_seconds_of_self() { return cpu_seconds(RUSAGE_SELF); }
double cpu_seconds_of_children() { return cpu_seconds(RUSAGE_CHILDREN); }

std::vector<std::string> Standin::environment() {
  return {std::string("AWS_ACCESS_KEY_ID=") + kAccessKey,
          std::string("AWS_SECRET_ACCESS_KEY=") + kSecretKey,
          std::string("AWS_DEFAULT_REGION=") + kRegion,
          "AWS_EC2_METADATA_DISABLED=true",
          "AWS_CONFIG_FILE=/nonexistent",
          "AWS_SHARED_CREDENTIALS_FILE=/nonexistent",
          "AWS_PAGER="};
}

Result<std::unique_ptr<Standin>> Standin::start(const StandinSettings& settings) {
  std::vector<std::string> command = {settings.programs + "/coldshelf_ebs_standin", "--with-parent",
                                      "--latency-ms", std::to_string(settings.latency_ms)};
  if (settings.quota) {
    // Buckets of 100 ms, so that what was not used before does not count.
    command.insert(command.end(), {"--burst-ms", "100"});
  } else {
    command.push_back("--no-limits");
  }
  const std::string volume =
      "volume " + std::to_string(settings.gib) + " fill=1000 seed=7 random Name=bench";
  command.insert(command.end(), {"--do", volume, "--do", "snapshot $1"});
  auto out = std::make_unique<Standin>();
  SystemRandom random;  // a log of its own: it is read for what this one says
  const std::string log_path = settings.log_path + "." + std::to_string(random.next());
  ASSIGN_OR_RETURN(out->process_, Process::start(command, log_path, SIGTERM));
  SystemClock clock;
  for (int i = 0; i < 1000 && out->snapshot_.empty(); ++i) {
    if (!out->process_->running()) {
      return Error(ErrorCode::unavailable, "the stand-in ended: see " + log_path);
    }
    std::ifstream log(log_path);
    std::string made;
    std::string snapshot;
    if (log >> out->endpoint_ >> made >> snapshot && snapshot.size() == 22) {
      out->snapshot_ = snapshot;
    } else {
      clock.sleep_ms(20);
    }
  }
  if (out->snapshot_.empty()) return Error(ErrorCode::timed_out, "the stand-in does not start");
  return out;
}

Result<JobResults> run_jobs(Standin& standin, const JobSettings& settings, uint64_t gib,
                            bool restore) {
  const bool quota = settings.quota;
  ASSIGN_OR_RETURN(const auto client, Client::make(standin, quota, settings.requests));
  Machine machine;
  TRY(machine.prepare(settings.encrypt));
  ASSIGN_OR_RETURN(const auto image,
                   Volume::create(machine.env, machine.options, settings.directory + "/image",
                                  {Uuid::generate(machine.random), "bench", gib * GiB, 512}));
  JobResults out;
  out.pull.name = "pull";
  PullRequest request;
  ASSIGN_OR_RETURN(request.snapshot, client->ec2->describe_snapshot(standin.snapshot()));
  SnapshotPull::Options pull_options;
  pull_options.threads = settings.requests;
  PullResult pulled;
  TRY(measure(out.pull, machine.clock, [&]() -> Status {
    SnapshotPull job(*image, *client->ebs, machine.clock, pull_options);
    ASSIGN_OR_RETURN(pulled, job.run(request));
    return {};
  }));
  out.pull.blocks = pulled.done.fetched_blocks;
  if (restore) {
    out.restore.emplace();
    out.restore->name = "restore";
    ASSIGN_OR_RETURN(const auto disk, image->open_point(pulled.point));
    SnapshotRestore::Options options;
    options.threads = settings.requests;
    RestoreResult restored;
    TRY(measure(*out.restore, machine.clock, [&]() -> Status {
      SnapshotRestore job(*disk, nullptr, *client->ebs, client->ec2.get(), machine.clock,
                          machine.random, options,
                          [](const RestoreState&) -> Status { return {}; });
      ASSIGN_OR_RETURN(restored, job.run({}, {}));
      return {};
    }));
    out.restore->blocks = restored.blocks_put;
  }
  out.throttled = client->ebs->counters().throttled;
  out.failed = client->ebs->counters().failed + client->ebs->counters().bad_digests;
  TRY(image->close());
  return out;
}

Result<ListResult> run_list(Standin& standin) {
  ASSIGN_OR_RETURN(const auto client, Client::make(standin, true, 8));
  ListResult out;
  reset_peak();
  const uint64_t before = status_bytes("VmRSS");
  Measured measured;
  TRY(measure(measured, *client->clock, [&]() -> Status {
    BlockList list(*client->ebs, {standin.snapshot(), ""}, 0);
    EbsEntry entry;
    while (true) {  // ends with the list
      ASSIGN_OR_RETURN(const bool more, list.next(entry));
      if (!more) break;
      ++out.blocks;
    }
    out.peak_entries = list.peak_entries();
    return {};
  }));
  out.seconds = measured.seconds;
  out.cpu_seconds = measured.cpu_seconds;
  const uint64_t peak = status_bytes("VmHWM");
  out.resident_bytes = peak > before ? peak - before : 0;
  return out;
}

}  // namespace coldshelf::bench
