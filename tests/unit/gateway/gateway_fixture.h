// A gateway without iSCSI: real catalog, shelf, library, cartridges and directory store in a
// scratch directory.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "gateway/api/service.h"
#include "gateway/tape_service.h"
#include "uploader/cloud/local_directory_store.h"

namespace coldshelf::test {

// Moves only when told, or asked to sleep.
class ManualClock final : public Clock {
 public:
  int64_t unix_ms() override { return now_ms_; }
  int64_t monotonic_ns() override { return now_ms_ * 1'000'000; }
  void sleep_ms(int64_t ms) override { now_ms_ += ms; }

 private:
  std::atomic<int64_t> now_ms_{1'790'000'000'000};
};

class TestGateway {
 public:
  // `real_time`: with threads and the system's clock; else everything moves in settle().
  explicit TestGateway(bool real_time = false);
  ~TestGateway();
  void open();   // again after close(): a restart
  void close();  // a clean stop
  void crash();  // no clean stop of anything above the disk

  // Runs all that is due, the clock moving on, until nothing is left to do.
  void settle();

  TapeView create(const std::string& barcode, uint64_t size = 1 * GiB);
  TapeStatus status(const std::string& barcode);
  std::string location(const std::string& barcode);
  // Loads it into drive 1, writes `files` files of `records` records, unloads it.
  void write_files(const std::string& barcode, int files, int records, size_t record_bytes);
  static Buffer record(int file, int number, size_t bytes);
  void archive(const std::string& barcode);   // and waits
  void retrieve(const std::string& barcode);  // and waits
  void wait_for_job(int64_t id);

  const std::string& root() const { return root_; }
  Clock& clock() { return *clock_; }
  TapeService::Options options;
  unsigned slots = 4;
  unsigned import_export_slots = 2;
  std::optional<KeyEncryptionKey> key;
  std::unique_ptr<KeyRing> ring;  // given: instead of `key`
  Status storage;                 // what the vault is told of the data directory

  PosixFileSystem files;
  SystemRandom random;
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<ObjectStore> store;
  std::unique_ptr<Shelf> shelf;
  std::unique_ptr<Vault> vault;
  std::vector<std::unique_ptr<TapeDrive>> drives;
  std::unique_ptr<TapeService> tapes;
  std::unique_ptr<Library> library;

 private:
  const bool real_time_;
  std::string root_;
  std::unique_ptr<Clock> clock_;
  std::shared_ptr<BufferPool> buffers_;
  std::unique_ptr<WorkerPool> workers_;
};

#define ASSERT_OK(expression)                                   \
  do {                                                          \
    const auto& ok_result = (expression);                       \
    ASSERT_TRUE(ok_result.ok()) << ok_result.error().message(); \
  } while (false)
#define EXPECT_OK(expression)                                   \
  do {                                                          \
    const auto& ok_result = (expression);                       \
    EXPECT_TRUE(ok_result.ok()) << ok_result.error().message(); \
  } while (false)
#define EXPECT_CODE(expression, wanted)                                            \
  do {                                                                             \
    const auto& code_result = (expression);                                        \
    EXPECT_FALSE(code_result.ok());                                                \
    if (!code_result.ok()) {                                                       \
      EXPECT_EQ(to_string(code_result.error().code), to_string(ErrorCode::wanted)) \
          << code_result.error().message();                                        \
    }                                                                              \
  } while (false)

}  // namespace coldshelf::test
