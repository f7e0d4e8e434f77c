// Speed of one cartridge without a target before it: 256 KiB records written and read back.
//   coldshelf_bench_cartridge [DIRECTORY [MIB [RECORD_BYTES [COMPRESSIBLE]]]]
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tape/cartridge/cartridge.h"

namespace coldshelf {
namespace {

struct Stopwatch {
  SystemClock clock;
  int64_t start_ns = clock.monotonic_ns();
  double cpu_start = cpu_seconds();
  static double cpu_seconds() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
  }
  void print(const char* what, uint64_t bytes) {
    const double seconds = static_cast<double>(clock.monotonic_ns() - start_ns) / 1e9;
    const double cpu = cpu_seconds() - cpu_start;
    const double mb = static_cast<double>(bytes) / 1e6;
    std::printf("%-18s %8.0f MB/s, %6.0f MB per CPU second, %.2f s\n", what, mb / seconds, mb / cpu,
                seconds);
  }
};

Status run(const std::string& directory, uint64_t bytes, size_t record_bytes, bool compressible) {
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  WorkerPool workers(2);
  WorkerPool sealers(1);
  CartridgeEnv env;
  env.files = &files;
  env.clock = &clock;
  env.random = &random;
  env.workers = &workers;
  env.sealers = &sealers;
  env.buffers = BufferPool::create(64 * MiB);
  CartridgeOptions options;
  NewCartridge what;
  what.uuid = Uuid::generate(random);
  what.label = "BENCH1L8";
  what.capacity_bytes = 1 * TiB;
  ASSIGN_OR_RETURN(auto cartridge, Cartridge::create(env, options, directory, what));

  // Records begin at changing offsets of one random buffer, so that no two frames are alike.
  Buffer source(64 * MiB);
  SeededRandom fast(1);
  fast.fill(source);
  if (compressible) {
    for (size_t i = 0; i < source.size(); ++i) {
      if (i / 32 % 2 == 0) source[i] = std::byte{0};
    }
  }
  const uint64_t records = bytes / record_bytes;
  const auto record = [&](uint64_t i) {
    const size_t at = static_cast<size_t>(i * 1'000'003 % (source.size() - record_bytes));
    return ByteView(source).subspan(at, record_bytes);
  };
  Position at;
  Stopwatch writing;
  for (uint64_t i = 0; i < records; ++i) TRY(cartridge->write_record(at, record(i)));
  writing.print("write", records * record_bytes);
  TRY(cartridge->sync());
  writing.print("write and sync", records * record_bytes);
  TRY(cartridge->close());
  writing.print("write and seal", records * record_bytes);
  const Cartridge::Counters written = cartridge->counters();
  std::printf("%-18s %8.2f\n", "stored ratio",
              static_cast<double>(written.stored_bytes_written) /
                  static_cast<double>(written.plain_bytes_written));

  ASSIGN_OR_RETURN(cartridge, Cartridge::open(env, options, directory));
  Stopwatch reading;
  at = {};
  for (uint64_t i = 0; i < records; ++i) {
    ASSIGN_OR_RETURN(const TapeObject object, cartridge->read(at));
    if (object.record.size != record_bytes) return Error(ErrorCode::internal, "wrong record");
    // Touches a little of it, as comparing all would measure memcmp.
    if (!equal(object.record.parts[0].first(64), record(i).first(64))) {
      return Error(ErrorCode::internal, "wrong bytes");
    }
  }
  reading.print("read", records * record_bytes);
  return cartridge->close();
}

}  // namespace
}  // namespace coldshelf

int main(int argc, char** argv) {
  using namespace coldshelf;
  const std::string directory = argc > 1 ? argv[1] : "cartridge-bench";
  const uint64_t mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4096;
  const size_t record = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 256 * KiB;
  const bool compressible = argc > 4 && std::string(argv[4]) != "0";
  if (record == 0 || record > kMaxRecordBytes) {
    std::fprintf(stderr, "RECORD_BYTES: 1 to 8388608\n");
    return 2;
  }
  const Status done = run(directory, mib * MiB, record, compressible);
  PosixFileSystem files;
  if (const auto names = files.list(directory); names.ok()) {
    for (const std::string& name : *names) {
      static_cast<void>(files.remove(join_path(directory, name)).ok());
    }
    static_cast<void>(files.remove_directory(directory).ok());
  }
  if (done.ok()) return 0;
  std::fprintf(stderr, "%s\n", done.error().message().c_str());
  return 1;
}
