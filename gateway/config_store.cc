#include "gateway/config_store.h"

#include "gateway/store_factory.h"

namespace coldshelf {

std::optional<std::pair<std::string, std::string>> store_complaint(const Config::Store& store) {
  using Complaint = std::pair<std::string, std::string>;
  const Config::Store::S3& s3 = store.s3;
  if (store.type != "s3") {
    if (store.url.empty()) return std::nullopt;
    return Complaint("store.url", "is for store.type = \"s3\"; a directory is given as store.path");
  }
  if (store.url.empty()) return Complaint("store.type", "needs store.url = \"s3://BUCKET/PREFIX\"");
  const Result<StoreUrl> url = parse_store_url(store.url);
  if (!url.ok()) return Complaint("store.url", url.error().context);
  if (!url->s3) return Complaint("store.url", "must be s3://BUCKET/PREFIX for store.type = \"s3\"");
  if (!s3.endpoint.empty() && !s3.endpoint.starts_with("https://") &&
      !s3.endpoint.starts_with("http://")) {
    return Complaint("store.s3.endpoint", "must be https://HOST[:PORT]");
  }
  if (!s3.secret_key_file.empty() && !s3.secret_key_env.empty()) {
    return Complaint("store.s3.secret_key_env", "give a secret file or a variable, not both");
  }
  const bool secret = !s3.secret_key_file.empty() || !s3.secret_key_env.empty();
  if (!s3.access_key_id.empty() && !secret) {
    return Complaint("store.s3.access_key_id",
                     "needs store.s3.secret_key_file or store.s3.secret_key_env");
  }
  if (s3.access_key_id.empty() && secret) {
    return Complaint(
        s3.secret_key_file.empty() ? "store.s3.secret_key_env" : "store.s3.secret_key_file",
        "needs store.s3.access_key_id");
  }
  if (!s3.access_key_id.empty() && !s3.profile.empty()) {
    return Complaint("store.s3.profile", "give a profile or an access key, not both");
  }
  if (!s3.kms_key_id.empty() && s3.sse != "aws:kms") {
    return Complaint("store.s3.kms_key_id", "needs store.s3.sse = \"aws:kms\"");
  }
  return std::nullopt;
}

}  // namespace coldshelf
