// What a cartridge asks of, and tells to, whoever keeps segments elsewhere (uploader/). Both may be
// null objects.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "base/uuid.h"
#include "tape/format/manifest.h"

namespace coldshelf {

// Brings back a sealed segment whose file is not in the cartridge's directory. Thread-safe.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // The whole segment as a local file, its SHA-256 verified, waiting at most `timeout_ms`.
  // cold: in an archive class, not recalled. timed_out/unavailable: try later. not_found: nobody
  // has it (data loss).
  virtual Result<std::unique_ptr<File>> fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                              int64_t timeout_ms) = 0;
  // Bytes [offset, offset + out.size()) of the segment, for readers that check every frame
  // themselves: no digest is verified. Errors as fetch(). A source that cannot read by range
  // fetches the whole.
  virtual Status fetch_range(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                             MutableBytes out, int64_t timeout_ms) {
    ASSIGN_OR_RETURN(const auto file, fetch(cartridge, entry, timeout_ms));
    return file->read_at(offset, out);
  }
  // Bytes that fetch_range() gave failed the reader's checks: they are not given again from where
  // they came, when that was not the segment itself.
  virtual void distrust(const Uuid& /*cartridge*/, const SegmentEntry& /*entry*/,
                        uint64_t /*offset*/, uint64_t /*length*/) {}
  // Read-ahead: these will be read next. Returns at once.
  virtual void will_need(const Uuid& cartridge, std::span<const SegmentEntry> next) = 0;
  // A reader opened the segment's local file. Returns at once.
  virtual void used(const Uuid& /*cartridge*/, const SegmentEntry& /*entry*/) {}
};

// Sets the pace of writers when what they write cannot be put away as fast. Never blocks: whoever
// drives the cartridge waits, where that holds up nobody else. Thread-safe.
class WriteGate {
 public:
  virtual ~WriteGate() = default;
  // How long to wait before the cartridge's next record; 0: not at all.
  virtual int64_t hold_ms(const Uuid& cartridge) = 0;
  // A record of `bytes` was taken over. `unsealed_bytes`: what the cartridge's segments that are
  // not sealed will measure.
  virtual void wrote(const Uuid& cartridge, uint64_t bytes, uint64_t unsealed_bytes) = 0;
  virtual void closed(const Uuid& cartridge) = 0;
};

// Told of what changed, after it is durable on disk. Called on the cartridge's own threads with no
// lock of the cartridge held that a callback could need; must not block for long, must not call
// back into the cartridge.
class CartridgeObserver {
 public:
  virtual ~CartridgeObserver() = default;
  // `file_sha256`: of the whole file (entry.sha256 leaves the trailer's own digest out), when it is
  // known without reading it again.
  virtual void segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                              const std::optional<Sha256Digest>& file_sha256) = 0;
  virtual void segments_dropped(const Uuid& cartridge, std::span<const SegmentEntry> dropped) = 0;
  virtual void manifest_changed(const Manifest& manifest) = 0;
  // The cartridge has turned read-only after a failed write or sync; `why` is for the operator.
  virtual void write_failed(const Uuid& cartridge, const Error& why) = 0;
};

}  // namespace coldshelf
