// What every ObjectStore must do, whatever is behind it. A test file instantiates it:
//   INSTANTIATE_TEST_SUITE_P(LocalDirectory, ObjectStoreSuite, testing::Values(make_fixture));
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "base/random.h"
#include "tests/support/memory_file.h"
#include "uploader/cloud/object_store.h"
#include "uploader/cloud/s3_probe.h"

namespace coldshelf::test {

// What a server may lack.
enum class StoreFeature {
  conditions,          // If-None-Match, If-Match
  classes,             // other ones than STANDARD
  expedited_errors,    // refuses what makes no sense to restore
  restore_steps,       // tells one that is under way from none and from one that is done
  restore_expiry,      // restored copies go away when their days are over
  locks,               // Object Lock
  locks_stop_removal,  // and DELETE is refused, not turned into a marker
  checksums,           // x-amz-checksum-sha256 is checked and kept
};

// One empty store and the ways to make its time pass.
class ObjectStoreFixture {
 public:
  virtual ~ObjectStoreFixture() = default;
  virtual ObjectStore& store() = 0;
  virtual void wait_for_restore() = 0;  // of the standard tier
  virtual void wait_days(unsigned days) = 0;
  // Why it has not got it; empty: it has.
  virtual std::string missing(StoreFeature) const { return {}; }
  // A request that was given up may be carried out after the ones that came later.
  virtual bool carries_out_late() const { return false; }
};
using MakeObjectStoreFixture = std::unique_ptr<ObjectStoreFixture> (*)();

// Skips the test, and says why, where the fixture's server lacks it.
#define NEEDS(feature)                                      \
  do {                                                      \
    const std::string why_not = fixture_->missing(feature); \
    if (!why_not.empty()) GTEST_SKIP() << why_not;          \
  } while (false)

class ObjectStoreSuite : public testing::TestWithParam<MakeObjectStoreFixture> {
 protected:
  void SetUp() override {
    fixture_ = GetParam()();
    if (!fixture_) GTEST_SKIP() << "the server of this fixture is not installed";
  }
  ObjectStore& store() { return fixture_->store(); }

  static PutSource source(std::string_view text) {
    PutSource s;
    s.bytes = as_view(text);
    s.size = text.size();
    s.sha256 = Sha256::of(as_view(text));
    return s;
  }
  Status put(const std::string& key, std::string_view text, const PutOptions& options = {}) {
    auto done = store().put(key, source(text), options);
    if (!done.ok()) return std::move(done).error();
    EXPECT_EQ(done->size, text.size());
    EXPECT_EQ(done->key, key);
    return {};
  }
  std::string get(const std::string& key) {
    auto content = store().get_all(key);
    return content.ok() ? to_text(*content) : "error " + content.error().message();
  }
  template <typename T>
  static ErrorCode code(const Result<T>& result) {
    EXPECT_FALSE(result.ok());
    return result.ok() ? ErrorCode::internal : result.error().code;
  }

  std::unique_ptr<ObjectStoreFixture> fixture_;
};

TEST_P(ObjectStoreSuite, WhatIsPutComesBack) {
  ASSERT_TRUE(put("a/b/object", "some bytes").ok());
  EXPECT_EQ(get("a/b/object"), "some bytes");
  const auto head = store().head("a/b/object");
  ASSERT_TRUE(head.ok()) << head.error().message();
  EXPECT_EQ(head->size, 10U);
  EXPECT_EQ(head->storage_class, StorageClass::standard);
  ASSERT_TRUE(head->sha256.has_value());
  EXPECT_EQ(*head->sha256, Sha256::of(as_view("some bytes")));
  EXPECT_FALSE(head->restore_ongoing);
  EXPECT_FALSE(head->etag.empty());
  Buffer part(4);
  ASSERT_TRUE(store().get("a/b/object", 5, part).ok());
  EXPECT_EQ(as_text(part), "byte");
}

TEST_P(ObjectStoreSuite, EmptyAndLargeObjects) {
  ASSERT_TRUE(put("empty", "").ok());
  EXPECT_EQ(get("empty"), "");
  SeededRandom random(7);
  std::string large(3 * MiB + 17, 'x');
  random.fill({reinterpret_cast<std::byte*>(large.data()), large.size()});
  ASSERT_TRUE(put("large", large).ok());
  EXPECT_EQ(get("large"), large);
}

TEST_P(ObjectStoreSuite, PutReplacesWhole) {
  ASSERT_TRUE(put("k", "first, the longer one").ok());
  ASSERT_TRUE(put("k", "second").ok());
  EXPECT_EQ(get("k"), "second");
  ASSERT_TRUE(put("k", "third").ok());
  EXPECT_EQ(get("k"), "third");
}

TEST_P(ObjectStoreSuite, AWrongDigestIsRefusedAndLeavesNothing) {
  PutSource wrong = source("content");
  wrong.sha256 = Sha256::of(as_view("other content"));
  EXPECT_EQ(code(store().put("k", wrong, StorageClass::standard)), ErrorCode::corrupt);
  EXPECT_EQ(code(store().head("k")), ErrorCode::not_found);
  ASSERT_TRUE(put("k", "good").ok());
  EXPECT_EQ(code(store().put("k", wrong, StorageClass::standard)), ErrorCode::corrupt);
  EXPECT_EQ(get("k"), "good");
}

TEST_P(ObjectStoreSuite, ConditionalPut) {
  NEEDS(StoreFeature::conditions);
  ASSERT_TRUE(put("k", "mine", {StorageClass::standard, PutCondition::must_not_exist}).ok());
  EXPECT_EQ(code(put("k", "yours", {StorageClass::standard, PutCondition::must_not_exist})),
            ErrorCode::precondition_failed);
  EXPECT_EQ(get("k"), "mine");
  ASSERT_TRUE(store().remove("k").ok());
  EXPECT_TRUE(put("k", "yours", {StorageClass::standard, PutCondition::must_not_exist}).ok());
}

TEST_P(ObjectStoreSuite, WhatIsNotThere) {
  Buffer byte(1);
  EXPECT_EQ(code(store().get("nothing", 0, byte)), ErrorCode::not_found);
  EXPECT_EQ(code(store().head("nothing")), ErrorCode::not_found);
  if (fixture_->missing(StoreFeature::classes).empty()) {
    EXPECT_EQ(code(store().change_class("nothing", StorageClass::glacier)), ErrorCode::not_found);
    EXPECT_EQ(code(store().restore("nothing", RestoreTier::bulk, 1)), ErrorCode::not_found);
  }
  EXPECT_TRUE(store().remove("nothing").ok());
  ASSERT_TRUE(put("nothing/here", "x").ok());
  EXPECT_EQ(code(store().head("nothing")), ErrorCode::not_found);
}

TEST_P(ObjectStoreSuite, RangesPastTheEndAreRefused) {
  ASSERT_TRUE(put("k", "12345").ok());
  Buffer out(3);
  EXPECT_EQ(code(store().get("k", 3, out)), ErrorCode::out_of_range);
  EXPECT_EQ(code(store().get("k", UINT64_MAX, out)), ErrorCode::out_of_range);
}

TEST_P(ObjectStoreSuite, RemoveIsForGood) {
  ASSERT_TRUE(put("a/k", "1").ok());
  ASSERT_TRUE(put("a/k2", "2").ok());
  ASSERT_TRUE(store().remove("a/k").ok());
  EXPECT_EQ(code(store().head("a/k")), ErrorCode::not_found);
  EXPECT_EQ(get("a/k2"), "2");
}

TEST_P(ObjectStoreSuite, ListPagesInKeyOrder) {
  // In the order of bytes: '-' and '.' sort before '/', digits and letters after it.
  const std::vector<std::string> keys = {"a",   "a-b", "a.b", "a/b",        "a/b/c",
                                         "a/c", "a0",  "b/%", "b/long/one", "b~"};
  for (auto at = keys.rbegin(); at != keys.rend(); ++at) ASSERT_TRUE(put(*at, *at).ok()) << *at;
  for (const size_t limit : {1U, 3U, 100U}) {
    std::vector<std::string> seen;
    std::string next;
    do {
      const auto page = store().list("", next, limit);
      ASSERT_TRUE(page.ok()) << page.error().message();
      ASSERT_LE(page->objects.size(), limit);
      for (const ObjectInfo& object : page->objects) {
        EXPECT_EQ(object.size, object.key.size());
        seen.push_back(object.key);
      }
      next = page->next;
    } while (!next.empty());
    EXPECT_EQ(seen, keys) << "pages of " << limit;
  }
  const auto below = store().list("a/", "", 100);
  ASSERT_TRUE(below.ok());
  ASSERT_EQ(below->objects.size(), 3U);
  EXPECT_EQ(below->objects[2].key, "a/c");
  const auto partial = store().list("a/b", "a/b", 100);
  ASSERT_TRUE(partial.ok());
  ASSERT_EQ(partial->objects.size(), 1U);
  EXPECT_EQ(partial->objects[0].key, "a/b/c");
  const auto none = store().list("zzz", "", 100);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->objects.empty() && none->next.empty());
}

TEST_P(ObjectStoreSuite, AnArchivedObjectMustBeRestored) {
  NEEDS(StoreFeature::classes);
  ASSERT_TRUE(put("k", "frozen").ok());
  const auto moved = store().change_class("k", StorageClass::glacier);
  ASSERT_TRUE(moved.ok()) << moved.error().message();
  EXPECT_EQ(moved->storage_class, StorageClass::glacier);
  Buffer out(6);
  EXPECT_EQ(code(store().get("k", 0, out)), ErrorCode::cold);
  auto head = store().head("k");
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->storage_class, StorageClass::glacier);
  EXPECT_EQ(*head->sha256, Sha256::of(as_view("frozen")));
  EXPECT_EQ(code(store().change_class("k", StorageClass::standard)), ErrorCode::cold);

  ASSERT_TRUE(store().restore("k", RestoreTier::standard, 2).ok());
  if (!fixture_->missing(StoreFeature::restore_steps).empty()) {
    for (int i = 0; i < 100 && store().head("k")->restored_until_ms == 0; ++i) {
      fixture_->wait_for_restore();
    }
    EXPECT_EQ(get("k"), "frozen");
    return;
  }
  // One that is tried again cannot tell whether it was its own first attempt.
  const Status again = store().restore("k", RestoreTier::standard, 2);
  if (!fixture_->carries_out_late() || !again.ok()) {
    EXPECT_EQ(code(again), ErrorCode::conflict);
  }
  head = store().head("k");
  ASSERT_TRUE(head.ok());
  EXPECT_TRUE(head->restore_ongoing);
  EXPECT_EQ(head->restored_until_ms, 0);
  EXPECT_EQ(code(store().get("k", 0, out)), ErrorCode::cold);

  fixture_->wait_for_restore();
  head = store().head("k");
  ASSERT_TRUE(head.ok());
  EXPECT_FALSE(head->restore_ongoing);
  EXPECT_GT(head->restored_until_ms, 0);
  EXPECT_EQ(head->storage_class, StorageClass::glacier);
  EXPECT_EQ(get("k"), "frozen");
  if (!fixture_->missing(StoreFeature::restore_expiry).empty()) return;

  // Asked for again while it is there: kept for longer.
  const int64_t until = head->restored_until_ms;
  ASSERT_TRUE(store().restore("k", RestoreTier::standard, 5).ok());
  EXPECT_GT(store().head("k")->restored_until_ms, until);
  fixture_->wait_days(3);
  EXPECT_EQ(get("k"), "frozen");
  fixture_->wait_days(3);
  EXPECT_EQ(code(store().get("k", 0, out)), ErrorCode::cold);
  EXPECT_EQ(store().head("k")->restored_until_ms, 0);
}

TEST_P(ObjectStoreSuite, ClassesThatReadAtOnce) {
  NEEDS(StoreFeature::classes);
  for (const StorageClass c : {StorageClass::standard_ia, StorageClass::glacier_ir}) {
    const std::string key(to_string(c));
    ASSERT_TRUE(put(key, "warm", c).ok());
    EXPECT_EQ(store().head(key)->storage_class, c);
    EXPECT_EQ(get(key), "warm");
    if (fixture_->missing(StoreFeature::expedited_errors).empty()) {
      EXPECT_EQ(code(store().restore(key, RestoreTier::standard, 1)), ErrorCode::invalid_argument);
    }
    ASSERT_TRUE(store().change_class(key, StorageClass::standard).ok());
    EXPECT_EQ(get(key), "warm");
  }
}

TEST_P(ObjectStoreSuite, PutInAnArchiveClassIsColdAtOnce) {
  NEEDS(StoreFeature::classes);
  ASSERT_TRUE(put("k", "deep", StorageClass::deep_archive).ok());
  Buffer out(4);
  EXPECT_EQ(code(store().get("k", 0, out)), ErrorCode::cold);
  EXPECT_EQ(code(store().restore("k", RestoreTier::expedited, 1)), ErrorCode::invalid_argument);
  EXPECT_TRUE(store().restore("k", RestoreTier::bulk, 1).ok());
  ASSERT_TRUE(put("k", "warm again").ok());
  EXPECT_EQ(get("k"), "warm again");
}

TEST_P(ObjectStoreSuite, MustMatch) {
  NEEDS(StoreFeature::conditions);
  PutOptions absent(StorageClass::standard, PutCondition::must_match);
  absent.etag = "00000000000000000000000000000000";
  EXPECT_EQ(code(store().put("k", source("x"), absent)), ErrorCode::precondition_failed);
  const auto first = store().put("k", source("one"), StorageClass::standard);
  ASSERT_TRUE(first.ok()) << first.error().message();
  PutOptions matching(StorageClass::standard, PutCondition::must_match);
  matching.etag = first->etag;
  const auto second = store().put("k", source("two"), matching);
  ASSERT_TRUE(second.ok()) << second.error().message();
  EXPECT_NE(second->etag, first->etag);
  EXPECT_EQ(code(store().put("k", source("three"), matching)), ErrorCode::precondition_failed);
  EXPECT_EQ(get("k"), "two");
  EXPECT_EQ(store().head("k")->etag, second->etag);
  if (fixture_->carries_out_late()) return;  // "two" may come back
  ASSERT_TRUE(store().remove("k").ok());
  matching.etag = second->etag;
  EXPECT_EQ(code(store().put("k", source("four"), matching)), ErrorCode::precondition_failed);
  EXPECT_EQ(code(store().head("k")), ErrorCode::not_found);
}

TEST_P(ObjectStoreSuite, WhatTheStoreCannotDoIsRefusedNotDropped) {
  const auto can = store().capabilities();
  ASSERT_TRUE(can.ok()) << can.error().message();
  EXPECT_EQ(can->conditional_put, fixture_->missing(StoreFeature::conditions).empty());
  EXPECT_EQ(can->storage_classes, fixture_->missing(StoreFeature::classes).empty());
  EXPECT_EQ(can->object_lock, fixture_->missing(StoreFeature::locks).empty());
  EXPECT_EQ(can->server_checksums, fixture_->missing(StoreFeature::checksums).empty());
  // What was found out left nothing behind.
  const auto left = store().list("", "", 10);
  ASSERT_TRUE(left.ok());
  for (const ObjectInfo& object : left->objects) {
    EXPECT_TRUE(fixture_->carries_out_late() && is_probe(object.key)) << object.key;
  }
  if (!can->conditional_put) {
    EXPECT_EQ(code(put("k", "x", {StorageClass::standard, PutCondition::must_not_exist})),
              ErrorCode::not_supported);
  }
  if (!can->storage_classes) {
    EXPECT_EQ(code(put("k", "x", StorageClass::glacier)), ErrorCode::not_supported);
    EXPECT_EQ(code(store().change_class("k", StorageClass::glacier)), ErrorCode::not_supported);
  }
  ASSERT_TRUE(put("k", "x").ok());
  if (!can->object_lock) {
    EXPECT_EQ(code(store().set_lock("k", {})), ErrorCode::not_supported);
  }
  EXPECT_TRUE(store().abort_unfinished("", 0).ok());
  EXPECT_EQ(get("k"), "x");
}

TEST_P(ObjectStoreSuite, FoldersAreListedOnceEachInPages) {
  for (const char* key : {"t/a/1", "t/a/2/x", "t/a", "t/a0/3", "t/a-b/4", "t/b", "t/c/d/e/f",
                          "t/c/g", "t/ü/h", "other/i"}) {
    ASSERT_TRUE(put(key, "x").ok()) << key;
  }
  const std::vector<std::string> folders = {"a", "a-b", "a0", "c", "ü"};
  for (const size_t limit : {1U, 2U, 100U}) {
    std::vector<std::string> seen;
    std::string next;
    do {
      const auto page = store().list_folders("t/", next, limit);
      ASSERT_TRUE(page.ok()) << page.error().message();
      ASSERT_LE(page->names.size(), limit);
      seen.insert(seen.end(), page->names.begin(), page->names.end());
      next = page->next;
      ASSERT_LE(seen.size(), folders.size());
    } while (!next.empty());
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, folders) << "pages of " << limit;
  }
  const auto top = store().list_folders("", "", 100);
  ASSERT_TRUE(top.ok());
  EXPECT_EQ(top->names, (std::vector<std::string>{"other", "t"}));
  const auto none = store().list_folders("t/b/", "", 100);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->names.empty() && none->next.empty());
  EXPECT_EQ(code(store().list_folders("t", "", 100)), ErrorCode::invalid_argument);
}

TEST_P(ObjectStoreSuite, ManyAreRemovedAtOnce) {
  std::vector<std::string> keys = {"not/there"};
  for (int i = 0; i < 20; ++i) {
    keys.push_back("many/<" + std::to_string(i) + "> & \"more\"");
    ASSERT_TRUE(put(keys.back(), "x").ok());
  }
  ASSERT_TRUE(put("many/kept", "x").ok());
  const Status removed = store().remove_all(keys);
  ASSERT_TRUE(removed.ok()) << removed.error().message();
  const auto left = store().list("many/", "", 100);
  ASSERT_TRUE(left.ok());
  ASSERT_EQ(left->objects.size(), 1U);
  EXPECT_EQ(left->objects[0].key, "many/kept");
  EXPECT_TRUE(store().remove_all({}).ok());
}

TEST_P(ObjectStoreSuite, EmptyRangesAndKeysThatAreNone) {
  ASSERT_TRUE(put("k", "12345").ok());
  EXPECT_TRUE(store().get("k", 5, {}).ok());
  EXPECT_EQ(code(store().get("k", 6, {})), ErrorCode::out_of_range);
  EXPECT_EQ(code(store().get("nothing", 0, {})), ErrorCode::not_found);
  EXPECT_EQ(code(put("", "x")), ErrorCode::invalid_argument);
  EXPECT_EQ(code(store().head("")), ErrorCode::invalid_argument);
}

TEST_P(ObjectStoreSuite, PutFromAFile) {
  SeededRandom random(11);
  Buffer content(2 * MiB + 3);
  random.fill(content);
  MemoryFile file{ByteView(content)};
  PutSource source;
  source.file = &file;
  source.size = content.size();
  source.sha256 = Sha256::of(content);
  const auto done = store().put("f", source, StorageClass::standard);
  ASSERT_TRUE(done.ok()) << done.error().message();
  Buffer back(content.size());
  ASSERT_TRUE(store().get("f", 0, back).ok());
  EXPECT_TRUE(equal(back, content));
  file.fail_read(file.reads() + 1);
  EXPECT_EQ(code(store().put("g", source, StorageClass::standard)), ErrorCode::io);
  EXPECT_EQ(code(store().head("g")), ErrorCode::not_found);
}

TEST_P(ObjectStoreSuite, Locks) {
  NEEDS(StoreFeature::locks);
  EXPECT_EQ(code(store().lock_of("k")), ErrorCode::not_found);
  ASSERT_TRUE(put("k", "kept").ok());
  auto lock = store().lock_of("k");
  ASSERT_TRUE(lock.ok()) << lock.error().message();
  EXPECT_EQ(*lock, ObjectLock{});
  // Whole seconds: S3 keeps no more of a date, some servers.
  const int64_t until = (store().head("k")->modified_ms / 1000 + 3600) * 1000;
  const ObjectLock governed{LockMode::governance, until, true};
  ASSERT_TRUE(store().set_lock("k", governed).ok());
  EXPECT_EQ(*store().lock_of("k"), governed);
  const ObjectLock shorter{LockMode::governance, until - 60'000, false};
  ASSERT_TRUE(store().set_lock("k", shorter).ok());
  EXPECT_EQ(*store().lock_of("k"), shorter);
  const ObjectLock compliant{LockMode::compliance, until, false};
  ASSERT_TRUE(store().set_lock("k", compliant).ok());
  EXPECT_EQ(code(store().set_lock("k", shorter)), ErrorCode::write_protected);
  EXPECT_EQ(code(store().set_lock("k", {})), ErrorCode::write_protected);
  EXPECT_EQ(*store().lock_of("k"), compliant);
  EXPECT_EQ(get("k"), "kept");
  if (!fixture_->missing(StoreFeature::locks_stop_removal).empty()) return;
  EXPECT_EQ(code(store().remove("k")), ErrorCode::write_protected);
  EXPECT_EQ(code(put("k", "other")), ErrorCode::write_protected);
  EXPECT_EQ(get("k"), "kept");
}

}  // namespace coldshelf::test
