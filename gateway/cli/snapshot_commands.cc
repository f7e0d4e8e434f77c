// coldshelf snapshot ...
#include "gateway/cli/command_line.h"
#include "gateway/cli/move_command.h"
#include "gateway/cli/output.h"
#include "gateway/cli/snapshot_output.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string snapshot, base = "auto", to, pool, account, region, archive, point, volume;
  std::string description, kms_key, parent;
  std::string create_volume, volume_type, image, architecture = "x86_64";
  std::string root_device = "/dev/xvda", boot_mode, tier = "Standard";
  unsigned days = 0;
  uint64_t size_gib = 0, volume_gib = 0, iops = 0, throughput = 0;
  int64_t job = 0;
  std::vector<std::string> tags;
  bool encrypted = false, no_copy_tags = false, in_ec2 = false, estimate = false, force = false;
  Move move;
};
using ValuesPtr = std::shared_ptr<Values>;

void add_place(CLI::App* sub, const ValuesPtr& v) {
  sub->add_option("--account", v->account, "a name of [[account]]; default: the gateway's own");
  sub->add_option("--region", v->region, "default: the account's first");
}

Result<Json> restore_input(const Values& v) {
  Json tags = Json::object();
  for (const std::string& tag : v.tags) {
    const size_t at = tag.find('=');
    if (at == std::string::npos || at == 0) {
      return Error(ErrorCode::invalid_argument, "'" + tag + "': a tag is KEY=VALUE");
    }
    tags[tag.substr(0, at)] = tag.substr(at + 1);
  }
  Json input = {{"Point", v.point},
                {"Account", v.account},
                {"Region", v.region},
                {"Description", v.description},
                {"Tags", tags},
                {"CopyTags", !v.no_copy_tags},
                {"Encrypted", v.encrypted},
                {"KmsKeyId", v.kms_key},
                {"Parent", v.parent},
                {"VolumeSizeInGiB", v.size_gib}};
  if (!v.create_volume.empty()) {
    input["CreateVolume"] = {{"AvailabilityZone", v.create_volume},
                             {"VolumeType", v.volume_type},
                             {"SizeInGiB", v.volume_gib},
                             {"Iops", v.iops},
                             {"Throughput", v.throughput}};
  }
  if (!v.image.empty()) {
    input["RegisterImage"] = {{"Name", v.image},
                              {"Architecture", v.architecture},
                              {"RootDeviceName", v.root_device},
                              {"VolumeType", v.volume_type},
                              {"BootMode", v.boot_mode}};
  }
  return input;
}

void define_restore(CommandLine& line, CLI::App* snapshot, const ValuesPtr& v) {
  CLI::App* restore = line.command(
      snapshot, "restore", "make an EBS snapshot of an archived one",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const Json input, restore_input(*v));
        return line.run_job("RestoreSnapshot", input, v->point);
      },
      "  coldshelf snapshot restore vol-0123456789abcdef0\n"
      "  coldshelf snapshot restore db@snap-0123456789abcdef0 --encrypted --tag Name=db\n"
      "  coldshelf snapshot restore db --create-volume eu-central-1a --volume-type gp3\n"
      "  coldshelf snapshot restore root --register-image web-2026 --boot-mode uefi\n"
      "  coldshelf snapshot restore db --region us-east-1 --account production");
  restore->add_option("point", v->point, "NAME@POINT; NAME alone: its latest")->required();
  add_place(restore, v);
  restore->add_option("--description", v->description, "of the snapshot");
  restore->add_option("--tag,--tags", v->tags, "KEY=VALUE; may be given several times");
  restore->add_flag("--no-copy-tags", v->no_copy_tags, "without the tags it had");
  restore->add_flag("--encrypted", v->encrypted, "encrypt it, by the account's default key");
  restore->add_option("--kms-key", v->kms_key, "ARN of the key to encrypt it by");
  restore->add_option("--parent", v->parent,
                      "write only what differs from this snapshot of the same volume; auto: the "
                      "nearest that is there");
  restore->add_option("--size", v->size_gib, "GiB; default: as it was");
  restore->add_option("--create-volume", v->create_volume,
                      "then make a volume of it in this availability zone");
  restore->add_option("--volume-type", v->volume_type, "gp3, io2, ...");
  restore->add_option("--volume-size", v->volume_gib, "GiB of the volume");
  restore->add_option("--iops", v->iops, "of the volume");
  restore->add_option("--throughput", v->throughput, "of the volume, MiB/s");
  restore->add_option("--register-image", v->image, "then register it as an image of this name");
  restore->add_option("--architecture", v->architecture, "x86_64 (default) or arm64");
  restore->add_option("--root-device", v->root_device, "default /dev/xvda");
  restore->add_option("--boot-mode", v->boot_mode, "uefi, legacy-bios or uefi-preferred");
  line.add_wait(restore, false);
}

void define_pull(CommandLine& line, CLI::App* snapshot, const ValuesPtr& v) {
  CLI::App* pull = line.command(
      snapshot, "pull", "fetch an EBS snapshot into the archive of its volume",
      [&line, v] {
        return line.run_job("PullSnapshot",
                            {{"SnapshotId", v->snapshot},
                             {"Base", v->base},
                             {"Archive", v->to},
                             {"Pool", v->pool},
                             {"Account", v->account},
                             {"Region", v->region}},
                            v->snapshot);
      },
      "  coldshelf snapshot pull snap-0123456789abcdef0 --wait\n"
      "  coldshelf snapshot pull snap-0123456789abcdef0 --to db --account production\n"
      "An interrupted pull goes on where it was when it is ordered again.");
  pull->add_option("snapshot", v->snapshot, "snap-...")->required();
  pull->add_option("--base", v->base,
                   "auto (default): what changed since the newest one that is held; a snapshot "
                   "that is held; none: all of it");
  pull->add_option("--to", v->to, "the archive; default: the volume's id");
  pull->add_option("--pool", v->pool, "of an archive that is made by this; default: the first");
  add_place(pull, v);
  line.add_wait(pull, false);
}

void define_shelf(CommandLine& line, CLI::App* snapshot, const ValuesPtr& v) {
  CLI::App* archive = line.command(
      snapshot, "archive", "send an archive to its pool on the shelf",
      [&line, v] {
        return line.run_job("ArchiveSnapshots", {{"Archive", v->archive}, {"Pool", v->pool}},
                            v->archive);
      },
      "  coldshelf snapshot archive db --wait\n"
      "  coldshelf snapshot archive db --pool DEEP_ARCHIVE\n"
      "It takes no pull and gives nothing back until it is retrieved.");
  archive->add_option("archive", v->archive, "its name")->required();
  archive->add_option("--pool", v->pool, "default: the one it is of");
  line.add_wait(archive, false);
  CLI::App* retrieve = line.command(
      snapshot, "retrieve", "bring an archive back from the shelf",
      [&line, v]() -> Status {
        Json input = {{"Archive", v->archive}, {"Days", v->days}};
        if (v->estimate) return line.show("EstimateSnapshotRetrieval", input, print_estimate);
        input["Tier"] = v->tier;
        return line.run_job("RetrieveSnapshots", input, v->archive);
      },
      "  coldshelf snapshot retrieve db --tier Bulk --wait\n"
      "  coldshelf snapshot retrieve db --estimate            (what each tier costs)");
  retrieve->add_option("archive", v->archive, "its name")->required();
  retrieve->add_option("--tier", v->tier, "Expedited, Standard (default) or Bulk");
  retrieve->add_option("--days", v->days, "how long it stays readable; default: the gateway's");
  retrieve->add_flag("--estimate", v->estimate, "say what it costs and takes, and do nothing");
  line.add_wait(retrieve, false);
  CLI::App* other_pool = line.command(
      snapshot, "reassign", "move an archive to another pool; an archived one to a colder pool",
      [&line, v] {
        return reassign(line, {"Archive", v->archive, "DescribeSnapshotArchive",
                               "EstimateSnapshotAssign", "AssignSnapshotPool", v->move});
      },
      "  coldshelf snapshot reassign db --pool DEEP_ARCHIVE --estimate\n"
      "  coldshelf snapshot reassign db --pool DEEP_ARCHIVE --yes --wait");
  other_pool->add_option("archive", v->archive, "its name")->required();
  add_move(line, other_pool, v->move);
}

}  // namespace

void define_snapshot_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* snapshot = line.group("snapshot", "EBS snapshots: pull, restore, archives of them");
  define_pull(line, snapshot, v);
  define_restore(line, snapshot, v);
  define_shelf(line, snapshot, v);
  CLI::App* list = line.command(
      snapshot, "list", "archives of EBS volumes; with --aws what EC2 has",
      [&line, v] {
        if (!v->in_ec2) {
          return line.show("ListSnapshotArchives", Json::object(), print_archives);
        }
        return line.show("ListEc2Snapshots",
                         {{"Account", v->account}, {"Region", v->region}, {"VolumeId", v->volume}},
                         print_ec2_snapshots);
      },
      "  coldshelf snapshot list\n"
      "  coldshelf snapshot list --aws --region eu-central-1");
  list->add_flag("--aws", v->in_ec2, "snapshots in EC2");
  list->add_option("--volume", v->volume, "of this EBS volume");
  add_place(list, v);
  line.command(
          snapshot, "show", "one archive and its snapshots",
          [&line, v] {
            return line.show("DescribeSnapshotArchive", {{"Archive", v->archive}}, print_archive);
          },
          "  coldshelf snapshot show web-root")
      ->add_option("archive", v->archive, "its name")
      ->required();
  CLI::App* erase = line.command(
      snapshot, "delete", "delete an archived snapshot, or with NAME alone the whole archive",
      [&line, v] {
        return line.act("DeleteArchivedSnapshot", {{"Point", v->point}, {"Force", v->force}},
                        [v](const Json&) { return v->point + " is gone"; });
      },
      "  coldshelf snapshot delete db@snap-0123456789abcdef0\n"
      "  coldshelf snapshot delete db --force\n"
      "Snapshots in EC2 are not touched.");
  erase->add_option("point", v->point, "NAME@POINT, or NAME")->required();
  erase->add_flag("--force", v->force,
                  "of a whole archive: although it cannot be opened, with what may still be on it");
  CLI::App* verify = line.command(
      snapshot, "verify", "read every block of an archived snapshot, or of all of an archive",
      [&line, v] {
        return line.run_job("VerifyArchivedSnapshot", {{"Point", v->point}}, v->point);
      },
      "  coldshelf snapshot verify db --wait");
  verify->add_option("point", v->point, "NAME@POINT, or NAME")->required();
  line.add_wait(verify, false);
  line.command(
          snapshot, "cancel", "end a job of an archive; a pull can be ordered again",
          [&line, v] {
            return line.act("CancelSnapshotJob", {{"JobId", v->job}},
                            [v](const Json&) { return "job " + std::to_string(v->job) + " ends"; });
          },
          "  coldshelf snapshot cancel 17")
      ->add_option("job", v->job, "its number")
      ->required();
}

}  // namespace coldshelf::cli
