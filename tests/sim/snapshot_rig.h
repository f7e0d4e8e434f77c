// An image on a simulated disk, and AWS's stand-in: pulls and restores with everything that goes
// wrong in between.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "snapshot/pull.h"
#include "snapshot/restore.h"
#include "tests/support/cartridge_fixture.h"
#include "tests/support/ebs_standin.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {

class SnapshotRig : public ImageDirectory {
 public:
  explicit SnapshotRig(EbsStandinOptions standin_options = {}) {
    auto started = EbsStandin::start(std::move(standin_options));
    CHECK(started.ok());
    aws = std::move(*started);
    CurlOptions curl;
    curl.idle_timeout_ms = 700;
    curl.idle_connections = 64;
    auto made = make_curl_transport(curl);
    CHECK(made.ok());
    transport = std::move(*made);
    Credentials key;
    key.access_key_id = EbsAccount{}.access_key;
    key.secret_access_key = Secret(std::string_view(EbsAccount{}.secret_key));
    credentials = make_static_credentials(key);
    pace = std::make_shared<EbsPace>(quotas);
    env.cartridge.files = &files;
    env.cartridge.clock = &still;
    env.cartridge.random = &random;
    env.cartridge.workers = &inline_executor;
    env.cartridge.sealers = &inline_executor;
    env.cartridge.buffers = BufferPool::create(32 * MiB);
    env.cartridge.observer = &observer;
    env.images = this;
    volume_options.segment_bytes = 8 * MiB;
    pull_options.threads = 8;
    pull_options.ahead = 16;
    pull_options.page_size = 100;
    restore_options.threads = 8;
    restore_options.ahead = 16;
    restore_options.poll_ms = 20;
  }
  Result<std::string> directory_of(const Uuid&) override { return std::string("/v"); }

  std::unique_ptr<EbsClient> client() {
    EbsClient::Options options;
    options.region = "us-east-1";
    options.endpoint = aws->endpoint();
    options.account = "111122223333/us-east-1";
    options.timeout_ms = 900;
    options.window = {2, 8, 16};
    return std::make_unique<EbsClient>(options, clock, transport, credentials, pace, stop);
  }
  std::unique_ptr<Ec2Client> ec2() {
    Ec2Client::Options options;
    options.region = "us-east-1";
    options.endpoint = aws->endpoint();
    options.timeout_ms = 900;
    return std::make_unique<Ec2Client>(options, clock, transport, credentials, stop);
  }

  void create_image(uint64_t gib) {
    auto made =
        Volume::create(env, volume_options, "/v", {Uuid::generate(random), "v", gib * GiB, 512});
    CHECK(made.ok());
    image = std::move(*made);
  }
  void reopen() {
    image.reset();
    auto opened = Volume::open(env, volume_options, "/v");
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    image = std::move(*opened);
  }

  Result<PullResult> pull(const std::string& snapshot, const std::string& base = "auto",
                          SnapshotPull::Observer seen = {}) {
    const auto ec2_client = ec2();
    PullRequest request;
    ASSIGN_OR_RETURN(request.snapshot, ec2_client->describe_snapshot(snapshot));
    request.base = base;
    ASSIGN_OR_RETURN(const auto all, ec2_client->describe_snapshots({}));
    for (const Ec2Snapshot& s : all) {
      if (s.state == "completed") request.still_there.push_back(s.id);
    }
    const auto ebs = client();
    SnapshotPull job(*image, *ebs, *clock, pull_options, std::move(seen));
    return job.run(request);
  }

  // The recovery point holds just the snapshot's blocks, and these only.
  void expect_same(const std::string& snapshot) {
    const auto what = read_ebs_image(image->manifest());
    ASSERT_TRUE(what.ok());
    const EbsPoint* point = what->find(snapshot);
    ASSERT_NE(point, nullptr) << snapshot;
    auto disk = image->open_point(point->point);
    ASSERT_TRUE(disk.ok()) << disk.error().message();
    expect_same(snapshot, **disk);
  }
  void expect_same(const std::string& snapshot, BlockDevice& disk) {
    const std::vector<uint64_t> expected = aws->snapshot_blocks(snapshot);
    BlockPresence presence(disk);
    std::vector<uint64_t> there;
    for (uint64_t at = 0;;) {
      const auto next = presence.next(at);
      ASSERT_TRUE(next.ok());
      if (!*next) break;
      there.push_back(**next);
      at = **next + 1;
    }
    ASSERT_EQ(there, expected) << snapshot;
    Buffer bytes(coldshelf::kEbsBlockBytes);
    for (const uint64_t block : there) {
      ASSERT_TRUE(presence.read(block, bytes).ok());
      const auto of_aws = aws->snapshot_block(snapshot, block);
      ASSERT_TRUE(of_aws.has_value());
      ASSERT_TRUE(equal(bytes, *of_aws)) << snapshot << " block " << block;
    }
  }
  // Two snapshots in AWS with the same blocks.
  void expect_equal_snapshots(const std::string& a, const std::string& b) {
    ASSERT_EQ(aws->snapshot_blocks(a), aws->snapshot_blocks(b));
    for (const uint64_t block : aws->snapshot_blocks(a)) {
      ASSERT_TRUE(equal(*aws->snapshot_block(a, block), *aws->snapshot_block(b, block))) << block;
    }
  }

  std::unique_ptr<EbsStandin> aws;
  std::shared_ptr<SystemClock> clock = std::make_shared<SystemClock>();
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<CredentialsProvider> credentials;
  EbsQuotas quotas = [] {
    EbsQuotas q;
    q.list_per_account = q.list_per_snapshot = q.start_per_account = 1000;
    return q;
  }();
  std::shared_ptr<EbsPace> pace;
  std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);
  SimFileSystem files;
  StillClock still;
  SeededRandom random{77};
  InlineExecutor inline_executor;
  RecordingObserver observer;
  VolumeEnv env;
  VolumeOptions volume_options;
  SnapshotPull::Options pull_options;
  SnapshotRestore::Options restore_options;
  std::unique_ptr<Volume> image;
};

}  // namespace coldshelf::test
