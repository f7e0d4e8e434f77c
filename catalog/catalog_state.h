// What the catalog's source files share.
#pragma once

#include <memory>
#include <mutex>

#include "catalog/catalog.h"
#include "catalog/sqlite.h"

namespace coldshelf {

struct Catalog::State {
  std::mutex mutex;
  std::unique_ptr<sqlite::Database> database;

  // Prepares `sql` under the lock that the caller holds.
  Result<sqlite::Statement> prepare(const char* sql) { return database->prepare(sql); }
};

// Columns that came back wrong: the file was changed by something else than this program.
inline Error damaged_row(const std::string& what) {
  return Error(ErrorCode::corrupt, "catalog: damaged row: " + what);
}

inline bool column_uuid(const sqlite::Statement& row, int column, Uuid& out) {
  const ByteView bytes = row.column_blob(column);
  if (bytes.size() != out.bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return true;
}

}  // namespace coldshelf
