// Archives of EBS snapshots as the cartridges they are: in the store and on the shelf, served,
// cloned, exported, rebuilt from the store alone, under another key.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "tests/e2e/snapshot_fixture.h"
#include "tests/support/disk_client.h"

namespace coldshelf::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kPools =
    "[cartridge]\nsegment_size = \"1MiB\"\n"
    "[[pool]]\nname = \"GLACIER\"\nstorage_class = \"GLACIER\"\n"
    "[[pool]]\nname = \"DEEP\"\nstorage_class = \"DEEP_ARCHIVE\"\n";
constexpr const char* kShort =
    "restore_expedited = \"200ms\"\nrestore_standard = \"300ms\"\nrestore_bulk = \"400ms\"\n"
    "restore_poll = \"50ms\"\n";

class SnapshotArchiveTest : public SnapshotTest {
 protected:
  void begin(const std::string& more) {
    gateway = std::make_unique<Gateway>(configuration() + more);
    ASSERT_TRUE(gateway->start().ok()) << gateway->log();
    volume = aws->make_volume({1, {{"Name", "db"}}, false, "", 0, 0, {}});
    aws->write_pattern(volume, 0, 24, 1);
    aws->write_zeros(volume, 40, 3);
    aws->write_pattern(volume, 2000, 8, 9, EbsPattern::random);
    first = aws->make_snapshot(volume, {{"Env", "prod"}});
    pull({first, "--to", "db"});
  }
  // The second snapshot: changed, trimmed, touched.
  void change() {
    aws->write_pattern(volume, 5, 3, 2);
    aws->trim(volume, 10, 2);
    aws->touch(volume, 20, 2);
    second = aws->make_snapshot(volume);
  }
  json done(const std::vector<std::string>& order) {
    const json job = follow(gateway->json(order));
    EXPECT_EQ(job.value("State", ""), "succeeded") << job;
    return job;
  }
  void refused(const std::vector<std::string>& order, const std::string& why) {
    const CommandResult result = gateway->cli(order);
    EXPECT_NE(result.exit_code, 0) << result.output;
    EXPECT_NE(result.output.find(why), std::string::npos) << result.output;
  }
  std::string status() { return gateway->json({"snapshot", "show", "db"}).value("Status", ""); }
  // Restored again, it is the snapshot: the same blocks, the same bytes.
  void expect_restored(const std::string& snapshot) {
    const json job = done({"snapshot", "restore", "db@" + snapshot});
    const std::string made = job.value("Result", "");
    ASSERT_FALSE(made.empty());
    const std::vector<uint64_t> blocks = aws->snapshot_blocks(snapshot);
    ASSERT_EQ(aws->snapshot_blocks(made), blocks);
    for (const uint64_t block : blocks) {
      ASSERT_EQ(aws->snapshot_block(made, block), aws->snapshot_block(snapshot, block)) << block;
    }
  }
  void expect_disk(const std::string& name, const std::string& snapshot) {
    auto disk = DiskClient::connect(gateway->portal(), gateway->target("volume-" + name));
    ASSERT_TRUE(disk.ok()) << disk.error().message();
    EXPECT_EQ(disk->size_bytes(), GiB);
    const Buffer zeros(kEbsBlockBytes, std::byte{0});
    for (const uint64_t block : {0U, 5U, 7U, 10U, 23U, 24U, 40U, 42U, 1000U, 2000U, 2007U, 2047U}) {
      const auto read = disk->read(block * kEbsBlockBytes, kEbsBlockBytes);
      ASSERT_TRUE(read.ok()) << read.error().message();
      const auto expected = aws->snapshot_block(snapshot, block);
      EXPECT_TRUE(equal(*read, expected ? ByteView(*expected) : ByteView(zeros))) << block;
    }
  }
  virtual std::string store_directory() const { return gateway->store(); }
  // All that is sealed is in the store, with the manifest that names it.
  void wait_stored() {
    SystemClock clock;
    const std::string uuid = gateway->json({"snapshot", "show", "db"})["Uuid"];
    const std::string manifest = store_directory() + "/cartridges/" + uuid + "/manifest~meta";
    int quiet = 0;  // looks in a row: a change of this very moment has no age yet
    for (int i = 0; i < 300 && quiet < 3; ++i) {
      const json shown = gateway->json({"snapshot", "show", "db"});
      const bool stored = shown["NotUploadedAgeMs"] == 0 && shown["StoredInBytes"] > 0;
      quiet = stored && fs::exists(manifest) ? quiet + 1 : 0;
      clock.sleep_ms(200);
    }
    EXPECT_EQ(quiet, 3);
  }
  size_t segments_here(const std::string& uuid) {
    size_t count = 0;
    for (const auto& file : fs::directory_iterator(gateway->data() + "/cartridges/" + uuid)) {
      count += file.path().extension() == ".seg" ? 1 : 0;
    }
    return count;
  }

  std::string volume, first, second;
};

TEST_F(SnapshotArchiveTest, ToTheShelfAndBack) {
  begin(std::string(kPools) + "[store]\n" + kShort);
  const json here = gateway->json({"snapshot", "show", "db"});
  const std::string uuid = here["Uuid"];
  EXPECT_EQ(here["Pool"], "GLACIER");
  EXPECT_EQ(here["Status"], "AVAILABLE");
  wait_stored();
  EXPECT_TRUE(fs::exists(gateway->store() + "/cartridges/" + uuid + "/manifest~meta"));
  change();
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  EXPECT_EQ(status(), "ARCHIVED");
  EXPECT_EQ(segments_here(uuid), 0U);
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][0]["Tags"]["Env"], "prod");
  const std::string shelf = "on the shelf";
  refused({"snapshot", "pull", second}, shelf);
  refused({"snapshot", "restore", "db"}, shelf);
  refused({"snapshot", "verify", "db"}, shelf);
  refused({"volume", "mount", "db@latest", "--name", "look"}, shelf);
  refused({"volume", "clone", "db@latest", "--name", "copy"}, shelf);
  refused({"volume", "export", "db@latest", "--to", gateway->directory() + "/x"}, shelf);
  refused({"snapshot", "archive", "db"}, shelf);
  EXPECT_EQ(gateway->json({"snapshot", "list"})["Archives"].size(), 1U);
  // A restart leaves it there.
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(status(), "ARCHIVED");

  const json estimate = gateway->json({"snapshot", "retrieve", "db", "--estimate"});
  EXPECT_GT(estimate["Objects"], 3);
  EXPECT_EQ(estimate["Tiers"].size(), 3U);
  EXPECT_NE(gateway->cli({"snapshot", "retrieve", "db", "--estimate"}).output.find("db: "),
            std::string::npos);
  EXPECT_EQ(status(), "ARCHIVED");
  gateway->ok({"snapshot", "retrieve", "db", "--tier", "Bulk", "--days", "2", "--wait"});
  const json back = gateway->json({"snapshot", "show", "db"});
  EXPECT_EQ(back["Status"], "RETRIEVED");
  EXPECT_TRUE(back.contains("ReadableUntil")) << back;
  done({"snapshot", "verify", "db"});
  expect_restored(first);
  gateway->ok({"volume", "mount", "db@" + first, "--name", "look"});
  expect_disk("look", first);
  refused({"snapshot", "archive", "db"}, "mounted");
  gateway->ok({"volume", "unmount", "look"});
  // A clone would outlive the restored copies; a copy needs them while it is made.
  refused({"volume", "clone", "db@latest", "--name", "copy"}, "coldshelf volume copy");
  gateway->ok({"volume", "copy", "db@latest", "--name", "copy"});
  expect_disk("copy", first);
  refused({"snapshot", "delete", "db@latest", "--force"}, "whole archives");
  // It goes on: what changed since, behind what is on the shelf.
  pull({second});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][1]["Base"], first);
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][1]["FetchedBlocks"], 5);
  expect_restored(second);
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(status(), "RETRIEVED");
  expect_restored(second);
  gateway->ok({"snapshot", "archive", "db", "--pool", "DEEP", "--wait"});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "DEEP");
  refused({"snapshot", "retrieve", "db", "--tier", "Expedited"}, "Expedited");
  EXPECT_EQ(status(), "ARCHIVED");
  gateway->ok({"snapshot", "retrieve", "db", "--wait"});
  expect_restored(first);
  expect_restored(second);
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  gateway->ok({"store", "verify"});
  // Deleted from the shelf, with everything.
  gateway->ok({"snapshot", "delete", "db"});
  EXPECT_TRUE(gateway->json({"snapshot", "list"})["Archives"].empty());
  EXPECT_FALSE(fs::exists(gateway->store() + "/cartridges/" + uuid + "/manifest~meta"));
  EXPECT_FALSE(fs::exists(gateway->data() + "/cartridges/" + uuid));
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotArchiveTest, MovesToAnotherPool) {
  begin("[[pool]]\nname = \"STANDARD\"\nstorage_class = \"STANDARD\"\n" + std::string(kPools) +
        "[store]\n" + kShort);
  // In the library its pool changes at once.
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "STANDARD");
  gateway->ok({"snapshot", "reassign", "db", "--pool", "GLACIER"});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "GLACIER");
  EXPECT_EQ(status(), "AVAILABLE");
  expect_restored(first);
  refused({"snapshot", "reassign", "db", "--pool", "NONE"}, "there is no pool 'NONE'");
  // It is closed for a moment meanwhile: who comes just then waits.
  std::atomic<bool> stop{false};
  unsigned moves = 0;  // not every one comes between two pulls
  std::thread mover([&] {
    for (unsigned i = 0; !stop; ++i) {
      const char* pool = i % 2 == 0 ? "STANDARD" : "GLACIER";
      if (gateway->cli({"snapshot", "reassign", "db", "--pool", pool}).exit_code == 0) ++moves;
    }
  });
  for (int i = 0; i < 10; ++i) done({"snapshot", "pull", first, "--to", "db"});
  stop = true;
  mover.join();
  EXPECT_GT(moves, 0U);
  gateway->ok({"snapshot", "reassign", "db", "--pool", "GLACIER"});
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  const json estimate =
      gateway->json({"snapshot", "reassign", "db", "--pool", "DEEP", "--estimate"});
  EXPECT_EQ(estimate["Archive"], "db");
  EXPECT_GT(estimate["Restore"]["Objects"], 3);
  EXPECT_LT(estimate["MonthlyAfter"], estimate["MonthlyBefore"]);
  refused({"snapshot", "reassign", "db", "--pool", "DEEP"}, "--yes");
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "GLACIER");
  const json job = done({"snapshot", "reassign", "db", "--pool", "DEEP", "--yes"});
  EXPECT_EQ(job["Kind"], "reassign");
  EXPECT_EQ(job["Type"], "archive");
  EXPECT_EQ(status(), "ARCHIVED");
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "DEEP");
  refused({"snapshot", "reassign", "db", "--pool", "GLACIER", "--yes"}, "not colder");
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "DEEP");
  refused({"snapshot", "retrieve", "db", "--tier", "Expedited"}, "Expedited");
  gateway->ok({"snapshot", "retrieve", "db", "--wait"});
  expect_restored(first);
  EXPECT_EQ(gateway->stop(), 0);
}

// The job goes on after a restart, and what it came to is shown.
TEST_F(SnapshotArchiveTest, AMoveToAnotherPoolOutlivesARestartAndIsCancelled) {
  begin(std::string(kPools) + "[store]\nrestore_bulk = \"2s\"\nrestore_poll = \"50ms\"\n");
  gateway->ok({"snapshot", "archive", "db", "--pool", "GLACIER", "--wait"});
  json job = gateway->json({"snapshot", "reassign", "db", "--pool", "DEEP", "--yes"});
  refused({"snapshot", "retrieve", "db"}, "job");
  gateway->ok({"snapshot", "cancel", std::to_string(job["JobId"].get<int64_t>())});
  EXPECT_EQ(follow(job).value("State", ""), "cancelled");
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "GLACIER");
  job = gateway->json({"snapshot", "reassign", "db", "--pool", "DEEP", "--yes"});
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(follow(job).value("State", ""), "succeeded");
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Pool"], "DEEP");
  EXPECT_EQ(gateway->stop(), 0);
}

// Lost, and mended: it is asked for again, on its way to the shelf and on it.
TEST_F(SnapshotArchiveTest, OneThatIsIrrecoverableIsTriedAgain) {
  begin(std::string(kPools) + "[store]\nrestore_standard = \"1s\"\nrestore_poll = \"50ms\"\n");
  wait_stored();
  const std::string uuid = gateway->json({"snapshot", "show", "db"})["Uuid"];
  const std::string objects = store_directory() + "/cartridges/" + uuid + "/segments";
  const std::string here = gateway->data() + "/cartridges/" + uuid;
  std::set<std::string> stems;
  for (const auto& file : fs::directory_iterator(here)) {
    if (file.path().extension() == ".seg") stems.insert(file.path().stem());
  }
  ASSERT_FALSE(stems.empty());
  const std::string first_stem = *stems.begin();
  const std::string away = gateway->directory() + "/away";
  fs::create_directories(away);
  const auto move_object = [&](const std::string& from, const std::string& to) {
    std::vector<fs::path> parts;
    for (const auto& part : fs::directory_iterator(from)) parts.push_back(part.path());
    for (const fs::path& part : parts) {
      const std::string name = part.filename();
      if (name.starts_with(first_stem)) fs::rename(part, fs::path(to) / name);
    }
  };
  EXPECT_EQ(gateway->stop(), 0);
  fs::remove(here + "/" + first_stem + ".seg");
  move_object(objects, away);
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_NE(gateway->cli({"snapshot", "archive", "db", "--pool", "GLACIER", "--wait"}).exit_code,
            0);
  EXPECT_EQ(status(), "IRRECOVERABLE");
  refused({"snapshot", "retrieve", "db"}, "ARCHIVED");
  move_object(away, objects);
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  EXPECT_EQ(status(), "ARCHIVED");
  move_object(objects, away);
  EXPECT_NE(gateway->cli({"snapshot", "retrieve", "db", "--wait"}).exit_code, 0);
  EXPECT_EQ(status(), "IRRECOVERABLE");
  refused({"snapshot", "archive", "db"}, "retrieve it");
  move_object(away, objects);
  gateway->ok({"snapshot", "retrieve", "db", "--wait"});
  EXPECT_EQ(status(), "RETRIEVED");
  EXPECT_EQ(gateway->stop(), 0);
}

// `--force` is what `volume delete --force` is: for what cannot be opened.
TEST_F(SnapshotArchiveTest, OneThatCannotBeOpenedIsDeletedByForce) {
  begin("");
  EXPECT_EQ(gateway->stop(), 0);
  const std::string uuid =
      fs::directory_iterator(gateway->data() + "/cartridges")->path().filename();
  for (const auto& file : fs::directory_iterator(gateway->data() + "/cartridges/" + uuid)) {
    if (file.path().filename() != "manifest") fs::resize_file(file.path(), 100);
  }
  ASSERT_TRUE(gateway->start().ok());
  EXPECT_EQ(status(), "FAILED");
  refused({"snapshot", "delete", "db"}, "with force");
  gateway->ok({"snapshot", "delete", "db", "--force"});
  EXPECT_TRUE(gateway->json({"snapshot", "list"})["Archives"].empty());
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotArchiveTest, JobsOfTheShelfAreCancelled) {
  begin(std::string(kPools) + "[store]\nrestore_standard = \"60s\"\nrestore_poll = \"50ms\"\n" +
        "[[policy]]\nname = \"p\"\ntags = { Name = \"db\" }\n");
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  const json job = gateway->json({"snapshot", "retrieve", "db"});
  EXPECT_EQ(status(), "RETRIEVING");
  // A policy's pull does not wait for it, nor fail: the next run has what changed since.
  gateway->ok({"policy", "run", "p"});
  SystemClock clock;
  json item = json::object();
  for (int i = 0; i < 200 && item.value("State", "") != "skipped-archived"; ++i) {
    clock.sleep_ms(100);
    const json run = gateway->json({"policy", "show", "p"})["Runs"][0];
    if (!run["Items"].empty()) item = run["Items"][0];
  }
  EXPECT_EQ(item.value("State", ""), "skipped-archived") << item;
  refused({"snapshot", "restore", "db"}, "RETRIEVING");
  refused({"snapshot", "delete", "db"}, "job");
  gateway->ok({"snapshot", "cancel", std::to_string(job["JobId"].get<int64_t>())});
  EXPECT_EQ(follow(job).value("State", ""), "cancelled");
  refused({"snapshot", "restore", "db"}, "on the shelf");
  EXPECT_EQ(status(), "ARCHIVED");
  EXPECT_EQ(gateway->stop(), 0);
}

// Retrieved again it is locked as before: neither it nor a part of it is deleted, by nobody.
TEST_F(SnapshotArchiveTest, OfALockedArchiveNoPointIsDeleted) {
  begin(
      "[[pool]]\nname = \"vault\"\nstorage_class = \"GLACIER\"\nlock = \"compliance\"\n"
      "lock_days = 2\n[store]\n" +
      std::string(kShort) +
      "[[policy]]\nname = \"p\"\ntags = { Name = \"db\" }\nkeep_in_archive = { last = 1 }\n");
  const auto run = [&] {
    gateway->ok({"policy", "run", "p", "--wait"});
    return gateway->json({"policy", "show", "p"})["Runs"].back();
  };
  run();
  gateway->ok({"snapshot", "archive", "db", "--pool", "vault", "--wait"});
  gateway->ok({"snapshot", "retrieve", "db", "--wait"});
  change();
  pull({second});
  refused({"snapshot", "delete", "db@" + first}, "locked (COMPLIANCE)");
  refused({"snapshot", "delete", "db@" + second}, "locked (COMPLIANCE)");
  const json third = run();
  EXPECT_TRUE(third["Failed"].empty()) << third;
  EXPECT_NE(third["Skipped"].dump().find("locked (COMPLIANCE)"), std::string::npos) << third;
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"].size(), 4U);
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotArchiveTest, ServedClonedAndExported) {
  begin(kPools);
  change();
  pull({second});
  gateway->ok({"volume", "mount", "db@" + first, "--name", "look"});
  expect_disk("look", first);
  {
    auto disk = DiskClient::connect(gateway->portal(), gateway->target("volume-look"));
    ASSERT_TRUE(disk.ok());
    EXPECT_FALSE(disk->write(0, Buffer(4096)).ok()) << "it is read-only";
  }
  gateway->ok({"volume", "clone", "db@" + second, "--name", "copy"});
  expect_disk("copy", second);
  {
    auto disk = DiskClient::connect(gateway->portal(), gateway->target("volume-copy"));
    ASSERT_TRUE(disk.ok());
    ASSERT_TRUE(disk->write(0, Buffer(4096, std::byte{7})).ok());
    EXPECT_EQ((*disk->read(0, 4096)), Buffer(4096, std::byte{7}));
  }
  // The archive is what it was, and no target of its own.
  expect_restored(second);
  EXPECT_FALSE(DiskClient::connect(gateway->portal(), gateway->target("volume-db")).ok());
  const json volumes = gateway->json({"volume", "list"});
  ASSERT_EQ(volumes["Volumes"].size(), 1U) << "archives are listed as archives";
  EXPECT_EQ(volumes["Volumes"][0]["Name"], "copy");
  refused({"volume", "delete", "db", "--force"}, "archive of EBS snapshots");
  refused({"volume", "resize", "db", "--size", "2GiB"}, "archive of EBS snapshots");
  refused({"volume", "rollback", "db@" + first}, "archive of EBS snapshots");
  refused({"volume", "point", "create", "db"}, "archive of EBS snapshots");
  refused({"volume", "create", "--name", "DB", "--size", "1GiB"}, "there is an archive db");
  refused({"snapshot", "show", "copy"}, "is a volume");
  refused({"snapshot", "delete", "copy"}, "is a volume");
  refused({"snapshot", "archive", "db"}, "clones");
  refused({"snapshot", "delete", "db"}, "clones");
  refused({"snapshot", "delete", "db@" + first}, "mounted");
  // Out as images.
  const std::string raw = gateway->directory() + "/db.raw";
  const std::string qcow2 = gateway->directory() + "/db.qcow2";
  gateway->ok({"volume", "export", "db@" + first, "--to", raw});
  EXPECT_EQ(digest_of_file(raw), digest_of(first, 1));
  gateway->ok({"volume", "export", "db@" + second, "--to", qcow2, "--format", "qcow2"});
  fs::remove(raw);
  ASSERT_TRUE(run_to_end({"qemu-img", "convert", "-O", "raw", qcow2, raw}).ok());
  EXPECT_EQ(digest_of_file(raw), digest_of(second, 1));
  // The clone becomes a snapshot, and goes; then the archive is free.
  gateway->ok({"volume", "point", "create", "copy", "--name", "mine"});
  const json made = done({"snapshot", "restore", "copy@mine"});
  EXPECT_EQ(aws->snapshot_blocks(made.value("Result", "")), aws->snapshot_blocks(second));
  gateway->ok({"volume", "unmount", "look"});
  gateway->ok({"volume", "delete", "copy", "--force"});
  gateway->ok({"snapshot", "delete", "db"});
  EXPECT_TRUE(gateway->json({"snapshot", "list"})["Archives"].empty());
  EXPECT_EQ(gateway->stop(), 0);
}

// A store of its own, so that the gateway can be lost; data is encrypted.
class SnapshotLoss : public SnapshotArchiveTest {
 protected:
  SnapshotLoss() : scratch_(fs::temp_directory_path().string()) {
    for (const char* name : {"/key", "/new.key"}) {
      std::ofstream(scratch_.path() + name) << std::string(64, name[1] == 'k' ? 'a' : 'b') << "\n";
      ::chmod((scratch_.path() + name).c_str(), 0600);
    }
  }
  std::string store_path() const { return scratch_.path() + "/store"; }
  std::string store_directory() const override { return store_path(); }
  std::string key() const { return scratch_.path() + "/key"; }
  std::string stored(const std::string& encryption) const {
    return std::string(kPools) + "[store]\npath = \"" + store_path() +
           "\"\nlink = false\nlease_ttl = \"2s\"\n" + kShort + "[encryption]\nkey_file = \"" +
           encryption;
  }
  void lose_and_recover() {
    gateway->kill();
    gateway = std::make_unique<Gateway>(configuration() + stored(key() + "\"\n"));
    const auto recovered =
        run_to_end({program("coldshelf"), "recover", "--force", "--store", store_path(), "--config",
                    gateway->directory() + "/coldshelf.toml"});
    ASSERT_TRUE(recovered.ok());
    ASSERT_EQ(recovered->exit_code, 0) << recovered->output;
    EXPECT_NE(recovered->output.find("db"), std::string::npos) << recovered->output;
    ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  }
  CommandResult store_command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program("coldshelf"));
    const auto result = run_to_end(arguments);
    return result.ok() ? *result : CommandResult{-1, ""};
  }

  ScratchDirectory scratch_;
};

TEST_F(SnapshotLoss, RebuiltFromTheStoreAndGoesOn) {
  begin(stored(key() + "\"\n"));
  wait_stored();
  lose_and_recover();
  const json shown = gateway->json({"snapshot", "show", "db"});
  ASSERT_EQ(shown["Points"].size(), 1U) << shown;
  EXPECT_EQ(shown["Status"], "AVAILABLE");
  EXPECT_EQ(shown["VolumeId"], volume);
  EXPECT_EQ(shown["Encrypted"], true);
  EXPECT_EQ(shown["Points"][0]["SnapshotId"], first);
  EXPECT_EQ(shown["Points"][0]["Tags"]["Env"], "prod");
  expect_restored(first);
  change();
  pull({second, "--base", "auto"});
  const json after = gateway->json({"snapshot", "show", "db"});
  ASSERT_EQ(after["Points"].size(), 2U);
  EXPECT_EQ(after["Points"][1]["Base"], first);
  EXPECT_EQ(after["Points"][1]["FetchedBlocks"], 5);
  expect_restored(second);
  wait_stored();
  const auto deep =
      store_command({"store", "verify", "--deep", "--store", store_path(), "--key-file", key()});
  EXPECT_EQ(deep.exit_code, 0) << deep.output;
  const std::string raw = scratch_.path() + "/db.raw";
  const auto exported = store_command(
      {"export", "db@" + first, "--to", raw, "--store", store_path(), "--key-file", key()});
  EXPECT_EQ(exported.exit_code, 0) << exported.output << " (with no gateway)";
  EXPECT_EQ(digest_of_file(raw), digest_of(first, 1));
  gateway->ok({"store", "gc"});
  expect_restored(first);
  // From the shelf, too.
  gateway->ok({"snapshot", "archive", "db", "--wait"});
  lose_and_recover();
  EXPECT_EQ(status(), "ARCHIVED");
  gateway->ok({"snapshot", "retrieve", "db", "--tier", "Expedited", "--wait"});
  expect_restored(first);
  expect_restored(second);
  EXPECT_EQ(gateway->stop(), 0);
}

// The store has a beginning of what the pull fetched: what the gateway's disk knew of its progress
// must not be believed.
TEST_F(SnapshotLoss, LostInTheMiddleOfAPull) {
  std::string large = stored(key() + "\"\n");  // what is pulled is not sealed for long
  large.replace(large.find("1MiB"), 4, "256MiB");
  begin(large);
  wait_stored();
  change();
  aws->write_pattern(volume, 100, 200, 3, EbsPattern::random);
  second = aws->make_snapshot(volume);
  const uint64_t before = aws->requests(EbsOperation::get_snapshot_block);
  aws->set_latency_ms(200);
  const json ordered = gateway->json({"snapshot", "pull", second});
  SystemClock clock;
  while (aws->requests(EbsOperation::get_snapshot_block) < before + 100) clock.sleep_ms(20);
  gateway->ok({"snapshot", "cancel", std::to_string(ordered["JobId"].get<int64_t>())});
  EXPECT_EQ(follow(ordered).value("State", ""), "cancelled");
  aws->set_latency_ms(0);
  EXPECT_GT(gateway->json({"snapshot", "show", "db"})["Pull"].value("NextBlock", 0), 100);
  wait_stored();  // but for what is not sealed
  EXPECT_GT(gateway->json({"snapshot", "show", "db"})["NotUploadedInBytes"], 0);
  lose_and_recover();
  EXPECT_FALSE(gateway->json({"snapshot", "show", "db"}).contains("Pull"));
  pull({second});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][1]["Base"], first);
  expect_restored(first);
  expect_restored(second);
  EXPECT_EQ(gateway->stop(), 0);
}

TEST_F(SnapshotLoss, AnotherGatewayOfTheStoreTakesIt) {
  begin(stored(key() + "\"\n"));
  gateway->ok({"volume", "detach", "db"});
  SystemClock clock;
  for (int i = 0; i < 100 && gateway->cli({"snapshot", "show", "db"}).exit_code == 0; ++i) {
    clock.sleep_ms(100);
  }
  refused({"snapshot", "show", "db"}, "there is no archive");
  Gateway other(configuration() + stored(key() + "\"\n"));
  ASSERT_TRUE(other.start().ok()) << other.log();
  other.ok({"volume", "attach", "db"});
  EXPECT_EQ(gateway->stop(), 0);
  change();
  other.ok({"snapshot", "pull", second, "--wait"});
  const json shown = other.json({"snapshot", "show", "db"});
  ASSERT_EQ(shown["Points"].size(), 2U);
  EXPECT_EQ(shown["Points"][1]["Base"], first);
  other.ok({"snapshot", "verify", "db", "--wait"});
  EXPECT_EQ(other.stop(), 0);
}

TEST_F(SnapshotLoss, TheKeyIsRotated) {
  begin(stored(key() + "\"\n"));
  const std::string other = aws->make_volume({1, {}, false, "", 0, 0, {}});
  aws->write_pattern(other, 0, 4, 1);
  const std::string of_other = aws->make_snapshot(other);
  pull({of_other, "--to", "shelved"});
  gateway->ok({"snapshot", "archive", "shelved", "--wait"});
  EXPECT_EQ(gateway->stop(), 0);
  const std::string fresh = scratch_.path() + "/new.key";
  gateway->set_configuration(configuration() + stored(fresh) +
                             "\"\n[[encryption.old_key]]\nkey_file = \"" + key() + "\"\n");
  ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  gateway->ok({"key", "rotate", "--wait"});
  for (const json& one : gateway->json({"key", "status"})["Keys"]) {
    EXPECT_EQ(one["Tapes"], one["State"] == "current" ? 2 : 0) << one;
  }
  EXPECT_EQ(gateway->stop(), 0);
  gateway->set_configuration(configuration() + stored(fresh + "\"\n"));
  ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  expect_restored(first);
  gateway->ok({"snapshot", "retrieve", "shelved", "--wait"});
  done({"snapshot", "verify", "shelved"});
  EXPECT_EQ(gateway->stop(), 0);
}

// What lay in a directory of its own is found, taken and sent to the store.
TEST_F(SnapshotArchiveTest, AnOldDataDirectoryIsTakenOver) {
  begin("");
  EXPECT_EQ(gateway->stop(), 0);
  const std::string uuid =
      fs::directory_iterator(gateway->data() + "/cartridges")->path().filename();
  Gateway old(configuration());
  ASSERT_TRUE(old.start().ok());
  old.ok({"volume", "create", "--name", "DB", "--size", "1GiB"});
  EXPECT_EQ(old.stop(), 0);
  fs::create_directories(old.data() + "/archives");
  fs::copy(gateway->data() + "/cartridges/" + uuid, old.data() + "/archives/" + uuid);
  gateway = std::make_unique<Gateway>(configuration());
  fs::remove_all(gateway->data());
  fs::copy(old.data(), gateway->data(), fs::copy_options::recursive);
  // It waits for its name.
  ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  refused({"snapshot", "show", "db"}, "is a volume");
  EXPECT_NE(gateway->log().find("a volume has its name"), std::string::npos) << gateway->log();
  gateway->ok({"volume", "delete", "DB"});
  EXPECT_EQ(gateway->stop(), 0);
  ASSERT_TRUE(gateway->start().ok()) << gateway->log();
  EXPECT_FALSE(fs::exists(gateway->data() + "/archives"));
  ASSERT_EQ(gateway->json({"snapshot", "show", "db"})["Points"].size(), 1U);
  expect_restored(first);
  wait_stored();
  EXPECT_TRUE(fs::exists(gateway->store() + "/cartridges/" + uuid + "/manifest~meta"));
  change();
  pull({second});
  EXPECT_EQ(gateway->json({"snapshot", "show", "db"})["Points"][1]["Base"], first);
  EXPECT_EQ(gateway->stop(), 0);
}

}  // namespace
}  // namespace coldshelf::test
