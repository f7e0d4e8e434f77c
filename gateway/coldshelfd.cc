// The daemon's main: command line, signals, and nothing else.
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/journal_log.h"
#include "base/log.h"
#include "base/service_manager.h"
#include "gateway/cli/daemon_arguments.h"
#include "gateway/composition.h"
#include "gateway/exit_codes.h"
#include "gateway/version.h"

namespace coldshelf {
namespace {

constexpr int kHealthIntervalSeconds = 10;

using Arguments = cli::DaemonArguments;

int complain(const Error& error) {
  std::fprintf(stderr, "coldshelfd: %s\n", error.context.c_str());
  return exit_code_of(error.code);
}

Result<Config> read_config(FileSystem& files, const Arguments& arguments) {
  if (!arguments.config.empty()) return load_config(files, arguments.config, arguments.data);
  if (!arguments.data.empty()) return default_config(arguments.data);
  return Error(ErrorCode::invalid_argument, "give --config FILE or --data DIR (see --help)");
}

// Root can write everything, and what it writes the service cannot: after one start by hand, to see
// what is wrong, no start of the service would succeed.
Status check_user(const std::string& data_dir) {
  struct stat info {};
  if (::geteuid() != 0 || ::stat(data_dir.c_str(), &info) != 0 || info.st_uid == 0) return {};
  const passwd* const owner = ::getpwuid(info.st_uid);
  const std::string name = owner != nullptr ? owner->pw_name : std::to_string(info.st_uid);
  return Error(ErrorCode::conflict, "the data directory " + data_dir + " belongs to the user " +
                                        name + ", and this is root: start it as that user, " +
                                        "systemctl start coldshelf or sudo -u " + name +
                                        " coldshelfd ...");
}

// Signals are taken by sigtimedwait in the main thread; every other thread inherits the block.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);  // it means "reload" elsewhere: ending on it would be taken for a crash
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a connection's end is an error code
  return set;
}

// Until a signal asks for the end; watches over the data directory meanwhile.
int wait_for_signal(const sigset_t& signals, const Gateway& gateway) {
  bool healthy = true;
  while (true) {
    const timespec interval{kHealthIntervalSeconds, 0};
    const int number = sigtimedwait(&signals, nullptr, &interval);
    if (number == SIGHUP) {
      log_warning("gateway", "SIGHUP ignored: the configuration is read at the start alone");
    } else if (number > 0) {
      return number;
    } else if (errno != EAGAIN && errno != EINTR) {
      return SIGTERM;
    }
    notify_service_manager("WATCHDOG=1");
    const Status now = gateway.health();
    if (!now.ok() && healthy) {
      log_error("gateway", "unhealthy", {{"error", now.error().message()}});
    } else if (now.ok() && !healthy) {
      log_info("gateway", "healthy again");
    }
    healthy = now.ok();
  }
}

void set_up_log(const Config& config) {
  configure_log(config.log_level(), config.log.format == "json");
  const bool journal = config.log.format == "journal" ||
                       (config.log.format == "auto" && standard_error_is_the_journal());
  if (!journal) return;
  const Status reached = log_to_journal();
  // Lines on standard error are better than none.
  if (!reached.ok()) log_warning("gateway", "no journal", {{"error", reached.error().message()}});
}

int run(const Arguments& arguments) {
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  auto config = read_config(files, arguments);
  if (!config.ok()) return complain(config.error());
  if (arguments.check_config) {
    auto secrets = load_secrets(files, *config);
    if (!secrets.ok()) return complain(secrets.error());
    std::fputs(effective_config(*config).c_str(), stdout);
    return kExitOk;
  }
  if (const Status user = check_user(config->gateway.data_dir); !user.ok()) {
    return complain(user.error());
  }
  set_up_log(*config);
  // Frames come and go by the mebibyte: keep them on the heap rather than mapping each anew.
  mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
  const sigset_t signals = block_signals();
  log_info("gateway", "starting",
           {{"version", kVersion},
            {"data", config->gateway.data_dir},
            {"store", config->store.type == "s3" ? config->store.url : config->store.path}});
  auto gateway = Gateway::start(*config, {&files, &clock, &random, arguments.adopt_store});
  if (!gateway.ok()) {
    log_error("gateway", "cannot start", {{"error", gateway.error().message()}});
    return complain(gateway.error());
  }
  log_info("gateway", "ready");
  notify_service_manager("READY=1");
  const int number = wait_for_signal(signals, **gateway);
  notify_service_manager("STOPPING=1");
  log_info("gateway", "stopping", {{"signal", strsignal(number)}});
  Status stopped = (*gateway)->stop();
  gateway->reset();
  if (!stopped.ok()) {
    log_error("gateway", "stopped with an error", {{"error", stopped.error().message()}});
    return kExitFailed;
  }
  log_info("gateway", "stopped");
  return kExitOk;
}

}  // namespace
}  // namespace coldshelf

int main(int argc, char** argv) {
  coldshelf::Arguments arguments;
  CLI::App app;
  coldshelf::cli::define_daemon(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? coldshelf::kExitOk : coldshelf::kExitUsage;
  }
  return coldshelf::run(arguments);
}
