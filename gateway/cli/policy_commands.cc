#include "gateway/cli/command_line.h"
#include "gateway/cli/policy_output.h"
#include "gateway/config_policies.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string name;
  std::string file;
  std::string run;
  bool dry_run = false;
};

constexpr uint64_t kMaxPolicyFile = 1 * MiB;

Status put_policies(CommandLine& line, const std::string& path) {
  ASSIGN_OR_RETURN(const Buffer bytes, line.env().files->read_file(path, kMaxPolicyFile));
  ASSIGN_OR_RETURN(const std::vector<Json> policies, read_policy_file(as_text(bytes), path));
  for (const Json& policy : policies) {
    TRY(line.act("PutPolicy", {{"Policy", policy}}, [](const Json& answer) {
      return "policy " + answer.value("Name", "") + " is there" +
             (answer.contains("NextRun") ? ", next at " + answer.value("NextRun", "") : "");
    }));
  }
  return {};
}

// Until the run has ended; its failures are this command's.
Status run_policy(CommandLine& line, const Values& v) {
  if (v.dry_run) {
    return line.show("RunPolicy", {{"Name", v.name}, {"DryRun", true}}, print_policy_preview);
  }
  ASSIGN_OR_RETURN(const int64_t timeout_ms, line.timeout_ms());
  const int64_t begin_ns = line.env().clock->monotonic_ns();
  ASSIGN_OR_RETURN(const Json started, line.call("RunPolicy", {{"Name", v.name}}));
  const Json which = {{"Name", v.name}, {"RunId", started.value("RunId", "")}};
  if (!line.wait()) {
    line.print(started, [](std::ostream& out, const Json& answer) {
      out << "run " << answer.value("RunId", "") << " began\n";
    });
    return {};
  }
  Json run = Json::object();
  while (run.value("Phase", "") != "done") {
    if (timeout_ms != 0 && line.env().clock->monotonic_ns() - begin_ns > timeout_ms * 1'000'000) {
      return Error(ErrorCode::timed_out, "the run has not ended; it goes on");
    }
    line.env().clock->sleep_ms(kPollMs);
    ASSIGN_OR_RETURN(run, line.call("DescribePolicyRun", which));
  }
  line.print(run, print_policy_run);
  if (run["Failed"].empty()) return {};
  return Error(ErrorCode::unavailable, "the run had failures");
}

}  // namespace

void define_policy_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* policy = line.group("policy", "snapshots of EBS volumes by schedule, and how long");
  line.command(
      policy, "list", "policies, when they run next, how the last run ended",
      [&line] { return line.show("ListPolicies", Json::object(), print_policies); },
      "  coldshelf policy list");
  line.command(
          policy, "show", "a policy and its runs",
          [&line, v] {
            return line.show("DescribePolicy", {{"Name", v->name}}, print_policy);
          },
          "  coldshelf policy show nightly")
      ->add_option("name", v->name, "the policy")
      ->required();
  CLI::App* run = line.command(
      policy, "run", "a run now, beside the schedule", [&line, v] { return run_policy(line, *v); },
      "  coldshelf policy run nightly --dry-run     what would be done, and nothing is\n"
      "  coldshelf policy run nightly --wait        exit code 0 when all of it was done");
  run->add_option("name", v->name, "the policy")->required();
  run->add_flag("--dry-run", v->dry_run, "only print the plan");
  line.add_wait(run, false);
  line.command(
          policy, "report", "lineage, sizes, changed blocks and costs of its snapshots",
          [&line, v] {
            return line.show("DescribePolicyReport", {{"Name", v->name}}, print_policy_report);
          },
          "  coldshelf policy report nightly")
      ->add_option("name", v->name, "the policy")
      ->required();
  line.command(
          policy, "put", "make or change policies, as a file has them",
          [&line, v] { return put_policies(line, v->file); },
          "  coldshelf policy put nightly.toml     the keys of [[policy]], docs/policies.md")
      ->add_option("file", v->file, "TOML: one policy, or several as [[policy]]")
      ->required();
  line.command(
          policy, "delete", "delete a policy; its snapshots stay",
          [&line, v] {
            return line.act("DeletePolicy", {{"Name", v->name}}, [](const Json& a) {
              return "policy " + a.value("Name", "") + " is gone; its snapshots stay";
            });
          },
          "  coldshelf policy delete nightly")
      ->add_option("name", v->name, "the policy")
      ->required();
}

}  // namespace coldshelf::cli
