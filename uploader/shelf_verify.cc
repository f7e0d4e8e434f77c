// Deep verification: every byte of a cartridge, wherever it is.
#include <algorithm>

#include "tape/format/segment.h"
#include "uploader/object_file.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

void Shelf::abandon_verify() { state_->verify_abandoned = true; }

Result<Shelf::VerifyReport> Shelf::verify(
    const Uuid& cartridge, const Secret* data_key,
    const std::function<void(uint64_t done, uint64_t total)>& progress) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const Manifest manifest, s.read_manifest(cartridge));
  const uint64_t total = manifest.stored_bytes();
  VerifyReport report;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      if (s.stopping || s.verify_abandoned)
        return Error(ErrorCode::cancelled, "the shelf is stopping");
      const SegmentId id = id_of(cartridge, entry);
      const std::string key = segment_key(cartridge, entry.sequence, entry.epoch);
      const auto problem = [&](const std::string& where, const Error& error) {
        report.problems.push_back(describe(id) + ", " + where + ": " + error.message());
      };
      Result<std::unique_ptr<File>> local =
          s.env.files->open(s.segment_path_of(id), OpenMode::read);
      if (local.ok()) {
        const Status checked =
            check_segment_object(**local, cartridge, entry, data_key, *s.env.buffers);
        if (!checked.ok()) problem("local disk", checked.error());
        ASSIGN_OR_RETURN(const auto row,
                         s.env.catalog->segment(cartridge, entry.sequence, entry.epoch));
        if (row && in_store(row->state)) {
          const Result<ObjectInfo> head = s.env.store->head(key);
          if (!head.ok()) {
            problem("store", head.error());
          } else if (head->size != entry.stored_bytes) {
            problem("store", Error(ErrorCode::corrupt, "another size than the manifest's"));
          }
        }
      } else if (local.error().code != ErrorCode::not_found) {
        problem("local disk", local.error());
      } else {
        const auto content = s.env.buffers->take(static_cast<size_t>(entry.stored_bytes));
        const MutableBytes bytes(*content);
        Status got = s.env.store->get(key, 0, bytes);
        if (got.ok()) {
          ObjectFile file(bytes);
          got = check_segment_object(file, cartridge, entry, data_key, *s.env.buffers);
        }
        if (!got.ok()) problem("store", got.error());
      }
      ++report.segments;
      report.bytes += entry.stored_bytes;
      if (progress) progress(report.bytes, total);
    }
  }
  return report;
}

}  // namespace coldshelf
