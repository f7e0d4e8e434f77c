// Which part of a tape is wanted back, and which segments hold it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tape/format/manifest.h"

namespace coldshelf {

// Tape files or records of one partition, `first` to `last`, both included.
//   files    counted from 0 as `mt status` and `mt asf` do: file n lies between filemarks n-1 and
//   n;
//            behind the last filemark there may be one more
//   records  block numbers as READ POSITION gives them, filemarks counted too
struct TapeRange {
  enum class Kind { files, records } kind = Kind::files;
  uint32_t partition = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  bool operator==(const TapeRange&) const = default;
};

// "3", "3-5", "0-2,7"; appends. invalid_argument says what is wrong.
Status parse_ranges(std::string_view text, TapeRange::Kind kind, uint32_t partition,
                    std::vector<TapeRange>& out);

// One line, in the catalog, in jobs and in the manifest's property "parts": "f3-5,f9,r100-200,1:f0"
// (a partition other than 0 stands before the colon).
std::string encode_parts(const std::vector<TapeRange>& parts);
Result<std::vector<TapeRange>> decode_parts(std::string_view text);
// For a person: "files 3-5, 9; records 100-200; partition 1: file 0".
std::string describe_parts(const std::vector<TapeRange>& parts);

// The segments that must be readable to go there and read it, by partition and place: those that
// hold the objects, and for files also the filemark before them, which SPACE and LOCATE stop
// behind. out_of_range: the tape does not reach so far. No parts: every segment.
Result<std::vector<SegmentEntry>> select_segments(const Manifest& manifest,
                                                  const std::vector<TapeRange>& parts);

}  // namespace coldshelf
