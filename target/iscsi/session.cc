#include "target/iscsi/session.h"

#include <algorithm>

#include "base/log.h"

namespace coldshelf::iscsi {

bool SessionRegistry::add_target(std::shared_ptr<Target> target) {
  const std::lock_guard lock(mutex_);
  return targets_.emplace(target->iqn, target).second;
}

std::shared_ptr<Target> SessionRegistry::remove_target(const std::string& iqn) {
  const std::lock_guard lock(mutex_);
  const auto at = targets_.find(iqn);
  if (at == targets_.end()) return nullptr;
  auto target = std::move(at->second);
  targets_.erase(at);
  return target;
}

size_t SessionRegistry::target_count() const {
  const std::lock_guard lock(mutex_);
  return targets_.size();
}

std::vector<std::shared_ptr<Target>> SessionRegistry::targets() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Target>> out;
  for (const auto& [name, target] : targets_) out.push_back(target);
  return out;
}

std::vector<std::string> SessionRegistry::target_names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, target] : targets_) names.push_back(name);
  return names;
}

bool SessionRegistry::has_target(const std::string& iqn) const {
  const std::lock_guard lock(mutex_);
  return targets_.count(iqn) != 0;
}

std::optional<LoginDirectory::TargetInfo> SessionRegistry::find_target(
    const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto at = targets_.find(name);
  if (at == targets_.end()) return std::nullopt;
  return TargetInfo{at->second->alias};
}

std::optional<LoginDirectory::ChapRule> SessionRegistry::chap_of(
    const std::string& target, const std::string& initiator) const {
  const std::lock_guard lock(mutex_);
  const auto at = chap_.find(target);
  if (at == chap_.end()) return std::nullopt;
  for (const TargetChap& chap : at->second) {
    if (normalize_name(chap.initiator) == initiator) return ChapRule{false, chap};
  }
  return ChapRule{true, {}};
}

void SessionRegistry::set_chap(const std::string& iqn, std::vector<TargetChap> chap) {
  const std::lock_guard lock(mutex_);
  if (chap.empty()) {
    chap_.erase(normalize_name(iqn));
  } else {
    chap_[normalize_name(iqn)] = std::move(chap);
  }
}

LoginStatus SessionRegistry::check_session(uint16_t tsih, const std::string& initiator,
                                           const std::string& target,
                                           const std::array<std::byte, 6>& isid,
                                           uint16_t cid) const {
  const std::lock_guard lock(mutex_);
  const auto at = sessions_.find(tsih);
  if (at == sessions_.end()) return LoginStatus::session_does_not_exist;
  const LoginResult& login = at->second->login;
  if (login.initiator_name != initiator || login.target_name != target || login.isid != isid)
    return LoginStatus::session_does_not_exist;
  // MaxConnections is 1: the same CID reinstates the connection, another one would be a second.
  return login.cid == cid ? LoginStatus::success : LoginStatus::too_many_connections;
}

uint16_t SessionRegistry::free_tsih() {
  for (unsigned tries = 0; tries < 0xffff; ++tries) {
    if (++last_tsih_ == 0) ++last_tsih_;
    if (sessions_.count(last_tsih_) == 0) return last_tsih_;
  }
  return 0;
}

std::shared_ptr<Session> SessionRegistry::establish(const LoginResult& login,
                                                    std::string peer_address,
                                                    std::weak_ptr<SessionPeer> connection) {
  auto session = std::make_shared<Session>();
  session->login = login;
  session->peer_address = std::move(peer_address);
  session->connection = std::move(connection);
  std::shared_ptr<Session> old;
  {
    const std::lock_guard lock(mutex_);
    if (!login.discovery) {
      const auto target = targets_.find(login.target_name);
      if (target == targets_.end()) return nullptr;
      session->target = target->second;
      auto nexus = std::make_shared<scsi::Nexus>();
      nexus->id = ++last_nexus_id_;
      nexus->initiator_name = login.initiator_name;
      nexus->isid = login.isid;
      nexus->target_port_group = options_.target_port_group;
      session->nexus = std::move(nexus);
    }
    for (auto& [tsih, other] : sessions_) {
      // RFC 7143 6.3.5: initiator name, ISID and target portal group make the I_T nexus.
      const bool same_nexus = !login.discovery && other->target == session->target &&
                              other->login.initiator_name == login.initiator_name &&
                              other->login.isid == login.isid;
      if (same_nexus || (login.tsih != 0 && tsih == login.tsih)) old = other;
    }
    session->tsih = old && login.tsih == old->tsih ? old->tsih : free_tsih();
    if (session->tsih == 0) return nullptr;
    if (old) {
      old->replaced.store(true);
      sessions_.erase(old->tsih);
    }
    sessions_[session->tsih] = session;
  }
  if (old) {
    log_info("iscsi", "session reinstated",
             {{"initiator", login.initiator_name}, {"target", login.target_name}});
    // The old tasks end before the new session can send its first command.
    if (old->target) old->target->queue->abort_nexus(old->nexus);
    lose_nexus(*old);
    if (auto peer = old->connection.lock()) peer->post_close();
  }
  if (!session->target) return session;
  scsi::LogicalUnit& unit = session->target->queue->unit();
  unit.nexus_established(session->nexus);
  // Replaced itself meanwhile, by a login on another thread: the unit heard of its end first.
  if (session->nexus_lost.load()) unit.nexus_lost(*session->nexus);
  return session;
}

void SessionRegistry::lose_nexus(Session& session) {
  if (!session.nexus || session.nexus_lost.exchange(true)) return;
  session.target->queue->unit().nexus_lost(*session.nexus);
}

void SessionRegistry::end(const std::shared_ptr<Session>& session) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = sessions_.find(session->tsih);
    if (at != sessions_.end() && at->second == session) sessions_.erase(at);
  }
  lose_nexus(*session);
}

std::vector<std::shared_ptr<Session>> SessionRegistry::sessions() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Session>> out;
  for (const auto& [tsih, session] : sessions_) out.push_back(session);
  return out;
}

std::vector<std::shared_ptr<Session>> SessionRegistry::sessions_of(const Target& target) const {
  auto out = sessions();
  std::erase_if(out, [&target](const auto& session) { return session->target.get() != &target; });
  return out;
}

}  // namespace coldshelf::iscsi
