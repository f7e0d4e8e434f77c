#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

void print_users(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& user : answer["Users"]) {
    for (const Json& key : user["AccessKeys"]) {
      rows.push_back({user.value("Name", ""), user.value("Role", ""), key.value("AccessKeyId", ""),
                      key.value("Created", ""), key.value("Expires", "never")});
    }
  }
  if (rows.empty()) {
    out << "there are no users; make one with `coldshelf user add NAME --role admin`\n";
    return;
  }
  print_table(out, {"NAME", "ROLE", "ACCESS KEY", "CREATED", "EXPIRES"}, rows);
}

// As AWS's tools read it from ~/.aws/credentials.
void print_new_key(std::ostream& out, const Json& answer) {
  out << "[" << answer.value("Name", "") << "]\n"
      << "aws_access_key_id = " << answer.value("AccessKeyId", "") << "\n"
      << "aws_secret_access_key = " << answer.value("SecretAccessKey", "") << "\n";
}

void print_audit(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& r : answer["Records"]) {
    rows.push_back({std::to_string(r.value("Sequence", uint64_t{0})), r.value("Time", ""),
                    r.value("Who", ""), r.value("From", ""), r.value("Operation", ""),
                    r.value("Result", ""), r["Input"].dump()});
  }
  print_table(out, {"NUMBER", "TIME", "WHO", "FROM", "OPERATION", "RESULT", "INPUT"}, rows);
}

struct Values {
  std::string name, role = "viewer", keep_old = "0";
  unsigned limit = 50;
  uint64_t before = 0;
};

Status verify_audit(CommandLine& line) {
  ASSIGN_OR_RETURN(const Json report, line.call("VerifyAudit", Json::object()));
  line.print(report, [](std::ostream& out, const Json& a) {
    for (const Json& problem : a["Problems"]) out << problem.get<std::string>() << "\n";
    out << a.value("Records", uint64_t{0}) << " records, "
        << (a.value("Ok", false) ? "nothing was changed" : "the log was CHANGED") << "\n";
  });
  if (!report.value("Ok", false)) line.set_exit_code(1);
  return {};
}

void define_users(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* user = line.group("user", "who may use the management API from elsewhere");
  CLI::App* add = line.command(
      user, "add", "make a user; prints the access key, and its secret this once",
      [&line, v] {
        return line.show("CreateUser", {{"Name", v->name}, {"Role", v->role}}, print_new_key);
      },
      "  coldshelf user add ada --role admin >>~/.aws/credentials\n"
      "  coldshelf user add backup --role operator\n"
      "viewer: sees everything but secrets. operator: also moves, archives and recalls. admin: "
      "all.");
  add->add_option("name", v->name, "1 to 64 of letters, digits and - _ . @")->required();
  add->add_option("--role", v->role, "admin, operator or viewer; default: viewer");
  line.command(
      user, "list", "users and their access keys",
      [&line] { return line.show("ListUsers", Json::object(), print_users); },
      "  coldshelf user list");
  line.command(
          user, "remove", "remove a user; its keys and sign-ins end at once",
          [&line, v] {
            return line.act("DeleteUser", {{"Name", v->name}}, [](const Json& a) {
              return "user " + a.value("Name", "") + " is gone";
            });
          },
          "  coldshelf user remove ada")
      ->add_option("name", v->name, "the user")
      ->required();
  CLI::App* rotate = line.command(
      user, "rotate", "a new access key for a user",
      [&line, v]() -> Status {
        ASSIGN_OR_RETURN(const int64_t grace_ms, parse_duration_ms(v->keep_old));
        return line.show("RotateAccessKey", {{"Name", v->name}, {"GraceMs", grace_ms}},
                         print_new_key);
      },
      "  coldshelf user rotate backup --keep-old 24h");
  rotate->add_option("name", v->name, "the user")->required();
  rotate->add_option("--keep-old", v->keep_old,
                     "the old key works for so long; default: it ends at once");
}

void define_audit(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* audit = line.group("audit", "who changed what, when, with which result");
  CLI::App* list = line.command(
      audit, "list", "the audit log, newest first",
      [&line, v] {
        return line.show("ListAudit", {{"Limit", v->limit}, {"Before", v->before}}, print_audit);
      },
      "  coldshelf audit list --limit 100\n"
      "  coldshelf --json audit list --before 4711");
  list->add_option("--limit", v->limit, "how many");
  list->add_option("--before", v->before, "only those with a smaller number");
  line.command(
      audit, "verify", "check every record against the one before it",
      [&line] { return verify_audit(line); },
      "  coldshelf audit verify     (exit code 1: something was changed or cut off)");
}

}  // namespace

void define_user_commands(CommandLine& line) {
  define_users(line);
  define_audit(line);
}

}  // namespace coldshelf::cli
