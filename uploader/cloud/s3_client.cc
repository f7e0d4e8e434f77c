#include "uploader/cloud/s3_client.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "base/crc32c.h"
#include "base/log.h"
#include "uploader/cloud/s3_call.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr int64_t kSkewThatMatters = 60'000;
constexpr std::string_view kDigestHeader = "x-amz-meta-coldshelf-sha256";

bool all_of(std::string_view text, bool (*fits)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

// Names that can stand in front of a host's: no dots (a wildcard certificate covers one label).
bool fits_host(std::string_view bucket) {
  return bucket.size() >= 3 && bucket.size() <= 63 && all_of(bucket, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::string aws_host(const std::string& region) {
  return "s3." + region + (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

bool fits_region(std::string_view region) {
  return region.size() <= 64 && all_of(region, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

Result<std::unique_ptr<S3Client>> S3Client::create(S3ClientOptions options, HttpTransport& http,
                                                   CredentialsProvider& credentials, Clock& clock) {
  if (options.bucket.empty() || options.bucket.find('/') != std::string::npos) {
    return Error(ErrorCode::invalid_argument, "'" + options.bucket + "' is no name of a bucket");
  }
  Endpoint endpoint{"https", ""};
  if (!options.endpoint.empty()) {
    const size_t end = options.endpoint.find("://");
    const std::string scheme = options.endpoint.substr(0, end == std::string::npos ? 0 : end);
    std::string host = end == std::string::npos ? "" : options.endpoint.substr(end + 3);
    if (host.ends_with('/')) host.pop_back();
    if ((scheme != "https" && scheme != "http") || host.empty() ||
        host.find_first_of("/?#@ ") != std::string::npos) {
      return Error(ErrorCode::invalid_argument,
                   "'" + options.endpoint + "' is no endpoint: https://HOST[:PORT] is");
    }
    // As it stands in the Host header: without the scheme's own port.
    const std::string_view own_port = scheme == "https" ? ":443" : ":80";
    if (host.ends_with(own_port)) host.resize(host.size() - own_port.size());
    endpoint = {scheme, host};
  }
  return std::unique_ptr<S3Client>(
      new S3Client(std::move(options), std::move(endpoint), http, credentials, clock));
}

S3Client::S3Client(S3ClientOptions options, Endpoint endpoint, HttpTransport& http,
                   CredentialsProvider& credentials, Clock& clock)
    : options_(std::move(options)),
      endpoint_(std::move(endpoint)),
      http_(http),
      credentials_(credentials),
      clock_(clock),
      region_(options_.region.empty() ? "us-east-1" : options_.region) {}

std::string S3Client::endpoint_text() const {
  const std::lock_guard lock(mutex_);
  return endpoint_.scheme + "://" + (endpoint_.host.empty() ? aws_host(region_) : endpoint_.host);
}

S3Client::Call S3Client::object_call(const char* operation, const char* method,
                                     const std::string& key) const {
  Call call;
  call.operation = operation;
  call.key = key;
  call.http.method = method;
  return call;
}

Result<HttpResponse> S3Client::attempt(Call& call, const std::string& region) {
  ASSIGN_OR_RETURN(const Credentials credentials, credentials_.get());
  std::string host = endpoint_.host.empty() ? aws_host(region) : endpoint_.host;
  std::string path = "/";
  const bool virtual_host = options_.addressing == S3Addressing::virtual_host ||
                            (options_.addressing == S3Addressing::automatic &&
                             endpoint_.host.empty() && fits_host(options_.bucket));
  if (virtual_host) {
    host.insert(0, options_.bucket + ".");
  } else {
    path += percent_encode(options_.bucket, false);
    if (!call.key.empty()) path += '/';
  }
  path += percent_encode(call.key, true);

  SignedRequest to_sign;
  to_sign.method = call.http.method;
  to_sign.host = host;
  to_sign.path = path;
  to_sign.query = call.query;
  to_sign.headers = call.headers;
  to_sign.payload_hash = call.payload_hash;
  HttpRequest& http = call.http;
  http.headers = call.headers;
  const auto added =
      sign_v4(to_sign, {region, "s3"}, credentials, clock_.unix_ms() + clock_offset_ms_.load());
  http.headers.insert(http.headers.end(), added.begin(), added.end());
  http.url = endpoint_.scheme + "://" + host + path;
  if (!call.query.empty()) http.url += "?" + encode_query(call.query);
  if (call.before_sending) call.before_sending();
  return http_.perform(http);
}

bool S3Client::cure(const S3Failure& failure, const HttpResponse& response, const Call& call,
                    Cures& tried) {
  // HEAD has no body to say why: 400 and 403 may be any of these.
  const bool mute =
      call.http.method == "HEAD" && (response.status == 400 || response.status == 403);
  if (!tried.clock && (failure.code == "RequestTimeTooSkewed" || mute)) {
    const int64_t theirs = parse_http_date(response.header("date"));
    const int64_t offset = theirs - clock_.unix_ms();
    const int64_t change = offset - clock_offset_ms_.load();
    if (theirs > 0 && std::abs(change) > kSkewThatMatters) {
      tried.clock = true;
      clock_offset_ms_ = offset;
      log_warning("s3", "the clock here and the server's differ; requests are signed with its time",
                  {{"offset_ms", offset}});
      return true;
    }
  }
  if (!tried.region && !failure.region.empty() && fits_region(failure.region)) {
    const std::lock_guard lock(mutex_);
    if (failure.region != region_ &&
        (response.status == 301 || response.status == 400 || response.status == 307)) {
      tried.region = true;
      if (!options_.region.empty()) {
        log_warning("s3", "the bucket is in another region than the configured one",
                    {{"bucket", options_.bucket},
                     {"configured", options_.region},
                     {"region", failure.region}});
      }
      region_ = failure.region;
      return true;
    }
  }
  if (!tried.credentials && (are_refused_keys(failure.code) || mute)) {
    tried.credentials = true;
    credentials_.expire();
    return true;
  }
  return false;
}

Result<HttpResponse> S3Client::call(Call& call) {
  Cures tried;
  while (true) {  // each cure is tried once
    std::string region;
    {
      const std::lock_guard lock(mutex_);
      region = region_;
    }
    Result<HttpResponse> answered = attempt(call, region);
    if (!answered.ok()) {
      Error error = std::move(answered).error();
      error.context = std::string(call.operation) + (call.key.empty() ? "" : " ") + call.key +
                      ": " + error.context;
      return error;
    }
    const bool success = answered->status / 100 == 2;
    if (success && !(call.error_in_success && is_s3_error_body(*answered))) return answered;
    S3Failure failure = s3_failure_of(*answered);
    const bool region_changed = [&] {
      const std::lock_guard lock(mutex_);
      return region != region_;
    }();
    if (region_changed && !tried.region) {  // learnt by another thread meanwhile
      tried.region = true;
      continue;
    }
    if (cure(failure, *answered, call, tried)) continue;
    call.failed_with = failure.code;
    if (failure.code == "NoSuchBucket") {
      failure.message = "bucket '" + options_.bucket + "' does not exist at " + endpoint_text();
    }
    Error error = s3_error(call.operation, call.key, failure);
    if (call.http.method == "HEAD" && answered->status == 400) {
      // Without a body it may be anything that passes: a request that timed out, a token that
      // expired. What is wrong for good shows in the next request that has one.
      return Error(ErrorCode::unavailable, error.context);
    }
    const bool lost = error.code == ErrorCode::precondition_failed ||  // a conditional put
                      error.code == ErrorCode::conflict;               // a restore
    if (lost && answered->repeated) {
      // The first sending may have been what it lost against: the caller has to look.
      return Error(ErrorCode::unavailable, error.context + " (sent twice)");
    }
    return error;
  }
}

void S3Client::set_document(Call& call, std::string document) const {
  call.document = std::move(document);
  call.http.body = as_view(call.document);
  call.payload_hash = to_hex(Sha256::of(call.http.body));
}

Result<S3PutResult> S3Client::put(Call& call, const S3Body& body) {
  HttpRequest& http = call.http;
  http.body = body.bytes;
  http.file = body.file;
  http.file_offset = body.file_offset;
  http.file_bytes = body.file_bytes;
  http.on_body_sent = body.on_sent;
  http.on_body_restart = body.on_restart;
  call.before_sending = body.on_restart;
  call.payload_hash = body.payload_hash;
  uint32_t crc = body.crc32c_start;
  auto crc_text = [&crc] {
    std::array<std::byte, 4> big_endian;
    for (size_t i = 0; i < 4; ++i) big_endian[i] = static_cast<std::byte>(crc >> (24 - 8 * i));
    return to_base64(big_endian);
  };
  if (body.crc32c_trailer) {
    // Static: the trailer is asked for while the request is under way, long after this block.
    static constexpr std::string_view kName = "x-amz-checksum-crc32c";
    call.payload_hash = kStreamingUnsignedTrailer;
    call.headers.emplace_back("content-encoding", "aws-chunked");
    call.headers.emplace_back("x-amz-decoded-content-length", std::to_string(body.size()));
    call.headers.emplace_back("x-amz-trailer", kName);
    http.aws_chunked = true;
    http.trailer_bytes = kName.size() + 1 + 8 + 2;
    http.trailer = [&] { return std::string(kName) + ":" + crc_text() + "\r\n"; };
    http.on_body_sent = [&](ByteView piece) {
      crc = crc32c(piece, crc);
      if (body.on_sent) body.on_sent(piece);
    };
    http.on_body_restart = [&] {
      crc = body.crc32c_start;
      if (body.on_restart) body.on_restart();
    };
    call.before_sending = http.on_body_restart;
  }
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  S3PutResult result;
  result.etag = strip_quotes(response.header("etag"));
  result.sha256 = response.header("x-amz-checksum-sha256");
  if (body.crc32c_trailer) result.crc32c = crc_text();
  if (result.etag.empty()) {
    return Error(ErrorCode::unavailable,
                 std::string(call.operation) + " " + call.key + ": the answer has no ETag");
  }
  return result;
}

Result<S3PutResult> S3Client::put_object(const std::string& key, const S3Body& body,
                                         const S3Headers& headers) {
  Call call = object_call("PutObject", "PUT", key);
  call.headers = headers;
  return put(call, body);
}

Status S3Client::get_object(const std::string& key, uint64_t offset, MutableBytes out) {
  Call call = object_call("GetObject", "GET", key);
  call.headers.emplace_back(
      "range", "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + out.size() - 1));
  call.http.sink = out;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  // "bytes 0-99/1234". A server that gives the whole object for a range of all of it says 200.
  const std::string range(response.header("content-range"));
  unsigned long long first = 0;
  unsigned long long last = 0;
  unsigned long long total = 0;
  const bool told = std::sscanf(range.c_str(), "bytes %llu-%llu/%llu", &first, &last, &total) == 3;
  if (response.status == 206 ? (!told || first != offset) : offset != 0) {
    return Error(ErrorCode::unavailable,
                 "GetObject " + key + ": the answer is another range: '" + range + "'");
  }
  if (response.sink_bytes == out.size()) return {};
  if (told ? total < offset + out.size() : response.sink_bytes < out.size()) {
    return Error(ErrorCode::out_of_range, "GetObject " + key + ": a range past its end");
  }
  return Error(ErrorCode::unavailable, "GetObject " + key + ": the answer was cut short");
}

// Some servers send no x-amz-request-id, and a HEAD has no body: whether it was the server that
// said 404 is told by a GET, whose answer has one.
Error S3Client::missing(const Call& head) {
  std::array<std::byte, 1> first{};
  const Status got = get_object(head.key, 0, first);
  const std::string text = std::string(head.operation) + " " + head.key + ": ";
  if (got.ok()) return {ErrorCode::unavailable, text + "not found, and a GET finds it"};
  const Error& said = got.error();
  if (said.code == ErrorCode::not_found || said.disposition == Disposition::retry ||
      said.disposition == Disposition::cancelled) {
    return {said.code, said.disposition, text + said.context};
  }
  return {ErrorCode::unavailable, text + "not found, and a GET says otherwise: " + said.context};
}

Result<S3Object> S3Client::head_object(const std::string& key, bool ask_checksum) {
  Call call = object_call("HeadObject", "HEAD", key);
  if (ask_checksum) call.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
  const Result<HttpResponse> answer = this->call(call);
  if (!answer.ok()) return call.failed_with == kForeignNotFound ? missing(call) : answer.error();
  const HttpResponse& response = *answer;
  S3Object object;
  ObjectInfo& info = object.info;
  info.key = key;
  info.size = std::strtoull(std::string(response.header("content-length")).c_str(), nullptr, 10);
  info.etag = strip_quotes(response.header("etag"));
  info.modified_ms = parse_http_date(response.header("last-modified"));
  const std::string_view storage_class = response.header("x-amz-storage-class");
  info.storage_class = parse_storage_class(storage_class).value_or(StorageClass::standard);
  // ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"
  const std::string_view restore = response.header("x-amz-restore");
  info.restore_ongoing = restore.find("ongoing-request=\"true\"") != std::string_view::npos;
  const size_t expiry = restore.find("expiry-date=\"");
  if (!info.restore_ongoing && expiry != std::string_view::npos) {
    const std::string_view date = restore.substr(expiry + 13);
    info.restored_until_ms = parse_http_date(date.substr(0, date.find('"')));
  }
  Buffer digest;
  if (from_base64(response.header("x-amz-checksum-sha256"), digest) && digest.size() == 32) {
    info.sha256.emplace();
    std::copy(digest.begin(), digest.end(), info.sha256->begin());
  }
  object.metadata_sha256 = response.header(std::string(kDigestHeader));
  return object;
}

Status S3Client::delete_object(const std::string& key) {
  Call call = object_call("DeleteObject", "DELETE", key);
  const Result<HttpResponse> done = this->call(call);
  if (done.ok() || done.error().code == ErrorCode::not_found) return {};
  return done.error();
}

Result<S3Listing> S3Client::list_objects(const ListRequest& request) {
  Call call = object_call("ListObjectsV2", "GET", "");
  call.query = {{"list-type", "2"},
                {"encoding-type", "url"},
                {"max-keys", std::to_string(std::clamp<size_t>(request.max_keys, 1, 1000))}};
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) call.query.emplace_back(name, value);
  };
  add("prefix", request.prefix);
  add("delimiter", request.delimiter);
  add("continuation-token", request.token);
  if (request.token.empty()) add("start-after", request.start_after);
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<S3Listing> listing = parse_listing(response.body);
  if (listing.ok()) return listing;
  return Error(listing.error().code,
               "ListObjectsV2 " + request.prefix + ": " + listing.error().context);
}

Status S3Client::copy_object(const std::string& from, const std::string& to,
                             const S3Headers& headers) {
  Call call = object_call("CopyObject", "PUT", to);
  call.headers = headers;
  call.headers.emplace_back("x-amz-copy-source",
                            "/" + percent_encode(options_.bucket + "/" + from, true));
  call.error_in_success = true;
  call.http.idle_timeout_ms = options_.server_side_timeout_ms;
  call.http.total_timeout_ms = options_.server_side_timeout_ms;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  const Result<std::string> etag = parse_result_etag(response.body, "CopyObjectResult");
  if (etag.ok()) return {};
  return Error(etag.error().code, "CopyObject " + to + ": " + etag.error().context);
}

Status S3Client::restore_object(const std::string& key, RestoreTier tier, unsigned days) {
  Call call = object_call("RestoreObject", "POST", key);
  call.query = {{"restore", ""}};
  set_document(call, restore_xml(tier, days));
  const Result<HttpResponse> done = this->call(call);
  if (done.ok()) return {};
  Error error = done.error();
  // Here it says that the object needs no restore, not that it has to be restored first.
  if (error.code == ErrorCode::cold) {
    return Error(ErrorCode::invalid_argument, std::move(error.context));
  }
  return error;
}

}  // namespace coldshelf
