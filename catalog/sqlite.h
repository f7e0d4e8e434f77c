// RAII around the few parts of SQLite the catalog uses. Not thread-safe: the catalog's lock guards
// it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace coldshelf::sqlite {

// One execution of a prepared statement: bind, then step; the destructor resets it for the next.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* prepared, sqlite3* database)
      : stmt_(prepared), database_(database) {}
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement(Statement&& other) noexcept
      : stmt_(other.stmt_), database_(other.database_), next_(other.next_) {
    other.stmt_ = nullptr;
  }

  // Binds the next parameter, first to last. Unsigned values above INT64_MAX are a caller's error.
  Statement& integer(int64_t v);
  Statement& count(uint64_t v);
  Statement& text(std::string_view v);
  Statement& blob(ByteView v);
  Statement& null();

  Result<bool> step();  // true: a row stands ready
  Status run();         // for statements without rows

  int64_t column_integer(int column) const;
  uint64_t column_count(int column) const;
  std::string column_text(int column) const;
  ByteView column_blob(int column) const;  // valid until the next step
  bool column_is_null(int column) const;

 private:
  sqlite3_stmt* stmt_;
  sqlite3* database_;
  int next_ = 1;
};

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  // not_found when there is none; nothing is made or changed.
  static Result<std::unique_ptr<Database>> open_read_only(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Status execute(const std::string& sql);  // any number of statements, rows ignored
  // Prepared once per SQL text (a string literal of the caller) and kept.
  Result<Statement> prepare(const char* sql);
  int64_t last_insert_id() const;
  int64_t changes() const;

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_;
  std::map<const char*, sqlite3_stmt*> prepared_;
};

// Rolls back when it goes without commit().
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  ~Transaction();
  Transaction(Transaction&& other) noexcept : database_(other.database_) {
    other.database_ = nullptr;
  }
  Status commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace coldshelf::sqlite
