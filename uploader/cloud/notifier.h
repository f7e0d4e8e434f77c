// Brings notifications to their channels: each channel has a queue and a thread of its own, so that
// one that hangs holds up neither the others nor the work that is told about.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "uploader/cloud/notification.h"

namespace coldshelf {

class Notifier final : public NotificationSink {
 public:
  struct Options {
    std::string gateway;
    size_t queue = 256;  // notifications waiting for one channel; then the oldest one is given up
    unsigned attempts = 10;
    int64_t first_pause_ms = 1'000;  // doubled each time, to at most:
    int64_t longest_pause_ms = 300'000;
  };
  struct Channel {
    std::string name;
    std::unique_ptr<NotificationChannel> channel;
    NotificationSeverity at_least = NotificationSeverity::info;
    std::vector<std::string> events;  // beginnings: "policy." takes "policy.run"; empty: all
  };
  Notifier(std::vector<Channel> channels, std::shared_ptr<Clock> clock, Options options);
  ~Notifier() override;  // what is under way is given up
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void send(Notification notification, std::function<void(bool delivered)> settled) override;

  struct ChannelState {
    std::string name;
    uint64_t delivered = 0;
    uint64_t failed = 0;   // given up after all attempts, or because the receiver refused
    uint64_t dropped = 0;  // the queue was full
    size_t waiting = 0;
    std::string last_error;
    int64_t last_error_ms = 0;
    int64_t last_delivered_ms = 0;
  };
  std::vector<ChannelState> state() const;

 private:
  struct Letter;
  struct Lane;
  void run(Lane& lane);
  Status deliver(Lane& lane, const Notification& notification);
  bool pause(Lane& lane, int64_t ms);  // false: we are ending
  static void settle(const std::shared_ptr<Letter>& letter, bool delivered);

  const std::shared_ptr<Clock> clock_;
  const Options options_;
  SystemRandom random_;
  mutable std::mutex mutex_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace coldshelf
