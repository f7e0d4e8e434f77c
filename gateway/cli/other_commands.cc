#include "gateway/cli/cartridge_export.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"
#include "gateway/cli/progress.h"
#include "gateway/cli/store_commands.h"
#include "gateway/store_factory.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

struct ExportValues {
  std::string barcode, output, store;
  bool force = false;
};

Status export_cartridge_files(CommandLine& line, const ExportValues& v) {
  ASSIGN_OR_RETURN(const Config config, line.effective());
  ASSIGN_OR_RETURN(const LoadedSecrets secrets, line.key_alone(config));
  ASSIGN_OR_RETURN(const auto store, open_store(line.env(), config, v.store, true));
  Progress progress(line.err(), *line.env().clock, progress_style(line.json()),
                    "export " + v.barcode);
  ExportEnv env{line.env().files,
                line.env().clock,
                line.env().random,
                store.get(),
                secrets.key ? &*secrets.key : nullptr,
                [&](uint64_t done, uint64_t total) { progress.show(done, total, ""); }};
  ASSIGN_OR_RETURN(const ExportReport report,
                   export_cartridge(env, {v.barcode, v.output, v.force}));
  progress.finish();
  const Json answer = report.image ? Json{{"Name", report.barcode},
                                          {"SizeInBytes", report.size_bytes},
                                          {"Bytes", report.bytes},
                                          {"Output", v.output}}
                                   : Json{{"Barcode", report.barcode},
                                          {"Files", report.files},
                                          {"Records", report.records},
                                          {"Bytes", report.bytes},
                                          {"Output", v.output}};
  if (line.json()) {
    line.print_json(answer);
  } else if (report.image) {
    line.out() << report.barcode << ": a disk of " << format_size(report.size_bytes) << ", "
               << format_size(report.bytes) << " of it in " << v.output << "\n";
  } else {
    line.out() << report.barcode << ": " << report.files << " files, " << report.records
               << " records, " << format_size(report.bytes) << " in " << v.output << "\n";
  }
  return {};
}

void define_export(CommandLine& line) {
  auto v = std::make_shared<ExportValues>();
  CLI::App* out = line.command(
      line.root(), "export",
      "write a tape's files as a tar, or a volume's disk as a raw file, straight from the store, "
      "with no daemon",
      [&line, v] { return export_cartridge_files(line, *v); },
      "  coldshelf --data /var/lib/coldshelf export ABC001L8 --to abc001.tar\n"
      "  coldshelf export ABC001L8 --to abc001.tar --store /mnt/store --key-file kek.hex\n"
      "  coldshelf export mail@nightly --to mail.raw\n"
      "One member per filemark (file-0001.bin, ...) holding its records one after the other;\n"
      "index.json tells their lengths. A volume, or one of its recovery points (NAME@POINT), "
      "comes\n"
      "as a sparse file of the disk's size.");
  out->add_option("cartridge", v->barcode,
                  "the tape's barcode, the volume's name (and @POINT), or the uuid")
      ->required();
  out->add_option("--to", v->output, "the tar or raw file to write")->required();
  out->add_option("--store", v->store,
                  "s3://BUCKET/PREFIX or a directory; default: the configured one");
  line.add_key(out, "the key-encryption key of an encrypted tape");
  out->add_flag("--force", v->force, "replace the tar when it is there");
}

void define_jobs(CommandLine& line) {
  struct Values {
    unsigned limit = 50;
    int64_t job = 0;
  };
  auto v = std::make_shared<Values>();
  CLI::App* job = line.group("job", "what takes long");
  line.command(
          job, "list", "jobs, newest first",
          [&line, v] {
            return line.show("ListJobs", {{"Limit", v->limit}},
                             [](std::ostream& o, const Json& a) { print_jobs(o, a["Jobs"]); });
          },
          "  coldshelf job list --limit 10")
      ->add_option("--limit", v->limit, "how many");
  CLI::App* watch = line.command(
      job, "watch", "wait for a job, with progress",
      [&line, v] { return line.watch_job(v->job, ""); }, "  coldshelf job watch 17 --timeout 12h");
  watch->add_option("id", v->job, "the job's number")->required();
  line.add_timeout(watch);
}

}  // namespace

void define_other_commands(CommandLine& line) {
  define_export(line);
  define_jobs(line);
  line.command(
      line.root(), "sessions", "who is logged in over iSCSI",
      [&line] {
        return line.show("ListSessions", Json::object(),
                         [](std::ostream& o, const Json& a) { print_sessions(o, a["Sessions"]); });
      },
      "  coldshelf sessions");
  line.command(
      line.root(), "status", "the gateway as a whole",
      [&line] { return line.show("GatewayStatus", Json::object(), print_status); },
      "  coldshelf status --json");
}

}  // namespace coldshelf::cli
