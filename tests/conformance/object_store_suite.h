// What every ObjectStore must do, whatever is behind it. A test file instantiates it:
//   INSTANTIATE_TEST_SUITE_P(LocalDirectory, ObjectStoreSuite, testing::Values(make_fixture));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "base/random.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf::test {

// One empty store and the ways to make its time pass.
class ObjectStoreFixture {
 public:
  virtual ~ObjectStoreFixture() = default;
  virtual ObjectStore& store() = 0;
  virtual void wait_for_restore() = 0;  // of the standard tier
  virtual void wait_days(unsigned days) = 0;
  virtual bool restores_can_expire() const { return true; }
};
using MakeObjectStoreFixture = std::unique_ptr<ObjectStoreFixture> (*)();

class ObjectStoreSuite : public testing::TestWithParam<MakeObjectStoreFixture> {
 protected:
  void SetUp() override { fixture_ = GetParam()(); }
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
  EXPECT_EQ(code(store().change_class("nothing", StorageClass::glacier)), ErrorCode::not_found);
  EXPECT_EQ(code(store().restore("nothing", RestoreTier::bulk, 1)), ErrorCode::not_found);
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
  EXPECT_EQ(code(store().restore("k", RestoreTier::standard, 2)), ErrorCode::conflict);
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
  if (!fixture_->restores_can_expire()) return;

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
  for (const StorageClass c : {StorageClass::standard_ia, StorageClass::glacier_ir}) {
    const std::string key(to_string(c));
    ASSERT_TRUE(put(key, "warm", c).ok());
    EXPECT_EQ(store().head(key)->storage_class, c);
    EXPECT_EQ(get(key), "warm");
    EXPECT_EQ(code(store().restore(key, RestoreTier::standard, 1)), ErrorCode::invalid_argument);
    ASSERT_TRUE(store().change_class(key, StorageClass::standard).ok());
    EXPECT_EQ(get(key), "warm");
  }
}

TEST_P(ObjectStoreSuite, PutInAnArchiveClassIsColdAtOnce) {
  ASSERT_TRUE(put("k", "deep", StorageClass::deep_archive).ok());
  Buffer out(4);
  EXPECT_EQ(code(store().get("k", 0, out)), ErrorCode::cold);
  EXPECT_EQ(code(store().restore("k", RestoreTier::expedited, 1)), ErrorCode::invalid_argument);
  EXPECT_TRUE(store().restore("k", RestoreTier::bulk, 1).ok());
  ASSERT_TRUE(put("k", "warm again").ok());
  EXPECT_EQ(get("k"), "warm again");
}

}  // namespace coldshelf::test
