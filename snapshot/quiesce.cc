#include "snapshot/quiesce.h"

#include <nlohmann/json.hpp>

#include "base/command.h"
#include "base/dead_man.h"
#include "base/log.h"
#include "base/uuid.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kComponent = "quiesce";
constexpr unsigned kPostAttempts = 3;
constexpr int64_t kAttemptPauseMs = 1'000;
constexpr int64_t kSettleMarginMs = 10'000;
// Behind a command before that was killed because it took too long. Less than the pause before
// anybody freezes the same again.
constexpr int64_t kLateMs = 20'000;
constexpr unsigned kMaxStarts = 3;
constexpr size_t kMaxLeftBehind = 1'000;

struct Entry {
  std::string what;
  std::vector<std::string> post;
  int64_t timeout_ms = 0;
  unsigned starts = 0;  // that have tried it
};

std::string encode(const Entry& entry) {
  const Json json = {{"what", entry.what},
                     {"post", entry.post},
                     {"timeout_ms", entry.timeout_ms},
                     {"starts", entry.starts}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Entry> decode(ByteView bytes, const std::string& path) {
  try {
    const Json json = Json::parse(as_text(bytes));
    Entry entry;
    entry.what = json.at("what").get<std::string>();
    entry.post = json.at("post").get<std::vector<std::string>>();
    entry.timeout_ms = json.at("timeout_ms").get<int64_t>();
    entry.starts = json.at("starts").get<unsigned>();
    if (!entry.post.empty()) return entry;
  } catch (const std::exception&) {
  }
  return Error(ErrorCode::corrupt, path + " is not what quiescing leaves behind");
}

Status run(const std::vector<std::string>& words, int64_t timeout_ms) {
  CommandLimits limits;
  limits.timeout_ms = timeout_ms;
  limits.max_output_bytes = 1 * MiB;
  Result<Secret> output = run_program(words, limits);
  if (!output.ok()) return output.error();
  return {};
}

// More than once: a system that stays frozen is worse than a command that runs twice.
Status run_post(const std::vector<std::string>& words, int64_t timeout_ms, Clock& clock) {
  Status last;
  for (unsigned attempt = 1; attempt <= kPostAttempts; ++attempt) {
    if (attempt > 1) clock.sleep_ms(kAttemptPauseMs);
    last = run(words, timeout_ms);
    if (last.ok()) return {};
    log_warning(kComponent, "the command after failed",
                {{"attempt", attempt}, {"error", last.error().message()}});
  }
  return last;
}

Error with(const Error& error, const std::string& before) {
  return Error(error.code, before + ": " + error.context);
}

class CommandFrozen final : public Frozen {
 public:
  CommandFrozen(FileSystem& files, Clock& clock, QuiesceCommands commands, std::string what,
                std::string journal)
      : files_(files),
        clock_(clock),
        commands_(std::move(commands)),
        what_(std::move(what)),
        journal_(std::move(journal)) {}
  ~CommandFrozen() override {
    Status thawed = thaw();
    if (!thawed.ok()) {
      log_error(kComponent, "thawing failed",
                {{"what", what_}, {"error", thawed.error().message()}});
    }
  }

  // 1. The journal is durable. 2. The helper waits. 3. Only then the command before begins.
  Status freeze() {
    TRY(guard(commands_.pre_timeout_ms + kSettleMarginMs));
    Status frozen;
    if (!commands_.pre.empty()) frozen = run(commands_.pre, commands_.pre_timeout_ms);
    if (frozen.ok()) {
      if (helper_) helper_->settled();
      settled_ = true;
      return {};
    }
    Error why = with(frozen.error(), "the command before (" + what_ + ")");
    Status thawed = thaw();
    // It was killed here, but what it asked of another machine may go on there, and freeze it now.
    if (why.code == ErrorCode::timed_out && !commands_.post.empty()) {
      const Status guarded = guard(kLateMs + kSettleMarginMs);
      clock_.sleep_ms(kLateMs);
      thawed = guarded.ok() ? thaw() : guarded;
    }
    if (!thawed.ok()) why.context += "; and " + thawed.error().context;
    return why;
  }

  Status thaw() override {
    if (!started_) return {};
    started_ = false;
    if (commands_.post.empty()) return {};
    const DeadManCommand::Outcome helper = helper_->disarm(commands_.post_timeout_ms);
    helper_.reset();
    // What it did before the command before had ended does not count.
    if (helper.ran && settled_ && helper.exit_code == 0) {
      forget();
      return Error(ErrorCode::timed_out, what_ + " was frozen for more than " +
                                             std::to_string(commands_.longest_ms) +
                                             " ms: thawed before the point was made");
    }
    Status ran = run_post(commands_.post, commands_.post_timeout_ms, clock_);
    if (!ran.ok()) return with(ran.error(), "the command after (" + what_ + ")");
    forget();
    if (helper.ran && settled_) {
      return Error(ErrorCode::timed_out,
                   what_ + ": the watchdog had to thaw it before the point was made");
    }
    return {};
  }

 private:
  // Steps 1 and 2 of freeze().
  Status guard(int64_t settle_ms) {
    if (!commands_.post.empty()) {
      const std::string text = encode({what_, commands_.post, commands_.post_timeout_ms, 0});
      TRY(files_.replace_file(journal_, as_view(text)));
      auto armed = DeadManCommand::arm(commands_.post, settle_ms, commands_.longest_ms);
      if (!armed.ok()) {
        (void)!files_.remove(journal_).ok();
        return with(armed.error(), "the command after (" + what_ + ")");
      }
      helper_ = std::move(*armed);
    }
    started_ = true;
    return {};
  }

  void forget() {
    Status removed = files_.remove(journal_);
    if (!removed.ok()) {
      log_warning(kComponent, "journal not removed", {{"error", removed.error().message()}});
    }
  }

  FileSystem& files_;
  Clock& clock_;
  const QuiesceCommands commands_;
  const std::string what_;
  const std::string journal_;
  bool started_ = false;
  bool settled_ = false;  // the command before has done its work
  std::unique_ptr<DeadManCommand> helper_;
};

}  // namespace

QuiesceCommands with_arguments(QuiesceCommands commands,
                               const std::vector<std::pair<std::string, std::string>>& values) {
  for (std::vector<std::string>* words : {&commands.pre, &commands.post}) {
    for (size_t i = 1; i < words->size(); ++i) {
      std::string& word = (*words)[i];
      for (const auto& [name, value] : values) {
        const std::string mark = "{" + name + "}";
        for (size_t at = word.find(mark); at != std::string::npos;
             at = word.find(mark, at + value.size())) {
          word.replace(at, mark.size(), value);
        }
      }
    }
  }
  return commands;
}

CommandQuiescer::CommandQuiescer(FileSystem& files, Clock& clock, Random& random,
                                 std::string directory)
    : files_(files), clock_(clock), random_(random), directory_(std::move(directory)) {}

Result<std::unique_ptr<Frozen>> CommandQuiescer::freeze(const QuiesceCommands& commands,
                                                        const std::string& what) {
  TRY(files_.create_directories(directory_));
  const std::string journal = join_path(directory_, Uuid::generate(random_).to_string() + ".json");
  auto frozen = std::make_unique<CommandFrozen>(files_, clock_, commands, what, journal);
  TRY(frozen->freeze());
  return std::unique_ptr<Frozen>(std::move(frozen));
}

Result<std::vector<std::string>> CommandQuiescer::thaw_left_behind() {
  TRY(files_.create_directories(directory_));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(directory_));
  std::vector<std::string> done;
  for (const std::string& name : names) {
    if (!name.ends_with(".json") || done.size() == kMaxLeftBehind) continue;
    const std::string path = join_path(directory_, name);
    ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(path, 1 * MiB));
    Result<Entry> entry = decode(bytes, path);
    if (!entry.ok()) {
      done.push_back(entry.error().context);
      continue;
    }
    Status ran = run_post(entry->post, entry->timeout_ms, clock_);
    ++entry->starts;
    if (ran.ok()) {
      done.push_back(entry->what + ": thawed after a crash");
    } else {
      done.push_back(entry->what + ": thawing after a crash failed: " + ran.error().context);
    }
    if (ran.ok() || entry->starts >= kMaxStarts) {
      TRY(files_.remove(path));
    } else {
      TRY(files_.replace_file(path, as_view(encode(*entry))));
    }
  }
  return done;
}

}  // namespace coldshelf
