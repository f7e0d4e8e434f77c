#include "gateway/cli/daemon_arguments.h"

#include "gateway/version.h"

namespace coldshelf::cli {

void define_daemon(CLI::App& app, DaemonArguments& arguments) {
  app.description("The coldshelf gateway: tapes and disks over iSCSI, kept in an object store.");
  app.footer(
      "One of --config and --data is needed.\n"
      "Examples:\n"
      "  coldshelfd --data /var/lib/coldshelf\n"
      "  coldshelfd --config /etc/coldshelf/coldshelf.toml\n"
      "  coldshelfd --config /etc/coldshelf/coldshelf.toml --check-config\n"
      "Signals:\n"
      "  SIGTERM, SIGINT   a clean end: initiators are asked to log out, what is in drives is\n"
      "                    synced, transfers go on at the next start\n"
      "  SIGHUP            logged and ignored: the configuration is read at the start alone\n"
      "Environment:\n"
      "  NOTIFY_SOCKET     systemd is told when the gateway is ready, and that it lives\n"
      "  JOURNAL_STREAM    log.format = \"auto\" writes to the journal then\n"
      "  AWS_...           credentials and settings of the store and of KMS "
      "(docs/s3-credentials.md)\n"
      "Files:\n"
      "  /etc/coldshelf/coldshelf.toml   the packaged configuration\n"
      "  /var/lib/coldshelf              the packaged data directory\n"
      "  /run/coldshelf/coldshelf.sock   the socket of the management API (api.socket)\n"
      "Exit codes: 0 stopped cleanly or the configuration is good, 1 failed, 2 usage or a wrong\n"
      "configuration, 3 a file is not there, 4 the data directory is in use or another's.\n"
      "See also: coldshelf(1), docs/cli.md, docs/runbook.md.");
  app.add_option("--config", arguments.config, "configuration file (TOML)");
  app.add_option("--data", arguments.data,
                 "data directory; alone: every setting at its default, everything below it");
  app.add_flag("--check-config", arguments.check_config,
               "print the effective configuration, without secrets, or what is wrong with it");
  app.add_flag("--adopt-store", arguments.adopt_store,
               "once: the store is the right one although it does not know this gateway; "
               "nothing is believed to be in it that it does not show (docs/runbook.md)");
  app.set_version_flag("--version", std::string("coldshelfd ") + kVersion);
}

}  // namespace coldshelf::cli
