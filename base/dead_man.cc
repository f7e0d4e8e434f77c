#include "base/dead_man.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace coldshelf {

namespace {

constexpr char kSettled = 's';
constexpr char kDisarm = 'd';
constexpr char kDisarmed = 'k';
constexpr char kRan = 'r';  // the exit code follows
constexpr int kOrderFd = 3;
constexpr int kReportFd = 4;

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) != 0) return error_from_errno(errno, "running " + name);
    return name;
  }
  const char* set = std::getenv("PATH");
  std::string path = set != nullptr ? set : "/usr/sbin:/usr/bin:/sbin:/bin";
  path += ':';
  for (size_t at = 0; at < path.size();) {
    const size_t end = path.find(':', at);
    const std::string candidate = path.substr(at, end - at) + "/" + name;
    if (end > at && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    at = end + 1;
  }
  return Error(ErrorCode::not_found, "running " + name + ": no such program");
}

// Below: between fork and exec, in the copy of a program that had other threads. Only what is safe
// in a signal handler is called, nothing is allocated.

struct HelperTask {
  const char* program;
  char* const* argv;
  int64_t settle_ms;
  int64_t after_ms;
  int order;
  int report;
};

void default_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void ignore_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
    ::sigaction(signal, &action, nullptr);
  }
  action.sa_handler = SIG_DFL;  // children are waited for
  ::sigaction(SIGCHLD, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

enum class Order { disarm, run, run_and_again };

// To run: our maker has ended, or the time is over.
Order wait_for_order(const HelperTask& task) {
  Order when_over = Order::run_and_again;
  int64_t deadline = now_ms() + task.settle_ms;
  while (true) {
    const int64_t left = deadline - now_ms();
    if (left <= 0) return when_over;
    pollfd order{kOrderFd, POLLIN, 0};
    const int ready = ::poll(&order, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready <= 0) continue;
    char byte = 0;
    const ssize_t n = ::read(kOrderFd, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n != 1) return when_over;
    if (byte == kDisarm) return Order::disarm;
    when_over = Order::run;
    deadline = now_ms() + task.after_ms;
  }
}

void report(const char* bytes, size_t count) {
  while (::write(kReportFd, bytes, count) < 0 && errno == EINTR) {
  }
}

void run_the_command(const HelperTask& task) {
  const pid_t command = ::_Fork();
  if (command == 0) {
    ::close(kOrderFd);
    ::close(kReportFd);
    default_signals();
    ::execve(task.program, task.argv, environ);
    ::_exit(127);
  }
  int status = 0;
  while (command > 0 && ::waitpid(command, &status, 0) < 0 && errno == EINTR) {
  }
  const int code = command > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  const std::array<char, 2> said = {kRan, static_cast<char>(code)};
  report(said.data(), said.size());
}

[[noreturn]] void be_the_helper(const HelperTask& task) {
  ignore_signals();
  // Out of the way first: either may stand where something else has to go.
  const int order = ::fcntl(task.order, F_DUPFD, 10);
  const int to_report = ::fcntl(task.report, F_DUPFD, 10);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  ::dup2(order, kOrderFd);
  ::dup2(to_report, kReportFd);
  ::close_range(kReportFd + 1, ~0U, 0);
  const Order told = wait_for_order(task);
  if (told == Order::disarm) {
    report(&kDisarmed, 1);
    ::_exit(0);
  }
  run_the_command(task);
  if (told == Order::run_and_again) {
    const int64_t until = now_ms() + task.settle_ms;
    while (now_ms() < until) ::poll(nullptr, 0, static_cast<int>(until - now_ms()));
    run_the_command(task);
  }
  ::_exit(0);
}

bool read_byte(int fd, int64_t wait_ms, char& out) {
  const int64_t deadline = now_ms() + wait_ms;
  while (true) {
    pollfd waiting{fd, POLLIN, 0};
    const int64_t left = std::max<int64_t>(deadline - now_ms(), 0);
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0) {
      const ssize_t n = ::read(fd, &out, 1);
      if (n == 1) return true;
      if (n == 0 || errno != EINTR) return false;
    }
    if (left == 0) return false;
  }
}

}  // namespace

Result<std::unique_ptr<DeadManCommand>> DeadManCommand::arm(const std::vector<std::string>& words,
                                                            int64_t settle_ms, int64_t after_ms) {
  if (words.empty()) return Error(ErrorCode::invalid_argument, "the command is empty");
  ASSIGN_OR_RETURN(const std::string program, find_program(words[0]));
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<int, 2> order{};
  std::array<int, 2> report{};
  if (::pipe2(order.data(), O_CLOEXEC) != 0) return error_from_errno(errno, "pipe");
  if (::pipe2(report.data(), O_CLOEXEC) != 0) {
    const int why = errno;
    ::close(order[0]);
    ::close(order[1]);
    return error_from_errno(why, "pipe");
  }
  const HelperTask task{program.c_str(), argv.data(), settle_ms, after_ms, order[0], report[1]};
  // Twice, so that the helper is nobody's child that must be waited for.
  const pid_t between = ::fork();
  if (between == 0) {
    ::setsid();
    const pid_t helper = ::_Fork();
    if (helper == 0) be_the_helper(task);
    ::_exit(helper > 0 ? 0 : 1);
  }
  const int why = errno;
  int status = 0;
  while (between > 0 && ::waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
  ::close(order[0]);
  ::close(report[1]);
  if (between < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    ::close(order[1]);
    ::close(report[0]);
    return error_from_errno(between < 0 ? why : EAGAIN, "fork");
  }
  return std::unique_ptr<DeadManCommand>(new DeadManCommand(order[1], report[0]));
}

void DeadManCommand::tell(char order) {
  // The helper may be gone, and a pipe knows no MSG_NOSIGNAL: SIGPIPE is kept off.
  sigset_t pipe_signal;
  sigset_t before;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  ssize_t written = 0;
  do {
    written = ::write(order_, &order, 1);
  } while (written < 0 && errno == EINTR);
  if (written < 0 && errno == EPIPE) {
    const timespec no_time{};
    while (::sigtimedwait(&pipe_signal, nullptr, &no_time) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void DeadManCommand::settled() {
  if (order_ >= 0) tell(kSettled);
}

DeadManCommand::Outcome DeadManCommand::disarm(int64_t wait_ms) {
  if (order_ < 0) return {};
  tell(kDisarm);
  ::close(order_);
  order_ = -1;
  Outcome outcome;
  char said = 0;
  char code = 0;
  const bool answered = read_byte(report_, wait_ms, said);
  outcome.ran = !answered || said == kRan;
  if (answered && said == kRan && read_byte(report_, wait_ms, code)) {
    outcome.exit_code = static_cast<unsigned char>(code);
  }
  ::close(report_);
  report_ = -1;
  return outcome;
}

DeadManCommand::~DeadManCommand() { disarm(0); }

}  // namespace coldshelf
