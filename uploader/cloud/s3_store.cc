#include "uploader/cloud/s3_store.h"

#include <algorithm>

#include "base/log.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kKeysPerDelete = 1000;

Result<Sha256Digest> digest_of_hex(const std::string& hex) {
  Buffer bytes;
  Sha256Digest digest{};
  if (!from_hex(hex, bytes) || bytes.size() != digest.size()) {
    return Error(ErrorCode::corrupt, "no digest: " + hex);
  }
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

// A listing that says it has more and not where would pass for a complete one.
Status check_goes_on(const S3Client::ListRequest& request, const S3Listing& listing) {
  if (!listing.next_token.empty() && listing.next_token != request.token) return {};
  return Error(ErrorCode::unavailable,
               "ListObjectsV2 " + request.prefix + ": a page that ends nowhere");
}

}  // namespace

Result<std::unique_ptr<S3Store>> S3Store::create(S3StoreOptions options,
                                                 std::unique_ptr<HttpTransport> http,
                                                 std::unique_ptr<CredentialsProvider> credentials,
                                                 Clock& clock, Random& random) {
  while (options.prefix.ends_with('/')) options.prefix.pop_back();
  if (options.prefix.starts_with('/')) {
    return Error(ErrorCode::invalid_argument,
                 "the prefix '" + options.prefix + "' begins with '/'");
  }
  // S3's own limits.
  if (options.part_bytes < 5 * MiB || options.part_bytes > 5 * GiB ||
      options.multipart_threshold > 5 * GiB) {
    return Error(ErrorCode::out_of_range, "parts are 5 MiB to 5 GiB, as is what goes up whole");
  }
  if (!options.prefix.empty()) options.prefix += '/';
  std::unique_ptr<S3Store> store(
      new S3Store(std::move(options), std::move(http), std::move(credentials), clock, random));
  ASSIGN_OR_RETURN(store->client_, S3Client::create(store->options_.client, *store->http_,
                                                    *store->credentials_, clock));
  return store;
}

S3Store::S3Store(S3StoreOptions options, std::unique_ptr<HttpTransport> http,
                 std::unique_ptr<CredentialsProvider> credentials, Clock& clock, Random& random)
    : options_(std::move(options)),
      http_(std::move(http)),
      credentials_(std::move(credentials)),
      clock_(clock),
      random_(random) {}

std::string S3Store::describe() const {
  std::string text = "s3://" + options_.client.bucket + "/" + options_.prefix;
  text.pop_back();  // the last '/'
  if (!options_.client.endpoint.empty()) text += " at " + options_.client.endpoint;
  return text;
}

void S3Store::give_up() { http_->give_up(); }

Status S3Store::check() {
  S3Client::ListRequest request;
  request.prefix = options_.prefix;
  request.max_keys = 1;
  const Result<S3Listing> listed = client_->list_objects(request);
  if (listed.ok()) return {};
  return Error(listed.error().code, listed.error().disposition,
               describe() + ": " + listed.error().context);
}

Result<std::string> S3Store::full_key(const std::string& key) const {
  if (key.empty() || options_.prefix.size() + key.size() > kMaxKeyBytes) {
    return Error(ErrorCode::invalid_argument,
                 "'" + key + "' is no key: 1 to 1024 bytes with the prefix are");
  }
  return options_.prefix + key;
}

std::string S3Store::without_prefix(const std::string& full) const {
  return full.starts_with(options_.prefix) ? full.substr(options_.prefix.size()) : full;
}

S3Headers S3Store::encryption_headers() const {
  constexpr const char* kHeader = "x-amz-server-side-encryption";
  if (options_.encryption == S3Encryption::aes256) return {{kHeader, "AES256"}};
  if (options_.encryption != S3Encryption::kms) return {};
  S3Headers headers = {{kHeader, "aws:kms"}};
  if (!options_.kms_key_id.empty()) {
    headers.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key_id);
  }
  return headers;
}

S3Headers S3Store::object_headers(const Sha256Digest& sha256, StorageClass storage_class) const {
  S3Headers headers = encryption_headers();
  headers.emplace_back("x-amz-meta-coldshelf-sha256", to_hex(sha256));
  if (storage_class != StorageClass::standard) {
    headers.emplace_back("x-amz-storage-class", std::string(to_string(storage_class)));
  }
  return headers;
}

bool S3Store::body_is_checked(const S3Traits& traits) const {
  return (options_.sign_payload && traits.payload_hash_checked) ||
         traits.capabilities.server_checksums;
}

Result<S3Traits> S3Store::traits() {
  const std::lock_guard lock(mutex_);
  if (traits_) return *traits_;
  S3Traits found;
  {
    S3Probe probe(*client_, options_.prefix, encryption_headers(), random_);
    ASSIGN_OR_RETURN(found, probe.traits());
  }
  traits_ = found;
  const StoreCapabilities& can = found.capabilities;
  log_info("s3", "what the store can do",
           {{"store", describe()},
            {"conditional_put", can.conditional_put},
            {"storage_classes", can.storage_classes},
            {"object_lock", can.object_lock},
            {"sha256_checksums", can.server_checksums},
            {"checks_payload_hash", found.payload_hash_checked}});
  warn_of_versions();
  return found;
}

// Nothing depends on the answer, and the policy need not allow the question.
void S3Store::warn_of_versions() {
  const Result<bool> versions = client_->bucket_has_versions();
  if (!versions.ok() || !*versions) return;
  log_warning("s3",
              "the bucket keeps versions: what is deleted or replaced is paid for until a "
              "lifecycle rule removes it (docs/s3.md, \"Buckets with versions\")",
              {{"store", describe()}});
}

Result<bool> S3Store::remembered(std::optional<bool>& answer, Result<bool> (S3Probe::*question)()) {
  const std::lock_guard lock(mutex_);
  if (!answer) {
    S3Probe probe(*client_, options_.prefix, encryption_headers(), random_);
    ASSIGN_OR_RETURN(answer, (probe.*question)());
  }
  return *answer;
}

Result<StoreCapabilities> S3Store::capabilities() {
  ASSIGN_OR_RETURN(const S3Traits found, traits());
  return found.capabilities;
}

Result<ObjectInfo> S3Store::head(const std::string& key) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  ASSIGN_OR_RETURN(S3Object object, client_->head_object(full, true));
  object.info.key = key;
  if (!object.info.sha256 && !object.metadata_sha256.empty()) {
    const Result<Sha256Digest> digest = digest_of_hex(object.metadata_sha256);
    if (digest.ok()) object.info.sha256 = *digest;
  }
  return std::move(object.info);
}

Status S3Store::get(const std::string& key, uint64_t offset, MutableBytes out) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  if (offset > INT64_MAX || out.size() > INT64_MAX - offset) {
    return Error(ErrorCode::out_of_range, "GetObject " + full + ": a range past its end");
  }
  if (!out.empty()) return client_->get_object(full, offset, out);
  // There are no empty ranges; the answers are the same as for others.
  ASSIGN_OR_RETURN(const S3Object object, client_->head_object(full, false));
  const ObjectInfo& info = object.info;
  if (needs_restore(info.storage_class) && info.restored_until_ms <= clock_.unix_ms()) {
    return Error(ErrorCode::cold, "GetObject " + full + ": in " +
                                      std::string(to_string(info.storage_class)) +
                                      " and not restored");
  }
  if (offset > info.size) {
    return Error(ErrorCode::out_of_range, "GetObject " + full + ": a range past its end");
  }
  return {};
}

Result<ObjectStore::ListPage> S3Store::list(const std::string& prefix,
                                            const std::string& continue_after, size_t limit) {
  if (limit == 0) return Error(ErrorCode::invalid_argument, "list: a page of no objects");
  S3Client::ListRequest request;
  request.prefix = options_.prefix + prefix;
  if (!continue_after.empty()) request.start_after = options_.prefix + continue_after;
  request.max_keys = limit;
  ListPage page;
  while (true) {  // an empty page may have a next one
    ASSIGN_OR_RETURN(S3Listing listing, client_->list_objects(request));
    for (ObjectInfo& info : listing.objects) {
      info.key = without_prefix(info.key);
      page.objects.push_back(std::move(info));
    }
    if (!listing.truncated || !page.objects.empty()) {
      if (listing.truncated) page.next = page.objects.back().key;
      return page;
    }
    TRY(check_goes_on(request, listing));
    request.token = listing.next_token;
  }
}

Result<ObjectStore::FolderPage> S3Store::list_folders(const std::string& prefix,
                                                      const std::string& continue_after,
                                                      size_t limit) {
  if (limit == 0) return Error(ErrorCode::invalid_argument, "list: a page of no names");
  if (!prefix.empty() && !prefix.ends_with('/')) {
    return Error(ErrorCode::invalid_argument, "list: '" + prefix + "' does not end with '/'");
  }
  S3Client::ListRequest request;
  request.prefix = options_.prefix + prefix;
  request.delimiter = "/";
  request.max_keys = limit;
  // '0' is what comes after '/': everything below the folder lies before it, on servers too that
  // take "name/" as being before the folder.
  if (!continue_after.empty()) request.start_after = request.prefix + continue_after + "0";
  FolderPage page;
  while (true) {  // a page may hold objects alone
    ASSIGN_OR_RETURN(const S3Listing listing, client_->list_objects(request));
    for (const std::string& common : listing.common_prefixes) {
      if (!common.starts_with(request.prefix) || !common.ends_with('/')) continue;
      page.names.push_back(
          common.substr(request.prefix.size(), common.size() - request.prefix.size() - 1));
    }
    if (!listing.truncated || !page.names.empty()) {
      if (listing.truncated) page.next = page.names.back();
      return page;
    }
    TRY(check_goes_on(request, listing));
    request.token = listing.next_token;
  }
}

Status S3Store::remove(const std::string& key) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  return client_->delete_object(full);
}

Status S3Store::remove_all(const std::vector<std::string>& keys) {
  Status first;
  const auto note = [&](Error error) {
    if (first.ok()) first = std::move(error);
  };
  for (size_t at = 0; at < keys.size(); at += kKeysPerDelete) {
    std::vector<std::string> batch;
    for (size_t i = at; i < std::min(keys.size(), at + kKeysPerDelete); ++i) {
      ASSIGN_OR_RETURN(std::string full, full_key(keys[i]));
      batch.push_back(std::move(full));
    }
    const auto failures = client_->delete_objects(batch);
    if (!failures.ok() && failures.error().code == ErrorCode::not_supported) {
      for (const std::string& full : batch) {  // one by one then
        Status removed = client_->delete_object(full);
        if (!removed.ok()) note(removed.error());
      }
      continue;
    }
    if (!failures.ok()) {
      note(failures.error());
      continue;
    }
    for (const S3DeleteFailure& failure : *failures) {
      S3Failure told;
      told.status = failure.code == "AccessDenied" ? 403 : 500;
      told.code = failure.code;
      told.message = failure.message;
      if (failure.code != "NoSuchKey") note(s3_error("DeleteObjects", failure.key, told));
    }
  }
  return first;
}

Status S3Store::restore(const std::string& key, RestoreTier tier, unsigned days) {
  if (days == 0) return Error(ErrorCode::invalid_argument, "restore " + key + ": for no days");
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  // Said by us: servers differ in how they put it.
  if (tier == RestoreTier::expedited) {
    ASSIGN_OR_RETURN(const S3Object object, client_->head_object(full, false));
    if (object.info.storage_class == StorageClass::deep_archive) {
      return Error(ErrorCode::invalid_argument,
                   "restore " + key + ": DEEP_ARCHIVE has no Expedited tier");
    }
  }
  return client_->restore_object(full, tier, days);
}

Status S3Store::set_lock(const std::string& key, const ObjectLock& lock) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  ASSIGN_OR_RETURN(const S3Traits found, traits());
  if (!found.capabilities.object_lock) {
    return Error(ErrorCode::not_supported, describe() + " has no Object Lock");
  }
  ASSIGN_OR_RETURN(const ObjectLock before, client_->get_lock(full));
  const bool same = before.mode == lock.mode && before.retain_until_ms == lock.retain_until_ms;
  if (!same) {
    const bool weaker = before.mode && (!lock.mode || before.mode != lock.mode ||
                                        lock.retain_until_ms < before.retain_until_ms);
    if (weaker && before.mode == LockMode::compliance &&
        before.retain_until_ms > clock_.unix_ms()) {
      return Error(ErrorCode::write_protected,
                   "object " + key + ": retention in compliance mode can only be made longer");
    }
    TRY(client_->put_retention(full, lock, weaker));
  }
  if (before.legal_hold != lock.legal_hold) TRY(client_->put_legal_hold(full, lock.legal_hold));
  return {};
}

Result<ObjectLock> S3Store::lock_of(const std::string& key) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  ASSIGN_OR_RETURN(const S3Traits found, traits());
  if (!found.capabilities.object_lock) {
    return Error(ErrorCode::not_supported, describe() + " has no Object Lock");
  }
  return client_->get_lock(full);
}

Result<size_t> S3Store::abort_unfinished(const std::string& prefix, int64_t age_ms) {
  const int64_t before = clock_.unix_ms() - age_ms;
  size_t aborted = 0;
  std::string key_marker;
  std::string upload_marker;
  while (true) {
    const auto page = client_->list_uploads(options_.prefix + prefix, key_marker, upload_marker);
    if (!page.ok()) return page.error();
    for (const S3Upload& upload : page->uploads) {
      // A server that does not say when it began is not asked to end it.
      if (upload.initiated_ms == 0 || upload.initiated_ms > before) continue;
      if (!upload.key.starts_with(options_.prefix + prefix)) continue;
      TRY(client_->abort_upload(upload.key, upload.upload_id));
      ++aborted;
    }
    const bool moves =
        page->next_key_marker != key_marker || page->next_upload_id_marker != upload_marker;
    if (!page->truncated || !moves) return aborted;
    key_marker = page->next_key_marker;
    upload_marker = page->next_upload_id_marker;
  }
}

}  // namespace coldshelf
