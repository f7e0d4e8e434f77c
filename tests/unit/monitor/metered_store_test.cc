#include "uploader/cloud/metered_store.h"

#include <gtest/gtest.h>

#include "tests/support/faulty_store.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/local_directory_store.h"

namespace coldshelf {
namespace {

// Fails as it is told to.
class BrokenStore final : public ObjectStore {
 public:
  std::optional<Error> fault;
  template <typename T>
  Result<T> answer(T value) {
    if (fault) return *fault;
    return value;
  }
  Status done() { return fault ? Status(*fault) : Status(); }
  Result<ObjectInfo> put(const std::string&, const PutSource&, const PutOptions&) override {
    return answer(ObjectInfo{});
  }
  Status get(const std::string&, uint64_t, MutableBytes) override { return done(); }
  Result<ObjectInfo> head(const std::string&) override { return answer(ObjectInfo{}); }
  Result<ListPage> list(const std::string&, const std::string&, size_t) override {
    return answer(ListPage{});
  }
  Result<FolderPage> list_folders(const std::string&, const std::string&, size_t) override {
    return answer(FolderPage{});
  }
  Status remove(const std::string&) override { return done(); }
  Result<ObjectInfo> change_class(const std::string&, StorageClass) override {
    return answer(ObjectInfo{});
  }
  Status restore(const std::string&, RestoreTier, unsigned) override { return done(); }
  Status set_lock(const std::string&, const ObjectLock&) override { return done(); }
  Result<ObjectLock> lock_of(const std::string&) override { return answer(ObjectLock{}); }
  Result<StoreCapabilities> capabilities() override { return answer(StoreCapabilities{}); }
  Result<size_t> abort_unfinished(const std::string&, int64_t) override {
    return answer(size_t{0});
  }
  std::string describe() const override { return "broken"; }
};

class MeteredStoreTest : public testing::Test {
 protected:
  test::SimClock clock;
  std::shared_ptr<StoreMeter> meter = std::make_shared<StoreMeter>(clock);
  BrokenStore* inner = new BrokenStore;
  MeteredStore store{std::unique_ptr<ObjectStore>(inner), meter};
  Buffer bytes = Buffer(100);
};

TEST_F(MeteredStoreTest, CountsCallsBytesAndErrors) {
  PutSource source;
  source.bytes = bytes;
  source.size = bytes.size();
  ASSERT_TRUE(store.put("a", source, StorageClass::standard).ok());
  ASSERT_TRUE(store.get("a", 0, bytes).ok());
  ASSERT_TRUE(store.head("a").ok());
  EXPECT_EQ(meter->call(StoreCall::put).bytes, 100U);
  EXPECT_EQ(meter->call(StoreCall::get).latency.count(), 1U);
  EXPECT_EQ(meter->call(StoreCall::head).errors, 0U);
  inner->fault = Error(ErrorCode::unavailable, "503");
  EXPECT_FALSE(store.get("a", 0, bytes).ok());
  EXPECT_EQ(meter->call(StoreCall::get).errors, 1U);
  EXPECT_EQ(meter->call(StoreCall::get).bytes, 100U);
}

TEST_F(MeteredStoreTest, AnAnswerIsAnAnswer) {
  for (const ErrorCode code : {ErrorCode::not_found, ErrorCode::cold,
                               ErrorCode::precondition_failed, ErrorCode::conflict}) {
    inner->fault = Error(code, "x");
    EXPECT_FALSE(store.head("a").ok());
    EXPECT_EQ(meter->reach().failing_since_ms, 0) << to_string(code);
  }
  const int64_t began = clock.unix_ms();
  for (const ErrorCode code :
       {ErrorCode::unavailable, ErrorCode::timed_out, ErrorCode::permission, ErrorCode::io}) {
    inner->fault = Error(code, "no " + std::string(to_string(code)));
    EXPECT_FALSE(store.head("a").ok());
    clock.advance_ms(1'000);
  }
  EXPECT_EQ(meter->reach().failing_since_ms, began);
  EXPECT_EQ(meter->reach().failures, 4U);
  EXPECT_EQ(meter->reach().problem, "io: no io");
  inner->fault.reset();
  EXPECT_TRUE(store.head("a").ok());
  EXPECT_EQ(meter->reach().failing_since_ms, 0);
  EXPECT_EQ(meter->reach().answered_ms, clock.unix_ms());
}

TEST_F(MeteredStoreTest, GivingUpSaysNothing) {
  inner->fault = Error(ErrorCode::cancelled, "stopping");
  EXPECT_FALSE(store.head("a").ok());
  EXPECT_EQ(meter->reach().failures, 0U);
  EXPECT_EQ(meter->call(StoreCall::head).latency.count(), 0U);
}

}  // namespace
}  // namespace coldshelf
