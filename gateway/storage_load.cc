#include "gateway/storage_load.h"

#include <algorithm>

#include "base/host_load.h"

namespace coldshelf {

StorageLoad storage_load(const Shelf::Statistics& shelf, const Config& config, FileSystem& files) {
  StorageLoad out;
  if (const auto bytes = files.available_bytes(config.gateway.data_dir); bytes.ok()) {
    out.disk_available_bytes = *bytes;
  }
  if (const auto bytes = file_system_bytes(config.gateway.data_dir); bytes.ok()) {
    out.disk_total_bytes = *bytes;
  }
  out.cache_used_bytes = shelf.cache_bytes;
  out.dirty_bytes = std::min(shelf.not_uploaded_bytes, shelf.cache_bytes);
  out.cache_size_bytes = config.cache.limit_bytes != 0
                             ? config.cache.limit_bytes
                             : shelf.cache_bytes + out.disk_available_bytes;
  out.buffer_used_bytes = std::max(shelf.buffer.bytes, shelf.not_uploaded_bytes);
  out.buffer_size_bytes = config.buffer.limit_bytes != 0
                              ? config.buffer.limit_bytes
                              : out.buffer_used_bytes + out.disk_available_bytes;
  return out;
}

}  // namespace coldshelf
