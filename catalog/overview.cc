// How many tapes there are in each status, and which have a problem, without looking at every row:
// temporary triggers keep the counts for as long as the catalog is open. They belong to this
// connection, not to the schema, so that no version of the file knows of them.
#include "catalog/catalog.h"
#include "catalog/catalog_state.h"

namespace coldshelf {

using sqlite::Statement;

namespace {
// Of tapes alone: a volume may have the name of a tape, and volumes are few. Not INSERT OR IGNORE:
// in a trigger the conflict clause of the statement that fires it counts, and put_tape() has one.
constexpr const char* kCounters = R"sql(
CREATE TEMP TABLE tape_counts (status TEXT PRIMARY KEY, tapes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE tape_problems (barcode TEXT PRIMARY KEY, problem TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO tape_counts SELECT status, COUNT(*) FROM main.tapes WHERE kind = 0
  GROUP BY status;
INSERT INTO tape_problems SELECT barcode, problem FROM main.tapes
  WHERE kind = 0 AND problem <> '';
CREATE TEMP TRIGGER tape_counted AFTER INSERT ON main.tapes WHEN NEW.kind = 0 BEGIN
  INSERT INTO tape_counts SELECT NEW.status, 0
    WHERE NOT EXISTS (SELECT 1 FROM tape_counts WHERE status = NEW.status);
  UPDATE tape_counts SET tapes = tapes + 1 WHERE status = NEW.status;
  DELETE FROM tape_problems WHERE barcode = NEW.barcode;
  INSERT INTO tape_problems SELECT NEW.barcode, NEW.problem WHERE NEW.problem <> '';
END;
CREATE TEMP TRIGGER tape_uncounted AFTER DELETE ON main.tapes WHEN OLD.kind = 0 BEGIN
  UPDATE tape_counts SET tapes = tapes - 1 WHERE status = OLD.status;
  DELETE FROM tape_problems WHERE barcode = OLD.barcode;
END;
CREATE TEMP TRIGGER tape_recounted AFTER UPDATE OF status ON main.tapes
WHEN NEW.kind = 0 AND OLD.status <> NEW.status BEGIN
  INSERT INTO tape_counts SELECT NEW.status, 0
    WHERE NOT EXISTS (SELECT 1 FROM tape_counts WHERE status = NEW.status);
  UPDATE tape_counts SET tapes = tapes - 1 WHERE status = OLD.status;
  UPDATE tape_counts SET tapes = tapes + 1 WHERE status = NEW.status;
END;
CREATE TEMP TRIGGER tape_troubled AFTER UPDATE OF problem ON main.tapes
WHEN NEW.kind = 0 AND OLD.problem <> NEW.problem BEGIN
  DELETE FROM tape_problems WHERE barcode = NEW.barcode;
  INSERT INTO tape_problems SELECT NEW.barcode, NEW.problem WHERE NEW.problem <> '';
END;
)sql";
}  // namespace

Status Catalog::begin_counting() { return state_->database->execute(kCounters); }

Result<std::map<TapeStatus, uint64_t>> Catalog::tape_counts() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT status, tapes FROM tape_counts"));
  std::map<TapeStatus, uint64_t> out;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return out;
    const auto status = parse_tape_status(s.column_text(0));
    if (!status) return damaged_row("status of a tape");
    if (s.column_integer(1) > 0) out[*status] = s.column_count(1);
  }
}

Result<std::vector<std::pair<std::string, std::string>>> Catalog::tape_problems(size_t limit) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT barcode, problem FROM tape_problems "
                                                "ORDER BY barcode LIMIT ?"));
  s.integer(static_cast<int64_t>(limit));
  std::vector<std::pair<std::string, std::string>> out;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return out;
    out.emplace_back(s.column_text(0), s.column_text(1));
  }
}

}  // namespace coldshelf
