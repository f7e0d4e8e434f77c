// What volumes and snapshots hold: which blocks are there, what is in them and when they were
// written. Contents by pattern are made from shared bodies when they are sent.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/sha256.h"
#include "tests/support/ebs_standin.h"

namespace coldshelf::test::ebs {

constexpr size_t kTailBytes = 64;

struct StoredBlock {
  Buffer bytes;
  Sha256Digest digest{};
};

// One block of one image. Equal stamps: not written in between.
struct BlockRef {
  uint64_t content = 0;  // a pattern's; 0: zeros, or `stored`
  uint64_t stamp = 0;
  std::shared_ptr<const StoredBlock> stored;
};

// A block's bytes in two views, and what owns them.
struct BlockBytes {
  ByteView body;
  std::array<std::byte, kTailBytes> tail{};
  size_t tail_bytes = 0;
  std::shared_ptr<const StoredBlock> owner;
  Sha256Digest digest{};
  Buffer all() const;
};

class ContentStore {
 public:
  ContentStore();
  static uint64_t pattern(uint64_t seed, uint64_t index, EbsPattern kind);
  BlockBytes bytes(const BlockRef& block) const;
  // Recognizes zeros and patterns, so that restoring them costs no memory.
  BlockRef keep(ByteView bytes, const Sha256Digest& digest);

 private:
  struct Base {
    Buffer bytes;  // without the tail
    Sha256 state;  // over them
  };
  static std::array<std::byte, kTailBytes> tail_of(uint64_t content);
  Sha256Digest pattern_digest(uint64_t content) const;

  std::vector<Base> bases_;
  Buffer zeros_;
  Sha256Digest zero_digest_{};
  mutable std::mutex mutex_;
  std::map<Sha256Digest, std::weak_ptr<const StoredBlock>> stored_;
};

// Blocks that are there from the start, by arithmetic.
struct LazyFill {
  uint64_t seed = 0;
  uint32_t per_mille = 0;
  uint64_t blocks = 0;
  EbsPattern pattern = EbsPattern::mixed;
  bool has(uint64_t index) const;
};

// Immutable once shared; a volume copies it to change it.
class BlockImage {
 public:
  std::shared_ptr<const LazyFill> fill;
  std::map<uint64_t, std::optional<BlockRef>> written;  // nullopt: trimmed

  std::optional<BlockRef> at(uint64_t index) const;
  // The first index in [from, to) that is there; `to` when none.
  uint64_t next(uint64_t from, uint64_t to) const;
};

}  // namespace coldshelf::test::ebs
