#include "gateway/cli/store_commands.h"

#include <unistd.h>

#include <mutex>

#include "gateway/cli/output.h"
#include "gateway/cli/progress.h"
#include "gateway/store_factory.h"
#include "gateway/store_keeper.h"
#include "gateway/units.h"
#include "uploader/bucket_check.h"
#include "uploader/shelf.h"

namespace coldshelf::cli {

namespace {

constexpr size_t kLinesShown = 20;
constexpr size_t kMaxUnopened = 100;

// The cartridges that the given key does not open: who gave a key wants their content decrypted,
// and silence would say that it was. Called on several threads.
struct UnopenedCartridges {
  const KeyRing* key = nullptr;  // null: none was given, nothing is missed
  std::mutex mutex;
  uint64_t total = 0;
  std::vector<StoreProblem> first;

  std::optional<Secret> find(const Manifest& manifest) {
    if (key == nullptr) return std::nullopt;
    auto opened = key->unwrap(manifest.key, manifest.uuid);
    if (opened.ok()) return std::move(*opened);
    const std::lock_guard lock(mutex);
    if (++total <= kMaxUnopened) {
      first.push_back(
          {"key", manifest_key(manifest.uuid), manifest.label,
           "not decrypted, its key is " + manifest.key.key_id + ": " + opened.error().message()});
    }
    return std::nullopt;
  }
};

std::function<void(size_t, size_t)> show_on(Progress& progress) {
  return [&progress](size_t done, size_t total) {
    progress.show(0, 0, std::to_string(done) + " of " + std::to_string(total) + " cartridges");
  };
}

std::string number(const Json& object, const char* name) {
  return std::to_string(object.value(name, uint64_t{0}));
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_store(const CommandEnv& env, Config config,
                                                const std::string& url, bool read_only) {
  if (!url.empty()) {
    ASSIGN_OR_RETURN(config.store, store_at(url, config.store));
  }
  if (config.store.type == "directory") {
    // A directory is not made by whoever only looks for one.
    ASSIGN_OR_RETURN(const bool there, env.files->exists(config.store.path));
    if (!there) return Error(ErrorCode::not_found, "there is no store at " + config.store.path);
  }
  return coldshelf::open_store(config.store, {env.files, env.clock, env.random}, read_only);
}

Result<Json> verify_store(const CommandEnv& env, ObjectStore& store, const LoadedSecrets& secrets,
                          bool deep, bool json) {
  Progress progress(*env.err, *env.clock, progress_style(json), "verify");
  StoreCheckOptions options;
  options.deep = deep;
  options.progress = show_on(progress);
  UnopenedCartridges unopened;
  unopened.key = secrets.key.get();
  OpenedCartridges opened;
  options.data_key =
      opened.counting([&](const Manifest& manifest) { return unopened.find(manifest); });
  const auto buffers = BufferPool::create(64 * MiB);
  ASSIGN_OR_RETURN(StoreCheckReport report, check_store(store, *env.clock, *buffers, options));
  report.problems_total += unopened.total;
  report.problems.insert(report.problems.begin(), unopened.first.begin(), unopened.first.end());
  Json out = coldshelf::to_json(report);
  opened.add_to(out);
  return out;
}

Result<Json> collect_store(const CommandEnv& env, ObjectStore& store, bool dry_run,
                           int64_t min_age_ms, bool json) {
  Progress progress(*env.err, *env.clock, progress_style(json), "gc");
  StoreGcOptions options;
  options.dry_run = dry_run;
  options.min_age_ms = min_age_ms;
  options.progress = show_on(progress);
  ASSIGN_OR_RETURN(const StoreGcReport report, collect_store_garbage(store, *env.clock, options));
  return coldshelf::to_json(report);
}

Result<RecoverReport> recover_data(const CommandEnv& env, ObjectStore& store,
                                   RecoverRequest request, bool json) {
  Progress progress(*env.err, *env.clock, progress_style(json), "recover");
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) request.host = host;
  RecoverEnv with;
  with.files = env.files;
  with.clock = env.clock;
  with.random = env.random;
  with.store = &store;
  with.progress = show_on(progress);
  return recover_gateway(with, request);
}

Json to_json(const RecoverReport& report) {
  Json out = {{"Gateway", report.gateway},
              {"Name", report.name},
              {"Tapes", Json::array()},
              {"Images", Json::array()},
              {"Lost", report.lost},
              {"Retired", report.retired},
              {"OtherCartridges", report.others},
              {"Configuration", report.configuration}};
  for (const RecoveredTape& tape : report.tapes) {
    out["Tapes"].push_back({{"Barcode", tape.barcode},
                            {"Status", tape.status},
                            {"Segments", tape.segments},
                            {"Note", tape.note}});
  }
  for (const RecoveredImage& image : report.images) {
    out["Images"].push_back({{"Name", image.name},
                             {"Status", image.status},
                             {"Mode", image.mode},
                             {"SizeInBytes", image.size_bytes},
                             {"RecoveryPoints", image.recovery_points},
                             {"Segments", image.segments},
                             {"Clone", image.clone},
                             {"Note", image.note}});
  }
  return out;
}

void print_verify(std::ostream& out, const Json& report) {
  size_t shown = 0;
  for (const Json& p : report["Problems"]) {
    if (++shown > kLinesShown) {
      out << "... and more; --json shows them\n";
      break;
    }
    const std::string barcode = p.value("Barcode", "");
    out << p.value("Kind", "") << " " << p.value("Key", "")
        << (barcode.empty() ? "" : " (tape " + barcode + ")") << ": " << p.value("What", "")
        << "\n";
  }
  out << number(report, "Cartridges") << " cartridges, " << number(report, "Segments")
      << " segments, " << format_size(report.value("Bytes", uint64_t{0})) << ": "
      << number(report, "ProblemCount") << " problems, " << number(report, "Orphans")
      << " orphans of " << format_size(report.value("OrphanBytes", uint64_t{0})) << "\n";
  if (report.value("ReadSegments", uint64_t{0}) > 0) {
    out << number(report, "ReadSegments") << " segments were read and are whole\n";
  }
  if (report.value("EncryptedCartridges", uint64_t{0}) > 0) {
    out << number(report, "OpenedCartridges") << " of " << number(report, "EncryptedCartridges")
        << " encrypted cartridges could be decrypted with the keys at hand\n";
  }
  if (report.value("ColdSegments", uint64_t{0}) > 0) {
    out << number(report, "ColdSegments")
        << " segments lie in an archive class: there, and of the right size\n";
  }
}

void print_gc(std::ostream& out, const Json& report, bool dry_run) {
  size_t shown = 0;
  for (const Json& key : report["Keys"]) {
    if (++shown > kLinesShown) break;
    out << (dry_run ? "would delete " : "deleted ") << key.get<std::string>() << "\n";
  }
  for (const Json& problem : report["Problems"]) {
    if (++shown > 2 * kLinesShown) break;
    out << "left alone: " << problem.get<std::string>() << "\n";
  }
  out << number(report, "Deleted") << " objects, "
      << format_size(report.value("DeletedBytes", uint64_t{0}))
      << (dry_run ? " would be deleted; " : " deleted; ") << number(report, "KeptYoung")
      << " are too young, " << number(report, "KeptLiving") << " may be of an upload, "
      << number(report, "Locked") << " are locked";
  if (!dry_run) out << "; " << number(report, "Unfinished") << " unfinished uploads removed";
  out << "\n";
}

void print_recover(std::ostream& out, const RecoverReport& report, const std::string& data_dir) {
  std::vector<std::vector<std::string>> rows;
  for (const RecoveredTape& tape : report.tapes) {
    rows.push_back({tape.barcode, tape.status, std::to_string(tape.segments), tape.note});
  }
  if (!rows.empty()) print_table(out, {"BARCODE", "STATUS", "SEGMENTS", "NOTE"}, rows);
  rows.clear();
  for (const RecoveredImage& image : report.images) {
    rows.push_back({image.name, format_size(image.size_bytes), image.status, image.mode,
                    std::to_string(image.recovery_points), image.clone ? "yes" : "no", image.note});
  }
  if (!rows.empty()) {
    print_table(out, {"IMAGE", "SIZE", "STATUS", "MODE", "POINTS", "CLONE", "NOTE"}, rows);
  }
  for (const std::string& lost : report.lost) out << "not rebuilt: " << lost << "\n";
  out << "gateway " << report.gateway << " (" << report.name << "): " << report.tapes.size()
      << " tapes and " << report.images.size() << " images in " << data_dir << ", "
      << report.lost.size() << " things not rebuilt, " << report.retired.size()
      << " barcodes of deleted tapes kept, " << report.others << " cartridges of other gateways\n"
      << "its library as it was: " << data_dir << "/recovered.toml\n";
}

void print_shelf(std::ostream& out, const Json& tapes) {
  if (tapes.empty()) {
    out << "the shelf is empty\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& t : tapes) {
    rows.push_back({t.value("Barcode", ""), format_size(t.value("UsedInBytes", uint64_t{0})),
                    t.value("Medium", ""), t.value("Pool", ""), t.value("Archived", ""),
                    t.value("Gateway", ""), t.value("Known", false) ? "yes" : "no"});
  }
  print_table(out, {"BARCODE", "USED", "MEDIUM", "POOL", "ARCHIVED", "BY GATEWAY", "KNOWN HERE"},
              rows);
}

}  // namespace coldshelf::cli
