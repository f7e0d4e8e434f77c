#include "catalog/sqlite.h"

#include <sqlite3.h>

#include "base/check.h"

namespace coldshelf::sqlite {

namespace {

constexpr int kBusyTimeoutMs = 10'000;  // another process (an inspecting person) holds the lock

ErrorCode code_of(int rc) {
  switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::busy;
    case SQLITE_FULL:
      return ErrorCode::no_space;
    case SQLITE_IOERR:
      return ErrorCode::io;
    case SQLITE_READONLY:
      return ErrorCode::read_only;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return ErrorCode::permission;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::corrupt;
    case SQLITE_CONSTRAINT:
      return ErrorCode::exists;
    default:
      return ErrorCode::internal;
  }
}

Error failure(sqlite3* database, int rc) {
  return Error(code_of(rc),
               std::string("catalog: ") +
                   (database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(rc)));
}

}  // namespace

Statement::~Statement() {
  if (stmt_ == nullptr) return;
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
}

Statement& Statement::integer(int64_t v) {
  CHECK(sqlite3_bind_int64(stmt_, next_++, v) == SQLITE_OK);
  return *this;
}

Statement& Statement::count(uint64_t v) {
  CHECK(v <= INT64_MAX);
  return integer(static_cast<int64_t>(v));
}

Statement& Statement::text(std::string_view v) {
  CHECK(sqlite3_bind_text64(stmt_, next_++, v.data() == nullptr ? "" : v.data(), v.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::blob(ByteView v) {
  CHECK(sqlite3_bind_blob64(stmt_, next_++, v.data(), v.size(), SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Statement& Statement::null() {
  CHECK(sqlite3_bind_null(stmt_, next_++) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return failure(database_, rc);
}

Status Statement::run() {
  ASSIGN_OR_RETURN(const bool row, step());
  CHECK(!row);
  return {};
}

int64_t Statement::column_integer(int column) const { return sqlite3_column_int64(stmt_, column); }

uint64_t Statement::column_count(int column) const {
  return static_cast<uint64_t>(column_integer(column));
}

std::string Statement::column_text(int column) const {
  const unsigned char* text = sqlite3_column_text(stmt_, column);
  if (text == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(text),
                     static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

ByteView Statement::column_blob(int column) const {
  const void* data = sqlite3_column_blob(stmt_, column);
  if (data == nullptr) return {};
  return {static_cast<const std::byte*>(data),
          static_cast<size_t>(sqlite3_column_bytes(stmt_, column))};
}

bool Statement::column_is_null(int column) const {
  return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  sqlite3* handle = nullptr;
  // No mutex inside SQLite: the catalog has its own around every call.
  const int rc =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (rc != SQLITE_OK) {
    Error error = failure(handle, rc);
    error.context += " (" + path + ")";
    sqlite3_close(handle);
    return error;
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return std::unique_ptr<Database>(new Database(handle));
}

Result<std::unique_ptr<Database>> Database::open_read_only(const std::string& path) {
  sqlite3* handle = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  if (rc != SQLITE_OK) {
    Error error = failure(handle, rc);
    if (rc == SQLITE_CANTOPEN) error.code = ErrorCode::not_found;
    error.context += " (" + path + ")";
    sqlite3_close(handle);
    return error;
  }
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return std::unique_ptr<Database>(new Database(handle));
}

Database::~Database() {
  for (const auto& [sql, stmt] : prepared_) sqlite3_finalize(stmt);
  sqlite3_close(handle_);
}

Status Database::execute(const std::string& sql) {
  const int rc = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return failure(handle_, rc);
  return {};
}

Result<Statement> Database::prepare(const char* sql) {
  auto at = prepared_.find(sql);
  if (at == prepared_.end()) {
    sqlite3_stmt* stmt = nullptr;
    const int rc = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
    if (rc != SQLITE_OK) return failure(handle_, rc);
    at = prepared_.emplace(sql, stmt).first;
  }
  return Statement(at->second, handle_);
}

int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }
int64_t Database::changes() const { return sqlite3_changes64(handle_); }

Result<Transaction> Transaction::begin(Database& database) {
  TRY(database.execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // After some errors SQLite has rolled back by itself; then this one reports "no transaction".
  [[maybe_unused]] const Status undone = database_->execute("ROLLBACK");
}

Status Transaction::commit() {
  Status done = database_->execute("COMMIT");
  if (done.ok()) database_ = nullptr;
  return done;
}

}  // namespace coldshelf::sqlite
