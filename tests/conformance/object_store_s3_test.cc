// The S3 client against real servers. Swift is strict: it refuses what is signed or hashed wrongly.
// moto is not, but knows classes, restores, locks and conditions.
#include <map>

#include "tests/conformance/object_store_suite.h"
#include "tests/support/s3_server.h"
#include "uploader/cloud/s3_store.h"

namespace coldshelf::test {

namespace {

// A prefix of its own for each test.
class S3Fixture : public ObjectStoreFixture {
 public:
  S3Fixture(S3Server& server, S3StoreOptions options) {
    static unsigned number = 0;
    options.prefix = "tests/number " + std::to_string(++number);
    auto opened = server.open(options);
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    store_ = std::move(opened).value();
  }
  ObjectStore& store() override { return *store_; }
  void wait_for_restore() override { SystemClock().sleep_ms(20); }
  void wait_days(unsigned) override { FAIL() << "a real server's days are long"; }

 private:
  std::unique_ptr<ObjectStore> store_;
};

class SwiftFixture final : public S3Fixture {
 public:
  using S3Fixture::S3Fixture;
  std::string missing(StoreFeature feature) const override {
    switch (feature) {
      case StoreFeature::conditions:
        return "Swift's s3api has no If-None-Match on PUT";
      case StoreFeature::checksums:
        return "Swift's s3api has no x-amz-checksum";
      default:
        return "Swift's s3api has one storage class and no Object Lock";
    }
  }
};

class MotoFixture final : public S3Fixture {
 public:
  using S3Fixture::S3Fixture;
  std::string missing(StoreFeature feature) const override {
    switch (feature) {
      case StoreFeature::restore_steps:
        return "moto advances a restore with each question about it";
      case StoreFeature::checksums:
        return "moto does not check what it is sent";
      case StoreFeature::restore_expiry:
        return "moto's clock is the real one";
      case StoreFeature::expedited_errors:
        return "moto restores what needs no restore";
      case StoreFeature::locks_stop_removal:
        return "S3 puts a marker in front of a locked version";
      case StoreFeature::locks:
        return "moto has no GetObjectRetention";
      default:
        return {};
    }
  }
};

template <typename Fixture>
std::unique_ptr<ObjectStoreFixture> make(const Result<S3Server*>& server, bool sign_payload = true,
                                         uint64_t threshold = 256 * MiB) {
  if (!server.ok()) return nullptr;
  static std::map<S3Server*, std::string> buckets;
  std::string& bucket = buckets[*server];
  if (bucket.empty()) bucket = (*server)->make_bucket();
  S3StoreOptions options = (*server)->store_options(bucket);
  options.sign_payload = sign_payload;
  options.multipart_threshold = threshold;
  return std::make_unique<Fixture>(**server, options);
}

std::unique_ptr<ObjectStoreFixture> swift() { return make<SwiftFixture>(S3Server::swift()); }
std::unique_ptr<ObjectStoreFixture> swift_unsigned() {
  return make<SwiftFixture>(S3Server::swift(), false);
}
std::unique_ptr<ObjectStoreFixture> swift_parts() {
  return make<SwiftFixture>(S3Server::swift(), true, 1 * MiB);
}
std::unique_ptr<ObjectStoreFixture> swift_tls() {
  return make<SwiftFixture>(S3Server::swift_with_tls());
}
std::unique_ptr<ObjectStoreFixture> moto() { return make<MotoFixture>(S3Server::moto()); }
std::unique_ptr<ObjectStoreFixture> moto_parts() {
  return make<MotoFixture>(S3Server::moto(), true, 1 * MiB);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Swift, ObjectStoreSuite, testing::Values(&swift));
INSTANTIATE_TEST_SUITE_P(SwiftUnsignedPayload, ObjectStoreSuite, testing::Values(&swift_unsigned));
INSTANTIATE_TEST_SUITE_P(SwiftInParts, ObjectStoreSuite, testing::Values(&swift_parts));
INSTANTIATE_TEST_SUITE_P(SwiftTls, ObjectStoreSuite, testing::Values(&swift_tls));
INSTANTIATE_TEST_SUITE_P(Moto, ObjectStoreSuite, testing::Values(&moto));
INSTANTIATE_TEST_SUITE_P(MotoInParts, ObjectStoreSuite, testing::Values(&moto_parts));

}  // namespace coldshelf::test
