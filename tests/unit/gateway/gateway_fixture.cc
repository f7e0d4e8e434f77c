#include "tests/unit/gateway/gateway_fixture.h"

#include <cstdlib>
#include <filesystem>

#include "tape/drive/media.h"

namespace coldshelf::test {

TestGateway::TestGateway(bool real_time) : real_time_(real_time) {
  std::string name = (std::filesystem::temp_directory_path() / "coldshelf-gateway-XXXXXX").string();
  EXPECT_NE(::mkdtemp(name.data()), nullptr);
  root_ = name;
  if (real_time) {
    clock_ = std::make_unique<SystemClock>();
  } else {
    clock_ = std::make_unique<ManualClock>();
  }
  options.drive = find_drive("IBM-ULT3580-TD8");
  options.default_pool = "GLACIER";
  options.gateway_id = "sgw-TEST";
}

TestGateway::~TestGateway() {
  if (library) close();
  std::filesystem::remove_all(root_);
}

void TestGateway::open() {
  buffers_ = BufferPool::create(16 * MiB);
  workers_ = std::make_unique<WorkerPool>(2);
  ASSERT_OK(files.create_directories(root_ + "/data/cartridges"));
  auto opened = Catalog::open(root_ + "/data/catalog.db");
  ASSERT_OK(opened);
  catalog = std::move(*opened);
  ASSERT_OK(catalog->put_pool({"GLACIER", "GLACIER"}));
  ASSERT_OK(catalog->put_pool({"DEEP_ARCHIVE", "DEEP_ARCHIVE"}));
  LocalDirectoryOptions directory;
  directory.root = root_ + "/data/store";
  directory.expedited_delay_ms = directory.standard_delay_ms = directory.bulk_delay_ms = 20;
  auto made = LocalDirectoryStore::open(files, *clock_, directory);
  ASSERT_OK(made);
  store = std::move(*made);
  ShelfOptions shelf_options;
  shelf_options.cartridges_directory = root_ + "/data/cartridges";
  shelf_options.restore_poll_ms = 10;
  shelf_options.manifest_interval_ms = 100;
  shelf = std::make_unique<Shelf>(
      Shelf::Env{&files, clock_.get(), catalog.get(), store.get(), buffers_}, shelf_options,
      [this](const TapeRow& row, TapeStatus before) { tapes->tape_status_changed(row, before); });
  Vault::Options in;
  in.directory = shelf_options.cartridges_directory;
  in.env = {&files,         clock_.get(), &random,     workers_.get(),
            workers_.get(), buffers_,     shelf.get(), shelf.get()};
  in.cartridge.segment_bytes = 1 * MiB;
  in.cartridge.key = key ? &*key : nullptr;
  if (ring) in.cartridge.key = ring.get();
  in.catalog = catalog.get();
  in.storage = [this] { return storage; };
  vault = std::make_unique<Vault>(in);
  tapes = std::make_unique<TapeService>(
      TapeService::Env{clock_.get(), &random, catalog.get(), shelf.get(), vault.get()}, options);
  ASSERT_OK(shelf->reconcile());
  LibraryOptions layout;
  layout.profile = find_changer("STK-L700");
  layout.serial = "TEST000000";
  layout.slots = slots;
  layout.import_export_slots = import_export_slots;
  layout.inventory_path = root_ + "/data/library";
  layout.files = &files;
  layout.vault = vault.get();
  for (unsigned number = 1; number <= 2; ++number) {
    TapeDrive::Options drive;
    drive.number = number;
    drive.serial = "TEST00000" + std::to_string(number);
    drive.profile = options.drive;
    drive.clock = clock_.get();
    drives.push_back(std::make_unique<TapeDrive>(drive));
    layout.drives.push_back(drives.back().get());
  }
  auto shelved = Library::open(layout, tapes.get());
  ASSERT_OK(shelved);
  library = std::move(*shelved);
  tapes->attach(library.get());
  ASSERT_OK(tapes->reconcile());
  if (!real_time_) return;
  shelf->start();
  tapes->start();
}

void TestGateway::close() {
  tapes->stop();
  EXPECT_OK(library->close_drives());
  shelf->stop();
  crash();
}

void TestGateway::crash() {
  tapes->stop();
  library.reset();
  drives.clear();
  shelf->stop();
  tapes.reset();
  vault.reset();
  shelf.reset();
  store.reset();
  catalog.reset();
  workers_.reset();
}

void TestGateway::settle() {
  ASSERT_FALSE(real_time_);
  int idle = 0;
  for (int i = 0; i < 20'000 && idle < 50; ++i) {
    const bool shelved = shelf->run_once();
    const bool moved = tapes->tick();
    idle = shelved || moved ? 0 : idle + 1;
    clock_->sleep_ms(10);
  }
  EXPECT_GE(idle, 50) << "there is no end to it";
}

TapeView TestGateway::create(const std::string& barcode, uint64_t size) {
  TapeService::CreateRequest request;
  request.barcode = barcode;
  request.size_bytes = size;
  auto made = tapes->create(request);
  EXPECT_OK(made);
  return made.ok() ? made->front() : TapeView{};
}

TapeStatus TestGateway::status(const std::string& barcode) {
  auto view = tapes->show(barcode);
  EXPECT_OK(view);
  return view.ok() ? view->row.status : TapeStatus::irrecoverable;
}

std::string TestGateway::location(const std::string& barcode) {
  auto view = tapes->show(barcode);
  EXPECT_OK(view);
  return view.ok() ? view->location : "";
}

Buffer TestGateway::record(int file, int number, size_t bytes) {
  SeededRandom random(static_cast<uint64_t>(file) * 1'000 + static_cast<uint64_t>(number));
  Buffer out(bytes);
  random.fill(out);
  return out;
}

void TestGateway::write_files(const std::string& barcode, int files_wanted, int records,
                              size_t record_bytes) {
  ASSERT_OK(tapes->load(barcode, 1));
  TapeDrive& drive = *drives[0];
  ASSERT_TRUE(drive.loaded());
  for (int f = 0; f < files_wanted; ++f) {
    for (int r = 0; r < records; ++r) {
      ASSERT_OK(drive.write(record(f, r, record_bytes)));
    }
    ASSERT_OK(drive.write_filemarks(1, false));
  }
  ASSERT_OK(tapes->unload(1));
}

void TestGateway::wait_for_job(int64_t id) {
  if (!real_time_) settle();
  auto job = shelf->wait(id, real_time_ ? 20'000 : 0);
  ASSERT_OK(job);
  EXPECT_EQ(to_string(job->state), to_string(JobState::succeeded)) << job->error;
}

void TestGateway::archive(const std::string& barcode) {
  auto job = tapes->archive(barcode);
  ASSERT_OK(job);
  wait_for_job(*job);
}

void TestGateway::retrieve(const std::string& barcode) {
  auto job = tapes->retrieve(barcode, RestoreTier::standard);
  ASSERT_OK(job);
  wait_for_job(*job);
}

}  // namespace coldshelf::test
