// Jobs in the catalog.
#include <nlohmann/json.hpp>

#include "catalog/catalog.h"
#include "catalog/catalog_state.h"

namespace coldshelf {

namespace {

using sqlite::Statement;

#define JOB_COLUMNS                                                              \
  "kind, state, cartridge, barcode, parameters, step, done_bytes, total_bytes, " \
  "done_objects, total_objects, created_ms, updated_ms, not_before_ms, error"

std::string encode_parameters(const std::map<std::string, std::string>& parameters) {
  // `replace`: text that is not UTF-8 must not throw.
  return nlohmann::json(parameters).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool decode_parameters(const std::string& text, std::map<std::string, std::string>& out) {
  const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  if (!parsed.is_object()) return false;
  for (const auto& [name, value] : parsed.items()) {
    if (!value.is_string()) return false;
    out[name] = value.get<std::string>();
  }
  return true;
}

Result<JobRow> job_of(const Statement& s) {
  JobRow row;
  row.id = s.column_integer(0);
  const int64_t kind = s.column_integer(1);
  const int64_t state = s.column_integer(2);
  if (kind < 0 || kind > static_cast<int64_t>(JobKind::export_volume) || state < 0 ||
      state > static_cast<int64_t>(JobState::cancelled) || !column_uuid(s, 3, row.cartridge) ||
      !decode_parameters(s.column_text(5), row.parameters)) {
    return damaged_row("job " + std::to_string(row.id));
  }
  row.kind = static_cast<JobKind>(kind);
  row.state = static_cast<JobState>(state);
  row.barcode = s.column_text(4);
  row.step = s.column_text(6);
  row.done_bytes = s.column_count(7);
  row.total_bytes = s.column_count(8);
  row.done_objects = s.column_count(9);
  row.total_objects = s.column_count(10);
  row.created_ms = s.column_integer(11);
  row.updated_ms = s.column_integer(12);
  row.not_before_ms = s.column_integer(13);
  row.error = s.column_text(14);
  return row;
}

Result<std::optional<JobRow>> one_job(Statement& s) {
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return std::optional<JobRow>();
  ASSIGN_OR_RETURN(JobRow row, job_of(s));
  return std::optional<JobRow>(std::move(row));
}

Result<std::vector<JobRow>> all_jobs(Statement& s) {
  std::vector<JobRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return rows;
    ASSIGN_OR_RETURN(JobRow row, job_of(s));
    rows.push_back(std::move(row));
  }
}

void bind_job(Statement& s, const JobRow& row) {
  s.integer(static_cast<int64_t>(row.kind)).integer(static_cast<int64_t>(row.state));
  s.blob(row.cartridge.view()).text(row.barcode).text(encode_parameters(row.parameters));
  s.text(row.step).count(row.done_bytes).count(row.total_bytes).count(row.done_objects);
  s.count(row.total_objects).integer(row.created_ms).integer(row.updated_ms);
  s.integer(row.not_before_ms).text(row.error);
}

}  // namespace

JobRow make_job(JobKind kind, const Uuid& cartridge, const std::string& barcode, int64_t now_ms,
                std::map<std::string, std::string> parameters) {
  JobRow row;
  row.kind = kind;
  row.cartridge = cartridge;
  row.barcode = barcode;
  row.parameters = std::move(parameters);
  row.step = "queued";
  row.created_ms = row.updated_ms = now_ms;
  return row;
}

Result<int64_t> Catalog::add_job(const JobRow& row) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("INSERT INTO jobs (" JOB_COLUMNS
                                                ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  bind_job(s, row);
  Status done = s.run();
  if (!done.ok() && done.error().code == ErrorCode::exists) {
    return Error(ErrorCode::conflict, "tape " + row.barcode + " has an unfinished job");
  }
  TRY(std::move(done));
  return state_->database->last_insert_id();
}

Status Catalog::update_job(const JobRow& row) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("UPDATE jobs SET kind = ?, state = ?, cartridge = ?, barcode = ?, "
                      "parameters = ?, step = ?, done_bytes = ?, total_bytes = ?, "
                      "done_objects = ?, total_objects = ?, created_ms = ?, updated_ms = ?, "
                      "not_before_ms = ?, error = ? WHERE id = ?"));
  bind_job(s, row);
  s.integer(row.id);
  TRY(s.run());
  if (state_->database->changes() == 1) return {};
  return Error(ErrorCode::not_found, "catalog: no job " + std::to_string(row.id));
}

Result<std::optional<JobRow>> Catalog::job(int64_t id) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT id, " JOB_COLUMNS " FROM jobs WHERE id = ?"));
  s.integer(id);
  return one_job(s);
}

Result<std::optional<JobRow>> Catalog::unfinished_job(const Uuid& cartridge) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT id, " JOB_COLUMNS
                                                " FROM jobs WHERE cartridge = ? AND state < 3"));
  s.blob(cartridge.view());
  return one_job(s);
}

Status Catalog::check_no_job(const Uuid& cartridge, ErrorCode code) {
  ASSIGN_OR_RETURN(const std::optional<JobRow> job, unfinished_job(cartridge));
  if (!job) return {};
  return Error(code, std::string(to_string(job->kind)) + " job " + std::to_string(job->id) +
                         " of " + job->barcode + " is under way");
}

Result<std::vector<JobRow>> Catalog::unfinished_jobs() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT id, " JOB_COLUMNS
                                                " FROM jobs WHERE state < 3 ORDER BY id"));
  return all_jobs(s);
}

Result<std::vector<JobRow>> Catalog::jobs(size_t limit) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT id, " JOB_COLUMNS
                                                " FROM jobs ORDER BY id DESC LIMIT ?"));
  s.count(limit);
  return all_jobs(s);
}

}  // namespace coldshelf
