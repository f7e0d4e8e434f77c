#include "tape/cartridge/cartridge.h"

#include <utility>

#include "tape/cartridge/recovery.h"
#include "tape/cartridge/tape_cartridge.h"

namespace coldshelf {

namespace {

std::string manifest_path(const std::string& directory) { return join_path(directory, "manifest"); }

Result<Secret> unwrap_data_key(const CartridgeOptions& options, const Manifest& manifest) {
  if (manifest.key.empty()) return Secret();
  if (options.key == nullptr) {
    return Error(ErrorCode::key_missing, "cartridge " + manifest.label + " is encrypted with key " +
                                             manifest.key.key_id + ", and no key is configured");
  }
  return options.key->unwrap(manifest.key, manifest.uuid);
}

}  // namespace

Buffer RecordData::flatten() const {
  Buffer out;
  out.reserve(static_cast<size_t>(size));
  for (const ByteView part : parts) append(out, part);
  return out;
}

Status Cartridge::set_wrapped_key(const WrappedKey&) {
  return Error(ErrorCode::not_supported, "this kind of cartridge keeps no wrapped key");
}

Result<std::unique_ptr<Cartridge>> Cartridge::create(const CartridgeEnv& env,
                                                     const CartridgeOptions& options,
                                                     const std::string& directory,
                                                     const NewCartridge& what) {
  ASSIGN_OR_RETURN(const bool there, env.files->exists(directory));
  if (there) return Error(ErrorCode::exists, directory + " is there already");
  Manifest manifest;
  manifest.uuid = what.uuid;
  manifest.label = what.label;
  manifest.medium = what.medium;
  manifest.capacity_bytes = what.capacity_bytes;
  manifest.created_unix_ms = env.clock->unix_ms();
  manifest.worm = what.worm;
  manifest.properties = what.properties;
  manifest.partitions.resize(1);
  manifest.partitions[0].capacity_bytes = what.capacity_bytes;
  Secret data_key;
  if (options.key != nullptr) {
    ASSIGN_OR_RETURN(NewDataKey made, options.key->make_data_key(what.uuid, *env.random));
    data_key = std::move(made.plain);
    manifest.key = std::move(made.wrapped);
  }
  TRY(env.files->create_directories(directory));
  auto log = ManifestLog::create(*env.files, manifest_path(directory), std::move(manifest));
  if (!log.ok()) {
    // Nothing half-made stays behind, as far as the disk lets us.
    for (const char* name : {"manifest", "manifest.new"}) {
      static_cast<void>(env.files->remove(join_path(directory, name)).ok());
    }
    static_cast<void>(env.files->remove_directory(directory).ok());
    return std::move(log).error();
  }
  return std::unique_ptr<Cartridge>(std::make_unique<TapeCartridge>(
      env, options, directory, std::move(log).value(), std::move(data_key), 0));
}

Result<std::unique_ptr<Cartridge>> Cartridge::open(const CartridgeEnv& env,
                                                   const CartridgeOptions& options,
                                                   const std::string& directory) {
  ASSIGN_OR_RETURN(auto log, ManifestLog::open(*env.files, manifest_path(directory)));
  ASSIGN_OR_RETURN(Secret data_key, unwrap_data_key(options, log->manifest()));
  ASSIGN_OR_RETURN(const RecoveredCartridge recovered,
                   recover_cartridge(env, directory, *log, data_key));
  if (env.observer != nullptr) {
    for (const SegmentEntry& entry : recovered.sealed) {
      env.observer->segment_sealed(log->manifest(), entry, std::nullopt);
    }
  }
  return std::unique_ptr<Cartridge>(std::make_unique<TapeCartridge>(
      env, options, directory, std::move(log), std::move(data_key), recovered.next_sequence));
}

}  // namespace coldshelf
