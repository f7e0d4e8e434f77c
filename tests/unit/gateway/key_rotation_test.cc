// Keys change, data does not.
#include "gateway/key_rotation.h"

#include <thread>

#include "tests/unit/gateway/gateway_fixture.h"
#include "uploader/shelf.h"

namespace coldshelf::test {
namespace {

std::unique_ptr<const KeyWrapper> key_of(char digit) {
  return std::make_unique<const KeyEncryptionKey>(*KeyEncryptionKey::parse(std::string(64, digit)));
}

class Rotation : public ::testing::Test {
 protected:
  // The key in use, and old ones.
  void open(char current, const std::string& old = {}) {
    gateway.ring = std::make_unique<KeyRing>(key_of(current));
    for (const char digit : old) ASSERT_OK(gateway.ring->add_old(key_of(digit)));
    gateway.open();
    rotation = std::make_unique<KeyRotation>(
        KeyRotation::Env{&gateway.clock(), &gateway.random, gateway.catalog.get(),
                         gateway.vault.get(), gateway.tapes.get(), gateway.ring.get()});
  }
  void close() {
    rotation.reset();
    gateway.close();
  }
  RotationProgress wait() {
    for (int i = 0; i < 3'000; ++i) {
      RotationProgress now = rotation->progress();
      if (now.state != RotationProgress::State::running) return now;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "the rotation does not end";
    return {};
  }
  Manifest manifest(const std::string& barcode) {
    auto row = gateway.tapes->show(barcode);
    EXPECT_OK(row);
    auto read = gateway.vault->read_manifest(row->row.uuid);
    EXPECT_OK(read);
    return *std::move(read);
  }
  std::string data_key(const std::string& barcode) {
    auto key = gateway.vault->data_key(manifest(barcode));
    EXPECT_OK(key);
    return key.ok() && *key ? std::string((*key)->reveal()) : std::string();
  }
  std::string key_in_store(const std::string& barcode) {
    const Uuid uuid = manifest(barcode).uuid;
    for (int i = 0; i < 1'000; ++i) {
      auto report = rotation->report();
      if (report.ok() && report->not_uploaded == 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    auto image = gateway.store->get_all(manifest_key(uuid));
    EXPECT_OK(image);
    auto replayed = decode_manifest(*image, false);
    EXPECT_OK(replayed);
    return replayed.ok() ? replayed->manifest.key.key_id : std::string();
  }
  uint64_t count(const std::string& id) {
    auto report = rotation->report();
    EXPECT_OK(report);
    for (const auto& key : report->keys) {
      if (key.id == id) return key.tapes;
    }
    return 0;
  }

  TestGateway gateway{true};  // in real time: a rotation has a thread of its own
  std::unique_ptr<KeyRotation> rotation;
  const std::string a = key_of('a')->id(), b = key_of('b')->id(), c = key_of('c')->id();
};

TEST_F(Rotation, ReachesTapesOnTheShelfInSlotsAndInDrives) {
  open('a');
  gateway.create("PLAIN1L8");
  for (const char* barcode : {"SLOT01L8", "SHELF1L8", "DRIVE1L8"}) {
    gateway.create(barcode);
    gateway.write_files(barcode, 2, 10, 50'000);
  }
  gateway.archive("SHELF1L8");
  std::map<std::string, std::string> keys;
  for (const char* barcode : {"PLAIN1L8", "SLOT01L8", "SHELF1L8", "DRIVE1L8"}) {
    keys[barcode] = data_key(barcode);
  }
  EXPECT_EQ(count(a), 4U);
  EXPECT_EQ(gateway.tapes->show("SHELF1L8")->row.status, TapeStatus::archived);
  close();

  open('b', "a");
  EXPECT_EQ(count(a), 4U);
  EXPECT_EQ(count(b), 0U);
  ASSERT_OK(gateway.tapes->load("DRIVE1L8", 2));
  TapeDrive& drive = *gateway.drives[1];
  ASSERT_OK(rotation->start());
  const RotationProgress done = wait();
  EXPECT_EQ(to_string(done.state), "succeeded");
  EXPECT_EQ(done.done, 4U);
  EXPECT_EQ(done.total, 4U);
  EXPECT_EQ(count(a), 0U);
  EXPECT_EQ(count(b), 4U);
  for (const auto& [barcode, key] : keys) {
    EXPECT_EQ(manifest(barcode).key.key_id, b) << barcode;
    EXPECT_EQ(data_key(barcode), key) << barcode;
    EXPECT_EQ(key_in_store(barcode), b) << barcode;
  }
  // The drive goes on with its tape, reading and writing.
  auto first = drive.read();
  ASSERT_OK(first);
  EXPECT_EQ(first->record.flatten(), TestGateway::record(0, 0, 50'000));
  ASSERT_OK(gateway.tapes->unload(2));
  close();

  open('b');  // the old key is gone
  for (const char* barcode : {"SLOT01L8", "DRIVE1L8", "SHELF1L8"}) {
    if (std::string(barcode) == "SHELF1L8") gateway.retrieve(barcode);
    ASSERT_OK(gateway.tapes->load(barcode, 2));
    for (int f = 0; f < 2; ++f) {
      for (int r = 0; r < 10; ++r) {
        auto got = gateway.drives[1]->read();
        ASSERT_OK(got);
        ASSERT_EQ(got->kind, ReadOutcome::Kind::record);
        EXPECT_EQ(got->record.flatten(), TestGateway::record(f, r, 50'000));
      }
      ASSERT_OK(gateway.drives[1]->read());
    }
    ASSERT_OK(gateway.tapes->unload(2));
  }
  close();
}

// Under a writer: records before, during and after the edit belong to one tape.
TEST_F(Rotation, BesideAWriter) {
  open('a');
  gateway.create("BUSY01L8");
  close();
  open('b', "a");
  ASSERT_OK(gateway.tapes->load("BUSY01L8", 1));
  TapeDrive& drive = *gateway.drives[0];
  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    while (!stop && written < 2'000) {
      auto wrote = drive.write(TestGateway::record(0, written, 20'000));
      EXPECT_OK(wrote);
      if (!wrote.ok()) return;
      ++written;
    }
  });
  while (written < 100) std::this_thread::yield();
  ASSERT_OK(rotation->start());
  EXPECT_EQ(to_string(wait().state), "succeeded");
  const int at_the_edit = written;
  while (written < std::min(2'000, at_the_edit + 100)) std::this_thread::yield();
  stop = true;
  writer.join();
  ASSERT_OK(gateway.tapes->unload(1));
  EXPECT_EQ(manifest("BUSY01L8").key.key_id, b);
  close();
  open('b');
  ASSERT_OK(gateway.tapes->load("BUSY01L8", 1));
  for (int r = 0; r < written; ++r) {
    auto got = gateway.drives[0]->read();
    ASSERT_OK(got);
    ASSERT_EQ(got->record.flatten(), TestGateway::record(0, r, 20'000)) << r;
  }
  close();
}

TEST_F(Rotation, ATapeWhoseKeyIsMissingIsNamedTheOthersGoOn) {
  open('c');
  gateway.create("FORGN1L8");
  close();
  open('a');
  gateway.create("MINE01L8");
  close();
  open('b', "a");
  auto foreign = rotation->key_of(gateway.tapes->show("FORGN1L8")->row);
  ASSERT_OK(foreign);
  EXPECT_EQ(to_string(foreign->state), "missing");
  EXPECT_EQ(foreign->id, c);
  EXPECT_CODE(gateway.tapes->load("FORGN1L8", 1), key_mismatch);
  ASSERT_OK(rotation->start());
  const RotationProgress done = wait();
  EXPECT_EQ(to_string(done.state), "failed");
  ASSERT_EQ(done.failures.size(), 1U);
  EXPECT_EQ(done.failures[0].barcode, "FORGN1L8");
  EXPECT_NE(done.failures[0].error.find(c), std::string::npos) << done.failures[0].error;
  EXPECT_EQ(manifest("FORGN1L8").key.key_id, c);
  EXPECT_EQ(manifest("MINE01L8").key.key_id, b);
  EXPECT_OK(gateway.tapes->load("MINE01L8", 1));
  close();
}

TEST_F(Rotation, GoesOnAfterARestart) {
  open('a');
  for (int i = 1; i <= 6; ++i) gateway.create("TAPE0" + std::to_string(i) + "L8");
  close();
  open('b', "a");
  // What a kill between two tapes leaves: some done, the setting still there.
  ASSERT_OK(rotation->start());
  rotation->stop();
  EXPECT_EQ(count(a) + count(b), 6U);
  ASSERT_OK(gateway.catalog->set_setting("key_rotation", "running"));
  close();
  open('b', "a");
  for (int i = 1; i <= 6; ++i) {  // each opens with what it has
    EXPECT_FALSE(data_key("TAPE0" + std::to_string(i) + "L8").empty());
  }
  ASSERT_OK(rotation->resume());
  EXPECT_EQ(to_string(wait().state), "succeeded");
  EXPECT_EQ(count(b), 6U);
  close();
  open('b', "a");
  ASSERT_OK(rotation->resume());  // nothing is left of it
  EXPECT_EQ(to_string(rotation->progress().state), "none");
  close();
}

TEST_F(Rotation, NeedsAKey) {
  gateway.open();
  rotation = std::make_unique<KeyRotation>(
      KeyRotation::Env{&gateway.clock(), &gateway.random, gateway.catalog.get(),
                       gateway.vault.get(), gateway.tapes.get(), nullptr});
  gateway.create("PLAIN1L8");
  EXPECT_CODE(rotation->start(), conflict);
  auto report = rotation->report();
  ASSERT_OK(report);
  EXPECT_EQ(report->not_encrypted, 1U);
  EXPECT_TRUE(report->keys.empty());
  close();
}

}  // namespace
}  // namespace coldshelf::test
