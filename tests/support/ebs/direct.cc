// The EBS direct APIs that read: ListSnapshotBlocks, ListChangedBlocks, GetSnapshotBlock.
// https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations.html
#include <algorithm>
#include <charconv>

#include "base/random.h"
#include "tests/support/ebs/service.h"
#include "tests/support/imposter/fault_script.h"

namespace coldshelf::test::ebs {

namespace {

constexpr uint64_t kMinResults = 100;
constexpr uint64_t kMaxResults = 10'000;

// False: not a number, or too large.
bool parse_count(const std::string& text, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

uint64_t blocks_of(const Snapshot& snapshot) { return snapshot.size_gib * kEbsBlocksPerGib; }

void append_number(std::string& out, uint64_t value) {
  char text[24];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  out.append(text, end);
}

Answer no_snapshot(const std::string& id) {
  return direct_error("ResourceNotFoundException", "The snapshot '" + id + "' does not exist.",
                      "SNAPSHOT_NOT_FOUND");
}

}  // namespace

Service::Refusal Service::find_listable(const Call& call, const std::string& id,
                                        const Snapshot*& out) const {
  if (id.empty()) {
    return direct_error("ValidationException", "Missing snapshot id", "INVALID_SNAPSHOT_ID");
  }
  const auto it = snapshots_.find(id);
  if (it == snapshots_.end() || !owns(call, it->second.account, it->second.region)) {
    return no_snapshot(id);
  }
  if (state_of(it->second) != "completed") {
    return direct_error("ValidationException", "Snapshot " + id + " is not in the completed state",
                        "INVALID_SNAPSHOT_ID");
  }
  if (it->second.archived) {
    return direct_error("ValidationException", "Snapshot " + id + " is archived",
                        "INVALID_SNAPSHOT_ID");
  }
  out = &it->second;
  return std::nullopt;
}

Service::Refusal Service::read_page(const Call& call, const Snapshot& second, uint64_t first_number,
                                    Page& out) const {
  const auto invalid = [](const std::string& what, std::string_view reason) {
    return direct_error("ValidationException", what, reason);
  };
  out.max_results = options_.default_page_blocks;
  if (call.http.has_query("maxResults")) {
    if (!parse_count(call.http.query_value("maxResults"), out.max_results) ||
        out.max_results < kMinResults || out.max_results > kMaxResults) {
      return invalid("maxResults must be between 100 and 10000", "INVALID_PARAMETER_VALUE");
    }
  }
  if (call.http.has_query("startingBlockIndex")) {
    if (!parse_count(call.http.query_value("startingBlockIndex"), out.start) ||
        out.start >= blocks_of(second)) {
      return invalid("startingBlockIndex is not a block of the snapshot",
                     "INVALID_PARAMETER_VALUE");
    }
  }
  if (call.http.has_query("pageToken")) {  // then startingBlockIndex is ignored
    const auto token = tokens_.parse(TokenMaker::Kind::page, call.http.query_value("pageToken"));
    if (!token || token->second != second.number || token->first != first_number) {
      return invalid("The page token is not valid", "INVALID_PAGE_TOKEN");
    }
    if (token->expires_ms <= now_ms() || call.fault == EbsFault::expired_page_token) {
      return invalid("The page token has expired", "INVALID_PAGE_TOKEN");
    }
    out.start = token->index;
  }
  out.expires_ms = now_ms() + options_.block_token_ms;
  return std::nullopt;
}

uint64_t Service::page_limit(const Call& call, uint64_t max_results) const {
  if (call.fault == EbsFault::empty_page) return 0;
  if (call.fault == EbsFault::short_page) {
    return imposter::hash_of(1, call.http.query_value("pageToken") + call.key) % max_results;
  }
  return max_results;
}

// What every page ends with; `next` is where the next one begins.
void Service::end_page(const Snapshot& second, uint64_t first_number, const Page& page,
                       uint64_t next, Answer& answer) const {
  answer.text += "],\"ExpiryTime\":";
  append_number(answer.text, static_cast<uint64_t>(page.expires_ms / 1000));
  answer.text += ".";
  answer.text += std::to_string(1000 + page.expires_ms % 1000).substr(1);
  answer.text += ",\"VolumeSize\":";
  append_number(answer.text, second.size_gib);
  answer.text += ",\"BlockSize\":524288";
  if (next < blocks_of(second)) {
    answer.text += ",\"NextToken\":\"";
    tokens_.append(answer.text, TokenMaker::Kind::page,
                   {second.number, first_number, next, now_ms() + options_.page_token_ms});
    answer.text += "\"";
  }
  answer.text += "}";
  answer.set("Content-Type", "application/json");
}

Answer Service::list_snapshot_blocks(const Call& call) {
  const Snapshot* snapshot = nullptr;
  if (auto wrong = find_listable(call, call.snapshot, snapshot)) return *wrong;
  Page page;
  if (auto wrong = read_page(call, *snapshot, 0, page)) return *wrong;
  const uint64_t limit = page_limit(call, page.max_results);
  const uint64_t scan_end =
      std::min(blocks_of(*snapshot), page.start + std::max<uint64_t>(1, options_.page_scan_blocks));
  Answer answer;
  answer.text = "{\"Blocks\":[";
  answer.text.reserve(limit * 112 + 256);
  uint64_t listed = 0;
  uint64_t next = snapshot->image->next(page.start, scan_end);
  while (next < scan_end && listed < limit) {
    answer.text += listed++ > 0 ? ",{\"BlockIndex\":" : "{\"BlockIndex\":";
    append_number(answer.text, next);
    answer.text += ",\"BlockToken\":\"";
    tokens_.append(answer.text, TokenMaker::Kind::block,
                   {snapshot->number, 0, next, page.expires_ms});
    answer.text += "\"}";
    next = snapshot->image->next(next + 1, scan_end);
  }
  end_page(*snapshot, 0, page, next, answer);
  return answer;
}

Answer Service::list_changed_blocks(const Call& call) {
  const Snapshot* second = nullptr;
  if (auto wrong = find_listable(call, call.snapshot, second)) return *wrong;
  const Snapshot* first = nullptr;
  if (call.http.has_query("firstSnapshotId")) {
    const std::string id = call.http.query_value("firstSnapshotId");
    if (auto wrong = find_listable(call, id, first)) return *wrong;
    if (first->lineage != second->lineage) {
      return direct_error("ValidationException",
                          "The snapshots are not of the same volume or lineage",
                          "UNRELATED_SNAPSHOTS");
    }
  }
  const uint64_t first_number = first != nullptr ? first->number : 0;
  Page page;
  if (auto wrong = read_page(call, *second, first_number, page)) return *wrong;
  const uint64_t limit = page_limit(call, page.max_results);
  const uint64_t scan_end =
      std::min(blocks_of(*second), page.start + std::max<uint64_t>(1, options_.page_scan_blocks));
  static const BlockImage kNothing;
  const BlockImage& old = first != nullptr ? *first->image : kNothing;
  const BlockImage& now = *second->image;
  const bool same_fill = old.fill == now.fill;
  Answer answer;
  answer.text = "{\"ChangedBlocks\":[";
  uint64_t listed = 0;
  uint64_t index = page.start;
  for (; index < scan_end && listed < limit; ++index) {
    if (same_fill) {  // only what one of the two has written can differ
      const auto a = old.written.lower_bound(index);
      const auto b = now.written.lower_bound(index);
      const uint64_t at = std::min(a == old.written.end() ? scan_end : a->first,
                                   b == now.written.end() ? scan_end : b->first);
      index = std::min(at, scan_end);
      if (index == scan_end) break;
    }
    const auto before = old.at(index);
    const auto after = now.at(index);
    if (!before && !after) continue;
    if (before && after && before->stamp == after->stamp) continue;
    answer.text += listed++ > 0 ? ",{\"BlockIndex\":" : "{\"BlockIndex\":";
    append_number(answer.text, index);
    if (before) {
      answer.text += ",\"FirstBlockToken\":\"";
      tokens_.append(answer.text, TokenMaker::Kind::block,
                     {first_number, 0, index, page.expires_ms});
      answer.text += "\"";
    }
    if (after) {
      answer.text += ",\"SecondBlockToken\":\"";
      tokens_.append(answer.text, TokenMaker::Kind::block,
                     {second->number, 0, index, page.expires_ms});
      answer.text += "\"";
    }
    answer.text += "}";
  }
  end_page(*second, first_number, page, index, answer);
  return answer;
}

Answer Service::get_snapshot_block(const Call& call) {
  const Snapshot* snapshot = nullptr;
  if (auto wrong = find_listable(call, call.snapshot, snapshot)) return *wrong;
  const auto invalid = [](const std::string& what) {
    return direct_error("ValidationException", what, "INVALID_BLOCK_TOKEN");
  };
  const auto token = tokens_.parse(TokenMaker::Kind::block, call.http.query_value("blockToken"));
  if (!token || token->second != snapshot->number || !call.block || token->index != *call.block) {
    return invalid("The block token is not of this block");
  }
  if (token->expires_ms <= now_ms() || call.fault == EbsFault::expired_block_token) {
    return invalid("The block token has expired");
  }
  const auto block = snapshot->image->at(*call.block);
  CHECK(block.has_value());  // its token says so
  Answer answer;
  answer.block = contents_.bytes(*block);
  Sha256Digest told = answer.block->digest;
  if (call.fault == EbsFault::wrong_checksum) told[7] ^= std::byte{1};
  answer.set("Content-Type", "application/octet-stream");
  answer.set("x-amz-Data-Length", call.fault == EbsFault::wrong_length ? "524287" : "524288");
  answer.set("x-amz-Checksum", to_base64(told));
  answer.set("x-amz-Checksum-Algorithm", "SHA256");
  return answer;
}

}  // namespace coldshelf::test::ebs
