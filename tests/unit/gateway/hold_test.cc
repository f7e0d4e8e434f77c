// What must not go: legal holds, WORM cartridges and retention, from the operator's order to the
// objects in the store (a directory with Object Lock).
#include <gtest/gtest.h>

#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

class HoldTest : public testing::Test {
 protected:
  void SetUp() override { gateway.open(); }
  Uuid uuid_of(const std::string& barcode) {
    auto view = gateway.tapes->show(barcode);
    EXPECT_OK(view);
    return view.ok() ? view->row.uuid : Uuid{};
  }
  std::vector<std::string> objects(const std::string& barcode, const std::string& below) {
    std::vector<std::string> out;
    const auto page =
        gateway.store->list("cartridges/" + uuid_of(barcode).to_string() + "/" + below, "", 1'000);
    EXPECT_OK(page);
    for (const ObjectInfo& object : page.ok() ? page->objects : std::vector<ObjectInfo>()) {
      out.push_back(object.key);
    }
    return out;
  }
  // Whether all segments, and there are some, have the hold.
  bool segments_held(const std::string& barcode, bool wanted) {
    const auto keys = objects(barcode, "segments/");
    EXPECT_FALSE(keys.empty());
    for (const std::string& key : keys) {
      const auto lock = gateway.store->lock_of(key);
      EXPECT_OK(lock);
      if (!lock.ok() || lock->legal_hold != wanted) return false;
      EXPECT_EQ(gateway.store->remove(key).ok(), !wanted) << key;
      if (!wanted) return true;  // one is gone now: enough seen
    }
    return true;
  }
  void hold(const std::string& barcode, bool on) {
    auto job = gateway.tapes->set_hold(barcode, on);
    ASSERT_OK(job);
    gateway.wait_for_job(*job);
    auto view = gateway.tapes->show(barcode);
    ASSERT_OK(view);
    EXPECT_EQ(view->held, on);
  }
  Status overwrite(const std::string& barcode) {
    TRY(gateway.tapes->load(barcode, 1));
    TapeDrive& drive = *gateway.drives[0];
    const Buffer record(100, std::byte{7});
    auto written = drive.write(record);
    auto unloaded = gateway.tapes->unload(1);
    if (!unloaded.ok()) return unloaded.error();
    if (!written.ok()) return written.error();
    return {};
  }
  TestGateway gateway;
};

TEST_F(HoldTest, InTheLibraryNothingIsOverwrittenOrDeleted) {
  gateway.create("HLD001L8");
  gateway.write_files("HLD001L8", 2, 4, 100'000);
  gateway.settle();
  hold("HLD001L8", true);
  EXPECT_CODE(gateway.tapes->remove("HLD001L8"), write_protected);
  EXPECT_CODE(overwrite("HLD001L8"), write_protected);
  EXPECT_TRUE(segments_held("HLD001L8", true));
  EXPECT_FALSE(objects("HLD001L8", "locked/").empty()) << "a manifest goes with them";
  hold("HLD001L8", true);  // again does no harm
  hold("HLD001L8", false);
  EXPECT_OK(overwrite("HLD001L8"));
  ASSERT_OK(gateway.tapes->remove("HLD001L8"));
  gateway.settle();
  EXPECT_EQ(gateway.status("HLD001L8"), TapeStatus::deleted);
}

TEST_F(HoldTest, OnTheShelfThroughRetrievalArchivalAndRestart) {
  gateway.create("HLD001L8");
  gateway.write_files("HLD001L8", 2, 4, 100'000);
  gateway.archive("HLD001L8");
  hold("HLD001L8", true);
  EXPECT_EQ(gateway.status("HLD001L8"), TapeStatus::archived);
  EXPECT_CODE(gateway.tapes->remove("HLD001L8"), write_protected);
  EXPECT_TRUE(segments_held("HLD001L8", true));
  gateway.close();
  gateway.open();
  EXPECT_CODE(gateway.tapes->remove("HLD001L8"), write_protected);
  gateway.retrieve("HLD001L8");
  EXPECT_CODE(gateway.tapes->remove("HLD001L8"), write_protected);
  EXPECT_CODE(overwrite("HLD001L8"), write_protected);
  gateway.archive("HLD001L8");
  EXPECT_TRUE(segments_held("HLD001L8", true));
  hold("HLD001L8", false);
  for (const std::string& key : objects("HLD001L8", "locked/")) {
    EXPECT_FALSE(gateway.store->lock_of(key)->legal_hold) << key;
  }
  ASSERT_OK(gateway.tapes->remove("HLD001L8"));
  gateway.settle();
  EXPECT_EQ(gateway.status("HLD001L8"), TapeStatus::deleted);
  const auto left =
      gateway.store->list("cartridges/" + uuid_of("HLD001L8").to_string() + "/", "", 10);
  ASSERT_OK(left);
  EXPECT_TRUE(left->objects.empty());
}

TEST_F(HoldTest, AHoldThatIsCutShortGoesOnAfterARestart) {
  gateway.create("HLD001L8");
  gateway.write_files("HLD001L8", 2, 4, 100'000);
  gateway.archive("HLD001L8");
  ASSERT_OK(gateway.tapes->set_hold("HLD001L8", true));
  gateway.crash();
  gateway.open();
  gateway.settle();
  EXPECT_CODE(gateway.tapes->remove("HLD001L8"), write_protected);
  EXPECT_TRUE(segments_held("HLD001L8", true));
}

TEST_F(HoldTest, WhatStandsAgainstIt) {
  EXPECT_CODE(gateway.tapes->set_hold("NOTAPEL8", true), not_found);
  gateway.create("HLD001L8");
  ASSERT_OK(gateway.tapes->load("HLD001L8", 1));
  EXPECT_CODE(gateway.tapes->set_hold("HLD001L8", true), busy);
  ASSERT_OK(gateway.tapes->unload(1));
  ASSERT_OK(gateway.tapes->archive("HLD001L8"));
  EXPECT_CODE(gateway.tapes->set_hold("HLD001L8", true), conflict);
}

TEST_F(HoldTest, WormCartridgesAreHeldWhenTheyAreArchived) {
  TapeService::CreateRequest request;
  request.barcode = "WRM001L8";
  request.size_bytes = GiB;
  request.worm = true;
  ASSERT_OK(gateway.tapes->create(request));
  gateway.write_files("WRM001L8", 1, 4, 100'000);
  EXPECT_CODE(overwrite("WRM001L8"), write_protected);
  EXPECT_CODE(gateway.tapes->remove("WRM001L8"), write_protected);
  gateway.archive("WRM001L8");
  EXPECT_TRUE(segments_held("WRM001L8", true));
  EXPECT_CODE(gateway.tapes->remove("WRM001L8"), write_protected);
  // The operator's hold comes and goes; the cartridge's own stays.
  hold("WRM001L8", true);
  hold("WRM001L8", false);
  EXPECT_TRUE(segments_held("WRM001L8", true));
  gateway.retrieve("WRM001L8");
  EXPECT_CODE(gateway.tapes->remove("WRM001L8"), write_protected);
}

class RetentionTest : public HoldTest, public testing::WithParamInterface<const char*> {};

TEST_P(RetentionTest, NothingGoesBeforeItsTime) {
  PoolRow pool;
  pool.name = "LOCKED";
  pool.storage_class = "DEEP_ARCHIVE";
  pool.lock = GetParam();
  pool.lock_days = 30;
  ASSERT_OK(gateway.tapes->add_pool(pool));
  TapeService::CreateRequest request;
  request.barcode = "RET001L8";
  request.size_bytes = GiB;
  request.pool = "LOCKED";
  ASSERT_OK(gateway.tapes->create(request));
  gateway.write_files("RET001L8", 1, 4, 100'000);
  gateway.archive("RET001L8");
  EXPECT_CODE(gateway.tapes->remove("RET001L8"), write_protected);
  for (const char* below : {"segments/", "locked/"}) {
    const auto keys = objects("RET001L8", below);
    EXPECT_FALSE(keys.empty());
    for (const std::string& key : keys) {
      EXPECT_CODE(gateway.store->remove(key), write_protected);
      const auto lock = gateway.store->lock_of(key);
      ASSERT_OK(lock);
      EXPECT_EQ(to_string(*lock->mode), GetParam());
    }
  }
  // Retrieved it can be read, and neither written nor deleted.
  gateway.retrieve("RET001L8");
  EXPECT_CODE(overwrite("RET001L8"), write_protected);
  EXPECT_CODE(gateway.tapes->remove("RET001L8"), write_protected);
  // A hold outlasts the retention, and an archival leaves both.
  hold("RET001L8", true);
  gateway.archive("RET001L8");
  gateway.clock().sleep_ms(40LL * 86'400'000);
  EXPECT_CODE(gateway.tapes->remove("RET001L8"), write_protected);
  EXPECT_TRUE(segments_held("RET001L8", true));
  hold("RET001L8", false);
  ASSERT_OK(gateway.tapes->remove("RET001L8"));
  gateway.settle();
  EXPECT_EQ(gateway.status("RET001L8"), TapeStatus::deleted);
}
INSTANTIATE_TEST_SUITE_P(Modes, RetentionTest, testing::Values("GOVERNANCE", "COMPLIANCE"));

}  // namespace
}  // namespace coldshelf::test
