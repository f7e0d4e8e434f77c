#include "tests/sim/cartridge_sim.h"

#include <gtest/gtest.h>

#include "tape/format/segment.h"

namespace coldshelf::test {

namespace {
constexpr char kDirectory[] = "/tapes/c";
}

CartridgeSim::CartridgeSim(uint64_t seed, bool threads)
    : seed_(seed), random_(seed), key_random_(seed + 1) {
  if (threads) {
    workers_ = std::make_unique<WorkerPool>(2);
    sealers_ = std::make_unique<WorkerPool>(1);
  } else {
    workers_ = std::make_unique<InlineExecutor>();
    auto gated = std::make_unique<GatedExecutor>();
    gate_ = gated.get();
    sealers_ = std::move(gated);
  }
  env_.files = &files_;
  env_.clock = &clock_;
  env_.random = &key_random_;
  env_.workers = workers_.get();
  env_.sealers = sealers_.get();
  env_.buffers = BufferPool::create(16 * MiB);
  env_.observer = &observer_;
  options_.segment_bytes = 4 * KiB + random_.below(32 * KiB);
  options_.read_ahead_bytes = random_.one_in(2) ? 8 * MiB : 0;
  if (random_.one_in(2)) {
    auto key = KeyEncryptionKey::parse(std::string(64, 'c'));
    EXPECT_TRUE(key.ok());
    key_ = std::move(key).value();
    options_.key = &*key_;
  }
  files_.on_write(
      [this](const std::string& path, uint64_t, ByteView bytes) { watch_frame(path, bytes); });
  NewCartridge what;
  what.uuid = Uuid::generate(key_random_);
  what.label = "SIM001L8";
  what.capacity_bytes = 1 * GiB;
  auto made = Cartridge::create(env_, options_, kDirectory, what);
  EXPECT_TRUE(made.ok());
  cartridge_ = std::move(made).value();
}

CartridgeSim::~CartridgeSim() {
  gate(false);
  cartridge_.reset();
}

// The nonce of a frame is (epoch, sequence, frame index): it must never be used for two contents.
void CartridgeSim::watch_frame(const std::string& path, ByteView bytes) {
  if (bytes.size() < kFrameHeaderFixedSize || !path.ends_with(".open")) return;
  const auto header = decode_frame_header(bytes);
  if (!header.ok()) return;
  const size_t slash = path.rfind('/') + 1;
  const auto name =
      parse_segment_file_stem(std::string_view(path).substr(slash, path.size() - slash - 5));
  ASSERT_TRUE(name.has_value()) << path;
  const std::lock_guard lock(frames_mutex_);
  const auto [entry, fresh] = frames_.try_emplace(
      std::tuple(name->epoch, name->sequence, header->frame_index), to_buffer(bytes));
  EXPECT_TRUE(fresh || equal(entry->second, bytes))
      << "seed " << seed_ << ": nonce used twice: " << path << " frame " << header->frame_index;
}

// Several finished segments wait for the sealer while the writer only appends; whatever waits for
// the sealer itself needs the gate open.
void CartridgeSim::gate(bool may_shut) {
  if (gate_ == nullptr) return;
  if (may_shut && model_.size() == 1 && random_.one_in(2)) {
    gate_->shut();
  } else if (!may_shut || random_.one_in(4)) {
    gate_->open();
  }
}

bool CartridgeSim::outcome(const Status& done) {
  if (!done.ok()) failed_ = true;
  return done.ok();
}

// The model's side of writing in the middle. What is before `at` is durable once that worked;
// should it fail, the cartridge is somewhere between.
bool CartridgeSim::prepare(uint32_t partition, size_t at) {
  ModelPartition& p = model_[partition];
  if (at == p.objects.size()) return false;
  p.durable = std::min(p.durable, at);
  return true;
}

bool CartridgeSim::write_records(uint32_t partition, size_t at, size_t count, size_t size) {
  ModelPartition& p = model_[partition];
  gate(at == p.objects.size() && model_.size() == 1);
  bool cuts = prepare(partition, at);
  Position position{partition, at, 0};
  for (size_t i = 0; i < count; ++i) {
    const ModelObject object{next_seed_++, size};
    if (!outcome(cartridge_->write_record(position, make_record(object.seed, size)))) return false;
    if (cuts) {
      p.objects.resize(at);
      p.durable = at;
      cuts = false;
    }
    p.objects.push_back(object);
  }
  return true;
}

bool CartridgeSim::write_filemarks(uint32_t partition, size_t at, size_t count) {
  ModelPartition& p = model_[partition];
  gate(at == p.objects.size() && model_.size() == 1);
  const bool cuts = prepare(partition, at);
  Position position{partition, at, 0};
  if (!outcome(cartridge_->write_filemarks(position, count))) return false;
  if (cuts) {
    p.objects.resize(at);
    p.durable = at;
  }
  p.objects.resize(p.objects.size() + count);
  return true;
}

bool CartridgeSim::sync() {
  if (!outcome(cartridge_->sync())) return false;
  for (ModelPartition& p : model_) p.durable = p.objects.size();
  return true;
}

bool CartridgeSim::seal() {
  gate(false);
  if (!outcome(cartridge_->seal())) return false;
  for (ModelPartition& p : model_) p.durable = p.objects.size();
  return true;
}

bool CartridgeSim::erase(uint32_t partition, size_t at) {
  gate(false);
  const bool cuts = prepare(partition, at);
  if (!outcome(cartridge_->erase_from({partition, at, 0}))) return false;
  if (cuts) {
    model_[partition].objects.resize(at);
    model_[partition].durable = at;
  }
  return true;
}

bool CartridgeSim::format(size_t partitions) {
  gate(false);
  if (!outcome(cartridge_->format(std::vector<uint64_t>(partitions, 1 * GiB)))) {
    maybe_formatted_ = partitions;
    return false;
  }
  model_.assign(partitions, {});
  return true;
}

bool CartridgeSim::set_property() {
  return outcome(cartridge_->set_property("p", std::to_string(next_seed_++)));
}

void CartridgeSim::random_operation() {
  const auto partition = static_cast<uint32_t>(random_.below(model_.size()));
  const size_t end = length(partition);
  const size_t at = random_.one_in(12) ? random_.below(end + 1) : end;
  switch (random_.below(20)) {
    case 0:
      seal();
      break;
    case 1:
    case 2:
    case 3:
      sync();
      break;
    case 4:
      set_property();
      break;
    case 5:
      if (random_.one_in(4)) {
        format(1 + random_.below(2));
      } else {
        erase(partition, at);
      }
      break;
    case 6:
    case 7:
    case 8:
      check_random_reads();
      break;
    case 9:
      write_records(partition, at, 1, random_.one_in(4) ? MiB + random_.below(MiB) : 70'000);
      break;
    case 10:
    case 11:
    case 12:
    case 13:
      write_filemarks(partition, at, 1 + random_.below(3));
      break;
    default:
      write_records(partition, at, 1 + random_.below(6), 1 + random_.below(3000));
      break;
  }
}

void CartridgeSim::crash() {
  // What the daemon had in memory is gone; its threads end on dead handles.
  files_.crash(random_);
  end_of_life();
}

void CartridgeSim::kill() {
  files_.kill();
  end_of_life();
}

void CartridgeSim::end_of_life() {
  gate(false);  // what was kept back meets dead files
  cartridge_.reset();
  EXPECT_TRUE(!must_be_told_ || !observer_.failures().empty()) << "seed " << seed_;
  must_be_told_ = false;
}

void CartridgeSim::fail_from_call(uint64_t distance, ErrorCode code, bool forever) {
  files_.fail_call(files_.counted_calls() + distance, code, forever);
}

bool CartridgeSim::open(bool heal) {
  if (heal) files_.no_faults();
  gate(false);
  cartridge_.reset();
  auto opened = Cartridge::open(env_, options_, kDirectory);
  if (!opened.ok()) {
    EXPECT_FALSE(heal) << "seed " << seed_ << ": " << opened.error().message();
    return false;
  }
  cartridge_ = std::move(opened).value();
  if (!adopt_partitions()) return false;
  failed_ = false;
  return true;
}

// Takes over what the cartridge holds, after checking that it may hold that.
bool CartridgeSim::adopt_partitions() {
  const size_t count = cartridge_->partition_count();
  if (maybe_formatted_) {
    bool empty = count == *maybe_formatted_;
    for (uint32_t p = 0; p < count; ++p) empty = empty && cartridge_->end_of_data(p).block == 0;
    if (empty) model_.assign(count, {});
    maybe_formatted_.reset();
  }
  EXPECT_EQ(count, model_.size()) << "seed " << seed_;
  if (count != model_.size()) return false;
  for (uint32_t p = 0; p < count; ++p) {
    const uint64_t end = cartridge_->end_of_data(p).block;
    EXPECT_GE(end, model_[p].durable) << "seed " << seed_ << ": synced objects are lost";
    EXPECT_LE(end, model_[p].objects.size()) << "seed " << seed_ << ": objects nobody wrote";
    if (end > model_[p].objects.size()) return false;
    model_[p].objects.resize(end);
    model_[p].durable = end;
  }
  check_content();
  return true;
}

void CartridgeSim::expect_object(const Position& at, const TapeObject& object,
                                 const ModelObject& model) {
  if (model.size == 0) {
    EXPECT_EQ(object.kind, TapeObject::Kind::filemark) << "seed " << seed_ << " block " << at.block;
    return;
  }
  ASSERT_EQ(object.kind, TapeObject::Kind::record) << "seed " << seed_ << " block " << at.block;
  EXPECT_TRUE(equal(object.record.flatten(), make_record(model.seed, model.size)))
      << "seed " << seed_ << " partition " << at.partition << " block " << at.block;
}

void CartridgeSim::check_content() {
  for (uint32_t p = 0; p < model_.size(); ++p) {
    const Position end = cartridge_->end_of_data(p);
    Position at{p, 0, 0};
    uint64_t bytes = 0;
    for (uint64_t block = 0; block < end.block; ++block) {
      auto object = cartridge_->read(at);
      ASSERT_TRUE(object.ok()) << "seed " << seed_ << ": " << object.error().message();
      ASSERT_LT(block, model_[p].objects.size());
      expect_object({p, block, 0}, *object, model_[p].objects[block]);
      bytes += model_[p].objects[block].size;
    }
    EXPECT_EQ(at.block, end.block) << "seed " << seed_;
    EXPECT_EQ(at.filemark, end.filemark) << "seed " << seed_;
    auto beyond = cartridge_->read(at);
    ASSERT_TRUE(beyond.ok()) << "seed " << seed_;
    EXPECT_EQ(beyond->kind, TapeObject::Kind::end_of_data) << "seed " << seed_;
    auto sum = cartridge_->bytes_before(end);
    ASSERT_TRUE(sum.ok());
    EXPECT_EQ(*sum, bytes) << "seed " << seed_;
  }
}

void CartridgeSim::check_failed_state() {
  gate(false);
  EXPECT_FALSE(cartridge_->check_writable().ok()) << "seed " << seed_;
  Position end = cartridge_->end_of_data(0);
  EXPECT_FALSE(cartridge_->write_record(end, make_record(1, 10)).ok()) << "seed " << seed_;
  EXPECT_FALSE(cartridge_->sync().ok()) << "seed " << seed_;
  must_be_told_ = true;  // perhaps by a worker that is on its way
  for (uint32_t p = 0; p < cartridge_->partition_count() && p < model_.size(); ++p) {
    if (maybe_formatted_) continue;
    EXPECT_GE(cartridge_->end_of_data(p).block, model_[p].durable) << "seed " << seed_;
  }
  if (!maybe_formatted_) check_content();
}

void CartridgeSim::check_random_reads() {
  const auto partition = static_cast<uint32_t>(random_.below(model_.size()));
  const std::vector<ModelObject>& objects = model_[partition].objects;
  if (objects.empty()) return;
  uint64_t block = random_.below(objects.size());
  uint64_t marks = 0;
  for (uint64_t b = 0; b < block; ++b) marks += objects[b].size == 0 ? 1 : 0;
  auto at = cartridge_->position_of(partition, block);
  if (!at.ok()) {
    outcome(at.error());
    return;
  }
  // An error of an accepted write moves the end of data back.
  if (!cartridge_->check_writable().ok()) {
    failed_ = true;
    return;
  }
  EXPECT_EQ(at->filemark, marks) << "seed " << seed_ << " block " << block;
  for (uint64_t i = 0; i < 8 && block < objects.size(); ++i, ++block) {
    auto object = cartridge_->read(*at);
    // A failed write before it moves the end of data instead.
    if (!cartridge_->check_writable().ok()) {
      failed_ = true;
      return;
    }
    ASSERT_TRUE(object.ok()) << "seed " << seed_ << ": " << object.error().message();
    expect_object({partition, block, 0}, *object, objects[block]);
  }
  auto mark = cartridge_->filemark_block(partition, marks);
  if (!mark.ok()) {
    outcome(mark.error());
    return;
  }
  if (mark->has_value()) {
    ASSERT_LT(**mark, objects.size()) << "seed " << seed_;
    EXPECT_EQ(objects[**mark].size, 0U) << "seed " << seed_;
  }
}

}  // namespace coldshelf::test
