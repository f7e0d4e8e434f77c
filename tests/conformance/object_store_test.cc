#include "tests/conformance/object_store_suite.h"
#include "tests/support/faulty_store.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"
#include "uploader/cloud/local_directory_store.h"
#include "uploader/cloud/retrying_store.h"

namespace coldshelf::test {

namespace {

constexpr int64_t kDayMs = 24LL * 3600 * 1000;

class LocalDirectoryFixture : public ObjectStoreFixture {
 public:
  LocalDirectoryFixture() {
    LocalDirectoryOptions options;
    options.root = "/store";
    auto opened = LocalDirectoryStore::open(files_, clock_, options);
    EXPECT_TRUE(opened.ok());
    store_ = std::move(opened).value();
  }
  ObjectStore& store() override { return *store_; }
  void wait_for_restore() override { clock_.advance_ms(2'000); }
  void wait_days(unsigned days) override { clock_.advance_ms(days * kDayMs); }

 protected:
  SimClock clock_;

 private:
  SimFileSystem files_;
  std::unique_ptr<ObjectStore> store_;
};

// The same, failing and losing answers all the time, behind the retries.
class RetriedFixture final : public LocalDirectoryFixture {
 public:
  RetriedFixture() : random_(99) {
    auto faulty = std::make_unique<FaultyStore>(LocalDirectoryFixture::store(), clock_, random_);
    StoreFaults faults;
    faults.error_one_in = 5;
    faults.lost_one_in = 5;
    faulty->set_faults(faults);
    RetryOptions options;
    options.max_attempts = 20;
    options.budget = 100'000;
    options.base_ms = 1;
    options.longest_ms = 1;
    retrying_ = std::make_unique<RetryingStore>(std::move(faulty), clock_, random_, options);
  }
  ObjectStore& store() override { return *retrying_; }

 private:
  SeededRandom random_;
  std::unique_ptr<RetryingStore> retrying_;
};

template <typename Fixture>
std::unique_ptr<ObjectStoreFixture> make() {
  return std::make_unique<Fixture>();
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(LocalDirectory, ObjectStoreSuite,
                         testing::Values(&make<LocalDirectoryFixture>));
INSTANTIATE_TEST_SUITE_P(Retried, ObjectStoreSuite, testing::Values(&make<RetriedFixture>));

}  // namespace coldshelf::test
