#include "gateway/cli/command_line.h"
#include "gateway/cli/progress.h"
#include "gateway/cli/store_commands.h"
#include "gateway/exit_codes.h"
#include "gateway/service_user.h"
#include "gateway/store_factory.h"
#include "gateway/units.h"
#include "uploader/ownership.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string store, gateway, min_age = "7d";
  bool deep = false, dry_run = false, force = false;
};

// The running gateway's task, until it has ended.
Result<Json> store_task(CommandLine& line, const char* operation, const Json& input) {
  ASSIGN_OR_RETURN(Json task, line.call(operation, input));
  Progress progress(line.err(), *line.env().clock, progress_style(line.json()),
                    task.value("Kind", ""));
  while (task.value("State", "") == "running") {
    progress.show(0, 0, task["Done"].dump() + " of " + task["Total"].dump() + " cartridges");
    line.env().clock->sleep_ms(kPollMs);
    ASSIGN_OR_RETURN(task, line.call("DescribeStoreTask", Json::object()));
  }
  if (task.value("State", "") == "succeeded") return task["Report"];
  return Error(ErrorCode::io, task.value("Error", "the gateway gave no reason"));
}

Status store_verify(CommandLine& line, const Values& v) {
  Json report;
  if (v.store.empty()) {
    ASSIGN_OR_RETURN(report, store_task(line, "StartStoreVerify", {{"Deep", v.deep}}));
  } else {
    ASSIGN_OR_RETURN(const Config config, line.effective());
    ASSIGN_OR_RETURN(const LoadedSecrets secrets, line.key_alone(config));
    ASSIGN_OR_RETURN(const auto store, open_store(line.env(), config, v.store, true));
    ASSIGN_OR_RETURN(report, verify_store(line.env(), *store, secrets, v.deep, line.json()));
  }
  if (line.json()) {
    line.print_json(report);
  } else {
    print_verify(line.out(), report);
  }
  if (report.value("ProblemCount", uint64_t{0}) > 0) line.set_exit_code(kExitFailed);
  return {};
}

Status store_gc(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const int64_t age_ms, parse_duration_ms(v.min_age));
  Json report;
  if (v.store.empty()) {
    ASSIGN_OR_RETURN(
        report, store_task(line, "StartStoreGc", {{"DryRun", v.dry_run}, {"MinAgeMs", age_ms}}));
  } else {
    ASSIGN_OR_RETURN(const Config config, line.effective());
    ASSIGN_OR_RETURN(const auto store, open_store(line.env(), config, v.store, v.dry_run));
    ASSIGN_OR_RETURN(report, collect_store(line.env(), *store, v.dry_run, age_ms, line.json()));
  }
  if (line.json()) {
    line.print_json(report);
  } else {
    print_gc(line.out(), report, v.dry_run);
  }
  return {};
}

// Root rebuilds, and the service goes on with it: the data directory, and what was written into a
// store that is a directory (the lease, owners, manifests).
Status give_what_was_rebuilt(const Config& config, const std::optional<std::string>& new_data) {
  TRY(give_tree_to_service(new_data.value_or(config.gateway.data_dir)));
  if (config.store.type != "directory") return {};
  for (const std::string_view folder : {kGatewaysPrefix, kBarcodesPrefix, kCartridgesPrefix}) {
    const Status given = give_tree_to_service(
        join_path(config.store.path, std::string(folder.substr(0, folder.find('/')))));
    if (!given.ok() && given.error().code != ErrorCode::not_found) return given;
  }
  return {};
}

Status recover(CommandLine& line, const Values& v) {
  if (!line.says_where()) {
    return Error(ErrorCode::invalid_argument,
                 "say where to: --data DIR, an empty directory, or --config FILE");
  }
  ASSIGN_OR_RETURN(Config config, line.effective());
  if (!v.store.empty()) {
    ASSIGN_OR_RETURN(config.store, store_at(v.store, config.store));
  }
  ASSIGN_OR_RETURN(const auto store, open_store(line.env(), config, "", false));
  ASSIGN_OR_RETURN(const auto new_data, first_missing(*line.env().files, config.gateway.data_dir));
  RecoverRequest request;
  request.data_dir = config.gateway.data_dir;
  request.gateway = v.gateway;
  request.force = v.force;
  request.slots = config.library.slots;
  request.import_export_slots = config.library.import_export_slots;
  ASSIGN_OR_RETURN(const RecoverReport report,
                   recover_data(line.env(), *store, request, line.json()));
  if (line.json()) {
    line.print_json(to_json(report));
  } else {
    print_recover(line.out(), report, request.data_dir);
  }
  if (!report.lost.empty()) line.set_exit_code(kExitFailed);
  return give_what_was_rebuilt(config, new_data);
}

}  // namespace

void define_store_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* store = line.group("store", "the object store as a whole");
  CLI::App* verify = line.command(
      store, "verify", "every manifest against every object",
      [&line, v] { return store_verify(line, *v); },
      "  coldshelf store verify                          (by the running gateway)\n"
      "  coldshelf store verify --deep --store /mnt/store --key-file kek.hex\n"
      "Exit code 1: something is missing or damaged. Orphans are no damage.");
  verify->add_flag("--deep", v->deep, "read every object that is not in an archive class");
  verify->add_option("--store", v->store, "this store, with no gateway");
  line.add_key(verify, "with --store: to check encrypted content");
  CLI::App* gc = line.command(
      store, "gc", "delete objects that nothing refers to",
      [&line, v] { return store_gc(line, *v); },
      "  coldshelf store gc --dry-run\n"
      "  coldshelf store gc --min-age 30d");
  gc->add_flag("--dry-run", v->dry_run, "only say what would be deleted");
  gc->add_option("--min-age", v->min_age, "younger objects stay, e.g. 7d or 12h");
  gc->add_option("--store", v->store, "this store, with no gateway");
  CLI::App* rebuild = line.command(
      line.root(), "recover", "rebuild a lost gateway's data directory from its store",
      [&line, v] { return recover(line, *v); },
      "  coldshelf recover --store s3://bucket/prefix --data /var/lib/coldshelf\n"
      "Archived tapes come back ARCHIVED, tapes of the library RECOVERED and read-only, with "
      "what\n"
      "had been uploaded of them. No key is needed until a tape is read. docs/recovery.md.");
  rebuild->add_option("--store", v->store, "the store; default: the configuration's");
  rebuild->add_option("--gateway", v->gateway, "which gateway, when the store knows several");
  rebuild->add_flag("--force", v->force, "although that gateway seems to be alive");
}

}  // namespace coldshelf::cli
