// What the configuration has several of: [[pool]], [[bandwidth]] and other arrays of tables.
#pragma once

#include "gateway/config_keys.h"

namespace coldshelf {

// One table of an array, with messages that say where in the file something is wrong.
class TableReader {
 public:
  TableReader(const toml::table& table, const std::string& source, const std::string& base_dir,
              std::string_view name)
      : table_(table), source_(source), base_dir_(base_dir), name_(name) {}

  const toml::table& table() const { return table_; }
  // About the table as a whole.
  Error wrong(const std::string& what) const;
  // About one key: "<file>:3:1: pool.mode: ...".
  Error wrong(std::string_view key, const std::string& what) const;
  // Leave `into` as it is when the key is not there.
  Status text(std::string_view key, std::string& into) const;
  Status texts(std::string_view key, std::vector<std::string>& into) const;
  Status count(std::string_view key, uint64_t& into) const;
  Status flag(std::string_view key, bool& into) const;
  std::string absolute(const std::string& path) const;

 private:
  const toml::table& table_;
  const std::string& source_;
  const std::string& base_dir_;
  const std::string_view name_;
};

struct TableSpec {
  std::string_view name;    // "pool": written as [[pool]]
  std::string_view plural;  // of the message when it is not: "pools"
  size_t most = 100;
  std::vector<std::string_view> keys;
  std::function<void(Config&)> clear;  // the defaults go when there is one in the file
  std::function<Status(const TableReader&, Config&)> read;  // adds one
  std::function<std::string(const Config&)> show;           // all of them, as TOML
};

std::vector<TableSpec> config_tables();

// Of a key-encryption key; empty: nothing is wrong.
std::string problem_of(const Config::KeySource& key);

}  // namespace coldshelf
