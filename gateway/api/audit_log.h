// Who changed what, when, with which result: an append-only log of lines, each the SHA-256 of its
// record, a blank, and the record in JSON, which names the hash of the record before it
// (docs/api.md, "Audit"). The end of the chain is also kept elsewhere (the catalog), so that lines
// cut off at the end are missed too. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf {

struct AuditRecord {
  std::string who;        // the user
  std::string role;       // as it was then
  std::string key;        // the access key; "" on the local socket
  std::string from;       // the peer
  std::string operation;  // "CreateTapes", "SignIn"
  nlohmann::json input;   // without secrets
  std::string result;     // "ok", or the error
};

class AuditLog {
 public:
  struct Options {
    std::string directory;
    uint64_t rotate_bytes = 16 * MiB;
    // Where the end of the chain is kept, "SEQUENCE HASH"; "" when it never was.
    std::function<Result<std::string>()> load_head;
    std::function<Status(const std::string&)> save_head;
  };
  static Result<std::unique_ptr<AuditLog>> open(FileSystem& files, Clock& clock, Options options);

  // Durable when it returns ok. One that fails is tried again by the next append() or ready().
  Status append(const AuditRecord& record);
  // Whether changes can be audited now: nothing is left to be written.
  Status ready();

  // The newest first, before sequence number `before` (0: from the end), as JSON with "seq",
  // "time", and the fields of AuditRecord.
  Result<std::vector<nlohmann::json>> list(size_t limit, uint64_t before);

  struct Report {
    uint64_t records = 0;
    uint64_t last = 0;
    std::vector<std::string> problems;  // the first hundred
    bool ok() const { return problems.empty(); }
  };
  Result<Report> verify();  // every record

 private:
  struct Head {
    uint64_t sequence = 0;
    std::string hash;
    std::string text() const { return std::to_string(sequence) + " " + hash; }
  };
  AuditLog(FileSystem& files, Clock& clock, Options options);
  Status recover();
  Status remove_cut_line();
  Result<std::optional<Head>> last_record(const std::vector<std::string>& names);
  Result<std::optional<Head>> end_of_chain(const std::vector<std::string>& names,
                                           const Head& known);
  Status flush();
  Status write_line(const std::string& line);
  Status rotate_when_due();
  // What is read without holding up who writes: files that were closed never change.
  struct Snapshot {
    std::vector<std::string> closed;         // files, oldest first
    std::vector<std::string> current_lines;  // of the file that is written
    std::string saved_head;
    Head written;  // the last one by this process
  };
  Result<Snapshot> snapshot();
  Result<std::vector<std::string>> file_names();  // oldest first
  Result<std::vector<std::string>> lines_of(const std::string& name);
  static std::optional<Head> parse_head(const std::string& text);
  std::string current_path() const;

  FileSystem& files_;
  Clock& clock_;
  const Options options_;
  std::mutex mutex_;
  Head head_;
  uint64_t first_in_file_ = 0;                           // sequence; 0: the file is empty
  std::deque<std::pair<int64_t, AuditRecord>> pending_;  // not written yet, with their time
};

}  // namespace coldshelf
