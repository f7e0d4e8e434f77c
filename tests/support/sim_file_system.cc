#include "tests/support/sim_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace coldshelf::test {

namespace {
constexpr uint64_t kSector = 512;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Error not_found(const std::string& path) { return error_from_errno(ENOENT, path); }
}  // namespace

class SimFile final : public File {
 public:
  SimFile(SimFileSystem& files, SimFileSystem::InodePtr inode, bool writable)
      : files_(files),
        inode_(std::move(inode)),
        generation_(files.generation_),
        writable_(writable) {}

  Status read_at(uint64_t offset, MutableBytes out) override {
    const std::lock_guard lock(files_.mutex_);
    TRY(alive());
    const Buffer& content = inode_->current;
    if (offset > content.size() || out.size() > content.size() - offset) {
      return Error(ErrorCode::corrupt, "short read of " + inode_->name);
    }
    if (!out.empty()) std::memcpy(out.data(), content.data() + offset, out.size());
    return {};
  }
  Status write_at(uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(files_.mutex_);
    TRY(may_change());
    TRY(files_.count_call("write " + inode_->name, true));
    return files_.write(*inode_, offset, bytes);
  }
  Status sync() override {
    const std::lock_guard lock(files_.mutex_);
    TRY(alive());
    Status done = files_.count_call("fdatasync " + inode_->name);
    const uint64_t needs = files_.sync_needs_;
    if (done.ok() && files_.capacity_ && !inode_->unsynced.empty() &&
        files_.used_bytes() + needs > *files_.capacity_) {
      done = error_from_errno(ENOSPC, "fdatasync " + inode_->name);
    }
    if (!done.ok()) {
      // As Linux does: the pages are clean now, and gone; the next fdatasync would succeed.
      inode_->unsynced.clear();
      inode_->current = inode_->synced;
      return done;
    }
    inode_->synced = inode_->current;
    inode_->unsynced.clear();
    return {};
  }
  Status truncate(uint64_t size) override {
    const std::lock_guard lock(files_.mutex_);
    TRY(may_change());
    TRY(files_.count_call("truncate " + inode_->name));
    inode_->unsynced.push_back({true, size, {}});
    SimFileSystem::apply(inode_->current, inode_->unsynced.back(), 0);
    return {};
  }
  Result<uint64_t> size() override {
    const std::lock_guard lock(files_.mutex_);
    TRY(alive());
    return uint64_t{inode_->current.size()};
  }
  void start_writeback(uint64_t, uint64_t) override {}
  void drop_cache() override {}

 private:
  Status alive() const {
    if (generation_ == files_.generation_) return {};
    return Error(ErrorCode::io, "handle from before the crash: " + inode_->name);
  }
  Status may_change() const {
    TRY(alive());
    if (!writable_) return Error(ErrorCode::permission, "opened for reading: " + inode_->name);
    return {};
  }
  SimFileSystem& files_;
  const SimFileSystem::InodePtr inode_;
  const uint64_t generation_;
  const bool writable_;
};

class SimFileLock final : public FileLock {
 public:
  SimFileLock(SimFileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~SimFileLock() override {
    const std::lock_guard lock(files_.mutex_);
    files_.locks_.erase(path_);
  }

 private:
  SimFileSystem& files_;
  const std::string path_;
};

SimFileSystem::SimFileSystem() { directories_["/"]; }

Result<SimFileSystem::Directory*> SimFileSystem::directory_of(const std::string& path) {
  const auto found = directories_.find(parent_directory(path));
  if (found == directories_.end()) return not_found(path);
  return &found->second;
}

Result<SimFileSystem::InodePtr> SimFileSystem::find(const std::string& path) const {
  const auto directory = directories_.find(parent_directory(path));
  if (directory == directories_.end()) return not_found(path);
  const auto entry = directory->second.current.find(base_name(path));
  if (entry == directory->second.current.end()) return not_found(path);
  return entry->second;
}

Status SimFileSystem::count_call(const std::string& what, bool needs_room) {
  ++calls_;
  if (needs_room && full_at_ != 0 && calls_ >= full_at_) return error_from_errno(ENOSPC, what);
  if (fail_at_ == 0 || calls_ < fail_at_ || (calls_ > fail_at_ && !fail_forever_)) return {};
  return error_from_errno(fail_code_ == ErrorCode::no_space ? ENOSPC : EIO, what);
}

uint64_t SimFileSystem::used_bytes() const {
  uint64_t sum = 0;
  for (const auto& [path, directory] : directories_) {
    for (const auto& [name, inode] : directory.current) sum += inode->current.size();
  }
  return sum;
}

Status SimFileSystem::write(Inode& inode, uint64_t offset, ByteView bytes) {
  Status done;
  if (capacity_) {
    const uint64_t used = used_bytes();
    const uint64_t grows = offset + bytes.size() > inode.current.size()
                               ? offset + bytes.size() - inode.current.size()
                               : 0;
    if (used + grows > *capacity_) {
      done = error_from_errno(ENOSPC, "write " + inode.name);
      const uint64_t lacking = used + grows - *capacity_;
      bytes = bytes.first(bytes.size() - std::min<uint64_t>(bytes.size(), lacking));
    }
  }
  if (write_hook_) write_hook_(inode.name, offset, bytes);
  inode.unsynced.push_back({false, offset, to_buffer(bytes)});
  apply(inode.current, inode.unsynced.back(), bytes.size());
  return done;
}

void SimFileSystem::apply(Buffer& content, const Change& change, uint64_t limit) {
  if (change.truncation) {
    content.resize(static_cast<size_t>(change.offset), std::byte{0});
    return;
  }
  const size_t n = std::min<size_t>(change.bytes.size(), static_cast<size_t>(limit));
  if (n == 0) return;
  const auto at = static_cast<size_t>(change.offset);
  if (content.size() < at + n) content.resize(at + n, std::byte{0});
  std::memcpy(content.data() + at, change.bytes.data(), n);
}

void SimFileSystem::apply(std::map<std::string, InodePtr>& entries, const EntryChange& change) {
  if (!change.unlink.empty()) entries.erase(change.unlink);
  if (change.inode) entries[change.name] = change.inode;
}

Result<std::unique_ptr<File>> SimFileSystem::open(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Directory * directory, directory_of(path));
  auto inode = find(path);
  if (mode == OpenMode::create || mode == OpenMode::create_private) {
    if (inode.ok()) return error_from_errno(EEXIST, path);
    TRY(count_call("create " + path, true));
    auto fresh = std::make_shared<Inode>();
    fresh->name = path;
    directory->unsynced.push_back({base_name(path), fresh, ""});
    apply(directory->current, directory->unsynced.back());
    inode = fresh;
  }
  if (!inode.ok()) return std::move(inode).error();
  return std::unique_ptr<File>(
      std::make_unique<SimFile>(*this, std::move(inode).value(), mode != OpenMode::read));
}

Status SimFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Directory * directory, directory_of(from));
  ASSIGN_OR_RETURN(const InodePtr inode, find(from));
  if (parent_directory(from) != parent_directory(to)) {
    return Error(ErrorCode::invalid_argument, "rename between directories");
  }
  TRY(count_call("rename " + from, true));
  directory->unsynced.push_back({base_name(to), inode, base_name(from)});
  apply(directory->current, directory->unsynced.back());
  inode->name = to;
  return {};
}

Status SimFileSystem::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Directory * directory, directory_of(path));
  TRY(find(path));
  TRY(count_call("remove " + path));
  directory->unsynced.push_back({"", nullptr, base_name(path)});
  apply(directory->current, directory->unsynced.back());
  return {};
}

Status SimFileSystem::remove_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = directories_.find(path);
  if (found == directories_.end()) return not_found(path);
  if (!found->second.current.empty()) return error_from_errno(ENOTEMPTY, path);
  directories_.erase(found);
  return {};
}

Status SimFileSystem::create_directories(const std::string& path) {
  const std::lock_guard lock(mutex_);
  for (std::string at = path; directories_.count(at) == 0; at = parent_directory(at)) {
    if (find(at).ok()) return error_from_errno(EEXIST, at);
    directories_[at];
    if (at == "." || at == "/") break;
  }
  return {};
}

Status SimFileSystem::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = directories_.find(path);
  if (found == directories_.end()) return not_found(path);
  TRY(count_call("fsync directory " + path));
  found->second.synced = found->second.current;
  found->second.unsynced.clear();
  return {};
}

Result<std::vector<std::string>> SimFileSystem::list(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  const auto found = directories_.find(directory);
  if (found == directories_.end()) return not_found(directory);
  std::vector<std::string> names;
  for (const auto& [name, inode] : found->second.current) names.push_back(name);
  for (const auto& [path, other] : directories_) {
    if (path != directory && parent_directory(path) == directory) names.push_back(base_name(path));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<FileInfo> SimFileSystem::info(const std::string& path) {
  const std::lock_guard lock(mutex_);
  FileInfo found;
  if (directories_.count(path) != 0) {
    found.is_directory = true;
    return found;
  }
  ASSIGN_OR_RETURN(const InodePtr inode, find(path));
  found.size = inode->current.size();
  return found;
}

Result<uint64_t> SimFileSystem::available_bytes(const std::string&) {
  const std::lock_guard lock(mutex_);
  const uint64_t used = used_bytes();
  const uint64_t capacity = capacity_.value_or(1 * TiB);
  return capacity > used ? capacity - used : 0;
}

Result<std::unique_ptr<FileLock>> SimFileSystem::lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!locks_.emplace(path, true).second) return Error(ErrorCode::busy, path + " is locked");
  return std::unique_ptr<FileLock>(std::make_unique<SimFileLock>(*this, path));
}

// What a power loss leaves of one file.
Buffer SimFileSystem::survivor(const Inode& inode, Random& random) {
  Buffer content = inode.synced;
  if (inode.unsynced.empty()) return content;
  // Either the first writes (a disk that keeps the order) or any of them (one that does not).
  const bool in_order = random.one_in(2);
  const uint64_t kept = random.below(inode.unsynced.size() + 1);
  for (size_t i = 0; i < inode.unsynced.size(); ++i) {
    const Change& change = inode.unsynced[i];
    if (in_order ? i >= kept : random.one_in(2)) continue;
    uint64_t limit = change.bytes.size();
    const bool torn = in_order ? i + 1 == kept && random.one_in(2) : random.one_in(4);
    if (torn && limit > 0) {
      // Sectors are whole: the tear is at a multiple of 512 in the file.
      const uint64_t end = (change.offset + random.below(limit + 1)) / kSector * kSector;
      limit = end > change.offset ? end - change.offset : 0;
    }
    apply(content, change, limit);
  }
  return content;
}

void SimFileSystem::crash(Random& random) {
  const std::lock_guard lock(mutex_);
  for (auto& [path, directory] : directories_) {
    const bool in_order = random.one_in(2);
    const uint64_t kept = random.below(directory.unsynced.size() + 1);
    for (size_t i = 0; i < directory.unsynced.size(); ++i) {
      const bool lost = in_order ? i >= kept : random.one_in(2);
      if (!lost) apply(directory.synced, directory.unsynced[i]);
    }
    directory.current = directory.synced;
    directory.unsynced.clear();
    for (const auto& [name, inode] : directory.current) {
      inode->current = survivor(*inode, random);
      inode->synced = inode->current;
      inode->unsynced.clear();
      inode->name = join_path(path, name);
    }
  }
  locks_.clear();
  ++generation_;
}

void SimFileSystem::kill() {
  const std::lock_guard lock(mutex_);
  locks_.clear();
  ++generation_;
}

uint64_t SimFileSystem::counted_calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void SimFileSystem::fail_call(uint64_t number, ErrorCode code, bool forever) {
  const std::lock_guard lock(mutex_);
  fail_at_ = number;
  fail_code_ = code;
  fail_forever_ = forever;
}

void SimFileSystem::no_faults() {
  const std::lock_guard lock(mutex_);
  fail_at_ = 0;
  full_at_ = 0;
  capacity_.reset();
}

void SimFileSystem::full_from(uint64_t number) {
  const std::lock_guard lock(mutex_);
  full_at_ = number;
}

void SimFileSystem::set_capacity(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void SimFileSystem::set_sync_needs(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  sync_needs_ = bytes;
}

Result<Buffer> SimFileSystem::content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const InodePtr inode, find(path));
  return inode->current;
}

Status SimFileSystem::flip(const std::string& path, uint64_t offset, unsigned bit) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const InodePtr inode, find(path));
  if (offset >= inode->current.size()) return Error(ErrorCode::out_of_range, path);
  const auto at = static_cast<size_t>(offset);
  inode->current[at] ^= static_cast<std::byte>(1U << bit);
  if (at < inode->synced.size()) inode->synced[at] = inode->current[at];
  return {};
}

std::vector<std::string> SimFileSystem::all_files() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, directory] : directories_) {
    for (const auto& [name, inode] : directory.current) paths.push_back(join_path(path, name));
  }
  return paths;
}

void SimFileSystem::on_write(std::function<void(const std::string&, uint64_t, ByteView)> hook) {
  const std::lock_guard lock(mutex_);
  write_hook_ = std::move(hook);
}

}  // namespace coldshelf::test
