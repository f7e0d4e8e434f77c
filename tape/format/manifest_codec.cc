// docs/format/manifest.md
#include "tape/format/manifest_codec.h"

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"

namespace coldshelf {

namespace {

constexpr std::string_view kFileMagic = "CLDSHMAN";
constexpr uint32_t kCommitMagic = 0x434d5343;  // "CSMC"
constexpr size_t kHeaderCrcAt = 20;            // of a commit
constexpr uint8_t kFlagWorm = 1;
constexpr uint8_t kFlagWriteProtected = 2;
constexpr size_t kMinSegmentBytes = 8 + sizeof(Sha256Digest);

Error corrupt(std::string what) {
  return Error(ErrorCode::corrupt, "manifest: " + std::move(what));
}

// Differences that are mostly 0 or small: sign in the lowest bit.
uint64_t zigzag(uint64_t value, uint64_t expected) {
  const auto difference = static_cast<int64_t>(value - expected);
  return (static_cast<uint64_t>(difference) << 1) ^ static_cast<uint64_t>(difference >> 63);
}
uint64_t unzigzag(uint64_t coded, uint64_t expected) {
  return expected + ((coded >> 1) ^ (~(coded & 1) + 1));
}

void put_uuid(Encoder& e, const Uuid& id) { e.raw(id.view()); }
Uuid get_uuid(Decoder& d) {
  Uuid id;
  const ByteView bytes = d.raw(id.bytes.size());
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

// Every field as the difference to what follows from `before`, the segment before it (or zeros).
void put_segment(Encoder& e, const SegmentEntry& s, const SegmentEntry& before) {
  e.varint(zigzag(s.sequence, before.sequence + 1));
  e.varint(zigzag(s.epoch, before.epoch));
  e.varint(zigzag(s.first_block, before.end_block()));
  e.varint(s.block_count);
  e.varint(zigzag(s.first_filemark, before.end_filemark()));
  e.varint(s.filemark_count);
  e.varint(s.plain_bytes);
  e.varint(s.stored_bytes);
  e.raw(s.sha256);
}
SegmentEntry get_segment(Decoder& d, uint32_t partition, const SegmentEntry& before) {
  SegmentEntry s;
  s.partition = partition;
  s.sequence = unzigzag(d.varint(), before.sequence + 1);
  s.epoch = unzigzag(d.varint(), before.epoch);
  s.first_block = unzigzag(d.varint(), before.end_block());
  s.block_count = d.varint();
  s.first_filemark = unzigzag(d.varint(), before.end_filemark());
  s.filemark_count = d.varint();
  s.plain_bytes = d.varint();
  s.stored_bytes = d.varint();
  const ByteView digest = d.raw(s.sha256.size());
  std::copy(digest.begin(), digest.end(), s.sha256.begin());
  return s;
}

void put_key(Encoder& e, const WrappedKey& key) {
  e.string(key.key_id);
  e.blob(key.wrapped);
}
WrappedKey get_key(Decoder& d) {
  WrappedKey key;
  key.key_id = d.string();
  key.wrapped = to_buffer(d.blob());
  return key;
}

void put_mam(Encoder& e, const MamKey& key, const MamValue& value) {
  e.varint(key.partition);
  e.u16(key.id);
  e.u8(value.format);
  e.blob(value.value);
}
MamKey get_mam_key(Decoder& d) {
  MamKey key;
  const uint64_t partition = d.varint();
  if (partition >= kMaxPartitions) d.fail();
  key.partition = static_cast<uint32_t>(partition);
  key.id = d.u16();
  return key;
}
MamValue get_mam_value(Decoder& d) {
  MamValue value;
  value.format = d.u8();
  value.value = to_buffer(d.blob());
  return value;
}

bool get_flag(Decoder& d) {
  const uint8_t v = d.u8();
  if (v > 1) d.fail();
  return v == 1;
}
uint32_t get_partition(Decoder& d) {
  const uint64_t v = d.varint();
  if (v >= kMaxPartitions) d.fail();
  return static_cast<uint32_t>(v);
}

// -- one pair for each kind of edit; the number is the index in the variant, see kind_of.

void put(Encoder& e, const Manifest& m) {
  put_uuid(e, m.uuid);
  e.string(m.label);
  e.u8(static_cast<uint8_t>(m.kind));
  e.string(m.medium);
  e.varint(m.capacity_bytes);
  e.u64(static_cast<uint64_t>(m.created_unix_ms));
  put_uuid(e, m.parent);
  e.u8(static_cast<uint8_t>((m.worm ? kFlagWorm : 0) |
                            (m.write_protected ? kFlagWriteProtected : 0)));
  e.varint(m.epoch);
  e.varint(m.next_sequence);
  e.varint(m.generation);
  put_key(e, m.key);
  e.varint(m.partitions.size());
  for (const Partition& p : m.partitions) {
    e.varint(p.capacity_bytes);
    e.varint(p.segments.size());
    SegmentEntry before;
    for (const SegmentEntry& s : p.segments) {
      put_segment(e, s, before);
      before = s;
    }
  }
  e.varint(m.mam.size());
  for (const auto& [key, value] : m.mam) put_mam(e, key, value);
  e.varint(m.properties.size());
  for (const auto& [name, value] : m.properties) {
    e.string(name);
    e.string(value);
  }
}

void get_partitions(Decoder& d, Manifest& m) {
  const uint64_t count = d.varint();
  if (count > kMaxPartitions) return d.fail();
  for (uint32_t number = 0; number < count && d.ok(); ++number) {
    Partition& p = m.partitions.emplace_back();
    p.capacity_bytes = d.varint();
    const uint64_t segments = d.varint();
    if (segments > d.remaining() / kMinSegmentBytes) return d.fail();
    p.segments.reserve(static_cast<size_t>(segments));
    SegmentEntry before;
    for (uint64_t i = 0; i < segments && d.ok(); ++i) {
      before = get_segment(d, number, before);
      p.segments.push_back(before);
    }
  }
}

void get(Decoder& d, Manifest& m) {
  m.uuid = get_uuid(d);
  m.label = d.string();
  m.kind = static_cast<CartridgeKind>(d.u8());
  m.medium = d.string();
  m.capacity_bytes = d.varint();
  m.created_unix_ms = static_cast<int64_t>(d.u64());
  m.parent = get_uuid(d);
  const uint8_t flags = d.u8();
  if ((flags & ~(kFlagWorm | kFlagWriteProtected)) != 0) d.fail();
  m.worm = (flags & kFlagWorm) != 0;
  m.write_protected = (flags & kFlagWriteProtected) != 0;
  m.epoch = d.varint();
  m.next_sequence = d.varint();
  m.generation = d.varint();
  m.key = get_key(d);
  get_partitions(d, m);
  const uint64_t attributes = d.varint();
  for (uint64_t i = 0; i < attributes && d.ok(); ++i) {
    const MamKey key = get_mam_key(d);
    if (!m.mam.emplace(key, get_mam_value(d)).second) d.fail();
  }
  const uint64_t properties = d.varint();
  for (uint64_t i = 0; i < properties && d.ok(); ++i) {
    std::string name = d.string();
    if (!m.properties.emplace(std::move(name), d.string()).second) d.fail();
  }
}

void put(Encoder& e, const AddSegment& edit) {
  e.varint(edit.entry.partition);
  put_segment(e, edit.entry, SegmentEntry{});
}
void get(Decoder& d, AddSegment& edit) {
  const uint32_t partition = get_partition(d);
  edit.entry = get_segment(d, partition, SegmentEntry{});
}

void put(Encoder& e, const TruncatePartition& edit) {
  e.varint(edit.partition);
  e.varint(edit.block);
  e.varint(edit.filemark);
  e.varint(edit.plain_bytes);
}
void get(Decoder& d, TruncatePartition& edit) {
  edit.partition = get_partition(d);
  edit.block = d.varint();
  edit.filemark = d.varint();
  edit.plain_bytes = d.varint();
}

void put(Encoder& e, const SetEpoch& edit) {
  e.varint(edit.epoch);
  e.varint(edit.next_sequence);
}
void get(Decoder& d, SetEpoch& edit) {
  edit.epoch = d.varint();
  edit.next_sequence = d.varint();
}

void put(Encoder& e, const SetMam& edit) { put_mam(e, edit.key, edit.value); }
void get(Decoder& d, SetMam& edit) {
  edit.key = get_mam_key(d);
  edit.value = get_mam_value(d);
}

void put(Encoder& e, const RemoveMam& edit) {
  e.varint(edit.key.partition);
  e.u16(edit.key.id);
}
void get(Decoder& d, RemoveMam& edit) { edit.key = get_mam_key(d); }

void put(Encoder& e, const SetProperty& edit) {
  e.string(edit.name);
  e.string(edit.value);
}
void get(Decoder& d, SetProperty& edit) {
  edit.name = d.string();
  edit.value = d.string();
}

void put(Encoder& e, const SetWriteProtected& edit) { e.u8(edit.write_protected ? 1 : 0); }
void get(Decoder& d, SetWriteProtected& edit) { edit.write_protected = get_flag(d); }

void put(Encoder& e, const SetPartitions& edit) {
  e.varint(edit.capacity_bytes.size());
  for (uint64_t capacity : edit.capacity_bytes) e.varint(capacity);
}
void get(Decoder& d, SetPartitions& edit) {
  const uint64_t count = d.varint();
  if (count > kMaxPartitions) return d.fail();
  for (uint64_t i = 0; i < count; ++i) edit.capacity_bytes.push_back(d.varint());
}

void put(Encoder& e, const SetCapacity& edit) { e.varint(edit.capacity_bytes); }
void get(Decoder& d, SetCapacity& edit) { edit.capacity_bytes = d.varint(); }

void put(Encoder& e, const SetWrappedKey& edit) { put_key(e, edit.key); }
void get(Decoder& d, SetWrappedKey& edit) { edit.key = get_key(d); }

void put(Encoder& e, const DropSegments& edit) {
  e.varint(edit.partition);
  e.varint(edit.sequences.size());
  for (uint64_t sequence : edit.sequences) e.varint(sequence);
}
void get(Decoder& d, DropSegments& edit) {
  edit.partition = get_partition(d);
  const uint64_t count = d.varint();
  if (count > d.remaining()) return d.fail();
  edit.sequences.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) edit.sequences.push_back(d.varint());
}

// Numbers of the edits in the file: 1 snapshot, 2 add segment ... in the order of the variant,
// which therefore only ever grows at its end.
uint8_t kind_of(const ManifestEdit& edit) { return static_cast<uint8_t>(edit.index() + 1); }

template <size_t I = 0>
Result<ManifestEdit> decode_edit(uint8_t kind, ByteView body) {
  if constexpr (I == std::variant_size_v<ManifestEdit>) {
    return Error(ErrorCode::unsupported_version,
                 "manifest: an edit of kind " + std::to_string(kind) +
                     ", which this program does not know: it was written by a newer one");
  } else {
    if (kind != I + 1) return decode_edit<I + 1>(kind, body);
    std::variant_alternative_t<I, ManifestEdit> edit;
    Decoder d(body);
    get(d, edit);
    if (!d.ok() || d.remaining() != 0) {
      return corrupt("an edit of kind " + std::to_string(kind) + " is malformed");
    }
    return ManifestEdit(std::move(edit));
  }
}

struct Commit {
  uint64_t generation = 0;
  ByteView body;
};

// The commit that begins at `at`, its checksums verified.
std::optional<Commit> commit_at(ByteView image, size_t at) {
  if (image.size() - at < kManifestCommitHeaderSize) return std::nullopt;
  const ByteView head = image.subspan(at, kManifestCommitHeaderSize);
  if (load_le<uint32_t>(head.data()) != kCommitMagic) return std::nullopt;
  if (load_le<uint32_t>(head.data() + kHeaderCrcAt) != crc32c(head.first(kHeaderCrcAt))) {
    return std::nullopt;
  }
  const auto size = load_le<uint32_t>(head.data() + 4);
  if (size > image.size() - at - kManifestCommitHeaderSize) return std::nullopt;
  Commit commit;
  commit.generation = load_le<uint64_t>(head.data() + 8);
  commit.body = image.subspan(at + kManifestCommitHeaderSize, size);
  if (load_le<uint32_t>(head.data() + 16) != crc32c(commit.body)) return std::nullopt;
  return commit;
}

bool commit_after(ByteView image, size_t at) {
  for (size_t i = at + 1; i + kManifestCommitHeaderSize <= image.size(); ++i) {
    if (commit_at(image, i)) return true;
  }
  return false;
}

Status replay(const Commit& commit, bool first, ReplayedManifest& out) {
  Decoder d(commit.body);
  const uint64_t count = d.varint();
  if (count == 0 || count > d.remaining() / 2) return corrupt("edit count");
  for (uint64_t i = 0; i < count; ++i) {
    const uint8_t kind = d.u8();
    const ByteView body = d.blob();
    if (!d.ok()) return corrupt("a commit is malformed");
    ASSIGN_OR_RETURN(ManifestEdit edit, decode_edit(kind, body));
    if (first && i == 0) {
      auto* snapshot = std::get_if<Manifest>(&edit);
      if (snapshot == nullptr) return corrupt("does not begin with a snapshot");
      TRY(check_manifest(*snapshot));
      out.manifest = std::move(*snapshot);
    } else {
      TRY(apply_edit(out.manifest, edit, nullptr));
    }
    ++out.edit_count;
  }
  if (d.remaining() != 0) return corrupt("bytes after the last edit of a commit");
  if (out.manifest.generation != commit.generation) {
    return corrupt("generation " + std::to_string(commit.generation) +
                   " expected after a commit, " + std::to_string(out.manifest.generation) +
                   " found: a commit is missing");
  }
  return {};
}

Status check_header(ByteView image) {
  if (image.size() < kManifestHeaderSize) return corrupt("shorter than its header");
  if (!equal(image.first(kFileMagic.size()), as_view(kFileMagic))) return corrupt("no manifest");
  if (load_le<uint32_t>(image.data() + 12) != crc32c(image.first(12))) {
    return corrupt("header checksum");
  }
  const auto version = load_le<uint16_t>(image.data() + 8);
  if (version > kManifestFormatVersion) {
    return Error(ErrorCode::unsupported_version,
                 "manifest: format version " + std::to_string(version) +
                     " is newer than this program, which reads up to version " +
                     std::to_string(kManifestFormatVersion));
  }
  if (version == 0 || load_le<uint16_t>(image.data() + 10) != 0) return corrupt("header fields");
  return {};
}

}  // namespace

Buffer encode_manifest_header() {
  Buffer out;
  Encoder e(out);
  e.raw(as_view(kFileMagic));
  e.u16(kManifestFormatVersion);
  e.u16(0);
  e.u32(crc32c(out));
  CHECK(out.size() == kManifestHeaderSize);
  return out;
}

Buffer encode_manifest_commit(std::span<const ManifestEdit> edits, uint64_t generation_after) {
  Buffer out;
  Encoder e(out);
  e.u32(kCommitMagic);
  e.u32(0);  // size of the body
  e.u64(generation_after);
  e.u32(0);  // CRC of the body
  e.u32(0);  // CRC of this header
  CHECK(out.size() == kManifestCommitHeaderSize);
  e.varint(edits.size());
  Buffer body;
  for (const ManifestEdit& edit : edits) {
    body.clear();
    Encoder b(body);
    std::visit([&](const auto& what) { put(b, what); }, edit);
    e.u8(kind_of(edit));
    e.blob(body);
  }
  const ByteView all = ByteView(out).subspan(kManifestCommitHeaderSize);
  CHECK(all.size() <= UINT32_MAX);
  store_le(out.data() + 4, static_cast<uint32_t>(all.size()));
  store_le(out.data() + 16, crc32c(all));
  store_le(out.data() + kHeaderCrcAt, crc32c(ByteView(out).first(kHeaderCrcAt)));
  return out;
}

Buffer encode_manifest(const Manifest& manifest) {
  Buffer out = encode_manifest_header();
  const ManifestEdit snapshot = manifest;
  append(out, encode_manifest_commit({&snapshot, 1}, manifest.generation));
  return out;
}

Buffer encode_manifest_after(const Manifest& manifest, const std::string& etag) {
  if (etag.empty() || manifest.generation == 0) return encode_manifest(manifest);
  Manifest before = manifest;
  --before.generation;
  Buffer out = encode_manifest(before);
  // Removes a property that is not there, and counts.
  const ManifestEdit after = SetProperty{"after:" + etag, ""};
  append(out, encode_manifest_commit({&after, 1}, manifest.generation));
  return out;
}

Result<ReplayedManifest> decode_manifest(ByteView file_image, bool tolerate_torn_tail) {
  TRY(check_header(file_image));
  ReplayedManifest out;
  size_t at = kManifestHeaderSize;
  bool first = true;
  while (at < file_image.size()) {  // each turn takes a commit or returns
    const auto commit = commit_at(file_image, at);
    if (!commit) {
      // A torn write is the last one. Anything whole behind it means that the middle was damaged.
      if (first || !tolerate_torn_tail || commit_after(file_image, at)) {
        return corrupt("damaged at byte " + std::to_string(at));
      }
      break;
    }
    TRY(replay(*commit, first, out));
    first = false;
    at += kManifestCommitHeaderSize + commit->body.size();
  }
  if (first) return corrupt("holds no snapshot");
  out.valid_bytes = at;
  return out;
}

}  // namespace coldshelf
