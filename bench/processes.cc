#include "bench/processes.h"

#include <signal.h>
#include <sys/mman.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/clock.h"

namespace coldshelf::bench {

namespace {

std::string last_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::string last;
  while (std::getline(file, line)) last = line;
  return last;
}

}  // namespace

Status retry_command(const std::vector<std::string>& arguments, int attempts) {
  SystemClock clock;
  Result<std::string> last = Error(ErrorCode::internal, "not tried");
  for (int i = 0; i < attempts; ++i) {
    last = run_command(arguments);
    if (last.ok()) return {};
    clock.sleep_ms(100);
  }
  return last.error();
}

Result<TapeTarget> start_coldshelf(const TapeTargetOptions& options) {
  std::filesystem::create_directories(options.directory);
  const std::string configuration = options.directory + "/coldshelf.toml";
  const std::string portal = "127.0.0.1:" + std::to_string(options.port);
  std::ofstream(configuration) << "[gateway]\nname = \"bench\"\ndata_dir = \"" << options.directory
                               << "/data\"\n[api]\nlisten = \"\"\n[iscsi]\nlisten = [\"" << portal
                               << "\"]\n[library]\nslots = 20\ndrives = " << options.drives << "\n"
                               << options.extra_configuration;
  TapeTarget target;
  target.name = "coldshelf";
  target.portal = portal;
  ASSIGN_OR_RETURN(target.process,
                   Process::start({options.programs + "/coldshelfd", "--config", configuration},
                                  options.directory + "/coldshelfd.log", SIGTERM));
  const std::string client = options.programs + "/coldshelf";
  const std::vector<std::string> base = {client, "--data", options.directory + "/data"};
  auto command = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> all = base;
    all.insert(all.end(), more);
    return all;
  };
  // A slow store is asked what it can do first.
  Status up = Error(ErrorCode::internal, "not tried");
  for (int i = 0; i < 600 && !up.ok() && target.process->running(); ++i) {
    up = retry_command(command({"status"}), 1);
  }
  if (!up.ok()) {
    return Error(up.error().code, up.error().message() + "; its last words: " +
                                      last_line(options.directory + "/coldshelfd.log"));
  }
  const std::string size = std::to_string(options.tape_bytes / GiB) + "GiB";
  for (unsigned d = 1; d <= options.drives; ++d) {
    const std::string barcode = "BENCH" + std::to_string(d) + "L8";
    if (!options.existing) {
      TRY(retry_command(command({"tape", "create", "--barcode", barcode, "--size", size}), 1));
    }
    TRY(retry_command(command({"library", "load", barcode, std::to_string(d)}), 20));
    const std::string number = (d < 10 ? "0" : "") + std::to_string(d);
    target.targets.push_back("iqn.2026-11.io.coldshelf:bench-tapedrive-" + number);
    target.luns.push_back(0);
  }
  return target;
}

Result<TapeTarget> start_tgt(const TapeTargetOptions& options) {
  std::filesystem::create_directories(options.directory);
  const std::string control = std::to_string(options.port);
  TapeTarget target;
  target.name = "tgt";
  target.portal = "127.0.0.1:" + control;
  ASSIGN_OR_RETURN(target.process, Process::start({"tgtd", "-f", "-C", control, "--iscsi",
                                                   "portal=" + target.portal},
                                                  options.directory + "/tgtd.log", SIGKILL));
  const std::vector<std::string> base = {"tgtadm", "-C", control, "--lld", "iscsi"};
  auto command = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> all = base;
    all.insert(all.end(), more);
    return all;
  };
  TRY(retry_command(command({"--mode", "sys", "--op", "show"}), 100));
  for (unsigned d = 1; d <= options.drives; ++d) {
    const std::string tid = std::to_string(d);
    const std::string iqn = "iqn.2024-01.peer.tgt:drive" + tid;
    const std::string file = options.directory + "/BENCH" + tid;
    const std::vector<std::string> make_image = {
        "tgtimg",        "--op",   "new",
        "--device-type", "tape",   "--barcode",
        "BENCH" + tid,   "--size", std::to_string(options.tape_bytes / MiB),
        "--type",        "data",   "--thin-provisioning",
        "--file",        file};
    TRY(retry_command(make_image, 1));
    TRY(retry_command(command({"--mode", "target", "--op", "new", "--tid", tid, "-T", iqn}), 1));
    TRY(retry_command(command({"--mode", "logicalunit", "--op", "new", "--tid", tid, "--lun", "1",
                               "-b", file, "--device-type", "tape"}),
                      1));
    TRY(retry_command(command({"--mode", "target", "--op", "bind", "--tid", tid, "-I", "ALL"}), 1));
    target.targets.push_back(iqn);
    target.luns.push_back(1);
  }
  return target;
}

// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
MachineLoad::Ticks MachineLoad::now() {
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  Ticks ticks;
  for (int i = 0; i < 8; ++i) {
    double value = 0;
    file >> value;
    ticks.all += value;
    if (i != 3 && i != 4) ticks.busy += value;
  }
  return ticks;
}

double MachineLoad::busy() const {
  const Ticks ticks = now();
  return ticks.all > began_.all ? (ticks.busy - began_.busy) / (ticks.all - began_.all) : 0;
}

void warm_memory(uint64_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  for (uint64_t at = 0; at < bytes; at += 4096) static_cast<volatile char*>(memory)[at] = 1;
  ::munmap(memory, bytes);
}

}  // namespace coldshelf::bench
