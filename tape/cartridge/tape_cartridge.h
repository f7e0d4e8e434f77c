// The cartridge on segments: glue between pipeline, sealer, reader and manifest.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"
#include "tape/cartridge/cartridge_state.h"
#include "tape/cartridge/frame_locator.h"
#include "tape/cartridge/frame_pipeline.h"
#include "tape/cartridge/read_window.h"
#include "tape/cartridge/sealer.h"
#include "tape/cartridge/segment_cache.h"

namespace coldshelf {

class TapeCartridge final : public Cartridge {
 public:
  // `next_sequence`: no file of the directory has this sequence or a later one.
  TapeCartridge(const CartridgeEnv& env, const CartridgeOptions& options, std::string directory,
                std::unique_ptr<ManifestLog> log, Secret data_key, uint64_t next_sequence);
  ~TapeCartridge() override;

  Manifest manifest() const override;
  const Uuid& uuid() const override { return state_.uuid; }
  const std::string& label() const override { return state_.label; }
  Status check_writable() const override;

  Result<TapeObject> read(Position& at) override;
  bool read_is_ready(const Position& at) const override;
  uint32_t partition_count() const override;
  uint64_t partition_capacity(uint32_t partition) const override;
  Position end_of_data(uint32_t partition) const override;
  Result<Position> position_of(uint32_t partition, uint64_t block) override;
  Result<std::optional<uint64_t>> filemark_block(uint32_t partition, uint64_t n) override;
  Result<uint64_t> bytes_before(const Position& at) override;

  Status write_record(Position& at, ByteView record) override;
  Status write_filemarks(Position& at, uint64_t count) override;
  void set_compression(bool on) override { state_.compress = on; }
  bool write_would_block(size_t record_bytes) const override;
  int64_t write_hold_ms() const override;
  Status sync() override;
  Status erase_from(const Position& at) override;
  Status format(const std::vector<uint64_t>& partition_capacities) override;
  Status set_capacity(uint64_t capacity_bytes) override;

  Status set_mam(const MamKey& key, const MamValue& value) override;
  Status remove_mam(const MamKey& key) override;
  Status set_property(const std::string& name, const std::string& value) override;
  Status set_write_protected(bool on) override;
  Status set_wrapped_key(const WrappedKey& key) override;
  void stop_writes(const Error& why) override { state_.fail(why); }

  Status seal() override;
  Status close() override;
  Counters counters() const override;

 private:
  Status check_edit(const ManifestEdit& edit) const;
  Status set_attribute(const ManifestEdit& edit);

  // -- tape_cartridge_read.cc; the user's lock is held
  Status make_readable(uint32_t partition, uint64_t block);
  Result<TapeObject> object_in(const std::shared_ptr<FrameSlot>& slot, const DecodedFrame& frame,
                               Position& at);
  Result<TapeObject> split_record(Position& at);
  struct InFrame {  // where an object lies in a frame of records
    size_t run = 0;
    uint32_t in_run = 0;
    uint64_t offset = 0;
  };
  std::optional<InFrame> find_in_frame(const FrameSlot* slot, const FrameHeader& header,
                                       uint64_t block);
  Error damaged(const Error& why, uint32_t partition, uint64_t block) const;
  Result<uint64_t> filemarks_before(uint32_t partition, uint64_t block);
  Result<uint64_t> plain_bytes_before(uint32_t partition, uint64_t block);
  Result<uint64_t> plain_bytes_in_frame(const FrameLocation& where, uint64_t block);

  // -- tape_cartridge_write.cc; the user's lock is held
  Status check_partition(uint32_t partition) const;
  Status prepare_write(Position& at);
  Status begin_epoch(std::vector<ManifestEdit> edits, std::vector<SegmentEntry>* dropped);
  Status check_cut(uint32_t partition, const PartitionEnd& cut);
  Status drop_from(const Position& at);
  Status drop_everything(const ManifestEdit& edit);
  void remove_dropped(const std::vector<SegmentEntry>& dropped);
  Status discard_open_segment();
  Status append_small(ByteView record);
  Status append_split(ByteView record, const PartitionEnd& after);
  void close_frame();
  void submit_frame(FrameHeader header, std::shared_ptr<const Buffer> plain,
                    const PartitionEnd& after);
  void accept(uint32_t partition, const PartitionEnd& end);
  void finish_segment();
  Status seal_locked();
  void forget_read_state();

  CartridgeState state_;
  SegmentCache cache_;
  FrameLocator locator_;
  Sealer sealer_;
  FramePipeline pipeline_;

  // The user's lock: everything below, and the order of operations.
  mutable std::mutex user_mutex_;
  ReadWindow window_;
  struct Cursor {  // the object after the one read last, within a frame
    std::shared_ptr<FrameSlot> slot;
    uint64_t block = 0;
    InFrame at;
  } cursor_;

  bool closed_ = false;
  bool epoch_begun_ = false;
  uint64_t epoch_ = 0;
  uint64_t next_sequence_ = 0;
  uint32_t write_partition_ = 0;
  std::shared_ptr<SegmentFile> open_segment_;
  PartitionEnd submitted_end_;  // of write_partition_: with all frames given to the pipeline
  struct {                      // the frame being filled
    std::shared_ptr<Buffer> plain;
    size_t used = 0;
    std::vector<RecordRun> runs;
    PartitionEnd end;
  } frame_;
};

}  // namespace coldshelf
