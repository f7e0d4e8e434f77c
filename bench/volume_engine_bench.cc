// The volume engine without iSCSI: random and sequential access of several threads, and how long a
// restart of a large map takes. Beside it the same writes on a plain file, as a target on a local
// file would do them.
//
//   coldshelf_bench_volume_engine DIRECTORY [--size-mib N] [--seconds N] [--map-mblocks N]
//   [--encrypt]
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "volume/volume.h"

namespace coldshelf {
namespace {

constexpr unsigned kThreads = 32;  // each waits for its answer: queue depth

struct Settings {
  std::string directory;
  uint64_t size = 2 * GiB;
  double seconds = 5;
  uint64_t map_blocks = 0;
  bool encrypt = false;
};

double seconds_now() {
  SystemClock clock;
  return static_cast<double>(clock.monotonic_ns()) / 1e9;
}

double cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto s = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return s(use.ru_utime) + s(use.ru_stime);
}

template <typename T>
T take(Result<T> result, const char* what) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}
void must(const Status& done, const char* what) {
  if (done.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, done.error().message().c_str());
  std::exit(1);
}

// Operations of `bytes` for a while on many threads; `run(random, thread)` does one.
template <typename Run>
void measure(const char* name, const Settings& s, uint64_t bytes, unsigned threads, Run run) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> count{0};
  std::vector<std::vector<float>> latency(threads);
  const double cpu_before = cpu_seconds();
  const double before = seconds_now();
  std::vector<std::thread> pool;
  for (unsigned t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      SeededRandom random(1000 + t);
      SystemClock clock;
      uint64_t done = 0;
      while (!stop) {
        const int64_t from = clock.monotonic_ns();
        run(random, t);
        ++done;
        latency[t].push_back(static_cast<float>(clock.monotonic_ns() - from) / 1000.0F);
      }
      count += done;
    });
  }
  SystemClock().sleep_ms(static_cast<int64_t>(s.seconds * 1000));
  stop = true;
  for (std::thread& t : pool) t.join();
  const double took = seconds_now() - before;
  std::vector<float> all;
  for (const auto& l : latency) all.insert(all.end(), l.begin(), l.end());
  std::sort(all.begin(), all.end());
  const double rate = static_cast<double>(count) / took;
  const double cpu_us = (cpu_seconds() - cpu_before) * 1e6 / static_cast<double>(count);
  std::printf("%-34s %9.0f /s %8.1f MB/s  p50 %7.1f us  p99 %8.1f us  cpu %6.1f us\n", name, rate,
              rate * static_cast<double>(bytes) / 1e6, static_cast<double>(all[all.size() / 2]),
              static_cast<double>(all[all.size() * 99 / 100]), cpu_us);
  std::fflush(stdout);
}

// One load on a disk given by two functions.
template <typename Write, typename Read, typename Sync>
void run_loads(const char* label, const Settings& s, Write write, Read read, Sync sync) {
  const auto name = [&](const char* load) { return std::string(label) + " " + load; };
  SeededRandom seed(7);
  Buffer content(1 * MiB);
  seed.fill(content);
  const uint64_t blocks = s.size / 4096;
  std::vector<Buffer> out(kThreads, Buffer(1 * MiB));
  std::atomic<uint64_t> next{0};
  const auto sequential = [&](uint64_t step) {
    return next.fetch_add(step) % s.size / step * step;
  };
  measure(name("write 1 MiB seq QD4").c_str(), s, 1 * MiB, 4,
          [&](SeededRandom&, unsigned) { write(sequential(1 * MiB), ByteView(content)); });
  sync();
  for (uint64_t at = 0; at < s.size; at += 1 * MiB) write(at, ByteView(content));
  sync();
  next = 0;
  measure(name("read 1 MiB seq QD4").c_str(), s, 1 * MiB, 4,
          [&](SeededRandom&, unsigned t) { read(sequential(1 * MiB), MutableBytes(out[t])); });
  measure(name("read 4 KiB random QD32").c_str(), s, 4096, kThreads,
          [&](SeededRandom& r, unsigned t) {
            read(r.below(blocks) * 4096, MutableBytes(out[t]).first(4096));
          });
  measure(name("write 4 KiB random QD32").c_str(), s, 4096, kThreads,
          [&](SeededRandom& r, unsigned) {
            write(r.below(blocks) * 4096,
                  ByteView(content).subspan(static_cast<size_t>(r.below(255)) * 4096, 4096));
          });
  measure(name("write 4 KiB random QD1").c_str(), s, 4096, 1, [&](SeededRandom& r, unsigned) {
    write(r.below(blocks) * 4096, ByteView(content).first(4096));
  });
  measure(name("read 4 KiB random, after writes").c_str(), s, 4096, kThreads,
          [&](SeededRandom& r, unsigned t) {
            read(r.below(blocks) * 4096, MutableBytes(out[t]).first(4096));
          });
  measure(name("write 4 KiB + flush QD1").c_str(), s, 4096, 1, [&](SeededRandom& r, unsigned) {
    write(r.below(blocks) * 4096, ByteView(content).first(4096));
    sync();
  });
}

void bench_file(const Settings& s) {
  const std::string path = s.directory + "/plain";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(s.size)) != 0) std::exit(1);
  run_loads(
      "file  ", s,
      [&](uint64_t at, ByteView b) {
        if (::pwrite(fd, b.data(), b.size(), static_cast<off_t>(at)) < 0) std::exit(1);
      },
      [&](uint64_t at, MutableBytes b) {
        if (::pread(fd, b.data(), b.size(), static_cast<off_t>(at)) < 0) std::exit(1);
      },
      [&] {
        if (::fdatasync(fd) != 0) std::exit(1);
      });
  ::close(fd);
  ::unlink(path.c_str());
}

struct Machine {
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  WorkerPool sealers{1};
  std::optional<KeyEncryptionKey> key;
  VolumeEnv env;
  VolumeOptions options;

  explicit Machine(const Settings& s) {
    env.cartridge.files = &files;
    env.cartridge.clock = &clock;
    env.cartridge.random = &random;
    env.cartridge.workers = &sealers;
    env.cartridge.sealers = &sealers;
    env.cartridge.buffers = BufferPool::create(64 * MiB);
    if (s.encrypt) {
      key = take(KeyEncryptionKey::parse(std::string(64, 'a')), "key");
      options.key = &*key;
    }
  }
};

void bench_volume(const Settings& s) {
  Machine m(s);
  const std::string where = s.directory + "/volume";
  auto volume = take(
      Volume::create(m.env, m.options, where, {Uuid::generate(m.random), "bench", s.size, 4096}),
      "create");
  run_loads(
      "volume", s, [&](uint64_t at, ByteView b) { must(volume->write(at, b, false), "write"); },
      [&](uint64_t at, MutableBytes b) { must(volume->read(at, b), "read"); },
      [&] { must(volume->flush(), "flush"); });
  must(volume->close(), "close");
  const VolumeCounters c = volume->counters();
  std::printf("written %.0f MiB, log %.3fx, moved %.3fx, maps %.3fx, given back %.0f MiB\n",
              static_cast<double>(c.written_bytes) / MiB,
              static_cast<double>(c.log_bytes) / static_cast<double>(c.written_bytes),
              static_cast<double>(c.moved_bytes) / static_cast<double>(c.written_bytes),
              static_cast<double>(c.map_bytes) / static_cast<double>(c.written_bytes),
              static_cast<double>(c.dropped_bytes) / MiB);
}

// A map of as many extents as blocks, every other block of the disk, all said to lie in one
// segment: written as a volume writes its map, and a volume is opened on it. The data itself is not
// there.
void write_large_map(Machine& m, const std::string& where, uint64_t extents) {
  auto log = take(ManifestLog::open(m.files, where + "/manifest"), "manifest");
  const Manifest manifest = log->manifest();
  VolumeState state(m.env, m.options, where, std::move(log), Secret(), 4096);
  state.next_sequence = manifest.next_sequence;
  const SegmentEntry& entry = manifest.partitions[kImageLogPartition].segments.at(0);
  auto segment = state.add_segment({manifest.uuid, entry.sequence, entry.epoch}, where, Secret());
  SeededRandom random(3);
  std::vector<MapEntry> group(kMapGroupBlocks / 2);
  for (uint64_t g = 0; g * group.size() < extents; ++g) {
    for (size_t i = 0; i < group.size(); ++i) {
      group[i] = {static_cast<uint16_t>(2 * i), 1, segment->slot,
                  static_cast<uint32_t>(random.below(64 * MiB))};
    }
    state.map.set_group(g, group);
  }
  const double before = seconds_now();
  const LogMark mark{4096, manifest.capacity_bytes / 4096, entry.sequence + 1, 1};
  const WrittenMap written = take(write_map(state, mark, state.map, state.slots), "map");
  std::printf("map written in %.2f s, %.1f bytes for an extent\n", seconds_now() - before,
              static_cast<double>(written.entry.stored_bytes) / static_cast<double>(extents));
  const std::string stem = segment_file_stem(written.entry.sequence, written.entry.epoch);
  must(state.commit(
           {AddSegment{written.entry}, SetProperty{std::string(kPropertyMap) + stem.substr(0, 16),
                                                   std::to_string(mark.next_sequence)}}),
       "commit");
}

void bench_restart(const Settings& s) {
  Machine m(s);
  const std::string where = s.directory + "/restart";
  take(
      Volume::create(m.env, m.options, where,
                     {Uuid::generate(m.random), "restart", (2 * s.map_blocks + 8192) * 4096, 4096}),
      "create");
  {
    auto volume = take(Volume::open(m.env, m.options, where), "open");
    const Buffer block(4096, std::byte{1});
    must(volume->write(0, block, false), "write");
    must(volume->close(), "close");
  }
  write_large_map(m, where, s.map_blocks);
  const double before = seconds_now();
  const auto volume = take(Volume::open(m.env, m.options, where), "open");
  const double took = seconds_now() - before;
  const auto map = volume->map_statistics();
  std::printf("restart with %.1f million extents: %.2f s, %.1f bytes of memory for each\n",
              static_cast<double>(map.extents) / 1e6, took,
              static_cast<double>(map.memory_bytes) / static_cast<double>(map.extents));
}

int run(int argc, char** argv) {
  Settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::strtod(argv[++i], nullptr) : 0.0; };
    if (a == "--size-mib") {
      s.size = static_cast<uint64_t>(value()) * MiB;
    } else if (a == "--seconds") {
      s.seconds = value();
    } else if (a == "--map-mblocks") {
      s.map_blocks = static_cast<uint64_t>(value() * 1e6);
    } else if (a == "--encrypt") {
      s.encrypt = true;
    } else {
      s.directory = a;
    }
  }
  if (s.directory.empty()) {
    std::fprintf(stderr,
                 "usage: coldshelf_bench_volume_engine DIRECTORY [--size-mib N] [--seconds N] "
                 "[--map-mblocks N] [--encrypt]\n");
    return 2;
  }
  configure_log(LogLevel::error, false);
  if (s.map_blocks > 0) {
    bench_restart(s);
    return 0;
  }
  bench_file(s);
  bench_volume(s);
  return 0;
}

}  // namespace
}  // namespace coldshelf

int main(int argc, char** argv) { return coldshelf::run(argc, argv); }
