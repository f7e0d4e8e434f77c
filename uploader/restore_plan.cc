#include "uploader/restore_plan.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace coldshelf {

namespace {

constexpr size_t kMaxRanges = 1'000;

Error bad_range(std::string_view text) {
  return Error(ErrorCode::invalid_argument,
               "'" + std::string(text) + "' is no range; write 3, 3-5 or 0-2,7");
}

bool parse_number(std::string_view text, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Result<TapeRange> parse_range(std::string_view text, TapeRange::Kind kind, uint32_t partition) {
  TapeRange range{kind, partition, 0, 0};
  const size_t dash = text.find('-');
  if (!parse_number(text.substr(0, dash), range.first)) return bad_range(text);
  range.last = range.first;
  if (dash != std::string_view::npos && !parse_number(text.substr(dash + 1), range.last)) {
    return bad_range(text);
  }
  if (range.last < range.first) {
    return Error(ErrorCode::invalid_argument,
                 "'" + std::string(text) + "' runs backwards; the smaller number comes first");
  }
  return range;
}

// Calls for each part between commas.
template <typename Each>
Status split(std::string_view text, const Each& each) {
  while (true) {
    const size_t comma = text.find(',');
    TRY(each(text.substr(0, comma)));
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

std::string numbers(const TapeRange& range) {
  std::string out = std::to_string(range.first);
  if (range.last != range.first) out += "-" + std::to_string(range.last);
  return out;
}

// Places in the partition's list, both included.
struct Span {
  size_t first = 0;
  size_t last = 0;
};

Result<Span> span_of_files(const Partition& partition, const TapeRange& range) {
  const std::vector<SegmentEntry>& segments = partition.segments;
  const uint64_t marks = partition.end_filemark();
  // The manifest alone does not tell whether something is behind the last filemark: that file is
  // allowed, its place on the tape is known.
  if (segments.empty() || range.last > marks) {
    return Error(
        ErrorCode::out_of_range,
        segments.empty()
            ? "there is nothing on partition " + std::to_string(range.partition) + " of the tape"
            : "the tape has " + std::to_string(marks) + " filemarks, so files 0 to " +
                  std::to_string(marks) + " at most, not " + numbers(range));
  }
  const auto holding = [&](uint64_t mark) {
    return static_cast<size_t>(
        std::partition_point(segments.begin(), segments.end(),
                             [&](const SegmentEntry& e) { return e.end_filemark() <= mark; }) -
        segments.begin());
  };
  Span span{0, segments.size() - 1};
  if (range.first > 0) span.first = holding(range.first - 1);
  if (range.last < marks) span.last = holding(range.last);
  return span;
}

Result<Span> span_of_records(const Partition& partition, const TapeRange& range) {
  const std::vector<SegmentEntry>& segments = partition.segments;
  if (range.last >= partition.end_block()) {
    return Error(
        ErrorCode::out_of_range,
        segments.empty()
            ? "there is nothing on partition " + std::to_string(range.partition) + " of the tape"
            : "the tape has records 0 to " + std::to_string(partition.end_block() - 1) + ", not " +
                  numbers(range));
  }
  const auto holding = [&](uint64_t block) {
    return static_cast<size_t>(
        std::partition_point(segments.begin(), segments.end(),
                             [&](const SegmentEntry& e) { return e.end_block() <= block; }) -
        segments.begin());
  };
  return Span{holding(range.first), holding(range.last)};
}

}  // namespace

Status parse_ranges(std::string_view text, TapeRange::Kind kind, uint32_t partition,
                    std::vector<TapeRange>& out) {
  return split(text, [&](std::string_view part) -> Status {
    ASSIGN_OR_RETURN(const TapeRange range, parse_range(part, kind, partition));
    if (out.size() == kMaxRanges) {
      return Error(ErrorCode::out_of_range,
                   "more than " + std::to_string(kMaxRanges) + " ranges in one request");
    }
    out.push_back(range);
    return {};
  });
}

std::string encode_parts(const std::vector<TapeRange>& parts) {
  std::string out;
  for (const TapeRange& part : parts) {
    if (!out.empty()) out += ',';
    if (part.partition != 0) out += std::to_string(part.partition) + ":";
    out += (part.kind == TapeRange::Kind::files ? 'f' : 'r') + numbers(part);
  }
  return out;
}

Result<std::vector<TapeRange>> decode_parts(std::string_view text) {
  std::vector<TapeRange> out;
  if (text.empty()) return out;
  TRY(split(text, [&](std::string_view part) -> Status {
    uint64_t partition = 0;
    const size_t colon = part.find(':');
    if (colon != std::string_view::npos) {
      if (!parse_number(part.substr(0, colon), partition) || partition >= kMaxPartitions) {
        return bad_range(part);
      }
      part.remove_prefix(colon + 1);
    }
    if (part.empty() || (part[0] != 'f' && part[0] != 'r')) return bad_range(part);
    const auto kind = part[0] == 'f' ? TapeRange::Kind::files : TapeRange::Kind::records;
    ASSIGN_OR_RETURN(const TapeRange range,
                     parse_range(part.substr(1), kind, static_cast<uint32_t>(partition)));
    out.push_back(range);
    return {};
  }));
  return out;
}

std::string describe_parts(const std::vector<TapeRange>& parts) {
  std::map<std::pair<uint32_t, TapeRange::Kind>, std::vector<TapeRange>> sorted;
  for (const TapeRange& part : parts) sorted[{part.partition, part.kind}].push_back(part);
  std::string out;
  for (const auto& [key, ranges] : sorted) {
    if (!out.empty()) out += "; ";
    if (key.first != 0) out += "partition " + std::to_string(key.first) + ": ";
    out += key.second == TapeRange::Kind::files ? "file" : "record";
    if (ranges.size() > 1 || ranges[0].first != ranges[0].last) out += "s";
    for (size_t i = 0; i < ranges.size(); ++i) out += (i == 0 ? " " : ", ") + numbers(ranges[i]);
  }
  return out;
}

Result<std::vector<SegmentEntry>> select_segments(const Manifest& manifest,
                                                  const std::vector<TapeRange>& parts) {
  std::vector<std::set<size_t>> wanted(manifest.partitions.size());
  for (const TapeRange& part : parts) {
    if (part.partition >= manifest.partitions.size()) {
      return Error(ErrorCode::out_of_range,
                   "the tape has no partition " + std::to_string(part.partition));
    }
    const Partition& partition = manifest.partitions[part.partition];
    ASSIGN_OR_RETURN(const Span span, part.kind == TapeRange::Kind::files
                                          ? span_of_files(partition, part)
                                          : span_of_records(partition, part));
    for (size_t i = span.first; i <= span.last; ++i) wanted[part.partition].insert(i);
  }
  std::vector<SegmentEntry> out;
  for (size_t p = 0; p < manifest.partitions.size(); ++p) {
    const std::vector<SegmentEntry>& segments = manifest.partitions[p].segments;
    if (parts.empty()) {
      out.insert(out.end(), segments.begin(), segments.end());
      continue;
    }
    for (const size_t i : wanted[p]) out.push_back(segments[i]);
  }
  return out;
}

}  // namespace coldshelf
