// What the directory store does beyond the conformance suite, and the retries.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/faulty_store.h"
#include "tests/support/process.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"
#include "uploader/cloud/local_directory_store.h"
#include "uploader/cloud/retrying_store.h"

namespace coldshelf::test {
namespace {

PutSource source(std::string_view text) {
  PutSource s;
  s.bytes = as_view(text);
  s.size = text.size();
  s.sha256 = Sha256::of(as_view(text));
  return s;
}

class LocalStoreTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open(bool read_only = false) {
    LocalDirectoryOptions options;
    options.root = "/store";
    auto opened = LocalDirectoryStore::open(files_, clock_, options, read_only);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    store_ = std::move(opened).value();
  }
  Status put(const std::string& key, std::string_view text) {
    auto done = store_->put(key, source(text), StorageClass::standard);
    if (!done.ok()) return std::move(done).error();
    return {};
  }
  SimFileSystem files_;
  SimClock clock_;
  std::unique_ptr<LocalDirectoryStore> store_;
};

TEST_F(LocalStoreTest, KeysThatWouldLeaveTheStoreAreRefused) {
  for (const std::string& key :
       {std::string("../x"), std::string("a/../../x"), std::string("/etc/passwd"),
        std::string("a//b"), std::string("a/./b"), std::string("a/"), std::string(""),
        std::string(".."), std::string(2000, 'k'), std::string(300, 'k')}) {
    EXPECT_EQ(put(key, "x").error().code, ErrorCode::invalid_argument) << key;
    EXPECT_EQ(store_->head(key).error().code, ErrorCode::invalid_argument) << key;
    EXPECT_EQ(store_->remove(key).error().code, ErrorCode::invalid_argument) << key;
  }
  for (const std::string& path : files_.all_files()) EXPECT_TRUE(path.starts_with("/store/"));
}

TEST_F(LocalStoreTest, StrangeKeysKeepApart) {
  const std::vector<std::string> keys = {"a~meta", "a",     "a~data-a", "a%7e",
                                         "A",      "\x01x", "é/~",      std::string("n\0l", 3)};
  for (const std::string& key : keys) ASSERT_TRUE(put(key, "content of " + key).ok());
  for (const std::string& key : keys) {
    EXPECT_EQ(to_text(*store_->get_all(key)), "content of " + key);
  }
  EXPECT_EQ(store_->list("", "", 100)->objects.size(), keys.size());
}

TEST(LocalStoreOnDisk, AVanishedRootIsNotMadeAnew) {
  ScratchDirectory scratch("/tmp");
  PosixFileSystem disk;
  SystemClock clock;
  LocalDirectoryOptions options;
  options.root = scratch.path() + "/store";
  auto store = LocalDirectoryStore::open(disk, clock, options);
  ASSERT_TRUE(store.ok());
  std::filesystem::rename(options.root, options.root + ".away");
  const auto refused = (*store)->put("k", source("x"), StorageClass::standard);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_FALSE(std::filesystem::exists(options.root));
  std::filesystem::rename(options.root + ".away", options.root);
  EXPECT_TRUE((*store)->put("k", source("x"), StorageClass::standard).ok());
}

// On a real file system a sealed file gets a second name: no bytes are copied, and either name may
// go without the other.
TEST(LocalStoreOnDisk, AnImmutableFileIsLinkedNotCopied) {
  for (const bool link : {true, false}) {
    ScratchDirectory scratch("/tmp");
    PosixFileSystem disk;
    SystemClock clock;
    LocalDirectoryOptions options;
    options.root = scratch.path() + "/store";
    options.link_files = link;
    auto store = LocalDirectoryStore::open(disk, clock, options);
    ASSERT_TRUE(store.ok());
    const std::string path = scratch.path() + "/segment";
    ASSERT_TRUE(disk.replace_file(path, as_view("sealed bytes")).ok());
    auto file = disk.open(path, OpenMode::read);
    PutSource s = source("sealed bytes");
    s.bytes = {};
    s.file = file->get();
    s.immutable_path = path;
    ASSERT_TRUE((*store)->put("k", s, StorageClass::standard).ok());
    EXPECT_EQ(std::filesystem::hard_link_count(path), link ? 2U : 1U);
    PutSource damaged = s;
    damaged.sha256 = Sha256::of(as_view("other bytes"));
    const auto refused = (*store)->put("d", damaged, StorageClass::standard);
    ASSERT_FALSE(refused.ok()) << "a link is verified like a copy";
    EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
    EXPECT_EQ((*store)->head("d").error().code, ErrorCode::not_found);
    EXPECT_EQ(std::filesystem::hard_link_count(path), link ? 2U : 1U);
    ASSERT_TRUE(disk.remove(path).ok());
    EXPECT_EQ(to_text(*(*store)->get_all("k")), "sealed bytes");
  }
}

// A power loss at every call of a put in turn: the old object or the new one, never a mixture, and
// what was answered with ok is there.
TEST_F(LocalStoreTest, APutIsAllOrNothing) {
  ASSERT_TRUE(put("k", "the old content").ok());
  for (uint64_t call = 1;; ++call) {
    SeededRandom random(call);
    const std::string text = "content number " + std::to_string(call);
    const std::string before = to_text(*store_->get_all("k"));
    files_.fail_call(files_.counted_calls() + call, ErrorCode::io, true);
    const bool done = put("k", text).ok();
    files_.no_faults();
    files_.crash(random);
    open();
    const auto found = store_->get_all("k");
    ASSERT_TRUE(found.ok()) << "call " << call << ": " << found.error().message();
    if (done) {
      EXPECT_EQ(to_text(*found), text);
    } else {
      EXPECT_TRUE(to_text(*found) == text || to_text(*found) == before) << to_text(*found);
    }
    if (done) {
      EXPECT_GE(call, 5U);
      break;
    }
  }
  ASSERT_TRUE(store_->remove("k").ok());
  SeededRandom random(1);
  files_.crash(random);
  open();
  EXPECT_EQ(store_->head("k").error().code, ErrorCode::not_found);
}

TEST_F(LocalStoreTest, DamageIsFoundAndTheObjectCanBeReplaced) {
  ASSERT_TRUE(put("k", "some content").ok());
  ASSERT_TRUE(files_.flip("/store/k~data-a", 3, 1).ok());
  EXPECT_EQ(store_->get_all("k").error().code, ErrorCode::corrupt);
  ASSERT_TRUE(files_.remove("/store/k~data-a").ok());
  EXPECT_EQ(store_->head("k").error().code, ErrorCode::corrupt);
  EXPECT_EQ(store_->list("", "", 10)->objects.size(), 1U);
  ASSERT_TRUE(put("k", "new").ok());
  ASSERT_TRUE(files_.flip("/store/k~meta", 0, 0).ok());
  EXPECT_EQ(store_->head("k").error().code, ErrorCode::corrupt);
  ASSERT_TRUE(put("k", "newer").ok());
  EXPECT_EQ(to_text(*store_->get_all("k")), "newer");
}

TEST_F(LocalStoreTest, AReaderBesideTheWriterChangesNothing) {
  ASSERT_TRUE(put("k", "content").ok());
  open(true);
  EXPECT_EQ(to_text(*store_->get_all("k")), "content");
  EXPECT_EQ(put("k", "x").error().code, ErrorCode::read_only);
  EXPECT_EQ(store_->remove("k").error().code, ErrorCode::read_only);
  EXPECT_EQ(store_->change_class("k", StorageClass::glacier).error().code, ErrorCode::read_only);
}

TEST_F(LocalStoreTest, AFullDiskIsTold) {
  files_.set_capacity(100);
  const std::string big(1000, 'x');
  EXPECT_EQ(put("k", big).error().code, ErrorCode::no_space);
  files_.set_capacity(1'000'000);
  EXPECT_TRUE(put("k", big).ok());
}

class RetryTest : public LocalStoreTest {
 protected:
  void make(RetryOptions options) {
    auto faulty = std::make_unique<FaultyStore>(*store_, clock_, random_);
    faulty_ = faulty.get();
    retrying_ = std::make_unique<RetryingStore>(std::move(faulty), clock_, random_, options);
  }
  SeededRandom random_{3};
  FaultyStore* faulty_ = nullptr;
  std::unique_ptr<RetryingStore> retrying_;
};

const Error kAway(ErrorCode::unavailable, "away");

TEST_F(RetryTest, PassingFailuresAreRetriedWithGrowingWaits) {
  make({});
  ASSERT_TRUE(put("k", "x").ok());
  faulty_->fail_next("head", kAway, 3);
  EXPECT_TRUE(retrying_->head("k").ok());
  EXPECT_EQ(faulty_->calls("head"), 4U);
  EXPECT_LE(clock_.elapsed_ms(), 100 + 200 + 400);
  faulty_->fail_next("head", kAway, 4);
  EXPECT_EQ(retrying_->head("k").error().code, ErrorCode::unavailable);
  EXPECT_EQ(faulty_->calls("head"), 8U) << "not for ever";
}

TEST_F(RetryTest, LastingFailuresAreNot) {
  make({});
  EXPECT_EQ(retrying_->head("k").error().code, ErrorCode::not_found);
  EXPECT_EQ(faulty_->calls("head"), 1U);
  faulty_->fail_next("get", Error(ErrorCode::corrupt, "damaged"));
  Buffer out(1);
  EXPECT_EQ(retrying_->get("k", 0, out).error().code, ErrorCode::corrupt);
  EXPECT_EQ(faulty_->calls("get"), 1U);
}

TEST_F(RetryTest, TheBudgetEndsRetriesForEverybody) {
  RetryOptions options;
  options.budget = 25;  // five retries
  make(options);
  faulty_->fail_next("", kAway, 1000);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(retrying_->head("k").ok());
  EXPECT_EQ(faulty_->calls("head"), 15U);
}

TEST_F(RetryTest, SuccessesFillTheBudgetAgainAndNoFurther) {
  RetryOptions options;
  options.budget = 10;  // two retries
  make(options);
  ASSERT_TRUE(put("k", "x").ok());
  faulty_->fail_next("head", kAway, 3);
  EXPECT_FALSE(retrying_->head("k").ok());
  EXPECT_EQ(faulty_->calls("head"), 3U);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(retrying_->head("k").ok());
  const uint64_t before = faulty_->calls("head");
  faulty_->fail_next("head", kAway, 1000);
  EXPECT_FALSE(retrying_->head("k").ok());
  EXPECT_EQ(faulty_->calls("head"), before + 3) << "two retries, however many successes";
}

// Full jitter: before retry n any wait up to base * 2^(n-1), evenly. Callers that failed together
// must not come back together.
TEST_F(RetryTest, WaitsAreSpreadOverTheWholeOfTheirRange) {
  RetryOptions options;
  options.budget = 1'000'000;
  options.base_ms = 400;
  options.longest_ms = 800;
  options.max_attempts = 4;
  make(options);
  constexpr int kRounds = 600;
  int64_t waited[3] = {};  // before the second, third, fourth attempt
  int low = 0;             // of the first waits: in the lowest tenth
  int high = 0;            // and in the highest
  for (int round = 0; round < kRounds; ++round) {
    int64_t before = 0;
    for (unsigned failures = 1; failures <= 3; ++failures) {
      faulty_->fail_next("head", kAway, failures);
      const int64_t start = clock_.elapsed_ms();
      EXPECT_EQ(retrying_->head("k").error().code, ErrorCode::not_found);
      const int64_t took = clock_.elapsed_ms() - start;
      waited[failures - 1] += took;
      const int64_t most = failures == 1 ? 400 : failures == 2 ? 1'200 : 2'000;
      ASSERT_LE(took, most);
      if (failures == 1) before = took;
    }
    low += before <= 40 ? 1 : 0;
    high += before >= 360 ? 1 : 0;
  }
  EXPECT_GT(low, kRounds / 20);
  EXPECT_GT(high, kRounds / 20);
  EXPECT_NEAR(static_cast<double>(waited[0]) / kRounds, 200, 20);
  EXPECT_NEAR(static_cast<double>(waited[1]) / kRounds, 200 + 400, 40);
  EXPECT_NEAR(static_cast<double>(waited[2]) / kRounds, 200 + 400 + 400, 60);
}

TEST_F(RetryTest, WhatArrivedDamagedIsSentOnceMore) {
  make({});
  const Error damaged(ErrorCode::corrupt, "BadDigest");
  faulty_->fail_next("put", damaged, 1);
  EXPECT_TRUE(retrying_->put("k", source("x"), {}).ok());
  EXPECT_EQ(faulty_->calls("put"), 2U);
  faulty_->fail_next("put", damaged, 5);
  const auto lasting = retrying_->put("k", source("x"), {});
  ASSERT_FALSE(lasting.ok());
  EXPECT_EQ(lasting.error().code, ErrorCode::corrupt);
  EXPECT_EQ(lasting.error().disposition, Disposition::corrupt);
  EXPECT_EQ(faulty_->calls("put"), 4U);
}

// A clock whose sleeper gives up in the middle.
class InterruptingClock final : public Clock {
 public:
  int64_t unix_ms() override { return slept_ms_; }
  int64_t monotonic_ns() override { return slept_ms_ * 1'000'000; }
  void sleep_ms(int64_t ms) override {
    slept_ms_ += ms;
    if (store != nullptr) store->give_up();
  }
  ObjectStore* store = nullptr;

 private:
  int64_t slept_ms_ = 0;
};

TEST_F(RetryTest, GivingUpEndsAWait) {
  InterruptingClock clock;
  auto faulty = std::make_unique<FaultyStore>(*store_, clock_, random_);
  faulty->fail_next("head", kAway, 10);
  RetryOptions options;
  options.base_ms = 1'000'000;
  options.longest_ms = 1'000'000;
  RetryingStore retrying(std::move(faulty), clock, random_, options);
  clock.store = &retrying;
  EXPECT_FALSE(retrying.head("k").ok());
  EXPECT_LE(clock.unix_ms(), 100);
}

TEST_F(RetryTest, GivingUpEndsThemToo) {
  make({});
  retrying_->give_up();
  faulty_->fail_next("head", kAway, 1);
  EXPECT_FALSE(retrying_->head("k").ok());
  EXPECT_EQ(faulty_->calls("head"), 1U);
}

TEST_F(RetryTest, LostAnswersAreRecognised) {
  make({});
  faulty_->fail_next("put", kAway, 1, true);
  EXPECT_TRUE(
      retrying_->put("k", source("mine"), {StorageClass::standard, PutCondition::must_not_exist})
          .ok());
  EXPECT_EQ(
      retrying_->put("k", source("other"), {StorageClass::standard, PutCondition::must_not_exist})
          .error()
          .code,
      ErrorCode::precondition_failed);
  faulty_->fail_next("change_class", kAway, 1, true);
  EXPECT_TRUE(retrying_->change_class("k", StorageClass::glacier).ok());
  faulty_->fail_next("restore", kAway, 1, true);
  EXPECT_TRUE(retrying_->restore("k", RestoreTier::standard, 1).ok());
}

}  // namespace
}  // namespace coldshelf::test
