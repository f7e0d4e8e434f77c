#include "gateway/api/roles.h"

#include <algorithm>
#include <iterator>

namespace coldshelf::api {

namespace {

struct Row {
  std::string_view operation;
  Role role;
  bool changes;
};

constexpr Role V = Role::viewer;
constexpr Role O = Role::operator_;
constexpr Role A = Role::admin;

// Operators move and recall; they make nothing, delete nothing and configure nothing.
constexpr Row kRows[] = {
    // -- tapes
    {"ListTapes", V, false},
    {"DescribeTape", V, false},
    {"DescribeTapes", V, false},
    {"DescribeTapeArchives", V, false},
    {"DescribeTapeRecoveryPoints", V, false},
    {"ListShelf", V, false},
    {"EstimateRetrieval", V, false},
    {"EstimateAssign", V, false},
    {"CreateTapes", A, true},
    {"CreateTapeWithBarcode", A, true},
    {"DeleteTape", A, true},
    {"DeleteTapeArchive", A, true},
    {"ArchiveTape", O, true},
    {"RetrieveTape", O, true},
    {"RetrieveTapeArchive", O, true},
    {"RetrieveTapeRecoveryPoint", A, true},
    {"CancelArchival", O, true},
    {"CancelRetrieval", O, true},
    {"CancelTapeJob", O, true},
    {"PinTape", O, true},
    {"UnpinTape", O, true},
    {"VerifyTape", O, true},
    {"TakeOverTape", A, true},
    {"ForgetTape", A, true},
    {"AssignTapePool", A, true},
    // -- pools, automatic creation
    {"ListTapePools", V, false},
    {"ListPools", V, false},
    {"CreateTapePool", A, true},
    {"DeleteTapePool", A, true},
    {"CreatePool", A, true},
    {"DeletePool", A, true},
    {"ListAutomaticTapeCreationPolicies", V, false},
    {"UpdateAutomaticTapeCreationPolicy", A, true},
    {"DeleteAutomaticTapeCreationPolicy", A, true},
    // -- library
    {"LibraryStatus", V, false},
    {"DescribeVTLDevices", V, false},
    {"UpdateVTLDeviceType", A, true},
    {"MoveMedium", O, true},
    {"LoadDrive", O, true},
    {"UnloadDrive", O, true},
    {"ExportTapes", O, true},
    // -- volumes
    {"DescribeCachediSCSIVolumes", V, false},
    {"DescribeStorediSCSIVolumes", V, false},
    {"ListVolumes", V, false},
    {"ListVolumeInitiators", V, false},
    {"ListVolumeRecoveryPoints", V, false},
    {"DescribeSnapshotSchedule", V, false},
    {"CreateCachediSCSIVolume", A, true},
    {"CreateStorediSCSIVolume", A, true},
    {"AttachVolume", A, true},
    {"DetachVolume", A, true},
    {"ForgetVolume", A, true},
    {"DeleteVolume", A, true},
    {"CreateSnapshot", O, true},
    {"CreateSnapshotFromVolumeRecoveryPoint", O, true},
    {"UpdateSnapshotSchedule", A, true},
    {"DeleteSnapshotSchedule", A, true},
    {"DescribeVolume", V, false},
    {"ListDetachedVolumes", V, false},
    {"ListRecoveryPoints", V, false},
    {"ListVolumeSchedules", V, false},
    {"CreateVolume", A, true},
    {"ResizeVolume", A, true},
    {"PinVolume", O, true},
    {"UnpinVolume", O, true},
    {"CompactVolume", O, true},
    {"CreateRecoveryPoint", O, true},
    {"MountRecoveryPoint", O, true},
    {"UnmountRecoveryPoint", O, true},
    {"RunVolumeSchedule", O, true},
    {"CancelVolumeJob", O, true},
    {"DeleteRecoveryPoint", A, true},
    {"CloneVolume", A, true},
    {"CopyRecoveryPoint", A, true},
    {"RollBackVolume", A, true},
    {"PutVolumeSchedule", A, true},
    {"DeleteVolumeSchedule", A, true},
    // They read and write files of the gateway's machine.
    {"ImportVolume", A, true},
    {"ExportRecoveryPoint", A, true},
    // -- EBS snapshots, policies, notifications
    {"ListSnapshotArchives", V, false},
    {"DescribeSnapshotArchive", V, false},
    {"ListEc2Snapshots", V, false},
    {"PullSnapshot", O, true},
    {"VerifyArchivedSnapshot", O, true},
    {"CancelSnapshotJob", O, true},
    {"EstimateSnapshotRetrieval", V, false},
    {"EstimateSnapshotAssign", V, false},
    {"AssignSnapshotPool", A, true},
    {"ArchiveSnapshots", O, true},
    {"RetrieveSnapshots", O, true},
    {"RestoreSnapshot", A, true},
    {"DeleteArchivedSnapshot", A, true},
    {"ListPolicies", V, false},
    {"DescribePolicy", V, false},
    {"DescribePolicyReport", V, false},
    {"DescribePolicyRun", V, false},
    {"PutPolicy", A, true},
    {"DeletePolicy", A, true},
    {"RunPolicy", O, true},
    {"ListNotifications", V, false},
    {"SendTestNotification", O, true},
    // -- the gateway
    {"ListOperations", V, false},
    {"ListDrives", V, false},
    {"ListSegments", V, false},
    {"DescribeHistory", V, false},
    {"GetMetrics", V, false},
    {"ListAlarms", V, false},
    {"ListAlarmRules", V, false},
    {"AcknowledgeAlarm", O, true},
    {"HoldTape", A, true},
    {"GatewayStatus", V, false},
    {"ListSessions", V, false},
    {"ListJobs", V, false},
    {"DescribeJob", V, false},
    {"DescribeGatewayInformation", V, false},
    {"ListGateways", V, false},
    {"ListLocalDisks", V, false},
    {"DescribeCache", V, false},
    {"DescribeUploadBuffer", V, false},
    {"DescribeWorkingStorage", V, false},
    {"DescribeBandwidthRateLimit", V, false},
    {"DescribeBandwidthRateLimitSchedule", V, false},
    {"UpdateBandwidthRateLimit", A, true},
    {"UpdateBandwidthRateLimitSchedule", A, true},
    {"DeleteBandwidthRateLimit", A, true},
    {"UpdateGatewayInformation", A, true},
    {"ListTagsForResource", V, false},
    {"AddTagsToResource", A, true},
    {"RemoveTagsFromResource", A, true},
    // Describes secrets.
    {"DescribeChapCredentials", A, false},
    {"UpdateChapCredentials", A, true},
    {"DeleteChapCredentials", A, true},
    // -- keys, the store
    {"DescribeKeys", V, false},
    {"RotateKeys", A, true},
    {"DescribeStoreTask", V, false},
    {"StartStoreVerify", O, true},
    {"StartStoreGc", A, true},
    // -- users, audit
    {"ListUsers", A, false},
    {"CreateUser", A, true},
    {"DeleteUser", A, true},
    {"RotateAccessKey", A, true},
    {"ListAudit", A, false},
    {"VerifyAudit", A, false},
};

// Of those that change nothing.
constexpr std::string_view kAsking[] = {"DescribePolicyReport", "DescribeTapeRecoveryPoints",
                                        "ListDetachedVolumes", "ListEc2Snapshots", "ListShelf"};

std::string_view bare(std::string_view target) { return target.substr(target.rfind('.') + 1); }

const Row* row_of(std::string_view target) {
  const std::string_view name = bare(target);
  const auto* at = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& row) { return row.operation == name; });
  return at == std::end(kRows) ? nullptr : at;
}

}  // namespace

OperationRule rule_of(std::string_view target) {
  if (const Row* row = row_of(target)) return {row->role, row->changes};
  return {Role::admin, true};
}

bool has_rule(std::string_view target) { return row_of(target) != nullptr; }

Lane lane_of(std::string_view target) {
  if (target.empty()) return Lane::look;  // the console's files, signing in
  if (rule_of(target).changes) return Lane::change;
  const bool asks =
      std::find(std::begin(kAsking), std::end(kAsking), bare(target)) != std::end(kAsking);
  return asks ? Lane::ask : Lane::look;
}

}  // namespace coldshelf::api
