#include "gateway/data_directory.h"

#include <charconv>

#include "base/log.h"
#include "base/random.h"

namespace coldshelf {

namespace {

constexpr std::string_view kVersionPrefix = "coldshelf data format ";

std::string version_path(const std::string& directory) { return join_path(directory, "version"); }

Result<unsigned> parse_version(std::string_view text, const std::string& path) {
  unsigned version = 0;
  if (text.starts_with(kVersionPrefix)) {
    text.remove_prefix(kVersionPrefix.size());
    auto [after, failed] = std::from_chars(text.data(), text.data() + text.size(), version);
    if (failed == std::errc{} && version > 0) return version;
  }
  return Error(ErrorCode::corrupt, path + " does not say which data format this directory has");
}

// Room for what a start writes before it has evicted anything: the catalog cannot even be opened on
// a disk that has none.
constexpr uint64_t kReserveBytes = 8 * MiB;
constexpr uint64_t kPieceBytes = 1 * MiB;

Status write_reserve(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, files.open(path, OpenMode::create));
  SeededRandom random(1);  // what file systems compress away reserves nothing
  Buffer piece(kPieceBytes);
  for (uint64_t at = 0; at < kReserveBytes; at += piece.size()) {
    random.fill(piece);
    TRY(file->write_at(at, piece));
  }
  return file->sync();
}

// Given up when the disk is full, made again by the next start that finds room for it.
Status keep_reserve(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const uint64_t available, files.available_bytes(parent_directory(path)));
  ASSIGN_OR_RETURN(const bool there, files.exists(path));
  if (there && available < kReserveBytes) {
    log_warning("gateway", "the disk is full: its reserve is used", {{"available", available}});
    return files.remove(path);
  }
  if (there || available < 4 * kReserveBytes) return {};
  Status written = write_reserve(files, path);
  if (!written.ok()) {
    [[maybe_unused]] const Status removed = files.remove(path);
  }
  return written;
}

Error explain(Error why, const std::string& path) {
  why.context = "the data directory " + path + " cannot be used: " + why.context;
  return why;
}

}  // namespace

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(FileSystem& files,
                                                           const std::string& path,
                                                           bool recovering) {
  if (Status made = files.create_directories(path); !made.ok()) return explain(made.error(), path);
  auto lock = files.lock(join_path(path, "lock"));
  if (!lock.ok() && lock.error().code == ErrorCode::busy) {
    return Error(ErrorCode::busy, "another coldshelfd is running on the data directory " + path);
  }
  if (!lock.ok()) return explain(lock.error(), path);

  if (!recovering) {
    auto marker = files.exists(join_path(path, kRecoveringName));
    if (!marker.ok()) return explain(marker.error(), path);
    if (*marker) {
      return Error(ErrorCode::conflict, "`coldshelf recover` was cut short in the data directory " +
                                            path + "; run it again");
    }
  }
  if (!recovering) {
    const Status kept = keep_reserve(files, join_path(path, "reserve"));
    if (!kept.ok()) log_warning("gateway", "no reserve", {{"error", kept.error().message()}});
  }
  const std::string version_file = version_path(path);
  auto found = files.read_file(version_file, 4 * KiB);
  if (found.ok()) {
    ASSIGN_OR_RETURN(const unsigned version, parse_version(as_text(*found), version_file));
    if (version > kDataFormatVersion) {
      return Error(ErrorCode::unsupported_version,
                   "the data directory " + path + " has data format " + std::to_string(version) +
                       ", made by a newer coldshelf; this one knows up to " +
                       std::to_string(kDataFormatVersion));
    }
  } else if (found.error().code != ErrorCode::not_found) {
    return explain(found.error(), path);
  } else if (auto old = files.exists(join_path(path, "catalog.db")); old.ok() && *old) {
    return Error(ErrorCode::corrupt, version_file + " is missing, though the directory is in use");
  }
  const std::string content =
      std::string(kVersionPrefix) + std::to_string(kDataFormatVersion) + "\n";
  // Only when it says something else: a start on a full disk is the way to make room there.
  if (!found.ok() || as_text(*found) != content) {
    if (Status written = files.replace_file(version_file, as_view(content)); !written.ok()) {
      return explain(written.error(), path);
    }
  }
  if (Status made = files.create_directories(join_path(path, "cartridges")); !made.ok()) {
    return explain(made.error(), path);
  }
  return std::unique_ptr<DataDirectory>(new DataDirectory(files, path, std::move(*lock)));
}

Result<bool> DataDirectory::has_cartridges() const {
  ASSIGN_OR_RETURN(const auto names, files_.list(cartridges_path()));
  return !names.empty();
}

Status DataDirectory::check() const {
  auto found = files_.exists(version_path(path_));
  if (!found.ok()) return explain(found.error(), path_);
  if (*found) return {};
  return Error(ErrorCode::io, "the data directory " + path_ + " has vanished or was emptied");
}

}  // namespace coldshelf
