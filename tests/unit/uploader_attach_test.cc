// Images between gateways of one store, on the shelf of an archive class, and rebuilt.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/support/image_content.h"
#include "tests/support/image_rig.h"
#include "uploader/bucket_check.h"
#include "uploader/detached_document.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kSize = 8 * MiB;

// Two gateways on one store.
class UploaderAttachTest : public testing::Test {
 protected:
  UploaderAttachTest()
      : a(1, {}, {"sgw-A", &store_disk, &clock}), b(2, {}, {"sgw-B", &store_disk, &clock}) {
    capture_log([](std::string_view) {});
    a.run_once();
    b.run_once();
  }
  ~UploaderAttachTest() override { capture_log(nullptr); }

  // Closed, with everything in it sealed.
  Uuid make(ImageRig& rig, const std::string& name, uint64_t seed) {
    const auto volume = rig.make_image(name, kSize);
    fill(*volume, 0, 2 * MiB, seed);
    EXPECT_TRUE(volume->close().ok());
    return volume->uuid();
  }
  void detach(ImageRig& from, const Uuid& id) {
    const auto job = from.shelf().detach(id);
    ASSERT_TRUE(job.ok()) << job.error().message();
    ASSERT_TRUE(
        from.run_until([&] { return (*from.catalog().job(*job))->state >= JobState::succeeded; }));
    ASSERT_EQ((*from.catalog().job(*job))->state, JobState::succeeded)
        << (*from.catalog().job(*job))->error;
  }
  static Shelf::AttachRequest request(const std::string& image, bool take = false,
                                      bool force = false) {
    Shelf::AttachRequest out;
    out.image = image;
    out.take_over = take;
    out.force = force;
    return out;
  }

  // A clone of `source` as it is, of which 1 MiB was written anew; in the store, closed.
  Uuid stored_clone(ImageRig& rig, Volume& source, const std::string& name, uint64_t seed) {
    const auto point = source.create_point(name);
    EXPECT_TRUE(point.ok());
    const auto clone = rig.clone_image(source, point->id, name);
    EXPECT_TRUE(clone.ok()) << clone.error().message();
    fill(**clone, 0, 1 * MiB, seed);
    EXPECT_TRUE((*clone)->close().ok());
    EXPECT_TRUE(source.seal().ok());
    const Uuid id = (*clone)->uuid();
    EXPECT_TRUE(rig.run_until([&] { return rig.all_stored(id) && rig.all_stored(source.uuid()); }));
    return id;
  }
  void expect_clone(ImageRig& rig, const Uuid& id, uint64_t seed, uint64_t source_seed) {
    const auto moved = rig.open_image(id);
    ASSERT_TRUE(moved.ok()) << moved.error().message();
    expect_content(**moved, 0, 1 * MiB, seed);
    expect_content(**moved, 1 * MiB, 1 * MiB, source_seed);
  }

  SimFileSystem store_disk;
  SimClock clock;
  ImageRig a, b;
};

TEST_F(UploaderAttachTest, DetachedHereAttachedThere) {
  const Uuid id = make(a, "v", 1);
  EXPECT_EQ(b.shelf().attach(request("v")).error().code, ErrorCode::not_found)
      << "the store has not heard of it";
  ASSERT_TRUE(a.run_until([&] { return a.all_stored(id); }));
  EXPECT_EQ(b.shelf().attach(request("v")).error().code, ErrorCode::conflict);
  detach(a, id);
  EXPECT_FALSE(a.catalog().tape(id)->has_value());
  EXPECT_FALSE(a.disk().content(a.directory(id) + "/manifest").ok());
  const auto detached = b.shelf().detached_images();
  ASSERT_TRUE(detached.ok());
  ASSERT_EQ(detached->size(), 1U);
  EXPECT_EQ((*detached)[0].name, "v");
  EXPECT_EQ((*detached)[0].size_bytes, kSize);
  EXPECT_EQ((*detached)[0].gateway, "sgw-A");

  const Buffer document = *a.store().get_all(detached_key(id));

  const auto row = b.shelf().attach(request("v"));
  ASSERT_TRUE(row.ok()) << row.error().message();
  EXPECT_EQ(row->status, TapeStatus::available);
  EXPECT_EQ(b.shelf().attach(request("v")).error().code, ErrorCode::exists);
  EXPECT_EQ(a.shelf().attach(request("v")).error().code, ErrorCode::conflict);
  EXPECT_TRUE(b.shelf().detached_images()->empty());
  // Put once more, late: it says so no more, and goes.
  ASSERT_TRUE(a.store().put(detached_key(id), source_of(document), PutOptions()).ok());
  EXPECT_TRUE(b.shelf().detached_images()->empty());
  clock.advance_ms(1'000);
  StoreGcOptions gc;
  gc.threads = 1;
  gc.min_age_ms = 0;
  ASSERT_TRUE(collect_store_garbage(a.store(), clock, gc).ok());
  EXPECT_FALSE(a.store().head(detached_key(id)).ok());
  {
    auto volume = b.open_image(id);
    ASSERT_TRUE(volume.ok()) << volume.error().message();
    expect_content(**volume, 0, 2 * MiB, 1);
    fill(**volume, 1 * MiB, 2 * MiB, 2);
    ASSERT_TRUE((*volume)->close().ok());
  }
  ASSERT_TRUE(b.run_until([&] { return b.all_stored(id); }));
  // And back.
  detach(b, id);
  ASSERT_TRUE(a.shelf().attach(request(id.to_string())).ok());
  auto volume = a.open_image(id);
  ASSERT_TRUE(volume.ok()) << volume.error().message();
  expect_content(**volume, 0, 1 * MiB, 1);
  expect_content(**volume, 1 * MiB, 2 * MiB, 2);
}

TEST_F(UploaderAttachTest, ADetachThatIsInterruptedEndsAllTheSame) {
  for (uint64_t events = 1; events < 60; ++events) {
    const std::string name = "v" + std::to_string(events);
    const Uuid id = make(a, name, events);
    ASSERT_TRUE(a.run_until([&] { return a.all_stored(id); }));
    ASSERT_TRUE(a.shelf().detach(id).ok());
    a.kill_after(events);
    bool killed = false;
    try {
      for (int i = 0; i < 200; ++i) {
        if (!a.run_once()) clock.advance_ms(25);
      }
    } catch (const Killed&) {
      killed = true;
    }
    a.kill_after(0);
    if (killed) {
      a.restart(events % 2 == 0);
      a.run_once();
      ASSERT_TRUE(a.shelf().reconcile().ok());
    }
    ASSERT_TRUE(a.run_until([&] { return !a.catalog().tape(id)->has_value(); }, 600'000))
        << "killed after " << events << " operations";
    const auto row = b.shelf().attach(request(name));
    ASSERT_TRUE(row.ok()) << events << ": " << row.error().message();
    auto volume = b.open_image(id);
    ASSERT_TRUE(volume.ok()) << volume.error().message();
    expect_content(**volume, 0, 2 * MiB, events);
    if (!killed) break;
  }
}

// Killed between the job's row and the image's status, at the job's beginning or at its end: the
// next start opens what is AVAILABLE, and the job would write and remove it under whoever has it.
TEST_F(UploaderAttachTest, AnImageWhoseJobIsUnfinishedIsNotAvailable) {
  for (const auto& [kind, during] : {std::pair(JobKind::detach, TapeStatus::detaching),
                                     std::pair(JobKind::archive, TapeStatus::in_transit_to_vts),
                                     std::pair(JobKind::delete_tape, TapeStatus::deleting)}) {
    const std::string name(to_string(kind));
    const Uuid id = make(a, name, 1);
    ASSERT_TRUE(a.run_until([&] { return a.all_stored(id); }));
    ASSERT_TRUE(a.catalog()
                    .add_job(make_job(kind, id, name, clock.unix_ms(), {{"before", "AVAILABLE"}}))
                    .ok());
    a.restart(false);
    a.run_once();
    ASSERT_TRUE(a.shelf().reconcile().ok());
    EXPECT_EQ(a.status(id), during) << name;
    ASSERT_TRUE(
        a.run_until([&] { return !(*a.catalog().unfinished_job(id)).has_value(); }, 600'000))
        << name;
  }
}

// The rest of it can be read, and the segment may come back.
TEST_F(UploaderAttachTest, ADetachThatFindsASegmentLostLeavesTheDisk) {
  a.faulty().fail_next("put", Error(ErrorCode::unavailable, "away"), 1'000'000);
  const Uuid id = make(a, "v", 1);
  const SegmentEntry first = a.manifest(id).partitions[kImageLogPartition].segments[0];
  const std::string path = segment_path(a.directory(id), first.sequence, first.epoch);
  const Buffer content = *a.disk().content(path);
  ASSERT_TRUE(a.disk().remove(path).ok());
  a.faulty().fail_next("", Error(ErrorCode::unavailable, "away"), 0);
  a.run_until([] { return false; }, 120'000);
  const auto job = a.shelf().detach(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(a.shelf().wait(*job, 600'000)->state, JobState::failed);
  EXPECT_EQ(a.status(id), TapeStatus::available);
  EXPECT_NE((*a.catalog().tape(id))->problem.find("segment"), std::string::npos);
  ASSERT_TRUE(a.disk().replace_file(path, content).ok());
  a.run_until([] { return false; }, 2 * 3'600'000);
  detach(a, id);
}

// What is said of it after it was attached, and archived by whoever has it, is not believed.
TEST_F(UploaderAttachTest, OnlyWhatItsManifestSaysIsDetached) {
  const Uuid id = make(a, "v", 1);
  detach(a, id);
  const Buffer document = *a.store().get_all(detached_key(id));
  EXPECT_EQ(b.shelf().detached_images()->size(), 1U);
  ASSERT_TRUE(b.shelf().attach(request("v")).ok());
  ASSERT_TRUE(b.shelf().assign_pool(id, "glacier").ok());
  ASSERT_TRUE(b.shelf().archive(id).ok());
  ASSERT_TRUE(b.run_until([&] { return b.status(id) == TapeStatus::archived; }));
  // A put that a server carries out late.
  ASSERT_TRUE(a.store().put(detached_key(id), source_of(document), {}).ok());
  EXPECT_TRUE(b.shelf().detached_images()->empty());
  clock.advance_ms(8LL * 24 * 3'600'000);
  StoreGcOptions options;
  options.threads = 1;
  ASSERT_TRUE(collect_store_garbage(b.store(), clock, options).ok());
  EXPECT_FALSE(a.store().head(detached_key(id)).ok());
}

TEST_F(UploaderAttachTest, AGatewayThatIsGoneLosesItsImage) {
  const auto volume = a.make_image("v", kSize);
  const Uuid id = volume->uuid();
  fill(*volume, 0, 2 * MiB, 1);
  ASSERT_TRUE(volume->seal().ok());
  ASSERT_TRUE(a.run_until([&] { return a.all_stored(id); }));
  EXPECT_EQ(b.shelf().attach(request("v", true)).error().code, ErrorCode::conflict)
      << "it is alive";
  // What is written from here on is lost: the store never has it.
  fill(*volume, 0, 1 * MiB, 7);
  const auto row = b.shelf().attach(request("v", true, true));
  ASSERT_TRUE(row.ok()) << row.error().message();
  {
    auto taken = b.open_image(id);
    ASSERT_TRUE(taken.ok());
    expect_content(**taken, 0, 2 * MiB, 1);
    fill(**taken, 2 * MiB, 1 * MiB, 3);
    ASSERT_TRUE((*taken)->close().ok());
  }
  ASSERT_TRUE(b.run_until([&] { return b.all_stored(id); }));
  // The old one finds out, and harms nothing.
  fill(*volume, 0, 2 * MiB, 8);
  ASSERT_TRUE(volume->seal().ok());
  ASSERT_TRUE(a.run_until([&] { return a.fenced(id); }));
  for (int i = 0; i < 100; ++i) {
    if (!a.run_once()) clock.advance_ms(500);
  }
  EXPECT_TRUE(b.all_stored(id));
  const auto stored = b.open_stored(id);
  ASSERT_NE(stored, nullptr);
  expect_content(*stored->volume, 0, 2 * MiB, 1);
  expect_content(*stored->volume, 2 * MiB, 1 * MiB, 3);
}

TEST_F(UploaderAttachTest, ACloneMovesAndItsSourceStays) {
  const auto source = a.make_image("source", kSize);
  fill(*source, 0, 2 * MiB, 1);
  const Uuid id = stored_clone(a, *source, "clone", 2);
  EXPECT_EQ(a.shelf().detach(source->uuid()).error().code, ErrorCode::busy);
  detach(a, id);
  ASSERT_TRUE(b.shelf().attach(request("clone")).ok());
  expect_clone(b, id, 2, 1);
  // The source goes on meanwhile, and collects what it does not need.
  fill(*source, 0, 2 * MiB, 5);
  ASSERT_TRUE(source->collect().ok());
  ASSERT_TRUE(a.run_until([&] { return a.all_stored(source->uuid()); }));
  expect_clone(b, id, 2, 1);
  // A second clone, of a point that the other gateway's copy of the manifest does not know.
  const Uuid second = stored_clone(a, *source, "second", 6);
  detach(a, second);
  ASSERT_TRUE(b.shelf().attach(request("second")).ok());
  expect_clone(b, second, 6, 5);
  expect_clone(b, id, 2, 1);
}

TEST_F(UploaderAttachTest, WhatAnotherGatewayHasOnlyBegunToUploadIsThere) {
  a.faulty().refuse_keys("/manifest", Error(ErrorCode::unavailable, "away"));
  const Uuid id = make(a, "v", 1);
  EXPECT_FALSE(*b.shelf().store_has(id));
  ASSERT_TRUE(a.run_until([&] { return a.stored_objects(id) > 0; }));
  EXPECT_TRUE(*b.shelf().store_has(id));
  a.faulty().refuse_keys("", Error(ErrorCode::unavailable, "away"));
  EXPECT_FALSE(*a.shelf().store_has(id)) << "its own, which it would know";
  ASSERT_TRUE(a.run_until([&] { return a.all_stored(id); }));
  EXPECT_TRUE(*a.shelf().store_has(id));
}

TEST_F(UploaderAttachTest, ACloneMovesToWhereItsSourceOnceWas) {
  const Uuid source = make(a, "source", 1);
  ASSERT_TRUE(a.run_until([&] { return a.all_stored(source); }));
  ASSERT_TRUE(b.shelf().attach(request("source", true, true)).ok());
  const auto volume = b.open_image(source);
  ASSERT_TRUE(volume.ok());
  fill(**volume, 0, 2 * MiB, 3);
  const Uuid id = stored_clone(b, **volume, "clone", 4);
  detach(b, id);
  ASSERT_TRUE(a.run_until([&] { return !a.shelf().look_at_owner(source).ok(); }));
  // What is left there of the source lacks what the clone stands on.
  ASSERT_TRUE(a.shelf().attach(request("clone")).ok());
  expect_clone(a, id, 4, 3);
}

TEST_F(UploaderAttachTest, AClonesManifestGoesUpWhenItsSourceIsAnothers) {
  auto source = a.make_image("source", kSize);
  fill(*source, 0, 2 * MiB, 1);
  const Uuid id = stored_clone(a, *source, "clone", 2);
  // What was not uploaded yet is only here, and no more of it goes up.
  fill(*source, 0, 1 * MiB, 9);
  ASSERT_TRUE(source->seal().ok());
  ASSERT_TRUE(b.shelf().attach(request("source", true, true)).ok());
  ASSERT_TRUE(a.run_until([&] { return a.fenced(source->uuid()); }));
  source.reset();
  a.restart(false);
  ASSERT_TRUE(a.ownership().open().ok());
  ASSERT_TRUE(a.shelf().reconcile().ok());
  {
    const auto clone = a.open_image(id);
    ASSERT_TRUE(clone.ok()) << clone.error().message();
    fill(**clone, 0, 1 * MiB, 7);
    ASSERT_TRUE((*clone)->close().ok());
  }
  EXPECT_TRUE(a.run_until([&] { return a.all_stored(id); })) << a.describe_stored(id);
  expect_clone(a, id, 7, 1);
}

TEST_F(UploaderAttachTest, WhatAloneHasWhatACloneStandsOnIsKept) {
  auto source = a.make_image("source", kSize);
  fill(*source, 0, 2 * MiB, 1);
  const Uuid other = stored_clone(a, *source, "other", 2);
  // A second one, of a point that the store does not hear of any more.
  fill(*source, 0, 1 * MiB, 5);
  const auto point = source->create_point("late");
  ASSERT_TRUE(point.ok());
  auto clone = a.clone_image(*source, point->id, "clone");
  ASSERT_TRUE(clone.ok());
  const Uuid id = (*clone)->uuid();
  ASSERT_TRUE((*clone)->close().ok());
  clone->reset();
  ASSERT_TRUE(source->close().ok());
  const Uuid source_id = source->uuid();
  source.reset();
  ASSERT_TRUE(b.shelf().attach(request("source", true, true)).ok());
  ASSERT_TRUE(a.run_until([&] { return a.fenced(source_id); }));
  const Status refused = a.shelf().forget(source_id, true);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().context.find("clone"), std::string::npos) << refused.error().context;
  EXPECT_EQ(a.shelf().attach(request("source", true, true)).error().code, ErrorCode::conflict);
  const auto still = a.open_image(id);
  ASSERT_TRUE(still.ok()) << still.error().message();
  expect_content(**still, 0, 1 * MiB, 5);
  expect_content(**still, 1 * MiB, 1 * MiB, 1);
  // Without it nothing stands in the way, and the one that is in the store is read from there.
  const auto job = a.shelf().remove(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_TRUE(a.run_until([&] { return !a.catalog().tape(id)->has_value(); }));
  const Status forgotten = a.shelf().forget(source_id, true);
  EXPECT_TRUE(forgotten.ok()) << forgotten.error().message();
  expect_clone(a, other, 2, 1);
}

TEST_F(UploaderAttachTest, ArchivedAndRetrievedLikeATape) {
  ASSERT_TRUE(b.catalog().put_pool({"glacier", "GLACIER"}).ok());
  const Uuid id = make(a, "v", 1);
  EXPECT_EQ(a.shelf().archive(id).error().code, ErrorCode::invalid_argument) << "it has no pool";
  ASSERT_TRUE(a.shelf().assign_pool(id, "glacier").ok());
  const auto job = a.shelf().archive(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_TRUE(a.run_until([&] { return a.status(id) == TapeStatus::archived; }));
  EXPECT_EQ(a.local_segments(id), 0U);
  const Manifest archived = a.manifest(id);
  for (const SegmentEntry& e : archived.partitions[0].segments) {
    EXPECT_EQ(a.store().head(segment_key(id, e.sequence, e.epoch))->storage_class,
              StorageClass::glacier);
  }
  {
    // Nothing of it can be read.
    const Manifest m = a.manifest(id);
    Buffer out(4096);
    const Status cold = a.shelf().fetch_range(id, m.partitions[0].segments[0], 0, out, 1'000);
    EXPECT_EQ(cold.error().code, ErrorCode::cold);
  }
  // Another gateway finds it on the shelf and takes it from there.
  const auto row = b.shelf().attach(request("v"));
  ASSERT_TRUE(row.ok()) << row.error().message();
  EXPECT_EQ(row->status, TapeStatus::archived);
  ASSERT_TRUE(b.shelf().retrieve(id, RestoreTier::standard, 7).ok());
  ASSERT_TRUE(b.run_until([&] { return b.status(id) == TapeStatus::retrieved; }, 86'400'000));
  auto volume = b.open_image(id);
  ASSERT_TRUE(volume.ok()) << volume.error().message();
  expect_content(**volume, 0, 2 * MiB, 1);
}

}  // namespace
}  // namespace coldshelf::test
