// A tape initiator for benchmarks and end-to-end tests: libiscsi, one command at a time, no copy of
// its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

struct iscsi_context;

namespace coldshelf::test {

class TapeClient {
 public:
  // `portal` is "127.0.0.1:3260". Logs in; unit attentions are taken by wait_ready().
  static Result<TapeClient> connect(const std::string& portal, const std::string& target, int lun,
                                    const std::string& initiator);
  TapeClient(TapeClient&& other) noexcept;
  TapeClient& operator=(TapeClient&&) = delete;
  ~TapeClient();

  // TEST UNIT READY until it answers GOOD.
  Status wait_ready(int attempts);
  Status rewind();
  Status write(std::span<std::byte> record);  // WRITE(6), variable block
  // READ(6), variable block; fails unless the record has this size.
  Status read(std::span<std::byte> record);
  // READ(6) with SILI: whatever comes next.
  struct Next {
    enum class Kind { record, filemark, end_of_data } kind = Kind::record;
    size_t size = 0;
  };
  Result<Next> read_next(std::span<std::byte> room);
  Status write_filemarks(uint32_t count, bool immediate);
  Status locate(uint64_t block);          // LOCATE(16)
  Status space_filemarks(int32_t count);  // SPACE(6)
  Status unload();                        // LOAD UNLOAD, LOAD=0
  Status prevent_removal(bool on);

 private:
  TapeClient(iscsi_context* context, int lun) : context_(context), lun_(lun) {}
  enum class Direction { none, to_device, from_device };
  struct Answer {
    int status = 0;
    int sense_key = 0;
    int asc_ascq = 0;
    size_t transferred = 0;
  };
  Result<Answer> run(std::span<const uint8_t> cdb, Direction direction, std::span<std::byte> data);
  // The same, and anything but GOOD with all data moved is an error.
  Status run_whole(std::span<const uint8_t> cdb, Direction direction, std::span<std::byte> data);
  iscsi_context* context_;
  int lun_;
};

}  // namespace coldshelf::test
