// What all commands share: the tree of them, the options before them, the daemon, waiting for jobs,
// output. One command runs in a process.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/cli/client.h"
#include "gateway/cli/commands.h"
#include "gateway/config.h"
#include "gateway/secrets.h"

namespace coldshelf::cli {

class CommandLine {
 public:
  using Action = std::function<Status()>;
  using Printer = std::function<void(std::ostream&, const Json&)>;

  explicit CommandLine(const CommandEnv& env);
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  int run(std::vector<std::string> arguments);

  // -- the tree
  CLI::App* root() { return &app_; }
  CLI::App* group(const char* name, const char* what);
  CLI::App* command(CLI::App* parent, const char* name, const char* what, Action action,
                    const char* examples);
  // --wait, or --no-wait where waiting is the rule, and --timeout.
  void add_wait(CLI::App* sub, bool by_default);
  void add_timeout(CLI::App* sub);
  // --key-file and --key-env, for commands that need no daemon.
  void add_key(CLI::App* sub, const char* what);

  // -- what was said
  const CommandEnv& env() const { return env_; }
  std::ostream& out() const { return *env_.out; }
  std::ostream& err() const { return *env_.err; }
  bool json() const { return json_; }
  bool wait() const { return wait_ || (waits_by_default_ && !no_wait_); }
  Result<int64_t> timeout_ms() const;  // 0: as long as it takes
  bool says_where() const { return !data_.empty() || !config_.empty(); }
  Result<Config> effective() const;
  // The keys of add_key() if given, else the configuration's; no other secret.
  Result<LoadedSecrets> key_alone(Config config) const;
  void set_exit_code(int code) { exit_code_ = code; }

  // -- the daemon
  Result<Json> call(const char* operation, const Json& input) const;
  // The answer, as JSON or printed.
  Status show(const char* operation, const Json& input, const Printer& print);
  // Likewise; `sentence` says what was done.
  Status act(const char* operation, const Json& input,
             const std::function<std::string(const Json&)>& sentence);
  void print(const Json& answer, const Printer& print);
  void print_json(const Json& answer) const;

  // -- jobs. `what`: the tape's barcode or the volume's name; empty: the job knows.
  Status run_job(const char* operation, const Json& input, const std::string& what);
  Status follow_job(const Json& started, const std::string& what);
  Status watch_job(int64_t id, const std::string& what);

 private:
  void define_globals();
  void report(const Error& error) const;
  int refuse(const std::vector<std::string>& arguments, const CLI::ParseError& error);
  Result<ApiClient> client() const;
  mutable std::optional<ApiClient> client_;  // made once: a remote one keeps its connection
  Result<Json> wait_for_job(int64_t id);

  const CommandEnv env_;
  CLI::App app_;
  Action action_;
  int exit_code_ = 0;
  std::string data_, socket_, config_;
  RemoteChoice remote_;
  bool json_ = false;
  bool wait_ = false, no_wait_ = false, waits_by_default_ = false;
  std::string timeout_ = "0";
  std::string key_file_, key_env_;
  mutable bool unreachable_ = false;  // the last call found no daemon
  bool waited_out_ = false;           // the time to wait for a job was over
};

// The whole tree.
void define_commands(CommandLine& line);  // commands.cc

// Each puts its commands into the tree.
void define_library_commands(CommandLine& line);                    // library_commands.cc
void define_tape_commands(CommandLine& line);                       // tape_commands.cc
void define_pool_commands(CommandLine& line);                       // pool_commands.cc
void define_key_commands(CommandLine& line);                        // key_commands.cc
void define_alarm_commands(CommandLine& line);                      // alarm_commands.cc
void define_setup_commands(CommandLine& line);                      // setup_commands.cc
void define_store_commands(CommandLine& line);                      // store_command_line.cc
void define_volume_commands(CommandLine& line);                     // volume_commands.cc
void define_notify_commands(CommandLine& line);                     // notify_commands.cc
void define_policy_commands(CommandLine& line);                     // policy_commands.cc
void define_resource_commands(CommandLine& line);                   // resource_commands.cc
void define_settings_commands(CommandLine& line);                   // settings_commands.cc
void define_device_commands(CommandLine& line, CLI::App* library);  // settings_commands.cc
void define_api_commands(CommandLine& line);                        // api_commands.cc
void define_other_commands(CommandLine& line);                      // other_commands.cc
void define_user_commands(CommandLine& line);                       // user_commands.cc
void define_reference_commands(CommandLine& line);                  // reference_commands.cc

constexpr int64_t kPollMs = 200;  // while waiting for the daemon

}  // namespace coldshelf::cli
