// Cartridges that another gateway took over: what is here of them must never pass for the cartridge
// again, whatever ends the gateway at whichever moment, and goes when it is told to.
#include <gtest/gtest.h>

#include <set>

#include "base/log.h"
#include "tests/support/image_content.h"
#include "tests/support/image_rig.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kSize = 4 * MiB;
constexpr uint64_t kWritten = 1 * MiB;

class UploaderFenceTest : public testing::Test {
 protected:
  UploaderFenceTest()
      : a_(1, {}, {"sgw-A", &store_disk_, &clock_}), b_(2, {}, {"sgw-B", &store_disk_, &clock_}) {
    capture_log([](std::string_view) {});
    a_.run_once();
    b_.run_once();
  }
  ~UploaderFenceTest() override { capture_log(nullptr); }

  // Closed, and in the store.
  Uuid make_image(ImageRig& rig, const std::string& name, uint64_t seed) {
    const auto volume = rig.make_image(name, kSize);
    fill(*volume, 0, kWritten, seed);
    EXPECT_TRUE(volume->close().ok());
    EXPECT_TRUE(rig.run_until([&] { return rig.all_stored(volume->uuid()); }));
    return volume->uuid();
  }
  Uuid make_tape(ImageRig& rig, const std::string& barcode) {
    const Uuid id = rig.create(barcode);
    EXPECT_TRUE(rig.ownership().claim_barcode(barcode, id).ok());
    rig.write(id, 0, 8);
    EXPECT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
    return id;
  }
  static Shelf::AttachRequest taking(const std::string& image) {
    Shelf::AttachRequest out;
    out.image = image;
    out.take_over = out.force = true;
    return out;
  }
  // `by` writes something else to it.
  void take(ImageRig& by, const Uuid& image, const std::string& name, uint64_t seed) {
    ASSERT_TRUE(by.shelf().attach(taking(name)).ok());
    auto volume = by.open_image(image);
    ASSERT_TRUE(volume.ok()) << volume.error().message();
    fill(**volume, 0, kWritten, seed);
    ASSERT_TRUE((*volume)->close().ok());
    volume->reset();
    ASSERT_TRUE(by.run_until([&] { return by.all_stored(image); }));
  }
  // True: killed in it, and started anew.
  template <typename Work>
  static bool killed(ImageRig& rig, uint64_t events, const Work& work) {
    rig.kill_after(events);
    try {
      work();
      rig.kill_after(0);
      return false;
    } catch (const Killed&) {
    }
    rig.restart(events % 2 == 0);
    if (events % 3 == 0) rig.lose_catalog();
    EXPECT_TRUE(rig.ownership().open().ok());
    EXPECT_TRUE(rig.shelf().reconcile().ok());
    return true;
  }

  SimFileSystem store_disk_;
  SimClock clock_;
  ImageRig a_, b_;
};

TEST_F(UploaderFenceTest, ATakeoverThatWasCutShortIsDoneAgain) {
  bool was_killed = true;
  for (uint64_t events = 1; was_killed; ++events) {
    ASSERT_LT(events, 100U);
    const std::string barcode = "ABC" + std::to_string(100 + events) + "L8";
    const Uuid id = make_tape(a_, barcode);
    was_killed = killed(b_, events, [&] { EXPECT_TRUE(b_.shelf().take_over(barcode, true).ok()); });
    const auto again = b_.shelf().take_over(barcode, true);
    if (was_killed && !again.ok()) {
      EXPECT_EQ(again.error().code, ErrorCode::conflict) << again.error().message();
    }
    b_.knows(id, a_.records(id));
    const Status read = b_.read_all(id, 20);
    EXPECT_TRUE(read.ok()) << events << ": " << read.error().message();
    EXPECT_EQ(b_.status(id), TapeStatus::recovered);
  }
}

TEST_F(UploaderFenceTest, OneThatWasDownKnowsBeforeItServes) {
  const Uuid tape = make_tape(a_, "ABC001L8");
  const Uuid kept = make_tape(a_, "ABC002L8");
  const Uuid image = make_image(a_, "v", 1);
  clock_.advance_ms(5 * 60'000);
  b_.run_until([] { return false; }, 1'000);
  ASSERT_TRUE(b_.shelf().take_over("ABC001L8", false).ok());
  ASSERT_TRUE(b_.shelf().attach(taking("v")).ok());
  a_.restart(false);
  ASSERT_TRUE(a_.ownership().open().ok());
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  EXPECT_EQ(a_.shelf().check_owned(tape).error().code, ErrorCode::write_protected);
  EXPECT_EQ(a_.shelf().check_owned(image).error().code, ErrorCode::write_protected);
  EXPECT_TRUE(a_.shelf().check_owned(kept).ok());
}

TEST_F(UploaderFenceTest, TapesAreTakenBackOneAfterTheOther) {
  std::vector<Uuid> ids;
  for (const char* barcode : {"ABC001L8", "ABC002L8", "ABC003L8"}) {
    ids.push_back(make_tape(a_, barcode));
    ASSERT_TRUE(b_.shelf().take_over(barcode, true).ok());
    EXPECT_FALSE(a_.shelf().look_at_owner(ids.back()).ok());
  }
  for (const char* barcode : {"ABC001L8", "ABC002L8", "ABC003L8"}) {
    const auto row = a_.shelf().take_over(barcode, true);
    ASSERT_TRUE(row.ok()) << row.error().message();
    EXPECT_EQ(row->status, TapeStatus::recovered);
    EXPECT_EQ(row->problem, "");
  }
  for (const Uuid& id : ids) {
    EXPECT_TRUE(a_.shelf().check_owned(id).ok());
    EXPECT_TRUE(a_.read_all(id, 20).ok());
  }
}

TEST_F(UploaderFenceTest, WhatTheStoreDidNotAnswerForIsLookedAtLater) {
  const Uuid tape = make_tape(a_, "ABC001L8");
  clock_.advance_ms(5 * 60'000);
  b_.run_until([] { return false; }, 1'000);
  ASSERT_TRUE(b_.shelf().take_over("ABC001L8", false).ok());
  a_.restart(false);
  ASSERT_TRUE(a_.ownership().open().ok());
  a_.faulty().fail_next("get", Error(ErrorCode::unavailable, "away"), 3);
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  EXPECT_TRUE(a_.shelf().check_owned(tape).ok());
  EXPECT_TRUE(a_.run_until([&] { return !a_.shelf().check_owned(tape).ok(); }));
}

TEST_F(UploaderFenceTest, WhoIsAloneLooksNothingUp) {
  SimFileSystem disk;
  ImageRig alone(3, {}, {"sgw-C", &disk, &clock_});
  alone.run_once();
  for (const char* barcode : {"ABC001L8", "ABC002L8", "ABC003L8"}) make_tape(alone, barcode);
  alone.restart(false);
  ASSERT_TRUE(alone.ownership().open().ok());
  const uint64_t before = alone.faulty().calls("get");
  ASSERT_TRUE(alone.shelf().reconcile().ok());
  EXPECT_EQ(alone.faulty().calls("get"), before);
}

// Its copy is older than the image: neither a kill while it is taken back nor a lost catalog makes
// it the image.
TEST_F(UploaderFenceTest, AnOldCopyNeverPassesForTheImage) {
  bool was_killed = true;
  for (uint64_t events = 1; was_killed; ++events) {
    ASSERT_LT(events, 200U);
    const std::string name = "v" + std::to_string(events);
    const Uuid id = make_image(a_, name, events);
    take(b_, id, name, 1'000 + events);
    was_killed =
        killed(a_, events, [&] { EXPECT_TRUE(a_.shelf().attach(taking(id.to_string())).ok()); });
    if (a_.catalog().tape(id)->has_value() && a_.shelf().check_owned(id).ok()) {
      auto volume = a_.open_image(id);
      ASSERT_TRUE(volume.ok()) << volume.error().message();
      expect_content(**volume, 0, kWritten, 1'000 + events);
    }
    const auto again = a_.shelf().attach(taking(id.to_string()));
    EXPECT_TRUE(again.ok() || again.error().code == ErrorCode::exists) << again.error().message();
    EXPECT_TRUE(a_.shelf().check_owned(id).ok());
    auto volume = a_.open_image(id);
    ASSERT_TRUE(volume.ok()) << volume.error().message();
    expect_content(**volume, 0, kWritten, 1'000 + events);
    if (HasFailure()) FAIL() << "killed after " << events << " operations";
  }
}

TEST_F(UploaderFenceTest, AnImageThatIsTakenBackHasNoEpochTwice) {
  const Uuid id = make_image(a_, "v", 1);
  take(b_, id, "v", 2);
  take(a_, id, "v", 3);
  // Of B's next takeover only the owner comes to be; then A takes it once more.
  ASSERT_TRUE(b_.ownership().take_over(id, true).ok());
  const std::set<uint64_t> before = {a_.manifest(id).epoch, b_.manifest(id).epoch};
  ASSERT_TRUE(a_.shelf().attach(taking("v")).ok());
  EXPECT_FALSE(before.contains(a_.manifest(id).epoch));
}

TEST_F(UploaderFenceTest, AnImageThatWasTakenCanBeForgotten) {
  bool was_killed = true;
  for (uint64_t events = 1; was_killed; ++events) {
    ASSERT_LT(events, 100U);
    const std::string name = "v" + std::to_string(events);
    const Uuid id = make_image(a_, name, events);
    EXPECT_EQ(a_.shelf().forget(id, true).error().code, ErrorCode::conflict) << "it is its own";
    {
      auto volume = a_.open_image(id);
      ASSERT_TRUE(volume.ok());
      fill(**volume, 0, kWritten, 500);
      ASSERT_TRUE((*volume)->flush().ok());
    }
    take(b_, id, name, 1'000 + events);
    ASSERT_FALSE(a_.shelf().look_at_owner(id).ok());
    const Status refused = a_.shelf().forget(id, false);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().context.find("only here"), std::string::npos);
    was_killed = killed(a_, events, [&] { EXPECT_TRUE(a_.shelf().forget(id, true).ok()); });
    if (a_.catalog().tape(id)->has_value()) {
      EXPECT_FALSE(a_.shelf().check_owned(id).ok());
      EXPECT_TRUE(a_.shelf().forget(id, true).ok());
    }
    EXPECT_FALSE(a_.catalog().tape(id)->has_value());
    EXPECT_FALSE(*a_.disk().exists(a_.directory(id)));
    EXPECT_TRUE(b_.all_stored(id)) << "the store is as it was";
    if (HasFailure()) FAIL() << "killed after " << events << " operations";
  }
}

}  // namespace
}  // namespace coldshelf::test
