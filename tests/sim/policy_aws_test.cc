// Policies against the strict stand-in for EC2: two accounts, two regions, two simulated years, a
// storm of faults. What the simulation (policy_sim_test.cc) takes for granted is AWS's wire format
// here: tags, filters, paging, CreateSnapshots, states, lost answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "snapshot/ec2_policy_cloud.h"
#include "snapshot/policy_engine.h"
#include "tests/support/ebs_standin.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDay = 24 * kHour;
constexpr const char* kGateway = "sgw-1";

int64_t days() {
  const char* set = std::getenv("COLDSHELF_POLICY_DAYS");
  return set != nullptr ? std::atoll(set) : 730;
}

// What was pulled, and what the next pull needs: the newest one still in AWS.
class FakeArchive final : public PolicyArchive {
 public:
  explicit FakeArchive(EbsStandin& aws) : aws_(aws) {}
  Result<std::vector<ArchivePoint>> points() override { return points_; }
  Status pull(const PolicyPlace&, const CloudSnapshot& snapshot) override {
    const auto found = aws_.snapshot(snapshot.id);
    if (!found || found->state != "completed") {
      return Error(ErrorCode::not_found, snapshot.id + " is not there, or not complete");
    }
    ArchivePoint point;
    point.archive = found->volume_id;
    point.point = "point of " + snapshot.id;
    point.snapshot = snapshot.id;
    point.volume = found->volume_id;
    point.started_ms = found->start_ms;
    point.tags = found->tags;
    bool held_before = false;
    for (const ArchivePoint& other : points_) {
      if (other.snapshot == snapshot.id) return {};
      if (other.volume != point.volume) continue;
      held_before = true;
      if (aws_.snapshot(other.snapshot)) point.pulled_against = other.snapshot;
    }
    if (held_before && point.pulled_against.empty()) ++bases_lost;
    points_.push_back(std::move(point));
    return {};
  }
  Status remove(const std::string&, const std::string& point) override {
    std::erase_if(points_, [&](const ArchivePoint& p) { return p.point == point; });
    return {};
  }
  unsigned bases_lost = 0;

 private:
  EbsStandin& aws_;
  std::vector<ArchivePoint> points_;
};

class Receiver final : public NotificationSink {
 public:
  void send(Notification notification, std::function<void(bool)> settled) override {
    ++told;
    failures += notification.failed.size();
    for (const std::string& line : notification.failed) last_failure = line;
    settled(true);
  }
  unsigned told = 0;
  size_t failures = 0;
  std::string last_failure;
};

class NoQuiescer final : public Quiescer {
 public:
  Result<std::unique_ptr<Frozen>> freeze(const QuiesceCommands&, const std::string&) override {
    return Error(ErrorCode::internal, "not asked for here");
  }
};

EbsVolumeSpec volume_with(const EbsTags& tags) {
  EbsVolumeSpec spec;
  spec.tags = tags;
  return spec;
}

class PolicyAws : public testing::Test {
 protected:
  void SetUp() override {
    EbsStandinOptions options;
    options.clock = clock_.get();
    options.accounts = {EbsAccount{}, {"444455556666", "AKIAPRODUCTION", "production-secret"}};
    options.pending_ms = 20 * 60'000;
    options.ec2_page_items = 7;
    auto started = EbsStandin::start(options);
    ASSERT_TRUE(started.ok());
    aws_ = std::move(*started);
    CurlOptions curl;
    curl.idle_timeout_ms = 20'000;
    auto transport = make_curl_transport(curl);
    ASSERT_TRUE(transport.ok());
    transport_ = std::move(*transport);
    archive_ = std::make_unique<FakeArchive>(*aws_);
    Ec2PolicyCloud::Env env;
    env.regions = [](const std::string& account) -> Result<std::vector<std::string>> {
      if (account.empty()) return std::vector<std::string>{"us-east-1"};
      if (account == "prod") return std::vector<std::string>{"us-east-1", "eu-central-1"};
      return Error(ErrorCode::not_found, "no account " + account);
    };
    env.client = [this](const PolicyPlace& place) -> Result<std::unique_ptr<Ec2Client>> {
      Credentials key;
      key.access_key_id = place.account.empty() ? EbsAccount{}.access_key : "AKIAPRODUCTION";
      key.secret_access_key = Secret(
          std::string_view(place.account.empty() ? EbsAccount{}.secret_key : "production-secret"));
      Ec2Client::Options ec2;
      ec2.region = place.region;
      ec2.endpoint = aws_->endpoint();
      ec2.timeout_ms = 20'000;  // nothing hangs here but a busy machine
      return std::make_unique<Ec2Client>(ec2, clock_, transport_, make_static_credentials(key));
    };
    cloud_ = std::make_unique<Ec2PolicyCloud>(std::move(env));
    const EbsTags backup = {{"Backup", "true"}, {"Name", "a * b"}};
    const EbsPlace prod{"444455556666", "eu-central-1"};
    boot_ = aws_->make_volume(volume_with(backup));
    data_ = aws_->make_volume(volume_with(backup));
    unchosen_ = aws_->make_volume(volume_with({{"Backup", "false"}}));
    single_ = aws_->make_volume(volume_with(backup));
    aws_->make_instance({boot_, data_, unchosen_});
    unchosen_root_ = aws_->make_volume(volume_with({}));
    its_data_ = aws_->make_volume(volume_with(backup));
    aws_->make_instance({unchosen_root_, its_data_});
    in_prod_ = aws_->make_volume(volume_with(backup), prod);
  }

  Policy policy() const {
    Policy out;
    out.name = "nightly";
    out.schedule = "*-*-* 02:30 UTC";
    out.accounts = {"", "prod"};
    out.tags = {{"Backup", "true"}, {"Name", "a * b"}};
    out.boot_volumes = boot_volumes_;
    out.add_tags = {{"Owner", "me"}};
    out.keep_in_aws.keep_last = 2;
    out.keep_in_archive.daily = 5;
    return out;
  }
  void start() {
    engine_.reset();
    PolicyEngine::Env env;
    env.files = &files_;
    env.clock = clock_.get();
    env.random = &random_;
    env.cloud = cloud_.get();
    env.archive = archive_.get();
    env.quiescer = &quiescer_;
    env.notify = &receiver_;
    env.directory = "/data/policies";
    env.gateway = kGateway;
    env.zone = utc_zone_offset;
    engine_ = std::make_unique<PolicyEngine>(env);
    ASSERT_TRUE(engine_->open({policy()}).ok());
  }
  void go_on(int64_t ms) {
    for (const int64_t end = clock_->unix_ms() + ms; clock_->unix_ms() < end;) {
      clock_->advance_ms(static_cast<int64_t>(random_.below(6)) * kHour / 2 + 60'000);
      const Status stepped = engine_->step();
      ASSERT_TRUE(stepped.ok()) << stepped.error().message();
      for (int i = 0; i < 5; ++i) {
        const auto pulled = engine_->pull_next();
        ASSERT_TRUE(pulled.ok());
        if (!*pulled) break;
      }
    }
  }
  std::map<std::string, unsigned> snapshots_by_volume() const {
    std::map<std::string, unsigned> out;
    for (const EbsSnapshotInfo& s : aws_->snapshots()) ++out[s.volume_id];
    return out;
  }

  std::shared_ptr<SimClock> clock_ = std::make_shared<SimClock>();
  SimFileSystem files_;
  SeededRandom random_{7};
  std::unique_ptr<EbsStandin> aws_;
  std::shared_ptr<HttpTransport> transport_;
  std::unique_ptr<FakeArchive> archive_;
  std::unique_ptr<Ec2PolicyCloud> cloud_;
  NoQuiescer quiescer_;
  Receiver receiver_;
  std::string boot_, data_, unchosen_, single_, in_prod_, unchosen_root_, its_data_;
  bool boot_volumes_ = false;
  std::unique_ptr<PolicyEngine> engine_;
};

TEST_F(PolicyAws, TagsGoWhereTheyBelong) {
  ASSERT_NO_FATAL_FAILURE(start());
  const std::string other = aws_->make_snapshot(data_, {{"Backup", "true"}});
  ASSERT_NO_FATAL_FAILURE(go_on(kDay + 6 * kHour));
  const auto runs = engine_->runs("nightly");
  ASSERT_EQ(runs.size(), 1u);
  ASSERT_TRUE(runs[0].finished());
  EXPECT_TRUE(runs[0].failed.empty()) << runs[0].failed.front();
  const auto by_volume = snapshots_by_volume();
  EXPECT_EQ(by_volume.count(boot_), 0u);
  EXPECT_EQ(by_volume.count(unchosen_), 0u);
  EXPECT_EQ(by_volume.at(data_), 2u);
  EXPECT_EQ(by_volume.count(unchosen_root_), 0u);
  EXPECT_EQ(by_volume.at(its_data_), 1u);
  EXPECT_EQ(by_volume.at(single_), 1u);
  EXPECT_EQ(by_volume.at(in_prod_), 1u);
  for (const EbsSnapshotInfo& s : aws_->snapshots()) {
    if (s.id == other) continue;
    EXPECT_EQ(s.tags.at("Owner"), "me");
    EXPECT_EQ(s.tags.at("Backup"), "true");
    EXPECT_EQ(s.tags.at("Name"), "a * b");
    EXPECT_EQ(s.tags.at(kTagPolicy), "nightly");
    EXPECT_EQ(s.tags.at(kTagGateway), kGateway);
    EXPECT_EQ(s.tags.at(kTagRun), runs[0].id);
    EXPECT_EQ(s.account, s.volume_id == in_prod_ ? "444455556666" : EbsAccount{}.id);
  }
  EXPECT_TRUE(aws_->rejections().empty()) << aws_->rejections().front();
}

TEST_F(PolicyAws, ARootVolumeWithoutTheTagIsNoObstacle) {
  boot_volumes_ = true;
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(go_on(kDay + 6 * kHour));
  const auto runs = engine_->runs("nightly");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_TRUE(runs[0].failed.empty()) << runs[0].failed.front();
  const auto by_volume = snapshots_by_volume();
  EXPECT_EQ(by_volume.at(boot_), 1u);
  EXPECT_EQ(by_volume.at(data_), 1u);
  EXPECT_EQ(by_volume.count(unchosen_root_), 0u);
  EXPECT_EQ(by_volume.at(its_data_), 1u);
  EXPECT_TRUE(aws_->rejections().empty()) << aws_->rejections().front();
}

// A snapshot has 50 tags at most, ours among them.
TEST_F(PolicyAws, MoreTagsThanASnapshotTakesAreNoObstacle) {
  EbsTags many = {{"Backup", "true"}, {"Name", "a * b"}};
  while (many.size() < 50) many["tag-" + std::to_string(many.size())] = "x";
  for (const std::string& volume : {data_, single_}) aws_->set_tags(volume, many);
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(go_on(kDay + 6 * kHour));
  const auto runs = engine_->runs("nightly");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_TRUE(runs[0].failed.empty()) << runs[0].failed.front();
  unsigned seen = 0;
  for (const EbsSnapshotInfo& s : aws_->snapshots()) {
    if (s.volume_id != data_ && s.volume_id != single_) continue;
    ++seen;
    EXPECT_EQ(s.tags.size(), 50u);
    EXPECT_EQ(s.tags.at("Owner"), "me");
    EXPECT_EQ(s.tags.at("Name"), "a * b");
    EXPECT_EQ(s.tags.at(kTagRun), runs[0].id);
  }
  EXPECT_EQ(seen, 2u);
  EXPECT_TRUE(aws_->rejections().empty()) << aws_->rejections().front();
}

// curl sends again what a kept connection did not answer, CreateSnapshots too.
TEST_F(PolicyAws, ALostAnswerIsOneCall) {
  ASSERT_NO_FATAL_FAILURE(start());
  aws_->fail_next(EbsOperation::create_snapshot, EbsFault::lost_answer, 1);
  aws_->fail_next(EbsOperation::create_snapshots, EbsFault::lost_answer, 1);
  ASSERT_NO_FATAL_FAILURE(go_on(kDay + 12 * kHour));
  EXPECT_EQ(aws_->faults_done(EbsFault::lost_answer), 2u);
  const auto runs = engine_->runs("nightly");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_TRUE(runs[0].failed.empty()) << runs[0].failed.front();
  for (const auto& [volume, count] : snapshots_by_volume()) EXPECT_EQ(count, 1u) << volume;
  EXPECT_EQ(aws_->requests(EbsOperation::create_snapshot), 2u);   // single_, in_prod_
  EXPECT_EQ(aws_->requests(EbsOperation::create_snapshots), 2u);  // two instances
}

TEST_F(PolicyAws, TwoYearsInAStorm) {
  ASSERT_NO_FATAL_FAILURE(start());
  EbsStorm storm;
  storm.seed = 11;
  storm.one_in = 25;
  storm.faults = {EbsFault::internal_error, EbsFault::done_internal_error, EbsFault::unavailable,
                  EbsFault::bare_503,       EbsFault::throttling,          EbsFault::lost_answer,
                  EbsFault::garbled,        EbsFault::truncated_body};
  aws_->set_storm(storm);
  const std::string by_hand = aws_->make_snapshot(data_, {{"Backup", "true"}});
  for (int64_t day = 0; day < days(); ++day) {
    ASSERT_NO_FATAL_FAILURE(go_on(kDay));
    if (day % 50 == 49) {  // killed, and the machine goes on
      files_.kill();
      ASSERT_NO_FATAL_FAILURE(start());
    }
  }
  aws_->clear_faults();
  aws_->set_storm({});
  ASSERT_NO_FATAL_FAILURE(go_on(3 * kDay));
  EXPECT_EQ(archive_->bases_lost, 0u);
  EXPECT_TRUE(aws_->snapshot(by_hand).has_value());
  for (const auto& [volume, count] : snapshots_by_volume()) {
    EXPECT_GE(count, 2u) << volume;
    EXPECT_LE(count, 2u + 3u) << volume;
  }
  EXPECT_GE(static_cast<int64_t>(receiver_.told), days() - 5);
  EXPECT_GT(aws_->faults_done(), 300u * static_cast<uint64_t>(days()) / 730);
  EXPECT_TRUE(aws_->rejections().empty()) << aws_->rejections().front();
  std::printf("%llu requests, %llu faults, %u runs told, %zu failures told (last: %s)\n",
              static_cast<unsigned long long>(aws_->requests()),
              static_cast<unsigned long long>(aws_->faults_done()), receiver_.told,
              receiver_.failures, receiver_.last_failure.c_str());
}

}  // namespace
}  // namespace coldshelf::test
