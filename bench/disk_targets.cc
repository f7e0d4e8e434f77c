#include "bench/disk_targets.h"

#include <signal.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"

namespace coldshelf::bench {

Result<DiskTarget> start_coldshelf_disk(const DiskTargetOptions& options) {
  std::filesystem::create_directories(options.directory);
  DiskTarget target;
  target.portal = "127.0.0.1:" + std::to_string(test::free_port());
  target.iqn = "iqn.2026-11.io.coldshelf:bench-volume-disk";
  target.data_directory = options.directory + "/data";
  const std::string file = options.directory + "/coldshelf.toml";
  std::ofstream(file) << "[gateway]\nname = \"bench\"\ndata_dir = \"" << target.data_directory
                      << "\"\n[iscsi]\nlisten = [\"" << target.portal
                      << "\"]\n[api]\nlisten = \"\"\n[library]\nslots = 2\ndrives = 1\n"
                      << options.extra_configuration;
  ASSIGN_OR_RETURN(target.process,
                   Process::start({options.programs + "/coldshelfd", "--config", file},
                                  options.directory + "/coldshelfd.log", SIGTERM));
  const std::vector<std::string> base = {options.programs + "/coldshelf", "--data",
                                         target.data_directory};
  auto command = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> all = base;
    all.insert(all.end(), more);
    return all;
  };
  TRY(retry_command(command({"status"}), 100));
  TRY(retry_command(command({"volume", "create", "--name", "disk", "--size",
                             std::to_string(options.size_bytes / MiB) + "MiB"}),
                    1));
  return target;
}

Result<DiskTarget> start_tgt_disk(const DiskTargetOptions& options) {
  std::filesystem::create_directories(options.directory);
  const int port = test::free_port();
  const std::string control = std::to_string(port % 32'768);  // its range
  DiskTarget target;
  target.portal = "127.0.0.1:" + std::to_string(port);
  target.iqn = "iqn.2024-01.peer.tgt:disk";
  target.lun = 1;
  ASSIGN_OR_RETURN(target.process, Process::start({"tgtd", "-f", "-C", control, "--iscsi",
                                                   "portal=" + target.portal},
                                                  options.directory + "/tgtd.log", SIGKILL));
  const std::string file = options.directory + "/disk";
  std::ofstream(file).close();
  std::filesystem::resize_file(file, options.size_bytes);
  const std::vector<std::string> base = {"tgtadm", "-C", control, "--lld", "iscsi"};
  auto command = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> all = base;
    all.insert(all.end(), more);
    return all;
  };
  TRY(retry_command(command({"--mode", "sys", "--op", "show"}), 100));
  TRY(retry_command(command({"--mode", "target", "--op", "new", "--tid", "1", "-T", target.iqn}),
                    1));
  TRY(retry_command(
      command({"--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", file}),
      1));
  TRY(retry_command(command({"--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL"}), 1));
  return target;
}

}  // namespace coldshelf::bench
