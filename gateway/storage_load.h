// How full cache and upload buffer are, in AWS Storage Gateway's terms, for metrics and alarms.
#pragma once

#include <cstdint>

#include "gateway/config.h"
#include "uploader/shelf.h"

namespace coldshelf {

struct StorageLoad {
  uint64_t disk_total_bytes = 0, disk_available_bytes = 0;  // of the data directory's file system
  uint64_t cache_used_bytes = 0;
  uint64_t cache_size_bytes = 0;   // the limit, or where there is none all that the disk could take
  uint64_t dirty_bytes = 0;        // of the cache: sealed, and the store does not have it
  uint64_t buffer_used_bytes = 0;  // all that the store does not have, unsealed data too
  uint64_t buffer_size_bytes = 0;  // as cache_size_bytes

  double cache_percent_used() const { return percent(cache_used_bytes, cache_size_bytes); }
  double cache_percent_dirty() const { return percent(dirty_bytes, cache_size_bytes); }
  double buffer_percent_used() const { return percent(buffer_used_bytes, buffer_size_bytes); }
  uint64_t cache_free_bytes() const { return left(cache_used_bytes, cache_size_bytes); }
  uint64_t buffer_free_bytes() const { return left(buffer_used_bytes, buffer_size_bytes); }

 private:
  static double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  }
  static uint64_t left(uint64_t used, uint64_t size) { return used < size ? size - used : 0; }
};

// The file system's figures stay 0 when it does not tell them.
StorageLoad storage_load(const Shelf::Statistics& shelf, const Config& config, FileSystem& files);

}  // namespace coldshelf
