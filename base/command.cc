#include "base/command.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <limits>

namespace coldshelf {

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kErrorTextBytes = 200;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void reset(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
  Status open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return error_from_errno(errno, "pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
    return {};
  }
};

// The child with its process group: killed and waited for, however this ends.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill_all();
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  Status start(const std::vector<std::string>& words, int out, int err);
  void kill_all() const {
    // Both: the group may be gone while the child is not reaped yet.
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
  }
  pid_t pid() const { return pid_; }
  Result<int> wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) return error_from_errno(errno, "waitpid");
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_ = 0;
};

Status Child::start(const std::vector<std::string>& words, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  // A session of its own: no terminal to ask, and one group to kill. The daemon's signal mask and
  // its ignored signals are not the child's.
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  sigdelset(&defaults, SIGKILL);
  sigdelset(&defaults, SIGSTOP);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const int rc = ::posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) {
    pid_ = 0;
    return error_from_errno(rc, "running " + words[0]);
  }
  return {};
}

// Secrets pass through it: cleaned, and never reallocated on the way.
struct Collected {
  std::vector<char> bytes;
  size_t used = 0;
  explicit Collected(size_t limit) : bytes(limit + 1) {}
  Collected(const Collected&) = delete;
  Collected& operator=(const Collected&) = delete;
  ~Collected() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
  bool full() const { return used == bytes.size(); }
  std::string_view text() const { return {bytes.data(), used}; }
  // False: the end.
  bool take(int fd) {
    std::array<char, 4096> rest;
    // What goes beyond the limit is read and thrown away.
    const bool keep = !full();
    char* to = keep ? bytes.data() + used : rest.data();
    const size_t room = keep ? bytes.size() - used : rest.size();
    const ssize_t n = ::read(fd, to, room);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    if (keep) used += static_cast<size_t>(n);
    return n > 0;
  }
};

bool has_ended(const Child& child) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == child.pid();
}

// Reads until the output is at its end and the child has ended. False: the time is over, or the
// output is too long.
bool collect(const Child& child, Pipe& out_pipe, Pipe& err_pipe, Collected& out, Collected& err,
             int64_t timeout_ms, const std::atomic<bool>* cancelled) {
  constexpr int64_t kLookAtCancelledMs = 100;
  constexpr int64_t kLookAgainMs = 5;  // for the end of a child that has closed its output
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (out_pipe.read.get() >= 0 || !has_ended(child)) {
    const int64_t left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || (cancelled != nullptr && cancelled->load())) return false;
    std::array<pollfd, 2> waiting = {
        {{out_pipe.read.get(), POLLIN, 0}, {err_pipe.read.get(), POLLIN, 0}}};
    int64_t wait_ms = out_pipe.read.get() >= 0 ? left : std::min(left, kLookAgainMs);
    if (cancelled != nullptr) wait_ms = std::min(wait_ms, kLookAtCancelledMs);
    wait_ms = std::min<int64_t>(wait_ms, std::numeric_limits<int>::max());
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(wait_ms));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if (waiting[0].revents != 0 && !out.take(out_pipe.read.get())) out_pipe.read.close();
    if (waiting[1].revents != 0 && !err.take(err_pipe.read.get())) err_pipe.read.close();
    if (out.full()) return false;
  }
  return true;
}

std::string first_line(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, text.find('\n'))) {
    if (out.size() >= kErrorTextBytes) break;
    out += c >= ' ' && c != '\x7f' ? c : '?';
  }
  return out;
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Result<std::vector<std::string>> split_command_line(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      const bool escapes = quote == '"' && c == '\\' && i + 1 < text.size() &&
                           (text[i + 1] == '"' || text[i + 1] == '\\');
      if (escapes) {
        word += text[++i];
      } else if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == '\\' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return Error(ErrorCode::invalid_argument, "a quote in the command is not closed");
  if (in_word) words.push_back(std::move(word));
  if (words.empty()) return Error(ErrorCode::invalid_argument, "the command is empty");
  return words;
}

Result<Secret> run_program(const std::vector<std::string>& words, const CommandLimits& limits) {
  if (words.empty()) return Error(ErrorCode::invalid_argument, "the command is empty");
  Pipe out_pipe;
  Pipe err_pipe;
  TRY(out_pipe.open());
  TRY(err_pipe.open());
  ::fcntl(out_pipe.read.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(err_pipe.read.get(), F_SETFL, O_NONBLOCK);
  Child child;
  TRY(child.start(words, out_pipe.write.get(), err_pipe.write.get()));
  out_pipe.write.close();
  err_pipe.write.close();
  Collected out(limits.max_output_bytes);
  Collected err(4096);
  if (!collect(child, out_pipe, err_pipe, out, err, limits.timeout_ms, limits.cancelled)) {
    child.kill_all();
    if (limits.cancelled != nullptr && limits.cancelled->load()) {
      return Error(ErrorCode::cancelled, words[0] + " was ended");
    }
    if (out.full()) {
      return Error(ErrorCode::out_of_range, words[0] + " printed more than " +
                                                std::to_string(limits.max_output_bytes) + " bytes");
    }
    return Error(ErrorCode::timed_out,
                 words[0] + " did not end within " + std::to_string(limits.timeout_ms) + " ms");
  }
  ASSIGN_OR_RETURN(const int status, child.wait());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    if (err_pipe.read.get() >= 0) err.take(err_pipe.read.get());
    const std::string said = first_line(err.text());
    return Error(ErrorCode::io,
                 words[0] + ": " + describe_end(status) + (said.empty() ? "" : ": " + said));
  }
  return Secret(out.text());
}

}  // namespace coldshelf
