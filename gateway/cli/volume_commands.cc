// coldshelf volume ...
#include <cstdlib>
#include <filesystem>

#include "base/command.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/volume_output.h"
#include "gateway/exit_codes.h"
#include "gateway/units.h"
#include "snapshot/quiesce.h"
#include "snapshot/retention.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string name, size, mode = "cached", point, new_name, file, format;
  std::string description, quiesce, pre, post, longest = "1m";
  std::string calendar, keep_for;
  unsigned hours = 0, start_at = 0;
  bool utc = false;
  unsigned keep_last = 0, hourly = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0;
  std::vector<std::string> names;
  unsigned block_bytes = 512;
  bool force = false, detached = false, take_over = false;
};
using ValuesPtr = std::shared_ptr<Values>;

// Of commands that a killed command line left behind: one of each user.
std::string journal_directory() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  if (state != nullptr && *state != 0) return std::string(state) + "/coldshelf/quiesce";
  return std::string(home == nullptr ? "/root" : home) + "/.local/state/coldshelf/quiesce";
}

void add_volume(CLI::App* sub, const ValuesPtr& v) {
  sub->add_option("volume", v->name, "the volume's name or id")->required();
}
void add_point(CLI::App* sub, const ValuesPtr& v) {
  sub->add_option("point", v->point, "VOLUME@NAME, VOLUME@ID or VOLUME@latest")->required();
}
void add_force(CLI::App* sub, const ValuesPtr& v, const char* what) {
  sub->add_flag("--force", v->force, what);
}

std::string made(const Json& a) {
  return a.value("Name", "") + ": " + format_size(a.value("SizeInBytes", uint64_t{0})) + ", " +
         a.value("Target", "no target");
}

void define_life(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* create = line.command(
      volume, "create", "make a new, empty volume",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const uint64_t size, parse_size(v->size));
        return line.act("CreateVolume",
                        {{"Name", v->name},
                         {"SizeInBytes", size},
                         {"Mode", v->mode},
                         {"BlockBytes", v->block_bytes}},
                        made);
      },
      "  coldshelf volume create --name db1 --size 1TiB\n"
      "  coldshelf volume create --name vm --size 200GiB --mode stored --block-size 4096\n"
      "cached: what is used is here, all of it is in the store; stored: all of it is here too.");
  create->add_option("--name", v->name, "letters, digits, '-' and '.'")->required();
  create->add_option("--size", v->size, "e.g. 10GiB or 2.5TiB; it takes no space yet")->required();
  create->add_option("--mode", v->mode, "cached (default) or stored");
  create->add_option("--block-size", v->block_bytes, "512 (default) or 4096");
  line.command(
          volume, "list", "all volumes, and what is mounted",
          [&line, v] {
            return v->detached
                       ? line.show("ListDetachedVolumes", Json::object(), print_detached_volumes)
                       : line.show("ListVolumes", Json::object(), print_volumes);
          },
          "  coldshelf volume list --detached      (what can be attached, of every gateway)")
      ->add_flag("--detached", v->detached, "volumes in the store that no gateway has");
  add_volume(line.command(
                 volume, "show", "one volume in full",
                 [&line, v] {
                   return line.show("DescribeVolume", {{"Volume", v->name}}, print_volume);
                 },
                 "  coldshelf volume show mail"),
             v);
  CLI::App* resize = line.command(
      volume, "resize", "let a volume grow; initiators are told",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const uint64_t size, parse_size(v->size));
        return line.act("ResizeVolume", {{"Volume", v->name}, {"SizeInBytes", size}}, made);
      },
      "  coldshelf volume resize db1 --size 2TiB");
  add_volume(resize, v);
  resize->add_option("--size", v->size, "the new size")->required();
  CLI::App* erase = line.command(
      volume, "delete", "delete a volume and its recovery points",
      [&line, v] {
        return line.act("DeleteVolume", {{"Volume", v->name}, {"Force", v->force}},
                        [v](const Json&) { return v->name + " is gone"; });
      },
      "  coldshelf volume delete mail");
  add_volume(erase, v);
  add_force(erase, v, "although initiators are logged in, or it cannot be opened");
  const auto simple = [&](const char* name, const char* what, const char* operation,
                          const char* done) {
    add_volume(line.command(
                   volume, name, what,
                   [&line, v, operation, done] {
                     return line.act(operation, {{"Volume", v->name}},
                                     [done](const Json& a) { return a.value("Name", "") + done; });
                   },
                   (std::string("  coldshelf volume ") + name + " mail").c_str()),
               v);
  };
  simple("pin", "keep all of a volume in the cache", "PinVolume", " is pinned");
  simple("unpin", "let the cache decide again", "UnpinVolume", " is not pinned");
  simple("compact", "give back the space that overwritten data takes", "CompactVolume",
         " is compacted");
}

void print_made(CommandLine& line, const Json& answer) {
  line.print(answer,
             [](std::ostream& out, const Json& a) { print_points(out, a["RecoveryPoints"]); });
  if (answer.contains("Warning")) {
    line.err() << "coldshelf: " << answer.value("Warning", "") << "\n";
    line.set_exit_code(kExitFailed);
  }
}

// With commands of this side around it: what they hold still is held until the gateway answers.
Status create_points(CommandLine& line, const Values& v) {
  const Json input = {{"Volumes", v.names},
                      {"Name", v.new_name},
                      {"Description", v.description},
                      {"Quiesce", v.quiesce}};
  QuiesceCommands commands;
  if (!v.pre.empty()) {
    ASSIGN_OR_RETURN(commands.pre, split_command_line(v.pre));
  }
  if (!v.post.empty()) {
    ASSIGN_OR_RETURN(commands.post, split_command_line(v.post));
  }
  ASSIGN_OR_RETURN(commands.longest_ms, parse_duration_ms(v.longest));
  commands.pre_timeout_ms = commands.post_timeout_ms = commands.longest_ms;
  if (commands.empty()) {
    ASSIGN_OR_RETURN(const Json answer, line.call("CreateRecoveryPoint", input));
    print_made(line, answer);
    return {};
  }
  const CommandEnv& env = line.env();
  CommandQuiescer quiescer(*env.files, *env.clock, *env.random, journal_directory());
  ASSIGN_OR_RETURN(const auto left, quiescer.thaw_left_behind());
  for (const std::string& what : left) line.err() << "coldshelf: " << what << "\n";
  ASSIGN_OR_RETURN(const auto frozen, quiescer.freeze(commands, "recovery point"));
  const auto answer = line.call("CreateRecoveryPoint", input);
  const Status thawed = frozen->thaw();
  if (!answer.ok()) return answer.error();
  if (!thawed.ok() && thawed.error().code == ErrorCode::timed_out) {
    // Not what it says it is.
    for (const Json& p : (*answer)["RecoveryPoints"]) {
      const std::string name = p.value("VolumeUuid", "") + "@" + p.value("Id", "");
      TRY(line.call("DeleteRecoveryPoint", {{"RecoveryPoint", name}}));
    }
    return thawed;
  }
  print_made(line, *answer);
  return thawed;
}

void define_owners(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* detach = line.command(
      volume, "detach", "give a volume up, for another gateway of the same store",
      [&line, v] {
        return line.run_job("DetachVolume", {{"Volume", v->name}, {"Force", v->force}}, v->name);
      },
      "  coldshelf volume detach db1\n"
      "What the store lacks of it is uploaded first; then nothing of it is left here.");
  add_volume(detach, v);
  add_force(detach, v, "although initiators are logged in: they are logged out");
  line.add_wait(detach, true);
  CLI::App* attach = line.command(
      volume, "attach", "take a detached volume, with its recovery points and schedules",
      [&line, v] {
        return line.act("AttachVolume",
                        {{"Volume", v->name}, {"TakeOver", v->take_over}, {"Force", v->force}},
                        made);
      },
      "  coldshelf volume list --detached\n"
      "  coldshelf volume attach db1\n"
      "  coldshelf volume attach db1 --takeover     (of a gateway that is gone)");
  add_volume(attach, v);
  attach->add_flag("--takeover", v->take_over,
                   "it was not detached: what its gateway had not uploaded is lost");
  add_force(attach, v,
            "with --takeover: although its gateway is alive; of one that was taken from here: "
            "although initiators are logged in");
  CLI::App* forget = line.command(
      volume, "forget", "remove what is here of a volume that another gateway took over",
      [&line, v] {
        return line.act("ForgetVolume", {{"Volume", v->name}, {"Force", v->force}},
                        [](const Json& a) { return a.value("Volume", "") + " is forgotten here"; });
      },
      "  coldshelf volume forget db1\n"
      "Nothing in the store changes. Refused while part of the volume is only here.");
  add_volume(forget, v);
  add_force(forget, v, "give up what is only here; initiators that are logged in are logged out");
}

void define_points(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* point = volume->add_subcommand("point", "recovery points");
  point->require_subcommand(1);
  point->fallthrough();
  CLI::App* create = line.command(
      point, "create", "keep volumes as they are now, all of them at one moment",
      [&line, v] { return create_points(line, *v); },
      "  coldshelf volume point create db1\n"
      "  coldshelf volume point create data log --name before-upgrade --quiesce db\n"
      "  coldshelf volume point create web --pre 'fsfreeze -f /srv' --post 'fsfreeze -u /srv'\n"
      "--quiesce: commands of the gateway's configuration, which the gateway runs. --pre and\n"
      "--post: run here. The one after runs whatever happens.");
  create->add_option("volumes", v->names, "one or more volumes")->required();
  create->add_option("--name", v->new_name, "default: the time");
  create->add_option("--description", v->description, "kept with it");
  create->add_option("--quiesce", v->quiesce, "a [[quiesce]] of the gateway's configuration");
  create->add_option("--pre", v->pre, "a command that makes applications hold still");
  create->add_option("--post", v->post, "a command that lets them go on");
  create->add_option("--longest", v->longest, "how long they hold still at most; default: 1m");
  add_volume(line.command(
                 point, "list", "a volume's recovery points, the oldest first",
                 [&line, v] {
                   return line.show("ListRecoveryPoints", {{"Volume", v->name}},
                                    [](std::ostream& out, const Json& a) {
                                      print_points(out, a["RecoveryPoints"]);
                                    });
                 },
                 "  coldshelf volume point list mail"),
             v);
  add_point(line.command(
                point, "delete", "delete a recovery point",
                [&line, v] {
                  return line.act("DeleteRecoveryPoint", {{"RecoveryPoint", v->point}},
                                  [v](const Json&) { return v->point + " is gone"; });
                },
                "  coldshelf volume point delete mail@nightly"),
            v);
}

void define_use(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* clone = line.command(
      volume, "clone", "make a writable volume of a recovery point, at once",
      [&line, v] {
        return line.act("CloneVolume", {{"RecoveryPoint", v->point}, {"Name", v->new_name}}, made);
      },
      "  coldshelf volume clone db1@before-upgrade --name db1-test");
  add_point(clone, v);
  clone->add_option("--name", v->new_name, "the new volume's name")->required();
  CLI::App* back = line.command(
      volume, "rollback", "make a volume what it was at a recovery point",
      [&line, v] {
        return line.act("RollBackVolume", {{"RecoveryPoint", v->point}, {"Force", v->force}},
                        [v](const Json&) { return "the volume is what " + v->point + " was"; });
      },
      "  coldshelf volume rollback db1@before-upgrade\n"
      "What was written since is gone; make another recovery point first to keep it.");
  add_point(back, v);
  add_force(back, v, "although initiators are logged in: they are logged out");
  CLI::App* mount = line.command(
      volume, "mount", "show a recovery point as a volume, read-only",
      [&line, v] {
        return line.act("MountRecoveryPoint", {{"RecoveryPoint", v->point}, {"Name", v->new_name}},
                        [](const Json& a) {
                          return a.value("Name", "") + ": " + a.value("Target", "no target");
                        });
      },
      "  coldshelf volume mount db1@latest --name db1-yesterday");
  add_point(mount, v);
  mount->add_option("--name", v->new_name, "under this name")->required();
  CLI::App* unmount = line.command(
      volume, "unmount", "take a mounted recovery point away",
      [&line, v] {
        return line.act("UnmountRecoveryPoint", {{"Name", v->name}, {"Force", v->force}},
                        [v](const Json&) { return v->name + " is not mounted any more"; });
      },
      "  coldshelf volume unmount mail-yesterday");
  unmount->add_option("name", v->name, "the name it was mounted under")->required();
  add_force(unmount, v, "although initiators are logged in");
}

Result<std::string> absolute(const std::string& path) {
  std::error_code failed;
  const auto full = std::filesystem::absolute(path, failed);
  if (failed) return Error(ErrorCode::invalid_argument, path + ": " + failed.message());
  return full.string();
}

Status import_volume(CommandLine& line, const Values& v) {
  Json input = {{"Name", v.name}, {"Mode", v.mode}, {"BlockBytes", v.block_bytes}};
  ASSIGN_OR_RETURN(input["File"], absolute(v.file));
  if (!v.format.empty()) input["Format"] = v.format;
  if (!v.size.empty()) {
    ASSIGN_OR_RETURN(input["SizeInBytes"], parse_size(v.size));
  }
  return line.run_job("ImportVolume", input, v.name);
}

Status export_point(CommandLine& line, const Values& v) {
  Json input = {{"RecoveryPoint", v.point}, {"Replace", v.force}};
  ASSIGN_OR_RETURN(input["File"], absolute(v.file));
  if (!v.format.empty()) input["Format"] = v.format;
  return line.run_job("ExportRecoveryPoint", input, v.point);
}

void define_transfers(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* in = line.command(
      volume, "import", "make a volume of a disk image",
      [&line, v] { return import_volume(line, *v); },
      "  coldshelf volume import vm.qcow2 --name vm\n"
      "  coldshelf volume import disk.raw --name db2 --size 2TiB --mode stored\n"
      "The gateway reads the file: it must be where the gateway is. Holes stay holes.");
  in->add_option("file", v->file, "a raw or qcow2 image, or a block device")->required();
  in->add_option("--name", v->name, "the new volume's name")->required();
  in->add_option("--size", v->size, "default: the image's");
  in->add_option("--mode", v->mode, "cached (default) or stored");
  in->add_option("--block-size", v->block_bytes, "512 (default) or 4096");
  in->add_option("--format", v->format, "raw or qcow2; default: by its first bytes");
  line.add_wait(in, true);
  CLI::App* copy = line.command(
      volume, "copy", "make a volume of its own of a recovery point",
      [&line, v] {
        return line.run_job("CopyRecoveryPoint",
                            {{"RecoveryPoint", v->point}, {"Name", v->new_name}}, v->new_name);
      },
      "  coldshelf volume copy db1@latest --name db1-apart\n"
      "  coldshelf volume copy db@snap-0123456789abcdef0 --name db2\n"
      "A clone is there at once and shares data with its source; a copy shares nothing. Of an\n"
      "archive that was retrieved from an archive class for some days only a copy can be made.");
  add_point(copy, v);
  copy->add_option("--name", v->new_name, "the new volume's name")->required();
  line.add_wait(copy, true);
  CLI::App* out = line.command(
      volume, "export", "write a recovery point as a disk image, sparse",
      [&line, v] { return export_point(line, *v); },
      "  coldshelf volume export db1@latest --to /backup/db1.raw\n"
      "  coldshelf volume export vm@before-upgrade --to vm.qcow2 --format qcow2\n"
      "The gateway writes the file, where the gateway is.");
  add_point(out, v);
  out->add_option("--to", v->file, "the file to make")->required();
  out->add_option("--format", v->format, "raw (default) or qcow2");
  add_force(out, v, "replace the file when it is there");
  line.add_wait(out, true);
  add_volume(line.command(
                 volume, "cancel", "end the import, copy or export under way",
                 [&line, v] {
                   return line.act("CancelVolumeJob", {{"Volume", v->name}},
                                   [v](const Json&) { return v->name + ": cancelled"; });
                 },
                 "  coldshelf volume cancel mail"),
             v);
}

Status set_schedule(CommandLine& line, const Values& v) {
  Json input = {{"Name", v.name},          {"Volumes", v.names},          {"Utc", v.utc},
                {"KeepLast", v.keep_last}, {"KeepHourly", v.hourly},      {"KeepDaily", v.daily},
                {"KeepWeekly", v.weekly},  {"KeepMonthly", v.monthly},    {"KeepYearly", v.yearly},
                {"Quiesce", v.quiesce},    {"Description", v.description}};
  if (!v.calendar.empty()) input["Calendar"] = v.calendar;
  if (v.hours != 0) input["RecurrenceInHours"] = v.hours;
  if (v.hours != 0) input["StartAt"] = v.start_at;
  if (!v.keep_for.empty()) {
    ASSIGN_OR_RETURN(input["KeepForMs"], parse_age_ms(v.keep_for));
  }
  return line.act("PutVolumeSchedule", input, [](const Json& a) {
    return "schedule " + a.value("Name", "") + ": " + a.value("When", "") + ", next " +
           a.value("NextRun", "never");
  });
}

void define_schedules(CommandLine& line, CLI::App* volume, const ValuesPtr& v) {
  CLI::App* schedule = volume->add_subcommand("schedule", "recovery points by the clock");
  schedule->require_subcommand(1);
  schedule->fallthrough();
  CLI::App* set = line.command(
      schedule, "set", "make or replace a schedule", [&line, v] { return set_schedule(line, *v); },
      "  coldshelf volume schedule set nightly db1 --at '*-*-* 02:30' --keep-daily 7 "
      "--keep-weekly 4\n"
      "  coldshelf volume schedule set often data log --every 4 --start-at 1 --keep-last 12\n"
      "  coldshelf volume schedule set work db1 --at 'Mon..Fri 08:00' --quiesce db "
      "--keep-for 30d\n"
      "All volumes of a schedule are kept at one moment. Points that no --keep names are "
      "deleted,\n"
      "never the newest; without any --keep all stay. Points made by hand are nobody's but "
      "yours.");
  set->add_option("name", v->name, "the schedule's name")->required();
  set->add_option("volumes", v->names, "one or more volumes")->required();
  set->add_option("--at", v->calendar, "a calendar expression (docs/volumes.md), local time");
  set->add_option("--every", v->hours, "every 1, 2, 4, 8, 12 or 24 hours");
  set->add_option("--start-at", v->start_at, "with --every: one of them at this hour, 0 to 23");
  set->add_flag("--utc", v->utc, "of --start-at");
  set->add_option("--keep-last", v->keep_last, "the newest so many");
  set->add_option("--keep-for", v->keep_for, "younger than e.g. 12h, 30d, 4w, 2y");
  set->add_option("--keep-hourly", v->hourly, "one of each of the last so many hours");
  set->add_option("--keep-daily", v->daily, "of days");
  set->add_option("--keep-weekly", v->weekly, "of weeks");
  set->add_option("--keep-monthly", v->monthly, "of months");
  set->add_option("--keep-yearly", v->yearly, "of years");
  set->add_option("--quiesce", v->quiesce, "a [[quiesce]] of the gateway's configuration");
  set->add_option("--description", v->description, "kept with each point");
  line.command(
      schedule, "list", "schedules, when they ran and when they run next",
      [&line] { return line.show("ListVolumeSchedules", Json::object(), print_volume_schedules); },
      "  coldshelf volume schedule list");
  line.command(
          schedule, "run", "make its points now",
          [&line, v]() -> Status {
            ASSIGN_OR_RETURN(const Json answer,
                             line.call("RunVolumeSchedule", {{"Name", v->name}}));
            print_made(line, answer);
            return {};
          },
          "  coldshelf volume schedule run nightly")
      ->add_option("name", v->name, "the schedule")
      ->required();
  line.command(
          schedule, "delete", "delete a schedule; its points stay",
          [&line, v] {
            return line.act("DeleteVolumeSchedule", {{"Name", v->name}},
                            [v](const Json&) { return "schedule " + v->name + " is gone"; });
          },
          "  coldshelf volume schedule delete nightly")
      ->add_option("name", v->name, "the schedule")
      ->required();
}

}  // namespace

void define_volume_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* volume = line.group("volume", "disks over iSCSI, kept in the store");
  define_life(line, volume, v);
  define_owners(line, volume, v);
  define_points(line, volume, v);
  define_use(line, volume, v);
  define_transfers(line, volume, v);
  define_schedules(line, volume, v);
}

}  // namespace coldshelf::cli
