// What hangs on tapes, pools, devices, volumes and the gateway: tags, and the CHAP credentials of
// single targets.
#include "gateway/cli/aws_call.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

namespace {

constexpr uint64_t kMaxSecretFile = 4'096;

struct Values {
  std::string resource, target, initiator, secret_file, mutual_file;
  std::vector<std::string> tags;
};

// -- tags

Status add_tags(CommandLine& line, const Values& v) {
  Json tags = Json::array();
  for (const std::string& tag : v.tags) {
    const size_t equals = tag.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Error(ErrorCode::invalid_argument, "'" + tag + "' is no tag: write KEY=VALUE");
    }
    tags.push_back({{"Key", tag.substr(0, equals)}, {"Value", tag.substr(equals + 1)}});
  }
  ASSIGN_OR_RETURN(const std::string arn, resource_arn(line, v.resource));
  return line.act("StorageGateway_20130630.AddTagsToResource",
                  {{"ResourceARN", arn}, {"Tags", tags}},
                  [&](const Json&) { return v.resource + " is tagged"; });
}

void print_tags(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& tag : answer["Tags"]) {
    rows.push_back({tag.value("Key", ""), tag.value("Value", "")});
  }
  if (rows.empty()) {
    out << "no tags\n";
    return;
  }
  print_table(out, {"KEY", "VALUE"}, rows);
}

void define_tags(CommandLine& line, const std::shared_ptr<Values>& v) {
  constexpr const char* kResource =
      "gateway, tape/BARCODE, pool/NAME, device/NAME, volume/NAME, or an ARN";
  CLI::App* tag = line.group("tag", "tags of tapes, pools, devices, volumes and the gateway");
  CLI::App* list = line.command(
      tag, "list", "the tags of one resource",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const std::string arn, resource_arn(line, v->resource));
        return line.show("StorageGateway_20130630.ListTagsForResource", {{"ResourceARN", arn}},
                         print_tags);
      },
      "  coldshelf tag list tape/ABC001L8");
  list->add_option("resource", v->resource, kResource)->required();
  CLI::App* add = line.command(
      tag, "add", "add tags, or change their values", [&line, v] { return add_tags(line, *v); },
      "  coldshelf tag add tape/ABC001L8 owner=ada project=moon\n"
      "  coldshelf tag add volume/mail tier=gold");
  add->add_option("resource", v->resource, kResource)->required();
  add->add_option("tags", v->tags, "KEY=VALUE, one or more")->required();
  CLI::App* remove = line.command(
      tag, "remove", "take tags off",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const std::string arn, resource_arn(line, v->resource));
        return line.act("StorageGateway_20130630.RemoveTagsFromResource",
                        {{"ResourceARN", arn}, {"TagKeys", v->tags}},
                        [v](const Json&) { return v->resource + " has them no more"; });
      },
      "  coldshelf tag remove tape/ABC001L8 project");
  remove->add_option("resource", v->resource, kResource)->required();
  remove->add_option("keys", v->tags, "one or more")->required();
}

// -- CHAP

Result<std::string> secret_of(CommandLine& line, const std::string& path) {
  ASSIGN_OR_RETURN(const Buffer bytes, line.env().files->read_file(path, kMaxSecretFile));
  std::string text(as_text(bytes));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

Status set_chap(CommandLine& line, const Values& v) {
  Json input = {{"InitiatorName", v.initiator}};
  ASSIGN_OR_RETURN(input["SecretToAuthenticateInitiator"], secret_of(line, v.secret_file));
  if (!v.mutual_file.empty()) {
    ASSIGN_OR_RETURN(input["SecretToAuthenticateTarget"], secret_of(line, v.mutual_file));
  }
  ASSIGN_OR_RETURN(input["TargetARN"], target_arn(line, v.target));
  return line.act("StorageGateway_20130630.UpdateChapCredentials", input,
                  [&](const Json&) { return v.target + " wants CHAP of " + v.initiator; });
}

void print_chap(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& entry : answer["ChapCredentials"]) {
    rows.push_back({entry.value("InitiatorName", ""),
                    entry.contains("SecretToAuthenticateTarget") ? "mutual" : "one-way"});
  }
  if (rows.empty()) {
    out << "no credentials of its own: what [iscsi.chap] says holds\n";
    return;
  }
  print_table(out, {"INITIATOR", "CHAP"}, rows);
}

void define_chap(CommandLine& line, const std::shared_ptr<Values>& v) {
  constexpr const char* kTarget = "tapedrive-01, mediachanger, a volume's name, or an iSCSI name";
  CLI::App* chap = line.group("chap", "CHAP credentials of single targets");
  CLI::App* list = line.command(
      chap, "list", "which initiators may log in to a target (--json: with the secrets)",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const std::string arn, target_arn(line, v->target));
        return line.show("StorageGateway_20130630.DescribeChapCredentials", {{"TargetARN", arn}},
                         print_chap);
      },
      "  coldshelf chap list tapedrive-01");
  list->add_option("target", v->target, kTarget)->required();
  CLI::App* set = line.command(
      chap, "set", "let an initiator log in with a secret; others are refused from then on",
      [&line, v] { return set_chap(line, *v); },
      "  coldshelf chap set mail iqn.1994-05.com.example:host --secret-file host.secret\n"
      "A secret has 12 to 16 bytes. For logins from now on.");
  set->add_option("target", v->target, kTarget)->required();
  set->add_option("initiator", v->initiator, "the initiator's iSCSI name")->required();
  set->add_option("--secret-file", v->secret_file, "what the initiator proves")->required();
  set->add_option("--mutual-secret-file", v->mutual_file, "what the target proves to it");
  CLI::App* remove = line.command(
      chap, "remove", "an initiator's credentials",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const std::string arn, target_arn(line, v->target));
        return line.act("StorageGateway_20130630.DeleteChapCredentials",
                        {{"TargetARN", arn}, {"InitiatorName", v->initiator}},
                        [v](const Json&) { return v->initiator + " is forgotten"; });
      },
      "  coldshelf chap remove mail iqn.1994-05.com.example:host");
  remove->add_option("target", v->target, kTarget)->required();
  remove->add_option("initiator", v->initiator, "the initiator's iSCSI name")->required();
}

}  // namespace

void define_resource_commands(CommandLine& line) {
  const auto v = std::make_shared<Values>();
  define_tags(line, v);
  define_chap(line, v);
}

}  // namespace coldshelf::cli
