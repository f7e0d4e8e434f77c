// Volumes that come of a recovery point, and volumes that go, without iSCSI and files of the
// machine.
#include "gateway/volume_transfers.h"

#include "snapshot/ebs_image.h"
#include "tests/unit/gateway/volume_service_fixture.h"

namespace coldshelf::test {
namespace {

class VolumeTransfersTest : public VolumeServiceTest {
 protected:
  VolumeTransfersTest() {
    catalog = *Catalog::open(":memory:");
    transfers = std::make_unique<VolumeTransfers>(VolumeTransfers::Env{
        &clock, &files, catalog.get(), service.get(), "/data", "/data/scratch"});
  }
  ~VolumeTransfersTest() override { transfers.reset(); }
  JobRow follow(int64_t id) {
    SystemClock real;
    for (int i = 0; i < 3'000; ++i) {
      const auto row = catalog->job(id);
      if (row.ok() && *row && (*row)->state >= JobState::succeeded) return **row;
      real.sleep_ms(10);
    }
    ADD_FAILURE() << "job " << id << " does not end";
    return {};
  }

  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<VolumeTransfers> transfers;
};

TEST_F(VolumeTransfersTest, ACopyHoldsWhatThePointHeldAndNeedsItNoMore) {
  create("a");
  write("a", 7);
  ASSERT_TRUE(targets->disks.at("a")->write(12 * MiB, Buffer(8192, std::byte{3}), false).ok());
  ASSERT_TRUE(service->create_points({{"a"}, "p"}).ok());
  write("a", 8);
  const auto job = transfers->copy("a@p", "b");
  ASSERT_TRUE(job.ok()) << job.error().message();
  const JobRow done = follow(*job);
  EXPECT_EQ(done.state, JobState::succeeded) << done.error;
  EXPECT_EQ(done.parameters.at("point"), "a@p");
  EXPECT_EQ(read("b"), 7);
  EXPECT_EQ(read("a"), 8);
  const auto view = service->show("b");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->size_bytes, 16 * MiB);
  EXPECT_EQ(view->block_bytes, 4096U);
  EXPECT_TRUE(view->parent.is_nil()) << "it shares nothing";
  EXPECT_LE(view->usage.mapped_bytes, 2 * MiB) << "holes stay holes";
  transfers.reset();
  ASSERT_TRUE(service->delete_point("a@p").ok());
  ASSERT_TRUE(service->remove("a", false).ok());
  restart();
  EXPECT_EQ(read("b"), 7);
  Buffer block(8192);
  ASSERT_TRUE(targets->disks.at("b")->read(12 * MiB, block).ok());
  EXPECT_EQ(block, Buffer(8192, std::byte{3}));
}

TEST_F(VolumeTransfersTest, ACopyThatCannotBeginLeavesNoVolume) {
  create("a");
  ASSERT_TRUE(service->create_points({{"a"}, "p"}).ok());
  EXPECT_EQ(transfers->copy("a@p", "A").error().code, ErrorCode::exists);
  EXPECT_EQ(transfers->copy("a@q", "b").error().code, ErrorCode::not_found);
  transfers->stop();
  EXPECT_EQ(transfers->copy("a@p", "b").error().code, ErrorCode::not_ready);
  EXPECT_EQ(service->show("b").error().code, ErrorCode::not_found);
  EXPECT_EQ(service->list().size(), 1U);
}

TEST_F(VolumeTransfersTest, AnExportOverAFileIsRefusedBeforeItIsAJob) {
  create("a");
  ASSERT_TRUE(service->create_points({{"a"}, "p"}).ok());
  const auto job = transfers->export_point({"a@p", "/etc/passwd"});
  ASSERT_FALSE(job.ok());
  EXPECT_EQ(job.error().code, ErrorCode::exists);
}

TEST_F(VolumeTransfersTest, WhatIsKeptUnderAVolumesNameGoesBeforeTheNameIsFree) {
  create("a");
  forget = Error(ErrorCode::io, "the disk fails");
  EXPECT_EQ(service->remove("a", false).error().code, ErrorCode::io);
  EXPECT_EQ(service->show("a")->status, "DELETING");
  VolumeService::CreateRequest again;
  again.name = "a";
  again.size_bytes = 16 * MiB;
  EXPECT_EQ(service->create(again).error().code, ErrorCode::exists);
  EXPECT_TRUE(forgotten.empty());
  forget = Status();
  service->tick();
  EXPECT_EQ(forgotten, std::vector<std::string>{"a"});
  EXPECT_EQ(service->show("a").error().code, ErrorCode::not_found);
  EXPECT_TRUE(service->create(again).ok());
}

TEST_F(VolumeTransfersTest, ArchivesAreShownWithWhatTheirManifestsSay) {
  VolumeService::CreateRequest request;
  request.size_bytes = 16 * MiB;
  for (const char* name : {"z", "b"}) {
    request.name = name;
    ASSERT_TRUE(
        service->create_archive(request, "", property_of(EbsSource{name, "us-east-1", "1"})).ok());
  }
  create("c");
  const auto views = service->archive_views();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].image.name, "b");
  EXPECT_EQ(views[0].manifest.uuid, views[0].image.uuid);
  EXPECT_EQ(read_ebs_image(views[1].manifest)->source.volume, "z");
  EXPECT_EQ(service->archive_view("Z")->manifest.label, "z");
  EXPECT_EQ(service->archive_view("c").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace coldshelf::test
