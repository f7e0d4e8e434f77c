// An alarm as people and their systems are told of it: by webhook, SNS or mail.
#pragma once

#include "gateway/alarms.h"
#include "uploader/cloud/notification.h"

namespace coldshelf {

// Events "alarm.raised" and "alarm.over".
Notification notification_of(const Alarm& alarm);

}  // namespace coldshelf
