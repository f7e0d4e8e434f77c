#include "uploader/cloud/local_directory_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

constexpr size_t kMaxKeyBytes = 1024;  // S3's limit
constexpr size_t kMaxNameBytes = 240;  // of an encoded part, leaving room for the endings
constexpr unsigned kMaxDepth = 64;
constexpr size_t kCopyBytes = 1 * MiB;
constexpr std::string_view kMetaEnding = "~meta";
constexpr std::string_view kConditionsLock = "~lock";
constexpr int64_t kLockWaitMs = 10'000;
constexpr int64_t kLockPollMs = 5;
constexpr int kMetaVersion = 1;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

std::string encode_part(std::string_view part) {
  std::string out;
  for (const char c : part) {
    if (is_plain(c)) {
      out += c;
    } else {
      out += '%' + to_hex(as_view(std::string_view(&c, 1)));
    }
  }
  return out;
}

bool decode_part(std::string_view name, std::string& out) {
  out.clear();
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '%') {
      if (!is_plain(name[i])) return false;
      out += name[i];
      continue;
    }
    Buffer byte;
    if (i + 2 >= name.size() || !from_hex(name.substr(i + 1, 2), byte)) return false;
    out += as_text(byte);
    i += 2;
  }
  return true;
}

Error bad_key(const std::string& key, const char* why) {
  return Error(ErrorCode::invalid_argument, "object key \"" + key + "\": " + why);
}

Error locked_error(const std::string& key) {
  return Error(ErrorCode::write_protected, "object " + key + " is locked");
}

}  // namespace

struct LocalDirectoryStore::Meta {
  uint64_t size = 0;
  Sha256Digest sha256{};
  StorageClass storage_class = StorageClass::standard;
  int64_t modified_ms = 0;
  int64_t restore_ready_ms = 0;  // 0: no restore was asked for
  int64_t restored_until_ms = 0;
  ObjectLock lock;
  char data = 'a';

  bool locked(int64_t now_ms) const {
    return lock.legal_hold || (lock.mode && now_ms < lock.retain_until_ms);
  }
  bool restore_ongoing(int64_t now_ms) const {
    return restore_ready_ms != 0 && now_ms < restore_ready_ms;
  }
  bool restored(int64_t now_ms) const {
    return restore_ready_ms != 0 && now_ms >= restore_ready_ms && now_ms < restored_until_ms;
  }
  bool readable(int64_t now_ms) const { return !needs_restore(storage_class) || restored(now_ms); }
  std::string data_path(const std::string& path) const { return path + "~data-" + data; }
};

struct LocalDirectoryStore::Opened {
  Meta meta;
  std::unique_ptr<File> file;
};

LocalDirectoryStore::LocalDirectoryStore(FileSystem& files, Clock& clock,
                                         LocalDirectoryOptions options, bool read_only)
    : files_(files), clock_(clock), options_(std::move(options)), read_only_(read_only) {}

Result<std::unique_ptr<LocalDirectoryStore>> LocalDirectoryStore::open(
    FileSystem& files, Clock& clock, LocalDirectoryOptions options, bool read_only) {
  if (!read_only) {
    TRY(files.create_directories(options.root));
  } else {
    TRY(files.info(options.root));
  }
  return std::unique_ptr<LocalDirectoryStore>(
      new LocalDirectoryStore(files, clock, std::move(options), read_only));
}

Result<std::string> LocalDirectoryStore::path_of(const std::string& key) const {
  if (key.empty() || key.size() > kMaxKeyBytes) return bad_key(key, "length");
  std::string path = options_.root;
  unsigned depth = 0;
  for (size_t at = 0; at <= key.size();) {
    const size_t slash = std::min(key.find('/', at), key.size());
    const std::string_view part = std::string_view(key).substr(at, slash - at);
    if (part.empty()) return bad_key(key, "an empty part");
    if (part == "." || part == "..") return bad_key(key, "it would leave the store");
    const std::string name = encode_part(part);
    if (name.size() > kMaxNameBytes) return bad_key(key, "a part is too long for a file name");
    if (++depth > kMaxDepth) return bad_key(key, "too many parts");
    path = join_path(path, name);
    at = slash + 1;
  }
  return path;
}

Result<LocalDirectoryStore::Meta> LocalDirectoryStore::read_meta(const std::string& key,
                                                                 const std::string& path) const {
  Result<Buffer> content = files_.read_file(path + std::string(kMetaEnding), 64 * KiB);
  if (!content.ok()) {
    if (content.error().code == ErrorCode::not_found) {
      return Error(ErrorCode::not_found, "no object " + key);
    }
    return std::move(content).error();
  }
  const Error damaged(ErrorCode::corrupt, "object " + key + ": damaged metadata");
  const auto json = nlohmann::json::parse(as_text(*content), nullptr, false);
  if (!json.is_object()) return damaged;
  const auto number = [&json](const char* name, int64_t& out) {
    const auto at = json.find(name);
    if (at == json.end() || !at->is_number_integer()) return false;
    out = at->get<int64_t>();
    return true;
  };
  const auto text = [&json](const char* name) {
    const auto at = json.find(name);
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  Meta meta;
  int64_t version = 0;
  int64_t size = 0;
  if (!number("version", version) || !number("size", size) || size < 0 ||
      !number("modified_ms", meta.modified_ms) ||
      !number("restore_ready_ms", meta.restore_ready_ms) ||
      !number("restored_until_ms", meta.restored_until_ms)) {
    return damaged;
  }
  if (version > kMetaVersion) {
    return Error(ErrorCode::unsupported_version,
                 "object " + key + ": metadata of a newer version of this program");
  }
  Buffer digest;
  const auto storage_class = parse_storage_class(text("storage_class"));
  const std::string data = text("data");
  if (!storage_class || (data != "a" && data != "b") || !from_hex(text("sha256"), digest) ||
      digest.size() != meta.sha256.size()) {
    return damaged;
  }
  const auto hold = json.find("legal_hold");
  meta.lock.mode = parse_lock_mode(text("lock_mode"));
  meta.lock.legal_hold = hold != json.end() && hold->is_boolean() && hold->get<bool>();
  if (meta.lock.mode && !number("retain_until_ms", meta.lock.retain_until_ms)) return damaged;
  meta.size = static_cast<uint64_t>(size);
  meta.storage_class = *storage_class;
  meta.data = data[0];
  std::copy(digest.begin(), digest.end(), meta.sha256.begin());
  return meta;
}

Status LocalDirectoryStore::write_meta(const std::string& path, const Meta& meta) {
  nlohmann::json json = {
      {"version", kMetaVersion},
      {"size", meta.size},
      {"sha256", to_hex(meta.sha256)},
      {"storage_class", std::string(to_string(meta.storage_class))},
      {"modified_ms", meta.modified_ms},
      {"restore_ready_ms", meta.restore_ready_ms},
      {"restored_until_ms", meta.restored_until_ms},
      {"data", std::string(1, meta.data)},
  };
  if (meta.lock.mode) {
    json["lock_mode"] = std::string(to_string(*meta.lock.mode));
    json["retain_until_ms"] = meta.lock.retain_until_ms;
  }
  if (meta.lock.legal_hold) json["legal_hold"] = true;
  return files_.replace_file(path + std::string(kMetaEnding), as_view(json.dump(2) + "\n"));
}

ObjectInfo LocalDirectoryStore::info_of(const std::string& key, const Meta& meta) const {
  const int64_t now = clock_.unix_ms();
  ObjectInfo info;
  info.key = key;
  info.size = meta.size;
  info.storage_class = meta.storage_class;
  info.sha256 = meta.sha256;
  info.modified_ms = meta.modified_ms;
  info.restore_ongoing = meta.restore_ongoing(now);
  info.restored_until_ms = meta.restored(now) ? meta.restored_until_ms : 0;
  info.etag = to_hex(ByteView(meta.sha256).first(16));
  return info;
}

Status LocalDirectoryStore::check_writable() const {
  if (!read_only_) return {};
  return Error(ErrorCode::read_only, describe() + " is open for reading only");
}

Status LocalDirectoryStore::discard(const std::string& path) {
  Status removed = files_.remove(path);
  if (!removed.ok() && removed.error().code == ErrorCode::not_found) return {};
  return removed;
}

// False when it cannot be: another file system, or none that knows links.
bool LocalDirectoryStore::try_link(const PutSource& source, const std::string& incoming) {
  if (!options_.link_files || source.immutable_path.empty()) return false;
  const Result<FileInfo> found = files_.info(source.immutable_path);
  return found.ok() && found->size == source.size &&
         files_.link(source.immutable_path, incoming).ok();
}

// The source under the name `incoming`, a link or a copy: its bytes verified either way, and
// synced.
Status LocalDirectoryStore::receive(const std::string& key, const PutSource& source,
                                    const std::string& incoming) {
  std::unique_ptr<File> copy;  // none when linked: what is sealed was synced then
  if (!try_link(source, incoming)) {
    ASSIGN_OR_RETURN(copy, files_.open(incoming, OpenMode::create));
  }
  Sha256 sha;
  const uint64_t size = source.file != nullptr ? source.size : source.bytes.size();
  Buffer part(source.file != nullptr ? std::min<uint64_t>(size, kCopyBytes) : 0);
  for (uint64_t at = 0; at < size;) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(kCopyBytes, size - at));
    ByteView bytes;
    if (source.file != nullptr) {
      const MutableBytes into = MutableBytes(part).first(n);
      TRY(source.file->read_at(at, into));
      bytes = into;
    } else {
      bytes = source.bytes.subspan(static_cast<size_t>(at), n);
    }
    sha.update(bytes);
    if (copy) TRY(copy->write_at(at, bytes));
    at += n;
  }
  if (sha.finish() != source.sha256) {
    return Error(ErrorCode::corrupt, "put " + key + ": the bytes do not match their digest");
  }
  if (copy) TRY(copy->sync());
  return {};
}

Result<ObjectInfo> LocalDirectoryStore::put(const std::string& key, const PutSource& source,
                                            const PutOptions& options) {
  TRY(check_writable());
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  // A root that vanished (its disk was unmounted) is not made anew: the objects would go to the
  // wrong disk.
  if (Result<FileInfo> root = files_.info(options_.root); !root.ok()) {
    return Error(ErrorCode::unavailable, describe() + " is gone: " + root.error().context);
  }
  const std::string directory = parent_directory(path);
  TRY(files_.create_directories(directory));
  // A name of its own among the puts of this key under way; what a crash left there is garbage.
  const std::string incoming = claim_incoming(path);
  Result<ObjectInfo> done = put_into(key, path, incoming, source, options);
  const std::lock_guard lock(mutex_);
  incoming_.erase(incoming);
  return done;
}

std::string LocalDirectoryStore::claim_incoming(const std::string& path) {
  const std::lock_guard lock(mutex_);
  for (unsigned n = 0;; ++n) {
    std::string name = path + "~in-" + std::to_string(n);
    if (incoming_.insert(name).second) return name;
  }
}

Result<std::unique_ptr<FileLock>> LocalDirectoryStore::lock_conditions() {
  const std::string path = join_path(options_.root, std::string(kConditionsLock));
  for (int64_t waited_ms = 0;; waited_ms += kLockPollMs) {
    Result<std::unique_ptr<FileLock>> held = files_.lock(path);
    if (held.ok() || held.error().code != ErrorCode::busy || waited_ms >= kLockWaitMs) return held;
    clock_.sleep_ms(kLockPollMs);
  }
}

Status LocalDirectoryStore::check_put(const std::string& key, const Result<Meta>& before,
                                      const PutOptions& options) const {
  if (before.ok() && before->locked(clock_.unix_ms())) return locked_error(key);
  if (options.condition == PutCondition::must_not_exist && before.ok()) {
    return Error(ErrorCode::precondition_failed, "object " + key + " exists already");
  }
  if (options.condition == PutCondition::must_match &&
      (!before.ok() || info_of(key, *before).etag != options.etag)) {
    return Error(ErrorCode::precondition_failed, "object " + key + " is not the expected one");
  }
  return {};
}

Result<ObjectInfo> LocalDirectoryStore::put_into(const std::string& key, const std::string& path,
                                                 const std::string& incoming,
                                                 const PutSource& source,
                                                 const PutOptions& options) {
  // 1. The bytes, verified and synced, under no key.
  TRY(discard(incoming));
  Status received = receive(key, source, incoming);
  if (!received.ok()) {
    [[maybe_unused]] const Status gone = discard(incoming);
    return std::move(received).error();
  }
  std::unique_ptr<FileLock> conditions;
  if (options.condition != PutCondition::none) {
    ASSIGN_OR_RETURN(conditions, lock_conditions());
  }
  const std::lock_guard lock(mutex_);
  Result<Meta> before = read_meta(key, path);
  // Damaged metadata does not stand against a new object in its place.
  if (!before.ok() && before.error().code != ErrorCode::not_found &&
      before.error().code != ErrorCode::corrupt) {
    return std::move(before).error();
  }
  const Status allowed = check_put(key, before, options);
  if (!allowed.ok()) {
    TRY(discard(incoming));
    return allowed.error();
  }
  Meta meta;
  meta.size = source.file != nullptr ? source.size : source.bytes.size();
  meta.sha256 = source.sha256;
  meta.storage_class = options.storage_class;
  meta.modified_ms = clock_.unix_ms();
  meta.data = before.ok() && before->data == 'a' ? 'b' : 'a';
  // 2. Under the data name that is not current: a crash here leaves the old object.
  TRY(files_.rename(incoming, meta.data_path(path)));
  TRY(files_.sync_directory(parent_directory(path)));
  // 3. The meta file over it, durable when this returns: now it is the object.
  TRY(write_meta(path, meta));
  // 4. The old bytes are garbage; the next put takes the name when a crash keeps them.
  if (before.ok()) TRY(discard(before->data_path(path)));
  return info_of(key, meta);
}

Result<LocalDirectoryStore::Opened> LocalDirectoryStore::open_current(
    const std::string& key) const {
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  const std::lock_guard lock(mutex_);
  // Another process may switch the object over between the two files: then the meta file has
  // changed, and a second look finds a matching pair.
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(const Meta meta, read_meta(key, path));
    if (!meta.readable(clock_.unix_ms())) {
      return Error(ErrorCode::cold, "object " + key + " is in " +
                                        std::string(to_string(meta.storage_class)) +
                                        " and not restored");
    }
    Result<std::unique_ptr<File>> file = files_.open(meta.data_path(path), OpenMode::read);
    ASSIGN_OR_RETURN(const Meta again, read_meta(key, path));
    if (file.ok() && again.data == meta.data && again.sha256 == meta.sha256) {
      return Opened{meta, std::move(*file)};
    }
    if (attempt == 3) {
      if (file.ok()) return Error(ErrorCode::busy, "object " + key + " keeps changing");
      Error error = std::move(file).error();
      // Metadata without data is damage, not absence.
      if (error.code == ErrorCode::not_found) error = Error(ErrorCode::corrupt, error.context);
      return error;
    }
  }
}

Status LocalDirectoryStore::get(const std::string& key, uint64_t offset, MutableBytes out) {
  ASSIGN_OR_RETURN(const Opened opened, open_current(key));
  if (offset > opened.meta.size || out.size() > opened.meta.size - offset) {
    return Error(ErrorCode::out_of_range, "object " + key + ": a range past its end");
  }
  return opened.file->read_at(offset, out);
}

Result<ObjectInfo> LocalDirectoryStore::head(const std::string& key) {
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  ASSIGN_OR_RETURN(const Meta meta, read_meta(key, path));
  // The data file is the object: without it, or with another length, there is nothing to confirm.
  Result<FileInfo> data = files_.info(meta.data_path(path));
  if (data.ok() && data->size == meta.size) return info_of(key, meta);
  const std::lock_guard lock(mutex_);  // no put of this process in between
  ASSIGN_OR_RETURN(const Meta again, read_meta(key, path));
  data = files_.info(again.data_path(path));
  if (!data.ok() || data->size != again.size) {
    return Error(ErrorCode::corrupt, "object " + key + ": its data is missing or cut short");
  }
  return info_of(key, again);
}

Result<bool> LocalDirectoryStore::list_directory(const std::string& directory,
                                                 const std::string& key_prefix,
                                                 const std::string& prefix,
                                                 const std::string& after, size_t limit,
                                                 unsigned depth, ListPage& page) {
  if (depth > kMaxDepth) return true;
  Result<std::vector<std::string>> names = files_.list(directory);
  if (!names.ok()) {
    if (names.error().code == ErrorCode::not_found) return true;
    return std::move(names).error();
  }
  // Keys sort by their bytes, in which a directory's name ends with '/'.
  std::vector<std::pair<std::string, std::string>> entries;  // key or key prefix, file name
  for (const std::string& name : *names) {
    std::string part;
    if (name.ends_with(kMetaEnding)) {
      if (decode_part(std::string_view(name).substr(0, name.size() - kMetaEnding.size()), part)) {
        entries.emplace_back(key_prefix + part, "");
      }
    } else if (decode_part(name, part)) {
      entries.emplace_back(key_prefix + part + "/", name);
    }
  }
  std::sort(entries.begin(), entries.end());
  for (const auto& [key, name] : entries) {
    if (!name.empty()) {
      const bool wanted = key.starts_with(prefix) || prefix.starts_with(key);
      const bool passed = key < after && !after.starts_with(key);
      if (!wanted || passed) continue;
      ASSIGN_OR_RETURN(const bool more, list_directory(join_path(directory, name), key, prefix,
                                                       after, limit, depth + 1, page));
      if (!more) return false;
      continue;
    }
    if (!key.starts_with(prefix) || (!after.empty() && key <= after)) continue;
    if (page.objects.size() == limit) {
      page.next = page.objects.back().key;
      return false;
    }
    Result<ObjectInfo> info = head(key);
    if (info.ok()) {
      page.objects.push_back(std::move(*info));
    } else if (info.error().code == ErrorCode::corrupt) {
      // Listed, so that it can be found and deleted; head and get tell that it is damaged.
      ObjectInfo damaged;
      damaged.key = key;
      page.objects.push_back(std::move(damaged));
    } else if (info.error().code != ErrorCode::not_found) {  // removed meanwhile
      return std::move(info).error();
    }
  }
  return true;
}

Result<ObjectStore::ListPage> LocalDirectoryStore::list(const std::string& prefix,
                                                        const std::string& continue_after,
                                                        size_t limit) {
  if (limit == 0) return Error(ErrorCode::invalid_argument, "list: a page of no objects");
  ListPage page;
  ASSIGN_OR_RETURN([[maybe_unused]] const bool end,
                   list_directory(options_.root, "", prefix, continue_after, limit, 0, page));
  return page;
}

Result<ObjectStore::FolderPage> LocalDirectoryStore::list_folders(const std::string& prefix,
                                                                  const std::string& continue_after,
                                                                  size_t limit) {
  if (limit == 0) return Error(ErrorCode::invalid_argument, "list: a page of no names");
  if (!prefix.empty() && !prefix.ends_with('/'))
    return bad_key(prefix, "no folder: no '/' at its end");
  std::string directory = options_.root;
  if (!prefix.empty()) {
    ASSIGN_OR_RETURN(directory, path_of(prefix.substr(0, prefix.size() - 1)));
  }
  FolderPage page;
  Result<std::vector<std::string>> names = files_.list(directory);
  if (!names.ok()) {
    if (names.error().code == ErrorCode::not_found) return page;
    return std::move(names).error();
  }
  std::string part;
  for (const std::string& name : *names) {
    if (name.find('~') == std::string::npos && decode_part(name, part) && part > continue_after) {
      page.names.push_back(part);
    }
  }
  std::sort(page.names.begin(), page.names.end());
  // A directory whose objects are all gone is no folder.
  for (size_t i = 0; i < page.names.size();) {
    if (i == limit) {
      page.names.resize(limit);
      page.next = page.names.back();
      break;
    }
    ListPage first;
    ASSIGN_OR_RETURN([[maybe_unused]] const bool end,
                     list_directory(join_path(directory, encode_part(page.names[i])),
                                    prefix + page.names[i] + "/", prefix + page.names[i] + "/", "",
                                    1, 1, first));
    if (first.objects.empty()) {
      page.names.erase(page.names.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return page;
}

Status LocalDirectoryStore::set_lock(const std::string& key, const ObjectLock& lock) {
  TRY(check_writable());
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  const std::lock_guard guard(mutex_);
  ASSIGN_OR_RETURN(Meta meta, read_meta(key, path));
  const bool retained =
      meta.lock.mode == LockMode::compliance && clock_.unix_ms() < meta.lock.retain_until_ms;
  if (retained &&
      (lock.mode != LockMode::compliance || lock.retain_until_ms < meta.lock.retain_until_ms)) {
    return Error(ErrorCode::write_protected,
                 "object " + key + ": retention in compliance mode can only be made longer");
  }
  meta.lock = lock;
  return write_meta(path, meta);
}

Result<ObjectLock> LocalDirectoryStore::lock_of(const std::string& key) {
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  ASSIGN_OR_RETURN(const Meta meta, read_meta(key, path));
  return meta.lock;
}

Result<StoreCapabilities> LocalDirectoryStore::capabilities() {
  return StoreCapabilities{true, true, true, true};
}

Result<size_t> LocalDirectoryStore::abort_unfinished(const std::string& /*prefix*/,
                                                     int64_t /*age_ms*/) {
  return size_t{0};  // the next put of the key takes what an interrupted one left
}

Status LocalDirectoryStore::remove(const std::string& key) {
  TRY(check_writable());
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  const std::lock_guard lock(mutex_);
  Result<FileInfo> there = files_.info(path + std::string(kMetaEnding));
  if (there.ok()) {
    const Result<Meta> meta = read_meta(key, path);
    if (meta.ok() && meta->locked(clock_.unix_ms())) return locked_error(key);
    // The meta file first and durably: an object is either there whole or not at all.
    TRY(discard(path + std::string(kMetaEnding)));
    TRY(files_.sync_directory(parent_directory(path)));
  } else if (there.error().code != ErrorCode::not_found) {
    return std::move(there).error();
  }
  if (!incoming_.contains(path + "~in-0")) TRY(discard(path + "~in-0"));
  TRY(discard(path + "~data-a"));
  return discard(path + "~data-b");
}

Result<ObjectInfo> LocalDirectoryStore::change_class(const std::string& key,
                                                     StorageClass storage_class) {
  TRY(check_writable());
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Meta meta, read_meta(key, path));
  if (meta.storage_class == storage_class) return info_of(key, meta);
  if (!meta.readable(clock_.unix_ms())) {
    return Error(ErrorCode::cold, "object " + key + " is in " +
                                      std::string(to_string(meta.storage_class)) +
                                      " and not restored");
  }
  meta.storage_class = storage_class;
  meta.modified_ms = clock_.unix_ms();
  meta.restore_ready_ms = 0;
  meta.restored_until_ms = 0;
  TRY(write_meta(path, meta));
  return info_of(key, meta);
}

Status LocalDirectoryStore::restore(const std::string& key, RestoreTier tier, unsigned days) {
  TRY(check_writable());
  if (days == 0) return Error(ErrorCode::invalid_argument, "restore " + key + ": for no days");
  ASSIGN_OR_RETURN(const std::string path, path_of(key));
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Meta meta, read_meta(key, path));
  if (!needs_restore(meta.storage_class)) {
    return Error(ErrorCode::invalid_argument, "restore " + key + ": it is in " +
                                                  std::string(to_string(meta.storage_class)) +
                                                  ", readable as it is");
  }
  // S3 offers no expedited retrieval for DEEP_ARCHIVE.
  if (meta.storage_class == StorageClass::deep_archive && tier == RestoreTier::expedited) {
    return Error(ErrorCode::invalid_argument,
                 "restore " + key + ": DEEP_ARCHIVE has no Expedited tier");
  }
  const int64_t now = clock_.unix_ms();
  if (meta.restore_ongoing(now)) {
    return Error(ErrorCode::conflict, "restore " + key + ": one is under way");
  }
  const int64_t kept_ms = static_cast<int64_t>(days) * options_.day_ms;
  if (meta.restored(now)) {
    meta.restored_until_ms = std::max(meta.restored_until_ms, now + kept_ms);
  } else {
    const int64_t delay_ms = tier == RestoreTier::expedited  ? options_.expedited_delay_ms
                             : tier == RestoreTier::standard ? options_.standard_delay_ms
                                                             : options_.bulk_delay_ms;
    meta.restore_ready_ms = now + std::max<int64_t>(delay_ms, 0);
    meta.restored_until_ms = meta.restore_ready_ms + kept_ms;
  }
  return write_meta(path, meta);
}

std::string LocalDirectoryStore::describe() const { return "directory " + options_.root; }

}  // namespace coldshelf
