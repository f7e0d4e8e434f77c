#include "gateway/old_archives.h"

#include <map>

#include "base/log.h"
#include "gateway/volume_entry.h"
#include "tape/format/manifest.h"

namespace coldshelf {

namespace {

// Its name. An error: it is no archive, or a damaged one.
Result<std::string> label_of_image(FileSystem& files, const std::string& directory,
                                   const std::optional<Uuid>& uuid) {
  if (!uuid) return Error(ErrorCode::corrupt, "its name is no uuid");
  ASSIGN_OR_RETURN(const Buffer manifest, files.read_file(join_path(directory, "manifest")));
  ASSIGN_OR_RETURN(const ReplayedManifest replayed, decode_manifest(manifest, true));
  if (replayed.manifest.uuid != *uuid || replayed.manifest.kind != CartridgeKind::image) {
    return Error(ErrorCode::corrupt, "its manifest is of something else");
  }
  return replayed.manifest.label;
}

}  // namespace

Status take_over_old_archives(FileSystem& files, Catalog& catalog, const std::string& data_dir,
                              const std::string& cartridges) {
  const std::string old = join_path(data_dir, "archives");
  ASSIGN_OR_RETURN(const bool there, files.exists(old));
  if (!there) return {};
  std::map<std::string, Uuid> taken;
  ASSIGN_OR_RETURN(const auto images, catalog.images());
  for (const TapeRow& image : images) taken[lower_case(image.barcode)] = image.uuid;
  ASSIGN_OR_RETURN(const auto names, files.list(old));
  bool empty = true;
  for (const std::string& name : names) {
    const auto uuid = Uuid::parse(name);
    const std::string from = join_path(old, name);
    const auto label = label_of_image(files, from, uuid);
    if (!label.ok()) {
      // What a removal or a creation that was cut short left, or a damaged one, which must not
      // keep all others away.
      log_warning("gateway", "this is no archive that can be read, and stays",
                  {{"path", from}, {"error", label.error().message()}});
      empty = false;
      continue;
    }
    if (taken.try_emplace(lower_case(*label), *uuid).first->second != *uuid) {
      log_error("gateway",
                "an old archive is not available: a volume has its name; clone that volume to "
                "another name, delete it and restart the gateway",
                {{"name", *label}, {"path", from}});
      empty = false;
      continue;
    }
    TRY(files.rename(from, join_path(cartridges, name)));
    TRY(files.sync_directory(cartridges));
    TRY(files.sync_directory(old));
    log_info("gateway", "archive taken over", {{"name", *label}, {"uuid", name}});
  }
  if (!empty) return {};
  TRY(files.remove_directory(old));
  return files.sync_directory(data_dir);
}

}  // namespace coldshelf
