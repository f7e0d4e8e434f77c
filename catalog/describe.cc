#include "catalog/describe.h"

#include <vector>

#include "catalog/sqlite.h"

namespace coldshelf {

using sqlite::Database;
using sqlite::Statement;

Result<std::string> describe_catalog(const std::string& path) {
  ASSIGN_OR_RETURN(const auto database, Database::open_read_only(path));
  std::string out;
  {
    ASSIGN_OR_RETURN(Statement version, database->prepare("PRAGMA user_version"));
    TRY(version.step());
    out = "schema version " + std::to_string(version.column_integer(0)) + "\n";
  }
  std::vector<std::string> tables;
  std::string schema;
  {
    ASSIGN_OR_RETURN(Statement s, database->prepare("SELECT type, name, sql FROM sqlite_master "
                                                    "WHERE sql IS NOT NULL ORDER BY type, name"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, s.step());
      if (!more) break;
      if (s.column_text(0) == "table") tables.push_back(s.column_text(1));
      schema += s.column_text(2) + ";\n";
    }
  }
  // Prepared statements are kept by the address of their text.
  std::vector<std::string> queries;
  queries.reserve(tables.size());
  for (const std::string& table : tables) {
    queries.push_back("SELECT COUNT(*) FROM \"" + table + "\"");
    ASSIGN_OR_RETURN(Statement s, database->prepare(queries.back().c_str()));
    TRY(s.step());
    out += table + ": " + std::to_string(s.column_integer(0)) + " rows\n";
  }
  return out + "\n" + schema;
}

}  // namespace coldshelf
