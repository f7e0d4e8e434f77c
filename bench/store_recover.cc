#include "bench/store_recover.h"

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "tape/format/manifest.h"

namespace coldshelf::bench {

namespace {

constexpr unsigned kThreads = 8;
constexpr double kGoalSeconds = 60;
constexpr int64_t kLatencyMs = 30;
constexpr const char* kGateway = "sgw-0A1B2C3D";

std::string barcode_of(unsigned number) {
  char text[16];
  std::snprintf(text, sizeof text, "R%05uL8", number);
  return text;
}

// What a gateway leaves of an archived tape (docs/format/store.md). The segments' objects are
// stand-ins: a recovery that looked at them would show in the time it takes.
class LostGateway {
 public:
  LostGateway(ObjectStore& store, const RecoverSettings& settings)
      : store_(store), settings_(settings) {}

  Status make() {
    std::atomic<unsigned> next{0};
    std::mutex mutex;
    Status failed;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (unsigned i = next++; i < settings_.tapes; i = next++) {
          Status done = make_tape(i);
          const std::lock_guard lock(mutex);
          if (!done.ok()) failed = std::move(done);
        }
      });
    }
    for (std::thread& t : threads) t.join();
    TRY(std::move(failed));
    const std::string folder = std::string("gateways/") + kGateway + "/";
    const std::string instance = instance_.to_string();
    TRY(put_json(folder + "lease", {{"format", 1},
                                    {"gateway", kGateway},
                                    {"name", "bench"},
                                    {"host", "bench"},
                                    {"instance", instance},
                                    {"epoch", 1},
                                    {"expires_unix_ms", 0}}));
    return put_json(folder + "inventory", {{"format", 2},
                                           {"gateway", kGateway},
                                           {"name", "bench"},
                                           {"serial_prefix", "BE7C401"},
                                           {"changer", "STK-L700"},
                                           {"drive_model", "IBM-ULT3580-TD8"},
                                           {"slots", 40},
                                           {"import_export_slots", 4},
                                           {"drives", 1},
                                           {"elements", nlohmann::json::array()},
                                           {"pools",
                                            {{{"name", "GLACIER"},
                                              {"storage_class", "GLACIER"},
                                              {"mode", "staged"},
                                              {"lock", ""},
                                              {"lock_days", 0}}}}});
  }

 private:
  Status put(const std::string& key, ByteView bytes) {
    PutSource source;
    source.bytes = bytes;
    source.size = bytes.size();
    source.sha256 = Sha256::of(bytes);
    const auto done = store_.put(key, source, {});
    return done.ok() ? Status() : Status(done.error());
  }
  Status put_json(const std::string& key, const nlohmann::json& document) {
    const std::string text = document.dump();
    return put(key, as_view(text));
  }
  Status make_tape(unsigned number) {
    Manifest manifest;
    {
      SystemRandom random;
      manifest.uuid = Uuid::generate(random);
    }
    manifest.label = barcode_of(number);
    manifest.medium = "LTO-8";
    manifest.capacity_bytes = 12'000'000'000'000;
    manifest.epoch = 1;
    manifest.next_sequence = settings_.segments + 1;
    manifest.properties = {{"pool", "GLACIER"}, {"status", "ARCHIVED"}};
    Partition partition;
    partition.capacity_bytes = manifest.capacity_bytes;
    const std::string folder = "cartridges/" + manifest.uuid.to_string() + "/";
    for (unsigned s = 0; s < settings_.segments; ++s) {
      SegmentEntry entry;
      entry.sequence = s + 1;
      entry.epoch = 1;
      entry.first_block = s * 256ULL;
      entry.block_count = 256;
      entry.plain_bytes = 64 * MiB;
      entry.stored_bytes = 64 * MiB;
      partition.segments.push_back(entry);
      char stem[40];
      std::snprintf(stem, sizeof stem, "%016x-%08x", s + 1, 1U);
      TRY(put(folder + "segments/" + stem + ".seg", as_view("segment")));
    }
    manifest.partitions = {partition};
    TRY(put(folder + "manifest", encode_manifest(manifest)));
    TRY(put_json(folder + "owner", {{"format", 1},
                                    {"gateway", kGateway},
                                    {"instance", instance_.to_string()},
                                    {"epoch", 1},
                                    {"state", "shelved"}}));
    return put_json("barcodes/" + manifest.label, {{"format", 1},
                                                   {"barcode", manifest.label},
                                                   {"cartridge", manifest.uuid.to_string()},
                                                   {"gateway", kGateway}});
  }

  ObjectStore& store_;
  const RecoverSettings& settings_;
  SystemRandom random_;
  const Uuid instance_ = Uuid::generate(random_);
};

}  // namespace

Status run_recover(const RecoverSettings& settings) {
  const ScratchDirectory scratch(settings.directory);
  test::ImposterOptions options;
  options.support.object_lock = false;
  ASSIGN_OR_RETURN(const auto imposter, test::S3Imposter::start(options));
  const auto server = StoreServer::at(*imposter);
  {
    ASSIGN_OR_RETURN(const auto store, server->open(std::string(kGatewayPrefix)));
    TRY(LostGateway(*store, settings).make());
  }
  imposter->set_latency_ms(kLatencyMs);
  imposter->reset_counts();
  const std::string configuration = scratch.path() + "/coldshelf.toml";
  const std::string data = scratch.path() + "/data";
  std::ofstream(configuration) << "[gateway]\nname = \"bench\"\ndata_dir = \"" << data << "\"\n"
                               << server->configuration(scratch.path() + "/secret");
  SystemClock clock;
  const int64_t begin = clock.monotonic_ns();
  ASSIGN_OR_RETURN(const std::string said,
                   run_command({settings.programs + "/coldshelf", "recover", "--store",
                                "s3://" + server->bucket() + "/" + std::string(kGatewayPrefix),
                                "--data", data, "--config", configuration}));
  const double seconds = static_cast<double>(clock.monotonic_ns() - begin) / 1e9;
  size_t manifests = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
    manifests += entry.path().filename() == "manifest" ? 1 : 0;
  }
  if (manifests != settings.tapes) {
    return Error(ErrorCode::internal, "recover rebuilt " + std::to_string(manifests) + " tapes:\n" +
                                          said.substr(0, 2000));
  }
  std::printf(
      "recover of %u tapes with %u segments each, %lld ms before every answer: %.1f s (goal %.0f s "
      "%s),\n  %.2f requests for each tape, %llu at once at most\n",
      settings.tapes, settings.segments, static_cast<long long>(kLatencyMs), seconds, kGoalSeconds,
      seconds <= kGoalSeconds ? "met" : "MISSED",
      static_cast<double>(imposter->requests()) / settings.tapes,
      static_cast<unsigned long long>(imposter->peak_requests_under_way()));
  std::fflush(stdout);
  return {};
}

}  // namespace coldshelf::bench
