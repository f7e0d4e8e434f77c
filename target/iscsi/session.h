// Targets, sessions and what all connections share. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/random.h"
#include "target/iscsi/budget.h"
#include "target/iscsi/login.h"
#include "target/iscsi/lu_queue.h"
#include "target/iscsi/options.h"
#include "target/iscsi/server.h"

namespace coldshelf::iscsi {

// A target at run time: one device, LUN 0.
struct Target {
  std::string iqn;
  std::string alias;
  std::shared_ptr<LuQueue> queue;
  std::shared_future<void> unused;  // ready when no session and no command has the device any more
};

struct Session;

// How other threads reach a session's connection: each call only posts to its thread.
class SessionPeer {
 public:
  virtual ~SessionPeer() = default;
  virtual void post_close() = 0;
  virtual void post_logout_request(std::chrono::milliseconds grace) = 0;
  // Aborts every task; `waiter` is dropped when the last of them has really ended.
  virtual void post_abort_tasks(std::shared_ptr<void> waiter, bool answer_aborted) = 0;
};

struct Session {
  uint16_t tsih = 0;
  LoginResult login;
  std::string peer_address;
  std::shared_ptr<Target> target;            // null: discovery
  std::shared_ptr<const scsi::Nexus> nexus;  // null: discovery
  std::weak_ptr<SessionPeer> connection;
  std::atomic<bool> nexus_lost{false};
  // Another session has its place (RFC 7143 6.3.5). Set before that one can be found in the
  // registry.
  std::atomic<bool> replaced{false};
  std::atomic<uint64_t> commands{0};
  std::atomic<uint64_t> bytes_received{0};
  std::atomic<uint64_t> bytes_sent{0};
};

class SessionRegistry final : public LoginDirectory {
 public:
  explicit SessionRegistry(const ServerOptions& options) : options_(options) {}

  bool add_target(std::shared_ptr<Target> target);  // false: the name is taken
  std::shared_ptr<Target> remove_target(const std::string& iqn);
  size_t target_count() const;
  std::vector<std::string> target_names() const;
  std::vector<std::shared_ptr<Target>> targets() const;
  bool has_target(const std::string& iqn) const;

  // LoginDirectory.
  std::optional<TargetInfo> find_target(const std::string& name) const override;
  std::optional<ChapRule> chap_of(const std::string& target,
                                  const std::string& initiator) const override;
  // Empty: the server's own credentials hold for the target again. It need not be there yet.
  void set_chap(const std::string& iqn, std::vector<TargetChap> chap);
  LoginStatus check_session(uint16_t tsih, const std::string& initiator, const std::string& target,
                            const std::array<std::byte, 6>& isid, uint16_t cid) const override;
  bool stopping() const override { return stopping_.load(); }
  void set_stopping() { stopping_.store(true); }

  // Ends the login: reinstates an older session of the same I_T nexus (RFC 7143 6.3.5), or the
  // connection of the session named by its TSIH (6.3.4), and tells the logical unit. nullptr: no
  // TSIH left, or the target went away.
  std::shared_ptr<Session> establish(const LoginResult& login, std::string peer_address,
                                     std::weak_ptr<SessionPeer> connection);
  // The session is over. Tells the logical unit, once.
  void end(const std::shared_ptr<Session>& session);

  std::vector<std::shared_ptr<Session>> sessions() const;
  std::vector<std::shared_ptr<Session>> sessions_of(const Target& target) const;

 private:
  uint16_t free_tsih();
  void lose_nexus(Session& session);

  const ServerOptions& options_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  uint16_t last_tsih_ = 0;
  uint64_t last_nexus_id_ = 0;
  std::map<std::string, std::shared_ptr<Target>> targets_;
  std::map<std::string, std::vector<TargetChap>> chap_;  // by target
  std::map<uint16_t, std::shared_ptr<Session>> sessions_;
};

// What every connection uses; owned by the server, which outlives its connections.
struct ServerCore {
  ServerCore(ServerOptions o, Random& r)
      : options(std::move(o)),
        random(r),
        registry(options),
        budget(ByteBudget::create(options.data_out_budget_bytes)),
        buffers(BufferPool::create(options.buffer_pool_bytes)) {}
  SystemClock clock;  // of durations alone
  const ServerOptions options;
  Random& random;
  SessionRegistry registry;
  std::shared_ptr<ByteBudget> budget;
  std::shared_ptr<BufferPool> buffers;
  std::vector<std::string> portals;  // as bound, without wildcard addresses
};

}  // namespace coldshelf::iscsi
