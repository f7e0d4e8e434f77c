// SHA-256 by OpenSSL, incremental.
#pragma once

#include <array>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf {

class File;

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(ByteView bytes);
  Sha256Digest finish();  // then reset() before another use
  // The digest of what came so far; more may follow.
  Sha256Digest peek() const;
  Sha256 copy() const;  // goes on from here by itself
  void reset();

  static Sha256Digest of(ByteView bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Adds what `file` has from `at` to `end`. `at` is how far it came, also where it fails.
Status hash_file(File& file, uint64_t& at, uint64_t end, Sha256& sha);

}  // namespace coldshelf
