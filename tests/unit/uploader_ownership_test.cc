// Two gateways on one store: who may write, who finds out that it may not.
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/support/faulty_store.h"
#include "tests/support/plain_store.h"
#include "tests/support/shelf_rig.h"
#include "uploader/bucket_check.h"
#include "uploader/bucket_survey.h"
#include "uploader/bucket_takeover.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kDayMs = 24LL * 3'600'000;

class TwoGateways : public testing::Test {
 protected:
  TwoGateways() {
    a_.run_once();
    b_.run_once();
  }
  Sharing sharing(const char* gateway) { return {gateway, &store_disk_, &clock_}; }
  Uuid create(ShelfRig& rig, const std::string& barcode) {
    const Uuid id = rig.create(barcode);
    EXPECT_TRUE(rig.ownership().claim_barcode(barcode, id).ok());
    return id;
  }
  static bool idle(ShelfRig& rig, const Uuid& id) {
    rig.run_once();
    return rig.run_until([&] {
      const TapeRow row = **rig.catalog().tape(id);
      return row.uploaded_manifest_generation == row.manifest_generation &&
             rig.all_in_state(id, SegmentState::verified);
    });
  }
  static void archive(ShelfRig& rig, const Uuid& id) {
    rig.run_once();  // its lease, while the other one was busy
    const auto job = rig.shelf().archive(id);
    ASSERT_TRUE(job.ok()) << job.error().message();
    ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::archived; }))
        << (*rig.catalog().tape(id))->problem;
    rig.run_until([&] { return !(*rig.catalog().unfinished_job(id)).has_value(); });
  }
  static void retrieve(ShelfRig& rig, const Uuid& id) {
    rig.run_once();
    const auto job = rig.shelf().retrieve(id, RestoreTier::standard, 3);
    ASSERT_TRUE(job.ok()) << job.error().message();
    ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::retrieved; }))
        << (*rig.catalog().tape(id))->problem;
  }
  static void restart(ShelfRig& rig) {
    rig.restart(false);
    ASSERT_TRUE(rig.ownership().open().ok());
    const Status done = rig.shelf().reconcile();
    ASSERT_TRUE(done.ok()) << done.error().message();
  }
  Uuid archived_by_a_retrieved_by_b() {
    const Uuid id = create(a_, "ABC001L8");
    a_.write(id, 0, 30);
    EXPECT_TRUE(idle(a_, id));
    archive(a_, id);
    EXPECT_TRUE(b_.shelf().import_from_shelf("ABC001L8").ok());
    b_.knows(id, a_.records(id));
    retrieve(b_, id);
    return id;
  }
  static std::optional<Owner> owner(ShelfRig& rig, const Uuid& id) {
    auto found = rig.ownership().owner_of(id);
    EXPECT_TRUE(found.ok());
    return found.ok() ? *found : std::nullopt;
  }

  SimClock clock_;
  SimFileSystem store_disk_;
  ShelfRig a_{1, {}, sharing("sgw-A")};
  ShelfRig b_{2, {}, sharing("sgw-B")};
};

TEST_F(TwoGateways, WhatOneArchivesTheOtherRetrieves) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 30);
  ASSERT_TRUE(idle(a_, id));
  EXPECT_EQ(owner(a_, id)->state, OwnerState::owned);
  // In A's library: not B's to have.
  EXPECT_EQ(b_.shelf().import_from_shelf("ABC001L8").error().code, ErrorCode::conflict);
  archive(a_, id);
  EXPECT_EQ(owner(a_, id)->state, OwnerState::shelved);

  ASSERT_TRUE(b_.shelf().import_from_shelf("ABC001L8").ok());
  b_.knows(id, a_.records(id));
  retrieve(b_, id);
  EXPECT_EQ(owner(b_, id)->gateway, "sgw-B");
  const Status read = b_.read_all(id, 20);
  EXPECT_TRUE(read.ok()) << read.error().message();
  // Now it is B's: A knows it as archived, and is told.
  const auto refused = a_.shelf().retrieve(id, RestoreTier::standard, 3);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("sgw-B"), std::string::npos);
  EXPECT_EQ(a_.shelf().remove(id).error().code, ErrorCode::conflict);

  archive(b_, id);
  retrieve(a_, id);
  EXPECT_TRUE(a_.read_all(id, 20).ok());
  EXPECT_FALSE(a_.fenced(id));
}

// A put that was given up may be carried out while its condition is true: never again, then.
TEST_F(TwoGateways, TheSameManifestPutAgainHasAnotherETag) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 30);
  ASSERT_TRUE(idle(a_, id));
  const Manifest before = *a_.stored_manifest(id);
  std::set<std::string> etags{a_.store().head(manifest_key(id))->etag};
  for (int again = 0; again < 3; ++again) {
    a_.lose_catalog();
    ASSERT_TRUE(a_.ownership().open().ok());
    ASSERT_TRUE(a_.shelf().reconcile().ok());
    ASSERT_TRUE(idle(a_, id));
    EXPECT_EQ(*a_.stored_manifest(id), before);
    EXPECT_TRUE(etags.insert(a_.store().head(manifest_key(id))->etag).second);
  }
}

// A give-back that was given up before would find its condition true else, and take it off again.
TEST_F(TwoGateways, WhoTakesItOnceMorePutsItsOwnerOnceMore) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 30);
  ASSERT_TRUE(idle(a_, id));
  archive(a_, id);
  std::set<std::string> etags;
  const auto changed = [&] { return etags.insert(a_.store().head(owner_key(id))->etag).second; };
  ASSERT_TRUE(changed());
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(b_.ownership().acquire(id).ok());
    EXPECT_TRUE(changed());
  }
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(b_.ownership().shelve(id).ok());
    EXPECT_TRUE(changed());
  }
  ASSERT_TRUE(b_.ownership().ensure_owned(id).ok());
  EXPECT_FALSE(changed()) << "that changes nothing";
}

// The catalog of a gateway is lost that has archived a tape: what it was since then, the store
// knows.
TEST_F(TwoGateways, WhatWasDeletedFromTheShelfStaysSoAfterALostCatalog) {
  const Uuid id = archived_by_a_retrieved_by_b();
  const auto job = b_.shelf().remove(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_TRUE(b_.run_until([&] { return b_.status(id) == TapeStatus::deleted; }));
  a_.lose_catalog();
  ASSERT_TRUE(a_.ownership().open().ok());
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  a_.run_until([] { return false; }, 10 * 60'000);
  EXPECT_EQ(a_.status(id), TapeStatus::archived);
  EXPECT_FALSE(a_.stored_manifest(id).has_value());
  EXPECT_FALSE(owner(a_, id).has_value());
}

TEST_F(TwoGateways, ATakeoverCutShortIsNoArchivalAfterALostCatalog) {
  const Uuid id = archived_by_a_retrieved_by_b();
  // Of A's takeover nothing came to be but the owner.
  ASSERT_TRUE(a_.ownership().take_over(id, true).ok());
  a_.lose_catalog();
  ASSERT_TRUE(a_.ownership().open().ok());
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  a_.run_until([] { return false; }, 10 * 60'000);
  EXPECT_EQ(a_.stored_manifest(id)->properties.at("status"), "RETRIEVED") << "B's, untouched";
  EXPECT_EQ(owner(a_, id)->state, OwnerState::owned);
  const auto taken = a_.shelf().take_over("ABC001L8", true);
  ASSERT_TRUE(taken.ok()) << taken.error().message();
  EXPECT_TRUE(a_.shelf().check_owned(id).ok());
}

// Else a rebuild would go on with it, and whoever restarts be shut out.
TEST_F(TwoGateways, ADeletionThatIsRefusedLeavesTheOwnerAlone) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 12);
  ASSERT_TRUE(idle(a_, id));
  const std::string before = a_.store().head(owner_key(id))->etag;
  const auto job =
      a_.catalog().add_job(make_job(JobKind::verify, id, "ABC001L8", clock_.unix_ms()));
  ASSERT_TRUE(job.ok());
  const auto refused = a_.shelf().remove(id);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("verify job"), std::string::npos);
  EXPECT_EQ(a_.store().head(owner_key(id))->etag, before);
  restart(a_);
  EXPECT_TRUE(a_.shelf().check_owned(id).ok());
  EXPECT_EQ(owner(a_, id)->state, OwnerState::owned);
}

TEST_F(TwoGateways, WhoIsKilledWhileADeletionIsAskedForHasItOrHasNotAskedForIt) {
  bool was_killed = true;
  for (uint64_t events = 1; was_killed; ++events) {
    ASSERT_LT(events, 20U);
    const Uuid id = create(a_, "ABC" + std::to_string(100 + events) + "L8");
    a_.write(id, 0, 8);
    ASSERT_TRUE(idle(a_, id));
    was_killed = false;
    a_.kill_after(events);
    try {
      ASSERT_TRUE(a_.shelf().remove(id).ok());
    } catch (const Killed&) {
      was_killed = true;
    }
    a_.kill_after(0);
    const bool asked = (*a_.catalog().unfinished_job(id)).has_value();
    restart(a_);
    a_.run_until([] { return false; }, 5'000);
    EXPECT_FALSE(a_.fenced(id));
    EXPECT_EQ(a_.status(id), asked ? TapeStatus::deleted : TapeStatus::available);
    EXPECT_EQ(a_.stored_manifest(id).has_value(), !asked);
  }
}

TEST_F(TwoGateways, ADeletionThatNeverBeganIsTakenBack) {
  const Uuid here = create(a_, "ABC001L8");
  const Uuid shelved = create(a_, "ABC002L8");
  for (const Uuid& id : {here, shelved}) {
    a_.write(id, 0, 12);
    ASSERT_TRUE(idle(a_, id));
  }
  archive(a_, shelved);
  for (const Uuid& id : {here, shelved}) ASSERT_TRUE(a_.ownership().begin_delete(id).ok());
  restart(a_);
  EXPECT_TRUE(a_.shelf().check_owned(here).ok());
  EXPECT_EQ(owner(a_, here)->state, OwnerState::owned);
  a_.write(here, 12, 4);
  EXPECT_TRUE(idle(a_, here));
  retrieve(a_, shelved);
  EXPECT_EQ(owner(a_, shelved)->state, OwnerState::owned);
  EXPECT_TRUE(a_.read_all(shelved, 20).ok());
}

TEST_F(TwoGateways, ADeletionThatBeganIsNotTakenBack) {
  const Uuid id = create(a_, "ABC001L8");
  const Uuid lost = create(a_, "ABC002L8");
  for (const Uuid& tape : {id, lost}) {
    a_.write(tape, 0, 30);
    ASSERT_TRUE(idle(a_, tape));
  }
  ASSERT_TRUE(a_.shelf().remove(id).ok());
  ASSERT_TRUE(a_.run_until([&] { return !a_.stored_manifest(id).has_value(); }));
  restart(a_);
  EXPECT_EQ(owner(a_, id)->state, OwnerState::deleting);
  EXPECT_TRUE(a_.run_until([&] { return a_.status(id) == TapeStatus::deleted; }));
  // One that nothing here remembers: what has gone of it, nobody knows.
  ASSERT_TRUE(a_.ownership().begin_delete(lost).ok());
  ASSERT_TRUE(a_.store().remove(manifest_key(lost)).ok());
  a_.lose_catalog();
  ASSERT_TRUE(a_.ownership().open().ok());
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  const Status shut_out = a_.shelf().check_owned(lost);
  ASSERT_FALSE(shut_out.ok());
  EXPECT_NE(shut_out.error().context.find("delete it once more"), std::string::npos);
  ASSERT_TRUE(a_.shelf().remove(lost).ok());
  EXPECT_TRUE(a_.run_until([&] { return a_.status(lost) == TapeStatus::deleted; }));
}

TEST_F(TwoGateways, WhatAnotherTakesBeforeItsDeletionBeginsIsNotDeleted) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 12);
  ASSERT_TRUE(idle(a_, id));
  archive(a_, id);
  const auto job = a_.shelf().remove(id);
  ASSERT_TRUE(job.ok());
  ASSERT_TRUE(b_.ownership().acquire(id).ok());
  a_.run_until([&] { return !(*a_.catalog().unfinished_job(id)).has_value(); });
  EXPECT_EQ((*a_.catalog().job(*job))->state, JobState::failed);
  EXPECT_EQ(a_.status(id), TapeStatus::archived);
  EXPECT_EQ(owner(a_, id)->gateway, "sgw-B");
  EXPECT_TRUE(a_.stored_manifest(id).has_value());
}

TEST_F(TwoGateways, ASurveyIsOneLookHoweverManyAsk) {
  const Uuid shelved = create(a_, "ABC002L8");
  a_.write(shelved, 0, 30);
  const Uuid held = create(a_, "ABC001L8");
  ASSERT_TRUE(idle(a_, shelved));
  ASSERT_TRUE(idle(a_, held));
  archive(a_, shelved);

  SeededRandom random(8);
  FaultyStore store(b_.store(), clock_, random);
  std::promise<void> looking, go_on;
  std::shared_future<void> may_go_on = go_on.get_future().share();
  std::once_flag first;
  store.watch([&](const char* operation, const std::string&, bool after) {
    if (after || std::string_view(operation) != "list") return;
    std::call_once(first, [&] { looking.set_value(); });
    may_go_on.wait();
  });
  BucketSurvey survey(store, clock_);
  auto one = std::async(std::launch::async, [&] { return survey.tapes(); });
  looking.get_future().wait();
  auto two = std::async(std::launch::async, [&] { return survey.tapes(); });
  EXPECT_EQ(two.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  go_on.set_value();
  const auto found = one.get();
  ASSERT_TRUE(found.ok());
  ASSERT_EQ((*found)->size(), 2U);
  EXPECT_EQ((**found)[0].barcode, "ABC001L8");
  EXPECT_EQ((**found)[0].owner.state, OwnerState::owned);
  EXPECT_EQ((**found)[1].owner.state, OwnerState::shelved);
  EXPECT_GT((**found)[1].stored_bytes, 0U);
  EXPECT_EQ(*two.get(), *found);  // the same one
  EXPECT_EQ(store.calls("list"), 1U);

  // One that ended is good for further pages, for a while; who begins anew gets what is true now.
  EXPECT_EQ(*survey.tapes(60'000), *found);
  clock_.advance_ms(60'000);
  EXPECT_NE(*survey.tapes(60'000), *found);
  EXPECT_EQ(store.calls("list"), 2U);
  store.fail_next("list", Error(ErrorCode::unavailable, "no answer"));
  EXPECT_EQ(survey.tapes().error().code, ErrorCode::unavailable);
  EXPECT_TRUE(survey.tapes(60'000).ok());  // a failure is nobody else's
  EXPECT_EQ(store.calls("list"), 4U);
}

TEST_F(TwoGateways, ABarcodeIsOneTapesInTheStore) {
  const Uuid id = create(a_, "ABC001L8");
  ASSERT_TRUE(idle(a_, id));
  SeededRandom random(7);
  const Status taken = b_.ownership().claim_barcode("ABC001L8", Uuid::generate(random));
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, ErrorCode::exists);
  // A claim that nothing came of is taken over by the next tape, of the same gateway alone.
  const Uuid never = Uuid::generate(random);
  ASSERT_TRUE(b_.ownership().claim_barcode("ABC002L8", never).ok());
  const Uuid next = Uuid::generate(random);
  EXPECT_EQ(a_.ownership().claim_barcode("ABC002L8", next).error().code, ErrorCode::exists);
  EXPECT_TRUE(b_.ownership().claim_barcode("ABC002L8", next).ok());
  EXPECT_EQ(b_.ownership().find_barcode("ABC002L8")->cartridge, next);
}

TEST_F(TwoGateways, APausedOwnerDoesNoHarmWhenItComesBack) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 20);
  ASSERT_TRUE(idle(a_, id));
  const std::vector<uint64_t> uploaded = a_.records(id);
  a_.write(id, SIZE_MAX, 20);  // sealed here, and A is stopped before it goes up
  // Alive: it keeps its tape.
  EXPECT_EQ(b_.shelf().take_over("ABC001L8", false).error().code, ErrorCode::conflict);
  clock_.advance_ms(10 * 60'000);
  b_.run_once();
  const auto taken = b_.shelf().take_over("ABC001L8", false);
  ASSERT_TRUE(taken.ok()) << taken.error().message();
  EXPECT_EQ(taken->status, TapeStatus::recovered);
  const Manifest theirs = *b_.stored_manifest(id);
  EXPECT_EQ(theirs.epoch, 1U << 16);
  EXPECT_TRUE(theirs.write_protected);

  // A goes on: it takes its lease again, looks, and leaves the tape alone.
  ASSERT_TRUE(a_.run_until([&] { return a_.fenced(id); }));
  a_.run_until([] { return false; }, 5 * 60'000);
  EXPECT_EQ(*b_.stored_manifest(id), theirs);
  EXPECT_EQ(owner(a_, id)->gateway, "sgw-B");
  EXPECT_FALSE(a_.shelf().check_owned(id).ok());
  EXPECT_NE((*a_.catalog().tape(id))->problem.find("sgw-B"), std::string::npos);
  // After a restart it still knows.
  a_.restart(false);
  ASSERT_TRUE(a_.shelf().reconcile().ok());
  EXPECT_FALSE(a_.shelf().check_owned(id).ok());
  a_.run_until([] { return false; }, 60'000);
  EXPECT_EQ(*b_.stored_manifest(id), theirs);

  b_.knows(id, uploaded);
  EXPECT_TRUE(b_.read_all(id, 20).ok());
}

TEST_F(TwoGateways, AManifestPutInTheMeantimeIsFoundByItsCondition) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 8);
  ASSERT_TRUE(idle(a_, id));
  b_.run_once();
  // The takeover happens between A's check of its lease and its put: no clock can tell.
  ASSERT_TRUE(b_.shelf().take_over("ABC001L8", true).ok());
  const Manifest theirs = *b_.stored_manifest(id);
  a_.write(id, SIZE_MAX, 8);
  ASSERT_TRUE(a_.run_until([&] { return a_.fenced(id); }));
  EXPECT_EQ(*b_.stored_manifest(id), theirs);
}

TEST_F(TwoGateways, WhatIsHereOfATapeThatWasTakenCanBeForgotten) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 8);
  ASSERT_TRUE(idle(a_, id));
  EXPECT_EQ(a_.shelf().forget(id, true).error().code, ErrorCode::conflict) << "it is its own";
  b_.run_once();
  ASSERT_TRUE(b_.shelf().take_over("ABC001L8", true).ok());
  const Manifest theirs = *b_.stored_manifest(id);
  a_.write(id, SIZE_MAX, 8);
  ASSERT_TRUE(a_.run_until([&] { return a_.fenced(id); }));
  const Status refused = a_.shelf().forget(id, false);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("only here"), std::string::npos);
  EXPECT_TRUE(a_.disk().content(a_.directory(id) + "/manifest").ok()) << "still here";

  ASSERT_TRUE(a_.shelf().forget(id, true).ok());
  EXPECT_FALSE(a_.catalog().tape(id)->has_value());
  EXPECT_FALSE(a_.disk().content(a_.directory(id) + "/manifest").ok());
  a_.run_until([] { return false; }, 5'000);
  EXPECT_EQ(*b_.stored_manifest(id), theirs) << "the store is as it was";
  EXPECT_EQ(a_.shelf().forget(id, true).error().code, ErrorCode::not_found);
  // One of which the store has everything goes without force.
  archive(b_, id);
  ASSERT_TRUE(a_.shelf().import_from_shelf("ABC001L8").ok());
  retrieve(a_, id);
  ASSERT_TRUE(b_.shelf().take_over("ABC001L8", true).ok());
  clock_.advance_ms(61'000);
  EXPECT_TRUE(a_.run_until([&] { return a_.shelf().forget(id, false).ok(); }));
  EXPECT_FALSE(a_.catalog().tape(id)->has_value());
}

// The store fails in the middle of a retrieval, and again when the tape is to be given back.
TEST_F(TwoGateways, ATapeThatWasNotGivenBackIsGivenBackLater) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 8);
  ASSERT_TRUE(idle(a_, id));
  archive(a_, id);
  StoreFaults faults;
  faults.error_one_in = 3;
  a_.faulty().set_faults(faults);
  bool kept = false;
  for (int i = 0; i < 1'000 && !kept; ++i) {
    const auto begun = a_.shelf().retrieve(id, RestoreTier::standard, 3);
    if (begun.ok()) {  // not so this time
      a_.faulty().set_faults({});
      ASSERT_TRUE(a_.run_until([&] { return a_.status(id) == TapeStatus::retrieved; }));
      archive(a_, id);
      a_.faulty().set_faults(faults);
    }
    kept = owner(b_, id)->state == OwnerState::owned;
  }
  ASSERT_TRUE(kept);
  a_.faulty().set_faults({});
  EXPECT_EQ(a_.status(id), TapeStatus::archived);
  ASSERT_TRUE(a_.run_until([&] { return owner(b_, id)->state == OwnerState::shelved; }, 60'000));
  ASSERT_TRUE(b_.shelf().import_from_shelf("ABC001L8").ok());
  b_.knows(id, a_.records(id));
  retrieve(b_, id);
}

TEST_F(TwoGateways, ALeaseThatCannotBeRenewedStopsUploadsAndNotWriting) {
  const Uuid id = create(a_, "ABC001L8");
  ASSERT_TRUE(idle(a_, id));
  const Error away(ErrorCode::unavailable, "away");
  a_.faulty().fail_next("put", away, 1'000);
  clock_.advance_ms(61'000);
  a_.run_once();
  EXPECT_EQ(a_.ownership().may_write().error().code, ErrorCode::unavailable);
  a_.write(id, 0, 20);
  const uint64_t lease_tries = a_.faulty().calls("put");
  a_.run_until([] { return false; }, 20'000);
  // Its lease alone is tried.
  EXPECT_LT(a_.faulty().calls("put") - lease_tries, 40U);
  a_.faulty().fail_next("put", away, 0);
  ASSERT_TRUE(idle(a_, id));
  EXPECT_FALSE(a_.fenced(id));
}

TEST_F(TwoGateways, ARebuiltGatewayShutsTheOldOneOut) {
  GatewayIdentity again{"sgw-A", "rebuilt", "elsewhere", "another-instance"};
  Ownership::Options options;
  {
    Ownership stranger({&b_.store(), &clock_}, again, options);
    EXPECT_EQ(stranger.open().error().code, ErrorCode::conflict);
  }
  options.take_identity = true;
  Ownership rebuilt({&b_.store(), &clock_}, again, options);
  ASSERT_TRUE(rebuilt.open().ok());
  EXPECT_EQ(rebuilt.view().lease.epoch, 2U);
  const Uuid id = create(a_, "ABC001L8");  // its lease has not run out yet
  a_.write(id, 0, 4);
  bool told = false;
  a_.ownership().on_lost([&](const Error&) { told = true; });
  clock_.advance_ms(11'000);
  a_.run_once();
  EXPECT_TRUE(told);
  EXPECT_EQ(a_.ownership().may_write().error().code, ErrorCode::write_protected);
}

// Another directory, a disk that is not mounted, a copy of last month's.
TEST_F(TwoGateways, AStoreThatDoesNotKnowTheGatewayIsNotItsStore) {
  const GatewayIdentity self{"sgw-C", "c", "host", "i"};
  Ownership::Options options;
  options.known_epoch = 3;
  Ownership lost({&b_.store(), &clock_}, self, options);
  const Status refused = lost.open();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  for (const char* part : {"sgw-C", "store.path", "--adopt-store"}) {
    EXPECT_NE(refused.error().context.find(part), std::string::npos) << refused.error().context;
  }
  EXPECT_FALSE(lost.store_known());
  EXPECT_EQ(b_.store().head(lease_key("sgw-C")).error().code, ErrorCode::not_found);

  uint64_t told = 0;
  options.adopt_store = true;
  Ownership adopted({&b_.store(), &clock_}, self, options);
  adopted.on_epoch([&](uint64_t epoch) { told = epoch; });
  ASSERT_TRUE(adopted.open().ok());
  EXPECT_EQ(told, 4U) << "no owner that this gateway wrote before has a later one";
  EXPECT_TRUE(adopted.store_known());

  options.adopt_store = false;
  options.known_epoch = 5;
  Ownership older({&b_.store(), &clock_}, self, options);
  EXPECT_EQ(older.open().error().code, ErrorCode::not_found);
  options.known_epoch = 4;
  Ownership right({&b_.store(), &clock_}, self, options);
  ASSERT_TRUE(right.open().ok());
  EXPECT_EQ(right.view().lease.epoch, 5U);
}

// A store that was away at the start is looked at when it answers, and again when it was the wrong
// one: a disk is mounted late.
TEST_F(TwoGateways, AStoreThatAnswersLateIsAskedThen) {
  Ownership::Options options;
  options.known_epoch = 1;
  Ownership late({&b_.faulty(), &clock_}, {"sgw-C", "c", "host", "i"}, options);
  b_.faulty().fail_next("", Error(ErrorCode::unavailable, "away"), 1'000);
  ASSERT_TRUE(late.open().ok());
  b_.faulty().fail_next("", Error(ErrorCode::unavailable, "away"), 0);
  clock_.advance_ms(1'000);
  EXPECT_TRUE(late.tick());
  EXPECT_EQ(late.may_write().error().code, ErrorCode::unavailable);
  EXPECT_NE(late.view().problem.find("does not know gateway"), std::string::npos);
  const Buffer lease = encode_lease({"sgw-C", "c", "host", "i", 1, 0, {}});
  ASSERT_TRUE(b_.store().put(lease_key("sgw-C"), source_of(lease), {}).ok());
  clock_.advance_ms(10'000);
  EXPECT_TRUE(late.tick());
  EXPECT_TRUE(late.may_write().ok());
  EXPECT_EQ(late.view().lease.epoch, 2U);
}

TEST_F(TwoGateways, NothingIsEvictedBeforeTheLeaseWasTaken) {
  ShelfOptions small;
  small.cache_limit_bytes = 1;
  ShelfRig rig(7, small, sharing("sgw-C"));
  rig.run_once();
  const Uuid id = create(rig, "ABC002L8");
  const auto set_pinned = [&](const char* value) {
    auto opened = Cartridge::open(rig.cartridge_env(), rig.cartridge_options(), rig.directory(id));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->set_property(std::string(kPinnedProperty), value).ok());
    ASSERT_TRUE((*opened)->close().ok());
  };
  set_pinned("true");
  rig.write(id, 0, 30);
  ASSERT_TRUE(idle(rig, id));
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  set_pinned("false");
  for (int i = 0; i < 1'000; ++i) {
    if (!rig.shelf().run_once()) clock_.advance_ms(25);
  }
  EXPECT_TRUE(rig.all_in_state(id, SegmentState::verified));
  EXPECT_TRUE(rig.run_until([&] { return rig.all_in_state(id, SegmentState::evicted); }, 60'000));
}

// Its new owner may have dropped it, in the store too.
TEST_F(TwoGateways, WhatIsHereOfATapeThatWasTakenStays) {
  ShelfOptions small;
  small.cache_limit_bytes = 40 * KiB;
  ShelfRig rig(7, small, sharing("sgw-C"));
  rig.run_once();
  const Uuid id = create(rig, "ABC002L8");
  rig.write(id, 0, 12);
  ASSERT_TRUE(rig.run_until([&] {
    const auto stored = rig.stored_manifest(id);
    return stored && *stored == rig.manifest(id);
  }));
  const size_t here = rig.local_segments(id);
  ASSERT_GE(here, 1U);
  b_.run_once();
  const auto taken = b_.shelf().take_over("ABC002L8", true);
  ASSERT_TRUE(taken.ok()) << taken.error().message();
  EXPECT_FALSE(rig.shelf().look_at_owner(id).ok());
  rig.run_once();
  const Uuid other = create(rig, "ABC003L8");
  rig.write(other, 0, 60);
  rig.run_until([] { return false; }, 60'000);
  EXPECT_EQ(rig.local_segments(id), here);
  EXPECT_LT(rig.local_segments(other), 3U);
}

TEST_F(TwoGateways, WithoutConditionsAGatewayStaysAlone) {
  PlainStore plain(b_.store());
  Ownership alone({&plain, &clock_}, {"sgw-C", "c", "host", "i"}, {});
  const Status refused = alone.open();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("sgw-A"), std::string::npos);

  SimFileSystem other_disk;
  LocalDirectoryOptions local;
  local.root = "/other";
  auto other = LocalDirectoryStore::open(other_disk, clock_, local);
  ASSERT_TRUE(other.ok());
  PlainStore empty(**other);
  Ownership lone({&empty, &clock_}, {"sgw-C", "c", "host", "i"}, {});
  ASSERT_TRUE(lone.open().ok());
  EXPECT_TRUE(lone.may_write().ok());
  EXPECT_FALSE(lone.conditional());
  SeededRandom random(3);
  EXPECT_EQ(lone.take_over(Uuid::generate(random), true).error().code, ErrorCode::not_supported);
}

TEST_F(TwoGateways, VerifyFindsWhatIsMissingDamagedAndLeftOver) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 40);
  ASSERT_TRUE(idle(a_, id));
  const auto buffers = BufferPool::create(1 * MiB);
  StoreCheckOptions deep;
  deep.deep = true;
  for (const StoreCheckOptions& how : {StoreCheckOptions{}, deep}) {
    const auto clean = check_store(a_.store(), clock_, *buffers, how);
    ASSERT_TRUE(clean.ok()) << clean.error().message();
    EXPECT_EQ(clean->problems_total, 0U);
    EXPECT_EQ(clean->orphans, 0U);
    EXPECT_GE(clean->segments, 3U);
  }
  const std::vector<SegmentEntry> entries = a_.manifest(id).partitions[0].segments;
  const auto key = [&](size_t i) { return segment_key(id, entries[i].sequence, entries[i].epoch); };
  ASSERT_TRUE(a_.store().remove(key(0)).ok());
  // Another content of the same size: the listing cannot tell, the bytes can.
  Buffer wrong = *a_.store().get_all(key(1));
  wrong[wrong.size() / 2] ^= std::byte{1};
  ASSERT_TRUE(a_.store().put(key(1), source_of(wrong), PutOptions()).ok());
  ASSERT_TRUE(a_.store().put(segment_key(id, 9'999, 1), source_of(wrong), PutOptions()).ok());
  const auto quick = check_store(a_.store(), clock_, *buffers, {});
  ASSERT_TRUE(quick.ok());
  EXPECT_EQ(quick->problems_total, 1U);
  EXPECT_EQ(quick->orphans, 1U);
  const auto thorough = check_store(a_.store(), clock_, *buffers, deep);
  ASSERT_TRUE(thorough.ok());
  EXPECT_EQ(thorough->problems_total, 2U);
  // The manifest itself.
  ASSERT_TRUE(a_.store().put(manifest_key(id), source_of(wrong), PutOptions()).ok());
  const auto broken = check_store(a_.store(), clock_, *buffers, {});
  ASSERT_TRUE(broken.ok());
  EXPECT_EQ(broken->problems_total, 1U);
  EXPECT_EQ(broken->problems[0].kind, "manifest");
}

// A gateway that writes drops segments: what its manifest named a moment ago is not missing.
TEST_F(TwoGateways, VerifyBesideAWriterFindsNothing) {
  const auto buffers = BufferPool::create(1 * MiB);
  StoreCheckOptions quick;
  quick.threads = 1;
  for (const bool deleted : {false, true}) {
    const Uuid id = create(a_, deleted ? "ABC001L8" : "ABC002L8");
    a_.write(id, 0, 40);
    ASSERT_TRUE(idle(a_, id));
    bool written = false;
    b_.faulty().watch([&](const char* operation, const std::string& key, bool) {
      if (written || std::string_view(operation) != "get") return;
      if (!key.ends_with(".seg") || key.find(id.to_string()) == std::string::npos) return;
      written = true;
      if (deleted) {
        ASSERT_TRUE(a_.shelf().remove(id).ok());
        ASSERT_TRUE(a_.run_until([&] { return a_.status(id) == TapeStatus::deleted; }));
        return;
      }
      a_.write(id, 4, 30);
      ASSERT_TRUE(idle(a_, id));
    });
    const auto report = check_store(b_.faulty(), clock_, *buffers, quick);
    b_.faulty().watch({});
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(written);
    EXPECT_EQ(report->problems_total, 0U) << report->problems[0].key << report->problems[0].what;
  }
}

TEST_F(TwoGateways, GarbageGoesAndWhatMayBeAnUploadStays) {
  const Uuid id = create(a_, "ABC001L8");
  a_.write(id, 0, 40);
  a_.write(id, 40, 4);  // of another epoch than the first segment
  ASSERT_TRUE(idle(a_, id));
  const Buffer junk(1'000);
  const Manifest manifest = a_.manifest(id);
  const auto put = [&](const std::string& key) {
    ASSERT_TRUE(a_.store().put(key, source_of(junk), PutOptions()).ok());
  };
  const std::string passed = segment_key(id, manifest.next_sequence - 1, manifest.epoch - 1);
  const std::string skipped = segment_key(id, 0, manifest.epoch);
  const std::string coming = segment_key(id, manifest.next_sequence + 3, manifest.epoch);
  const std::string later = segment_key(id, manifest.next_sequence, manifest.epoch + 1);
  SeededRandom random(5);
  const Uuid nobody = Uuid::generate(random);
  const Uuid begun = Uuid::generate(random);
  const std::string left = segment_key(nobody, 0, 1);
  const std::string first = segment_key(begun, 0, 1);
  b_.run_once();
  ASSERT_TRUE(b_.ownership().claim_barcode("NEW001L8", begun).ok());
  const std::string probe = "probe-0123456789abcdef", refused = probe + "-not";
  const std::string like_it = "probe-of-somebody", folder = probe + "/x";
  for (const auto& key : {passed, skipped, coming, later, left, first}) put(key);
  for (const auto& key : {probe, refused, like_it, folder}) put(key);
  StoreGcOptions options;
  options.threads = 1;
  const auto young = collect_store_garbage(b_.store(), clock_, options);
  ASSERT_TRUE(young.ok()) << young.error().message();
  EXPECT_EQ(young->deleted, 0U);
  clock_.advance_ms(8 * kDayMs);
  options.dry_run = true;
  EXPECT_EQ(collect_store_garbage(b_.store(), clock_, options)->deleted, 5U);
  for (const auto& key : {passed, probe}) EXPECT_TRUE(b_.store().head(key).ok()) << key;
  options.dry_run = false;
  std::vector<std::string> ended;  // below another's prefix, or below none, strangers upload, too
  b_.faulty().watch([&](const char* operation, const std::string& key, bool after) {
    if (std::string_view(operation) == "abort_unfinished" && after) ended.push_back(key);
  });
  const auto done = collect_store_garbage(b_.faulty(), clock_, options);
  b_.faulty().watch({});
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(ended, (std::vector<std::string>{"cartridges/", "probe-"}));
  EXPECT_EQ(done->deleted, 5U);
  EXPECT_EQ(done->kept_living, 3U);
  for (const auto& key : {passed, skipped, left, probe, refused}) {
    EXPECT_FALSE(b_.store().head(key).ok()) << key;
  }
  for (const auto& key : {coming, later, first, like_it, folder}) {
    EXPECT_TRUE(b_.store().head(key).ok()) << key;
  }
  EXPECT_TRUE(a_.read_all(id).ok());
}

// The renewal's put changes the object whose condition the end of the lease is put under.
TEST(OwnershipStop, EndsTheLeaseThatIsJustBeingRenewed) {
  SimClock clock;
  SimFileSystem disk;
  SeededRandom random(1);
  LocalDirectoryOptions local;
  local.root = "/store";
  auto store = LocalDirectoryStore::open(disk, clock, local);
  ASSERT_TRUE(store.ok());
  FaultyStore watched(**store, clock, random);
  Ownership::Options options;
  Ownership ownership({&watched, &clock}, {"sgw-A", "sim", "host", "instance"}, options);
  ASSERT_TRUE(ownership.open().ok());
  clock.advance_ms(options.lease_ttl_ms / 2);
  std::promise<void> renewing, go_on;
  std::atomic<int> puts{0};
  watched.watch([&](const char* operation, const std::string& key, bool after) {
    if (operation != std::string("put") || key != lease_key("sgw-A") || after) return;
    if (puts++ != 0) return;
    renewing.set_value();
    go_on.get_future().wait();
  });
  ownership.start();
  renewing.get_future().wait();
  std::thread stopper([&] { ownership.stop(); });
  SystemClock().sleep_ms(20);  // it asks for the end while the put is under way
  go_on.set_value();
  stopper.join();
  EXPECT_EQ(puts, 2);
  const auto found = read_versioned(watched, lease_key("sgw-A"), 64 * KiB);
  ASSERT_TRUE(found.ok());
  const auto lease = decode_lease(found->content);
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(lease->expires_unix_ms, 0);
}

}  // namespace
}  // namespace coldshelf::test
