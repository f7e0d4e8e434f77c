#include "target/scsi/unit_attention.h"

#include <algorithm>

namespace coldshelf::scsi {

void UnitAttentions::push(Queue& queue, AdditionalSense code) {
  auto& codes = queue.codes;
  if (code.code == 0x29) {
    codes.clear();
  } else if (std::find(codes.begin(), codes.end(), code) != codes.end()) {
    return;
  }
  // More conditions than the queue holds tell the initiator the same as a reset would.
  if (codes.size() >= kMaxPending) codes.assign(1, asc::power_on_or_reset);
  codes.push_back(code);
}

void UnitAttentions::add_nexus(const Nexus& nexus) {
  const std::lock_guard lock(mutex_);
  queues_[nexus.id].port_name = nexus.port_name();
}

void UnitAttentions::remove_nexus(uint64_t nexus_id) {
  const std::lock_guard lock(mutex_);
  queues_.erase(nexus_id);
}

bool UnitAttentions::knows(uint64_t nexus_id) const {
  const std::lock_guard lock(mutex_);
  return queues_.contains(nexus_id);
}

void UnitAttentions::raise(uint64_t nexus_id, AdditionalSense code) {
  const std::lock_guard lock(mutex_);
  if (const auto it = queues_.find(nexus_id); it != queues_.end()) push(it->second, code);
}

void UnitAttentions::raise_for_port(const std::string& port_name, AdditionalSense code) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, queue] : queues_)
    if (queue.port_name == port_name) push(queue, code);
}

void UnitAttentions::raise_for_all(AdditionalSense code) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, queue] : queues_) push(queue, code);
}

void UnitAttentions::raise_for_others(uint64_t nexus_id, AdditionalSense code) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, queue] : queues_)
    if (id != nexus_id) push(queue, code);
}

std::optional<AdditionalSense> UnitAttentions::pending(uint64_t nexus_id) const {
  const std::lock_guard lock(mutex_);
  const auto it = queues_.find(nexus_id);
  if (it == queues_.end() || it->second.codes.empty()) return std::nullopt;
  return it->second.codes.front();
}

std::optional<AdditionalSense> UnitAttentions::take(uint64_t nexus_id) {
  const std::lock_guard lock(mutex_);
  const auto it = queues_.find(nexus_id);
  if (it == queues_.end() || it->second.codes.empty()) return std::nullopt;
  const AdditionalSense code = it->second.codes.front();
  it->second.codes.pop_front();
  return code;
}

}  // namespace coldshelf::scsi
