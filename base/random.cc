#include "base/random.h"

#include <openssl/rand.h>

#include "base/check.h"
#include "base/coding.h"

namespace coldshelf {

uint64_t Random::next() {
  std::byte bytes[8];
  fill(bytes);
  return load_le<uint64_t>(bytes);
}

uint64_t Random::below(uint64_t bound) {
  CHECK(bound > 0);
  return next() % bound;
}

void SystemRandom::fill(MutableBytes out) {
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) ==
        1);
}

void SeededRandom::fill(MutableBytes out) {
  for (size_t at = 0; at < out.size();) {
    state_ += 0x9e3779b97f4a7c15U;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    z ^= z >> 31;
    for (size_t k = 0; k < 8 && at < out.size(); ++k, ++at) {
      out[at] = static_cast<std::byte>((z >> (8 * k)) & 255U);
    }
  }
}

}  // namespace coldshelf
