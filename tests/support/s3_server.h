// Real S3 servers for tests: OpenStack Swift's s3api, which is strict about signatures and digests,
// and moto, which knows classes, restores and locks. Each is started once in a test program.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "tests/support/process.h"
#include "uploader/cloud/s3_store.h"

namespace coldshelf::test {

class S3Server {
 public:
  // An error says what is not installed, for GTEST_SKIP.
  static Result<S3Server*> swift();
  static Result<S3Server*> swift_with_tls();
  static Result<S3Server*> moto();
  ~S3Server();

  const std::string& endpoint() const { return endpoint_; }
  const std::string& access_key_id() const { return access_key_id_; }
  const std::string& secret() const { return secret_; }
  const std::string& ca_file() const { return ca_file_; }  // empty without TLS

  // Made anew, and empty.
  std::string make_bucket();
  S3StoreOptions store_options(const std::string& bucket) const;
  Result<std::unique_ptr<S3Store>> open(const S3StoreOptions& options);
  // As the tools of others find them: AWS_ACCESS_KEY_ID=... and so on.
  std::vector<std::string> environment() const;

 private:
  S3Server() = default;
  static Result<std::unique_ptr<S3Server>> start(const std::string& script,
                                                 const std::string& argument);
  std::unique_ptr<ScratchDirectory> directory_;
  std::unique_ptr<Process> process_;
  std::string endpoint_;
  std::string access_key_id_;
  std::string secret_;
  std::string ca_file_;
  SystemClock clock_;
  SystemRandom random_;
  unsigned buckets_ = 0;
};

}  // namespace coldshelf::test
