// A tape drive without a wire: the semantics of SSC-5 on a cartridge. target/scsi/ssc turns CDBs
// into these calls. Filemark, end of data, early warning and friends are outcomes; Errors are for
// what failed. Thread-safe: one lock; long calls (locate on a cold segment) hold it, load state is
// readable without.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "tape/cartridge/cartridge.h"
#include "tape/drive/media.h"

namespace coldshelf {

// What a medium operation met, beside having done its work (SSC-5 4.2.x).
struct WriteOutcome {
  bool early_warning = false;               // at or behind EW: NO SENSE, EOM bit, 00/02
  bool programmable_early_warning = false;  // entered the PEWZ by this write: NO SENSE 00/07
  bool volume_overflow = false;             // nothing was written: VOLUME OVERFLOW 00/02, EOM
};

struct ReadOutcome {
  // end_of_partition stays unused: every partition here ends with an end of data.
  enum class Kind { record, filemark, end_of_data, end_of_partition };
  Kind kind = Kind::record;
  RecordData record;
  bool early_warning = false;  // position is behind EW (REW bit of page 10h asks for it)
};

enum class SpaceCode { blocks, filemarks, sequential_filemarks, end_of_data };
struct SpaceOutcome {
  enum class Stop { done, filemark, end_of_data, beginning_of_partition };
  Stop stop = Stop::done;
  // Requested count not spaced over, as a positive number: the stopping filemark is not counted for
  // blocks; for sequential filemarks all of the count, as no part of a run is one.
  uint64_t residual = 0;
};

enum class LocateOutcome { done, end_of_data };

struct DrivePosition {
  Position at;
  bool beginning_of_partition = false;
  bool end_of_partition = false;  // between EW and the end (EOP bit of READ POSITION)
  bool programmable_early_warning_zone = false;
  uint64_t buffered_objects = 0;  // not yet on disk; with their bytes
  uint64_t buffered_bytes = 0;
};

// What a drive is busy with. Reading and writing are told by the counters as well: a call of either
// is short, unless it waits for data.
enum class DriveActivity {
  empty,
  not_ready,
  idle,
  loading,
  unloading,
  positioning,
  erasing,
  reading,
  writing,
};
std::string_view to_string(DriveActivity activity);

// Monotonic counts since power on (log pages 02h 03h 0Ch 14h 17h ...); the load ones since the last
// load.
struct DriveCounters {
  uint64_t loads = 0;
  uint64_t records_written = 0, records_read = 0, filemarks_written = 0;
  uint64_t bytes_from_initiator = 0, bytes_to_initiator = 0;  // plain
  uint64_t bytes_to_medium = 0, bytes_from_medium = 0;        // stored
  uint64_t write_errors = 0, read_errors = 0;                 // uncorrected
};

class TapeDrive {
 public:
  struct Options {
    unsigned number = 1;  // from 1, as in the target's name
    std::string serial;   // unit serial number, 10 characters
    const DriveProfile* profile = nullptr;
    Clock* clock = nullptr;
    uint64_t early_warning_bytes = 0;  // distance of EW from the end of the partition; 0: 2 % of
                                       // it, 1 MiB to 8 GiB, at most half
  };
  // Told of each unload() (not of eject()); called without the lock.
  using UnloadListener = std::function<void(unsigned drive)>;

  explicit TapeDrive(Options options);
  ~TapeDrive();
  const Options& options() const;

  // -- medium. A cartridge is inserted (changer put it in) and then loaded (threaded); insert
  // loads, as autoloading drives do. invalid_argument: this drive cannot read that medium (the
  // cartridge comes back in *cartridge).
  Status insert(std::unique_ptr<Cartridge>& cartridge);
  bool inserted() const;
  bool loaded() const;
  Status load();    // LOAD UNLOAD with LOAD=1: not_ready when nothing is inserted
  Status unload();  // sync, rewind, seal; the cartridge stays inserted. prevented is checked by the
                    // caller (per nexus)
  // For the changer: unloads when loaded and hands the cartridge out. An error of the flush comes
  // back after the cartridge is out of reach of the initiator: *cartridge is set in any case when
  // something was inserted.
  Status eject(std::unique_ptr<Cartridge>* cartridge);
  void set_unload_listener(UnloadListener listener);
  // A number that changes with each insert, load and eject: unit attention "medium changed" is
  // raised from it.
  uint64_t medium_generation() const;
  // Only the medium of this generation is changed (written, erased, formatted, ...) from now on,
  // until the next call: the commands of an initiator are meant for the one it knows of, whichever
  // the changer puts in between two of their steps. Never called: whatever is in.
  void expect_medium(uint64_t generation);
  std::string label() const;  // of the inserted cartridge, else ""

  const MediumProfile* medium() const;  // null when not loaded
  bool worm() const;
  bool write_protected() const;   // by medium generation, tab, or failure
  Status check_writable() const;  // why not
  void set_software_write_protect(bool persistent_or_associated);  // mode page 10h SWP

  // -- position and movement (all: not_ready when not loaded)
  Result<DrivePosition> position() const;
  Status rewind();  // syncs first when something was written
  Result<LocateOutcome> locate_block(uint32_t partition, uint64_t block);
  Result<LocateOutcome> locate_filemark(
      uint32_t partition, uint64_t filemark);  // before the first object after filemark n-1
  Result<LocateOutcome> locate_end_of_data(uint32_t partition);
  Result<SpaceOutcome> space(SpaceCode code, int64_t count);
  bool at_end_of_data() const;  // nothing follows the position (append-only mode asks)
  // The medium stands where those who were writing do not know: at its beginning, after a restart
  // or a move that failed, or another one is in. It stays lost until somebody says where to go
  // (REWIND, LOCATE, LOAD, SPACE to the end of data; a relative SPACE from a place nobody knows
  // does not, unless it comes to the end of data).
  void lose_position();
  bool position_lost() const;

  // -- data
  // corrupt, not_found (lost segment): the object is damaged, the error is told and the position
  // moves behind it, so that what follows can be read on; behind the whole segment when its index
  // is lost as well. Every other error (cold, timed_out, unavailable, io) leaves the position: the
  // same read may work later.
  Result<ReadOutcome> read();
  // False as well while another call is under way: never waits.
  bool read_is_ready() const;
  // An empty record is no record and no error. A record that does not fit into the partition is not
  // written: volume_overflow. On WORM everywhere but at the end of data and between the filemarks
  // at it: write_protected. An error of the medium (io, no_space, ...) may be of an earlier write;
  // the position is then not behind what is really there, and the medium is read-only until the
  // cartridge is opened again.
  Result<WriteOutcome> write(ByteView record);
  bool write_would_block(size_t record_bytes) const;  // true while another call is under way
  // How long the next write should wait, where that holds up nobody else; 0: not at all.
  int64_t write_hold_ms() const;
  // Filemarks take no capacity: they can be written at the very end. Count 0 with immediate=false
  // is a sync, whatever protects the medium.
  Result<WriteOutcome> write_filemarks(uint64_t count, bool immediate);
  Status sync();
  Status erase();  // from the position to the end of the partition
  // Both drop all content and leave partition 0, block 0; the caller has checked the position
  // (SSC-5 7.1, 7.10 ask for the beginning of partition 0). out_of_range: number of partitions;
  // write_protected: WORM.
  Status format_medium(const std::vector<uint64_t>& partition_capacities);
  Status set_capacity(uint64_t capacity_bytes);
  void set_compression(bool on);  // page 0Fh DCE; kept over loads, on at first
  void set_programmable_early_warning(uint64_t bytes);  // page 10h/01h PEWS, in MB of 10^6 there
  uint64_t programmable_early_warning() const;

  // -- medium auxiliary memory: device and medium attributes computed here (remaining/maximum
  // capacity, load count, ...), host attributes kept in the cartridge. SPC-5 7.4.
  struct MamAttribute {
    uint16_t id = 0;
    bool read_only = true;
    uint8_t format = 0;
    Buffer value;
  };
  Result<std::vector<MamAttribute>> mam_attributes(uint32_t partition) const;  // ascending id
  // An empty value removes. invalid_argument: not a host attribute, wrong format, too long;
  // no_space: the memory (16 KiB) is full.
  Status write_mam(uint32_t partition, uint16_t id, uint8_t format, ByteView value);

  struct Capacity {
    uint64_t maximum_bytes = 0, remaining_bytes = 0,
             used_bytes = 0;  // of one partition, by the end of data
  };
  Result<Capacity> capacity(uint32_t partition) const;
  uint32_t partition_count() const;  // 0 when not loaded
  uint64_t medium_capacity() const;  // the medium's own, whatever SET CAPACITY left of it; 0: none

  // A property of the cartridge in the drive, for the operator; durable. conflict: it is not the
  // one with this label.
  Status set_property(const std::string& label, const std::string& name, const std::string& value);

  DriveCounters counters() const;       // since construction
  DriveCounters load_counters() const;  // since the medium was loaded
  // For the operator; neither waits for a call under way.
  DriveActivity activity() const;
  std::optional<Position> position_now() const;  // none: not loaded, or a call is under way
  // Errors the operator and TapeAlert should know, newest last, bounded; e.g. the write failure
  // that made the medium read-only.
  std::optional<Error> last_medium_error() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coldshelf
