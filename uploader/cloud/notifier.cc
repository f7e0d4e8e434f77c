#include "uploader/cloud/notifier.h"

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "base/uuid.h"

namespace coldshelf {

namespace {
constexpr std::string_view kComponent = "notify";
}

// On its way through several channels.
struct Notifier::Letter {
  Notification notification;
  std::function<void(bool)> settled;
  std::atomic<size_t> open{0};  // channels that have not settled it
  std::atomic<bool> told{false};
};

struct Notifier::Lane {
  Channel channel;
  std::deque<std::shared_ptr<Letter>> queue;
  std::condition_variable wake;
  ChannelState state;
  std::thread thread;
};

Notifier::Notifier(std::vector<Channel> channels, std::shared_ptr<Clock> clock, Options options)
    : clock_(std::move(clock)), options_(std::move(options)) {
  for (Channel& channel : channels) {
    auto lane = std::make_unique<Lane>();
    lane->channel = std::move(channel);
    lane->state.name = lane->channel.name;
    lanes_.push_back(std::move(lane));
  }
  for (auto& lane : lanes_) lane->thread = std::thread([this, &lane = *lane] { run(lane); });
}

Notifier::~Notifier() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (auto& lane : lanes_) {
    lane->channel.channel->give_up();
    lane->wake.notify_all();
  }
  for (auto& lane : lanes_) lane->thread.join();
}

void Notifier::settle(const std::shared_ptr<Letter>& letter, bool delivered) {
  const bool last = --letter->open == 0;
  if (!delivered && !last) return;
  if (!letter->told.exchange(true) && letter->settled) letter->settled(delivered);
}

void Notifier::send(Notification notification, std::function<void(bool)> settled) {
  if (notification.id.empty()) notification.id = Uuid::generate(random_).to_string();
  if (notification.gateway.empty()) notification.gateway = options_.gateway;
  if (notification.time_ms == 0) notification.time_ms = clock_->unix_ms();
  auto letter = std::make_shared<Letter>();
  letter->open = 1;  // ours, so that it is not given up before it is in every queue
  bool anybody = false;
  const std::string& event = notification.event;
  std::vector<std::shared_ptr<Letter>> dropped;
  {
    const std::lock_guard lock(mutex_);
    letter->settled = std::move(settled);
    for (auto& lane : lanes_) {
      const std::vector<std::string>& events = lane->channel.events;
      const bool wanted = notification.to_all ||
                          (notification.severity >= lane->channel.at_least &&
                           (events.empty() ||
                            std::any_of(events.begin(), events.end(), [&event](const auto& begin) {
                              return event.starts_with(begin);
                            })));
      if (!wanted) continue;
      anybody = true;
      if (lane->queue.size() >= options_.queue) {
        dropped.push_back(lane->queue.front());
        lane->queue.pop_front();
        ++lane->state.dropped;
      }
      ++letter->open;
      lane->queue.push_back(letter);
      lane->state.waiting = lane->queue.size();
    }
    letter->notification = std::move(notification);
  }
  for (auto& lane : lanes_) lane->wake.notify_all();
  for (const auto& old : dropped) {
    log_warning(kComponent, "queue full, the oldest notification is given up",
                {{"event", old->notification.event}, {"subject", old->notification.subject}});
    settle(old, false);
  }
  settle(letter, !anybody);
}

bool Notifier::pause(Lane& lane, int64_t ms) {
  std::unique_lock lock(mutex_);
  return !lane.wake.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopping_; });
}

Status Notifier::deliver(Lane& lane, const Notification& notification) {
  int64_t longest = options_.first_pause_ms;
  for (unsigned attempt = 1;; ++attempt) {
    Status delivered = lane.channel.channel->deliver(notification);
    if (delivered.ok()) return {};
    const ErrorCode code = delivered.error().code;
    const bool again = code == ErrorCode::unavailable || code == ErrorCode::timed_out;
    if (!again || attempt >= options_.attempts) return delivered;
    {
      const std::lock_guard lock(mutex_);
      lane.state.last_error = delivered.error().message();
      lane.state.last_error_ms = clock_->unix_ms();
    }
    // Between half and all of it, so that gateways do not come back together.
    const auto half = static_cast<uint64_t>(longest / 2);
    if (!pause(lane, static_cast<int64_t>(half + random_.below(half + 1)))) return delivered;
    longest = std::min(longest * 2, options_.longest_pause_ms);
  }
}

void Notifier::run(Lane& lane) {
  while (true) {
    std::shared_ptr<Letter> letter;
    {
      std::unique_lock lock(mutex_);
      lane.wake.wait(lock, [&] { return stopping_ || !lane.queue.empty(); });
      if (stopping_) return;
      letter = lane.queue.front();
      lane.queue.pop_front();
      lane.state.waiting = lane.queue.size();
    }
    const Status delivered = deliver(lane, letter->notification);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ && !delivered.ok()) return;
      if (delivered.ok()) {
        ++lane.state.delivered;
        lane.state.last_delivered_ms = clock_->unix_ms();
      } else {
        ++lane.state.failed;
        lane.state.last_error = delivered.error().message();
        lane.state.last_error_ms = clock_->unix_ms();
      }
    }
    if (!delivered.ok()) {
      log_error(kComponent, "notification not delivered",
                {{"channel", lane.channel.name},
                 {"event", letter->notification.event},
                 {"error", delivered.error().message()}});
    }
    settle(letter, delivered.ok());
  }
}

std::vector<Notifier::ChannelState> Notifier::state() const {
  const std::lock_guard lock(mutex_);
  std::vector<ChannelState> out;
  for (const auto& lane : lanes_) out.push_back(lane->state);
  return out;
}

}  // namespace coldshelf
