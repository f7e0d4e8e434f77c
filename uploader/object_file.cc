#include "uploader/object_file.h"

#include "tape/format/segment.h"

namespace coldshelf {

Status check_segment_object(File& file, const Uuid& cartridge, const SegmentEntry& entry,
                            const Secret* data_key, BufferPool& pool) {
  TRY(verify_segment(file, cartridge, data_key, pool));
  ASSIGN_OR_RETURN(const SegmentMap map, read_segment_map(file));
  if (map.trailer.sha256 != entry.sha256 || map.file_size != entry.stored_bytes ||
      map.header.sequence != entry.sequence || map.header.epoch != entry.epoch) {
    return Error(ErrorCode::corrupt, "a whole segment, but not the one the manifest names");
  }
  return {};
}

}  // namespace coldshelf
