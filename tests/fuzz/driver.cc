// Drives a fuzz target (fuzz.h) with mutated inputs, a fixed number of them, the same for the same
// seed: fuzzing as a test. The targets keep libFuzzer's interface, so that the same code can be
// linked with -fsanitize=fuzzer instead of this file.
//
//   fuzz_<target> [--runs N] [--seed S] [--only RUN] [--max-bytes B] [FILE | DIRECTORY]...
//
// --runs   mutated inputs tried after the unchanged ones (default 10000)
// --seed   printed at the start; each run's mutations depend on the seed and the run's number alone
// --only   does that one run and nothing else: what a report of a crash names
// FILE     more inputs to start from; a directory: every file in it
//
// To add a target: write LLVMFuzzerTestOneInput and fuzz_seeds in tests/fuzz/<name>_fuzz.cc, and in
// tests/fuzz/<name>.cmake call coldshelf_fuzz(fuzz_<name> SOURCES ... DEPS ... RUNS n), which
// tests/fuzz/driver.cmake defines (include(${CMAKE_CURRENT_LIST_DIR}/driver.cmake) first).
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/random.h"
#include "tests/fuzz/fuzz.h"

namespace {

using coldshelf::Buffer;
using coldshelf::Random;
using coldshelf::SeededRandom;

// For the signal handler, which can reach nothing else.
volatile std::sig_atomic_t current_run = -1;

void report_crash(int signal_number) {
  char digits[24];
  size_t at = sizeof digits;
  digits[--at] = '\n';
  long run = current_run;
  const bool unchanged = run < 0;
  if (unchanged) run = -(run + 1);
  do {
    digits[--at] = static_cast<char>('0' + run % 10);
    run /= 10;
  } while (run > 0);
  const char* text = unchanged ? "fuzz: crash at unchanged input " : "fuzz: crash at run ";
  ssize_t ignored = write(2, text, unchanged ? 31 : 19);
  ignored = write(2, digits + at, sizeof digits - at);
  (void)ignored;
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

struct Options {
  uint64_t runs = 10000;
  uint64_t seed = 1;
  bool only = false;
  uint64_t only_run = 0;
  size_t max_bytes = 1 << 20;
  std::vector<Buffer> inputs;
};

void add_file(const std::filesystem::path& path, std::vector<Buffer>& inputs) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  inputs.push_back(coldshelf::to_buffer(coldshelf::as_view(text)));
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.starts_with("--")) {
      if (i + 1 >= argc) return false;
      const uint64_t value = std::strtoull(argv[++i], nullptr, 10);
      if (arg == "--runs") {
        options.runs = value;
      } else if (arg == "--seed") {
        options.seed = value;
      } else if (arg == "--only") {
        options.only = true;
        options.only_run = value;
      } else if (arg == "--max-bytes") {
        options.max_bytes = value;
      } else {
        return false;
      }
    } else if (std::filesystem::is_directory(arg)) {
      std::vector<std::filesystem::path> files;  // sorted: runs depend on the order
      for (const auto& entry : std::filesystem::directory_iterator(arg)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
      std::sort(files.begin(), files.end());
      for (const auto& file : files) add_file(file, options.inputs);
    } else if (std::filesystem::exists(arg)) {
      add_file(arg, options.inputs);
    } else {
      std::fprintf(stderr, "fuzz: no such input: %s\n", arg.c_str());
      return false;
    }
  }
  return true;
}

// Numbers that break arithmetic: borders of widths and signs.
uint64_t interesting(Random& random) {
  static constexpr uint64_t values[] = {0,
                                        1,
                                        2,
                                        127,
                                        128,
                                        255,
                                        256,
                                        32767,
                                        32768,
                                        65535,
                                        65536,
                                        1U << 20,
                                        1U << 24,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        1ULL << 32,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        ~0ULL};
  return values[random.below(std::size(values))];
}

void overwrite_number(Buffer& input, Random& random) {
  const size_t width = size_t{1} << random.below(4);
  if (input.size() < width) return;
  const size_t at = random.below(input.size() - width + 1);
  uint64_t value = random.one_in(3) ? random.next() : interesting(random);
  const bool big_endian = random.one_in(2);
  for (size_t k = 0; k < width; ++k, value >>= 8) {
    input[at + (big_endian ? width - 1 - k : k)] = static_cast<std::byte>(value & 255U);
  }
}

void mutate_once(Buffer& input, const std::vector<Buffer>& inputs, size_t max_bytes,
                 Random& random) {
  if (input.empty()) input.resize(1 + random.below(16), std::byte{0});
  const size_t at = random.below(input.size());
  const size_t length = 1 + random.below(std::min<size_t>(input.size() - at, 64));
  const auto from = input.begin() + static_cast<ptrdiff_t>(at);
  const auto to = from + static_cast<ptrdiff_t>(length);
  switch (random.below(8)) {
    case 0:
      input[at] ^= static_cast<std::byte>(1U << random.below(8));
      break;
    case 1:
      input[at] = static_cast<std::byte>(random.below(256));
      break;
    case 2:
    case 3:
      overwrite_number(input, random);
      break;
    case 4:
      input.erase(from, to);
      break;
    case 5: {  // a piece repeated
      if (input.size() + length > max_bytes) break;
      const Buffer piece(from, to);
      const size_t target = random.below(input.size());
      input.insert(input.begin() + static_cast<ptrdiff_t>(target), piece.begin(), piece.end());
      break;
    }
    case 6:
      input.resize(at);
      break;
    default: {  // the end of another input
      const Buffer& other = inputs[random.below(inputs.size())];
      if (other.empty() || at + other.size() > max_bytes) break;
      const size_t start = random.below(other.size());
      input.resize(at);
      input.insert(input.end(), other.begin() + static_cast<ptrdiff_t>(start), other.end());
    }
  }
}

Buffer mutated(const Options& options, uint64_t run) {
  SeededRandom random(options.seed * 0x9e3779b97f4a7c15U + run);
  Buffer input = options.inputs[random.below(options.inputs.size())];
  const uint64_t count = 1 + random.below(random.one_in(4) ? 16 : 3);
  for (uint64_t i = 0; i < count; ++i) {
    mutate_once(input, options.inputs, options.max_bytes, random);
  }
  return input;
}

void feed(const Buffer& input) {
  // A copy of exactly its size: reading past it is seen by AddressSanitizer.
  const std::vector<uint8_t> exact(reinterpret_cast<const uint8_t*>(input.data()),
                                   reinterpret_cast<const uint8_t*>(input.data()) + input.size());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.inputs = fuzz_seeds();
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: %s [--runs N] [--seed S] [--only RUN] [--max-bytes B] [INPUT]...\n",
                 argv[0]);
    return 2;
  }
  options.inputs.emplace_back();  // the empty input
  for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, report_crash);
  std::printf("fuzz: seed %llu, %llu runs from %zu inputs\n",
              static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(options.runs), options.inputs.size());
  std::fflush(stdout);
  if (options.only) {
    current_run = static_cast<std::sig_atomic_t>(options.only_run);
    feed(mutated(options, options.only_run));
    return 0;
  }
  for (size_t i = 0; i < options.inputs.size(); ++i) {
    current_run = -static_cast<std::sig_atomic_t>(i) - 1;
    feed(options.inputs[i]);
  }
  for (uint64_t run = 0; run < options.runs; ++run) {
    current_run = static_cast<std::sig_atomic_t>(run);
    feed(mutated(options, run));
  }
  std::printf("fuzz: done\n");
  return 0;
}
