// Every fault of the imposter against every operation of the S3 store: recovered from, or the right
// error within a bounded time; and nothing that is stored wrong counts as stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/random.h"
#include "tests/support/s3_rig.h"

namespace coldshelf::test {

namespace {

constexpr int64_t kBoundMs = 8'000;  // of one call of the store, retries and all

PutSource source_of(ByteView bytes) {
  PutSource source;
  source.bytes = bytes;
  source.size = bytes.size();
  source.sha256 = Sha256::of(bytes);
  return source;
}

Buffer content_of(uint64_t seed, size_t size) {
  Buffer out(size);
  SeededRandom random(seed);
  random.fill(out);
  return out;
}

// One operation: what must be there before, what is done, and what must be true when it says ok.
struct Deed {
  const char* name;
  std::vector<S3Operation> requests;  // it makes; a fault is tried on each
  std::function<void(ObjectStore&)> prepare;
  std::function<Status(ObjectStore&)> run;
  std::function<void(S3Rig&)> check;
};

template <typename T>
Status status_of(const Result<T>& result) {
  return result.ok() ? Status() : Status(result.error());
}

class Deeds {
 public:
  Deeds()
      : small_(content_of(1, 60 * KiB)), old_(content_of(2, 5'000)), big_(content_of(3, 6 * MiB)) {}

  std::vector<Deed> all() {
    const auto put_old = [this](ObjectStore& store) {
      ASSERT_TRUE(store.put("k", source_of(old_), {}).ok());
    };
    const auto put_small = [this](ObjectStore& store) {
      ASSERT_TRUE(store.put("k", source_of(small_), {}).ok());
    };
    const auto put_cold = [this](ObjectStore& store) {
      ASSERT_TRUE(store.put("k", source_of(small_), StorageClass::glacier).ok());
    };
    const auto nothing = [](ObjectStore& store) { ASSERT_TRUE(store.remove("k").ok()); };
    const auto holds = [](const Buffer& bytes) {
      return [&bytes](S3Rig& rig) {
        const auto object = rig.object("k");
        ASSERT_TRUE(object.has_value());
        EXPECT_TRUE(equal(object->bytes, bytes));
      };
    };
    std::vector<Deed> deeds;
    deeds.push_back(
        {"put",
         {S3Operation::put_object},
         put_old,
         [this](ObjectStore& store) { return status_of(store.put("k", source_of(small_), {})); },
         holds(small_)});
    deeds.push_back({"put must_not_exist",
                     {S3Operation::put_object},
                     nothing,
                     [this](ObjectStore& store) {
                       return status_of(
                           store.put("k", source_of(small_),
                                     {StorageClass::standard, PutCondition::must_not_exist}));
                     },
                     holds(small_)});
    deeds.push_back({"put must_match",
                     {S3Operation::put_object},
                     put_old,
                     [this](ObjectStore& store) -> Status {
                       PutOptions options;
                       options.condition = PutCondition::must_match;
                       options.etag = etag_;
                       return status_of(store.put("k", source_of(small_), options));
                     },
                     holds(small_)});
    deeds.push_back(
        {"put in parts",
         {S3Operation::create_multipart, S3Operation::upload_part, S3Operation::complete_multipart,
          S3Operation::head_object},
         put_old,
         [this](ObjectStore& store) { return status_of(store.put("k", source_of(big_), {})); },
         holds(big_)});
    deeds.push_back({"get",
                     {S3Operation::get_object},
                     put_small,
                     [this](ObjectStore& store) -> Status {
                       Buffer out(small_.size());
                       TRY(store.get("k", 0, out));
                       last_read_ = std::move(out);
                       return {};
                     },
                     [this](S3Rig&) { EXPECT_TRUE(equal(last_read_, small_)); }});
    deeds.push_back({"head",
                     {S3Operation::head_object},
                     put_small,
                     [this](ObjectStore& store) -> Status {
                       ASSIGN_OR_RETURN(const ObjectInfo info, store.head("k"));
                       EXPECT_EQ(info.size, small_.size());
                       EXPECT_EQ(info.sha256, Sha256::of(small_));
                       return {};
                     },
                     [](S3Rig&) {}});
    deeds.push_back({"list",
                     {S3Operation::list_objects},
                     put_small,
                     [](ObjectStore& store) -> Status {
                       ASSIGN_OR_RETURN(const ObjectStore::ListPage page, store.list("", "", 10));
                       EXPECT_EQ(page.objects.size(), 1U);
                       return {};
                     },
                     [](S3Rig&) {}});
    deeds.push_back({"remove",
                     {S3Operation::delete_object},
                     put_small,
                     [](ObjectStore& store) { return store.remove("k"); },
                     [](S3Rig& rig) { EXPECT_FALSE(rig.object("k").has_value()); }});
    deeds.push_back({"remove_all",
                     {S3Operation::delete_objects},
                     put_small,
                     [](ObjectStore& store) {
                       return store.remove_all({"k", "not there"});
                     },
                     [](S3Rig& rig) { EXPECT_FALSE(rig.object("k").has_value()); }});
    deeds.push_back({"change_class",
                     {S3Operation::copy_object, S3Operation::head_object},
                     put_small,
                     [](ObjectStore& store) -> Status {
                       ASSIGN_OR_RETURN(const ObjectInfo info,
                                        store.change_class("k", StorageClass::deep_archive));
                       EXPECT_EQ(info.storage_class, StorageClass::deep_archive);
                       return {};
                     },
                     [this](S3Rig& rig) {
                       const auto object = rig.object("k");
                       ASSERT_TRUE(object.has_value());
                       EXPECT_EQ(object->storage_class, "DEEP_ARCHIVE");
                       EXPECT_TRUE(equal(object->bytes, small_));
                     }});
    deeds.push_back(
        {"restore",
         {S3Operation::restore_object},
         put_cold,
         [](ObjectStore& store) { return store.restore("k", RestoreTier::expedited, 1); },
         [](S3Rig& rig) {
           rig.server().advance_ms(60'000);
           EXPECT_TRUE(rig.object("k")->restored);
         }});
    deeds.push_back({"set_lock",
                     {S3Operation::put_lock},
                     put_small,
                     [](ObjectStore& store) {
                       ObjectLock lock;
                       lock.legal_hold = true;
                       return store.set_lock("k", lock);
                     },
                     [](S3Rig&) {}});
    deeds.push_back({"lock_of",
                     {S3Operation::get_lock},
                     put_small,
                     [](ObjectStore& store) { return status_of(store.lock_of("k")); },
                     [](S3Rig&) {}});
    return deeds;
  }

  // Does it with `fault` on `count` requests of `operation`, having made what it needs.
  Status run(S3Rig& rig, ObjectStore& store, const Deed& deed, S3Operation operation, S3Fault fault,
             unsigned count) {
    rig.server().clear_faults();
    deed.prepare(rig.retrying());
    const auto there = rig.object("k");
    etag_ = there ? there->etag : "";
    rig.server().fail_next(operation, fault, count);
    const int64_t start = clock_.monotonic_ns();
    Status done = deed.run(store);
    EXPECT_LT((clock_.monotonic_ns() - start) / 1'000'000, kBoundMs);
    rig.server().clear_faults();
    return done;
  }
  const Buffer& small() const { return small_; }
  const Buffer& old() const { return old_; }
  const Buffer& big() const { return big_; }

 private:
  const Buffer small_;
  const Buffer old_;
  const Buffer big_;
  Buffer last_read_;
  std::string etag_;
  SystemClock clock_;
};

// A damaged answer to a GET of a range is nothing the store can see without TLS: whoever asked for
// it compares digests, as the shelf does.
bool store_cannot_see(S3Fault fault) { return fault == S3Fault::corrupted_body; }

S3RigOptions quick() {
  S3RigOptions options;
  options.imposter.slow_bytes_per_s = 100 * KiB;
  return options;
}

}  // namespace

TEST(S3Faults, OneOfEachIsRecoveredFrom) {
  S3Rig rig(quick());
  rig.warm_up();
  Deeds deeds;
  for (const Deed& deed : deeds.all()) {
    for (const S3Operation operation : deed.requests) {
      for (const S3Fault fault : all_s3_faults()) {
        if (!applies(fault, operation) || store_cannot_see(fault)) continue;
        SCOPED_TRACE(std::string(deed.name) + ": " + std::string(to_string(fault)) + " of " +
                     std::string(to_string(operation)));
        const Status done = deeds.run(rig, rig.retrying(), deed, operation, fault, 1);
        EXPECT_TRUE(done.ok()) << done.error().message();
        if (done.ok()) deed.check(rig);
      }
    }
  }
  // An upload whose creation's answer was lost is nobody's; it is found by listing.
  EXPECT_TRUE(rig.store().abort_unfinished("", 0).ok());
  EXPECT_EQ(rig.server().unfinished_uploads(), 0U);
  for (const std::string& rejection : rig.server().rejections()) {
    const bool probe = rejection.find("/probe-") != std::string::npos;     // it lies to find out
    const bool part = rejection.find("InvalidPart") != std::string::npos;  // wrong_etag of a part
    EXPECT_TRUE(probe || part) << rejection;
  }
}

TEST(S3Faults, LastingOnesAreErrorsInTimeAndLeaveNothingHalfDone) {
  S3RigOptions options = quick();
  options.curl.idle_timeout_ms = 100;
  options.store.client.server_side_timeout_ms = 100;
  options.retry.max_attempts = 2;
  S3Rig rig(options);
  rig.warm_up();
  Deeds deeds;
  for (const Deed& deed : deeds.all()) {
    for (const S3Operation operation : deed.requests) {
      for (const S3Fault fault : all_s3_faults()) {
        if (!applies(fault, operation) || store_cannot_see(fault)) continue;
        SCOPED_TRACE(std::string(deed.name) + ": " + std::string(to_string(fault)) + " of " +
                     std::string(to_string(operation)));
        const Status done = deeds.run(rig, rig.retrying(), deed, operation, fault, 1000);
        if (done.ok()) {
          // It may have been done with an answer that is wrong in a way that does not matter.
          deed.check(rig);
          continue;
        }
        const Disposition disposition = done.error().disposition;
        // HEAD has no body to say what its 400 is about.
        const bool mute = operation == S3Operation::head_object &&
                          done.error().code == ErrorCode::invalid_argument &&
                          (fault == S3Fault::expired_token || fault == S3Fault::request_timeout);
        EXPECT_TRUE(disposition == Disposition::retry || mute) << done.error().message();
        // Whole, or not at all.
        const auto object = rig.object("k");
        if (object) {
          EXPECT_TRUE(equal(object->bytes, deeds.small()) || equal(object->bytes, deeds.old()) ||
                      equal(object->bytes, deeds.big()));
        }
      }
    }
  }
}

TEST(S3Faults, AServerThatNeverAnswersIsAnErrorInTime) {
  S3RigOptions options;
  options.retry.max_attempts = 2;
  S3Rig rig(options);
  rig.warm_up();
  SystemClock clock;
  const int64_t start = clock.monotonic_ns();
  S3Rig fresh(options);
  fresh.server().hang_next_connections(100);
  const auto head = fresh.retrying().head("k");
  ASSERT_FALSE(head.ok());
  EXPECT_EQ(head.error().code, ErrorCode::timed_out);
  EXPECT_LT((clock.monotonic_ns() - start) / 1'000'000, 3'000);
  fresh.server().clear_faults();
  EXPECT_EQ(fresh.retrying().head("k").error().code, ErrorCode::not_found);
}

TEST(S3Faults, GivingUpEndsARequestThatHangs) {
  S3RigOptions options;
  options.curl.idle_timeout_ms = 60'000;
  S3Rig rig(options);
  rig.warm_up();
  rig.server().fail_next(S3Operation::head_object, S3Fault::hang_before_answer, 100);
  SystemClock clock;
  std::thread stopper([&] {
    clock.sleep_ms(200);
    rig.retrying().give_up();
  });
  const int64_t start = clock.monotonic_ns();
  const auto head = rig.retrying().head("k");
  stopper.join();
  ASSERT_FALSE(head.ok());
  EXPECT_EQ(head.error().code, ErrorCode::cancelled);
  EXPECT_LT((clock.monotonic_ns() - start) / 1'000'000, 2'500);
}

TEST(S3Faults, AClockThatIsOffIsSetRightAndAgain) {
  S3Rig rig;
  const Buffer content = content_of(4, 1'000);
  for (const int64_t skew_ms : {3'600'000LL, -7'200'000LL, 0LL}) {
    SCOPED_TRACE(skew_ms);
    rig.server().set_clock_skew_ms(skew_ms);
    ASSERT_TRUE(rig.store().put("k", source_of(content), {}).ok());
    rig.server().set_clock_skew_ms(skew_ms + 3'600'000);
    EXPECT_TRUE(rig.store().head("k").ok()) << "HEAD has no body to say what is wrong";
    EXPECT_TRUE(rig.store().list("", "", 10).ok());
  }
}

TEST(S3Faults, ExpiredCredentialsAreReplaced) {
  S3Rig rig;
  const Buffer content = content_of(5, 1'000);
  ASSERT_TRUE(rig.store().put("k", source_of(content), {}).ok());
  rig.server().expire_key("imposter");
  EXPECT_TRUE(rig.store().head("k").ok()) << "HEAD has no body to say what is wrong";
  EXPECT_TRUE(rig.store().put("k", source_of(content), {}).ok());
  rig.server().expire_key("second");
  const auto lasting = rig.store().put("k", source_of(content), {});
  ASSERT_FALSE(lasting.ok());
  EXPECT_EQ(lasting.error().code, ErrorCode::permission);
  EXPECT_EQ(lasting.error().disposition, Disposition::retry) << "jobs wait for new ones";
  EXPECT_EQ(lasting.error().message().find("secret"), std::string::npos);
}

// Whatever a server checks or does not: bytes that were damaged on the way never count as stored.
TEST(S3Faults, DamagedUploadsNeverCountAsStored) {
  const Buffer small = content_of(6, 100 * KiB);
  const Buffer big = content_of(7, 6 * MiB);
  size_t stored = 0;
  for (const S3Support checksums : {S3Support::yes, S3Support::ignored, S3Support::refused}) {
    for (const S3Support chunked : {S3Support::yes, S3Support::ignored, S3Support::refused}) {
      for (const bool hashes : {true, false}) {
        for (const bool md5 : {true, false}) {
          for (const bool sign : {true, false}) {
            SCOPED_TRACE("checksums " + std::to_string(static_cast<int>(checksums)) + ", chunked " +
                         std::to_string(static_cast<int>(chunked)) + ", hashes " +
                         std::to_string(hashes) + ", md5 " + std::to_string(md5) + ", signed " +
                         std::to_string(sign));
            S3RigOptions options;
            options.imposter.support.checksums = checksums;
            options.imposter.support.aws_chunked = chunked;
            options.imposter.support.payload_hashes = hashes;
            options.imposter.support.content_md5 = md5;
            options.store.sign_payload = sign;
            S3Rig rig(options);
            ASSERT_TRUE(rig.store().capabilities().ok());
            for (const Buffer* bytes : {&small, &big}) {
              rig.server().fail_next(
                  bytes == &small ? S3Operation::put_object : S3Operation::upload_part,
                  S3Fault::corrupted_upload, 1, "some/prefix/k");
              const auto put = rig.store().put("k", source_of(*bytes), {});
              rig.server().clear_faults();
              if (put.ok()) {
                ++stored;
                EXPECT_TRUE(equal(rig.object("k")->bytes, *bytes)) << "stored wrong";
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(stored, 0U) << "parts are sent again";
}

TEST(S3Faults, CapabilitiesAreWhatTheServerDoesNotWhatItAnswers) {
  struct Case {
    const char* name;
    std::function<void(ImposterSupport&)> change;
    std::function<void(StoreCapabilities&)> expect;
  };
  const auto no_conditions = [](StoreCapabilities& c) { c.conditional_put = false; };
  const auto no_classes = [](StoreCapabilities& c) { c.storage_classes = false; };
  const auto no_checksums = [](StoreCapabilities& c) { c.server_checksums = false; };
  const std::vector<Case> cases = {
      {"all", [](ImposterSupport&) {}, [](StoreCapabilities&) {}},
      {"conditions ignored", [](ImposterSupport& s) { s.conditional_writes = S3Support::ignored; },
       no_conditions},
      {"conditions refused", [](ImposterSupport& s) { s.conditional_writes = S3Support::refused; },
       no_conditions},
      {"classes ignored", [](ImposterSupport& s) { s.storage_classes = S3Support::ignored; },
       no_classes},
      {"classes refused", [](ImposterSupport& s) { s.storage_classes = S3Support::refused; },
       no_classes},
      {"checksums ignored", [](ImposterSupport& s) { s.checksums = S3Support::ignored; },
       no_checksums},
      {"checksums refused", [](ImposterSupport& s) { s.checksums = S3Support::refused; },
       no_checksums},
      {"no object lock", [](ImposterSupport& s) { s.object_lock = false; },
       [](StoreCapabilities& c) { c.object_lock = false; }},
  };
  const Buffer content = content_of(8, 1'000);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    S3RigOptions options;
    c.change(options.imposter.support);
    S3Rig rig(options);
    const auto found = rig.store().capabilities();
    ASSERT_TRUE(found.ok()) << found.error().message();
    StoreCapabilities expected{true, true, true, true};
    c.expect(expected);
    EXPECT_EQ(found->conditional_put, expected.conditional_put);
    EXPECT_EQ(found->storage_classes, expected.storage_classes);
    EXPECT_EQ(found->server_checksums, expected.server_checksums);
    EXPECT_EQ(found->object_lock, expected.object_lock);
    EXPECT_THAT(rig.server().keys("tapes"), testing::IsEmpty()) << "the probe cleans up";
    // What cannot be honoured is refused, never dropped.
    const auto conditional = rig.store().put(
        "k", source_of(content), {StorageClass::standard, PutCondition::must_not_exist});
    EXPECT_EQ(conditional.ok(), expected.conditional_put);
    const auto cold = rig.store().put("cold", source_of(content), StorageClass::glacier);
    EXPECT_EQ(cold.ok(), expected.storage_classes);
    if (!conditional.ok()) {
      EXPECT_EQ(conditional.error().code, ErrorCode::not_supported);
    }
    if (!cold.ok()) {
      EXPECT_EQ(cold.error().code, ErrorCode::not_supported);
    }
  }
}

// A probe that failed for a moment has learnt nothing.
TEST(S3Faults, AProbeInAStormDoesNotTakeFaultsForTheServer) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    S3RigOptions options = quick();
    options.curl.idle_timeout_ms = 100;
    options.retry.max_attempts = 100;
    S3Rig rig(options);
    rig.server().set_storm({seed, 12, all_s3_faults()});
    const auto found = rig.retrying().capabilities();
    ASSERT_TRUE(found.ok()) << found.error().message();
    EXPECT_TRUE(found->conditional_put);
    EXPECT_TRUE(found->storage_classes);
    EXPECT_TRUE(found->object_lock);
    EXPECT_TRUE(found->server_checksums);
  }
}

}  // namespace coldshelf::test
