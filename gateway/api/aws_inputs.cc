#include "gateway/api/aws_inputs.h"

namespace coldshelf::api {

namespace {

enum class Kind {
  text,    // low and high: characters
  number,  // low and high: the value
  flag,
  list,   // of strings, each within low and high
  items,  // of objects; low and high: how many
};
struct Row {
  std::string_view operation;
  const char* name;
  Kind kind;
  bool required;
  int64_t low, high;
};

constexpr bool kNeeded = true;
constexpr bool kOptional = false;
constexpr int64_t kAny = INT64_MAX;
constexpr int64_t kArnLow = 50, kArnHigh = 500, kTargetArnHigh = 800;
constexpr int64_t kMaxTags = 50;

#define TEXT(operation, name, required, low, high) \
  { operation, name, Kind::text, required, low, high }
#define ARN(operation, name, required) TEXT(operation, name, required, kArnLow, kArnHigh)
#define GATEWAY(operation) ARN(operation, "GatewayARN", kNeeded)
#define NUMBER(operation, name, required, low, high) \
  { operation, name, Kind::number, required, low, high }
#define FLAG(operation, name, required) \
  { operation, name, Kind::flag, required, 0, 0 }
#define ITEMS(operation, name, required, low, high) \
  { operation, name, Kind::items, required, low, high }
#define ARNS(operation, name, required) \
  { operation, name, Kind::list, required, kArnLow, kArnHigh }
#define TAGS(operation) ITEMS(operation, "Tags", kOptional, 0, kMaxTags)
#define PAGED(operation)                          \
  TEXT(operation, "Marker", kOptional, 1, 1'000), \
      NUMBER(operation, "Limit", kOptional, 1, INT32_MAX)

constexpr Row kRows[] = {
    // -- tapes
    GATEWAY("CreateTapes"),
    NUMBER("CreateTapes", "TapeSizeInBytes", kNeeded, 0, kAny),
    TEXT("CreateTapes", "ClientToken", kNeeded, 5, 100),
    NUMBER("CreateTapes", "NumTapesToCreate", kNeeded, 1, 10),
    TEXT("CreateTapes", "TapeBarcodePrefix", kNeeded, 1, 4),
    FLAG("CreateTapes", "KMSEncrypted", kOptional),
    TEXT("CreateTapes", "KMSKey", kOptional, 7, 2'048),
    TEXT("CreateTapes", "PoolId", kOptional, 1, 100),
    FLAG("CreateTapes", "Worm", kOptional),
    TAGS("CreateTapes"),
    GATEWAY("CreateTapeWithBarcode"),
    NUMBER("CreateTapeWithBarcode", "TapeSizeInBytes", kNeeded, 0, kAny),
    TEXT("CreateTapeWithBarcode", "TapeBarcode", kNeeded, 5, 16),
    FLAG("CreateTapeWithBarcode", "KMSEncrypted", kOptional),
    TEXT("CreateTapeWithBarcode", "KMSKey", kOptional, 7, 2'048),
    TEXT("CreateTapeWithBarcode", "PoolId", kOptional, 1, 100),
    FLAG("CreateTapeWithBarcode", "Worm", kOptional),
    TAGS("CreateTapeWithBarcode"),
    GATEWAY("DeleteTape"),
    ARN("DeleteTape", "TapeARN", kNeeded),
    FLAG("DeleteTape", "BypassGovernanceRetention", kOptional),
    ARN("DeleteTapeArchive", "TapeARN", kNeeded),
    FLAG("DeleteTapeArchive", "BypassGovernanceRetention", kOptional),
    GATEWAY("DescribeTapes"),
    ARNS("DescribeTapes", "TapeARNs", kOptional),
    PAGED("DescribeTapes"),
    ARNS("DescribeTapeArchives", "TapeARNs", kOptional),
    PAGED("DescribeTapeArchives"),
    ARN("DescribeTapeRecoveryPoints", "GatewayARN", kNeeded),
    PAGED("DescribeTapeRecoveryPoints"),
    ARNS("ListTapes", "TapeARNs", kOptional),
    PAGED("ListTapes"),
    GATEWAY("RetrieveTapeArchive"),
    ARN("RetrieveTapeArchive", "TapeARN", kNeeded),
    GATEWAY("RetrieveTapeRecoveryPoint"),
    ARN("RetrieveTapeRecoveryPoint", "TapeARN", kNeeded),
    GATEWAY("CancelArchival"),
    ARN("CancelArchival", "TapeARN", kNeeded),
    GATEWAY("CancelRetrieval"),
    ARN("CancelRetrieval", "TapeARN", kNeeded),
    // -- pools and automatic creation
    TEXT("CreateTapePool", "PoolName", kNeeded, 1, 100),
    TEXT("CreateTapePool", "StorageClass", kNeeded, 1, 100),
    TEXT("CreateTapePool", "RetentionLockType", kOptional, 1, 100),
    NUMBER("CreateTapePool", "RetentionLockTimeInDays", kOptional, 0, 36'500),
    TAGS("CreateTapePool"),
    ARN("DeleteTapePool", "PoolARN", kNeeded),
    ARNS("ListTapePools", "PoolARNs", kOptional),
    PAGED("ListTapePools"),
    ARN("AssignTapePool", "TapeARN", kNeeded),
    TEXT("AssignTapePool", "PoolId", kNeeded, 1, 100),
    FLAG("AssignTapePool", "BypassGovernanceRetention", kOptional),
    GATEWAY("UpdateAutomaticTapeCreationPolicy"),
    ITEMS("UpdateAutomaticTapeCreationPolicy", "AutomaticTapeCreationRules", kNeeded, 1, 10),
    ARN("ListAutomaticTapeCreationPolicies", "GatewayARN", kOptional),
    GATEWAY("DeleteAutomaticTapeCreationPolicy"),
    // -- devices
    GATEWAY("DescribeVTLDevices"),
    ARNS("DescribeVTLDevices", "VTLDeviceARNs", kOptional),
    PAGED("DescribeVTLDevices"),
    ARN("UpdateVTLDeviceType", "VTLDeviceARN", kNeeded),
    TEXT("UpdateVTLDeviceType", "DeviceType", kNeeded, 2, 50),
    // -- volumes
    GATEWAY("CreateCachediSCSIVolume"),
    NUMBER("CreateCachediSCSIVolume", "VolumeSizeInBytes", kNeeded, 0, kAny),
    TEXT("CreateCachediSCSIVolume", "SnapshotId", kOptional, 1, 100),
    TEXT("CreateCachediSCSIVolume", "TargetName", kNeeded, 1, 200),
    ARN("CreateCachediSCSIVolume", "SourceVolumeARN", kOptional),
    TEXT("CreateCachediSCSIVolume", "NetworkInterfaceId", kNeeded, 1, 100),
    TEXT("CreateCachediSCSIVolume", "ClientToken", kNeeded, 5, 100),
    FLAG("CreateCachediSCSIVolume", "KMSEncrypted", kOptional),
    TEXT("CreateCachediSCSIVolume", "KMSKey", kOptional, 7, 2'048),
    TAGS("CreateCachediSCSIVolume"),
    GATEWAY("CreateStorediSCSIVolume"),
    TEXT("CreateStorediSCSIVolume", "DiskId", kNeeded, 1, 300),
    TEXT("CreateStorediSCSIVolume", "SnapshotId", kOptional, 1, 100),
    FLAG("CreateStorediSCSIVolume", "PreserveExistingData", kNeeded),
    TEXT("CreateStorediSCSIVolume", "TargetName", kNeeded, 1, 200),
    TEXT("CreateStorediSCSIVolume", "NetworkInterfaceId", kNeeded, 1, 100),
    FLAG("CreateStorediSCSIVolume", "KMSEncrypted", kOptional),
    TEXT("CreateStorediSCSIVolume", "KMSKey", kOptional, 7, 2'048),
    TAGS("CreateStorediSCSIVolume"),
    ARNS("DescribeCachediSCSIVolumes", "VolumeARNs", kNeeded),
    ARNS("DescribeStorediSCSIVolumes", "VolumeARNs", kNeeded),
    GATEWAY("AttachVolume"),
    TEXT("AttachVolume", "TargetName", kOptional, 1, 200),
    ARN("AttachVolume", "VolumeARN", kNeeded),
    TEXT("AttachVolume", "NetworkInterfaceId", kNeeded, 1, 100),
    TEXT("AttachVolume", "DiskId", kOptional, 1, 300),
    ARN("DetachVolume", "VolumeARN", kNeeded),
    FLAG("DetachVolume", "ForceDetach", kOptional),
    ARN("DeleteVolume", "VolumeARN", kNeeded),
    ARN("ListVolumes", "GatewayARN", kOptional),
    PAGED("ListVolumes"),
    ARN("ListVolumeInitiators", "VolumeARN", kNeeded),
    GATEWAY("ListVolumeRecoveryPoints"),
    ARN("CreateSnapshot", "VolumeARN", kNeeded),
    TEXT("CreateSnapshot", "SnapshotDescription", kNeeded, 1, 255),
    TAGS("CreateSnapshot"),
    ARN("CreateSnapshotFromVolumeRecoveryPoint", "VolumeARN", kNeeded),
    TEXT("CreateSnapshotFromVolumeRecoveryPoint", "SnapshotDescription", kNeeded, 1, 255),
    TAGS("CreateSnapshotFromVolumeRecoveryPoint"),
    ARN("DescribeSnapshotSchedule", "VolumeARN", kNeeded),
    ARN("UpdateSnapshotSchedule", "VolumeARN", kNeeded),
    NUMBER("UpdateSnapshotSchedule", "StartAt", kNeeded, 0, 23),
    NUMBER("UpdateSnapshotSchedule", "RecurrenceInHours", kNeeded, 1, 24),
    TEXT("UpdateSnapshotSchedule", "Description", kOptional, 1, 255),
    TAGS("UpdateSnapshotSchedule"),
    ARN("DeleteSnapshotSchedule", "VolumeARN", kNeeded),
    // -- the gateway
    GATEWAY("DescribeGatewayInformation"),
    PAGED("ListGateways"),
    GATEWAY("UpdateGatewayInformation"),
    TEXT("UpdateGatewayInformation", "GatewayName", kOptional, 2, 255),
    TEXT("UpdateGatewayInformation", "GatewayTimezone", kOptional, 3, 10),
    TEXT("UpdateGatewayInformation", "CloudWatchLogGroupARN", kOptional, 0, 562),
    TEXT("UpdateGatewayInformation", "GatewayCapacity", kOptional, 1, 100),
    GATEWAY("ListLocalDisks"),
    GATEWAY("DescribeCache"),
    GATEWAY("DescribeUploadBuffer"),
    GATEWAY("DescribeWorkingStorage"),
    ARN("AddTagsToResource", "ResourceARN", kNeeded),
    ITEMS("AddTagsToResource", "Tags", kNeeded, 0, kMaxTags),
    ARN("ListTagsForResource", "ResourceARN", kNeeded),
    PAGED("ListTagsForResource"),
    ARN("RemoveTagsFromResource", "ResourceARN", kNeeded),
    {"RemoveTagsFromResource", "TagKeys", Kind::list, kNeeded, 1, 128},
    // -- bandwidth
    GATEWAY("DescribeBandwidthRateLimit"),
    GATEWAY("UpdateBandwidthRateLimit"),
    NUMBER("UpdateBandwidthRateLimit", "AverageUploadRateLimitInBitsPerSec", kOptional, 51'200,
           kAny),
    NUMBER("UpdateBandwidthRateLimit", "AverageDownloadRateLimitInBitsPerSec", kOptional, 102'400,
           kAny),
    GATEWAY("DeleteBandwidthRateLimit"),
    TEXT("DeleteBandwidthRateLimit", "BandwidthType", kNeeded, 3, 25),
    GATEWAY("DescribeBandwidthRateLimitSchedule"),
    GATEWAY("UpdateBandwidthRateLimitSchedule"),
    ITEMS("UpdateBandwidthRateLimitSchedule", "BandwidthRateLimitIntervals", kNeeded, 0, 20),
    // -- CHAP
    TEXT("DescribeChapCredentials", "TargetARN", kNeeded, kArnLow, kTargetArnHigh),
    TEXT("UpdateChapCredentials", "TargetARN", kNeeded, kArnLow, kTargetArnHigh),
    TEXT("UpdateChapCredentials", "SecretToAuthenticateInitiator", kNeeded, 1, 100),
    TEXT("UpdateChapCredentials", "InitiatorName", kNeeded, 1, 255),
    TEXT("UpdateChapCredentials", "SecretToAuthenticateTarget", kOptional, 1, 100),
    TEXT("DeleteChapCredentials", "TargetARN", kNeeded, kArnLow, kTargetArnHigh),
    TEXT("DeleteChapCredentials", "InitiatorName", kNeeded, 1, 255),
};
#undef TEXT
#undef ARN
#undef GATEWAY
#undef NUMBER
#undef FLAG
#undef ITEMS
#undef ARNS
#undef TAGS
#undef PAGED

Error wrong(const Row& row, const std::string& what) {
  return {ErrorCode::invalid_argument, std::string(row.name) + " " + what};
}

std::string range(const Row& row) {
  return std::to_string(row.low) + " to " + std::to_string(row.high);
}

// AWS counts characters, not bytes.
int64_t characters(const std::string& text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

Status check_text(const Row& row, const Json& value) {
  if (!value.is_string()) return wrong(row, "must be a string");
  const int64_t length = characters(value.get_ref<const std::string&>());
  if (length >= row.low && length <= row.high) return {};
  return wrong(row, "must have " + range(row) + " characters");
}

Status check_number(const Row& row, const Json& value) {
  if (!value.is_number_integer()) return wrong(row, "must be a whole number");
  const bool large = value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX;
  if (!large && value.get<int64_t>() >= row.low && value.get<int64_t>() <= row.high) return {};
  if (row.high == kAny) return wrong(row, "must be at least " + std::to_string(row.low));
  return wrong(row, "must be " + range(row));
}

Status check_value(const Row& row, const Json& value) {
  switch (row.kind) {
    case Kind::text:
      return check_text(row, value);
    case Kind::number:
      return check_number(row, value);
    case Kind::flag:
      return value.is_boolean() ? Status() : wrong(row, "must be true or false");
    case Kind::list:
      if (!value.is_array()) return wrong(row, "must be a list of strings");
      for (const Json& item : value) TRY(check_text(row, item));
      return {};
    case Kind::items:
      if (!value.is_array()) return wrong(row, "must be a list");
      for (const Json& item : value) {
        if (!item.is_object()) return wrong(row, "must be a list of objects");
      }
      if (const auto count = static_cast<int64_t>(value.size());
          count < row.low || count > row.high) {
        return wrong(row, "must be a list of " + range(row));
      }
      return {};
  }
  return {};
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view not_found_code(std::string_view operation, std::string_view what) {
  if (contains(what, "no gateway")) return "GatewayNotFound";
  if (contains(operation, "Chap")) {
    return contains(what, "target") ? "TargetNotFound" : "ChapCredentialNotFound";
  }
  if (contains(operation, "SnapshotSchedule") && contains(what, "schedule")) {
    return "SnapshotScheduleNotFound";
  }
  if (contains(what, "initiator")) return "InitiatorNotFound";
  if (contains(what, "no snapshot")) return "SnapshotNotFound";
  if (contains(what, "no disk")) return "DiskDoesNotExist";
  if (contains(operation, "Volume") || contains(operation, "Snapshot")) return "VolumeNotFound";
  if (contains(what, "no tape") || operation == "RetrieveTapeRecoveryPoint") {
    return "TapeCartridgeNotFound";
  }
  return "InvalidParameters";
}

}  // namespace

Status check_aws_input(std::string_view operation, const Json& input) {
  for (const Row& row : kRows) {
    if (row.operation != operation) continue;
    const auto at = input.find(row.name);
    if (at == input.end() || at->is_null()) {
      if (row.required) return wrong(row, "is missing");
      continue;
    }
    TRY(check_value(row, *at));
  }
  return {};
}

bool names_gateway(std::string_view operation) {
  // Recovery points are asked of a gateway that is gone.
  if (operation == "DescribeTapeRecoveryPoints") return false;
  for (const Row& row : kRows) {
    if (row.operation == operation && std::string_view(row.name) == "GatewayARN") return true;
  }
  return false;
}

std::string_view aws_error_code(std::string_view operation, const Error& error) {
  const bool volume = contains(operation, "Volume") || contains(operation, "Snapshot");
  switch (error.code) {
    case ErrorCode::not_found:
      return not_found_code(operation, error.context);
    case ErrorCode::exists:
      if (contains(error.context, "target")) return "TargetAlreadyExists";
      return volume ? "VolumeAlreadyExists" : "InvalidParameters";
    case ErrorCode::not_ready:
      return volume ? "VolumeNotReady" : "OperationAborted";
    case ErrorCode::busy:
    case ErrorCode::conflict:
      if (volume && contains(error.context, "at most")) return "MaximumVolumeCountExceeded";
      return volume ? "VolumeInUse" : "OperationAborted";
    case ErrorCode::no_space:
    case ErrorCode::element_full:
      if (contains(operation, "Tape")) return "MaximumTapeCartridgeCountExceeded";
      return volume ? "MaximumVolumeCountExceeded" : "LocalStorageLimitExceeded";
    case ErrorCode::permission:
    case ErrorCode::write_protected:
      return "UnauthorizedOperation";
    case ErrorCode::not_supported:
      return "NotSupported";
    case ErrorCode::timed_out:
      return "RequestTimeout";
    case ErrorCode::unavailable:
      return "ServiceUnavailable";
    case ErrorCode::io:
    case ErrorCode::corrupt:
      return "StorageFailure";
    case ErrorCode::internal:
      return "InternalError";
    default:
      return "InvalidParameters";
  }
}

}  // namespace coldshelf::api
