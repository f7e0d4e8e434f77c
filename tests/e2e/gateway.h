// A real coldshelfd in a scratch directory, its command line, and tape clients for it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tests/support/process.h"
#include "tests/support/tape_client.h"

namespace coldshelf::test {

// Where the programs under test are: the folder of this test program.
void set_program_directory(const char* argv0);
std::string program(const std::string& name);

class Gateway {
 public:
  // `configuration` is added to the TOML file's [gateway], [iscsi] and [library] sections that are
  // made here.
  explicit Gateway(std::string configuration = {});
  ~Gateway();  // one that still runs must stop without fault

  // Until the command line answers; `more`: arguments of the daemon.
  Status start(const std::vector<std::string>& more = {});
  Status start_expecting_exit(CommandResult& result);  // for start-ups that must fail
  int stop();                                          // SIGTERM; the exit code
  void kill();                                         // SIGKILL; it must have lived until then
  bool running();
  Process& process() { return *process_; }

  CommandResult cli(std::vector<std::string> arguments);
  nlohmann::json json(std::vector<std::string> arguments);  // with --json; must exit 0
  void ok(std::vector<std::string> arguments);              // must exit 0
  // The client of drive `number`, logged in and ready.
  Result<TapeClient> drive(unsigned number, const std::string& initiator = "tests");

  const std::string& directory() const { return scratch_.path(); }
  std::string data() const { return scratch_.path() + "/data"; }
  std::string store() const { return data() + "/store"; }
  std::string log() const;
  std::string portal() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string target(const std::string& device) const {
    return "iqn.2026-11.io.coldshelf:test-" + device;
  }
  void set_configuration(const std::string& more);

 private:
  ScratchDirectory scratch_;
  int port_;
  std::unique_ptr<Process> process_;
};

// Record number `n` of a seeded sequence: its size and content follow from both.
Buffer numbered_record(uint64_t seed, uint64_t n, size_t max_bytes);

}  // namespace coldshelf::test
