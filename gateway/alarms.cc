#include "gateway/alarms.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace coldshelf {

namespace {
using Json = nlohmann::json;

Json json_of(const Alarm& alarm) {
  return {{"name", alarm.name},
          {"subject", alarm.subject},
          {"detail", alarm.detail},
          {"raised_ms", alarm.raised_ms},
          {"acknowledged", alarm.acknowledged}};
}
}  // namespace

std::string_view to_string(AlarmSeverity severity) {
  return severity == AlarmSeverity::critical ? "critical" : "warning";
}

Alarms::Alarms(std::vector<AlarmRule> rules, Listener listener)
    : rules_(std::move(rules)), listener_(std::move(listener)) {}

const AlarmRule* Alarms::rule(const std::string& name) const {
  for (const AlarmRule& rule : rules_) {
    if (rule.name == name) return &rule;
  }
  return nullptr;
}

void Alarms::judge(State& state, const AlarmRule& rule, const Observation& seen, int64_t now_ms,
                   std::vector<Alarm>& told) {
  if (!state.raised) {
    if (seen.condition != Condition::bad) {
      state.bad_since_ms = 0;
      return;
    }
    if (state.bad_since_ms == 0) state.bad_since_ms = now_ms;
    if (now_ms - state.bad_since_ms < rule.raise_after_ms) return;
    Alarm alarm;
    alarm.name = rule.name;
    alarm.subject = seen.subject;
    alarm.detail = seen.detail;
    alarm.help = rule.help;
    alarm.severity = rule.severity;
    alarm.raised_ms = now_ms;
    state.raised = alarm;
    state.good_since_ms = 0;
    told.push_back(std::move(alarm));
    return;
  }
  if (seen.condition != Condition::good) {
    state.good_since_ms = 0;
    if (seen.condition == Condition::bad) state.raised->detail = seen.detail;
    return;
  }
  if (state.good_since_ms == 0) state.good_since_ms = now_ms;
  if (now_ms - state.good_since_ms < rule.clear_after_ms) return;
  state.raised->cleared_ms = now_ms;
  told.push_back(*state.raised);
  history_.push_front(std::move(*state.raised));
  if (history_.size() > kHistory) history_.pop_back();
  state = State{};
}

void Alarms::observe(const std::vector<Observation>& round, int64_t now_ms) {
  std::vector<Alarm> told;
  {
    const std::lock_guard lock(mutex_);
    std::set<Key> seen;
    for (const Observation& one : round) {
      const AlarmRule* found = rule(one.alarm);
      if (found == nullptr) continue;
      const Key key{one.alarm, one.subject};
      const auto at = states_.find(key);
      // Of what is good and always was nothing is kept.
      if (at == states_.end() &&
          (one.condition != Condition::bad || states_.size() >= kMostActive)) {
        continue;
      }
      seen.insert(key);
      judge(states_[key], *found, one, now_ms, told);
    }
    for (auto& [key, state] : states_) {
      if (seen.contains(key)) continue;
      const AlarmRule* found = rule(key.first);
      if (found == nullptr) continue;
      judge(state, *found, {key.first, key.second, Condition::good, {}}, now_ms, told);
    }
    std::erase_if(states_, [](const auto& entry) {
      return !entry.second.raised && entry.second.bad_since_ms == 0;
    });
  }
  if (!listener_) return;
  for (const Alarm& alarm : told) listener_(alarm);
}

std::vector<Alarm> Alarms::active() const {
  std::vector<Alarm> out;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, state] : states_) {
      if (state.raised) out.push_back(*state.raised);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Alarm& a, const Alarm& b) {
    if (a.severity != b.severity) return a.severity == AlarmSeverity::critical;
    return a.raised_ms < b.raised_ms;
  });
  return out;
}

std::vector<Alarm> Alarms::history() const {
  const std::lock_guard lock(mutex_);
  return {history_.begin(), history_.end()};
}

Status Alarms::acknowledge(const std::string& name, const std::string& subject) {
  const std::lock_guard lock(mutex_);
  const auto at = states_.find({name, subject});
  if (at == states_.end() || !at->second.raised) {
    return Error(ErrorCode::not_found,
                 "no alarm " + name + (subject.empty() ? "" : " of " + subject) + " is on");
  }
  at->second.raised->acknowledged = true;
  return {};
}

std::string Alarms::save() const {
  Json out = Json::array();
  const std::lock_guard lock(mutex_);
  for (const auto& [key, state] : states_) {
    if (state.raised) out.push_back(json_of(*state.raised));
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status Alarms::load(std::string_view saved) {
  const Json in = Json::parse(saved, nullptr, false);
  if (!in.is_array()) return Error(ErrorCode::corrupt, "the saved alarms are not readable");
  const std::lock_guard lock(mutex_);
  for (const Json& one : in) {
    if (!one.is_object() || states_.size() >= kMostActive) continue;
    const auto text = [&one](const char* name) {
      const auto at = one.find(name);
      return at != one.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    const AlarmRule* found = rule(text("name"));
    if (found == nullptr) continue;  // a rule of another version
    Alarm alarm;
    alarm.name = found->name;
    alarm.subject = text("subject");
    alarm.detail = text("detail");
    alarm.help = found->help;
    alarm.severity = found->severity;
    const auto raised = one.find("raised_ms");
    if (raised != one.end() && raised->is_number_integer()) alarm.raised_ms = *raised;
    const auto known = one.find("acknowledged");
    alarm.acknowledged = known != one.end() && known->is_boolean() && known->get<bool>();
    const Key key{alarm.name, alarm.subject};
    states_[key].raised = std::move(alarm);
  }
  return {};
}

}  // namespace coldshelf
