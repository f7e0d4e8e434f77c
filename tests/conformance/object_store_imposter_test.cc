// The S3 client against the imposter, which can do all that S3 can, and can be told not to; and in
// a storm behind the retries.
#include "tests/conformance/object_store_suite.h"
#include "tests/support/s3_rig.h"
#include "uploader/ownership.h"

namespace coldshelf::test {

namespace {

constexpr int64_t kDayMs = 24LL * 3600 * 1000;

class ImposterFixture : public ObjectStoreFixture {
 public:
  explicit ImposterFixture(S3RigOptions options) : support_(options.imposter.support) {
    rig_ = std::make_unique<S3Rig>(std::move(options));
  }
  ObjectStore& store() override { return rig_->store(); }
  void wait_for_restore() override { rig_->server().advance_ms(2'000); }
  void wait_days(unsigned days) override { rig_->server().advance_ms(days * kDayMs); }
  std::string missing(StoreFeature feature) const override {
    switch (feature) {
      case StoreFeature::conditions:
        return support_.conditional_writes == S3Support::yes ? "" : "no conditions here";
      case StoreFeature::classes:
      case StoreFeature::expedited_errors:
      case StoreFeature::restore_steps:
      case StoreFeature::restore_expiry:
        return support_.storage_classes == S3Support::yes ? "" : "no storage classes here";
      case StoreFeature::locks:
        return support_.object_lock ? "" : "no Object Lock here";
      case StoreFeature::locks_stop_removal:
        return "S3 puts a marker in front of a locked version";
      case StoreFeature::checksums:
        return support_.checksums == S3Support::yes ? "" : "no checksums here";
    }
    return {};
  }

 protected:
  S3Rig& rig() { return *rig_; }

 private:
  const ImposterSupport support_;
  std::unique_ptr<S3Rig> rig_;
};

class StormFixture final : public ImposterFixture {
 public:
  StormFixture() : ImposterFixture(options()) {
    static uint64_t seed = 0;
    // Damaged answers are for whoever asked to see, by digest; here that is nobody.
    std::vector<S3Fault> faults = all_s3_faults();
    std::erase(faults, S3Fault::corrupted_body);
    rig().server().set_storm({++seed, 8, faults});
  }
  ObjectStore& store() override { return rig().retrying(); }
  bool carries_out_late() const override { return true; }  // requests end after 100 ms

 private:
  static S3RigOptions options() {
    S3RigOptions options;
    options.curl.idle_timeout_ms = 100;
    options.store.client.server_side_timeout_ms = 100;
    options.imposter.slow_bytes_per_s = 1 * MiB;
    options.retry.max_attempts = 50;
    return options;
  }
};

std::unique_ptr<ObjectStoreFixture> all() {
  return std::make_unique<ImposterFixture>(S3RigOptions());
}
std::unique_ptr<ObjectStoreFixture> unsigned_payload() {
  S3RigOptions options;
  options.store.sign_payload = false;
  return std::make_unique<ImposterFixture>(options);
}
// Object Lock comes with versions; most buckets have neither.
std::unique_ptr<ObjectStoreFixture> without_versions() {
  S3RigOptions options;
  options.imposter.support.object_lock = false;
  return std::make_unique<ImposterFixture>(options);
}
std::unique_ptr<ObjectStoreFixture> careless() {
  S3RigOptions options;
  ImposterSupport& support = options.imposter.support;
  support.conditional_writes = S3Support::ignored;
  support.storage_classes = S3Support::ignored;
  support.checksums = S3Support::ignored;
  support.aws_chunked = S3Support::ignored;
  support.object_lock = false;
  support.payload_hashes = false;
  support.content_md5 = false;
  return std::make_unique<ImposterFixture>(options);
}
std::unique_ptr<ObjectStoreFixture> bare() {
  S3RigOptions options;
  ImposterSupport& support = options.imposter.support;
  support.conditional_writes = S3Support::refused;
  support.storage_classes = S3Support::refused;
  support.checksums = S3Support::refused;
  support.aws_chunked = S3Support::refused;
  support.object_lock = false;
  support.md5_etags = false;
  return std::make_unique<ImposterFixture>(options);
}
std::unique_ptr<ObjectStoreFixture> storm() { return std::make_unique<StormFixture>(); }

}  // namespace

INSTANTIATE_TEST_SUITE_P(Imposter, ObjectStoreSuite, testing::Values(&all));
INSTANTIATE_TEST_SUITE_P(UnsignedPayload, ObjectStoreSuite, testing::Values(&unsigned_payload));
INSTANTIATE_TEST_SUITE_P(WithoutVersions, ObjectStoreSuite, testing::Values(&without_versions));
INSTANTIATE_TEST_SUITE_P(Careless, ObjectStoreSuite, testing::Values(&careless));
INSTANTIATE_TEST_SUITE_P(Bare, ObjectStoreSuite, testing::Values(&bare));
INSTANTIATE_TEST_SUITE_P(Storm, ObjectStoreSuite, testing::Values(&storm));

// Where a conditional put meets nothing, S3 says 404: a gateway whose lease somebody removed goes
// on.
TEST(OwnershipOverS3, WhatWasRemovedIsMadeAnew) {
  S3Rig rig;
  SystemClock clock;
  Ownership gateway({&rig.retrying(), &clock}, {"sgw-1", "name", "host", "instance"}, {});
  ASSERT_TRUE(gateway.open().ok());
  const uint64_t epoch = gateway.view().lease.epoch;
  ASSERT_TRUE(rig.retrying().remove(lease_key("sgw-1")).ok());
  const Status renewed = gateway.open();
  ASSERT_TRUE(renewed.ok()) << renewed.error().message();
  EXPECT_TRUE(gateway.may_write().ok());
  EXPECT_GT(gateway.view().lease.epoch, epoch);
  EXPECT_TRUE(gateway.open().ok()) << "and it is renewed as before";

  SystemRandom random;
  const Uuid cartridge = Uuid::generate(random);
  ASSERT_TRUE(gateway.ensure_owned(cartridge).ok());
  ASSERT_TRUE(rig.retrying().remove(owner_key(cartridge)).ok());
  const Status shelved = gateway.shelve(cartridge);
  EXPECT_TRUE(shelved.ok()) << shelved.error().message();
  gateway.stop();
}

}  // namespace coldshelf::test
