#include "gateway/cli/command_line.h"

#include <algorithm>

#include "base/environment.h"
#include "catalog/catalog.h"
#include "gateway/cli/output.h"
#include "gateway/cli/progress.h"
#include "gateway/exit_codes.h"
#include "gateway/units.h"
#include "gateway/version.h"

namespace coldshelf::cli {

namespace {

constexpr const char* kDefaultData = "/var/lib/coldshelf";
constexpr const char* kPackagedConfig = "/etc/coldshelf/coldshelf.toml";

bool finished(const std::string& state) {
  return state == to_string(JobState::succeeded) || state == to_string(JobState::failed) ||
         state == to_string(JobState::cancelled);
}

// What to say of the first word that is no command where it stands; nullopt: there is none.
std::optional<std::string> unknown_command(const CLI::App& app) {
  const auto left = app.remaining(true);  // a group hands up what it does not know
  if (left.empty() || left.front().starts_with("-")) return std::nullopt;
  std::string group;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().back();
    group += at->get_name() + " ";
  }
  return "there is no command '" + group + left.front() + "'; `coldshelf " + group +
         "--help` lists what there is";
}

}  // namespace

CommandLine::CommandLine(const CommandEnv& env) : env_(env) { define_globals(); }

int CommandLine::run(std::vector<std::string> arguments) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
  try {
    app_.parse(reversed);
  } catch (const CLI::ParseError& e) {
    return refuse(arguments, e);
  }
  const Status done = action_();
  if (done.ok()) return exit_code_;
  report(done.error());
  if (waited_out_) return kExitTimedOut;
  return unreachable_ ? kExitNoDaemon : exit_code_of(done.error().code);
}

// What cannot be parsed, --help and --version among it.
int CommandLine::refuse(const std::vector<std::string>& arguments, const CLI::ParseError& error) {
  const bool failed = error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success);
  std::optional<std::string> unknown;
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) unknown = unknown_command(app_);
  // Where parsing ended early nobody has looked at --json yet.
  json_ = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  if (failed && (unknown || json_)) {
    report(Error(ErrorCode::invalid_argument, unknown.value_or(error.what())));
  } else {
    app_.exit(error, out(), err());
  }
  return failed ? kExitUsage : kExitOk;
}

void CommandLine::report(const Error& error) const {
  if (json_) {
    const Json answer = {{"error", to_string(error.code)}, {"message", error.context}};
    out() << answer.dump() << "\n";
  }
  err() << "coldshelf: " << printable(error.context) << "\n";
}

// -- the tree

CLI::App* CommandLine::command(CLI::App* parent, const char* name, const char* what, Action action,
                               const char* examples) {
  CLI::App* sub = parent->add_subcommand(name, what);
  sub->fallthrough();  // --json and friends may stand at the end too
  sub->footer(std::string("Examples:\n") + examples);
  sub->callback([this, action = std::move(action)] { action_ = action; });
  return sub;
}

CLI::App* CommandLine::group(const char* name, const char* what) {
  CLI::App* sub = app_.add_subcommand(name, what);
  sub->require_subcommand(1);
  sub->fallthrough();
  return sub;
}

void CommandLine::add_wait(CLI::App* sub, bool by_default) {
  if (by_default) {
    sub->add_flag("--no-wait", no_wait_, "start the job and return");
    sub->parse_complete_callback([this] { waits_by_default_ = true; });
  } else {
    sub->add_flag("--wait", wait_, "wait until it is done, with progress");
  }
  add_timeout(sub);
}

void CommandLine::add_timeout(CLI::App* sub) {
  sub->add_option("--timeout", timeout_, "stop waiting after this long, e.g. 30s or 12h");
}

void CommandLine::add_key(CLI::App* sub, const char* what) {
  sub->add_option("--key-file", key_file_, what);
  sub->add_option("--key-env", key_env_, "the same, in an environment variable");
}

void CommandLine::define_globals() {
  app_.description("The command line of coldshelf: tapes, library, jobs.");
  app_.footer(
      "Examples:\n"
      "  coldshelf status\n"
      "  coldshelf tape create --barcode ABC001L8 --size 100GiB --count 10\n"
      "  coldshelf library load ABC001L8 1\n"
      "  coldshelf tape archive ABC001L8 --wait\n"
      "The daemon is found by --socket, --config or --data, else by $COLDSHELF_SOCKET or\n"
      "$COLDSHELF_DATA, else by /etc/coldshelf/coldshelf.toml, else in /var/lib/coldshelf.\n"
      "One elsewhere is named by --endpoint, --profile or $COLDSHELF_ENDPOINT; the access key\n"
      "comes from ~/.aws or $AWS_ACCESS_KEY_ID (docs/api.md).\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 state conflict, 5 no daemon, "
      "6 timeout.");
  app_.require_subcommand(1);
  app_.add_option("--data", data_, "the daemon's data directory");
  app_.add_option("--socket", socket_, "the daemon's API socket");
  app_.add_option("--config", config_, "the daemon's configuration file");
  app_.add_option("--endpoint", remote_.endpoint, "a daemon elsewhere, e.g. https://gateway:8443");
  app_.add_option("--profile", remote_.profile,
                  "of ~/.aws: access key, endpoint_url and ca_bundle of a daemon elsewhere");
  app_.add_option("--ca-file", remote_.ca_file, "trusts this certificate (PEM); with --endpoint");
  app_.add_flag("--json", json_, "print JSON, as the API gives it");
  app_.set_version_flag("--version", std::string("coldshelf ") + kVersion);
}

// -- what was said

Result<int64_t> CommandLine::timeout_ms() const { return parse_duration_ms(timeout_); }

Result<Config> CommandLine::effective() const {
  if (!config_.empty()) return load_config(*env_.files, config_, data_);
  const std::string data = data_.empty() ? environment("COLDSHELF_DATA") : data_;
  if (data.empty()) {
    const auto packaged = env_.files->exists(kPackagedConfig);
    if (packaged.ok() && *packaged) return load_config(*env_.files, kPackagedConfig);
  }
  return default_config(data.empty() ? kDefaultData : data);
}

Result<LoadedSecrets> CommandLine::key_alone(Config config) const {
  if (!key_file_.empty() || !key_env_.empty()) {
    config.encryption = {};
    config.encryption.key_file = key_file_;
    config.encryption.key_env = key_env_;
  }
  config.iscsi.chap = {};  // not needed, need not be readable
  return load_secrets(*env_.files, config);
}

// -- the daemon

Result<ApiClient> CommandLine::client() const {
  const bool local = !socket_.empty() || !config_.empty() || !data_.empty();
  if (remote_.given() && local) {
    return Error(ErrorCode::invalid_argument,
                 "--endpoint and --profile are for a daemon elsewhere, --socket, --config and "
                 "--data for one of this machine");
  }
  if (remote_.given() || (!local && !environment("COLDSHELF_ENDPOINT").empty())) {
    ASSIGN_OR_RETURN(Remote remote, find_remote(*env_.files, remote_));
    return ApiClient::remote(std::move(remote), *env_.clock);
  }
  if (!socket_.empty()) return ApiClient(socket_);
  const std::string from_environment = environment("COLDSHELF_SOCKET");
  if (config_.empty() && data_.empty() && !from_environment.empty()) {
    return ApiClient(from_environment);
  }
  ASSIGN_OR_RETURN(const Config config, effective());
  return ApiClient(config.api.socket);
}

Result<Json> CommandLine::call(const char* operation, const Json& input) const {
  if (!client_) {
    ASSIGN_OR_RETURN(client_, client());
  }
  return client_->call(operation, input, unreachable_);
}

void CommandLine::print_json(const Json& answer) const { out() << answer.dump(2) << "\n"; }

void CommandLine::print(const Json& answer, const Printer& print) {
  if (json_) {
    print_json(answer);
  } else {
    print(out(), printable_json(answer));
  }
}

Status CommandLine::show(const char* operation, const Json& input, const Printer& print) {
  ASSIGN_OR_RETURN(const Json answer, call(operation, input));
  this->print(answer, print);
  return {};
}

Status CommandLine::act(const char* operation, const Json& input,
                        const std::function<std::string(const Json&)>& sentence) {
  return show(operation, input,
              [&](std::ostream& out, const Json& answer) { out << sentence(answer) << "\n"; });
}

// -- jobs

Status CommandLine::run_job(const char* operation, const Json& input, const std::string& what) {
  ASSIGN_OR_RETURN(const Json started, call(operation, input));
  return follow_job(started, what);
}

Status CommandLine::follow_job(const Json& started, const std::string& what) {
  const int64_t id = started.value("JobId", int64_t{0});
  if (wait()) return watch_job(id, what);
  print(started, [id](std::ostream& out, const Json&) {
    out << "job " << id << " started; coldshelf job watch " << id << "\n";
  });
  return {};
}

Result<Json> CommandLine::wait_for_job(int64_t id) {
  ASSIGN_OR_RETURN(const int64_t timeout_ms, this->timeout_ms());
  const int64_t begin_ns = env_.clock->monotonic_ns();
  ASSIGN_OR_RETURN(Json job, call("DescribeJob", {{"JobId", id}}));
  Progress progress(err(), *env_.clock, progress_style(json_),
                    job.value("Kind", "") + " " + job.value("Barcode", ""));
  while (!finished(job.value("State", ""))) {
    progress.show(job.value("DoneBytes", uint64_t{0}), job.value("TotalBytes", uint64_t{0}),
                  job.value("Step", ""));
    if (timeout_ms != 0 && env_.clock->monotonic_ns() - begin_ns > timeout_ms * 1'000'000) {
      waited_out_ = true;
      return Error(ErrorCode::timed_out, "job " + std::to_string(id) + " is still " +
                                             job.value("State", "") + "; it goes on");
    }
    env_.clock->sleep_ms(kPollMs);
    ASSIGN_OR_RETURN(job, call("DescribeJob", {{"JobId", id}}));
  }
  return job;
}

Status CommandLine::watch_job(int64_t id, const std::string& what) {
  ASSIGN_OR_RETURN(const Json job, wait_for_job(id));
  const std::string state = job.value("State", "");
  if (json_) print_json(job);
  if (state != to_string(JobState::succeeded)) {
    exit_code_ = kExitFailed;
    err() << "coldshelf: " << job.value("Kind", "") << " of " << job.value("Barcode", "") << " "
          << state << ": " << printable(job.value("Error", "no reason was given")) << "\n";
    return {};
  }
  if (json_) return {};
  const std::string tape = what.empty() ? job.value("Barcode", "") : what;
  auto now = call("DescribeTape", {{"Barcode", tape}});
  out() << tape << ": " << job.value("Kind", "") << " done, "
        << format_size(job.value("TotalBytes", uint64_t{0}));
  if (now.ok()) {
    out() << ", " << now->value("Status", "");
    const std::string location = now->value("Location", "");
    if (!location.empty()) out() << " in " << location;
  }
  for (const char* made : {"Result", "VolumeId", "ImageId"}) {  // in EC2
    if (job.contains(made)) out() << ", made " << job.value(made, "");
  }
  out() << "\n";
  return {};
}

}  // namespace coldshelf::cli
