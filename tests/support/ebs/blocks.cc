#include "tests/support/ebs/blocks.h"

#include <algorithm>

#include "base/random.h"

namespace coldshelf::test::ebs {

namespace {

constexpr size_t kBodyBytes = kEbsBlockBytes - kTailBytes;
constexpr size_t kBases = 16;  // the first half random, the other compressible
constexpr uint64_t kRunBlocks = 8;
constexpr std::string_view kMagic = "pattern block 1.";

uint64_t mix(uint64_t value) {  // splitmix64's
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

// Half of every 4 KiB random, the rest of it a short text over and over.
void make_compressible(Buffer& bytes) {
  constexpr std::string_view kText = "INFO request served in 12 ms; ";
  for (size_t i = 0; i < bytes.size(); ++i) {
    if ((i / 2048) % 2 == 1) bytes[i] = static_cast<std::byte>(kText[i % kText.size()]);
  }
}

}  // namespace

Buffer BlockBytes::all() const {
  Buffer out(body.begin(), body.end());
  append(out, ByteView(tail).first(tail_bytes));
  return out;
}

ContentStore::ContentStore() : zeros_(kEbsBlockBytes) {
  std::fill(zeros_.begin(), zeros_.end(), std::byte{0});
  zero_digest_ = Sha256::of(zeros_);
  SeededRandom random(20261127);
  for (size_t i = 0; i < kBases; ++i) {
    Base base;
    base.bytes.resize(kBodyBytes);
    random.fill(base.bytes);
    if (i >= kBases / 2) make_compressible(base.bytes);
    base.state.update(base.bytes);
    bases_.push_back(std::move(base));
  }
}

uint64_t ContentStore::pattern(uint64_t seed, uint64_t index, EbsPattern kind) {
  const uint64_t hash = mix(mix(seed) ^ index);
  uint64_t base = hash % kBases;
  if (kind == EbsPattern::random) base = hash % (kBases / 2);
  if (kind == EbsPattern::compressible) base = kBases / 2 + hash % (kBases / 2);
  // Never 0: the top bit is always set.
  return (hash & ~uint64_t{255}) | base | (uint64_t{1} << 63U);
}

std::array<std::byte, kTailBytes> ContentStore::tail_of(uint64_t content) {
  std::array<std::byte, kTailBytes> tail{};
  std::memcpy(tail.data(), kMagic.data(), kMagic.size());
  std::memcpy(tail.data() + 16, &content, 8);
  for (size_t at = 24; at < kTailBytes; at += 8) {
    const uint64_t word = mix(content + at);
    std::memcpy(tail.data() + at, &word, 8);
  }
  return tail;
}

Sha256Digest ContentStore::pattern_digest(uint64_t content) const {
  Sha256 state = bases_[(content & 255U) % kBases].state.copy();
  state.update(tail_of(content));
  return state.finish();
}

BlockBytes ContentStore::bytes(const BlockRef& block) const {
  BlockBytes out;
  if (block.stored) {
    out.owner = block.stored;
    out.body = block.stored->bytes;
    out.digest = block.stored->digest;
  } else if (block.content == 0) {
    out.body = zeros_;
    out.digest = zero_digest_;
  } else {
    out.body = bases_[(block.content & 255U) % kBases].bytes;
    out.tail = tail_of(block.content);
    out.tail_bytes = kTailBytes;
    out.digest = pattern_digest(block.content);
  }
  return out;
}

BlockRef ContentStore::keep(ByteView bytes, const Sha256Digest& digest) {
  BlockRef out;
  if (digest == zero_digest_) return out;
  const ByteView tail = bytes.last(kTailBytes);
  if (as_text(tail).starts_with(kMagic)) {
    uint64_t content = 0;
    std::memcpy(&content, tail.data() + kMagic.size(), sizeof content);
    if (content != 0 && pattern_digest(content) == digest) {
      out.content = content;
      return out;
    }
  }
  const std::lock_guard lock(mutex_);
  std::weak_ptr<const StoredBlock>& known = stored_[digest];
  out.stored = known.lock();
  if (!out.stored) {
    auto block = std::make_shared<StoredBlock>();
    block->bytes = to_buffer(bytes);
    block->digest = digest;
    out.stored = block;
    known = out.stored;
  }
  return out;
}

bool LazyFill::has(uint64_t index) const {
  return index < blocks && mix(seed ^ mix(index / kRunBlocks)) % 1000 < per_mille;
}

std::optional<BlockRef> BlockImage::at(uint64_t index) const {
  const auto it = written.find(index);
  if (it != written.end()) return it->second;
  if (!fill || !fill->has(index)) return std::nullopt;
  BlockRef out;
  out.content = ContentStore::pattern(fill->seed, index, fill->pattern);
  return out;
}

uint64_t BlockImage::next(uint64_t from, uint64_t to) const {
  auto it = written.lower_bound(from);
  for (uint64_t index = from; index < to; ++index) {
    if (!fill) {
      if (it == written.end() || it->first >= to) return to;
      index = it->first;
    }
    if (it != written.end() && it->first == index) {
      if (it->second) return index;
      ++it;
      continue;
    }
    if (fill && fill->has(index)) return index;
  }
  return to;
}

}  // namespace coldshelf::test::ebs
