// The S3 store as the product makes it, over the imposter, with time-outs short enough for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "tests/support/s3_imposter.h"
#include "uploader/cloud/retrying_store.h"
#include "uploader/cloud/s3_store.h"

namespace coldshelf::test {

// Two key pairs: the second is given out once the first was refused as expired.
class RotatingCredentials final : public CredentialsProvider {
 public:
  RotatingCredentials(std::string first, std::string second)
      : first_(std::move(first)), second_(std::move(second)) {}
  Result<Credentials> get() override {
    const std::lock_guard lock(mutex_);
    Credentials credentials;
    credentials.access_key_id = expired_ ? second_ : first_;
    credentials.secret_access_key = Secret(credentials.access_key_id + "-secret");
    return credentials;
  }
  void expire() override {
    const std::lock_guard lock(mutex_);
    expired_ = true;
  }

 private:
  std::mutex mutex_;
  const std::string first_;
  const std::string second_;
  bool expired_ = false;
};

// Waits between attempts are long for a server's sake, and need not be in tests.
class HurriedClock final : public Clock {
 public:
  int64_t unix_ms() override { return system_.unix_ms(); }
  int64_t monotonic_ns() override { return system_.monotonic_ns(); }
  void sleep_ms(int64_t ms) override { system_.sleep_ms(ms / 100); }

 private:
  SystemClock system_;
};

struct S3RigOptions {
  ImposterOptions imposter;
  S3StoreOptions store;
  CurlOptions curl;
  RetryOptions retry;
  S3RigOptions() {
    curl.connect_timeout_ms = 1'000;
    curl.idle_timeout_ms = 200;
    retry.max_attempts = 12;
    retry.base_ms = 1;
    retry.longest_ms = 4;
    retry.budget = 1'000'000;
    store.multipart_threshold = 5 * MiB;
    store.part_bytes = 5 * MiB;
    store.prefix = "some/prefix";
    store.client.server_side_timeout_ms = 300;
  }
};

class S3Rig {
 public:
  explicit S3Rig(S3RigOptions options = {}) {
    auto server = S3Imposter::start(options.imposter);
    EXPECT_TRUE(server.ok());
    server_ = std::move(server).value();
    server_->add_key("second", "second-secret");
    options_ = std::move(options);
    restart();
  }
  // Both stores anew, as another start of the program has them.
  void restart() {
    store_ = make_store(options_);
    retrying_ =
        std::make_unique<RetryingStore>(make_store(options_), clock_, random_, options_.retry);
  }

  S3Imposter& server() { return *server_; }
  S3Store& store() { return *store_; }  // one request at a time, as it comes
  RetryingStore& retrying() { return *retrying_; }
  // What the bucket holds under a key of the store.
  std::optional<ImposterObject> object(const std::string& key) {
    return server_->object("tapes", "some/prefix/" + key);
  }
  // The traits are asked for when first needed: before a test scripts its faults.
  void warm_up() {
    EXPECT_TRUE(store_->capabilities().ok());
    EXPECT_TRUE(retrying_->capabilities().ok());
  }

 private:
  std::unique_ptr<S3Store> make_store(const S3RigOptions& options) {
    auto http = make_curl_transport(options.curl);
    EXPECT_TRUE(http.ok());
    S3StoreOptions store = options.store;
    store.client.bucket = "tapes";
    store.client.region = options.imposter.region;
    store.client.endpoint = server_->endpoint();
    auto made = S3Store::create(store, std::move(http).value(),
                                std::make_unique<RotatingCredentials>("imposter", "second"), clock_,
                                random_);
    EXPECT_TRUE(made.ok());
    return std::move(made).value();
  }

  S3RigOptions options_;
  HurriedClock clock_;
  SystemRandom random_;
  std::unique_ptr<S3Imposter> server_;
  std::unique_ptr<S3Store> store_;
  std::unique_ptr<RetryingStore> retrying_;
};

}  // namespace coldshelf::test
