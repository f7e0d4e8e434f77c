#include "tests/support/ebs/faults.h"

#include <array>

namespace coldshelf::test {

namespace {

constexpr std::array<std::string_view, kEbsOperations> kOperationNames = {"list_snapshot_blocks",
                                                                          "list_changed_blocks",
                                                                          "get_snapshot_block",
                                                                          "start_snapshot",
                                                                          "put_snapshot_block",
                                                                          "complete_snapshot",
                                                                          "describe_volumes",
                                                                          "describe_snapshots",
                                                                          "describe_instances",
                                                                          "describe_images",
                                                                          "describe_regions",
                                                                          "describe_tags",
                                                                          "create_snapshot",
                                                                          "create_snapshots",
                                                                          "delete_snapshot",
                                                                          "create_volume",
                                                                          "delete_volume",
                                                                          "register_image",
                                                                          "deregister_image",
                                                                          "create_tags",
                                                                          "delete_tags",
                                                                          "assume_role",
                                                                          "get_caller_identity",
                                                                          "publish",
                                                                          "unknown"};

constexpr std::array<std::string_view, kEbsFaults> kFaultNames = {"none",
                                                                  "internal_error",
                                                                  "done_internal_error",
                                                                  "unavailable",
                                                                  "bare_503",
                                                                  "throttling",
                                                                  "request_throttled",
                                                                  "quota_exceeded",
                                                                  "concurrent_limit",
                                                                  "conflict",
                                                                  "early_not_found",
                                                                  "expired_credentials",
                                                                  "hang_before_answer",
                                                                  "hang_after_headers",
                                                                  "truncated_body",
                                                                  "corrupted_body",
                                                                  "wrong_checksum",
                                                                  "wrong_length",
                                                                  "reset_download",
                                                                  "reset_upload",
                                                                  "corrupted_upload",
                                                                  "lost_answer",
                                                                  "short_page",
                                                                  "empty_page",
                                                                  "expired_page_token",
                                                                  "expired_block_token",
                                                                  "garbled"};

bool is_direct(EbsOperation operation) { return operation <= EbsOperation::complete_snapshot; }

bool is_list(EbsOperation operation) {
  return operation == EbsOperation::list_snapshot_blocks ||
         operation == EbsOperation::list_changed_blocks;
}

bool has_pages(EbsOperation operation) {
  switch (operation) {
    case EbsOperation::describe_volumes:
    case EbsOperation::describe_snapshots:
    case EbsOperation::describe_instances:
    case EbsOperation::describe_images:
    case EbsOperation::describe_tags:
      return true;
    default:
      return is_list(operation);
  }
}

}  // namespace

std::string_view to_string(EbsOperation operation) {
  return kOperationNames[static_cast<size_t>(operation)];
}

std::string_view to_string(EbsFault fault) { return kFaultNames[static_cast<size_t>(fault)]; }

std::optional<EbsFault> parse_ebs_fault(std::string_view name) {
  for (size_t i = 0; i < kEbsFaults; ++i) {
    if (kFaultNames[i] == name) return static_cast<EbsFault>(i);
  }
  return std::nullopt;
}

std::vector<EbsFault> all_ebs_faults() {
  std::vector<EbsFault> all;
  for (size_t i = 1; i < kEbsFaults; ++i) all.push_back(static_cast<EbsFault>(i));
  return all;
}

std::vector<EbsFault> passing_ebs_faults() {
  std::vector<EbsFault> all;
  for (const EbsFault fault : all_ebs_faults()) {
    switch (fault) {
      case EbsFault::quota_exceeded:
      case EbsFault::concurrent_limit:
      case EbsFault::conflict:
      case EbsFault::expired_credentials:
        break;
      default:
        all.push_back(fault);
    }
  }
  return all;
}

bool applies(EbsFault fault, EbsOperation operation) {
  if (operation == EbsOperation::unknown) return false;
  const bool get = operation == EbsOperation::get_snapshot_block;
  const bool put = operation == EbsOperation::put_snapshot_block;
  switch (fault) {
    case EbsFault::none:
      return false;
    case EbsFault::request_throttled:
    case EbsFault::quota_exceeded:
      return is_direct(operation);
    case EbsFault::concurrent_limit:
    case EbsFault::conflict:
      return operation == EbsOperation::start_snapshot;
    case EbsFault::early_not_found:
    case EbsFault::reset_upload:
    case EbsFault::corrupted_upload:
      return put;
    case EbsFault::hang_after_headers:
    case EbsFault::truncated_body:
    case EbsFault::reset_download:
      return !put;
    case EbsFault::corrupted_body:
    case EbsFault::wrong_checksum:
    case EbsFault::wrong_length:
    case EbsFault::expired_block_token:
      return get;
    case EbsFault::expired_page_token:
      return is_list(operation);
    case EbsFault::short_page:
    case EbsFault::empty_page:
      return has_pages(operation);
    case EbsFault::garbled:
      return !get && !put;
    default:
      return true;
  }
}

}  // namespace coldshelf::test
