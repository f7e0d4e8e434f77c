// EBS snapshots through the daemon and the command line, against AWS's stand-in: pulled, listed,
// verified, restored, resumed after a kill; with a role in another account, by a policy, and of a
// volume of our own.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/e2e/snapshot_fixture.h"

namespace coldshelf::test {
namespace {

using nlohmann::json;

TEST_F(SnapshotTest, PulledAgainVerifiedAndRestored) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {{"Name", "db"}}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 30, 1);
  aws->write_zeros(volume, 40, 2);
  // The direct APIs do not take a tag of the length that EC2 takes.
  const std::string first =
      aws->make_snapshot(volume, {{"Env", "prod"}, {"Notes", std::string(256, 'n')}});
  pull({first, "--to", "db"});
  aws->write_pattern(volume, 5, 3, 2);
  aws->trim(volume, 10, 2);
  const std::string second = aws->make_snapshot(volume);
  const json increment = pull({second});  // into the same archive, by its volume
  EXPECT_EQ(aws->requests(EbsOperation::list_changed_blocks) > 0, true);

  const json archives = gateway->json({"snapshot", "list"});
  ASSERT_EQ(archives["Archives"].size(), 1U) << archives;
  EXPECT_EQ(archives["Archives"][0]["Name"], "db");
  EXPECT_EQ(archives["Archives"][0]["VolumeId"], volume);
  const json shown = gateway->json({"snapshot", "show", "db"});
  ASSERT_EQ(shown["Points"].size(), 2U);
  EXPECT_EQ(shown["Points"][0]["Tags"]["Env"], "prod");
  EXPECT_EQ(shown["Points"][1]["Base"], first);
  EXPECT_EQ(shown["Points"][1]["FetchedBlocks"], 3);
  EXPECT_NE(gateway->cli({"snapshot", "list"}).output.find("db"), std::string::npos);
  EXPECT_NE(gateway->cli({"snapshot", "show", "db"}).output.find(first), std::string::npos);
  EXPECT_NE(gateway->cli({"snapshot", "list", "--aws"}).output.find(second), std::string::npos);

  const json verified = follow(gateway->json({"snapshot", "verify", "db"}));
  ASSERT_EQ(verified.value("State", ""), "succeeded") << verified;

  // Back to AWS, in full and against what is there; and by a kill in between.
  const json full = follow(gateway->json({"snapshot", "restore", "db@" + first, "--tag", "a=b"}));
  ASSERT_EQ(full.value("State", ""), "succeeded") << full;
  const std::string made = full.value("Result", "");
  EXPECT_EQ(aws->snapshot_blocks(made), aws->snapshot_blocks(first));
  EXPECT_EQ(digest_of(made, 1), digest_of(first, 1));
  EXPECT_EQ(aws->snapshot(made)->tags.at("a"), "b");
  EXPECT_EQ(aws->snapshot(made)->tags.at("Env"), "prod");
  const uint64_t puts = aws->requests(EbsOperation::put_snapshot_block);
  const json less = follow(gateway->json(
      {"snapshot", "restore", "db@" + second, "--parent", made, "--create-volume", "us-east-1a"}));
  ASSERT_EQ(less.value("State", ""), "succeeded") << less;
  EXPECT_EQ(aws->requests(EbsOperation::put_snapshot_block) - puts, 5U);
  EXPECT_EQ(digest_of(less.value("Result", ""), 1), digest_of(second, 1));
  EXPECT_EQ(aws->volumes().back().snapshot_id, less.value("Result", ""));

  gateway->ok({"snapshot", "delete", "db@" + first});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"].size(), 1U);
  EXPECT_EQ(aws->rejections(), std::vector<std::string>());
  // A restart has everything still, and the archive goes as a whole.
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][0]["SnapshotId"], second);
  gateway->ok({"snapshot", "delete", "db"});
  EXPECT_TRUE(gateway->json({"snapshot", "list"})["Archives"].empty());
  EXPECT_EQ(gateway->stop(), 0);
}

// EC2's archive tier: no base, no parent, and nothing to pull.
TEST_F(SnapshotTest, WhatEc2HasArchivedIsNoBase) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 30, 1);
  const std::string first = aws->make_snapshot(volume, {{"coldshelf:policy", "nightly"}});
  pull({first, "--to", "db"});
  aws->archive_snapshot(first);
  aws->write_pattern(volume, 5, 3, 2);
  const std::string second = aws->make_snapshot(volume);
  pull({second});
  const json shown = gateway->json({"snapshot", "show", "db"});
  ASSERT_EQ(shown["Points"].size(), 2U) << shown;
  EXPECT_EQ(shown["Points"][1].value("Base", ""), "");
  const json restored =
      follow(gateway->json({"snapshot", "restore", "db@" + first, "--parent", "auto"}));
  ASSERT_EQ(restored.value("State", ""), "succeeded") << restored;
  // And it is no generation of the policy whose snapshot it was.
  EXPECT_EQ(aws->snapshot(restored.value("Result", ""))->tags.count("coldshelf:policy"), 0U);
  const std::string third = aws->make_snapshot(volume);
  aws->archive_snapshot(third);
  const auto refused = gateway->cli({"snapshot", "pull", third});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.output.find("archive tier"), std::string::npos) << refused.output;
  EXPECT_EQ(aws->rejections(), std::vector<std::string>());
  EXPECT_EQ(gateway->stop(), 0);
}

// A snapshot of the volume from before it grew has no parent among those from after: EBS refuses
// one that is larger. From after, the nearest is taken.
TEST_F(SnapshotTest, AParentIsNotLargerThanItsChild) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 20, 1);
  std::vector<std::string> chain = {aws->make_snapshot(volume)};
  pull({chain[0], "--to", "db"});
  aws->grow_volume(volume, 2);
  for (int i = 0; i < 3; ++i) {
    aws->write_pattern(volume, 2040 + 10U * static_cast<unsigned>(i), 10, 2);
    chain.push_back(aws->make_snapshot(volume));
    EXPECT_EQ(pull({chain.back()}).value("Base", ""), chain[chain.size() - 2]);
  }
  const auto restore = [&](const std::string& snapshot) {
    const uint64_t puts = aws->requests(EbsOperation::put_snapshot_block);
    const json job =
        follow(gateway->json({"snapshot", "restore", "db@" + snapshot, "--parent", "auto"}));
    EXPECT_EQ(job.value("State", ""), "succeeded") << job;
    EXPECT_EQ(digest_of(job.value("Result", ""), 2), digest_of(snapshot, 2));
    return aws->requests(EbsOperation::put_snapshot_block) - puts;
  };
  EXPECT_EQ(restore(chain[2]), 10U) << "of its neighbour";
  EXPECT_EQ(restore(chain[0]), 20U) << "in full";
  EXPECT_EQ(aws->rejections(), std::vector<std::string>());
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, WhatIsMadeOfASnapshotInEc2) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 6, 1);
  const std::string snapshot = aws->make_snapshot(volume, {{"Env", "prod"}});
  pull({snapshot, "--to", "root"});
  const auto restore = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"snapshot", "restore", "root"});
    const json job = follow(gateway->json(more));
    EXPECT_EQ(job.value("State", ""), "succeeded") << job;
    return job.value("Result", "");
  };
  const std::string key =
      "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
  const std::string encrypted = restore({"--encrypted", "--kms-key", key, "--tags", "a=b", "--tags",
                                         "c=d=e", "--no-copy-tags", "--description", "by hand"});
  const auto made = aws->snapshot(encrypted);
  ASSERT_TRUE(made.has_value());
  EXPECT_TRUE(made->encrypted);
  EXPECT_EQ(made->kms_key, key);
  EXPECT_EQ(made->tags, (EbsTags{{"a", "b"}, {"c", "d=e"}}));
  EXPECT_EQ(made->description, "by hand");
  EXPECT_EQ(digest_of(encrypted, 1), digest_of(snapshot, 1));

  const std::string of_volume =
      restore({"--create-volume", "us-east-1b", "--volume-type", "gp3", "--volume-size", "2",
               "--iops", "4000", "--throughput", "200", "--tag", "Name=again"});
  const auto volumes = aws->volumes();
  const auto found = std::find_if(volumes.begin(), volumes.end(), [&](const EbsVolumeInfo& v) {
    return v.snapshot_id == of_volume;
  });
  ASSERT_NE(found, volumes.end());
  const EbsVolumeInfo& disk = *found;
  EXPECT_EQ(disk.zone, "us-east-1b");
  EXPECT_EQ(disk.type, "gp3");
  EXPECT_EQ(disk.size_gib, 2U);
  EXPECT_EQ(disk.tags.at("Name"), "again");
  EXPECT_EQ(aws->volume_block(disk.id, 3), *aws->snapshot_block(snapshot, 3));

  const std::string of_image =
      restore({"--register-image", "web-2026", "--architecture", "arm64", "--root-device",
               "/dev/sda1", "--boot-mode", "uefi", "--size", "3"});
  ASSERT_EQ(aws->images().size(), 1U);
  const EbsImageInfo image = aws->images().front();
  EXPECT_EQ(image.name, "web-2026");
  EXPECT_EQ(image.architecture, "arm64");
  EXPECT_EQ(image.root_device, "/dev/sda1");
  EXPECT_EQ(image.snapshots.at("/dev/sda1"), of_image);
  EXPECT_EQ(aws->snapshot(of_image)->size_gib, 3U);

  for (const std::vector<std::string>& bad : {
           std::vector<std::string>{"--encrypted", "--parent", "auto"},
           {"--parent", "latest"},
           {"--tag", "=x"},
       }) {
    std::vector<std::string> order = {"snapshot", "restore", "root"};
    order.insert(order.end(), bad.begin(), bad.end());
    EXPECT_NE(gateway->cli(order).exit_code, 0) << bad.front();
  }
  EXPECT_EQ(aws->rejections(), std::vector<std::string>());
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, PullsAndRestoresAreCancelled) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 200, 1, EbsPattern::compressible);
  const std::string snapshot = aws->make_snapshot(volume);
  SystemClock clock;
  const auto cancel = [&](const json& ordered, EbsOperation operation) {
    const uint64_t before = aws->requests(operation);
    while (aws->requests(operation) < before + 20) clock.sleep_ms(20);
    gateway->ok({"snapshot", "cancel", std::to_string(ordered["JobId"].get<int64_t>())});
    EXPECT_EQ(follow(ordered).value("State", ""), "cancelled");
  };
  aws->set_latency_ms(200);
  cancel(gateway->json({"snapshot", "pull", snapshot, "--to", "db"}),
         EbsOperation::get_snapshot_block);
  EXPECT_TRUE(gateway->json({"snapshot", "show", "db"})["Points"].empty());
  aws->set_latency_ms(0);
  pull({snapshot});  // goes on
  aws->set_latency_ms(200);
  cancel(gateway->json({"snapshot", "restore", "db"}), EbsOperation::put_snapshot_block);
  aws->set_latency_ms(0);
  const json restored = follow(gateway->json({"snapshot", "restore", "db"}));
  ASSERT_EQ(restored.value("State", ""), "succeeded") << restored;
  EXPECT_EQ(digest_of(restored.value("Result", ""), 1), digest_of(snapshot, 1));
  EXPECT_NE(gateway->cli({"snapshot", "cancel", "1"}).exit_code, 0) << "it has ended";
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, AKilledGatewayGoesOnWhereItWas) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {}, true, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 300, 1, EbsPattern::compressible);
  const std::string snapshot = aws->make_snapshot(volume);
  aws->set_latency_ms(60);
  const json ordered = gateway->json({"snapshot", "pull", snapshot, "--to", "db"});
  SystemClock clock;
  while (aws->requests(EbsOperation::get_snapshot_block) < 100) clock.sleep_ms(20);
  gateway->kill();
  ASSERT_TRUE(gateway->start().ok());
  aws->set_latency_ms(0);
  const json job = follow(ordered);
  ASSERT_EQ(job.value("State", ""), "succeeded") << job;
  const json restored = follow(gateway->json({"snapshot", "restore", "db", "--encrypted"}));
  ASSERT_EQ(restored.value("State", ""), "succeeded") << restored;
  EXPECT_TRUE(aws->snapshot(restored.value("Result", ""))->encrypted);
  EXPECT_EQ(digest_of(restored.value("Result", ""), 1), digest_of(snapshot, 1));
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, AnotherAccountByItsRole) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume =
      aws->make_volume({1, {}, false, "", 0, 0, {}}, {kOther, "eu-central-1"});
  aws->write_pattern(volume, 0, 5, 1);
  const std::string snapshot = aws->make_snapshot(volume);
  EXPECT_NE(gateway->cli({"snapshot", "pull", snapshot}).exit_code, 0);  // not ours
  pull({snapshot, "--account", "other"});
  EXPECT_GT(aws->requests(EbsOperation::assume_role), 0U);
  const json shown = gateway->json({"snapshot", "show", volume});
  EXPECT_EQ(shown["Account"], kOther);
  EXPECT_EQ(shown["Region"], "eu-central-1");
  EXPECT_NE(gateway->cli({"snapshot", "pull", snapshot, "--account", "nobody"}).exit_code, 0);
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, ARecoveryPointOfAVolumeBecomesASnapshot) {
  ASSERT_TRUE(gateway->start().ok());
  const std::string raw = gateway->directory() + "/disk.raw";
  {
    std::ofstream out(raw, std::ios::binary);
    const std::string text(3 * kEbsBlockBytes / 2, 'x');
    out.seekp(4 * kEbsBlockBytes);
    out << text;
  }
  std::filesystem::resize_file(raw, GiB);
  gateway->ok({"volume", "import", raw, "--name", "files"});
  gateway->ok({"volume", "point", "create", "files", "--name", "nightly"});
  const json made = follow(gateway->json({"snapshot", "restore", "files@nightly"}));
  ASSERT_EQ(made.value("State", ""), "succeeded") << made;
  const std::string first = made.value("Result", "");
  EXPECT_EQ(aws->snapshot_blocks(first), (std::vector<uint64_t>{4, 5}));
  EXPECT_EQ(digest_of(first, 1), digest_of_file(raw));
  EXPECT_NE(gateway->cli({"snapshot", "restore", "files@none"}).exit_code, 0);
  EXPECT_EQ(aws->rejections(), std::vector<std::string>());
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotTest, APolicyPullsWhatItMade) {
  gateway =
      std::make_unique<Gateway>(configuration() +
                                "[[policy]]\nname = \"nightly\"\ntags = { Backup = \"true\" }\n"
                                "keep_in_aws = { last = 2 }\nkeep_in_archive = { last = 2 }\n");
  ASSERT_TRUE(gateway->start().ok());
  const std::string volume = aws->make_volume({1, {{"Backup", "true"}}, false, "", 0, 0, {}});
  aws->write_pattern(volume, 0, 4, 1);
  gateway->ok({"policy", "run", "nightly", "--wait"});
  SystemClock clock;
  json shown = json::object();
  for (int i = 0; i < 1200 && shown.value("Points", json::array()).empty(); ++i) {
    clock.sleep_ms(100);
    if (gateway->cli({"snapshot", "show", volume}).exit_code != 0) continue;
    shown = gateway->json({"snapshot", "show", volume});
  }
  ASSERT_EQ(shown["Points"].size(), 1U) << shown;
  const std::string snapshot = shown["Points"][0]["SnapshotId"];
  EXPECT_EQ(shown["Points"][0]["FetchedBlocks"], 4);
  EXPECT_EQ(aws->snapshot(snapshot)->tags.at("Backup"), "true");
  EXPECT_EQ(gateway->stop(), 0);
}

// A region is a part of the host that signed requests go to.
// Twice would be once too often: by then a schedule may have frozen something.
TEST_F(SnapshotTest, WhatWasLeftFrozenIsThawedOncePerStart) {
  ASSERT_TRUE(gateway->start().ok());  // makes the folder
  EXPECT_EQ(gateway->stop(), 0);
  const std::string path = gateway->data() + "/quiesce/left.json";
  std::ofstream(path) << json{
      {"what", "db"}, {"post", {"/bin/false"}}, {"timeout_ms", 5'000}, {"starts", 0}};
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(gateway->stop(), 0);
  std::ifstream left(path);
  ASSERT_TRUE(left.good());
  EXPECT_EQ(json::parse(left)["starts"], 1);
}

TEST_F(SnapshotTest, ARegionIsANameAndNothingElse) {
  ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  for (const char* bad : {"evil.example/#", "a@b-1", "us-east-1.evil", "us-east-1:443", "-", "x"}) {
    const CommandResult refused = gateway->cli({"snapshot", "list", "--aws", "--region", bad});
    EXPECT_EQ(refused.exit_code, 2) << bad;
    EXPECT_NE(refused.output.find("is no region"), std::string::npos) << bad << refused.output;
  }
  EXPECT_EQ(gateway->cli({"snapshot", "list", "--aws", "--region", "eu-central-1"}).exit_code, 0);
  EXPECT_EQ(gateway->stop(), 0);
}

}  // namespace
}  // namespace coldshelf::test
