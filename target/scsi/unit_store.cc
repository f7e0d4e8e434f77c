#include "target/scsi/unit_store.h"

#include "base/coding.h"
#include "base/crc32c.h"

namespace coldshelf::scsi {

namespace {

// "CSU1", CRC32C of the record, the record.
constexpr uint32_t kMagic = 0x31555343;
constexpr size_t kHeaderBytes = 8;
constexpr uint64_t kMaxRecordBytes = 4 * MiB;

}  // namespace

Result<Buffer> FileUnitStore::load(const std::string& name) {
  const std::string path = join_path(directory_, name);
  ASSIGN_OR_RETURN(const bool there, files_->exists(path));
  if (!there) return Buffer();
  ASSIGN_OR_RETURN(Buffer bytes, files_->read_file(path, kMaxRecordBytes));
  if (bytes.size() < kHeaderBytes || load_le<uint32_t>(bytes.data()) != kMagic ||
      load_le<uint32_t>(bytes.data() + 4) != crc32c(ByteView(bytes).subspan(kHeaderBytes)))
    return Error(ErrorCode::corrupt, "the record " + path + " is damaged");
  bytes.erase(bytes.begin(), bytes.begin() + kHeaderBytes);
  return bytes;
}

Status FileUnitStore::save(const std::string& name, ByteView record) {
  if (record.size() > kMaxRecordBytes - kHeaderBytes)
    return Error(ErrorCode::out_of_range, "a unit's record is too long: " + name);
  Buffer bytes(kHeaderBytes);
  store_le(bytes.data(), kMagic);
  store_le(bytes.data() + 4, crc32c(record));
  append(bytes, record);
  return files_->replace_file(join_path(directory_, name), bytes);
}

}  // namespace coldshelf::scsi
