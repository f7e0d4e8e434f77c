#include "gateway/cli/command_line.h"
#include "gateway/cli/move_command.h"
#include "gateway/cli/output.h"
#include "gateway/cli/store_commands.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string barcode, size, pool, medium, tier = "Standard", files, records, hold;
  Move move;
  unsigned count = 1, days = 0, partition = 0;
  bool worm = false, shelf = false, force = false, estimate = false;
};
using SharedValues = std::shared_ptr<Values>;

void add_barcode(CLI::App* sub, const SharedValues& v) {
  sub->add_option("barcode", v->barcode, "the tape's barcode")->required();
}

Status list_shelf(CommandLine& line) {
  return line.show("ListShelf", Json::object(),
                   [](std::ostream& o, const Json& a) { print_shelf(o, a["Tapes"]); });
}

Status create_tapes(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const uint64_t bytes, parse_size(v.size));
  const Json input = {{"Barcode", v.barcode}, {"SizeInBytes", bytes}, {"Count", v.count},
                      {"Pool", v.pool},       {"Medium", v.medium},   {"Worm", v.worm}};
  return line.show("CreateTapes", input, [](std::ostream& out, const Json& answer) {
    print_tapes(out, answer["Tapes"]);
  });
}

Status list_tapes(CommandLine& line) {
  ASSIGN_OR_RETURN(Json all, line.call("ListTapes", Json::object()));
  while (all.contains("After")) {
    ASSIGN_OR_RETURN(Json more, line.call("ListTapes", {{"After", all["After"]}}));
    for (Json& tape : more["Tapes"]) all["Tapes"].push_back(std::move(tape));
    all.erase("After");
    if (more.contains("After")) all["After"] = more["After"];
  }
  if (line.json()) {
    line.print_json(all);
  } else {
    print_tapes(line.out(), all["Tapes"]);
  }
  return {};
}

Status retrieve_tape(CommandLine& line, const Values& v) {
  Json input = {{"Barcode", v.barcode}, {"Days", v.days}};
  if (!v.files.empty()) input["Files"] = v.files;
  if (!v.records.empty()) input["Records"] = v.records;
  if (v.partition != 0) input["Partition"] = v.partition;
  if (v.estimate) return line.show("EstimateRetrieval", input, print_estimate);
  input["Tier"] = v.tier;
  return line.run_job("RetrieveTape", input, v.barcode);
}

// Neighbours in the same place are one line.
void print_segments(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& run : answer["Runs"]) {
    rows.push_back({std::to_string(run.value("First", uint64_t{0})),
                    std::to_string(run.value("Segments", uint64_t{0})),
                    format_size(run.value("Bytes", uint64_t{0})), run.value("Where", ""),
                    run.value("StorageClass", "")});
  }
  print_table(out, {"FIRST", "SEGMENTS", "SIZE", "WHERE", "CLASS"}, rows);
}

void define_shelf(CommandLine& line, const SharedValues& v, CLI::App* tape) {
  CLI::App* retrieve = line.command(
      tape, "retrieve", "bring a tape, or parts of it, back from the shelf, read-only",
      [&line, v] { return retrieve_tape(line, *v); },
      "  coldshelf tape retrieve ABC001L8 --tier Bulk --wait\n"
      "  coldshelf tape retrieve ABC001L8 --estimate            (what each tier costs)\n"
      "  coldshelf tape retrieve ABC001L8 --files 3-5,9         (0 is the first, as with mt)\n"
      "  coldshelf tape retrieve ABC001L8 --records 1000-1999   (blocks, as mt tell counts)");
  add_barcode(retrieve, v);
  retrieve->add_option("--tier", v->tier, "Expedited, Standard or Bulk");
  retrieve->add_option("--days", v->days, "how long it stays readable; default: the gateway's");
  retrieve->add_option("--files", v->files, "only these tape files, e.g. 3-5,9");
  retrieve->add_option("--records", v->records, "only these records, e.g. 1000-1999");
  retrieve->add_option("--partition", v->partition, "of --files and --records; default: 0");
  retrieve->add_flag("--estimate", v->estimate, "say what it costs and takes, and do nothing");
  line.add_wait(retrieve, false);
  add_barcode(line.command(
                  tape, "cancel", "cancel the archival, retrieval or reassignment under way",
                  [&line, v] {
                    return line.act("CancelTapeJob", {{"Barcode", v->barcode}}, [](const Json& a) {
                      return a.value("Barcode", "") + ": cancelled";
                    });
                  },
                  "  coldshelf tape cancel ABC001L8"),
              v);
  CLI::App* other_pool = line.command(
      tape, "reassign", "move a tape to another pool; an archived one to a colder pool",
      [&line, v] {
        return reassign(line, {"Barcode", v->barcode, "DescribeTape", "EstimateAssign",
                               "AssignTapePool", v->move});
      },
      "  coldshelf tape reassign ABC001L8 --pool DEEP_ARCHIVE --estimate\n"
      "  coldshelf tape reassign ABC001L8 --pool DEEP_ARCHIVE --yes --wait");
  add_barcode(other_pool, v);
  add_move(line, other_pool, v->move);
}

}  // namespace

void define_tape_commands(CommandLine& line) {
  const auto v = std::make_shared<Values>();
  CLI::App* tape = line.group("tape", "tapes through their whole life");
  CLI::App* create = line.command(
      tape, "create", "make new, empty tapes", [&line, v] { return create_tapes(line, *v); },
      "  coldshelf tape create --barcode ABC001L8 --size 100GiB\n"
      "  coldshelf tape create --barcode ABC001L8 --size 2.5TiB --count 10 --pool DEEP_ARCHIVE");
  create->add_option("--barcode", v->barcode, "5 to 16 of A-Z and 0-9; the first, with --count")
      ->required();
  create->add_option("--size", v->size, "what fits on it, e.g. 10GiB or 2.5TiB")->required();
  create->add_option("--count", v->count, "how many; the barcode's number is counted up");
  create->add_option("--pool", v->pool, "where archived tapes go; default: the first pool");
  create->add_option("--medium", v->medium,
                     "e.g. LTO-8; default: by the barcode's suffix, else what the drives write");
  create->add_flag("--worm", v->worm, "write once: what is on it cannot be changed or deleted");
  line.command(
          tape, "list", "all tapes",
          [&line, v] { return v->shelf ? list_shelf(line) : list_tapes(line); },
          "  coldshelf tape list --shelf      (what any gateway archived in this store)")
      ->add_flag("--shelf", v->shelf, "what lies on the store's shelf, of every gateway");
  add_barcode(line.command(
                  tape, "show", "one tape in full",
                  [&line, v] {
                    return line.show("DescribeTape", {{"Barcode", v->barcode}}, print_tape);
                  },
                  "  coldshelf tape show ABC001L8"),
              v);
  const auto tape_pin = [&](const char* name, const char* what, const char* operation,
                            const char* done) {
    add_barcode(line.command(
                    tape, name, what,
                    [&line, v, operation, done] {
                      return line.act(operation, {{"Barcode", v->barcode}}, [done](const Json& a) {
                        return a.value("Barcode", "") + done;
                      });
                    },
                    (std::string("  coldshelf tape ") + name + " ABC001L8").c_str()),
                v);
  };
  tape_pin("pin", "keep a tape in the cache, and fetch what is not there", "PinTape", " is pinned");
  tape_pin("unpin", "let the cache decide again", "UnpinTape", " is not pinned");
  add_barcode(line.command(
                  tape, "segments", "where a tape's segments are",
                  [&line, v] {
                    return line.show("ListSegments", {{"Barcode", v->barcode}}, print_segments);
                  },
                  "  coldshelf tape segments ABC001L8"),
              v);
  CLI::App* hold = line.command(
      tape, "hold", "neither deleted nor overwritten until the hold is taken away",
      [&line, v] {
        return line.run_job("HoldTape", {{"Barcode", v->barcode}, {"On", v->hold == "on"}},
                            v->barcode);
      },
      "  coldshelf tape hold ABC001L8 on --wait\n"
      "In the store each object gets S3's legal hold, where the bucket has Object Lock.");
  add_barcode(hold, v);
  hold->add_option("state", v->hold, "on or off")->required()->check(CLI::IsMember({"on", "off"}));
  line.add_wait(hold, false);
  CLI::App* archive = line.command(
      tape, "archive", "send a tape to its pool on the shelf",
      [&line, v] {
        return line.run_job("ArchiveTape", {{"Barcode", v->barcode}}, v->barcode);
      },
      "  coldshelf tape archive ABC001L8 --wait");
  add_barcode(archive, v);
  line.add_wait(archive, false);
  define_shelf(line, v, tape);
  CLI::App* take = line.command(
      tape, "takeover", "take a tape from a gateway that is gone; it comes back read-only",
      [&line, v] {
        return line.act(
            "TakeOverTape", {{"Barcode", v->barcode}, {"Force", v->force}}, [](const Json& a) {
              return a.value("Barcode", "") + " is " + a.value("Status", "") + " here now";
            });
      },
      "  coldshelf tape takeover ABC001L8\n"
      "What the other gateway had not uploaded is lost. A gateway that is alive keeps its tapes\n"
      "unless --force is given.");
  add_barcode(take, v);
  take->add_flag("--force", v->force, "although the other gateway is alive");
  CLI::App* forget = line.command(
      tape, "forget", "remove what is here of a tape that another gateway took over",
      [&line, v] {
        return line.act(
            "ForgetTape", {{"Barcode", v->barcode}, {"Force", v->force}},
            [](const Json& a) { return a.value("Barcode", "") + " is forgotten here"; });
      },
      "  coldshelf tape forget ABC001L8\n"
      "Nothing in the store changes. Refused while part of the tape is only here.");
  add_barcode(forget, v);
  forget->add_flag("--force", v->force, "give up what is only here");
  CLI::App* erase = line.command(
      tape, "delete", "delete a tape and everything on it",
      [&line, v] {
        return line.run_job("DeleteTape", {{"Barcode", v->barcode}}, v->barcode);
      },
      "  coldshelf tape delete ABC001L8");
  add_barcode(erase, v);
  line.add_wait(erase, true);
  CLI::App* verify = line.command(
      tape, "verify", "read every byte of a tape against its checksums",
      [&line, v] {
        return line.run_job("VerifyTape", {{"Barcode", v->barcode}}, v->barcode);
      },
      "  coldshelf tape verify ABC001L8 --no-wait");
  add_barcode(verify, v);
  line.add_wait(verify, true);
}

}  // namespace coldshelf::cli
