// An object store in S3, or in what speaks it.
//
// A put counts as done when the server has confirmed the bytes: it checks the SHA-256 that the
// request is signed with, or x-amz-checksum-sha256; a server that checks neither (found out once,
// S3Probe) is given Content-MD5 and its ETag is compared. The digest stands in the object's
// metadata too, x-amz-meta-coldshelf-sha256.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/s3_client.h"
#include "uploader/cloud/s3_probe.h"

namespace coldshelf {

enum class S3Encryption { bucket_default, aes256, kms };

struct S3StoreOptions {
  S3ClientOptions client;
  std::string prefix;  // "a/b": keys begin with "a/b/"; empty: with nothing
  S3Encryption encryption = S3Encryption::bucket_default;
  std::string kms_key_id;                    // kms: empty: the account's own for S3
  bool sign_payload = true;                  // false: the body is left out of the signature
  uint64_t multipart_threshold = 256 * MiB;  // objects above go up in parts
  uint64_t part_bytes = 64 * MiB;
};

class S3Store final : public ObjectStore {
 public:
  // `clock` and `random` (thread-safe) outlive the store. Nothing is asked of the server yet.
  static Result<std::unique_ptr<S3Store>> create(S3StoreOptions options,
                                                 std::unique_ptr<HttpTransport> http,
                                                 std::unique_ptr<CredentialsProvider> credentials,
                                                 Clock& clock, Random& random);

  // One request that tells whether bucket, region and credentials are right.
  Status check();

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> head(const std::string& key) override;
  Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                        size_t limit) override;
  Result<FolderPage> list_folders(const std::string& prefix, const std::string& continue_after,
                                  size_t limit) override;
  Status remove(const std::string& key) override;
  Status remove_all(const std::vector<std::string>& keys) override;
  Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) override;
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override;
  Status set_lock(const std::string& key, const ObjectLock& lock) override;
  Result<ObjectLock> lock_of(const std::string& key) override;
  Result<StoreCapabilities> capabilities() override;
  Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) override;
  void give_up() override;
  std::string describe() const override;

 private:
  S3Store(S3StoreOptions options, std::unique_ptr<HttpTransport> http,
          std::unique_ptr<CredentialsProvider> credentials, Clock& clock, Random& random);

  Result<std::string> full_key(const std::string& key) const;
  std::string without_prefix(const std::string& full) const;
  Result<S3Traits> traits();
  void warn_of_versions();
  // Asked of the server when first needed, and remembered.
  Result<bool> remembered(std::optional<bool>& answer, Result<bool> (S3Probe::*question)());
  S3Headers encryption_headers() const;
  S3Headers object_headers(const Sha256Digest& sha256, StorageClass storage_class) const;
  bool body_is_checked(const S3Traits& traits) const;

  // s3_put.cc
  Result<ObjectInfo> put_whole(const std::string& key, const PutSource& source,
                               const PutOptions& options, const S3Traits& traits);
  Result<ObjectInfo> put_in_parts(const std::string& key, const PutSource& source,
                                  const PutOptions& options, const S3Traits& traits);
  struct PartsUpload;
  Result<S3Part> put_part(PartsUpload& upload, uint64_t offset, uint64_t bytes, unsigned number);
  Result<S3Part> put_part_with_trailer(PartsUpload& upload, const S3Body& body, unsigned number);
  Result<S3Part> put_part_hashed_before(PartsUpload& upload, S3Body body, uint64_t offset,
                                        unsigned number);
  Status finish_parts(PartsUpload& upload, const std::vector<S3Part>& parts,
                      const S3Headers& headers);
  void abort_parts(const std::string& key, const std::string& upload_id);
  Error judged_corrupt(const Error& error, const PutSource& source) const;
  Status copy_in_parts(const std::string& full, const ObjectInfo& info, StorageClass storage_class);

  const S3StoreOptions options_;
  const std::unique_ptr<HttpTransport> http_;
  const std::unique_ptr<CredentialsProvider> credentials_;
  Clock& clock_;
  Random& random_;
  std::unique_ptr<S3Client> client_;
  std::mutex mutex_;  // what was learnt of the server; held while it is asked
  std::optional<S3Traits> traits_;
  std::optional<bool> trailers_;
  std::optional<bool> conditional_complete_;
};

}  // namespace coldshelf
