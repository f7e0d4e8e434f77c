// EXTENDED COPY (LID1), block to block within this disk, and RECEIVE COPY RESULTS (SPC-4 6.16 -
// 6.24). Copies are done before their status: nothing is held, nothing goes on in the background.
#include <algorithm>

#include "target/scsi/block_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kHeader = 16;
constexpr size_t kTargetDescriptor = 32;
constexpr uint8_t kIdentificationDescriptor = 0xE4;
constexpr uint8_t kBlockToBlock = 0x02;
constexpr size_t kBlockToBlockBytes = 28;
constexpr size_t kMaxTargets = 16;
constexpr size_t kMaxSegments = 256;
constexpr size_t kMaxListBytes =
    kMaxTargets * kTargetDescriptor + kMaxSegments * kBlockToBlockBytes;
constexpr uint64_t kMaxSegmentBlocks = 0xFFFF;
constexpr uint64_t kStepBytes = 1 * MiB;

enum ResultAction : uint8_t {
  copy_status = 0x00,
  receive_data = 0x01,
  operating_parameters = 0x03,
  failed_segment_details = 0x04,
};

struct Segment {
  uint16_t source = 0, destination = 0;  // target descriptor indexes
  uint64_t blocks = 0;
  uint64_t from = 0, to = 0;  // LBAs
};

Segment segment_at(ByteView list, size_t at) {
  return {static_cast<uint16_t>(get_number(list, at + 4, 2)),
          static_cast<uint16_t>(get_number(list, at + 6, 2)), get_number(list, at + 10, 2),
          get_number(list, at + 12, 8), get_number(list, at + 20, 8)};
}

struct Lists {
  size_t targets = 0;   // bytes of target descriptors, from kHeader on
  size_t segments = 0;  // bytes of segment descriptors, after those
};
Lists lists_of(ByteView parameters) {
  return {static_cast<size_t>(get_number(parameters, 2, 2)),
          static_cast<size_t>(get_number(parameters, 8, 4))};
}

Sense copy_aborted(AdditionalSense code) {
  Sense sense;
  sense.key = SenseKey::copy_aborted;
  sense.code = code;
  return sense;
}

}  // namespace

// The blocks of all segments, sources and destinations, as one range that is written.
Footprint BlockUnit::copy_footprint(const Command& command) const {
  const ByteView list = command.data_out;
  const Lists lists = lists_of(list);
  Footprint out = Footprint::nothing();
  const size_t end = std::min(list.size(), kHeader + lists.targets + lists.segments);
  for (size_t at = kHeader + lists.targets; at + kBlockToBlockBytes <= end;
       at += kBlockToBlockBytes) {
    const Segment s = segment_at(list, at);
    for (const uint64_t lba : {s.from, s.to}) {
      if (lba > capacity_blocks()) continue;
      out.begin = out.writes ? std::min(out.begin, lba) : lba;
      out.end = std::max(out.end, lba + s.blocks);
      out.writes = true;
    }
  }
  return out;
}

// An identification descriptor that names this disk, by one of the logical unit's designators of
// VPD page 83h.
std::optional<Sense> BlockUnit::check_copy_target(ByteView descriptor, uint16_t at) const {
  const auto field = [at](unsigned byte, uint8_t bit) {
    return invalid_parameter_field(static_cast<uint16_t>(at + byte), bit);
  };
  if (get_byte(descriptor, 0) != kIdentificationDescriptor)
    return illegal_request(asc::unsupported_target_descriptor);
  // LU ID TYPE means nothing here: the designator names the logical unit. NUL: no null device.
  if ((get_byte(descriptor, 1) & 0x20) != 0) return copy_aborted(asc::copy_target_not_reachable);
  if ((get_byte(descriptor, 1) & 0x1F) != 0) return field(1, 4);  // a disk, as this one
  const auto code_set = static_cast<uint8_t>(get_byte(descriptor, 4) & 0x0FU);
  const auto type = static_cast<uint8_t>(get_byte(descriptor, 5) & 0x3FU);  // association as well
  const size_t length = get_byte(descriptor, 7);
  if (length > 20) return field(7, 7);
  const uint64_t block = get_number(descriptor, 29, 3);
  if (block != 0 && block != block_) return field(29, 7);
  const Buffer page = device_identification();
  for (size_t d = 0; d + 4 <= page.size(); d += 4U + get_byte(page, d + 3)) {
    const size_t ours = get_byte(page, d + 3);
    // An identifier of more than 20 bytes is cut in the descriptor (SPC-4 6.16.6.2).
    const bool same = (get_byte(page, d) & 0x0F) == code_set &&
                      (get_byte(page, d + 1) & 0x3F) == type &&
                      std::min<size_t>(ours, 20) == length && length > 0 &&
                      equal(ByteView(page).subspan(d + 4, length), descriptor.subspan(8, length));
    if (same) return std::nullopt;
  }
  return copy_aborted(asc::copy_target_not_reachable);
}

Reply BlockUnit::extended_copy(const Command& command) {
  const uint64_t length = get_number(command.cdb, 10, 4);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse_medium(Access::write)) return check(*sense);
  if (length == 0) return good();
  const ByteView list = command.data_out;
  if (length < kHeader || list.size() < length)
    return check(illegal_request(asc::parameter_list_length_error));
  const Lists lists = lists_of(list);
  if (lists.targets % kTargetDescriptor != 0) return check(invalid_parameter_field(2, 7));
  if (lists.targets + lists.segments > kMaxListBytes)
    return check(illegal_request(asc::parameter_list_length_error));
  if (lists.targets / kTargetDescriptor > kMaxTargets)
    return check(illegal_request(asc::too_many_target_descriptors));
  if (lists.segments > kMaxSegments * kBlockToBlockBytes)
    return check(illegal_request(asc::too_many_segment_descriptors));
  if (get_number(list, 12, 4) != 0) return check(illegal_request(asc::inline_data_length_exceeded));
  if (kHeader + lists.targets + lists.segments > length)
    return check(illegal_request(asc::parameter_list_length_error));
  for (size_t at = kHeader; at < kHeader + lists.targets; at += kTargetDescriptor)
    if (const auto sense =
            check_copy_target(list.subspan(at, kTargetDescriptor), static_cast<uint16_t>(at)))
      return check(*sense);
  return copy_segments(command, list.first(kHeader + lists.targets + lists.segments),
                       kHeader + lists.targets);
}

Reply BlockUnit::copy_segments(const Command& command, ByteView list, size_t first_at) {
  const size_t targets = (first_at - kHeader) / kTargetDescriptor;
  const uint64_t capacity = capacity_blocks();
  // 1. All of them are checked before anything is copied.
  for (size_t at = first_at; at < list.size(); at += kBlockToBlockBytes) {
    const auto field = [at](unsigned byte) {
      return invalid_parameter_field(static_cast<uint16_t>(at + byte), 7);
    };
    if (get_byte(list, at) != kBlockToBlock)
      return check(illegal_request(asc::unsupported_segment_descriptor));
    if (list.size() - at < kBlockToBlockBytes)
      return check(illegal_request(asc::parameter_list_length_error));
    if (get_number(list, at + 2, 2) != kBlockToBlockBytes - 4) return check(field(2));
    const Segment s = segment_at(list, at);
    if (s.source >= targets || s.destination >= targets)
      return check(copy_aborted(asc::copy_target_not_reachable));
    for (const uint64_t lba : {s.from, s.to})
      if (lba > capacity || s.blocks > capacity - lba) return check(copy_aborted(asc::none));
  }
  // 2. In their order.
  CopyResult result{command.nexus->id, get_byte(list, 0), false, 0, 0};
  Status done;
  for (size_t at = first_at; at < list.size() && done.ok(); at += kBlockToBlockBytes) {
    const Segment s = segment_at(list, at);
    done = copy_range(s.from * block_, s.to * block_, s.blocks * block_, command.aborted.get());
    if (!done.ok()) break;
    ++result.segments;
    result.bytes += s.blocks * block_;
  }
  if (done.ok()) done = settle(!write_cache_);
  result.failed = !done.ok();
  {
    const std::lock_guard lock(copies_mutex_);
    std::erase_if(copies_, [&](const CopyResult& r) {
      return r.nexus_id == result.nexus_id && r.list_id == result.list_id;
    });
    copies_.push_front(result);
    if (copies_.size() > kCopyResults) copies_.pop_back();
  }
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

// A range may overlap the one it comes from: it is copied from the end that is not overwritten.
Status BlockUnit::copy_range(uint64_t from, uint64_t to, uint64_t length,
                             const std::atomic<bool>* aborted) {
  if (length == 0 || from == to) return {};
  const uint64_t step = std::max(kStepBytes / block_ * block_, block_);
  const bool backwards = to > from && to < from + length;
  const auto buffer = buffers_->take(static_cast<size_t>(std::min(step, length)));
  for (uint64_t done = 0; done < length;) {
    if (aborted != nullptr && aborted->load())
      return Error(ErrorCode::cancelled, "the command was aborted");
    const uint64_t now = std::min(step, length - done);
    const uint64_t at = backwards ? length - done - now : done;
    const MutableBytes bytes = MutableBytes(*buffer).first(static_cast<size_t>(now));
    TRY(device_->read(from + at, bytes));
    TRY(device_->write(to + at, bytes, false));
    done += now;
  }
  return {};
}

// -- RECEIVE COPY RESULTS

Reply BlockUnit::copy_operating_parameters(uint64_t allocation) const {
  Buffer out;
  WireWriter w(out);
  w.u32(0).u8(0x01).zeros(3);  // SNLID: a list identifier of 0 and no results are possible
  w.u16(kMaxTargets).u16(kMaxSegments).u32(kMaxListBytes);
  w.u32(kMaxSegmentBlocks * block_).u32(0).u32(0).u32(0);  // no inline, held or stream data
  w.u16(0).u16(0).u16(0).u16(0);
  w.u8(1).u8(0).u8(0).u8(0).zeros(3);
  put_number(out, 0, out.size() - 4, 4);
  return data(std::move(out), allocation);
}

Reply BlockUnit::receive_copy_results(const Command& command) {
  const auto action = static_cast<uint8_t>(get_byte(command.cdb, 1) & 0x1FU);
  const uint8_t list_id = get_byte(command.cdb, 2);
  const uint64_t allocation = get_number(command.cdb, 10, 4);
  if (action == operating_parameters) return copy_operating_parameters(allocation);
  std::optional<CopyResult> result;
  {
    const std::lock_guard lock(copies_mutex_);
    const auto at = std::find_if(copies_.begin(), copies_.end(), [&](const CopyResult& r) {
      return r.nexus_id == command.nexus->id && r.list_id == list_id;
    });
    if (at != copies_.end()) result = *at;
    // Their report ends them (SPC-4 6.19).
    if (result && action == failed_segment_details) copies_.erase(at);
  }
  if (!result) return check(invalid_cdb_field(2, 7));
  Buffer out;
  WireWriter w(out);
  switch (action) {
    case copy_status:
      w.u32(8).u8(result->failed ? 0x02U : 0x01U).u16(result->segments);
      w.u8(0x01).u32(std::min<uint64_t>(result->bytes / KiB, 0xFFFFFFFF));  // in kibibytes
      break;
    case receive_data:
      w.u32(0);
      break;
    default:  // what is there to know of a failure was in the command's sense
      w.u32(56).zeros(52).u8(0).u8(0).u16(0);
      break;
  }
  return data(std::move(out), allocation);
}

// VPD page 8Fh (SPC-4 7.8.17).
Buffer BlockUnit::third_party_copy_page() const {
  Buffer out;
  WireWriter w(out);
  const auto padded = [&](uint16_t type, const Buffer& body) {
    const size_t size = (body.size() + 3) / 4 * 4;
    w.u16(type).u16(size).raw(body).zeros(size - body.size());
  };
  Buffer body;
  WireWriter commands(body);
  commands.u8(9).u8(0x83).u8(1).u8(0x00);
  commands.u8(0x84).u8(4).u8(0x00).u8(0x01).u8(0x03).u8(0x04);
  padded(0x0001, body);
  body.clear();
  WireWriter(body).zeros(4).u16(kMaxTargets).u16(kMaxSegments).u32(kMaxListBytes).u32(0).zeros(12);
  padded(0x0004, body);
  body.clear();
  WireWriter(body).u8(2).u8(kBlockToBlock).u8(kIdentificationDescriptor);
  padded(0x0008, body);
  body.clear();
  WireWriter(body).u16(0);  // no identifiers beside the descriptors
  padded(0x000C, body);
  body.clear();
  WireWriter(body)
      .u32(options_.concurrency)
      .u32(0)
      .u32(kMaxSegmentBlocks * block_)
      .u8(0)
      .u8(0)
      .zeros(18);
  padded(0x8001, body);
  return out;
}

}  // namespace coldshelf::scsi
