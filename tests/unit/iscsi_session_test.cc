// Sessions and what the logical unit hears of them.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <utility>

#include "target/iscsi/session.h"

namespace coldshelf::iscsi {
namespace {

class ListeningUnit final : public scsi::LogicalUnit {
 public:
  uint64_t data_out_length(ByteView) const override { return 0; }
  bool may_block(const scsi::Command&) const override { return false; }
  scsi::Reply execute(const scsi::Command&) override { return {}; }
  void nexus_established(std::shared_ptr<const scsi::Nexus> nexus) override {
    if (before_established) std::exchange(before_established, nullptr)();
    known.insert(nexus->id);
  }
  void nexus_lost(const scsi::Nexus& nexus) override { known.erase(nexus.id); }
  void reset(scsi::ResetKind) override {}
  void task_set_cleared(const scsi::Nexus&) override {}

  std::function<void()> before_established;
  std::set<uint64_t> known;
};

// Two logins of one initiator port on two threads: the second replaces the first before the unit
// has heard of it.
TEST(IscsiSessions, ASessionThatIsReplacedAtOnceLeavesNothing) {
  const auto unit = std::make_shared<ListeningUnit>();
  const auto target = std::make_shared<Target>();
  target->iqn = "iqn.2026-11.io.coldshelf:test";
  target->queue = std::make_shared<LuQueue>(
      unit, [](std::function<void()> work) { work(); },
      [](int64_t, std::function<void()>) { return [] {}; });
  const ServerOptions options;
  SessionRegistry registry(options);
  ASSERT_TRUE(registry.add_target(target));
  LoginResult login;
  login.initiator_name = "iqn.2026-11.test:initiator";
  login.target_name = target->iqn;
  std::shared_ptr<Session> second;
  unit->before_established = [&] { second = registry.establish(login, "peer", {}); };
  const auto first = registry.establish(login, "peer", {});
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(first->replaced.load());
  EXPECT_EQ(unit->known, std::set<uint64_t>{second->nexus->id});
  registry.end(first);
  registry.end(second);
  EXPECT_TRUE(unit->known.empty());
  EXPECT_TRUE(registry.sessions().empty());
}

}  // namespace
}  // namespace coldshelf::iscsi
