// Who is told: the state of the channels, and a test. Coldshelf_20261101 only.
#include "gateway/api/service.h"
#include "uploader/cloud/notifier.h"

namespace coldshelf::api {

void Service::add_notify_operations() {
  if (env_.notifier == nullptr) return;
  own("ListNotifications", [this](const Params&) -> Result<Json> {
    Json channels = Json::array();
    for (const Notifier::ChannelState& state : env_.notifier->state()) {
      Json one = {{"Name", state.name},
                  {"Delivered", state.delivered},
                  {"Failed", state.failed},
                  {"Dropped", state.dropped},
                  {"Waiting", state.waiting}};
      if (state.last_delivered_ms != 0) one["LastDelivered"] = format_utc(state.last_delivered_ms);
      if (!state.last_error.empty()) {
        one["LastError"] = state.last_error;
        one["LastErrorTime"] = format_utc(state.last_error_ms);
      }
      channels.push_back(std::move(one));
    }
    return Json{{"Notifications", channels}};
  });
  own("SendTestNotification", [this](const Params&) -> Result<Json> {
    if (env_.notifier->state().empty()) {
      return Error(ErrorCode::not_found, "there is no [[notify]] in the configuration");
    }
    Notification test;
    test.event = "test";
    // So that every channel takes it, whatever it asks for.
    test.severity = NotificationSeverity::error;
    test.to_all = true;
    test.subject = "a test of coldshelf's notifications";
    env_.notifier->send(std::move(test), {});
    return Json::object();
  });
}

}  // namespace coldshelf::api
