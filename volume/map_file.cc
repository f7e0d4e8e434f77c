#include "volume/map_file.h"

#include <algorithm>

namespace coldshelf {

namespace {

constexpr uint64_t kMaxFooterBytes = 256 * MiB;

Error corrupt(const ImageSegment& segment, std::string what) {
  return Error(ErrorCode::corrupt, segment.path + ": " + std::move(what));
}

// Appends frames to a new segment file, front to back.
class MapWriter {
 public:
  explicit MapWriter(VolumeState& state) : state_(state) {}
  Status begin();
  Status add(FrameKind kind, Buffer payload);
  Result<WrittenMap> finish();
  ~MapWriter() {
    if (file_ && !finished_) state_.remove_file(open_path_);
  }

 private:
  Status put(ByteView bytes);
  VolumeState& state_;
  SegmentHeader header_;
  FrameCipher cipher_;
  std::string open_path_;
  std::unique_ptr<File> file_;
  SegmentIndex index_;
  Sha256 running_;
  uint64_t offset_ = 0;
  bool finished_ = false;
};

Status MapWriter::begin() {
  {
    const std::lock_guard lock(state_.mutex);
    header_.sequence = state_.take_sequence();
  }
  header_.cartridge = state_.uuid;
  header_.partition = kImageMapPartition;
  header_.epoch = state_.manifest().epoch;
  header_.created_unix_ms = state_.env.cartridge.clock->unix_ms();
  header_.encrypted = !state_.data_key.empty();
  cipher_ = {state_.data_key, static_cast<uint32_t>(header_.epoch),
             static_cast<uint32_t>(header_.sequence)};
  open_path_ = state_.open_path(header_.sequence, header_.epoch);
  ASSIGN_OR_RETURN(file_, state_.env.cartridge.files->open(open_path_, OpenMode::create));
  return put(encode_segment_header(header_));
}

Status MapWriter::put(ByteView bytes) {
  TRY(file_->write_at(offset_, bytes));
  running_.update(bytes);
  offset_ += bytes.size();
  return {};
}

Status MapWriter::add(FrameKind kind, Buffer payload) {
  FrameHeader header;
  header.kind = kind;
  header.frame_index = static_cast<uint32_t>(index_.frames.size());
  ASSIGN_OR_RETURN(
      const EncodedFrame frame,
      encode_frame(std::move(header), std::make_shared<const Buffer>(std::move(payload)),
                   state_.options.compression, header_.encrypted ? &cipher_ : nullptr,
                   *state_.env.cartridge.buffers));
  index_.frames.push_back(
      index_entry_of(frame.header, offset_, static_cast<uint32_t>(frame.header_bytes.size())));
  Buffer bytes = frame.header_bytes;
  append(bytes, frame.payload);
  return put(bytes);
}

Result<WrittenMap> MapWriter::finish() {
  WrittenMap out;
  SegmentEntry& entry = out.entry;
  entry.sequence = header_.sequence;
  entry.epoch = header_.epoch;
  entry.partition = kImageMapPartition;
  entry.plain_bytes = index_.plain_bytes();
  const Buffer end = encode_segment_end(index_, offset_, running_, entry.sha256);
  out.file_digest = running_.finish();
  TRY(file_->write_at(offset_, end));
  entry.stored_bytes = offset_ + end.size();
  // 1. the bytes, 2. the name, 3. the directory; the manifest is the caller's.
  TRY(file_->sync());
  TRY(state_.env.cartridge.files->rename(open_path_,
                                         state_.sealed_path(header_.sequence, header_.epoch)));
  finished_ = true;
  TRY(state_.sync_directory());
  return out;
}

Result<ImageReader::FrameInfo> read_map_frame(ImageReader& reader, const ImageSegment& segment,
                                              const FrameIndexEntry& entry) {
  ASSIGN_OR_RETURN(ImageReader::FrameInfo info,
                   reader.read_info(segment, entry.offset, segment.entry.stored_bytes));
  if (info.plain == nullptr || info.header.kind != entry.kind) {
    return corrupt(segment, "no frame of a map");
  }
  return info;
}

}  // namespace

bool is_engine_property(std::string_view name) {
  for (const std::string_view prefix :
       {std::string_view("volume."), kPropertyMap, kPropertyPoint, kPropertyHold, kPropertyAbout}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

Result<SegmentIndex> read_segment_index(SegmentFiles& files, const ImageSegment& segment) {
  const uint64_t size = segment.entry.stored_bytes;
  if (size < kSegmentHeaderSize + kSegmentTrailerSize) return corrupt(segment, "too short");
  Buffer bytes(kSegmentTrailerSize);
  TRY(files.read_at(segment, size - kSegmentTrailerSize, bytes));
  ASSIGN_OR_RETURN(const SegmentTrailer trailer, decode_segment_trailer(bytes));
  if (trailer.footer_size > kMaxFooterBytes ||
      trailer.footer_offset + trailer.footer_size + kSegmentTrailerSize != size) {
    return corrupt(segment, "the trailer does not fit the size");
  }
  bytes.resize(static_cast<size_t>(trailer.footer_size));
  TRY(files.read_at(segment, trailer.footer_offset, bytes));
  return decode_segment_footer(bytes, trailer);
}

Result<WrittenMap> write_map(VolumeState& state, const LogMark& mark, const ExtentMap& map,
                             std::span<const std::shared_ptr<ImageSegment>> slots) {
  std::vector<uint64_t> live(slots.size(), 0);
  TRY(map.for_each_group([&](uint64_t, std::span<const MapEntry> entries) {
    for (const MapEntry& e : entries) live[e.source] += e.count;
    return Status();
  }));
  std::vector<uint32_t> source_of(slots.size(), 0);
  std::vector<MapSource> sources;
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    if (live[slot] == 0) continue;
    CHECK(slots[slot] != nullptr);
    const SegmentId& id = slots[slot]->id;
    source_of[slot] = static_cast<uint32_t>(sources.size());
    sources.push_back({id.cartridge, id.sequence, id.epoch, live[slot]});
  }

  MapWriter writer(state);
  TRY(writer.begin());
  LogMark head = mark;
  head.frame_count = head.next_sequence == 0 ? 0 : 1;  // means nothing here
  TRY(writer.add(FrameKind::truncate, encode_log_mark(head)));
  for (size_t at = 0; at < sources.size(); at += kMapSourcesPerFrame) {
    const size_t n = std::min(kMapSourcesPerFrame, sources.size() - at);
    TRY(writer.add(FrameKind::reference, encode_map_sources(std::span(sources).subspan(at, n))));
  }
  Buffer payload;
  std::vector<MapEntry> translated;
  TRY(map.for_each_group([&](uint64_t group, std::span<const MapEntry> entries) -> Status {
    translated.assign(entries.begin(), entries.end());
    for (MapEntry& e : translated) e.source = source_of[e.source];
    if (payload.size() + kMaxMapGroupBytes > kMaxFramePlainBytes) {
      TRY(writer.add(FrameKind::reference, std::move(payload)));
      payload = Buffer();
    }
    put_map_group(payload, group, translated);
    return {};
  }));
  if (!payload.empty()) TRY(writer.add(FrameKind::reference, std::move(payload)));
  ASSIGN_OR_RETURN(WrittenMap out, writer.finish());
  out.sources = std::move(sources);
  return out;
}

Result<LoadedMap> load_map(SegmentFiles& files, ImageReader& reader, const ImageSegment& segment,
                           const std::function<Result<uint32_t>(const MapSource&)>& slot_for) {
  ASSIGN_OR_RETURN(const SegmentIndex index, read_segment_index(files, segment));
  LoadedMap out;
  std::vector<uint32_t> slot_of;
  std::vector<MapEntry> entries;
  uint64_t next_group = 0;
  for (size_t i = 0; i < index.frames.size(); ++i) {
    ASSIGN_OR_RETURN(const ImageReader::FrameInfo info,
                     read_map_frame(reader, segment, index.frames[i]));
    if (i == 0) {
      if (info.header.kind != FrameKind::truncate) return corrupt(segment, "a map without mark");
      ASSIGN_OR_RETURN(out.mark, decode_log_mark(*info.plain));
      continue;
    }
    if (info.header.kind != FrameKind::reference) return corrupt(segment, "no frame of a map");
    ASSIGN_OR_RETURN(const ReferenceKind kind, reference_kind(*info.plain));
    if (kind == ReferenceKind::sources) {
      ASSIGN_OR_RETURN(const auto sources, decode_map_sources(*info.plain));
      for (const MapSource& source : sources) {
        ASSIGN_OR_RETURN(const uint32_t slot, slot_for(source));
        slot_of.push_back(slot);
      }
      continue;
    }
    MapGroups groups(*info.plain);
    uint64_t group = 0;
    while (true) {  // each turn consumes a group
      ASSIGN_OR_RETURN(const bool more, groups.next(group, entries, slot_of.size()));
      if (!more) break;
      if (group < next_group) return corrupt(segment, "groups of a map out of order");
      next_group = group + 1;
      for (MapEntry& e : entries) e.source = slot_of[e.source];
      out.map.set_group(group, entries);
    }
  }
  if (index.frames.empty()) return corrupt(segment, "an empty map");
  return out;
}

Result<std::vector<MapSource>> load_map_sources(SegmentFiles& files, ImageReader& reader,
                                                const ImageSegment& segment) {
  ASSIGN_OR_RETURN(const SegmentIndex index, read_segment_index(files, segment));
  std::vector<MapSource> out;
  for (size_t i = 1; i < index.frames.size(); ++i) {
    ASSIGN_OR_RETURN(const ImageReader::FrameInfo info,
                     read_map_frame(reader, segment, index.frames[i]));
    ASSIGN_OR_RETURN(const ReferenceKind kind, reference_kind(*info.plain));
    if (kind != ReferenceKind::sources) break;
    ASSIGN_OR_RETURN(const auto sources, decode_map_sources(*info.plain));
    out.insert(out.end(), sources.begin(), sources.end());
  }
  return out;
}

}  // namespace coldshelf
