// RestoreObject, retention and legal hold.
#include <pugixml.hpp>

#include "tests/support/imposter/service.h"

namespace coldshelf::test::imposter {

Response Service::restore_object(Bucket& b, const Request& request) {
  pugi::xml_document body;
  if (!parse_xml(request.content, body) || !body.child("RestoreRequest")) {
    return error_response("MalformedXML", "The XML you provided was not well-formed");
  }
  const pugi::xml_node asked = body.child("RestoreRequest");
  const unsigned days = asked.child("Days").text().as_uint(0);
  std::string tier = asked.child("GlacierJobParameters").child_value("Tier");
  if (tier.empty()) tier = "Standard";
  Version* version = current(b, request.key);
  if (version == nullptr) return error_response("NoSuchKey", "The specified key does not exist.");
  if (!cold_class(version->storage_class)) {
    return error_response("InvalidObjectState",
                          "Restore is not allowed for the object's current storage class");
  }
  if (days == 0) return error_response("MalformedXML", "Days must be a positive number");
  int64_t delay_ms = 0;
  if (tier == "Expedited" && version->storage_class == "GLACIER") {
    delay_ms = options_.expedited_delay_ms;
  } else if (tier == "Standard") {
    delay_ms = options_.standard_delay_ms;
  } else if (tier == "Bulk") {
    delay_ms = options_.bulk_delay_ms;
  } else {
    return error_response("InvalidArgument",
                          "Retrieval option is not supported by this storage class");
  }
  const int64_t now = now_ms();
  if (version->restored_at_ms > now) {
    return error_response("RestoreAlreadyInProgress", "Object restore is already in progress");
  }
  Response response;
  const int64_t keep_ms = static_cast<int64_t>(days) * options_.day_ms;
  if (readable(*version)) {
    version->restore_ends_ms = now + keep_ms;
    return response;
  }
  version->restored_at_ms = now + std::max<int64_t>(delay_ms, 1);
  version->restore_ends_ms = version->restored_at_ms + keep_ms;
  response.status = 202;
  return response;
}

Response Service::put_lock(Bucket& b, const Request& request, const Headers& checksums) {
  if (!b.object_lock) {
    return error_response("InvalidRequest", "Bucket is missing Object Lock Configuration");
  }
  if (!request.has_header("content-md5") && checksums.empty()) {
    return error_response("InvalidRequest",
                          "Missing required header for this request: Content-MD5");
  }
  Version* version = const_cast<Version*>(chosen(b, request));
  if (version == nullptr) return error_response("NoSuchKey", "The specified key does not exist.");
  pugi::xml_document body;
  if (!parse_xml(request.content, body)) {
    return error_response("MalformedXML", "The XML you provided was not well-formed");
  }
  if (request.has_query("legal-hold")) {
    const std::string status = body.child("LegalHold").child_value("Status");
    if (status != "ON" && status != "OFF") return error_response("MalformedXML", "Status");
    version->lock.legal_hold = status == "ON";
    return {};
  }
  const pugi::xml_node retention = body.child("Retention");
  const std::string mode = retention.child_value("Mode");
  int64_t until_ms = 0;
  if (!mode.empty() && ((mode != "GOVERNANCE" && mode != "COMPLIANCE") ||
                        !parse_iso_date(retention.child_value("RetainUntilDate"), until_ms))) {
    return error_response("MalformedXML", "The XML you provided did not validate");
  }
  Lock& lock = version->lock;
  const bool weaker =
      until_ms < lock.retain_until_ms || (lock.mode == "COMPLIANCE" && mode != "COMPLIANCE");
  const bool bypass = request.header("x-amz-bypass-governance-retention") == "true";
  const bool stands = !lock.mode.empty() && now_ms() < lock.retain_until_ms;
  if (stands && weaker && (lock.mode == "COMPLIANCE" || !bypass)) {
    return error_response("AccessDenied", "Access Denied because object protected by object lock");
  }
  if (!mode.empty() && until_ms <= now_ms()) {
    return error_response("InvalidArgument", "The retain until date must be in the future!");
  }
  lock.mode = mode;
  lock.retain_until_ms = until_ms;
  return {};
}

Response Service::get_lock(const Bucket& b, const Request& request) const {
  if (!b.object_lock) {
    return error_response("InvalidRequest", "Bucket is missing Object Lock Configuration");
  }
  const Version* version = chosen(b, request);
  if (version == nullptr) return error_response("NoSuchKey", "The specified key does not exist.");
  if (request.has_query("legal-hold")) {
    return xml_response("LegalHold", element("Status", version->lock.legal_hold ? "ON" : "OFF"));
  }
  if (version->lock.mode.empty()) {
    return error_response("NoSuchObjectLockConfiguration",
                          "The specified object does not have a ObjectLock configuration");
  }
  return xml_response("Retention",
                      element("Mode", version->lock.mode) +
                          element("RetainUntilDate", format_utc(version->lock.retain_until_ms)));
}

}  // namespace coldshelf::test::imposter
