#include "gateway/store_factory.h"

#include <algorithm>

#include "base/environment.h"
#include "base/log.h"
#include "gateway/secrets.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/local_directory_store.h"
#include "uploader/cloud/retrying_store.h"
#include "uploader/cloud/s3_store.h"
#include "uploader/cloud/throttled_store.h"

namespace coldshelf {

namespace {

Error bad_url(std::string_view url, const std::string& why) {
  return {ErrorCode::invalid_argument, "'" + std::string(url) + "' is no store: " + why};
}

Result<std::unique_ptr<ObjectStore>> open_directory(const Config::Store& store, const StoreEnv& env,
                                                    bool read_only) {
  LocalDirectoryOptions options;
  options.root = store.path;
  options.link_files = store.link;
  options.expedited_delay_ms = store.restore_expedited_ms;
  options.standard_delay_ms = store.restore_standard_ms;
  options.bulk_delay_ms = store.restore_bulk_ms;
  if (read_only) {
    ASSIGN_OR_RETURN(const bool there, env.files->exists(options.root));
    if (!there) return Error(ErrorCode::not_found, "there is no store at " + options.root);
  }
  ASSIGN_OR_RETURN(auto directory,
                   LocalDirectoryStore::open(*env.files, *env.clock, options, read_only));
  return std::unique_ptr<ObjectStore>(std::move(directory));
}

Result<std::unique_ptr<CredentialsProvider>> make_credentials(const Config::Store::S3& s3,
                                                              const std::string& region,
                                                              HttpTransport& http,
                                                              const StoreEnv& env) {
  if (!s3.access_key_id.empty()) {
    Credentials credentials;
    credentials.access_key_id = s3.access_key_id;
    ASSIGN_OR_RETURN(credentials.secret_access_key,
                     load_secret(*env.files, s3.secret_key_file, s3.secret_key_env));
    return make_static_credentials(std::move(credentials));
  }
  CredentialOptions options;
  options.profile = s3.profile;
  options.region = region.empty() ? "us-east-1" : region;
  return make_credential_chain(*env.files, *env.clock, http, options);
}

S3StoreOptions s3_options(const Config::Store& store, const StoreUrl& url) {
  const Config::Store::S3& s3 = store.s3;
  S3StoreOptions options;
  options.client.bucket = url.bucket;
  options.client.server_side_timeout_ms = s3.copy_timeout_ms;
  options.prefix = url.prefix;
  options.client.endpoint = s3.endpoint;
  // As AWS's own tools take it.
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (options.client.endpoint.empty()) options.client.endpoint = environment(name);
  }
  options.client.addressing = s3.addressing == "path"      ? S3Addressing::path
                              : s3.addressing == "virtual" ? S3Addressing::virtual_host
                                                           : S3Addressing::automatic;
  options.encryption = s3.sse == "AES256"    ? S3Encryption::aes256
                       : s3.sse == "aws:kms" ? S3Encryption::kms
                                             : S3Encryption::bucket_default;
  options.kms_key_id = s3.kms_key_id;
  options.sign_payload = s3.payload_signing != "unsigned";
  options.multipart_threshold = s3.multipart_threshold;
  options.part_bytes = s3.part_bytes;
  return options;
}

Result<std::unique_ptr<ObjectStore>> open_s3(const Config::Store& store, const StoreEnv& env) {
  ASSIGN_OR_RETURN(const StoreUrl url, parse_store_url(store.url));
  S3StoreOptions options = s3_options(store, url);
  CurlOptions curl;
  curl.ca_file = store.s3.ca_file;
  if (curl.ca_file.empty()) curl.ca_file = environment("AWS_CA_BUNDLE");
  curl.connect_timeout_ms = store.s3.connect_timeout_ms;
  curl.idle_timeout_ms = store.s3.idle_timeout_ms;
  curl.idle_connections = store.s3.connections;
  ASSIGN_OR_RETURN(auto http, make_curl_transport(curl));
  options.client.region = store.s3.region;
  if (options.client.region.empty()) {
    CredentialOptions profile;
    profile.profile = store.s3.profile;
    ASSIGN_OR_RETURN(options.client.region,
                     find_aws_region(*env.files, *env.clock, *http, profile, false));
  }
  ASSIGN_OR_RETURN(auto credentials, make_credentials(store.s3, options.client.region, *http, env));
  ASSIGN_OR_RETURN(auto s3, S3Store::create(options, std::move(http), std::move(credentials),
                                            *env.clock, *env.random));
  const Status right = s3->check();
  if (!right.ok()) {
    if (right.error().disposition != Disposition::retry) return right.error();
    log_warning("store", "the store does not answer yet", {{"error", right.error().message()}});
  }
  return std::unique_ptr<ObjectStore>(std::move(s3));
}

}  // namespace

Result<StoreUrl> parse_store_url(std::string_view url) {
  StoreUrl parsed;
  if (!url.empty() && url.find("://") == std::string_view::npos) {
    parsed.directory = url;
    return parsed;
  }
  if (url.starts_with("file://")) {
    parsed.directory = url.substr(7);
    if (parsed.directory.starts_with('/')) return parsed;
    return bad_url(url, "file:///DIRECTORY is");
  }
  if (!url.starts_with("s3://")) return bad_url(url, "s3://BUCKET/PREFIX or a directory is");
  url.remove_prefix(5);
  const size_t slash = std::min(url.find('/'), url.size());
  parsed.s3 = true;
  parsed.bucket = url.substr(0, slash);
  parsed.prefix = url.substr(std::min(slash + 1, url.size()));
  while (parsed.prefix.ends_with('/')) parsed.prefix.pop_back();
  if (parsed.bucket.empty()) return bad_url("s3://", "s3://BUCKET/PREFIX is");
  if (parsed.prefix.starts_with('/') || parsed.prefix.size() > 512) {
    return bad_url("s3://" + std::string(url), "its prefix begins with '/' or is too long");
  }
  return parsed;
}

Result<Config::Store> store_at(const std::string& url, const Config::Store& settings) {
  ASSIGN_OR_RETURN(const StoreUrl parsed, parse_store_url(url));
  Config::Store store = settings;
  store.type = parsed.s3 ? "s3" : "directory";
  if (parsed.s3) {
    store.url = url;
  } else {
    store.path = parsed.directory;
  }
  return store;
}

Result<std::unique_ptr<ObjectStore>> open_store(const Config::Store& store, const StoreEnv& env,
                                                bool read_only) {
  Result<std::unique_ptr<ObjectStore>> inner =
      store.type == "s3" ? open_s3(store, env) : open_directory(store, env, read_only);
  if (!inner.ok()) return inner;
  if (env.meter) {
    inner =
        std::unique_ptr<ObjectStore>(std::make_unique<MeteredStore>(std::move(*inner), env.meter));
  }
  if (env.live_bandwidth) {
    inner = std::unique_ptr<ObjectStore>(
        std::make_unique<ThrottledStore>(std::move(*inner), *env.clock, env.live_bandwidth));
  } else if (!env.bandwidth.empty()) {
    inner = std::unique_ptr<ObjectStore>(std::make_unique<ThrottledStore>(
        std::move(*inner), *env.clock, BandwidthSchedule(env.bandwidth)));
  }
  RetryOptions retry;
  retry.on_retry = env.on_retry;
  return std::unique_ptr<ObjectStore>(
      std::make_unique<RetryingStore>(std::move(*inner), *env.clock, *env.random, retry));
}

}  // namespace coldshelf
