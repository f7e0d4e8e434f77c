#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string barcode, source, destination, which;
  unsigned drive = 0;
};

Status export_now(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const Json answer, line.call("ExportTapes", {{"Which", v.which}}));
  const Json& jobs = answer["Jobs"];
  if (line.json() && !line.wait()) line.print_json(answer);
  if (jobs.empty() && !line.json()) line.out() << "no tape waits in an import/export slot\n";
  for (const Json& job : jobs) {
    const int64_t id = job.value("JobId", int64_t{0});
    if (line.wait()) {
      TRY(line.watch_job(id, job.value("Barcode", "")));
    } else if (!line.json()) {
      line.out() << job.value("Barcode", "") << ": job " << id << " started\n";
    }
  }
  return {};
}

}  // namespace

void define_library_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* library = line.group("library", "what lies where, and moving it");
  line.command(
      library, "status", "drives, slots and what is in them",
      [&line] { return line.show("LibraryStatus", Json::object(), print_library); },
      "  coldshelf library status");
  CLI::App* move = line.command(
      library, "move", "move a tape from one element to another",
      [&line, v] {
        return line.act("MoveMedium", {{"Source", v->source}, {"Destination", v->destination}},
                        [](const Json& a) {
                          return a.value("Barcode", "") + " is in " + a.value("Element", "");
                        });
      },
      "  coldshelf library move slot3 drive1\n"
      "  coldshelf library move ABC001L8 ie1     (then it can be exported)\n"
      "  coldshelf library move 3 4              (a bare number is a slot)\n"
      "  coldshelf library move @1002 @500       (element addresses)");
  move->add_option("source", v->source, "slot3, ie1, drive1, @ADDRESS, or a barcode")->required();
  move->add_option("destination", v->destination, "slot3, ie1, drive1 or @ADDRESS")->required();
  CLI::App* load = line.command(
      library, "load", "put a tape into a drive",
      [&line, v] {
        return line.act("LoadDrive", {{"Barcode", v->barcode}, {"Drive", v->drive}},
                        [](const Json& a) {
                          return a.value("Barcode", "") + " is in " + a.value("Element", "");
                        });
      },
      "  coldshelf library load ABC001L8 1");
  load->add_option("barcode", v->barcode, "the tape's barcode")->required();
  load->add_option("drive", v->drive, "the drive's number, from 1")->required();
  CLI::App* unload = line.command(
      library, "unload", "take the tape out of a drive, to where it came from",
      [&line, v] {
        return line.act("UnloadDrive", {{"Drive", v->drive}}, [](const Json& a) {
          return a.value("Barcode", "") + " is in " + a.value("Element", "");
        });
      },
      "  coldshelf library unload 1");
  unload->add_option("drive", v->drive, "the drive's number, from 1")->required();
  CLI::App* out = line.command(
      library, "export", "archive the tapes in import/export slots",
      [&line, v] { return export_now(line, *v); },
      "  coldshelf library export            (all that were moved there)\n"
      "  coldshelf library export ie2\n"
      "  coldshelf library export ABC001L8 --wait");
  out->add_option("which", v->which, "an import/export slot or a barcode; default: all");
  line.add_wait(out, false);
  define_device_commands(line, library);
}

}  // namespace coldshelf::cli
