#include "gateway/vault.h"

#include "base/log.h"

namespace coldshelf {

std::string Vault::directory_of(const Uuid& uuid) const {
  return join_path(options_.directory, uuid.to_string());
}

Status Vault::take(const Uuid& uuid) {
  const std::lock_guard lock(mutex_);
  if (open_.emplace(uuid, nullptr).second) return {};
  return Error(ErrorCode::busy, "cartridge " + uuid.to_string() + " is in use");
}

void Vault::give_back(const Uuid& uuid) {
  const std::lock_guard lock(mutex_);
  open_.erase(uuid);
}

bool Vault::in_use(const Uuid& uuid) const {
  const std::lock_guard lock(mutex_);
  return open_.contains(uuid);
}

Result<std::unique_ptr<Cartridge>> Vault::open(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const auto row, options_.catalog->tape(uuid));
  if (!row) return Error(ErrorCode::not_found, "no tape " + uuid.to_string());
  if (row->status != TapeStatus::available && row->status != TapeStatus::retrieved &&
      row->status != TapeStatus::recovered) {
    return Error(ErrorCode::conflict,
                 "tape " + row->barcode + " is " + std::string(to_string(row->status)));
  }
  if (options_.storage) TRY(options_.storage());
  TRY(take(uuid));
  auto cartridge = Cartridge::open(options_.env, options_.cartridge, directory_of(uuid));
  if (!cartridge.ok()) {
    give_back(uuid);
    log_error("vault", "cartridge cannot be opened",
              {{"barcode", row->barcode}, {"error", cartridge.error().message()}});
    return cartridge;
  }
  {
    const std::lock_guard lock(mutex_);
    open_[uuid] = cartridge->get();
  }
  // Asked behind that, so that whoever takes it over in between is not missed.
  if (options_.writable) {
    if (const Status may = options_.writable(uuid); !may.ok()) {
      (*cartridge)->stop_writes(may.error());
      return cartridge;
    }
  }
  // A retrieved tape is read-only, as on the gateways this one stands in for.
  if (row->status == TapeStatus::retrieved && !(*cartridge)->manifest().write_protected) {
    Status protect = (*cartridge)->set_write_protected(true);
    if (!protect.ok()) {
      {
        std::unique_lock lock(mutex_);
        edited_.wait(lock, [&] { return !edits_.contains(uuid); });
        open_[uuid] = nullptr;
      }
      cartridge->reset();
      give_back(uuid);
      return protect.error();
    }
  }
  return cartridge;
}

Status Vault::close(std::unique_ptr<Cartridge> cartridge) {
  if (!cartridge) return {};
  const Uuid uuid = cartridge->uuid();
  const std::string label = cartridge->label();
  {
    std::unique_lock lock(mutex_);
    edited_.wait(lock, [&] { return !edits_.contains(uuid); });
    open_[uuid] = nullptr;
  }
  Status closed = cartridge->close();
  cartridge.reset();  // before anyone else may open the same files
  give_back(uuid);
  if (!closed.ok()) {
    log_error("vault", "cartridge closed with an error",
              {{"barcode", label}, {"error", closed.error().message()}});
  }
  return closed;
}

void Vault::stop_writes(const Uuid& uuid, const Error& why) {
  const std::lock_guard lock(mutex_);
  const auto at = open_.find(uuid);
  if (at != open_.end() && at->second != nullptr) at->second->stop_writes(why);
}

void Vault::stop_all_writes(const Error& why) {
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, cartridge] : open_) {
    if (cartridge != nullptr) cartridge->stop_writes(why);
  }
}

Result<Manifest> Vault::create(const NewCartridge& what) {
  if (options_.storage) TRY(options_.storage());
  TRY(take(what.uuid));
  auto make = [&]() -> Result<Manifest> {
    ASSIGN_OR_RETURN(auto cartridge, Cartridge::create(options_.env, options_.cartridge,
                                                       directory_of(what.uuid), what));
    TRY(cartridge->close());
    return cartridge->manifest();
  };
  auto made = make();
  give_back(what.uuid);
  return made;
}

Status Vault::discard(const Uuid& uuid) {
  FileSystem& files = *options_.env.files;
  const std::string directory = directory_of(uuid);
  ASSIGN_OR_RETURN(const auto names, files.list(directory));
  for (const std::string& name : names) TRY(files.remove(join_path(directory, name)));
  TRY(files.remove_directory(directory));
  return files.sync_directory(options_.directory);
}

Result<uint64_t> Vault::edit(const Uuid& uuid, const std::function<Status(Cartridge&)>& in_drive,
                             const std::function<Status(ManifestLog&)>& closed) {
  Cartridge* live = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto [place, taken] = open_.emplace(uuid, nullptr);
    if (!taken) {
      live = place->second;
      if (live == nullptr || !edits_.insert(uuid).second) {
        return Error(ErrorCode::busy, "cartridge " + uuid.to_string() + " is in use");
      }
    }
  }
  if (live != nullptr) {
    // In a drive. close() waits for us, so it stays.
    Status done = in_drive(*live);
    const uint64_t generation = live->manifest().generation;
    {
      const std::lock_guard lock(mutex_);
      edits_.erase(uuid);
    }
    edited_.notify_all();
    if (!done.ok()) return done.error();
    return generation;
  }
  const auto edit_log = [&]() -> Result<uint64_t> {
    ASSIGN_OR_RETURN(const auto log, ManifestLog::open(*options_.env.files,
                                                       join_path(directory_of(uuid), "manifest")));
    TRY(closed(*log));
    if (options_.env.observer != nullptr) options_.env.observer->manifest_changed(log->manifest());
    return log->manifest().generation;
  };
  auto done = edit_log();
  give_back(uuid);
  return done;
}

Result<uint64_t> Vault::set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                        const WrappedKey& after) {
  const auto check = [&](const Manifest& manifest) -> Status {
    if (manifest.key == before) return {};
    return Error(ErrorCode::busy, "cartridge " + uuid.to_string() + " has another key by now");
  };
  return edit(
      uuid,
      [&](Cartridge& live) -> Status {
        TRY(check(live.manifest()));
        return live.set_wrapped_key(after);
      },
      [&](ManifestLog& log) -> Status {
        TRY(check(log.manifest()));
        return log.commit({SetWrappedKey{after}});
      });
}

Status Vault::set_property(const Uuid& uuid, const std::string& name, const std::string& value) {
  auto done = edit(
      uuid, [&](Cartridge& live) { return live.set_property(name, value); },
      [&](ManifestLog& log) {
        return log.commit({SetProperty{name, value}});
      });
  return done.ok() ? Status() : done.error();
}

Result<uint64_t> Vault::edit(const Uuid& uuid, const std::vector<ManifestEdit>& edits) {
  return edit(
      uuid,
      [&](Cartridge&) -> Status {
        return Error(ErrorCode::busy, "cartridge " + uuid.to_string() + " is in use");
      },
      [&](ManifestLog& log) { return log.commit(edits); });
}

Result<Manifest> Vault::read_manifest(const Uuid& uuid) const {
  const std::string path = join_path(directory_of(uuid), "manifest");
  ASSIGN_OR_RETURN(const Buffer image, options_.env.files->read_file(path));
  ASSIGN_OR_RETURN(auto replayed, decode_manifest(image, true));
  return std::move(replayed.manifest);
}

Result<std::optional<Secret>> Vault::data_key(const Manifest& manifest) const {
  if (manifest.key.empty()) return std::optional<Secret>{};
  if (options_.cartridge.key == nullptr) {
    return Error(ErrorCode::key_missing, "tape " + manifest.label + " is encrypted with " +
                                             manifest.key.key_id + " and no key is configured");
  }
  ASSIGN_OR_RETURN(Secret key, options_.cartridge.key->unwrap(manifest.key, manifest.uuid));
  return std::optional<Secret>(std::move(key));
}

}  // namespace coldshelf
