#include "gateway/setup.h"

#include <algorithm>

#include "base/log.h"
#include "gateway/secrets.h"
#include "gateway/service_user.h"
#include "gateway/store_factory.h"
#include "gateway/units.h"
#include "tape/format/keys.h"

namespace coldshelf {

namespace {

constexpr const char* kPackagedData = "/var/lib/coldshelf";
constexpr const char* kPackagedSocket = "/run/coldshelf/coldshelf.sock";
// Windows' initiator takes 12 to 16 characters: 16 of 64 kinds are 96 bits.
constexpr size_t kChapSecretLength = 16;

std::string quoted_text(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string line_of(const char* key, const std::string& value) {
  return std::string(key) + " = " + quoted_text(value) + "\n";
}

std::string beside(const SetupAnswers& answers, const char* name) {
  return join_path(parent_directory(answers.config_path), name);
}

std::string key_path_of(const SetupAnswers& answers) {
  return answers.key_file.empty() ? beside(answers, "coldshelf.key") : answers.key_file;
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.starts_with(directory.ends_with('/') ? directory : directory + "/");
}

// `path`, or with a number behind it: an older one that was kept stays, too.
Result<std::string> free_name(FileSystem& files, const std::string& path) {
  std::string name = path;
  for (unsigned number = 2;; ++number) {
    ASSIGN_OR_RETURN(const bool taken, files.exists(name));
    if (!taken) return name;
    name = path + "." + std::to_string(number);
  }
}

Status write_private(FileSystem& files, const std::string& path, std::string_view text) {
  ASSIGN_OR_RETURN(auto file, files.open(path, OpenMode::create_private));
  TRY(file->write_at(0, as_view(text)));
  TRY(file->sync());
  TRY(files.sync_directory(parent_directory(path)));
  return give_to_service(path, false);
}

Status check_answers(FileSystem& files, const SetupAnswers& answers) {
  for (const std::string& path : {answers.config_path, answers.data_dir}) {
    if (!path.starts_with('/')) {
      return Error(ErrorCode::invalid_argument, "'" + path + "' is no absolute path");
    }
  }
  ASSIGN_OR_RETURN(const bool there, files.exists(answers.config_path));
  if (there && !answers.force) {
    return Error(ErrorCode::exists, answers.config_path +
                                        " is there; with --force it is kept as .old and a new "
                                        "one written");
  }
  ASSIGN_OR_RETURN(const HostPort listen, parse_listen_address(answers.listen, 3260));
  if (!is_loopback(listen) && answers.chap_user.empty()) {
    return Error(ErrorCode::invalid_argument,
                 "listening on " + answers.listen +
                     " needs a CHAP user (--chap-user): anybody who reaches the port could read "
                     "and overwrite the tapes");
  }
  return {};
}

// Made when it is not there yet; one that is there is used, and must be a key.
Status make_key(const SetupEnv& env, const SetupAnswers& answers, SetupResult& out) {
  if (!answers.encrypt) return {};
  out.key_path = key_path_of(answers);
  ASSIGN_OR_RETURN(const bool there, env.files->exists(out.key_path));
  if (!there) {
    if (!answers.key_file.empty()) {
      return Error(ErrorCode::not_found, "there is no key in " + answers.key_file);
    }
    const Secret key = KeyEncryptionKey::generate_text(*env.random);
    TRY(write_private(*env.files, out.key_path, std::string(key.reveal()) + "\n"));
    out.key_made = true;
  }
  ASSIGN_OR_RETURN(const Secret text, load_secret(*env.files, out.key_path, ""));
  ASSIGN_OR_RETURN(const KeyEncryptionKey key, KeyEncryptionKey::parse(text.reveal()));
  out.key_id = key.id();
  return {};
}

Status make_chap_secret(const SetupEnv& env, const SetupAnswers& answers, SetupResult& out) {
  if (answers.chap_user.empty()) return {};
  out.chap_secret_path = beside(answers, "chap.secret");
  ASSIGN_OR_RETURN(const bool there, env.files->exists(out.chap_secret_path));
  if (there) return {};
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  Buffer raw(kChapSecretLength);
  env.random->fill(raw);
  std::string secret;
  for (const std::byte b : raw) secret += kLetters[std::to_integer<size_t>(b) % kLetters.size()];
  return write_private(*env.files, out.chap_secret_path, secret + "\n");
}

Status try_store(ObjectStore& store, const SetupEnv& env, SetupResult& out) {
  Buffer raw(8);
  env.random->fill(raw);
  const std::string key = "setup-check/" + to_hex(raw);
  const std::string_view text = "coldshelf setup was here";
  PutSource source;
  source.bytes = as_view(text);
  source.size = text.size();
  source.sha256 = Sha256::of(source.bytes);
  auto put = store.put(key, source, StorageClass::standard);
  if (!put.ok()) {
    Error why = put.error();
    why.context = "the store takes no object: " + why.context;
    return why;
  }
  auto back = store.get_all(key, 4 * KiB);
  const Status removed = store.remove(key);
  if (!back.ok()) return back.error();
  if (as_text(*back) != text) {
    return Error(ErrorCode::corrupt, "the store gave back something else than it was given");
  }
  TRY(Status(removed));
  ASSIGN_OR_RETURN(const StoreCapabilities can, store.capabilities());
  const auto says = [&out](bool yes, const std::string& what, const std::string& else_what) {
    out.facts.push_back(yes ? "the store has " + what
                            : "the store has no " + what + ": " + else_what);
  };
  says(can.conditional_put, "conditional writes", "only one gateway may use it");
  says(can.storage_classes, "storage classes", "pools are in STANDARD");
  says(can.object_lock, "Object Lock", "pools cannot be locked");
  return {};
}

// The unit lets the daemon write below /var/lib/coldshelf alone.
void add_unit_step(const Config& config, SetupResult& out) {
  std::string elsewhere;
  const auto look = [&elsewhere](const std::string& path) {
    if (path != kPackagedData && !is_below(path, kPackagedData)) elsewhere += " " + path;
  };
  look(config.gateway.data_dir);
  if (config.store.type == "directory" && !is_below(config.store.path, config.gateway.data_dir)) {
    look(config.store.path);
  }
  if (elsewhere.empty()) return;
  elsewhere.erase(0, 1);
  out.next.push_back("systemctl edit coldshelf: under [Service] ReadWritePaths=" + elsewhere +
                     ", under [Unit] RequiresMountsFor=" + elsewhere);
}

void add_next_steps(const SetupAnswers& answers, const Config& config, SetupResult& out) {
  if (out.key_made) {
    out.next.push_back("keep a copy of " + out.key_path +
                       " away from this machine: without it no tape can be read again");
  }
  const bool packaged = answers.config_path == "/etc/coldshelf/coldshelf.toml";
  if (packaged) add_unit_step(config, out);
  out.next.push_back(packaged ? "systemctl enable --now coldshelf"
                              : "coldshelfd --config " + answers.config_path);
  out.next.push_back(packaged ? "coldshelf status"
                              : "coldshelf --config " + answers.config_path + " status");
  out.next.push_back("coldshelf tape create --barcode ABC001L8 --size 100GiB --count 10");
  out.next.push_back("connect the backup host: docs/runbook.md, \"Connecting initiators\"");
}

// A store without classes takes pools in STANDARD alone.
std::string pools_text(bool storage_classes) {
  if (storage_classes) return "";
  return "\n[[pool]]\nname = \"STANDARD\"\nstorage_class = \"STANDARD\"\n";
}

}  // namespace

DiskShares suggest_shares(uint64_t available_bytes) {
  const auto whole_gib = [](uint64_t bytes) { return std::max(GiB, bytes / GiB * GiB); };
  return {whole_gib(available_bytes / 2), whole_gib(available_bytes / 4)};
}

std::string setup_config(const SetupAnswers& answers) {
  std::string out =
      "# Written by `coldshelf setup`. coldshelf.toml.example has every key with its default;\n"
      "# `coldshelfd --config FILE --check-config` prints what is in effect.\n\n[gateway]\n";
  out += line_of("name", answers.name);
  out += line_of("data_dir", answers.data_dir);
  out += "\n[iscsi]\nlisten = [" + quoted_text(answers.listen) + "]\n";
  if (!answers.chap_user.empty()) {
    out += "\n[iscsi.chap]\n" + line_of("user", answers.chap_user);
    out += line_of("secret_file", beside(answers, "chap.secret"));
  }
  out += "\n[library]\n" + line_of("drive_model", answers.drive_model);
  out += "drives = " + std::to_string(answers.drives) + "\n";
  out += "slots = " + std::to_string(answers.slots) + "\n";
  if (answers.encrypt) out += "\n[encryption]\n" + line_of("key_file", key_path_of(answers));
  out += "\n[store]\n";
  if (answers.store.starts_with("s3://")) {
    out += line_of("type", "s3") + line_of("url", answers.store);
    out += "\n[store.s3]\n";
    if (!answers.region.empty()) out += line_of("region", answers.region);
    if (!answers.endpoint.empty()) out += line_of("endpoint", answers.endpoint);
    if (!answers.profile.empty()) out += line_of("profile", answers.profile);
    if (!answers.ca_file.empty()) out += line_of("ca_file", answers.ca_file);
  } else {
    out += line_of("type", "directory");
    if (!answers.store.empty()) out += line_of("path", answers.store);
  }
  out += "\n[cache]\n" + line_of("limit", format_exact_size(answers.cache_bytes));
  out += "\n[buffer]\n" + line_of("limit", format_exact_size(answers.buffer_bytes));
  if (!answers.socket.empty()) out += "\n[api]\n" + line_of("socket", answers.socket);
  return out;
}

// A key that nothing was encrypted with yet, and nobody was told to keep a copy of.
void forget_new_key(FileSystem& files, const SetupResult& out) {
  if (!out.key_made) return;
  if (Status gone = files.remove(out.key_path); !gone.ok()) {
    log_warning("setup", "a key that is not used is left",
                {{"file", out.key_path}, {"error", gone.error().message()}});
  }
}

// Secrets, then the store, which shows what it can do.
Status make_and_try(const SetupEnv& env, const SetupAnswers& answers, const Config& config,
                    std::string& text, SetupResult& out) {
  TRY(make_key(env, answers, out));
  TRY(make_chap_secret(env, answers, out));
  ASSIGN_OR_RETURN(const auto store, open_store(config.store, {env.files, env.clock, env.random}));
  out.store = store->describe();
  TRY(try_store(*store, env, out));
  ASSIGN_OR_RETURN(const StoreCapabilities can, store->capabilities());
  text += pools_text(can.storage_classes);
  return {};
}

// What was made here, the service must be able to use. A store that somebody else made stays his.
Status give_directories(const Config& config, const std::optional<std::string>& new_data,
                        const std::optional<std::string>& new_store) {
  const std::string& data = config.gateway.data_dir;
  TRY(new_data ? give_tree_to_service(*new_data) : give_to_service(data, false));
  if (config.store.type != "directory") return {};
  if (new_store) {
    // It is not there when the try did not come that far.
    const Status given = give_tree_to_service(*new_store);
    return given.ok() || given.error().code == ErrorCode::not_found ? Status() : given;
  }
  return is_below(config.store.path, data) ? give_tree_to_service(config.store.path) : Status();
}

Result<SetupResult> run_setup(const SetupEnv& env, SetupAnswers answers) {
  FileSystem& files = *env.files;
  SetupResult out;
  out.config_path = answers.config_path;
  // 1. Nothing is written before all this is right.
  TRY(check_answers(files, answers));
  if (answers.socket.empty() && answers.data_dir == kPackagedData) answers.socket = kPackagedSocket;
  TRY(files.create_directories(parent_directory(answers.config_path)));
  ASSIGN_OR_RETURN(const auto new_data, first_missing(files, answers.data_dir));
  TRY(files.create_directories(answers.data_dir));
  ASSIGN_OR_RETURN(const uint64_t available, files.available_bytes(answers.data_dir));
  const DiskShares shares = suggest_shares(available);
  if (answers.cache_bytes == 0) answers.cache_bytes = shares.cache_bytes;
  if (answers.buffer_bytes == 0) answers.buffer_bytes = shares.buffer_bytes;
  out.facts.push_back(format_size(available) + " are free on the disk of " + answers.data_dir +
                      ": cache " + format_size(answers.cache_bytes) + ", upload buffer " +
                      format_size(answers.buffer_bytes));
  std::string text = setup_config(answers);
  const std::string directory = parent_directory(answers.config_path);
  ASSIGN_OR_RETURN(Config config, parse_config(text, answers.config_path, directory));
  // 2. Secrets and the store.
  ASSIGN_OR_RETURN(const auto new_store, first_missing(files, config.store.path));
  Status tried = make_and_try(env, answers, config, text, out);
  const Status given = give_directories(config, new_data, new_store);
  if (!tried.ok()) {
    forget_new_key(files, out);
    return tried.error();
  }
  TRY(Status(given));
  TRY(parse_config(text, answers.config_path, directory));
  // 3. The configuration; the old one is never lost.
  ASSIGN_OR_RETURN(const bool there, files.exists(answers.config_path));
  if (there) {
    ASSIGN_OR_RETURN(out.old_config_path, free_name(files, answers.config_path + ".old"));
    TRY(files.rename(answers.config_path, out.old_config_path));
  }
  TRY(files.replace_file(answers.config_path, as_view(text), OpenMode::create));
  TRY(give_to_service(answers.config_path, true));
  add_next_steps(answers, config, out);
  return out;
}

}  // namespace coldshelf
