#include "gateway/cli/cartridge_export.h"

#include <algorithm>
#include <cstdio>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/executor.h"
#include "gateway/cli/image_export.h"
#include "gateway/cli/scratch_directory.h"
#include "gateway/cli/tar_writer.h"
#include "tape/cartridge/cartridge.h"
#include "tape/format/segment.h"
#include "uploader/segment_file_check.h"
#include "uploader/shelf.h"

namespace coldshelf::cli {

namespace {

constexpr uint64_t kTransferBytes = 4 * MiB;
constexpr size_t kSegmentsKept = 3;
constexpr size_t kMaxRuns = 1'000'000;  // of record lengths, in index.json

class SharedFile final : public File {
 public:
  explicit SharedFile(std::shared_ptr<File> file) : file_(std::move(file)) {}
  Status read_at(uint64_t offset, MutableBytes out) override { return file_->read_at(offset, out); }
  Status write_at(uint64_t, ByteView) override {
    return Error(ErrorCode::read_only, "a fetched segment is not written");
  }
  Status sync() override { return {}; }
  Status truncate(uint64_t) override {
    return Error(ErrorCode::read_only, "a fetched segment is not written");
  }
  Result<uint64_t> size() override { return file_->size(); }
  void start_writeback(uint64_t, uint64_t) override {}
  void drop_cache() override { file_->drop_cache(); }

 private:
  const std::shared_ptr<File> file_;
};

// Segments from the store as nameless local files; the last few are kept.
class StoreSegments final : public SegmentSource {
 public:
  StoreSegments(const ExportEnv& env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}

  Result<std::unique_ptr<File>> fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                      int64_t /*timeout_ms*/) override {
    const std::lock_guard lock(mutex_);
    const std::string key = segment_key(cartridge, entry.sequence, entry.epoch);
    auto found =
        std::find_if(kept_.begin(), kept_.end(), [&](const auto& one) { return one.first == key; });
    if (found == kept_.end()) {
      ASSIGN_OR_RETURN(std::shared_ptr<File> file, download(key, entry));
      kept_.emplace_front(key, std::move(file));
      if (kept_.size() > kSegmentsKept) kept_.pop_back();
      found = kept_.begin();
    }
    return std::unique_ptr<File>(std::make_unique<SharedFile>(found->second));
  }
  void will_need(const Uuid&, std::span<const SegmentEntry>) override {}

 private:
  Result<std::shared_ptr<File>> download(const std::string& key, const SegmentEntry& entry) {
    const std::string path =
        join_path(directory_, segment_file_stem(entry.sequence, entry.epoch) + ".fetched");
    ASSIGN_OR_RETURN(std::shared_ptr<File> file, env_.files->open(path, OpenMode::create));
    TRY(env_.files->remove(path));  // it lives as long as it is open
    // The store may lie about its content; the manifest's digest does not.
    SegmentHasher hasher(entry.stored_bytes);
    Buffer part;
    for (uint64_t at = 0; at < entry.stored_bytes; at += part.size()) {
      part.resize(std::min(kTransferBytes, entry.stored_bytes - at));
      TRY(env_.store->get(key, at, part));
      hasher.update(part);
      TRY(file->write_at(at, part));
    }
    if (Status whole = hasher.finish(entry.sha256); !whole.ok()) {
      Error why = whole.error();
      why.context = key + ": " + why.context;
      return why;
    }
    return file;
  }

  const ExportEnv& env_;
  const std::string directory_;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<File>>> kept_;
};

Result<Manifest> read_manifest(ObjectStore& store, const Uuid& uuid) {
  ASSIGN_OR_RETURN(const Buffer image, store.get_all(manifest_key(uuid)));
  ASSIGN_OR_RETURN(auto replayed, decode_manifest(image, false));
  return std::move(replayed.manifest);
}

// Looks at one key per cartridge: '~' sorts behind every key of a cartridge.
Result<Manifest> find_cartridge(ObjectStore& store, const std::string& wanted) {
  if (const auto uuid = Uuid::parse(wanted)) return read_manifest(store, *uuid);
  const std::string prefix = "cartridges/";
  std::optional<Manifest> found;
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(const auto page, store.list(prefix, after, 1));
    if (page.objects.empty()) break;
    const std::string& key = page.objects.front().key;
    const std::string name =
        key.substr(prefix.size(), key.find('/', prefix.size()) - prefix.size());
    after = prefix + name + "/~";
    const auto uuid = Uuid::parse(name);
    if (!uuid) continue;
    auto manifest = read_manifest(store, *uuid);
    if (!manifest.ok() && manifest.error().code == ErrorCode::not_found) continue;
    if (!manifest.ok()) return manifest;
    if (manifest->label != wanted) continue;
    if (found) {
      return Error(ErrorCode::conflict, "two cartridges have the label " + wanted + ": " +
                                            found->uuid.to_string() + " and " +
                                            manifest->uuid.to_string() + "; name one by its uuid");
    }
    found = std::move(*manifest);
  }
  if (found) return std::move(*found);
  return Error(ErrorCode::not_found,
               "the store (" + store.describe() + ") has no cartridge " + wanted);
}

// "NAME@POINT" is looked for as a name first.
Result<Manifest> find_with_point(ObjectStore& store, const std::string& wanted,
                                 std::string& point) {
  auto found = find_cartridge(store, wanted);
  const size_t at = wanted.rfind('@');
  if (found.ok() || found.error().code != ErrorCode::not_found || at == std::string::npos) {
    return found;
  }
  auto image = find_cartridge(store, wanted.substr(0, at));
  if (!image.ok()) return image.error().code == ErrorCode::not_found ? found : image;
  if (image->kind != CartridgeKind::image) {
    return Error(ErrorCode::invalid_argument, image->label + " is a tape: it has no points");
  }
  point = wanted.substr(at + 1);
  return image;
}

// Better now than after half of it is written.
Status check_readable(ObjectStore& store, const Manifest& manifest, int64_t now_ms) {
  uint64_t cold = 0;
  std::string example;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      ASSIGN_OR_RETURN(const ObjectInfo info,
                       store.head(segment_key(manifest.uuid, entry.sequence, entry.epoch)));
      if (!needs_restore(info.storage_class) || info.restored_until_ms > now_ms) continue;
      ++cold;
      example = to_string(info.storage_class);
    }
  }
  if (cold == 0) return {};
  return Error(ErrorCode::cold, std::to_string(cold) + " segments of " + manifest.label +
                                    " lie in " + example +
                                    "; bring them back first: coldshelf tape retrieve " +
                                    manifest.label + " --wait");
}

// The files of one cartridge on their way into the tar.
class FileExporter {
 public:
  FileExporter(const ExportEnv& env, const Manifest& manifest, TarWriter& tar)
      : env_(env), manifest_(manifest), tar_(tar), total_bytes_(manifest.plain_bytes()) {}

  Status run(Cartridge& cartridge) {
    for (uint32_t partition = 0; partition < cartridge.partition_count(); ++partition) {
      TRY(run_partition(cartridge, partition));
    }
    return {};
  }

  Status write_index() {
    nlohmann::json index = {
        {"barcode", manifest_.label},         {"uuid", manifest_.uuid.to_string()},
        {"medium", manifest_.medium},         {"created", format_utc(manifest_.created_unix_ms)},
        {"generation", manifest_.generation}, {"files", files_}};
    const std::string text = index.dump(1) + "\n";
    return tar_.add_member("index.json", modified_s(), as_view(text));
  }

  ExportReport report;

 private:
  int64_t modified_s() const { return manifest_.created_unix_ms / 1000; }

  Status run_partition(Cartridge& cartridge, uint32_t partition) {
    Position at{partition, 0, 0};
    bool open = false;
    uint64_t number = 0;
    while (true) {
      ASSIGN_OR_RETURN(TapeObject object, cartridge.read(at));
      const bool ends = object.kind == TapeObject::Kind::end_of_data;
      if (ends && !open) return {};
      if (!open) {
        TRY(begin(partition, ++number));
        open = true;
      }
      if (object.kind == TapeObject::Kind::record) {
        TRY(add_record(object.record));
        continue;
      }
      TRY(end(!ends));
      open = false;
      if (ends) return {};
    }
  }

  Status begin(uint32_t partition, uint64_t number) {
    char name[64];
    std::snprintf(name, sizeof name, "file-%04llu.bin", static_cast<unsigned long long>(number));
    file_ = {{"name", (partition == 0 ? "" : "partition-" + std::to_string(partition) + "/") +
                          std::string(name)},
             {"partition", partition}};
    runs_.clear();
    file_bytes_ = file_records_ = 0;
    return tar_.begin_member(file_["name"].get<std::string>(), modified_s());
  }

  Status add_record(const RecordData& record) {
    for (const ByteView part : record.parts) TRY(tar_.append(part));
    if (runs_.empty() || runs_.back().first != record.size) {
      if (++run_count_ > kMaxRuns) runs_dropped_ = true;
      if (!runs_dropped_) runs_.emplace_back(record.size, 0);
    }
    if (!runs_dropped_) ++runs_.back().second;
    file_bytes_ += record.size;
    ++file_records_;
    report.bytes += record.size;
    ++report.records;
    if (env_.progress) env_.progress(report.bytes, total_bytes_);
    return {};
  }

  Status end(bool filemark) {
    TRY(tar_.end_member());
    file_["bytes"] = file_bytes_;
    file_["records"] = file_records_;
    file_["filemark"] = filemark;
    // [length, count] pairs; left out when the tape has too many different ones in a row.
    if (!runs_dropped_) file_["record_lengths"] = runs_;
    files_.push_back(std::move(file_));
    ++report.files;
    return {};
  }

  const ExportEnv& env_;
  const Manifest& manifest_;
  TarWriter& tar_;
  const uint64_t total_bytes_;
  nlohmann::json files_ = nlohmann::json::array();
  nlohmann::json file_;
  std::vector<std::pair<uint64_t, uint64_t>> runs_;
  size_t run_count_ = 0;
  bool runs_dropped_ = false;
  uint64_t file_bytes_ = 0;
  uint64_t file_records_ = 0;
};

}  // namespace

Result<ExportReport> export_cartridge(const ExportEnv& env, const ExportRequest& request) {
  std::string point;
  ASSIGN_OR_RETURN(const Manifest manifest, find_with_point(*env.store, request.cartridge, point));
  TRY(check_readable(*env.store, manifest, env.clock->unix_ms()));
  if (manifest.kind == CartridgeKind::image) return export_image(env, request, manifest, point);
  ASSIGN_OR_RETURN(auto tar, TarWriter::create(*env.files, request.output, request.overwrite));
  ASSIGN_OR_RETURN(auto scratch, ScratchDirectory::make(*env.files, *env.random,
                                                        parent_directory(request.output)));
  // A cartridge whose every segment is elsewhere: what a gateway has after a retrieve, too.
  const std::string directory = scratch->path();
  TRY(env.files->replace_file(join_path(directory, "manifest"), encode_manifest(manifest)));
  StoreSegments segments(env, directory);
  WorkerPool workers(2);
  WorkerPool sealers(1);
  CartridgeEnv cartridge_env;
  cartridge_env.files = env.files;
  cartridge_env.clock = env.clock;
  cartridge_env.random = env.random;
  cartridge_env.workers = &workers;
  cartridge_env.sealers = &sealers;
  cartridge_env.buffers = BufferPool::create(32 * MiB);
  cartridge_env.source = &segments;
  CartridgeOptions options;
  options.key = env.key;
  ASSIGN_OR_RETURN(auto cartridge, Cartridge::open(cartridge_env, options, directory));
  FileExporter exporter(env, manifest, *tar);
  TRY(exporter.run(*cartridge));
  TRY(exporter.write_index());
  TRY(cartridge->close());
  TRY(tar->finish());
  exporter.report.barcode = manifest.label;
  return exporter.report;
}

}  // namespace coldshelf::cli
