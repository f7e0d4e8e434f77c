// What the jobs of SnapshotService do.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "gateway/snapshot_service.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr int64_t kPollMs = 5'000;
constexpr int64_t kLongestPollMs = 60'000;
constexpr const char* kStateKeys[] = {"token", "made", "next", "put", "linear"};

std::string get(const JobRow& row, const char* name) {
  const auto found = row.parameters.find(name);
  return found == row.parameters.end() ? std::string() : found->second;
}

uint64_t number(const JobRow& row, const char* name) {
  const std::string text = get(row, name);
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

AwsPlace place_of(const JobRow& row) { return {get(row, "account"), get(row, "region")}; }

std::map<std::string, std::string> tags_of(const std::string& text) {
  std::map<std::string, std::string> out;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return out;
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) out[key] = value.get<std::string>();
  }
  return out;
}

RestoreState state_of(const JobRow& row) {
  RestoreState state;
  state.client_token = get(row, "token");
  state.snapshot = get(row, "made");
  state.next_block = number(row, "next");
  state.linear = get(row, "linear");
  state.all_written = !state.linear.empty();
  state.blocks_put = number(row, "put");
  return state;
}

void keep_state(JobRow& row, const RestoreState& state) {
  for (const char* key : kStateKeys) row.parameters.erase(key);
  if (!state.client_token.empty()) row.parameters["token"] = state.client_token;
  if (!state.snapshot.empty()) row.parameters["made"] = state.snapshot;
  row.parameters["next"] = std::to_string(state.next_block);
  if (!state.all_written) return;
  row.parameters["put"] = std::to_string(state.blocks_put);
  row.parameters["linear"] = state.linear;
}

}  // namespace

Result<Ec2Snapshot> SnapshotService::wait_completed(const RunPtr& run, Ec2Client& ec2,
                                                    const std::string& snapshot) {
  int64_t pause_ms = kPollMs;
  while (true) {  // ends when EC2 is done with it, or the job is told to
    ASSIGN_OR_RETURN(Ec2Snapshot now, ec2.describe_snapshot(snapshot));
    if (now.state == "completed") return now;
    if (now.state == "error") {
      return Error(ErrorCode::conflict, "snapshot " + snapshot + " failed in EC2");
    }
    step(run, "waiting for " + snapshot + ": " + now.state + " " + now.progress);
    TRY(wait(run, pause_ms));
    pause_ms = std::min(pause_ms * 2, kLongestPollMs);
  }
}

Status SnapshotService::run_pull(const RunPtr& run) {
  const std::string snapshot = get(run->row, "snapshot");
  const AwsPlace place = place_of(run->row);
  ASSIGN_OR_RETURN(const auto ec2, env_.aws->ec2(place, run->stop));
  PullRequest request;
  ASSIGN_OR_RETURN(request.snapshot, wait_completed(run, *ec2, snapshot));
  TRY(check_readable(request.snapshot));
  request.base = get(run->row, "base");
  if (request.base == "none") request.base.clear();
  if (request.base == "auto" && !request.snapshot.volume.empty()) {
    ASSIGN_OR_RETURN(const auto siblings,
                     ec2->describe_snapshots({}, {{"volume-id", {request.snapshot.volume}},
                                                  {"status", {"completed"}}}));
    for (const Ec2Snapshot& s : siblings) {
      if (!s.archived()) request.still_there.push_back(s.id);
    }
  }
  ASSIGN_OR_RETURN(const auto archive, env_.volumes->open_archive(run->row.cartridge.to_string()));
  ASSIGN_OR_RETURN(const auto ebs, env_.aws->ebs(place, run->stop));
  SnapshotPull::Options options;
  options.threads = static_cast<unsigned>(settings_.requests);
  options.ahead = static_cast<size_t>(settings_.requests) + 64;
  step(run, "pulling " + snapshot);
  SnapshotPull job(*archive.image, *ebs, *env_.clock, options, [&](const PullProgress& p) {
    show_progress(run, p.next_block, p.total_blocks, p.fetched_blocks, false);
  });
  ASSIGN_OR_RETURN(const PullResult result, job.run(request));
  run->row.parameters["point"] = result.point.to_string();
  run->row.parameters["pulled_against"] = result.base.empty() ? "none" : result.base;
  run->row.parameters["fetched_blocks"] = std::to_string(result.done.fetched_blocks);
  run->row.parameters["stored_blocks"] = std::to_string(result.done.stored_blocks);
  run->row.parameters["removed_blocks"] = std::to_string(result.done.removed_blocks);
  run->row.done_bytes = run->row.total_bytes;
  log_info("snapshot", "pulled",
           {{"snapshot", snapshot},
            {"archive", run->row.barcode},
            {"base", result.base},
            {"fetched_blocks", result.done.fetched_blocks},
            {"stored_blocks", result.done.stored_blocks}});
  return {};
}

// A snapshot that equals another point of the volume: what it was pulled from or restored to. EBS
// takes none that is larger than what is made of it.
Result<std::optional<SnapshotService::Parent>> SnapshotService::parent_of(
    const std::string& wanted, Volume& source, const Uuid& point, uint64_t gib, Ec2Client& ec2) {
  std::optional<Parent> none;
  if (wanted.empty()) return none;
  ASSIGN_OR_RETURN(const EbsImage image, read_ebs_image(source.manifest()));
  ASSIGN_OR_RETURN(std::vector<RecoveryPoint> points, source.points());
  // The nearest to the point first: it differs least.
  const auto at = std::find_if(points.begin(), points.end(),
                               [&](const RecoveryPoint& p) { return p.id == point; });
  const auto from_ms = at == points.end() ? 0 : at->created_unix_ms;
  std::stable_sort(points.begin(), points.end(), [from_ms](const auto& a, const auto& b) {
    return std::abs(a.created_unix_ms - from_ms) < std::abs(b.created_unix_ms - from_ms);
  });
  std::vector<Parent> candidates;
  for (const RecoveryPoint& p : points) {
    if (p.id == point) continue;
    const EbsPoint* ebs = image.find(p.id);
    if (ebs != nullptr) candidates.push_back({ebs->snapshot, p.id});
    const auto pushed = image.pushed.find(p.id);
    if (pushed == image.pushed.end()) continue;
    for (const std::string& snapshot : pushed->second) candidates.push_back({snapshot, p.id});
  }
  for (const Parent& candidate : candidates) {
    if (wanted != "auto" && candidate.snapshot != wanted) continue;
    const auto there = ec2.describe_snapshot(candidate.snapshot);
    const bool usable =
        there.ok() && there->state == "completed" && !there->archived() && there->volume_gib <= gib;
    if (usable) return std::optional<Parent>(candidate);
    if (!there.ok() && there.error().code != ErrorCode::not_found) return there.error();
  }
  if (wanted == "auto") return none;
  return Error(ErrorCode::not_found, "no snapshot of the archive is " + wanted +
                                         ", or EC2 does not have it, has it in its archive tier, "
                                         "or it is larger than " +
                                         std::to_string(gib) + " GiB");
}

Status SnapshotService::run_restore(const RunPtr& run) {
  const std::string name = run->row.barcode;
  const AwsPlace place = place_of(run->row);
  const auto point = Uuid::parse(get(run->row, "point"));
  if (!point) return Error(ErrorCode::corrupt, "the job does not say what to restore");
  const std::string id = run->row.cartridge.to_string();
  ASSIGN_OR_RETURN(const auto source, env_.volumes->open_volume(id));
  ASSIGN_OR_RETURN(const auto disk, env_.volumes->open_point(id + "@" + point->to_string()));
  Volume& image = *source;
  ASSIGN_OR_RETURN(const auto ec2, env_.aws->ec2(place, run->stop));
  ASSIGN_OR_RETURN(const auto ebs, env_.aws->ebs(place, run->stop));
  RestoreRequest request;
  request.description = get(run->row, "description");
  request.tags = tags_of(get(run->row, "tags"));
  request.encrypted = get(run->row, "encrypted") == "true";
  request.kms_key = get(run->row, "kms_key");
  request.volume_gib = number(run->row, "volume_gib");
  std::shared_ptr<BlockDevice> parent_disk;
  // A job that goes on keeps the parent its snapshot was started with.
  const bool started = !get(run->row, "made").empty() || !get(run->row, "token").empty();
  const std::string wanted = started ? get(run->row, "parent_chosen") : get(run->row, "parent");
  const uint64_t gib = request.volume_gib > 0 ? request.volume_gib : gib_for(disk->size_bytes());
  ASSIGN_OR_RETURN(const auto parent, parent_of(wanted, image, *point, gib, *ec2));
  if (parent) {
    request.parent = parent->snapshot;
    ASSIGN_OR_RETURN(parent_disk, env_.volumes->open_point(id + "@" + parent->point.to_string()));
    run->row.parameters["parent_chosen"] = parent->snapshot;
  }
  SnapshotRestore::Options options;
  options.threads = static_cast<unsigned>(settings_.requests);
  step(run, "restoring " + name);
  SnapshotRestore job(
      *disk, parent_disk.get(), *ebs, ec2.get(), *env_.clock, *env_.random, options,
      [&](const RestoreState& state) {
        keep_state(run->row, state);
        return save(run);
      },
      run->stop,
      [&](const RestoreProgress& p) {
        show_progress(run, p.next_block, p.total_blocks, p.blocks_put, false);
      });
  ASSIGN_OR_RETURN(const RestoreResult result, job.run(request, state_of(run->row)));
  run->row.parameters["result"] = result.snapshot;
  run->row.done_bytes = run->row.total_bytes;
  run->row.done_objects = result.blocks_put;
  TRY(save(run));
  TRY(note_pushed(image, *point, result.snapshot));
  log_info("snapshot", "restored",
           {{"from", name}, {"snapshot", result.snapshot}, {"blocks", result.blocks_put}});
  return after_restore(run, *ec2, result.snapshot);
}

Status SnapshotService::note_pushed(Volume& image, const Uuid& point, const std::string& snapshot) {
  ASSIGN_OR_RETURN(EbsImage known, read_ebs_image(image.manifest()));
  std::vector<std::string>& all = known.pushed[point];
  if (std::find(all.begin(), all.end(), snapshot) != all.end()) return {};
  all.push_back(snapshot);
  return image.set_properties(property_of_pushed(point, all));
}

// Every block goes through the checks of its frame: CRC, and the tag where it is encrypted.
Status SnapshotService::run_verify(const RunPtr& run) {
  const std::string id = run->row.cartridge.to_string();
  ASSIGN_OR_RETURN(const auto archive, env_.volumes->open_archive(id));
  ASSIGN_OR_RETURN(const auto points, archive.image->points());
  const std::string only = get(run->row, "point");
  Buffer block(kEbsBlockBytes);
  uint64_t read = 0;
  for (const RecoveryPoint& point : points) {
    if (!only.empty() && point.id.to_string() != only) continue;
    step(run, "reading " + point.name);
    ASSIGN_OR_RETURN(const auto disk, env_.volumes->open_point(id + "@" + point.id.to_string()));
    BlockPresence presence(*disk);
    for (uint64_t at = 0;;) {
      ASSIGN_OR_RETURN(const auto next, presence.next(at));
      if (!next) break;
      if (*run->stop) return Error(ErrorCode::cancelled, "told to stop");
      TRY(presence.read(*next, block));
      at = *next + 1;
      show_progress(run, at, presence.block_count(), ++read, false);
    }
  }
  run->row.parameters["read_blocks"] = std::to_string(read);
  show_progress(run, read, read, read, true);
  return {};
}

Status SnapshotService::after_restore(const RunPtr& run, Ec2Client& ec2,
                                      const std::string& snapshot) {
  const auto tags = tags_of(get(run->row, "tags"));
  if (const Json v = Json::parse(get(run->row, "volume"), nullptr, false); v.is_object()) {
    step(run, "creating a volume of " + snapshot);
    Ec2CreateVolume what;
    what.snapshot = snapshot;
    what.zone = v.value("zone", "");
    what.type = v.value("type", "");
    what.gib = v.value("gib", uint64_t{0});
    what.iops = v.value("iops", uint64_t{0});
    what.throughput = v.value("throughput", uint64_t{0});
    what.encrypted = v.value("encrypted", false);
    what.kms_key = v.value("kms_key", "");
    what.tags = tags;
    what.client_token = "v-" + get(run->row, "token");
    ASSIGN_OR_RETURN(const Ec2Volume made, ec2.create_volume(what));
    run->row.parameters["volume_id"] = made.id;
    TRY(save(run));
  }
  if (const Json i = Json::parse(get(run->row, "image"), nullptr, false); i.is_object()) {
    step(run, "registering an image of " + snapshot);
    Ec2RegisterImage what;
    what.snapshot = snapshot;
    what.name = i.value("name", "");
    what.description = i.value("description", "");
    what.architecture = i.value("architecture", "x86_64");
    what.root_device = i.value("root_device", "/dev/xvda");
    what.volume_type = i.value("volume_type", "");
    what.boot_mode = i.value("boot_mode", "");
    what.tags = tags;
    ASSIGN_OR_RETURN(const std::string made, ec2.register_image(what));
    run->row.parameters["image_id"] = made;
    TRY(save(run));
  }
  return {};
}

}  // namespace coldshelf
