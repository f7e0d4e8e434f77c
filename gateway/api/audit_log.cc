#include "gateway/api/audit_log.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/log.h"
#include "base/sha256.h"

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr const char* kCurrentName = "audit.log";
constexpr size_t kHashCharacters = 64;
constexpr size_t kMaxPending = 1'000;
constexpr size_t kMaxProblems = 100;
constexpr uint64_t kMaxFileBytes = 1 * GiB;
constexpr size_t kMaxInputBytes = 4 * KiB;

std::string first_hash() { return std::string(kHashCharacters, '0'); }
std::string hash_of(std::string_view text) { return to_hex(Sha256::of(as_view(text))); }

// "HASH RECORD" taken apart and checked; `why` says what is wrong.
bool parse_line(const std::string& line, std::string& hash, Json& record, std::string& why) {
  if (line.size() < kHashCharacters + 2 || line[kHashCharacters] != ' ') {
    why = "is not a record";
    return false;
  }
  hash = line.substr(0, kHashCharacters);
  const std::string_view text = std::string_view(line).substr(kHashCharacters + 1);
  if (hash_of(text) != hash) {
    why = "was changed: its hash is another";
    return false;
  }
  record = Json::parse(text, nullptr, false);
  if (!record.is_object() || !record.contains("seq") || !record["seq"].is_number_unsigned() ||
      !record.contains("prev") || !record["prev"].is_string()) {
    why = "is not a record";
    return false;
  }
  return true;
}

}  // namespace

AuditLog::AuditLog(FileSystem& files, Clock& clock, Options options)
    : files_(files), clock_(clock), options_(std::move(options)) {}

std::string AuditLog::current_path() const { return join_path(options_.directory, kCurrentName); }

Result<std::unique_ptr<AuditLog>> AuditLog::open(FileSystem& files, Clock& clock, Options options) {
  TRY(files.create_directories(options.directory));
  std::unique_ptr<AuditLog> out(new AuditLog(files, clock, std::move(options)));
  TRY(out->recover());
  return out;
}

std::optional<AuditLog::Head> AuditLog::parse_head(const std::string& text) {
  Head out;
  const size_t blank = text.find(' ');
  if (blank == std::string::npos) return std::nullopt;
  const auto [after, failed] = std::from_chars(text.data(), text.data() + blank, out.sequence);
  if (failed != std::errc{} || after != text.data() + blank) return std::nullopt;
  out.hash = text.substr(blank + 1);
  return out.hash.size() == kHashCharacters ? std::optional(out) : std::nullopt;
}

// "audit-000000000001.log" ... in order, then audit.log.
Result<std::vector<std::string>> AuditLog::file_names() {
  ASSIGN_OR_RETURN(const auto all, files_.list(options_.directory));
  std::vector<std::string> out;
  for (const std::string& name : all) {
    if (name.starts_with("audit-") && name.ends_with(".log")) out.push_back(name);
  }
  if (std::find(all.begin(), all.end(), kCurrentName) != all.end()) out.emplace_back(kCurrentName);
  return out;
}

Result<std::vector<std::string>> AuditLog::lines_of(const std::string& name) {
  ASSIGN_OR_RETURN(const Buffer bytes,
                   files_.read_file(join_path(options_.directory, name), kMaxFileBytes));
  std::vector<std::string> out;
  std::string_view rest = as_text(bytes);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    out.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

// A line that a crash cut short was never confirmed: it goes.
Status AuditLog::remove_cut_line() {
  ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(current_path(), kMaxFileBytes));
  const size_t whole = as_text(bytes).rfind('\n') + 1;  // npos + 1 == 0
  if (whole == bytes.size()) return {};
  ASSIGN_OR_RETURN(const auto file, files_.open(current_path(), OpenMode::read_write));
  TRY(file->truncate(whole));
  TRY(file->sync());
  log_warning("audit", "a record cut short by a crash was removed");
  return {};
}

// The last record of the last file that has any; nullopt: there is none that can be read.
Result<std::optional<AuditLog::Head>> AuditLog::last_record(const std::vector<std::string>& names) {
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    ASSIGN_OR_RETURN(const auto lines, lines_of(*name));
    if (lines.empty()) continue;
    std::string hash, why;
    Json record;
    if (!parse_line(lines.back(), hash, record, why)) break;
    return std::optional(Head{record["seq"].get<uint64_t>(), hash});
  }
  return std::optional<Head>();
}

// The end of what is chained to `known` without a gap, `known` itself when nothing is; nullopt:
// that record is not there.
Result<std::optional<AuditLog::Head>> AuditLog::end_of_chain(const std::vector<std::string>& names,
                                                             const Head& known) {
  // Backwards to the file that has it; no earlier one can when a file begins before it.
  size_t begin = names.size();
  for (bool earlier = known.sequence != 0; earlier && begin > 0;) {
    ASSIGN_OR_RETURN(const auto lines, lines_of(names[--begin]));
    std::string hash, why;
    Json record;
    earlier = lines.empty() || !parse_line(lines.front(), hash, record, why) ||
              record["seq"].get<uint64_t>() > known.sequence;
  }
  if (known.sequence == 0) begin = 0;
  bool found = known.sequence == 0;
  Head end = known;
  for (size_t i = begin; i < names.size(); ++i) {
    ASSIGN_OR_RETURN(const auto lines, lines_of(names[i]));
    for (const std::string& line : lines) {
      std::string hash, why;
      Json record;
      const bool readable = parse_line(line, hash, record, why);
      const uint64_t sequence = readable ? record["seq"].get<uint64_t>() : 0;
      if (!found) {
        found = readable && sequence == known.sequence && hash == known.hash;
        continue;
      }
      if (!readable || sequence != end.sequence + 1 ||
          record["prev"].get<std::string>() != end.hash) {
        return std::optional(end);  // verify() finds the break
      }
      end = {sequence, hash};
    }
  }
  return found ? std::optional(end) : std::nullopt;
}

// Where the chain goes on. 1. With the last line, when the head was never saved. 2. From the head,
// over every line that is chained to it: a line is durable before the head is saved, and saving it
// may have failed any number of times (a full disk, then the end of the process). 3. Anything else
// was done by somebody else: the chain goes on from the head that is known, and verify() finds the
// break.
Status AuditLog::recover() {
  ASSIGN_OR_RETURN(const std::string saved, options_.load_head());
  const auto known = parse_head(saved);
  head_ = known ? *known : Head{0, first_hash()};
  ASSIGN_OR_RETURN(const auto names, file_names());
  if (!names.empty() && names.back() == kCurrentName) {
    TRY(remove_cut_line());
    ASSIGN_OR_RETURN(const auto lines, lines_of(kCurrentName));
    std::string hash, why;
    Json record;
    if (!lines.empty() && parse_line(lines.front(), hash, record, why)) {
      first_in_file_ = record["seq"].get<uint64_t>();
    }
  }
  std::optional<Head> end;
  if (known) {
    ASSIGN_OR_RETURN(end, end_of_chain(names, *known));
  } else {
    ASSIGN_OR_RETURN(end, last_record(names));
  }
  if (end && end->hash != head_.hash) {
    head_ = *end;
    return options_.save_head(head_.text());
  }
  if (known && !end) {
    log_error("audit", "the audit log does not end where it ended; see `coldshelf audit verify`",
              {{"directory", options_.directory}, {"expected", head_.sequence}});
  }
  return {};
}

Status AuditLog::rotate_when_due() {
  const auto info = files_.info(current_path());
  if (!info.ok()) return {};  // not there: made by the next write
  if (first_in_file_ == 0 || info->size < options_.rotate_bytes) return {};
  char number[32];
  std::snprintf(number, sizeof number, "%012llu", static_cast<unsigned long long>(first_in_file_));
  // Numbers come again when the catalog was put back to an earlier time: no record is replaced.
  // ('_' stands behind '.', so that the files stay in order.)
  std::string path = join_path(options_.directory, "audit-" + std::string(number) + ".log");
  for (unsigned again = 2;; ++again) {
    ASSIGN_OR_RETURN(const bool taken, files_.exists(path));
    if (!taken) break;
    path = join_path(options_.directory,
                     "audit-" + std::string(number) + "_" + std::to_string(again) + ".log");
  }
  TRY(files_.rename(current_path(), path));
  first_in_file_ = 0;
  return files_.sync_directory(options_.directory);
}

Status AuditLog::write_line(const std::string& line) {
  ASSIGN_OR_RETURN(const bool there, files_.exists(current_path()));
  ASSIGN_OR_RETURN(const auto file, files_.open(current_path(), there ? OpenMode::read_write
                                                                      : OpenMode::create_private));
  ASSIGN_OR_RETURN(const uint64_t end, file->size());
  Status written = file->write_at(end, as_view(line));
  if (written.ok()) written = file->sync();
  // Of a new file the name, too; one whose name was not made durable has no record yet.
  if (written.ok() && end == 0) written = files_.sync_directory(options_.directory);
  if (!written.ok()) {
    // What may be there of it must not be taken for the begin of the next line.
    if (Status cut = file->truncate(end); !cut.ok()) {
      log_error("audit", "removing a half-written record", {{"error", cut.error().message()}});
    }
  }
  return written;
}

Status AuditLog::flush() {
  while (!pending_.empty()) {
    const auto& [unix_ms, record] = pending_.front();
    TRY(rotate_when_due());
    Json input = record.input;
    if (std::string text = input.dump(-1, ' ', false, Json::error_handler_t::replace);
        text.size() > kMaxInputBytes) {
      input = Json{{"Shortened", std::string(text.substr(0, kMaxInputBytes))}};
    }
    const Json out = {{"seq", head_.sequence + 1},
                      {"prev", head_.hash},
                      {"time", format_utc(unix_ms)},
                      {"who", record.who},
                      {"role", record.role},
                      {"key", record.key},
                      {"from", record.from},
                      {"operation", record.operation},
                      {"input", input},
                      {"result", record.result}};
    const std::string text = out.dump(-1, ' ', true, Json::error_handler_t::replace);
    const Head next{head_.sequence + 1, hash_of(text)};
    TRY(write_line(next.hash + " " + text + "\n"));
    head_ = next;
    if (first_in_file_ == 0) first_in_file_ = next.sequence;
    pending_.pop_front();
    TRY(options_.save_head(head_.text()));
  }
  return {};
}

Status AuditLog::append(const AuditRecord& record) {
  const std::lock_guard lock(mutex_);
  // Full: what waits must be written first, or this one is lost, and the caller is told.
  if (pending_.size() >= kMaxPending) TRY(flush());
  pending_.emplace_back(clock_.unix_ms(), record);
  return flush();
}

Status AuditLog::ready() {
  const std::lock_guard lock(mutex_);
  return flush();
}

Result<AuditLog::Snapshot> AuditLog::snapshot() {
  const std::lock_guard lock(mutex_);
  Snapshot out;
  ASSIGN_OR_RETURN(out.closed, file_names());
  if (!out.closed.empty() && out.closed.back() == kCurrentName) {
    ASSIGN_OR_RETURN(out.current_lines, lines_of(kCurrentName));
    out.closed.pop_back();
  }
  ASSIGN_OR_RETURN(out.saved_head, options_.load_head());
  out.written = head_;
  return out;
}

Result<std::vector<Json>> AuditLog::list(size_t limit, uint64_t before) {
  ASSIGN_OR_RETURN(const Snapshot files, snapshot());
  std::vector<Json> out;
  const auto take = [&](const std::vector<std::string>& lines) {
    for (auto line = lines.rbegin(); line != lines.rend() && out.size() < limit; ++line) {
      std::string hash, why;
      Json record;
      if (!parse_line(*line, hash, record, why)) continue;  // verify() tells of it
      if (before != 0 && record["seq"].get<uint64_t>() >= before) continue;
      record.erase("prev");
      out.push_back(std::move(record));
    }
  };
  take(files.current_lines);
  for (auto name = files.closed.rbegin(); name != files.closed.rend() && out.size() < limit;
       ++name) {
    ASSIGN_OR_RETURN(const auto lines, lines_of(*name));
    take(lines);
  }
  return out;
}

Result<AuditLog::Report> AuditLog::verify() {
  ASSIGN_OR_RETURN(const Snapshot files, snapshot());
  Report report;
  const auto known = parse_head(files.saved_head);
  bool passed = false;  // the record that the catalog knows
  Head last{0, first_hash()};
  const auto problem = [&](const std::string& what) {
    if (report.problems.size() < kMaxProblems) report.problems.push_back(what);
  };
  const auto check = [&](const std::string& name, const std::vector<std::string>& lines) {
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string where = name + " line " + std::to_string(i + 1);
      std::string hash, why;
      Json record;
      if (!parse_line(lines[i], hash, record, why)) {
        problem(where + " " + why);
        continue;
      }
      const auto sequence = record["seq"].get<uint64_t>();
      if (sequence != last.sequence + 1) {
        problem(where + ": record " + std::to_string(sequence) + " follows record " +
                std::to_string(last.sequence));
      } else if (record["prev"].get<std::string>() != last.hash) {
        problem(where + ": the record before it was changed");
      }
      last = {sequence, hash};
      passed = passed || (known && known->sequence == sequence && known->hash == hash);
      ++report.records;
    }
  };
  for (const std::string& name : files.closed) {
    ASSIGN_OR_RETURN(const auto lines, lines_of(name));
    check(name, lines);
  }
  check(kCurrentName, files.current_lines);
  // The catalog may lag (its disk was full); what was written by this process says where it ends.
  if (known && known->sequence != 0 && !passed) {
    problem("it ends with record " + std::to_string(last.sequence) + "; the catalog knows of " +
            std::to_string(known->sequence));
  } else if (last.sequence != files.written.sequence || last.hash != files.written.hash) {
    problem("it ends with record " + std::to_string(last.sequence) + "; the last written was " +
            std::to_string(files.written.sequence));
  }
  if (!known && last.sequence != 0) problem("the catalog does not know where it ends");
  report.last = last.sequence;
  return report;
}

}  // namespace coldshelf
