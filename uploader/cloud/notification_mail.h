// Notifications by mail: SMTP by libcurl, with TLS and a login where the server wants them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "uploader/cloud/notification.h"

namespace coldshelf {

struct MailOptions {
  enum class Tls {
    required,  // STARTTLS, and nothing is sent without it
    offered,   // STARTTLS when the server offers it
    never,
  };
  std::string url;  // smtp://host[:port], smtps://host[:port] (TLS from the first byte)
  Tls tls = Tls::required;
  std::string ca_file;  // empty: the system's certificates
  std::string user;     // empty: no login
  Secret password;
  std::string from;
  std::vector<std::string> to;
  int64_t timeout_ms = 60'000;
};
// "required", "offered", "never"
std::optional<MailOptions::Tls> parse_mail_tls(std::string_view text);

// invalid_argument: an address that is none, a URL of another kind, a login over a connection that
// may be read.
Result<std::unique_ptr<NotificationChannel>> make_mail_channel(MailOptions options);

// The message as it goes out (RFC 5322, MIME; lines end in CR LF).
std::string mail_message(const MailOptions& options, const Notification& notification);

}  // namespace coldshelf
