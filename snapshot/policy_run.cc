#include "snapshot/policy_run.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxFileBytes = 64 * MiB;
constexpr std::array<std::string_view, 7> kItemStates = {
    "wanted", "created", "ready", "done", "failed", "skipped", "skipped-archived"};
constexpr std::array<std::string_view, 5> kPhases = {"choose", "create", "settle", "retain",
                                                     "done"};

template <typename State, size_t N>
State state_of(const std::array<std::string_view, N>& names, const std::string& text) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<State>(i);
  }
  throw std::invalid_argument("unknown state " + text);
}

std::string dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json place_json(const PolicyPlace& place) {
  return {{"account", place.account}, {"region", place.region}};
}

PolicyPlace place_of(const Json& json) {
  return {json.at("account").get<std::string>(), json.at("region").get<std::string>()};
}

Json item_json(const PolicyItem& item) {
  return {{"place", place_json(item.place)},
          {"instance", item.instance},
          {"volume", item.volume},
          {"snapshot", item.snapshot},
          {"state", std::string(to_string(item.state))},
          {"attempts", item.attempts},
          {"next_try_ms", item.next_try_ms},
          {"since_ms", item.since_ms},
          {"note", item.note}};
}

PolicyItem item_of(const Json& json) {
  PolicyItem item;
  item.place = place_of(json.at("place"));
  item.instance = json.at("instance").get<std::string>();
  item.volume = json.at("volume").get<std::string>();
  item.snapshot = json.at("snapshot").get<std::string>();
  item.state = state_of<PolicyItemState>(kItemStates, json.at("state").get<std::string>());
  item.attempts = json.at("attempts").get<unsigned>();
  item.next_try_ms = json.at("next_try_ms").get<int64_t>();
  item.since_ms = json.at("since_ms").get<int64_t>();
  item.note = json.at("note").get<std::string>();
  return item;
}

}  // namespace

std::string_view to_string(PolicyItemState state) {
  return kItemStates[static_cast<size_t>(state)];
}

std::string_view to_string(PolicyRun::Phase phase) { return kPhases[static_cast<size_t>(phase)]; }

size_t PolicyRun::not_pulled() const {
  return static_cast<size_t>(std::count_if(items.begin(), items.end(), [](const PolicyItem& item) {
    return item.state == PolicyItemState::archived;
  }));
}

Json policy_run_json(const PolicyRun& run) {
  Json places = Json::array();
  for (const PolicyRun::Place& p : run.places) {
    places.push_back(
        {{"place", place_json(p.place)}, {"attempts", p.attempts}, {"next_try_ms", p.next_try_ms}});
  }
  Json items = Json::array();
  for (const PolicyItem& item : run.items) items.push_back(item_json(item));
  return {{"version", 1},
          {"policy", run.policy},
          {"id", run.id},
          {"phase", std::string(to_string(run.phase))},
          {"by_hand", run.by_hand},
          {"missed", run.missed},
          {"due_ms", run.due_ms},
          {"started_ms", run.started_ms},
          {"finished_ms", run.finished_ms},
          {"places_known", run.places_known},
          {"attempts", run.attempts},
          {"next_try_ms", run.next_try_ms},
          {"places", places},
          {"items", items},
          {"done", run.done},
          {"skipped", run.skipped},
          {"failed", run.failed},
          {"notified", run.notified},
          {"notify_attempts", run.notify_attempts},
          {"notify_next_ms", run.notify_next_ms}};
}

Result<PolicyRun> policy_run_from_json(const Json& json) {
  try {
    if (json.at("version").get<int>() != 1) {
      return Error(ErrorCode::unsupported_version, "a run of a later version");
    }
    PolicyRun run;
    run.policy = json.at("policy").get<std::string>();
    run.id = json.at("id").get<std::string>();
    run.phase = state_of<PolicyRun::Phase>(kPhases, json.at("phase").get<std::string>());
    run.by_hand = json.at("by_hand").get<bool>();
    run.missed = json.at("missed").get<unsigned>();
    run.due_ms = json.at("due_ms").get<int64_t>();
    run.started_ms = json.at("started_ms").get<int64_t>();
    run.finished_ms = json.at("finished_ms").get<int64_t>();
    run.places_known = json.at("places_known").get<bool>();
    run.attempts = json.at("attempts").get<unsigned>();
    run.next_try_ms = json.at("next_try_ms").get<int64_t>();
    for (const Json& p : json.at("places")) {
      run.places.push_back({place_of(p.at("place")), p.at("attempts").get<unsigned>(),
                            p.at("next_try_ms").get<int64_t>()});
    }
    for (const Json& item : json.at("items")) run.items.push_back(item_of(item));
    run.done = json.at("done").get<std::vector<std::string>>();
    run.skipped = json.at("skipped").get<std::vector<std::string>>();
    run.failed = json.at("failed").get<std::vector<std::string>>();
    run.notified = json.at("notified").get<bool>();
    run.notify_attempts = json.at("notify_attempts").get<unsigned>();
    run.notify_next_ms = json.at("notify_next_ms").get<int64_t>();
    return run;
  } catch (const std::exception& e) {
    return Error(ErrorCode::corrupt, std::string("not a policy's run: ") + e.what());
  }
}

PolicyJournal::PolicyJournal(FileSystem& files, std::string directory)
    : files_(files), directory_(std::move(directory)) {}

Status PolicyJournal::load_runs(const std::string& name, Loaded& out) {
  const std::string runs = join_path(folder(name), "runs");
  ASSIGN_OR_RETURN(const bool there, files_.exists(runs));
  if (!there) return {};
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(runs));
  for (const std::string& file : names) {
    if (!file.ends_with(".json")) continue;
    const std::string path = join_path(runs, file);
    ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(path, kMaxFileBytes));
    Result<PolicyRun> run = policy_run_from_json(Json::parse(as_text(bytes), nullptr, false));
    if (run.ok() && run->policy == name && file == run->id + ".json") {
      out.runs.push_back(std::move(*run));
    } else {
      out.problems.push_back(path + ": " + (run.ok() ? "of another run" : run.error().context));
    }
  }
  return {};
}

Status PolicyJournal::load_policy(const std::string& name, Loaded& out) {
  const std::string seen = join_path(folder(name), "seen");
  ASSIGN_OR_RETURN(const bool known, files_.exists(seen));
  if (known) {
    ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(seen, 1 * KiB));
    const Json json = Json::parse(as_text(bytes), nullptr, false);
    if (json.is_number_integer()) {
      out.seen.emplace_back(name, json.get<int64_t>());
    } else {
      out.problems.push_back(seen + ": not a time");
    }
  }
  const std::string schedule = join_path(folder(name), "schedule");
  ASSIGN_OR_RETURN(const bool scheduled, files_.exists(schedule));
  if (scheduled) {
    ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(schedule, kMaxFileBytes));
    out.schedules[name] = to_text(bytes);
  }
  const std::string definition = join_path(folder(name), "definition.json");
  ASSIGN_OR_RETURN(const bool defined, files_.exists(definition));
  if (defined) {
    ASSIGN_OR_RETURN(const Buffer bytes, files_.read_file(definition, kMaxFileBytes));
    Result<Policy> policy = policy_from_json(Json::parse(as_text(bytes), nullptr, false));
    if (policy.ok() && policy->name == name) {
      out.definitions.push_back(std::move(*policy));
    } else {
      out.problems.push_back(definition + ": " +
                             (policy.ok() ? "of another policy" : policy.error().context));
    }
  }
  return load_runs(name, out);
}

Result<PolicyJournal::Loaded> PolicyJournal::load() {
  Loaded out;
  TRY(files_.create_directories(directory_));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.list(directory_));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const FileInfo info, files_.info(folder(name)));
    if (info.is_directory) TRY(load_policy(name, out));
  }
  std::sort(out.runs.begin(), out.runs.end(), [](const PolicyRun& a, const PolicyRun& b) {
    return std::tie(a.started_ms, a.id) < std::tie(b.started_ms, b.id);
  });
  return out;
}

Status PolicyJournal::save_seen(const std::string& policy, int64_t ms) {
  TRY(files_.create_directories(folder(policy)));
  return files_.replace_file(join_path(folder(policy), "seen"), as_view(std::to_string(ms) + "\n"));
}

Status PolicyJournal::save_schedule(const Policy& policy) {
  TRY(files_.create_directories(folder(policy.name)));
  return files_.replace_file(join_path(folder(policy.name), "schedule"), as_view(policy.schedule));
}

Status PolicyJournal::save_definition(const Policy& policy) {
  TRY(files_.create_directories(folder(policy.name)));
  return files_.replace_file(join_path(folder(policy.name), "definition.json"),
                             as_view(dump(policy_to_json(policy))));
}

Status PolicyJournal::remove_definition(const std::string& policy) {
  TRY(files_.remove(join_path(folder(policy), "definition.json")));
  return files_.sync_directory(folder(policy));
}

Status PolicyJournal::save(const PolicyRun& run) {
  const std::string runs = join_path(folder(run.policy), "runs");
  TRY(files_.create_directories(runs));
  return files_.replace_file(join_path(runs, run.id + ".json"),
                             as_view(dump(policy_run_json(run))));
}

Status PolicyJournal::remove(const PolicyRun& run) {
  return files_.remove(join_path(join_path(folder(run.policy), "runs"), run.id + ".json"));
}

}  // namespace coldshelf
