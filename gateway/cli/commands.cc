#include "gateway/cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>

#include "catalog/catalog.h"
#include "gateway/cli/cartridge_export.h"
#include "gateway/cli/client.h"
#include "gateway/cli/output.h"
#include "gateway/cli/progress.h"
#include "gateway/cli/store_commands.h"
#include "gateway/config.h"
#include "gateway/exit_codes.h"
#include "gateway/secrets.h"
#include "gateway/store_factory.h"
#include "gateway/units.h"
#include "gateway/version.h"

namespace coldshelf::cli {

namespace {

constexpr int64_t kPollMs = 200;
constexpr const char* kDefaultData = "/var/lib/coldshelf";

// What the options of all commands leave behind; one command runs in a process.
struct Values {
  std::string data, socket, config;
  bool json = false;
  std::string barcode, size, pool, medium, tier = "Standard", reassign_tier = "Bulk", source,
                                           destination, which;
  std::string output, store, key_file, key_env, timeout = "0";
  std::string gateway, min_age = "7d";
  bool deep = false, dry_run = false, shelf = false;
  unsigned count = 1, drive = 0, limit = 50;
  int64_t job = 0;
  bool worm = false, wait = false, no_wait = false, force = false;
  std::string files, records, storage_class, mode, lock = "none", pool_name;
  unsigned days = 0, partition = 0, lock_days = 0;
  bool estimate = false, yes = false;
};

class CommandLine {
 public:
  explicit CommandLine(const CommandEnv& env) : env_(env) {}

  int run(std::vector<std::string> arguments) {
    define_globals();
    define_library();
    define_tape();
    define_pools();
    define_others();
    define_store();
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    try {
      app_.parse(arguments);
    } catch (const CLI::ParseError& e) {
      return app_.exit(e, *env_.out, *env_.err) == 0 ? kExitOk : kExitUsage;
    }
    const Status done = action_();
    if (done.ok()) return exit_code_;
    report(done.error());
    return exit_code_of(done.error().code);
  }

 private:
  using Action = std::function<Status()>;

  void report(const Error& error) {
    if (v_.json) {
      const Json out = {{"error", to_string(error.code)}, {"message", error.context}};
      *env_.out << out.dump() << "\n";
    }
    *env_.err << "coldshelf: " << error.context << "\n";
  }

  // -- the tree of commands

  CLI::App* command(CLI::App* parent, const char* name, const char* what, Action action,
                    const char* examples = "") {
    CLI::App* sub = parent->add_subcommand(name, what);
    sub->fallthrough();  // --json and friends may stand at the end too
    if (*examples != 0) sub->footer(std::string("Examples:\n") + examples);
    sub->callback([this, action = std::move(action)] { action_ = action; });
    return sub;
  }

  CLI::App* group(const char* name, const char* what) {
    CLI::App* sub = app_.add_subcommand(name, what);
    sub->require_subcommand(1);
    sub->fallthrough();
    return sub;
  }

  void add_barcode(CLI::App* sub) {
    sub->add_option("barcode", v_.barcode, "the tape's barcode")->required();
  }

  void add_wait(CLI::App* sub, bool by_default) {
    if (by_default) {
      sub->add_flag("--no-wait", v_.no_wait, "start the job and return");
    } else {
      sub->add_flag("--wait", v_.wait, "wait until it is done, with progress");
    }
    sub->add_option("--timeout", v_.timeout, "stop waiting after this long, e.g. 30s or 12h");
  }

  void define_globals() {
    app_.description("The command line of coldshelf: tapes, library, jobs.");
    app_.footer(
        "Examples:\n"
        "  coldshelf status\n"
        "  coldshelf tape create --barcode ABC001L8 --size 100GiB --count 10\n"
        "  coldshelf library load ABC001L8 1\n"
        "  coldshelf tape archive ABC001L8 --wait\n"
        "The daemon is found by --socket, --config or --data, else by $COLDSHELF_SOCKET or\n"
        "$COLDSHELF_DATA, else in /var/lib/coldshelf.\n"
        "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 state conflict, 5 no daemon, "
        "6 timeout.");
    app_.require_subcommand(1);
    app_.add_option("--data", v_.data, "the daemon's data directory");
    app_.add_option("--socket", v_.socket, "the daemon's API socket");
    app_.add_option("--config", v_.config, "the daemon's configuration file");
    app_.add_flag("--json", v_.json, "print JSON, as the API gives it");
    app_.set_version_flag("--version", std::string("coldshelf ") + kVersion);
  }

  void define_library() {
    CLI::App* library = group("library", "what lies where, and moving it");
    command(library, "status", "drives, slots and what is in them",
            [this] { return show("LibraryStatus", Json::object(), print_library); });
    CLI::App* move = command(
        library, "move", "move a tape from one element to another",
        [this] {
          return act("MoveMedium", {{"Source", v_.source}, {"Destination", v_.destination}},
                     [](const Json& a) {
                       return a.value("Barcode", "") + " is in " + a.value("Element", "");
                     });
        },
        "  coldshelf library move slot3 drive1\n"
        "  coldshelf library move ABC001L8 ie1     (then it can be exported)\n"
        "  coldshelf library move 3 4              (a bare number is a slot)\n"
        "  coldshelf library move @1002 @500       (element addresses)");
    move->add_option("source", v_.source, "slot3, ie1, drive1, @ADDRESS, or a barcode")->required();
    move->add_option("destination", v_.destination, "slot3, ie1, drive1 or @ADDRESS")->required();
    CLI::App* load = command(
        library, "load", "put a tape into a drive",
        [this] {
          return act("LoadDrive", {{"Barcode", v_.barcode}, {"Drive", v_.drive}},
                     [](const Json& a) {
                       return a.value("Barcode", "") + " is in " + a.value("Element", "");
                     });
        },
        "  coldshelf library load ABC001L8 1");
    add_barcode(load);
    load->add_option("drive", v_.drive, "the drive's number, from 1")->required();
    CLI::App* unload =
        command(library, "unload", "take the tape out of a drive, to where it came from", [this] {
          return act("UnloadDrive", {{"Drive", v_.drive}}, [](const Json& a) {
            return a.value("Barcode", "") + " is in " + a.value("Element", "");
          });
        });
    unload->add_option("drive", v_.drive, "the drive's number, from 1")->required();
    CLI::App* out = command(
        library, "export", "archive the tapes in import/export slots",
        [this] { return export_now(); },
        "  coldshelf library export            (all that were moved there)\n"
        "  coldshelf library export ie2\n"
        "  coldshelf library export ABC001L8 --wait");
    out->add_option("which", v_.which, "an import/export slot or a barcode; default: all");
    add_wait(out, false);
  }

  void define_tape() {
    CLI::App* tape = group("tape", "tapes through their whole life");
    CLI::App* create = command(
        tape, "create", "make new, empty tapes", [this] { return create_tapes(); },
        "  coldshelf tape create --barcode ABC001L8 --size 100GiB\n"
        "  coldshelf tape create --barcode ABC001L8 --size 2.5TiB --count 10 --pool DEEP_ARCHIVE");
    create->add_option("--barcode", v_.barcode, "5 to 16 of A-Z and 0-9; the first, with --count")
        ->required();
    create->add_option("--size", v_.size, "what fits on it, e.g. 10GiB or 2.5TiB")->required();
    create->add_option("--count", v_.count, "how many; the barcode's number is counted up");
    create->add_option("--pool", v_.pool, "where archived tapes go; default: the first pool");
    create->add_option("--medium", v_.medium,
                       "e.g. LTO-8; default: by the barcode's suffix, else what the drives write");
    create->add_flag("--worm", v_.worm, "write once: what is on it cannot be changed or deleted");
    command(
        tape, "list", "all tapes", [this] { return v_.shelf ? list_shelf() : list_tapes(); },
        "  coldshelf tape list --shelf      (what any gateway archived in this store)")
        ->add_flag("--shelf", v_.shelf, "what lies on the store's shelf, of every gateway");
    add_barcode(command(tape, "show", "one tape in full", [this] {
      return show("DescribeTape", {{"Barcode", v_.barcode}}, print_tape);
    }));
    const auto tape_pin = [&](const char* name, const char* what, const char* operation,
                              const char* done) {
      add_barcode(command(tape, name, what, [this, operation, done] {
        return act(operation, {{"Barcode", v_.barcode}},
                   [done](const Json& a) { return a.value("Barcode", "") + done; });
      }));
    };
    tape_pin("pin", "keep a tape in the cache, and fetch what is not there", "PinTape",
             " is pinned");
    tape_pin("unpin", "let the cache decide again", "UnpinTape", " is not pinned");
    CLI::App* archive = command(
        tape, "archive", "send a tape to its pool on the shelf",
        [this] {
          return run_job("ArchiveTape", {{"Barcode", v_.barcode}}, v_.wait);
        },
        "  coldshelf tape archive ABC001L8 --wait");
    add_barcode(archive);
    add_wait(archive, false);
    define_shelf(tape);
    CLI::App* take = command(
        tape, "takeover", "take a tape from a gateway that is gone; it comes back read-only",
        [this] {
          return act("TakeOverTape", {{"Barcode", v_.barcode}, {"Force", v_.force}},
                     [](const Json& a) {
                       return a.value("Barcode", "") + " is " + a.value("Status", "") + " here now";
                     });
        },
        "  coldshelf tape takeover ABC001L8\n"
        "What the other gateway had not uploaded is lost. A gateway that is alive keeps its tapes\n"
        "unless --force is given.");
    add_barcode(take);
    take->add_flag("--force", v_.force, "although the other gateway is alive");
    CLI::App* erase = command(tape, "delete", "delete a tape and everything on it", [this] {
      return run_job("DeleteTape", {{"Barcode", v_.barcode}}, !v_.no_wait);
    });
    add_barcode(erase);
    add_wait(erase, true);
    CLI::App* verify =
        command(tape, "verify", "read every byte of a tape against its checksums", [this] {
          return run_job("VerifyTape", {{"Barcode", v_.barcode}}, !v_.no_wait);
        });
    add_barcode(verify);
    add_wait(verify, true);
  }

  void define_shelf(CLI::App* tape) {
    CLI::App* retrieve = command(
        tape, "retrieve", "bring a tape, or parts of it, back from the shelf, read-only",
        [this] { return retrieve_tape(); },
        "  coldshelf tape retrieve ABC001L8 --tier Bulk --wait\n"
        "  coldshelf tape retrieve ABC001L8 --estimate            (what each tier costs)\n"
        "  coldshelf tape retrieve ABC001L8 --files 3-5,9         (0 is the first, as with mt)\n"
        "  coldshelf tape retrieve ABC001L8 --records 1000-1999   (blocks, as mt tell counts)");
    add_barcode(retrieve);
    retrieve->add_option("--tier", v_.tier, "Expedited, Standard or Bulk");
    retrieve->add_option("--days", v_.days, "how long it stays readable; default: the gateway's");
    retrieve->add_option("--files", v_.files, "only these tape files, e.g. 3-5,9");
    retrieve->add_option("--records", v_.records, "only these records, e.g. 1000-1999");
    retrieve->add_option("--partition", v_.partition, "of --files and --records; default: 0");
    retrieve->add_flag("--estimate", v_.estimate, "say what it costs and takes, and do nothing");
    add_wait(retrieve, false);
    add_barcode(
        command(tape, "cancel", "cancel the archival, retrieval or reassignment under way", [this] {
          return act("CancelTapeJob", {{"Barcode", v_.barcode}},
                     [](const Json& a) { return a.value("Barcode", "") + ": cancelled"; });
        }));
    CLI::App* reassign = command(
        tape, "reassign", "move a tape to another pool; an archived one to a colder pool",
        [this] { return reassign_tape(); },
        "  coldshelf tape reassign ABC001L8 --pool DEEP_ARCHIVE --estimate\n"
        "  coldshelf tape reassign ABC001L8 --pool DEEP_ARCHIVE --yes --wait");
    add_barcode(reassign);
    reassign->add_option("--pool", v_.pool, "the new pool")->required();
    reassign->add_option("--tier", v_.reassign_tier, "of the restores it needs; default: Bulk");
    reassign->add_flag("--estimate", v_.estimate, "say what it costs, and do nothing");
    reassign->add_flag("--yes", v_.yes, "an archived tape: go on after the cost was shown");
    add_wait(reassign, false);
  }

  void define_pools() {
    CLI::App* pool = group("pool", "where archived tapes go");
    command(pool, "list", "pools, what is in them and what that costs a month",
            [this] { return show("ListPools", Json::object(), print_pools); });
    CLI::App* create = command(
        pool, "create", "make a pool; it cannot be changed",
        [this] {
          return act("CreatePool",
                     {{"Name", v_.pool_name},
                      {"StorageClass", v_.storage_class},
                      {"Mode", v_.mode},
                      {"Lock", v_.lock},
                      {"LockDays", v_.lock_days}},
                     [](const Json& a) { return "pool " + a.value("Name", "") + " is there"; });
        },
        "  coldshelf pool create cold --class DEEP_ARCHIVE\n"
        "  coldshelf pool create legal --class GLACIER_IR --lock compliance --lock-days 3650");
    create->add_option("name", v_.pool_name, "1 to 100 characters")->required();
    create->add_option("--class", v_.storage_class, "S3's storage class, e.g. GLACIER")->required();
    create->add_option("--mode", v_.mode, "direct or staged; default: as the class suggests");
    create->add_option("--lock", v_.lock, "none, governance or compliance");
    create->add_option("--lock-days", v_.lock_days, "how long archived tapes stay locked");
    command(pool, "delete", "delete a pool that has no tapes",
            [this] {
              return act("DeletePool", {{"Name", v_.pool_name}},
                         [](const Json& a) { return "pool " + a.value("Name", "") + " is gone"; });
            })
        ->add_option("name", v_.pool_name, "the pool")
        ->required();
  }

  void define_others() {
    CLI::App* out = command(
        &app_, "export", "write a tape's files as a tar, straight from the store, with no daemon",
        [this] { return export_cartridge_files(); },
        "  coldshelf --data /var/lib/coldshelf export ABC001L8 --to abc001.tar\n"
        "  coldshelf export ABC001L8 --to abc001.tar --store /mnt/store --key-file kek.hex\n"
        "One member per filemark (file-0001.bin, ...) holding its records one after the other;\n"
        "index.json tells their lengths.");
    out->add_option("barcode", v_.barcode, "the tape's barcode, or its uuid")->required();
    out->add_option("--to", v_.output, "the tar to write")->required();
    out->add_option("--store", v_.store,
                    "s3://BUCKET/PREFIX or a directory; default: the configured one");
    out->add_option("--key-file", v_.key_file, "the key-encryption key of an encrypted tape");
    out->add_option("--key-env", v_.key_env, "the same, in an environment variable");
    out->add_flag("--force", v_.force, "replace the tar when it is there");
    CLI::App* job = group("job", "what takes long");
    command(job, "list", "jobs, newest first", [this] {
      return show("ListJobs", {{"Limit", v_.limit}},
                  [](std::ostream& o, const Json& a) { print_jobs(o, a["Jobs"]); });
    })->add_option("--limit", v_.limit, "how many");
    CLI::App* watch = command(job, "watch", "wait for a job, with progress",
                              [this] { return watch_job(v_.job, ""); });
    watch->add_option("id", v_.job, "the job's number")->required();
    watch->add_option("--timeout", v_.timeout, "stop waiting after this long, e.g. 30s or 12h");
    CLI::App* key = group("key", "the key-encryption key");
    CLI::App* generate = command(
        key, "generate", "make a new key", [this] { return generate_key(); },
        "  coldshelf key generate --to /etc/coldshelf.key     (mode 0600)\n"
        "Keep a copy away from the gateway: without it encrypted tapes cannot be read.");
    generate->add_option("--to", v_.output, "the file to write; default: standard output");
    command(key, "status", "how many tapes are under which key",
            [this] { return show("DescribeKeys", Json::object(), print_keys); });
    CLI::App* rotate = command(
        key, "rotate", "wrap every tape's data key by the key in use",
        [this] { return rotate_keys(); },
        "  coldshelf key generate --to /etc/coldshelf/new.key\n"
        "  (configure it as [encryption], the one before as [[encryption.old_key]]; restart)\n"
        "  coldshelf key rotate --wait\n"
        "No data is read or written; docs/encryption.md");
    add_wait(rotate, false);
    command(&app_, "sessions", "who is logged in over iSCSI", [this] {
      return show("ListSessions", Json::object(),
                  [](std::ostream& o, const Json& a) { print_sessions(o, a["Sessions"]); });
    });
    command(&app_, "status", "the gateway as a whole",
            [this] { return show("GatewayStatus", Json::object(), print_status); });
  }

  void define_store() {
    CLI::App* store = group("store", "the object store as a whole");
    CLI::App* verify = command(
        store, "verify", "every manifest against every object", [this] { return store_verify(); },
        "  coldshelf store verify                          (by the running gateway)\n"
        "  coldshelf store verify --deep --store /mnt/store --key-file kek.hex\n"
        "Exit code 1: something is missing or damaged. Orphans are no damage.");
    verify->add_flag("--deep", v_.deep, "read every object that is not in an archive class");
    verify->add_option("--store", v_.store, "this store, with no gateway");
    verify->add_option("--key-file", v_.key_file, "with --store: to check encrypted content");
    verify->add_option("--key-env", v_.key_env, "the same, in an environment variable");
    CLI::App* gc = command(
        store, "gc", "delete objects that nothing refers to", [this] { return store_gc(); },
        "  coldshelf store gc --dry-run\n"
        "  coldshelf store gc --min-age 30d");
    gc->add_flag("--dry-run", v_.dry_run, "only say what would be deleted");
    gc->add_option("--min-age", v_.min_age, "younger objects stay, e.g. 7d or 12h");
    gc->add_option("--store", v_.store, "this store, with no gateway");
    CLI::App* rebuild = command(
        &app_, "recover", "rebuild a lost gateway's data directory from its store",
        [this] { return recover(); },
        "  coldshelf recover --store s3://bucket/prefix --data /var/lib/coldshelf\n"
        "Archived tapes come back ARCHIVED, tapes of the library RECOVERED and read-only, with "
        "what\n"
        "had been uploaded of them. No key is needed until a tape is read. docs/recovery.md.");
    rebuild->add_option("--store", v_.store, "the store; default: the configuration's");
    rebuild->add_option("--gateway", v_.gateway, "which gateway, when the store knows several");
    rebuild->add_flag("--force", v_.force, "although that gateway seems to be alive");
  }

  // -- what they do

  Status list_shelf() {
    return show("ListShelf", Json::object(),
                [](std::ostream& o, const Json& a) { print_shelf(o, a["Tapes"]); });
  }

  // The running gateway's task, until it has ended.
  Result<Json> store_task(const char* operation, const Json& input) {
    ASSIGN_OR_RETURN(Json task, call(operation, input));
    Progress progress(*env_.err, *env_.clock, progress_style(v_.json), task.value("Kind", ""));
    while (task.value("State", "") == "running") {
      progress.show(0, 0, task["Done"].dump() + " of " + task["Total"].dump() + " cartridges");
      env_.clock->sleep_ms(kPollMs);
      ASSIGN_OR_RETURN(task, call("DescribeStoreTask", Json::object()));
    }
    if (task.value("State", "") == "succeeded") return task["Report"];
    return Error(ErrorCode::io, task.value("Error", "the gateway gave no reason"));
  }

  Result<LoadedSecrets> key_alone(Config config) {
    if (!v_.key_file.empty() || !v_.key_env.empty()) {
      config.encryption = {};
      config.encryption.key_file = v_.key_file;
      config.encryption.key_env = v_.key_env;
    }
    config.iscsi.chap = {};  // not needed, need not be readable
    return load_secrets(*env_.files, config);
  }

  Status store_verify() {
    Json report;
    if (v_.store.empty()) {
      ASSIGN_OR_RETURN(report, store_task("StartStoreVerify", {{"Deep", v_.deep}}));
    } else {
      ASSIGN_OR_RETURN(const Config config, effective());
      ASSIGN_OR_RETURN(const LoadedSecrets secrets, key_alone(config));
      ASSIGN_OR_RETURN(const auto store, open_store(env_, config, v_.store, true));
      ASSIGN_OR_RETURN(report, verify_store(env_, *store, secrets, v_.deep, v_.json));
    }
    if (v_.json) {
      print_json(report);
    } else {
      print_verify(*env_.out, report);
    }
    if (report.value("ProblemCount", uint64_t{0}) > 0) exit_code_ = kExitFailed;
    return {};
  }

  Status store_gc() {
    ASSIGN_OR_RETURN(const int64_t age_ms, parse_duration_ms(v_.min_age));
    Json report;
    if (v_.store.empty()) {
      ASSIGN_OR_RETURN(report,
                       store_task("StartStoreGc", {{"DryRun", v_.dry_run}, {"MinAgeMs", age_ms}}));
    } else {
      ASSIGN_OR_RETURN(const Config config, effective());
      ASSIGN_OR_RETURN(const auto store, open_store(env_, config, v_.store, v_.dry_run));
      ASSIGN_OR_RETURN(report, collect_store(env_, *store, v_.dry_run, age_ms, v_.json));
    }
    if (v_.json) {
      print_json(report);
    } else {
      print_gc(*env_.out, report, v_.dry_run);
    }
    return {};
  }

  Status recover() {
    if (v_.data.empty() && v_.config.empty()) {
      return Error(ErrorCode::invalid_argument,
                   "say where to: --data DIR, an empty directory, or --config FILE");
    }
    ASSIGN_OR_RETURN(const Config config, effective());
    ASSIGN_OR_RETURN(const auto store, open_store(env_, config, v_.store, false));
    RecoverRequest request;
    request.data_dir = config.gateway.data_dir;
    request.gateway = v_.gateway;
    request.force = v_.force;
    request.slots = config.library.slots;
    request.import_export_slots = config.library.import_export_slots;
    ASSIGN_OR_RETURN(const RecoverReport report, recover_data(env_, *store, request, v_.json));
    if (v_.json) {
      print_json(to_json(report));
    } else {
      print_recover(*env_.out, report, request.data_dir);
    }
    if (!report.lost.empty()) exit_code_ = kExitFailed;
    return {};
  }

  static std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  }

  Result<Config> effective() const {
    if (!v_.config.empty()) return load_config(*env_.files, v_.config, v_.data);
    std::string data = v_.data.empty() ? environment("COLDSHELF_DATA") : v_.data;
    return default_config(data.empty() ? kDefaultData : data);
  }

  Result<ApiClient> client() const {
    if (!v_.socket.empty()) return ApiClient(v_.socket);
    const std::string from_environment = environment("COLDSHELF_SOCKET");
    if (v_.config.empty() && v_.data.empty() && !from_environment.empty()) {
      return ApiClient(from_environment);
    }
    ASSIGN_OR_RETURN(const Config config, effective());
    return ApiClient(config.api.socket);
  }

  Result<Json> call(const char* operation, const Json& input) const {
    ASSIGN_OR_RETURN(const ApiClient api, client());
    return api.call(operation, input);
  }

  void print_json(const Json& answer) { *env_.out << answer.dump(2) << "\n"; }

  Status show(const char* operation, const Json& input,
              const std::function<void(std::ostream&, const Json&)>& print) {
    ASSIGN_OR_RETURN(const Json answer, call(operation, input));
    if (v_.json) {
      print_json(answer);
    } else {
      print(*env_.out, answer);
    }
    return {};
  }

  Status act(const char* operation, const Json& input,
             const std::function<std::string(const Json&)>& sentence) {
    return show(operation, input,
                [&](std::ostream& out, const Json& answer) { out << sentence(answer) << "\n"; });
  }

  Status create_tapes() {
    ASSIGN_OR_RETURN(const uint64_t bytes, parse_size(v_.size));
    const Json input = {{"Barcode", v_.barcode}, {"SizeInBytes", bytes}, {"Count", v_.count},
                        {"Pool", v_.pool},       {"Medium", v_.medium},  {"Worm", v_.worm}};
    return show("CreateTapes", input,
                [](std::ostream& out, const Json& answer) { print_tapes(out, answer["Tapes"]); });
  }

  Status list_tapes() {
    ASSIGN_OR_RETURN(Json all, call("ListTapes", Json::object()));
    while (all.contains("After")) {
      ASSIGN_OR_RETURN(Json more, call("ListTapes", {{"After", all["After"]}}));
      for (Json& tape : more["Tapes"]) all["Tapes"].push_back(std::move(tape));
      all.erase("After");
      if (more.contains("After")) all["After"] = more["After"];
    }
    if (v_.json) {
      print_json(all);
    } else {
      print_tapes(*env_.out, all["Tapes"]);
    }
    return {};
  }

  Status retrieve_tape() {
    Json input = {{"Barcode", v_.barcode}, {"Days", v_.days}};
    if (!v_.files.empty()) input["Files"] = v_.files;
    if (!v_.records.empty()) input["Records"] = v_.records;
    if (v_.partition != 0) input["Partition"] = v_.partition;
    if (v_.estimate) return show("EstimateRetrieval", input, print_estimate);
    input["Tier"] = v_.tier;
    return run_job("RetrieveTape", input, v_.wait);
  }

  // What an archived tape's move costs is seen before it begins.
  Status reassign_tape() {
    const Json input = {{"Barcode", v_.barcode}, {"Pool", v_.pool}, {"Tier", v_.reassign_tier}};
    if (v_.estimate) return show("EstimateAssign", input, print_move);
    ASSIGN_OR_RETURN(const Json tape, call("DescribeTape", {{"Barcode", v_.barcode}}));
    const bool archived = tape.value("Status", "") == to_string(TapeStatus::archived);
    if (archived && !v_.yes) {
      ASSIGN_OR_RETURN(const Json cost, call("EstimateAssign", input));
      print_move(*env_.err, cost);
      return Error(ErrorCode::invalid_argument, "give --yes to go on");
    }
    ASSIGN_OR_RETURN(const Json done, call("AssignTapePool", input));
    if (done.contains("JobId")) return follow_job(done, v_.wait);
    if (v_.json) {
      print_json(done);
    } else {
      *env_.out << v_.barcode << " is in pool " << v_.pool << "\n";
    }
    return {};
  }

  Status run_job(const char* operation, const Json& input, bool wait) {
    ASSIGN_OR_RETURN(const Json started, call(operation, input));
    return follow_job(started, wait);
  }

  Status follow_job(const Json& started, bool wait) {
    const int64_t id = started.value("JobId", int64_t{0});
    if (wait) return watch_job(id, v_.barcode);
    if (v_.json) {
      print_json(started);
    } else {
      *env_.out << "job " << id << " started; coldshelf job watch " << id << "\n";
    }
    return {};
  }

  static bool finished(const std::string& state) {
    return state == to_string(JobState::succeeded) || state == to_string(JobState::failed) ||
           state == to_string(JobState::cancelled);
  }

  // Polls until the job is over. `barcode` empty: not known yet.
  Result<Json> wait_for_job(int64_t id) {
    ASSIGN_OR_RETURN(const int64_t timeout_ms, parse_duration_ms(v_.timeout));
    const int64_t begin_ns = env_.clock->monotonic_ns();
    ASSIGN_OR_RETURN(Json job, call("DescribeJob", {{"JobId", id}}));
    Progress progress(*env_.err, *env_.clock, progress_style(v_.json),
                      job.value("Kind", "") + " " + job.value("Barcode", ""));
    while (!finished(job.value("State", ""))) {
      progress.show(job.value("DoneBytes", uint64_t{0}), job.value("TotalBytes", uint64_t{0}),
                    job.value("Step", ""));
      if (timeout_ms != 0 && env_.clock->monotonic_ns() - begin_ns > timeout_ms * 1'000'000) {
        return Error(ErrorCode::timed_out, "job " + std::to_string(id) + " is still " +
                                               job.value("State", "") + "; it goes on");
      }
      env_.clock->sleep_ms(kPollMs);
      ASSIGN_OR_RETURN(job, call("DescribeJob", {{"JobId", id}}));
    }
    return job;
  }

  Status watch_job(int64_t id, const std::string& barcode) {
    ASSIGN_OR_RETURN(const Json job, wait_for_job(id));
    const std::string state = job.value("State", "");
    if (v_.json) print_json(job);
    if (state != to_string(JobState::succeeded)) {
      exit_code_ = kExitFailed;
      *env_.err << "coldshelf: " << job.value("Kind", "") << " of " << job.value("Barcode", "")
                << " " << state << ": " << job.value("Error", "no reason was given") << "\n";
      return {};
    }
    if (v_.json) return {};
    const std::string tape = barcode.empty() ? job.value("Barcode", "") : barcode;
    auto now = call("DescribeTape", {{"Barcode", tape}});
    *env_.out << tape << ": " << job.value("Kind", "") << " done, "
              << format_size(job.value("TotalBytes", uint64_t{0}));
    if (now.ok()) {
      *env_.out << ", " << now->value("Status", "");
      const std::string location = now->value("Location", "");
      if (!location.empty()) *env_.out << " in " << location;
    }
    *env_.out << "\n";
    return {};
  }

  Status export_now() {
    ASSIGN_OR_RETURN(const Json answer, call("ExportTapes", {{"Which", v_.which}}));
    const Json& jobs = answer["Jobs"];
    if (v_.json && !v_.wait) print_json(answer);
    if (jobs.empty() && !v_.json) *env_.out << "no tape waits in an import/export slot\n";
    for (const Json& job : jobs) {
      const int64_t id = job.value("JobId", int64_t{0});
      if (v_.wait) {
        TRY(watch_job(id, job.value("Barcode", "")));
      } else if (!v_.json) {
        *env_.out << job.value("Barcode", "") << ": job " << id << " started\n";
      }
    }
    return {};
  }

  Status export_cartridge_files() {
    ASSIGN_OR_RETURN(const Config config, effective());
    ASSIGN_OR_RETURN(const LoadedSecrets secrets, key_alone(config));
    ASSIGN_OR_RETURN(const auto store, open_store(env_, config, v_.store, true));
    Progress progress(*env_.err, *env_.clock, progress_style(v_.json), "export " + v_.barcode);
    ExportEnv env{env_.files,
                  env_.clock,
                  env_.random,
                  store.get(),
                  secrets.key ? &*secrets.key : nullptr,
                  [&](uint64_t done, uint64_t total) { progress.show(done, total, ""); }};
    ASSIGN_OR_RETURN(const ExportReport report,
                     export_cartridge(env, {v_.barcode, v_.output, v_.force}));
    progress.finish();
    const Json answer = {{"Barcode", report.barcode},
                         {"Files", report.files},
                         {"Records", report.records},
                         {"Bytes", report.bytes},
                         {"Output", v_.output}};
    if (v_.json) {
      print_json(answer);
    } else {
      *env_.out << report.barcode << ": " << report.files << " files, " << report.records
                << " records, " << format_size(report.bytes) << " in " << v_.output << "\n";
    }
    return {};
  }

  Status rotate_keys() {
    ASSIGN_OR_RETURN(const int64_t timeout_ms, parse_duration_ms(v_.timeout));
    const int64_t begin_ns = env_.clock->monotonic_ns();
    ASSIGN_OR_RETURN(Json answer, call("RotateKeys", Json::object()));
    Progress progress(*env_.err, *env_.clock, progress_style(v_.json), "key rotate");
    const auto running = [&] { return answer["Rotation"].value("State", "") == "running"; };
    while (v_.wait && running()) {
      const Json& rotation = answer["Rotation"];
      progress.show(0, 0, rotation["Done"].dump() + " of " + rotation["Total"].dump() + " tapes");
      if (timeout_ms != 0 && env_.clock->monotonic_ns() - begin_ns > timeout_ms * 1'000'000) {
        return Error(ErrorCode::timed_out, "the rotation is still running; it goes on");
      }
      env_.clock->sleep_ms(kPollMs);
      ASSIGN_OR_RETURN(answer, call("DescribeKeys", Json::object()));
    }
    progress.finish();
    if (v_.json) {
      print_json(answer);
    } else {
      print_keys(*env_.out, answer);
    }
    if (answer["Rotation"].value("State", "") == "failed") {
      return Error(ErrorCode::key_mismatch, "some tapes keep the key they had");
    }
    return {};
  }

  Status generate_key() {
    const Secret key = KeyEncryptionKey::generate_text(*env_.random);
    ASSIGN_OR_RETURN(const KeyEncryptionKey parsed, KeyEncryptionKey::parse(key.reveal()));
    if (v_.output.empty()) {
      *env_.out << key.reveal() << "\n";
      return {};
    }
    TRY(write_key_file(v_.output, key));
    if (v_.json) {
      print_json({{"KeyId", parsed.id()}, {"Output", v_.output}});
    } else {
      *env_.out << parsed.id() << " written to " << v_.output << "\n";
    }
    return {};
  }

  // Never over another key: tapes may depend on it.
  Status write_key_file(const std::string& path, const Secret& key) {
    auto file = env_.files->open(path, OpenMode::create_private);
    if (!file.ok()) return file.error();
    TRY((*file)->write_at(0, key.reveal_bytes()));
    TRY((*file)->write_at(key.reveal().size(), as_view("\n")));
    TRY((*file)->sync());
    return env_.files->sync_directory(parent_directory(path));
  }

  const CommandEnv env_;
  CLI::App app_;
  Values v_;
  Action action_;
  int exit_code_ = kExitOk;
};

}  // namespace

int run_command_line(const std::vector<std::string>& arguments, const CommandEnv& env) {
  return CommandLine(env).run(arguments);
}

}  // namespace coldshelf::cli
