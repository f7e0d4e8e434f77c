#include "uploader/cloud/notification_mail.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>

#include "base/bytes.h"
#include "base/check.h"

namespace coldshelf {

namespace {

constexpr long kConnectTimeoutMs = 10'000;
constexpr size_t kMaxAddress = 254;  // RFC 5321 4.5.3.1.3
constexpr size_t kBase64Line = 76;   // RFC 2045 6.8
constexpr size_t kMaxSubject = 200;
constexpr size_t kEncodedWordBytes = 45;  // 60 characters of base64 (RFC 2047 2: 75 in all)

struct Easy {
  CURL* easy = curl_easy_init();
  curl_slist* to = nullptr;
  Easy() = default;
  Easy(const Easy&) = delete;
  Easy& operator=(const Easy&) = delete;
  ~Easy() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(to);
  }
  template <typename Value>
  void set(CURLoption option, Value value) {
    CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  }
};

struct Outgoing {
  std::string_view left;
  static size_t read(char* out, size_t size, size_t count, void* self) {
    std::string_view& left = static_cast<Outgoing*>(self)->left;
    const size_t n = std::min(size * count, left.size());
    std::memcpy(out, left.data(), n);
    left.remove_prefix(n);
    return n;
  }
};

bool is_address(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == text.size()) return false;
  return text.size() <= kMaxAddress && std::all_of(text.begin(), text.end(), [](char c) {
           return c > ' ' && c <= '~' && std::strchr("<>()[],;:\\\"", c) == nullptr;
         });
}

// Of plain ASCII as it is; else encoded words of base64, cut between characters.
std::string header_text(std::string_view text) {
  std::string clean;
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    clean += control ? ' ' : c;
  }
  if (std::all_of(clean.begin(), clean.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
    return clean.substr(0, kMaxSubject);
  }
  std::string out;
  for (size_t at = 0; at < clean.size() && at < kMaxSubject;) {
    size_t end = std::min(at + kEncodedWordBytes, clean.size());
    while (end < clean.size() && end > at + 1 &&
           (static_cast<unsigned char>(clean[end]) & 0xC0) == 0x80) {
      --end;
    }
    if (!out.empty()) out += "\r\n ";
    out += "=?utf-8?B?" + to_base64(as_view(clean.substr(at, end - at))) + "?=";
    at = end;
  }
  return out;
}

// RFC 5322 3.3, without asking the locale for names.
std::string mail_date(int64_t unix_ms) {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %d %02d:%02d:%02d +0000",
                kDays[static_cast<size_t>(t.tm_wday)], t.tm_mday,
                kMonths[static_cast<size_t>(t.tm_mon)], t.tm_year + 1900, t.tm_hour, t.tm_min,
                t.tm_sec);
  return text.data();
}

std::string domain_of(const std::string& address) { return address.substr(address.rfind('@') + 1); }

ErrorCode code_of(CURLcode code, long answer) {
  if (code == CURLE_LOGIN_DENIED || code == CURLE_PEER_FAILED_VERIFICATION ||
      code == CURLE_SSL_CACERT_BADFILE || code == CURLE_USE_SSL_FAILED) {
    return ErrorCode::permission;
  }
  if (code == CURLE_OPERATION_TIMEDOUT) return ErrorCode::timed_out;
  if (code == CURLE_ABORTED_BY_CALLBACK) return ErrorCode::cancelled;
  // RFC 5321 4.2.1: 4yz may work later, 5yz does not.
  return answer >= 500 && answer < 600 ? ErrorCode::invalid_argument : ErrorCode::unavailable;
}

class MailChannel final : public NotificationChannel {
 public:
  explicit MailChannel(MailOptions options) : options_(std::move(options)) {}

  Status deliver(const Notification& notification) override {
    const std::string message = mail_message(options_, notification);
    Easy curl;
    CHECK(curl.easy != nullptr);
    prepare(curl);
    Outgoing outgoing{message};
    curl.set(CURLOPT_READFUNCTION, &Outgoing::read);
    curl.set(CURLOPT_READDATA, static_cast<void*>(&outgoing));
    std::array<char, CURL_ERROR_SIZE> said{};
    curl.set(CURLOPT_ERRORBUFFER, said.data());
    const CURLcode code = curl_easy_perform(curl.easy);
    if (code == CURLE_OK) return {};
    long answer = 0;
    curl_easy_getinfo(curl.easy, CURLINFO_RESPONSE_CODE, &answer);
    return Error(code_of(code, answer),
                 "mail by " + options_.url + ": " +
                     (said[0] != '\0' ? std::string(said.data()) : curl_easy_strerror(code)));
  }
  void give_up() override { give_up_ = true; }

 private:
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<MailChannel*>(self)->give_up_ ? 1 : 0;
  }

  void prepare(Easy& curl) {
    // The path is the name that EHLO gives.
    const std::string url = options_.url + "/" + domain_of(options_.from);
    curl.set(CURLOPT_URL, url.c_str());
    curl.set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl.set(CURLOPT_NOSIGNAL, 1L);
    curl.set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl.set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl.set(CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout_ms));
    const long tls = options_.tls == MailOptions::Tls::required  ? CURLUSESSL_ALL
                     : options_.tls == MailOptions::Tls::offered ? CURLUSESSL_TRY
                                                                 : CURLUSESSL_NONE;
    curl.set(CURLOPT_USE_SSL, tls);
    if (!options_.ca_file.empty()) {
      curl.set(CURLOPT_CAINFO, options_.ca_file.c_str());
      curl.set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
    if (!options_.user.empty()) {
      curl.set(CURLOPT_USERNAME, options_.user.c_str());
      curl.set(CURLOPT_PASSWORD, std::string(options_.password.reveal()).c_str());
    }
    const std::string from = "<" + options_.from + ">";
    curl.set(CURLOPT_MAIL_FROM, from.c_str());
    for (const std::string& to : options_.to) {
      curl_slist* longer = curl_slist_append(curl.to, ("<" + to + ">").c_str());
      CHECK(longer != nullptr);
      curl.to = longer;
    }
    curl.set(CURLOPT_MAIL_RCPT, curl.to);
    curl.set(CURLOPT_UPLOAD, 1L);
    curl.set(CURLOPT_NOPROGRESS, 0L);
    curl.set(CURLOPT_XFERINFOFUNCTION, &MailChannel::on_progress);
    curl.set(CURLOPT_XFERINFODATA, static_cast<void*>(this));
  }

  const MailOptions options_;
  std::atomic<bool> give_up_{false};
};

}  // namespace

std::optional<MailOptions::Tls> parse_mail_tls(std::string_view text) {
  if (text == "required") return MailOptions::Tls::required;
  if (text == "offered") return MailOptions::Tls::offered;
  if (text == "never") return MailOptions::Tls::never;
  return std::nullopt;
}

std::string mail_message(const MailOptions& options, const Notification& notification) {
  std::string to;
  for (const std::string& address : options.to) to += (to.empty() ? "" : ",\r\n ") + address;
  std::string out = "Date: " + mail_date(notification.time_ms) + "\r\n";
  out += "From: coldshelf <" + options.from + ">\r\n";
  out += "To: " + to + "\r\n";
  out += "Subject: " + header_text(notification.subject) + "\r\n";
  out += "Message-ID: <" + notification.id + "@" + domain_of(options.from) + ">\r\n";
  out += "Auto-Submitted: auto-generated\r\n";  // RFC 3834: nobody's holiday answers it
  out += "X-Coldshelf-Event: " + header_text(notification.event) + "\r\n";
  out += "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";
  out += "Content-Transfer-Encoding: base64\r\n\r\n";
  const std::string body = to_base64(as_view(notification_text(notification)));
  for (size_t at = 0; at < body.size(); at += kBase64Line) {
    out += body.substr(at, kBase64Line) + "\r\n";
  }
  return out;
}

Result<std::unique_ptr<NotificationChannel>> make_mail_channel(MailOptions options) {
  static std::once_flag once;  // counted by libcurl: others may do it too
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
  while (options.url.ends_with('/')) options.url.pop_back();
  const bool plain = options.url.starts_with("smtp://");
  const bool tls = options.url.starts_with("smtps://");
  const std::string host = options.url.substr(std::min<size_t>(plain ? 7 : 8, options.url.size()));
  if ((!plain && !tls) || host.empty() || host.find_first_of("/@? ") != std::string::npos) {
    return Error(ErrorCode::invalid_argument,
                 "a mail server is smtp://HOST[:PORT] or smtps://HOST[:PORT]");
  }
  if (!is_address(options.from)) {
    return Error(ErrorCode::invalid_argument, "\"" + options.from + "\" is not a mail address");
  }
  if (options.to.empty()) {
    return Error(ErrorCode::invalid_argument, "mail needs an address to go to");
  }
  for (const std::string& to : options.to) {
    if (is_address(to)) continue;
    return Error(ErrorCode::invalid_argument, "\"" + to + "\" is not a mail address");
  }
  if (!options.user.empty() && plain && options.tls != MailOptions::Tls::required) {
    return Error(ErrorCode::invalid_argument,
                 "a login for mail needs tls = \"required\" or smtps://");
  }
  if (!options.ca_file.empty() && ::access(options.ca_file.c_str(), R_OK) != 0) {
    return error_from_errno(errno, "the file of trusted certificates " + options.ca_file);
  }
  return std::unique_ptr<NotificationChannel>(std::make_unique<MailChannel>(std::move(options)));
}

}  // namespace coldshelf
