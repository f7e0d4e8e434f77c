#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/check.h"

namespace coldshelf::test {

namespace {

std::vector<char*> argument_vector(const std::vector<std::string>& arguments) {
  std::vector<char*> out;
  for (const std::string& a : arguments) out.push_back(const_cast<char*>(a.c_str()));  // NOLINT
  out.push_back(nullptr);
  return out;
}

// Forks and executes with standard output and error as given.
Result<pid_t> spawn(const std::vector<std::string>& arguments, int output, int errors) {
  std::vector<char*> argv = argument_vector(arguments);
  const pid_t pid = ::fork();
  if (pid < 0) return error_from_errno(errno, "fork");
  if (pid == 0) {
    ::dup2(output, 1);
    ::dup2(errors, 2);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  return pid;
}

uint64_t status_kib(pid_t pid, const std::string& field) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (in >> word) {
    if (word == field + ":") {
      uint64_t kib = 0;
      in >> kib;
      return kib;
    }
  }
  return 0;
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<std::unique_ptr<Process>> Process::start(const std::vector<std::string>& arguments,
                                                const std::string& log_path, int stop_signal) {
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (log < 0) return error_from_errno(errno, "open " + log_path);
  auto pid = spawn(arguments, log, log);
  ::close(log);
  if (!pid.ok()) return pid.error();
  return std::unique_ptr<Process>(new Process(*pid, stop_signal));
}

Process::~Process() { stop_and_wait(); }

int Process::stop_and_wait() {
  if (pid_ <= 0) return -1;
  ::kill(pid_, stop_signal_);
  return wait_for(std::exchange(pid_, -1));
}

void Process::pause() { ::kill(pid_, SIGSTOP); }
void Process::go_on() { ::kill(pid_, SIGCONT); }
void Process::send(int signal) { ::kill(pid_, signal); }

bool Process::kill_now() {
  if (pid_ <= 0) return false;
  ::kill(pid_, SIGKILL);
  return wait_for(std::exchange(pid_, -1)) == 128 + SIGKILL;
}

bool Process::running() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

uint64_t Process::resident_bytes() const { return status_kib(pid_, "VmRSS") * 1024; }
uint64_t Process::peak_resident_bytes() const { return status_kib(pid_, "VmHWM") * 1024; }

double Process::cpu_seconds() const {
  std::ifstream in("/proc/" + std::to_string(pid_) + "/stat");
  std::string text;
  std::getline(in, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

Result<CommandResult> run_to_end(const std::vector<std::string>& arguments,
                                 bool with_standard_error) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return error_from_errno(errno, "pipe");
  auto pid = spawn(arguments, pipe_ends[1], with_standard_error ? pipe_ends[1] : 2);
  ::close(pipe_ends[1]);
  CommandResult result;
  char chunk[4096];
  ssize_t n = 0;
  while ((n = ::read(pipe_ends[0], chunk, sizeof chunk)) > 0) {
    result.output.append(chunk, static_cast<size_t>(n));
  }
  ::close(pipe_ends[0]);
  if (!pid.ok()) return pid.error();
  result.exit_code = wait_for(*pid);
  return result;
}

Result<std::string> run_command(const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(CommandResult result, run_to_end(arguments));
  if (result.exit_code != 0) {
    std::string line;
    for (const std::string& a : arguments) line += a + " ";
    return Error(ErrorCode::internal, line + "failed: " + result.output);
  }
  return std::move(result.output);
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

ScratchDirectory::ScratchDirectory(const std::string& under) {
  std::string pattern = under + "/coldshelf-bench.XXXXXX";
  CHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace coldshelf::test
