#include "gateway/notifications.h"

#include "gateway/secrets.h"
#include "uploader/cloud/notification_http.h"
#include "uploader/cloud/notification_mail.h"

namespace coldshelf {

namespace {

Result<Secret> secret_or_none(FileSystem& files, const std::string& file,
                              const std::string& variable) {
  if (file.empty() && variable.empty()) return Secret();
  return load_secret(files, file, variable);
}

Result<std::shared_ptr<HttpTransport>> transport_of(const NotifyConfig& notify) {
  CurlOptions options;
  options.ca_file = notify.ca_file;
  options.idle_connections = 1;
  ASSIGN_OR_RETURN(auto transport, make_curl_transport(options));
  return std::shared_ptr<HttpTransport>(std::move(transport));
}

Result<std::unique_ptr<NotificationChannel>> make_channel(const NotifyConfig& notify,
                                                          FileSystem& files,
                                                          const std::shared_ptr<Clock>& clock) {
  if (notify.type == "mail") {
    MailOptions options;
    options.url = notify.url;
    options.tls = parse_mail_tls(notify.tls).value_or(MailOptions::Tls::required);
    options.ca_file = notify.ca_file;
    options.user = notify.user;
    ASSIGN_OR_RETURN(options.password,
                     secret_or_none(files, notify.password_file, notify.password_env));
    options.from = notify.from;
    options.to = notify.to;
    return make_mail_channel(std::move(options));
  }
  // One of its own: giving it up gives up nobody else's requests.
  ASSIGN_OR_RETURN(std::shared_ptr<HttpTransport> transport, transport_of(notify));
  if (notify.type == "sns") {
    CredentialOptions credentials;
    credentials.profile = notify.profile;
    std::shared_ptr<CredentialsProvider> provider =
        make_credential_chain(files, *clock, *transport, credentials);
    SnsOptions options;
    options.topic_arn = notify.topic_arn;
    options.endpoint = notify.endpoint;
    return make_sns_channel(std::move(options), clock, transport, std::move(provider));
  }
  WebhookOptions options;
  options.url = notify.url;
  ASSIGN_OR_RETURN(options.authorization,
                   secret_or_none(files, notify.authorization_file, notify.authorization_env));
  ASSIGN_OR_RETURN(options.signing_secret,
                   secret_or_none(files, notify.signing_secret_file, notify.signing_secret_env));
  return make_webhook_channel(std::move(options), std::move(transport));
}

}  // namespace

Result<std::unique_ptr<Notifier>> make_notifier(const Config& config, FileSystem& files,
                                                std::shared_ptr<Clock> clock) {
  std::vector<Notifier::Channel> channels;
  for (const NotifyConfig& notify : config.notify) {
    Result<std::unique_ptr<NotificationChannel>> made = make_channel(notify, files, clock);
    if (!made.ok()) {
      return Error(made.error().code, "notify '" + notify.name + "': " + made.error().context);
    }
    Notifier::Channel channel;
    channel.name = notify.name;
    channel.channel = std::move(*made);
    channel.at_least =
        parse_notification_severity(notify.at_least).value_or(NotificationSeverity::info);
    channel.events = notify.events;
    channels.push_back(std::move(channel));
  }
  Notifier::Options options;
  options.gateway = config.gateway.name;
  return std::make_unique<Notifier>(std::move(channels), std::move(clock), options);
}

}  // namespace coldshelf
