// STS and SNS, as far as policies need them.
// https://docs.aws.amazon.com/STS/latest/APIReference/, https://docs.aws.amazon.com/sns/latest/api/
#include <algorithm>
#include <charconv>

#include "tests/support/ebs/query.h"

namespace coldshelf::test::ebs {

using imposter::element;

namespace {

Answer wrapped(const Call& call, const std::string& content) {
  const std::string space = call.service == "sts" ? "https://sts.amazonaws.com/doc/2011-06-15/"
                                                  : "http://sns.amazonaws.com/doc/2010-03-31/";
  Answer answer;
  answer.set("Content-Type", "text/xml");
  answer.text = "<" + call.action + "Response xmlns=\"" + space + "\"><" + call.action + "Result>" +
                content + "</" + call.action +
                "Result><ResponseMetadata><RequestId>standin</RequestId></ResponseMetadata></" +
                call.action + "Response>";
  return answer;
}

std::string role_name(const std::string& arn) { return arn.substr(arn.rfind('/') + 1); }

}  // namespace

Answer Service::assume_role(const Call& call) {
  const std::string arn = param(call, "RoleArn");
  const std::string session = param(call, "RoleSessionName");
  if (param(call, "Version") != "2011-06-15") {
    return query_error(call, "InvalidAction", "Version must be 2011-06-15");
  }
  if (session.size() < 2 || session.size() > 64 ||
      session.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_+=,.@-") != std::string::npos) {
    return query_error(call, "ValidationError", "RoleSessionName is missing or malformed");
  }
  int64_t seconds = 3600;
  if (has_param(call, "DurationSeconds")) {
    const std::string text = param(call, "DurationSeconds");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size() || seconds < 900 ||
        seconds > 43'200) {
      return query_error(call, "ValidationError", "DurationSeconds must be 900 to 43200");
    }
  }
  const auto role = roles_.find(arn);
  const bool allowed =
      role != roles_.end() &&
      std::count(role->second.trusted.begin(), role->second.trusted.end(), call.account) > 0 &&
      role->second.external_id == param(call, "ExternalId");
  if (!allowed) {
    return query_error(call, "AccessDenied",
                       "User: arn:aws:iam::" + call.account +
                           ":user/standin is not authorized to perform: sts:AssumeRole on "
                           "resource: " +
                           arn);
  }
  Identity who;
  who.account = role->second.account;
  who.arn = "arn:aws:sts::" + who.account + ":assumed-role/" + role_name(arn) + "/" + session;
  const std::string unique = new_id("").substr(2);
  who.key.secret = to_hex(Sha256::of(as_view("secret " + unique))).substr(0, 40);
  who.key.session_token = to_base64(Sha256::of(as_view("token " + unique)));
  who.expires_ms = now_ms() + seconds * 1000;
  std::string access_key = "ASIA" + unique;
  std::transform(access_key.begin(), access_key.end(), access_key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  identities_[access_key] = who;
  return wrapped(
      call, "<AssumedRoleUser>" + element("AssumedRoleId", "AROA" + unique + ":" + session) +
                element("Arn", who.arn) + "</AssumedRoleUser><Credentials>" +
                element("AccessKeyId", access_key) + element("SecretAccessKey", who.key.secret) +
                element("SessionToken", who.key.session_token) +
                element("Expiration", iso_time(who.expires_ms)) + "</Credentials>");
}

Answer Service::get_caller_identity(const Call& call) const {
  imposter::Authorization a;
  if (!imposter::parse_authorization(call.http.header("authorization"), a)) {
    return query_error(call, "IncompleteSignature", "no signature");
  }
  const Identity& who = identities_.at(a.access_key);
  return wrapped(call, element("Arn", who.arn) + element("UserId", "AIDASTANDIN") +
                           element("Account", who.account));
}

Answer Service::publish(const Call& call) {
  EbsMessage message;
  message.account = call.account;
  message.topic_arn = param(call, "TopicArn");
  message.subject = param(call, "Subject");
  message.message = param(call, "Message");
  if (param(call, "Version") != "2010-03-31") {
    return query_error(call, "InvalidAction", "Version must be 2010-03-31");
  }
  const std::string prefix = "arn:aws:sns:" + call.region + ":";
  if (message.topic_arn.rfind(prefix, 0) != 0) {
    return query_error(call, "InvalidParameter", "Invalid parameter: TopicArn");
  }
  if (message.message.empty()) return query_error(call, "InvalidParameter", "Empty message");
  if (message.message.size() > 256 * KiB) {
    return query_error(call, "InvalidParameter", "Message too long");
  }
  const bool printable = std::all_of(message.subject.begin(), message.subject.end(),
                                     [](char c) { return c >= ' ' && c <= '~'; });
  if (message.subject.size() > 100 || !printable) {
    return query_error(call, "InvalidParameter", "Invalid parameter: Subject");
  }
  messages_.push_back(std::move(message));
  return wrapped(call,
                 element("MessageId", "00000000-0000-4000-8000-" +
                                          std::to_string(100'000'000'000 + messages_.size())));
}

}  // namespace coldshelf::test::ebs
