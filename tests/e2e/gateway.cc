#include "tests/e2e/gateway.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "base/coding.h"
#include "base/random.h"

namespace coldshelf::test {

namespace {

std::string& program_directory() {
  static std::string directory = ".";
  return directory;
}

std::string scratch_parent() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr ? set : "/tmp";
}

}  // namespace

void set_program_directory(const char* argv0) {
  const std::string self = argv0;
  program_directory() = self.substr(0, self.rfind('/'));
}

std::string program(const std::string& name) { return program_directory() + "/" + name; }

Gateway::Gateway(std::string configuration) : scratch_(scratch_parent()), port_(free_port()) {
  set_configuration(configuration);
}

Gateway::~Gateway() {
  const int code = stop();  // -1: ended before, and somebody knows
  EXPECT_TRUE(code == 0 || code == -1) << code << ": " << log();
}

void Gateway::set_configuration(const std::string& more) {
  std::ofstream(scratch_.path() + "/coldshelf.toml")
      << "[gateway]\nname = \"test\"\ndata_dir = \"" << data() << "\"\n[iscsi]\nlisten = [\""
      << portal() << "\"]\n"
      << (more.find("[api]") == std::string::npos ? "[api]\nlisten = \"\"\n" : "")
      << (more.find("[library]") == std::string::npos ? "[library]\nslots = 10\ndrives = 2\n" : "")
      << more;
}

Status Gateway::start(const std::vector<std::string>& more) {
  std::vector<std::string> command = {program("coldshelfd"), "--config",
                                      scratch_.path() + "/coldshelf.toml"};
  command.insert(command.end(), more.begin(), more.end());
  auto started = Process::start(command, scratch_.path() + "/log", SIGTERM);
  if (!started.ok()) return started.error();
  process_ = std::move(*started);
  SystemClock clock;
  for (int i = 0; i < 200; ++i) {
    if (cli({"status"}).exit_code == 0) return {};
    if (!process_->running()) break;
    clock.sleep_ms(50);
  }
  return Error(ErrorCode::unavailable, "coldshelfd did not start: " + log());
}

Status Gateway::start_expecting_exit(CommandResult& result) {
  ASSIGN_OR_RETURN(result, run_to_end({"timeout", "20", program("coldshelfd"), "--config",
                                       scratch_.path() + "/coldshelf.toml"}));
  return {};
}

int Gateway::stop() { return process_ ? process_->stop_and_wait() : -1; }
void Gateway::kill() { EXPECT_TRUE(process_->kill_now()) << "ended by itself: " << log(); }
bool Gateway::running() { return process_ && process_->running(); }

CommandResult Gateway::cli(std::vector<std::string> arguments) {
  std::vector<std::string> all = {program("coldshelf"), "--data", data()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto result = run_to_end(all);
  if (!result.ok()) return CommandResult{-1, result.error().message()};
  return std::move(*result);
}

nlohmann::json Gateway::json(std::vector<std::string> arguments) {
  std::vector<std::string> all = {program("coldshelf"), "--data", data(), "--json"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto result = run_to_end(all, false);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0) << result->output;
  nlohmann::json parsed = nlohmann::json::parse(result->output, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << result->output;
  return parsed;
}

void Gateway::ok(std::vector<std::string> arguments) {
  const CommandResult result = cli(arguments);
  EXPECT_EQ(result.exit_code, 0) << testing::PrintToString(arguments) << ": " << result.output;
}

Result<TapeClient> Gateway::drive(unsigned number, const std::string& initiator) {
  const std::string device =
      "tapedrive-" + std::string(number < 10 ? "0" : "") + std::to_string(number);
  ASSIGN_OR_RETURN(TapeClient client, TapeClient::connect(portal(), target(device), 0,
                                                          "iqn.2026-11.io.coldshelf:" + initiator));
  TRY(client.wait_ready(20));
  return client;
}

std::string Gateway::log() const {
  std::ifstream in(scratch_.path() + "/log");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Buffer numbered_record(uint64_t seed, uint64_t n, size_t max_bytes) {
  SeededRandom random(seed * 1'000'003 + n);
  Buffer record(16 + random.below(max_bytes - 16));
  // Every third one compresses well: noise in front of zeros.
  const size_t noise = n % 3 == 0 ? record.size() / 8 : record.size();
  std::fill(record.begin(), record.end(), std::byte{0});
  random.fill(std::span(record).first(noise));
  store_le<uint64_t>(record.data(), n);
  return record;
}

}  // namespace coldshelf::test
