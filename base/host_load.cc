#include "base/host_load.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace coldshelf {

namespace {

// proc(5): "cpu user nice system idle iowait irq softirq steal guest guest_nice".
constexpr size_t kCpuFields = 8;

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

uint64_t kilobytes(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    uint64_t value = 0;
    words >> value;
    return value * 1024;
  }
  return 0;
}

// proc(5), /proc/pid/stat: utime and stime are fields 14 and 15; the second is in parentheses and
// may hold blanks.
double process_seconds(const std::string& line) {
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream words(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) words >> skipped;
  double user = 0;
  double system = 0;
  words >> user >> system;
  const long ticks = ::sysconf(_SC_CLK_TCK);
  return ticks > 0 ? (user + system) / static_cast<double>(ticks) : 0;
}

uint64_t entries_of(const std::string& directory) {
  std::error_code failed;
  uint64_t n = 0;
  for (std::filesystem::directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    ++n;
  }
  return n;
}

}  // namespace

double HostLoad::percent(uint64_t part_before, uint64_t part_now, const HostLoad& before,
                         const HostLoad& now) {
  if (now.all <= before.all || part_now <= part_before) return 0;
  return 100.0 * static_cast<double>(part_now - part_before) /
         static_cast<double>(now.all - before.all);
}

Result<HostLoad> read_host_load(const std::string& root) {
  std::istringstream words(first_line_of(root + "/stat"));
  std::string name;
  words >> name;
  std::vector<uint64_t> ticks;
  for (uint64_t value = 0; ticks.size() < kCpuFields && words >> value;) ticks.push_back(value);
  if (name != "cpu" || ticks.size() < 5) {
    return Error(ErrorCode::not_supported, root + "/stat does not begin as Linux's does");
  }
  HostLoad out;
  for (const uint64_t value : ticks) out.all += value;
  out.user = ticks[0] + ticks[1];
  out.system = ticks[2];
  out.idle = ticks[3];
  out.io_wait = ticks[4];
  out.memory_total_bytes = kilobytes(root + "/meminfo", "MemTotal:");
  out.memory_available_bytes = kilobytes(root + "/meminfo", "MemAvailable:");
  out.process_resident_bytes = kilobytes(root + "/self/status", "VmRSS:");
  out.process_cpu_seconds = process_seconds(first_line_of(root + "/self/stat"));
  out.process_open_files = entries_of(root + "/self/fd");
  return out;
}

Result<uint64_t> file_system_bytes(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) != 0) return error_from_errno(errno, "statvfs " + path);
  return static_cast<uint64_t>(st.f_blocks) * st.f_frsize;
}

}  // namespace coldshelf
