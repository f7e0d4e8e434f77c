#include "gateway/automatic_tapes.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "gateway/barcode.h"

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr const char* kSetting = "automatic_tapes";
constexpr auto kInterval = std::chrono::seconds(5);
constexpr size_t kPage = 1'000;

Json to_json(const TapeCreationRule& rule) {
  return {{"prefix", rule.prefix},
          {"pool", rule.pool},
          {"size", rule.size_bytes},
          {"minimum", rule.minimum},
          {"worm", rule.worm}};
}

}  // namespace

AutomaticTapes::~AutomaticTapes() { stop(); }

void AutomaticTapes::start() {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      woken_ = false;
      lock.unlock();
      auto made = tick();
      lock.lock();
      const std::string now = made.ok() ? "" : made.error().context;
      if (!now.empty() && now != problem_) {
        log_warning("tapes", "automatic tape creation", {{"error", now}});
      }
      problem_ = now;
      wake_.wait_for(lock, kInterval, [this] { return stopping_ || woken_; });
    }
  });
}

void AutomaticTapes::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string AutomaticTapes::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

Result<std::vector<TapeCreationRule>> AutomaticTapes::rules() {
  ASSIGN_OR_RETURN(const auto kept, catalog_.setting(kSetting));
  std::vector<TapeCreationRule> out;
  if (!kept || kept->empty()) return out;
  const Json all = Json::parse(*kept, nullptr, false);
  try {
    for (const Json& one : all.at("rules")) {
      out.push_back({one.at("prefix").get<std::string>(), one.at("pool").get<std::string>(),
                     one.at("size").get<uint64_t>(), one.at("minimum").get<unsigned>(),
                     one.at("worm").get<bool>()});
    }
  } catch (const Json::exception& e) {
    return Error(ErrorCode::corrupt, std::string("the catalog's tape creation rules: ") + e.what());
  }
  return out;
}

Status AutomaticTapes::check(const std::vector<TapeCreationRule>& rules) {
  if (rules.size() > kMaxRules) {
    return Error(ErrorCode::out_of_range, "there may be at most 10 rules");
  }
  std::set<std::string> prefixes;
  for (const TapeCreationRule& rule : rules) {
    TRY(check_barcode_prefix(rule.prefix));
    if (!prefixes.insert(rule.prefix).second) {
      return Error(ErrorCode::invalid_argument, "two rules have the prefix " + rule.prefix);
    }
    if (rule.minimum < 1 || rule.minimum > kMaxMinimum) {
      return Error(ErrorCode::out_of_range, "the minimum number of tapes is 1 to 10");
    }
    if (rule.size_bytes < kMinTapeBytes || rule.size_bytes > kMaxTapeBytes) {
      return Error(ErrorCode::out_of_range, "a tape of " + std::to_string(rule.size_bytes) +
                                                " bytes is too small or too large");
    }
    ASSIGN_OR_RETURN(const auto pool, catalog_.pool(rule.pool));
    if (!pool) return Error(ErrorCode::not_found, "there is no pool " + rule.pool);
  }
  return {};
}

Status AutomaticTapes::set_rules(const std::vector<TapeCreationRule>& rules) {
  TRY(check(rules));
  Json kept = {{"rules", Json::array()}};
  for (const TapeCreationRule& rule : rules) kept["rules"].push_back(to_json(rule));
  TRY(catalog_.set_setting(kSetting, kept.dump()));
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
  return {};
}

Result<unsigned> AutomaticTapes::blank_tapes(const TapeCreationRule& rule) {
  unsigned count = 0;
  std::string after = rule.prefix;  // barcodes are longer: all of the prefix come behind it
  while (true) {
    ASSIGN_OR_RETURN(const auto page, catalog_.tapes(kPage, after));
    for (const TapeRow& row : page) {
      if (!row.barcode.starts_with(rule.prefix)) return count;
      if (row.status == TapeStatus::available && row.used_bytes == 0) ++count;
      if (count >= rule.minimum) return count;
    }
    if (page.size() < kPage) return count;
    after = page.back().barcode;
  }
}

Result<unsigned> AutomaticTapes::fill(const TapeCreationRule& rule) {
  unsigned made = 0;
  ASSIGN_OR_RETURN(unsigned blank, blank_tapes(rule));
  for (; blank < rule.minimum; ++blank, ++made) {
    TapeService::CreateRequest request;
    request.barcode = random_barcode(rule.prefix, *tapes_.env().random);
    request.size_bytes = rule.size_bytes;
    request.pool = rule.pool;
    request.worm = rule.worm;
    // Such a barcode says nothing of a medium, even if it should end like a suffix.
    request.medium = std::string(tapes_.options().drive->medium);
    const auto created = tapes_.create(request);
    if (!created.ok()) return created.error();
    log_info("tapes", "tape created by rule",
             {{"barcode", request.barcode}, {"prefix", rule.prefix}});
  }
  return made;
}

// A rule that cannot be met does not keep the others from theirs.
Result<unsigned> AutomaticTapes::tick() {
  const std::lock_guard one(ticks_);
  ASSIGN_OR_RETURN(const auto all, rules());
  unsigned made = 0;
  std::optional<Error> failed;
  for (const TapeCreationRule& rule : all) {
    const auto now = fill(rule);
    if (now.ok()) {
      made += *now;
    } else if (!failed) {
      failed = now.error();
    }
  }
  if (failed) return *failed;
  return made;
}

}  // namespace coldshelf
