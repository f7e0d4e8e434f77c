#include "snapshot/block_list.h"

#include "base/log.h"

namespace coldshelf {

namespace {
// A server that gives tokens for ever and no blocks is broken.
constexpr unsigned kMaxEmptyPages = 5'000;
constexpr unsigned kMaxTokenRenewals = 8;  // for one page
}  // namespace

BlockList::BlockList(EbsClient& ebs, EbsListing what, uint32_t start, uint32_t page_size)
    : ebs_(ebs), what_(std::move(what)), page_size_(page_size), expected_(start) {}

// A page token lives for an hour; from the last block on the list can always be had again.
Result<EbsPage> BlockList::fetch(const std::string& token, uint32_t start) {
  auto page = ebs_.list(what_, token, start, page_size_);
  for (unsigned i = 0; i < kMaxTokenRenewals; ++i) {
    if (page.ok() || token.empty() || page.error().code != ErrorCode::precondition_failed) break;
    // The last block was there already, and EBS refuses a list that begins behind it.
    const uint64_t end = page_.volume_gib * (GiB / kEbsBlockBytes);
    if (start >= end) return EbsPage{{}, "", page_.volume_gib};
    log_info("ebs", "a page token has expired, listing anew",
             {{"snapshot", what_.snapshot}, {"from_block", start}});
    page = ebs_.list(what_, "", start, page_size_);
  }
  return page;
}

void BlockList::fetch_ahead() {
  if (page_.next_token.empty()) return;
  const uint32_t start =
      page_.entries.empty() ? static_cast<uint32_t>(expected_) : page_.entries.back().index + 1;
  fetcher_ = std::make_unique<WorkerPool>(1);
  fetcher_->submit([this, token = page_.next_token, start] { ahead_ = fetch(token, start); });
}

Status BlockList::advance() {
  for (unsigned i = 0; i < kMaxEmptyPages; ++i) {
    if (!begun_) {
      ASSIGN_OR_RETURN(page_, fetch("", static_cast<uint32_t>(expected_)));
      begun_ = true;
    } else {
      if (page_.next_token.empty()) return {};
      if (fetcher_ == nullptr) fetch_ahead();
      fetcher_.reset();  // waits
      auto page = std::move(*ahead_);
      ahead_.reset();
      ASSIGN_OR_RETURN(page_, std::move(page));
    }
    at_ = 0;
    peak_entries_ = std::max(peak_entries_, page_.entries.size() + size_t{page_size_});
    // What was given already: the list was begun anew.
    while (at_ < page_.entries.size() && page_.entries[at_].index < expected_) ++at_;
    if (at_ < page_.entries.size()) {
      fetch_ahead();
      return {};
    }
  }
  return Error(ErrorCode::unavailable,
               "EBS: pages of " + what_.snapshot + " without blocks and without an end");
}

Result<bool> BlockList::next(EbsEntry& out) {
  if (!begun_ || at_ >= page_.entries.size()) {
    if (begun_ && page_.next_token.empty()) return false;
    TRY(advance());
    if (at_ >= page_.entries.size()) return false;
  }
  out = std::move(page_.entries[at_++]);
  expected_ = uint64_t{out.index} + 1;
  return true;
}

Result<uint64_t> BlockList::volume_gib() {
  if (!begun_) TRY(advance());
  return page_.volume_gib;
}

}  // namespace coldshelf
