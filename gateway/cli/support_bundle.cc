#include "gateway/cli/support_bundle.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include "base/command.h"
#include "catalog/describe.h"
#include "gateway/cli/tar_writer.h"
#include "gateway/secrets.h"
#include "gateway/version.h"
#include "tape/format/manifest.h"

namespace coldshelf::cli {

namespace {

constexpr const char* kRedacted = "(left out)";
constexpr size_t kShortestSecret = 6;
constexpr uint64_t kMostLogBytes = 16 * MiB;
constexpr uint64_t kMostManifestBytes = 256 * MiB;

// Keys of the configuration whose value may hold a secret, by a part of their name. Names of files
// and variables stay: they say where to look.
bool may_hold_secret(std::string_view key) {
  if (key.ends_with("_file") || key.ends_with("_env")) return false;
  if (key == "pre" || key == "post") return true;  // commands
  for (const char* part : {"secret", "password", "token", "authorization", "command", "external_id",
                           "access_key_id"}) {
    if (key.find(part) != std::string_view::npos) return true;
  }
  return false;
}

// "https://user:word@host/path?query" -> "https://(left out)@host/path"; queries hold tokens.
std::string clean_urls(std::string text) {
  for (size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const size_t begin = at + 3;
    const size_t end = text.find_first_of(" \t\r\n\"'<>", begin);
    std::string url = text.substr(begin, end == std::string::npos ? end : end - begin);
    const size_t query = url.find('?');
    if (query != std::string::npos) url = url.substr(0, query + 1) + kRedacted;
    const size_t host_end = std::min(url.find('/'), url.size());
    const size_t sign = url.rfind('@', host_end);
    if (sign != std::string::npos) url = kRedacted + url.substr(sign);
    text.replace(begin, end == std::string::npos ? end : end - begin, url);
  }
  return text;
}

std::string about(const CommandEnv& env) {
  std::string out = std::string("coldshelf ") + kVersion + "\n";
  out += "compiled with " + std::string(__VERSION__) + "\n";
  out += "bundle of " + format_utc(env.clock->unix_ms()) + "\n";
  utsname system{};
  if (::uname(&system) == 0) {
    out += std::string(system.sysname) + " " + system.release + " " + system.machine + "\n";
  }
  for (const char* path : {"/etc/os-release", "/proc/meminfo", "/proc/loadavg", "/proc/mounts"}) {
    std::ifstream file(path);
    std::string line;
    out += "\n# " + std::string(path) + "\n";
    for (int lines = 0; lines < 100 && std::getline(file, line); ++lines) out += line + "\n";
  }
  return out;
}

Json manifest_json(const Manifest& manifest) {
  Json out = {{"Uuid", manifest.uuid.to_string()},
              {"Label", manifest.label},
              {"Kind", manifest.kind == CartridgeKind::tape ? "tape" : "image"},
              {"Medium", manifest.medium},
              {"CapacityBytes", manifest.capacity_bytes},
              {"Worm", manifest.worm},
              {"WriteProtected", manifest.write_protected},
              {"Epoch", manifest.epoch},
              {"Generation", manifest.generation},
              {"NextSequence", manifest.next_sequence},
              {"KeyId", manifest.key.key_id},  // a public name; the wrapped key itself stays out
              {"PlainBytes", manifest.plain_bytes()},
              {"StoredBytes", manifest.stored_bytes()},
              {"Partitions", Json::array()},
              {"Properties", manifest.properties}};
  for (const Partition& partition : manifest.partitions) {
    out["Partitions"].push_back({{"Segments", partition.segments.size()},
                                 {"EndBlock", partition.end_block()},
                                 {"EndFilemark", partition.end_filemark()},
                                 {"PlainBytes", partition.plain_bytes()}});
  }
  return out;
}

// Of cartridges on this disk, the first ones by uuid.
Result<Json> manifests(FileSystem& files, const Config& config, uint64_t most) {
  ASSIGN_OR_RETURN(const auto names, files.list(config.cartridges_dir()));
  Json out = {{"Cartridges", names.size()}, {"Headers", Json::array()}};
  for (const std::string& name : names) {
    if (out["Headers"].size() >= most) break;
    const std::string path = join_path(join_path(config.cartridges_dir(), name), "manifest");
    auto image = files.read_file(path, kMostManifestBytes);
    auto replayed =
        image.ok() ? decode_manifest(*image, true) : Result<ReplayedManifest>(image.error());
    if (replayed.ok()) {
      out["Headers"].push_back(manifest_json(replayed->manifest));
    } else {
      out["Headers"].push_back({{"Uuid", name}, {"Error", replayed.error().message()}});
    }
  }
  return out;
}

Result<std::string> log_text(FileSystem& files, const BundleRequest& request) {
  if (!request.log_file.empty()) {
    ASSIGN_OR_RETURN(auto file, files.open(request.log_file, OpenMode::read));
    ASSIGN_OR_RETURN(const uint64_t size, file->size());
    const uint64_t from = size > kMostLogBytes ? size - kMostLogBytes : 0;
    Buffer tail(static_cast<size_t>(size - from));
    TRY(file->read_at(from, tail));
    return std::string(as_text(tail));
  }
  CommandLimits limits;
  limits.max_output_bytes = kMostLogBytes;
  ASSIGN_OR_RETURN(const Secret lines,
                   run_program({"journalctl", "--unit=coldshelf", "--lines=20000", "--no-pager",
                                "--output=short-iso-precise", "--utc"},
                               limits));
  return std::string(lines.reveal());
}

class Bundle {
 public:
  Bundle(TarWriter& tar, const CommandEnv& env, const Redactor& redactor, BundleReport& report)
      : tar_(tar), now_s_(env.clock->unix_ms() / 1000), redactor_(redactor), report_(report) {}

  Status add(const std::string& name, const std::string& text) {
    TRY(tar_.add_member("coldshelf-support/" + name, now_s_, as_view(redactor_.clean(text))));
    report_.members.push_back(name);
    return {};
  }
  Status add(const std::string& name, const Result<std::string>& text) {
    if (text.ok()) return add(name, *text);
    report_.missing.push_back(name + ": " + text.error().message());
    return {};
  }
  Status add(const std::string& name, const Result<Json>& json) {
    if (json.ok())
      return add(name, json->dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    report_.missing.push_back(name + ": " + json.error().message());
    return {};
  }

 private:
  TarWriter& tar_;
  const int64_t now_s_;
  const Redactor& redactor_;
  BundleReport& report_;
};

}  // namespace

std::string Redactor::clean(std::string_view text) const {
  std::string out(text);
  for (const Secret& secret : secrets_) {
    const std::string_view word = secret.reveal();
    if (word.size() < kShortestSecret) continue;
    for (size_t at = out.find(word); at != std::string::npos; at = out.find(word, at)) {
      out.replace(at, word.size(), kRedacted);
    }
  }
  return clean_urls(std::move(out));
}

std::string Redactor::clean_config(std::string_view toml) const {
  std::string out;
  while (!toml.empty()) {
    const size_t end = std::min(toml.find('\n'), toml.size());
    const std::string_view line = toml.substr(0, end);
    const size_t equals = line.find(" = ");
    const bool empty = line.ends_with(" = \"\"");
    // A webhook's address is a secret often enough: the host says where it goes.
    const size_t host = line.starts_with("url = \"http") ? line.find("://") + 3 : 0;
    const size_t path = host == 0 ? std::string_view::npos : line.find('/', host);
    if (equals != std::string_view::npos && !empty && may_hold_secret(line.substr(0, equals))) {
      out += std::string(line.substr(0, equals)) + " = \"" + kRedacted + "\"\n";
    } else if (path != std::string_view::npos) {
      out += std::string(line.substr(0, path)) + "/" + kRedacted + "\"\n";
    } else {
      out += std::string(line) + "\n";
    }
    toml.remove_prefix(std::min(end + 1, toml.size()));
  }
  return clean(out);
}

std::vector<Secret> known_secrets(FileSystem& files, const Config& config) {
  std::set<std::pair<std::string, std::string>> places;  // file, variable
  places.insert({config.iscsi.chap.secret_file, config.iscsi.chap.secret_env});
  places.insert({config.iscsi.chap.mutual_secret_file, config.iscsi.chap.mutual_secret_env});
  places.insert({config.encryption.key_file, config.encryption.key_env});
  for (const Config::KeySource& old : config.encryption.old_keys) {
    places.insert({old.key_file, old.key_env});
  }
  places.insert({config.store.s3.secret_key_file, config.store.s3.secret_key_env});
  for (const NotifyConfig& notify : config.notify) {
    places.insert({notify.authorization_file, notify.authorization_env});
    places.insert({notify.signing_secret_file, notify.signing_secret_env});
    places.insert({notify.password_file, notify.password_env});
  }
  places.insert({"", "AWS_SECRET_ACCESS_KEY"});
  places.insert({"", "AWS_SESSION_TOKEN"});
  std::vector<Secret> out;
  for (const auto& [file, variable] : places) {
    if (file.empty() && variable.empty()) continue;
    auto secret = load_secret(files, file, variable);
    if (secret.ok()) out.push_back(std::move(*secret));
  }
  return out;
}

Result<BundleReport> write_support_bundle(
    const CommandEnv& env, const Config& config,
    const std::function<Result<Json>(const std::string&, const Json&)>& call,
    const BundleRequest& request) {
  FileSystem& files = *env.files;
  if (!request.path.ends_with(".tar.gz")) {
    return Error(ErrorCode::invalid_argument, "the bundle's name must end in .tar.gz");
  }
  ASSIGN_OR_RETURN(const bool there, files.exists(request.path));
  if (there && !request.overwrite) {
    return Error(ErrorCode::exists, request.path + " is there; give --force to replace it");
  }
  const Redactor redactor(known_secrets(files, config));
  const std::string tar_path = request.path.substr(0, request.path.size() - 3);
  ASSIGN_OR_RETURN(const auto tar, TarWriter::create(files, tar_path, true));
  BundleReport report;
  report.path = request.path;
  Bundle bundle(*tar, env, redactor, report);
  TRY(bundle.add("about.txt", about(env)));
  TRY(bundle.add("config.toml", redactor.clean_config(effective_config(config))));
  const std::pair<const char*, const char*> operations[] = {
      {"status.json", "GatewayStatus"},  {"library.json", "LibraryStatus"},
      {"jobs.json", "ListJobs"},         {"pools.json", "ListPools"},
      {"sessions.json", "ListSessions"}, {"alarms.json", "ListAlarms"},
      {"keys.json", "DescribeKeys"},
  };
  for (const auto& [name, operation] : operations) {
    TRY(bundle.add(name, call(operation, Json{{"History", true}})));
  }
  const auto metrics = call("GetMetrics", Json::object());
  TRY(bundle.add("metrics.txt", metrics.ok() ? Result<std::string>(metrics->value("Text", ""))
                                             : Result<std::string>(metrics.error())));
  TRY(bundle.add("catalog.txt",
                 describe_catalog(join_path(config.gateway.data_dir, "catalog.db"))));
  TRY(bundle.add("manifests.json", manifests(files, config, request.cartridges)));
  TRY(bundle.add("coldshelfd.log", log_text(files, request)));
  std::string missing;
  for (const std::string& what : report.missing) missing += what + "\n";
  if (!missing.empty()) TRY(bundle.add("missing.txt", missing));
  TRY(tar->finish());
  // gzip is in every Debian system; -n keeps name and time of the file out.
  auto zipped = run_program({"gzip", "-n", "-f", "--", tar_path}, {});
  if (!zipped.ok()) return zipped.error();
  return report;
}

}  // namespace coldshelf::cli
