// Notifications over HTTP: a webhook, and Amazon SNS.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/secret.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/notification.h"

namespace coldshelf {

// POSTs notification_json. Headers: X-Coldshelf-Event, X-Coldshelf-Delivery (the notification's id,
// the same in each attempt), and with a secret X-Coldshelf-Signature: "sha256=" and the hexadecimal
// HMAC-SHA-256 of the body under it. Any 2xx is success; 408, 429 and 5xx are tried again.
struct WebhookOptions {
  std::string url;       // http:// or https://
  Secret authorization;  // the Authorization header; empty: none
  Secret signing_secret;
  int64_t timeout_ms = 20'000;
};
std::unique_ptr<NotificationChannel> make_webhook_channel(WebhookOptions options,
                                                          std::shared_ptr<HttpTransport> transport);

// Publish on a topic: the subject (100 characters of ASCII), and notification_text cut at 256 KiB.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
struct SnsOptions {
  std::string topic_arn;  // ".fifo" at its end: with the notification's id against duplicates
  std::string endpoint;   // empty: that of the topic's region
  int64_t timeout_ms = 20'000;
};
Result<std::unique_ptr<NotificationChannel>> make_sns_channel(
    SnsOptions options, std::shared_ptr<Clock> clock, std::shared_ptr<HttpTransport> transport,
    std::shared_ptr<CredentialsProvider> credentials);

}  // namespace coldshelf
