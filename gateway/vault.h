// Where the gateway's cartridges live, and who has which of them open. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "catalog/catalog.h"
#include "tape/cartridge/cartridge.h"
#include "tape/library/library.h"

namespace coldshelf {

class Vault final : public CartridgeVault {
 public:
  struct Options {
    std::string directory;  // <directory>/<uuid>/
    CartridgeEnv env;
    CartridgeOptions cartridge;
    Catalog* catalog = nullptr;
    // Whether the data directory is the one it was: a vanished one would be made anew by the first
    // cartridge, on the wrong disk. May be empty.
    std::function<Status()> storage;
    // Whether this gateway may write the cartridge, which another one may have taken over. May be
    // empty.
    std::function<Status(const Uuid&)> writable = {};
  };
  explicit Vault(Options options) : options_(std::move(options)) {}

  // For a drive. busy: already open; conflict: the tape's status does not allow it (ARCHIVING...).
  Result<std::unique_ptr<Cartridge>> open(const Uuid& uuid) override;
  Status close(std::unique_ptr<Cartridge> cartridge) override;

  // Ends writing to a cartridge that is open, at once; to all of them.
  void stop_writes(const Uuid& uuid, const Error& why);
  void stop_all_writes(const Error& why);

  // A new, empty cartridge on disk; closed again when this returns.
  Result<Manifest> create(const NewCartridge& what);
  // Undoes create() as long as nothing else knows of it.
  Status discard(const Uuid& uuid);

  // Key rotation: replaces the wrapped key if it is still `before`, durably, and tells the
  // observer; gives the manifest's generation then. Beside a drive that uses the cartridge, too.
  // busy: it is being opened or closed, or has another wrapped key by now.
  // Of a cartridge that is closed; busy: it is in use. Gives the manifest's generation.
  Result<uint64_t> edit(const Uuid& uuid, const std::vector<ManifestEdit>& edits);
  Result<uint64_t> set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                   const WrappedKey& after);

  // A property of its manifest, durably; "" removes it. Beside a drive that uses the cartridge,
  // too. busy: it is being opened or closed.
  Status set_property(const Uuid& uuid, const std::string& name, const std::string& value);

  bool in_use(const Uuid& uuid) const;
  std::string directory_of(const Uuid& uuid) const;
  // As on disk; for a cartridge nobody has open.
  Result<Manifest> read_manifest(const Uuid& uuid) const;
  // The plain data key; nullopt: not encrypted. key_missing, key_mismatch.
  Result<std::optional<Secret>> data_key(const Manifest& manifest) const;

 private:
  // `in_drive` on the open cartridge, or `closed` on the manifest's log of one nobody has open.
  Result<uint64_t> edit(const Uuid& uuid, const std::function<Status(Cartridge&)>& in_drive,
                        const std::function<Status(ManifestLog&)>& closed);
  Status take(const Uuid& uuid);
  void give_back(const Uuid& uuid);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable edited_;
  std::map<Uuid, Cartridge*> open_;  // null: taken, but not (or no longer) there to be used
  std::set<Uuid> edits_;             // an edit uses the cartridge: close() waits
};

}  // namespace coldshelf
