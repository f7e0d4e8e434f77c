// The only source of random numbers. The system one is cryptographic; the seeded one is for
// simulations.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace coldshelf {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;

  uint64_t next();                 // all 64 bits
  uint64_t below(uint64_t bound);  // [0, bound), bound > 0
  bool one_in(uint64_t n) { return below(n) == 0; }
};

class SystemRandom final : public Random {  // OpenSSL's RAND_bytes; thread-safe
 public:
  void fill(MutableBytes out) override;
};

class SeededRandom final : public Random {  // splitmix64; not for keys, not thread-safe
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  void fill(MutableBytes out) override;

 private:
  uint64_t state_;
};

}  // namespace coldshelf
