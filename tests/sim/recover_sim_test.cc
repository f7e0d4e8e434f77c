// A gateway is lost at any of its store's operations, and is rebuilt from the store alone, by a
// recovery that is itself cut short at any of its operations and run again.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "gateway/composition.h"
#include "gateway/recover.h"
#include "tests/support/plain_store.h"
#include "tests/support/process.h"
#include "tests/support/shelf_rig.h"
#include "uploader/inventory_document.h"

namespace coldshelf::test {
namespace {

ShelfOptions quick() {
  ShelfOptions options;
  options.restore_poll_ms = 500;
  options.manifest_interval_ms = 2'000;
  return options;
}

// A gateway's life in the store: one tape archived, one in the library, one fetched back.
class Lost {
 public:
  explicit Lost(uint64_t seed) : rig(seed, quick(), {"sgw-A", &store_disk, &clock}) {}

  void put_inventory() {
    InventoryDocument document;
    document.gateway = "sgw-A";
    document.name = "sim";
    document.serial_prefix = "CAAA";
    document.pools = *rig.catalog().pools();
    document.elements.push_back({"slot", 3, library, "LIB001L8", "LTO-8"});
    rig.shelf().put_document(inventory_key("sgw-A"), encode_inventory_document(document));
  }
  Uuid create(const std::string& barcode) {
    const Uuid id = rig.create(barcode);
    EXPECT_TRUE(rig.ownership().claim_barcode(barcode, id).ok());
    return id;
  }
  bool reach(const std::function<bool()>& done) { return rig.run_until(done); }
  void archive(const Uuid& id) {
    ASSERT_TRUE(rig.shelf().archive(id).ok());
    ASSERT_TRUE(reach([&] { return rig.status(id) == TapeStatus::archived; }));
  }
  void live() {
    rig.run_once();
    archived = create("ARC001L8");
    library = create("LIB001L8");
    fetched = create("FET001L8");
    put_inventory();
    rig.write(archived, 0, 20);
    rig.write(library, 0, 12);
    rig.write(fetched, 0, 8);
    archive(archived);
    archive(fetched);
    rig.write(library, 6, 10);
    ASSERT_TRUE(rig.shelf().retrieve(fetched, RestoreTier::standard, 3).ok());
    ASSERT_TRUE(reach([&] { return rig.status(fetched) == TapeStatus::retrieved; }));
    rig.run_until([] { return false; }, 5'000);
    done = true;
  }

  SimClock clock;
  SimFileSystem store_disk;
  ShelfRig rig;
  Uuid archived, library, fetched;
  bool done = false;
};

RecoverEnv environment(Lost& lost, ObjectStore& store, PosixFileSystem& files, Random& random) {
  RecoverEnv env;
  env.files = &files;
  env.clock = &lost.clock;
  env.random = &random;
  env.store = &store;
  env.threads = 1;
  return env;
}

// What was rebuilt is what the store has: rows, manifests, and every segment where it should be.
void check_rebuilt(Lost& lost, const std::string& data) {
  auto catalog = Catalog::open(join_path(data, "catalog.db"));
  ASSERT_TRUE(catalog.ok());
  PosixFileSystem files;
  const auto rows = (*catalog)->tapes();
  ASSERT_TRUE(rows.ok());
  for (const TapeRow& row : *rows) {
    const auto stored = lost.rig.stored_manifest(row.uuid);
    ASSERT_TRUE(stored.has_value()) << row.barcode;
    const auto image =
        files.read_file(join_path(data, "cartridges/" + row.uuid.to_string() + "/manifest"));
    ASSERT_TRUE(image.ok());
    EXPECT_EQ(decode_manifest(*image, false)->manifest, *stored);
    EXPECT_EQ((*catalog)->segments(row.uuid)->size(), stored->partitions[0].segments.size());
    for (const SegmentEntry& e : stored->partitions[0].segments) {
      EXPECT_TRUE(lost.rig.store().head(segment_key(row.uuid, e.sequence, e.epoch)).ok());
    }
    EXPECT_TRUE(row.status == TapeStatus::archived || row.status == TapeStatus::recovered)
        << row.barcode << " " << to_string(row.status);
    EXPECT_EQ(stored->properties.at("status"), to_string(row.status));
    if (row.status == TapeStatus::recovered) {
      EXPECT_TRUE(row.write_protected);
    }
  }
  EXPECT_EQ(*(*catalog)->setting("gateway_id"), "sgw-A");
}

TEST(RecoverSim, AGatewayLostAtAnyOperationComesBack) {
  uint64_t cut = 1;
  for (bool whole = false; !whole; cut += cut < 40 ? 3 : 7) {
    SCOPED_TRACE("cut at event " + std::to_string(cut));
    Lost lost(11);
    lost.rig.kill_after(cut);
    try {
      lost.live();
      whole = lost.done;
    } catch (const Killed&) {
      lost.rig.kill_after(0);
    }
    lost.rig.kill_after(0);
    lost.clock.advance_ms(10 * 60'000);
    ScratchDirectory root(testing::TempDir());
    PosixFileSystem files;
    SeededRandom random(cut);
    const std::string data = join_path(root.path(), "data");
    RecoverRequest request;
    request.data_dir = data;
    const auto report =
        recover_gateway(environment(lost, lost.rig.store(), files, random), request);
    if (!report.ok()) {
      // Before its first lease nothing is known of a gateway.
      EXPECT_EQ(report.error().code, ErrorCode::not_found) << report.error().message();
      EXPECT_LT(cut, 30U);
      continue;
    }
    check_rebuilt(lost, data);
    if (whole) {
      EXPECT_EQ(report->tapes.size(), 3U);
      EXPECT_TRUE(report->lost.empty());
      EXPECT_EQ(report->tapes[0].status, "ARCHIVED");
      EXPECT_EQ(report->tapes[1].status, "ARCHIVED") << "a retrieved one goes back to the shelf";
      EXPECT_EQ(report->tapes[2].status, "RECOVERED");
    }
    if (testing::Test::HasFailure()) return;
  }
  std::cout << "lost at " << cut / 5 << " moments\n";
}

TEST(RecoverSim, ARecoveryCutShortAnywhereIsRunAgain) {
  uint64_t complete = 0;
  for (uint64_t cut = 1; complete == 0; ++cut) {
    SCOPED_TRACE("cut at call " + std::to_string(cut));
    Lost lost(12);
    lost.live();
    ASSERT_TRUE(lost.done);
    lost.clock.advance_ms(10 * 60'000);
    ScratchDirectory root(testing::TempDir());
    PosixFileSystem files;
    SeededRandom random(cut);
    SeededRandom faults(cut);
    FaultyStore store(lost.rig.store(), lost.clock, faults);
    uint64_t calls = 0;
    store.watch([&](const char*, const std::string&, bool after) {
      if (++calls == cut) throw Killed{};
      (void)after;
    });
    const std::string data = join_path(root.path(), "data");
    RecoverRequest request;
    request.data_dir = data;
    try {
      const auto first = recover_gateway(environment(lost, store, files, random), request);
      ASSERT_TRUE(first.ok()) << first.error().message();
      complete = cut;
    } catch (const Killed&) {
      // The daemon does not start on half of it.
      if (std::filesystem::exists(join_path(data, kRecoveringName))) {
        EXPECT_EQ(DataDirectory::open(files, data).error().code, ErrorCode::conflict);
      }
      store.watch({});
      const auto again = recover_gateway(environment(lost, store, files, random), request);
      ASSERT_TRUE(again.ok()) << again.error().message();
      EXPECT_EQ(again->tapes.size(), 3U);
    }
    check_rebuilt(lost, data);
    EXPECT_TRUE(DataDirectory::open(files, data).ok());
    if (testing::Test::HasFailure()) return;
  }
  std::cout << "cut short at each of " << complete - 1 << " moments\n";
}

// A gateway alone on a server that knows no conditions is lost, too.
TEST(RecoverSim, FromAStoreWithoutConditions) {
  Lost lost(15);
  lost.live();
  ASSERT_TRUE(lost.done);
  lost.clock.advance_ms(10 * 60'000);
  ScratchDirectory root(testing::TempDir());
  PosixFileSystem files;
  SeededRandom random(1);
  PlainStore plain(lost.rig.store());
  RecoverRequest request;
  request.data_dir = join_path(root.path(), "data");
  const auto report = recover_gateway(environment(lost, plain, files, random), request);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_EQ(report->tapes.size(), 3U);
  EXPECT_TRUE(report->lost.empty());
  check_rebuilt(lost, request.data_dir);
}

TEST(RecoverSim, RefusesWhatItMust) {
  Lost lost(13);
  lost.live();
  ScratchDirectory root(testing::TempDir());
  PosixFileSystem files;
  SeededRandom random(1);
  const RecoverEnv env = environment(lost, lost.rig.store(), files, random);
  RecoverRequest request;
  request.data_dir = join_path(root.path(), "data");
  const auto alive = recover_gateway(env, request);
  ASSERT_FALSE(alive.ok());
  EXPECT_EQ(alive.error().code, ErrorCode::conflict);
  EXPECT_NE(alive.error().context.find("alive"), std::string::npos);
  request.gateway = "sgw-Z";
  EXPECT_EQ(recover_gateway(env, request).error().code, ErrorCode::not_found);
  request.gateway = "sgw-A";
  request.force = true;
  const Manifest before = *lost.rig.stored_manifest(lost.library);
  ASSERT_TRUE(recover_gateway(env, request).ok());
  // The one it was taken from finds out, and leaves the store alone.
  const Manifest theirs = *lost.rig.stored_manifest(lost.library);
  EXPECT_EQ(theirs.epoch, ((before.epoch >> 16) + 1) << 16);
  lost.rig.write(lost.library, SIZE_MAX, 5);
  lost.rig.run_until([] { return false; }, 60'000);
  EXPECT_EQ(*lost.rig.stored_manifest(lost.library), theirs);
  EXPECT_EQ(lost.rig.ownership().may_write().error().code, ErrorCode::write_protected);
  // Not over something else.
  EXPECT_EQ(recover_gateway(env, request).error().code, ErrorCode::exists);
}

// That it was asked for is no reason to lose a tape whose deletion has taken nothing yet.
TEST(RecoverSim, ADeletionThatTookNothingIsNotGoneOnWith) {
  Lost lost(14);
  lost.live();
  ASSERT_TRUE(lost.done);
  for (const Uuid& id : {lost.archived, lost.library}) {
    ASSERT_TRUE(lost.rig.ownership().begin_delete(id).ok());
  }
  lost.clock.advance_ms(10 * 60'000);
  ScratchDirectory root(testing::TempDir());
  PosixFileSystem files;
  SeededRandom random(1);
  RecoverRequest request;
  request.data_dir = join_path(root.path(), "data");
  const auto report = recover_gateway(environment(lost, lost.rig.store(), files, random), request);
  ASSERT_TRUE(report.ok()) << report.error().message();
  check_rebuilt(lost, request.data_dir);
  EXPECT_TRUE(report->lost.empty());
  ASSERT_EQ(report->tapes.size(), 3U);
  EXPECT_EQ(report->tapes[0].status, "ARCHIVED");
  EXPECT_EQ(report->tapes[2].status, "RECOVERED");
  for (const size_t i : {0, 2}) {
    EXPECT_NE(report->tapes[i].note.find("had not begun"), std::string::npos);
  }
  EXPECT_EQ((*lost.rig.ownership().owner_of(lost.archived))->state, OwnerState::shelved);
  EXPECT_EQ((*lost.rig.ownership().owner_of(lost.library))->state, OwnerState::owned);
  auto catalog = Catalog::open(join_path(request.data_dir, "catalog.db"));
  ASSERT_TRUE(catalog.ok());
  EXPECT_TRUE((*catalog)->unfinished_jobs()->empty());
}

// Each request takes a while, as one over a network does.
void fill_store(ObjectStore& store, Clock& clock, size_t tapes, size_t segments) {
  SeededRandom random(tapes * 1'000 + segments);
  Ownership gone({&store, &clock}, {"sgw-A", "big", "host", "i"}, {});
  ASSERT_TRUE(gone.open().ok());
  InventoryDocument document;
  document.gateway = "sgw-A";
  document.pools = {{"GLACIER", "GLACIER"}};
  for (size_t t = 0; t < tapes; ++t) {
    Manifest manifest;
    manifest.uuid = Uuid::generate(random);
    manifest.label = "T" + std::to_string(100'000 + t) + "L8";
    manifest.medium = "LTO-8";
    manifest.partitions.resize(1);
    manifest.epoch = 1;
    const bool archived = t % 3 != 0;
    manifest.properties = {{"pool", "GLACIER"}, {"status", archived ? "ARCHIVED" : "AVAILABLE"}};
    for (size_t n = 0; n < segments; ++n) {
      SegmentEntry entry;
      entry.sequence = n;
      entry.epoch = 1;
      entry.first_block = n * 100;
      entry.block_count = 100;
      entry.plain_bytes = entry.stored_bytes = 64 * MiB;
      manifest.partitions[0].segments.push_back(entry);
    }
    manifest.next_sequence = segments;
    ASSERT_TRUE(check_manifest(manifest).ok());
    const Buffer image = encode_manifest(manifest);
    ASSERT_TRUE(store.put(manifest_key(manifest.uuid), source_of(image), PutOptions()).ok());
    ASSERT_TRUE(gone.claim_barcode(manifest.label, manifest.uuid).ok());
    ASSERT_TRUE((archived ? gone.shelve(manifest.uuid) : gone.ensure_owned(manifest.uuid)).ok());
    if (!archived) {
      document.elements.push_back(
          {"slot", static_cast<unsigned>(t + 1), manifest.uuid, manifest.label, "LTO-8"});
    }
  }
  const Buffer inventory = encode_inventory_document(document);
  ASSERT_TRUE(store.put(inventory_key("sgw-A"), source_of(inventory), PutOptions()).ok());
  gone.stop();
}

uint64_t recover_big(size_t tapes, size_t segments, int64_t latency_ms, unsigned threads) {
  SimFileSystem disk;
  SystemClock clock;
  LocalDirectoryOptions local;
  local.root = "/store";
  auto directory = LocalDirectoryStore::open(disk, clock, local);
  EXPECT_TRUE(directory.ok());
  fill_store(**directory, clock, tapes, segments);
  SeededRandom faults(1);
  FaultyStore store(**directory, clock, faults);
  std::atomic<uint64_t> requests{0};
  store.watch([&](const char*, const std::string&, bool after) {
    if (after) return;
    ++requests;
    if (latency_ms != 0) clock.sleep_ms(latency_ms);
  });
  ScratchDirectory root(testing::TempDir());
  PosixFileSystem files;
  SystemRandom random;
  RecoverEnv env;
  env.files = &files;
  env.clock = &clock;
  env.random = &random;
  env.store = &store;
  env.threads = threads;
  RecoverRequest request;
  request.data_dir = join_path(root.path(), "data");
  request.slots = 3'000;
  const int64_t began_ms = clock.monotonic_ns() / 1'000'000;
  const auto report = recover_gateway(env, request);
  EXPECT_TRUE(report.ok()) << report.error().message();
  if (report.ok()) {
    EXPECT_EQ(report->tapes.size(), tapes);
    EXPECT_TRUE(report->lost.empty());
  }
  std::cout << tapes << " tapes of " << segments << " segments: " << requests << " requests, "
            << clock.monotonic_ns() / 1'000'000 - began_ms << " ms\n";
  return requests;
}

TEST(RecoverSim, RequestsGrowWithTapesAndNotWithSegments) {
  const uint64_t few = recover_big(30, 2, 0, 8);
  EXPECT_EQ(recover_big(30, 200, 0, 8), few);
  EXPECT_LT(few, 30 * 14U);
}

// COLDSHELF_RECOVER_TAPES=1500 measures: 30 ms for each request, 10 segments a tape.
TEST(RecoverSim, ManyTapesTakeALimitedTime) {
  const char* wanted = std::getenv("COLDSHELF_RECOVER_TAPES");
  const size_t tapes = wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 60;
  SystemClock clock;
  const int64_t began_ms = clock.monotonic_ns() / 1'000'000;
  recover_big(tapes, 10, wanted != nullptr ? 30 : 3, RecoverEnv{}.threads);
  EXPECT_LT(clock.monotonic_ns() / 1'000'000 - began_ms, 60'000);
}

}  // namespace
}  // namespace coldshelf::test
