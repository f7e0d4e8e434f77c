// Volumes, their recovery points and schedules, on a simulated disk and clock and without iSCSI.
#include "snapshot/ebs_image.h"
#include "tests/unit/gateway/volume_service_fixture.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDay = 24 * kHour;

TEST_F(VolumeServiceTest, ComesBackAsItWas) {
  create("one");
  write("one", 7);
  ASSERT_TRUE(service->create_points({{"one"}, "p"}).ok());
  ASSERT_TRUE(service->set_pinned("one", true).ok());
  ASSERT_TRUE(service->mount("one@p", "look").ok());
  write("one", 8);
  restart();
  EXPECT_EQ(read("one"), 8);
  EXPECT_EQ(read("look"), 7);
  const auto view = service->show("ONE");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->mode, "cached");
  EXPECT_TRUE(view->pinned);
  EXPECT_EQ(view->points, 1U);
  EXPECT_EQ(view->target, "iqn.2026-11.io.coldshelf:gw-volume-one");
  EXPECT_EQ(service->show(view->uuid.to_string())->name, "one");
  EXPECT_EQ(service->show(volume_id_of(view->uuid))->name, "one");
}

TEST_F(VolumeServiceTest, NothingIsMadeOnADiskThatIsGone) {
  create("one");
  storage = Error(ErrorCode::io, "the data directory is gone");
  VolumeService::CreateRequest request;
  request.name = "two";
  request.size_bytes = 16 * MiB;
  EXPECT_FALSE(service->create(request).ok());
  EXPECT_FALSE(service->create_points({{"one"}, "p"}).ok());
  storage = Status();
  EXPECT_EQ(service->list().size(), 1U);
}

TEST_F(VolumeServiceTest, ASizeBeyondItsBlocksSaysWhatToDo) {
  VolumeService::CreateRequest request;
  request.name = "wide";
  request.size_bytes = 100 * TiB;
  const auto made = service->create(request);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::out_of_range);
  EXPECT_NE(made.error().context.find("64 TiB; make it with --block-size 4096"), std::string::npos)
      << made.error().context;
  request.name = "narrow";
  request.size_bytes = 16 * MiB;
  ASSERT_TRUE(service->create(request).ok());
  const auto grown = service->resize("narrow", 100 * TiB);
  ASSERT_FALSE(grown.ok());
  EXPECT_EQ(grown.error().code, ErrorCode::out_of_range);
  EXPECT_NE(
      grown.error().context.find("has at most 64 TiB; one that is made with --block-size 4096"),
      std::string::npos)
      << grown.error().context;
  EXPECT_TRUE(service->resize("narrow", 64 * TiB).ok());
}

TEST_F(VolumeServiceTest, AFullDiskKeepsAVolumeAwayOnlyWhileItIsFull) {
  create("one");
  write("one", 7);
  files.full_from(1);
  service->tick();
  scheduler.reset();
  points.reset();
  EXPECT_EQ(service->stop().error().code, ErrorCode::no_space) << "its last segment is not sealed";
  service.reset();
  start();
  EXPECT_EQ(service->show("one")->status, "FAILED");
  service->tick();
  clock.advance_ms(11'000);
  service->tick();
  EXPECT_EQ(service->show("one")->status, "FAILED") << "it is full still";
  files.no_faults();
  service->tick();
  EXPECT_EQ(service->show("one")->status, "FAILED") << "looked at again later";
  clock.advance_ms(11'000);
  service->tick();
  EXPECT_EQ(service->show("one")->status, "AVAILABLE") << service->show("one")->problem;
  EXPECT_EQ(read("one"), 7);
  write("one", 9);
  EXPECT_EQ(read("one"), 9);
}

TEST_F(VolumeServiceTest, ADiskThatFillsIsSaidAndGoesOn) {
  create("one");
  write("one", 7);
  files.full_from(1);
  EXPECT_EQ(service->create_points({{"one"}, "p"}).error().code, ErrorCode::no_space);
  EXPECT_EQ(read("one"), 7);
  const auto view = service->show("one");
  EXPECT_EQ(view->status, "AVAILABLE");
  EXPECT_NE(view->problem.find("sealing waits"), std::string::npos) << view->problem;
  files.no_faults();
  clock.advance_ms(2'000);
  service->tick();
  EXPECT_EQ(service->show("one")->problem, "");
  EXPECT_TRUE(service->create_points({{"one"}, "p"}).ok());
  restart();
  EXPECT_EQ(read("one"), 7);
}

// A clone that could not be made is not there after a power loss either, or what it stands on is.
TEST_F(VolumeServiceTest, ACloneThatFailsNeverStandsOnNothing) {
  create("src");
  write("src", 3);
  for (const ErrorCode code : {ErrorCode::io, ErrorCode::no_space}) {
    for (uint64_t call = 1;; ++call) {
      SCOPED_TRACE(call);
      ASSERT_TRUE(service->create_points({{"src"}, "p"}).ok());
      const std::string name = "c" + std::to_string(call);
      files.fail_call(files.counted_calls() + call, code, call % 2 == 0);
      const auto made = service->clone("src@p", name);
      files.no_faults();
      scheduler.reset();
      points.reset();
      static_cast<void>(service->stop().ok());  // it is a power loss that comes
      service.reset();
      files.crash(random);
      start();
      const bool there = service->show(name).ok();
      if (made.ok()) {
        EXPECT_TRUE(there);
      }
      if (there) {
        EXPECT_EQ(read(name), 3) << service->show(name)->problem;
        EXPECT_EQ(service->delete_point("src@p").error().code, ErrorCode::busy);
        ASSERT_TRUE(service->remove(name, false).ok());
      }
      const Status deleted = service->delete_point("src@p");
      ASSERT_TRUE(deleted.ok()) << deleted.error().message();
      if (HasFailure() || made.ok()) break;
    }
  }
}

// Whatever call the removal is cut short at, the next start ends it or has the volume whole.
TEST_F(VolumeServiceTest, ARemovalThatIsCutShortIsEndedByTheNextStart) {
  for (uint64_t call = 1;; ++call) {
    create("gone");
    write("gone", 3);
    const std::string uuid = service->show("gone")->uuid.to_string();
    files.fail_call(files.counted_calls() + call, ErrorCode::io, true);
    const Status removed = service->remove("gone", false);
    files.no_faults();
    if (removed.ok()) break;
    stop();
    files.kill();
    start();
    service->tick();
    const auto view = service->show("gone");
    if (view.ok()) {
      EXPECT_EQ(view->status, "AVAILABLE") << call;
      EXPECT_EQ(read("gone"), 3) << call;
      ASSERT_TRUE(service->remove("gone", false).ok()) << call;
    }
    EXPECT_TRUE(service->list().empty()) << call;
    for (const std::string& file : files.all_files()) {
      EXPECT_EQ(file.find(uuid), std::string::npos) << "call " << call << ": " << file;
    }
    ASSERT_LT(call, 100U);
  }
}

TEST_F(VolumeServiceTest, ACloneHoldsItsSourceUntilItIsGone) {
  create("src");
  write("src", 1);
  ASSERT_TRUE(service->create_points({{"src"}, "p"}).ok());
  ASSERT_TRUE(service->clone("src@p", "copy").ok());
  EXPECT_EQ(service->remove("src", false).error().code, ErrorCode::conflict);
  EXPECT_EQ(service->delete_point("src@p").error().code, ErrorCode::busy);
  restart();
  EXPECT_EQ(read("copy"), 1);
  ASSERT_TRUE(service->remove("copy", false).ok());
  EXPECT_TRUE(service->delete_point("src@p").ok());
  EXPECT_TRUE(service->remove("src", false).ok());
}

TEST_F(VolumeServiceTest, AVolumeInUseIsLeftAlone) {
  create("one");
  ASSERT_TRUE(service->create_points({{"one"}, "p"}).ok());
  targets->logged_in.insert("one");
  EXPECT_EQ(service->remove("one", false).error().code, ErrorCode::busy);
  EXPECT_EQ(service->roll_back("one@p", false).error().code, ErrorCode::busy);
  EXPECT_TRUE(service->roll_back("one@p", true).ok());
  EXPECT_EQ(targets->disks.size(), 1U) << "it is offered again";
  const auto held = service->open_point("one@p");
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(service->remove("one", true).error().code, ErrorCode::busy);
  EXPECT_EQ(targets->disks.size(), 1U);
}

TEST_F(VolumeServiceTest, AVolumeThatCannotBeOpenedIsShownAndOthersAreThere) {
  create("good");
  create("bad");
  const std::string path = "/data/cartridges/" + service->show("bad")->uuid.to_string();
  write("bad", 1);
  stop();
  // Of a volume whose log is damaged where it was sealed.
  for (const std::string& file : files.all_files()) {
    if (file.starts_with(path) && file.ends_with(".seg")) {
      const uint64_t size = files.content(file)->size();
      for (uint64_t at = size / 2; at < size; ++at) ASSERT_TRUE(files.flip(file, at, 0).ok());
    }
  }
  start();
  EXPECT_EQ(service->show("good")->status, "AVAILABLE");
  EXPECT_EQ(service->show("bad")->status, "FAILED");
  EXPECT_FALSE(service->show("bad")->problem.empty());
  EXPECT_FALSE(targets->disks.contains("bad"));
  EXPECT_EQ(service->remove("bad", false).error().code, ErrorCode::conflict);
  EXPECT_TRUE(service->remove("bad", true).ok());
  EXPECT_EQ(service->list().size(), 1U);
}

TEST_F(VolumeServiceTest, AnImportThatWasCutShortIsRemoved) {
  VolumeService::CreateRequest request;
  request.name = "half";
  request.size_bytes = 16 * MiB;
  {
    const auto volume = service->begin_import(request);
    ASSERT_TRUE(volume.ok());
    EXPECT_EQ(service->show("half")->status, "IMPORTING");
    EXPECT_TRUE(targets->disks.empty());
  }
  restart();
  EXPECT_TRUE(service->tick());
  EXPECT_TRUE(service->list().empty());
  const auto volume = service->begin_import(request);
  ASSERT_TRUE(volume.ok());
  ASSERT_TRUE(service->finish_import((*volume)->uuid()).ok());
  EXPECT_EQ(targets->disks.size(), 1U);
}

// -- schedules

TEST_F(VolumeServiceTest, ASchedulesPointsComeAndGoByTheClock) {
  create("a");
  create("b");
  VolumeSchedule s = schedule("often", {"a", "b"});
  s.keep.keep_last = 3;
  s.keep.daily = 2;
  ASSERT_TRUE(scheduler->put(s).ok());
  ASSERT_TRUE(service->create_points({{"a"}, "by-hand"}).ok());
  for (int64_t passed = 0; passed < 10 * kDay; passed += kHour / 2) {
    clock.advance_ms(kHour / 2);
    scheduler->tick();
  }
  EXPECT_TRUE(problems.empty()) << problems.front();
  // Three last ones, and the last one of the day before.
  EXPECT_EQ(count("b"), 4U);
  EXPECT_EQ(count("a"), 5U) << "what was made by hand stays";
  const auto a = service->points("a"), b = service->points("b");
  EXPECT_EQ(a->back().point.id, b->back().point.id) << "of one moment";
  const auto list = scheduler->list();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].last_run_ms, a->back().point.created_unix_ms);
  EXPECT_GT(*list[0].next_run_ms, clock.unix_ms());
}

TEST_F(VolumeServiceTest, WhatWasMissedIsMadeUpForOnce) {
  create("a");
  ASSERT_TRUE(scheduler->put(schedule("often", {"a"})).ok());
  clock.advance_ms(5 * kHour);
  EXPECT_TRUE(scheduler->tick());
  stop();
  clock.advance_ms(10 * kDay);
  start();
  ASSERT_EQ(scheduler->list().size(), 1U) << "schedules live in the volumes' manifests";
  EXPECT_TRUE(scheduler->tick());
  EXPECT_FALSE(scheduler->tick());
  EXPECT_EQ(count("a"), 2U);
}

// It stood in the manifests it had got to, and the next start took it for the last word.
TEST_F(VolumeServiceTest, AChangeOfAScheduleThatIsRefusedHoldsNowhere) {
  create("a");
  create("b");
  VolumeSchedule many = schedule("often", {"a", "b"});
  many.keep.keep_last = 30;
  ASSERT_TRUE(scheduler->put(many).ok());
  const auto before = service->properties(kVolumeSchedule).at("a");
  clock.advance_ms(kHour);
  service->stop_writes(service->show("b")->uuid, Error(ErrorCode::write_protected, "taken over"));
  VolumeSchedule few = many;
  few.keep.keep_last = 1;
  EXPECT_FALSE(scheduler->put(few).ok());
  EXPECT_FALSE(scheduler->put(schedule("another", {"a", "b"})).ok());
  EXPECT_EQ(service->properties(kVolumeSchedule).at("a"), before);
  scheduler.reset();
  points.reset();
  EXPECT_FALSE(service->stop().ok()) << "b was stopped";
  service.reset();
}

TEST_F(VolumeServiceTest, SchedulesComeAndGoWithTheirVolumes) {
  create("a");
  create("b");
  create("c");
  ASSERT_TRUE(scheduler->put(schedule("often", {"a"})).ok());
  // As when b and c came from another gateway, whose "often" was another one.
  VolumeSchedule theirs = schedule("often", {});
  theirs.hours = 24;
  theirs.changed_ms = clock.unix_ms() + kDay;
  VolumeSchedule other = schedule("other", {});
  for (const VolumeSchedule& s : {theirs, other}) {
    const std::string property = std::string(kVolumeSchedule) + s.name;
    ASSERT_TRUE(service->set_properties("b", {{property, encode_schedule(s)}}).ok());
  }
  clock.advance_ms(5 * kHour);
  EXPECT_TRUE(scheduler->tick());
  const auto list = scheduler->list();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].schedule.hours, 4U) << "ours stays as it is";
  EXPECT_EQ(list[0].schedule.volumes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(list[1].schedule.volumes, std::vector<std::string>{"b"});
  EXPECT_EQ(count("a"), 1U);
  EXPECT_EQ(count("b"), 2U);
  const auto held = service->properties(kVolumeSchedule);
  EXPECT_EQ(held.at("b").at("often"), held.at("a").at("often"));
  // They go with their volumes, and nobody is told of a schedule without one.
  ASSERT_TRUE(service->remove("b", false).ok());
  clock.advance_ms(5 * kHour);
  EXPECT_TRUE(scheduler->tick());
  ASSERT_EQ(scheduler->list().size(), 1U);
  EXPECT_EQ(scheduler->list()[0].schedule.volumes, std::vector<std::string>{"a"});
  EXPECT_TRUE(problems.empty());
}

TEST_F(VolumeServiceTest, ScheduledPointsAreQuiescedOrNotMade) {
  create("a");
  VolumeSchedule s = schedule("db", {"a"});
  s.quiesce = "nobody";
  EXPECT_EQ(scheduler->put(s).error().code, ErrorCode::not_found);
  s.quiesce = "db";
  ASSERT_TRUE(scheduler->put(s).ok());
  quiescer.fail_freeze = Error(ErrorCode::io, "exit code 1");
  clock.advance_ms(5 * kHour);
  scheduler->tick();
  EXPECT_EQ(count("a"), 0U);
  EXPECT_EQ(problems.size(), 1U);
  EXPECT_FALSE(scheduler->list()[0].problem.empty());
  EXPECT_FALSE(scheduler->tick()) << "not at once again";
  clock.advance_ms(6 * 60'000);
  quiescer.fail_freeze = Status();
  EXPECT_TRUE(scheduler->tick());
  EXPECT_EQ(count("a"), 1U);
  EXPECT_TRUE(scheduler->list()[0].problem.empty());
  // Let go before the moment: what was made is no point of a quiet system.
  quiescer.fail_thaw = Error(ErrorCode::timed_out, "the watchdog");
  EXPECT_FALSE(scheduler->run("db").ok());
  EXPECT_EQ(count("a"), 1U);
  // The command after fails: the point is good, and the operator is told.
  quiescer.fail_thaw = Error(ErrorCode::io, "exit code 1");
  const auto made = scheduler->run("db");
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE(made->warning.empty());
  EXPECT_EQ(count("a"), 2U);
  EXPECT_EQ(quiescer.frozen, quiescer.thawed);
  // A volume that fails meanwhile leaves nobody frozen.
  service->stop_writes(service->show("a")->uuid, Error(ErrorCode::conflict, "taken over"));
  EXPECT_FALSE(scheduler->run("db").ok());
  EXPECT_EQ(quiescer.frozen, quiescer.thawed);
  scheduler.reset();
  points.reset();
  targets.reset();
  EXPECT_FALSE(service->stop().ok()) << "it says that a volume could not be sealed";
  service.reset();
}

TEST_F(VolumeServiceTest, MountedAndClonedPointsOutliveTheirRetention) {
  create("a");
  VolumeSchedule s = schedule("often", {"a"});
  s.keep.keep_last = 1;
  ASSERT_TRUE(scheduler->put(s).ok());
  ASSERT_TRUE(scheduler->run("often").ok());
  ASSERT_TRUE(service->mount("a@latest", "m").ok());
  clock.advance_ms(kHour);
  ASSERT_TRUE(scheduler->run("often").ok());
  ASSERT_TRUE(service->clone("a@latest", "c").ok());
  clock.advance_ms(kHour);
  ASSERT_TRUE(scheduler->run("often").ok());
  EXPECT_EQ(count("a"), 3U);
  ASSERT_TRUE(service->unmount("m", false).ok());
  ASSERT_TRUE(service->remove("c", false).ok());
  clock.advance_ms(kHour);
  ASSERT_TRUE(scheduler->run("often").ok());
  EXPECT_EQ(count("a"), 1U);
  EXPECT_TRUE(problems.empty()) << problems.front();
}

TEST_F(VolumeServiceTest, AnArchiveIsNoDiskOfItsOwn) {
  VolumeService::CreateRequest request;
  request.name = "vol-0123456789abcdef0";
  request.size_bytes = 16 * MiB;
  const EbsSource source{"vol-0123456789abcdef0", "us-east-1", "1"};
  ASSERT_TRUE(service->create_archive(request, "", property_of(source)).ok());
  const std::string name = request.name;
  auto image = service->open_volume(name);
  ASSERT_TRUE(image.ok());
  ASSERT_TRUE((*image)->write(0, Buffer(4096, std::byte{5}), false).ok());
  EbsPoint what;
  what.snapshot = "snap-0123456789abcdef0";
  const auto point = (*image)->create_point("p", [&](const Uuid& id) {
    what.point = id;
    auto properties = property_of(what);
    properties[std::string(kPropertyEbsHead)] = what.snapshot;
    return properties;
  });
  ASSERT_TRUE(point.ok());
  EXPECT_TRUE(targets->disks.empty());
  EXPECT_TRUE(service->list().empty());
  ASSERT_EQ(service->archives().size(), 1U);
  EXPECT_TRUE(service->show(name)->archive);
  EXPECT_EQ(service->resize(name, 32 * MiB).error().code, ErrorCode::conflict);
  EXPECT_EQ(service->roll_back(name + "@p", true).error().code, ErrorCode::conflict);
  EXPECT_EQ(service->create_points({{name}, "q"}).error().code, ErrorCode::conflict);
  EXPECT_EQ(scheduler->put(schedule("s", {name})).error().code, ErrorCode::conflict);
  EXPECT_EQ(service->shelve(name, "").error().code, ErrorCode::not_supported);
  request.name = "VOL-0123456789ABCDEF0";
  EXPECT_EQ(service->create(request).error().code, ErrorCode::exists);
  // Its points are shown and cloned as any.
  ASSERT_TRUE(service->mount(name + "@p", "look").ok());
  ASSERT_TRUE(service->clone(name + "@p", "copy").ok());
  EXPECT_EQ(read("look"), 5);
  EXPECT_EQ(read("copy"), 5);
  EXPECT_FALSE(service->show("copy")->archive);
  EXPECT_EQ(service->find_archive("copy").error().code, ErrorCode::not_found);
  EXPECT_EQ(service->remove(name, false).error().code, ErrorCode::conflict) << "a clone";
  // *image keeps it open.
  image->reset();
  restart();
  EXPECT_EQ(targets->disks.size(), 2U);
  ASSERT_TRUE(service->remove("copy", false).ok());
  ASSERT_TRUE(service->unmount("look", false).ok());
  ASSERT_TRUE(service->delete_point(name + "@p").ok());
  const auto left = read_ebs_image(service->find_archive(name)->manifest);
  EXPECT_TRUE(left->points.empty());
  EXPECT_EQ(left->head, "") << "nothing is pulled against what is not held";
  ASSERT_TRUE(service->remove(name, false).ok());
  EXPECT_TRUE(service->archives().empty());
}

TEST_F(VolumeServiceTest, WhatIsKeptWithAPointHasABound) {
  create("a");
  VolumePoints::Request request;
  request.volumes = {"a"};
  request.description = std::string(1'001, 'x');
  EXPECT_EQ(points->create(request).error().code, ErrorCode::out_of_range);
  EXPECT_EQ(count("a"), 0U);
  request.description.pop_back();
  EXPECT_TRUE(points->create(request).ok());
}

TEST_F(VolumeServiceTest, AScheduleMovesBetweenVolumes) {
  create("a");
  create("b");
  ASSERT_TRUE(scheduler->put(schedule("s", {"a"})).ok());
  ASSERT_TRUE(scheduler->put(schedule("s", {"b"})).ok());
  restart();
  ASSERT_EQ(scheduler->list().size(), 1U);
  EXPECT_EQ(scheduler->list()[0].schedule.volumes, std::vector<std::string>{"b"});
  ASSERT_TRUE(scheduler->remove("s").ok());
  EXPECT_EQ(scheduler->remove("s").error().code, ErrorCode::not_found);
  restart();
  EXPECT_TRUE(scheduler->list().empty());
  VolumeSchedule bad = schedule("s", {"a"});
  bad.hours = 5;
  EXPECT_FALSE(scheduler->put(bad).ok());
  bad.hours = 0;
  bad.calendar = "Someday 25:00";
  EXPECT_FALSE(scheduler->put(bad).ok());
  EXPECT_EQ(scheduler->put(schedule("s", {"nobody"})).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace coldshelf::test
