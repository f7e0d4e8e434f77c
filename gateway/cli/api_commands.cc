// Any operation of the API by its name, for scripts and for what has no command of its own.
#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

void print_operations(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& one : answer["Operations"]) {
    rows.push_back(
        {one.value("Name", ""), one.value("Role", ""), one.value("Changes", false) ? "yes" : "no"});
  }
  print_table(out, {"OPERATION", "ROLE", "CHANGES"}, rows);
}

void print_history(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  const Json& samples = answer["Samples"];
  // UnixMs, written, read, uploaded, downloaded (counters); cache, not uploaded, buffer (levels).
  for (size_t i = 1; i < samples.size(); ++i) {
    const Json& last = samples[i - 1];
    const Json& now = samples[i];
    const int64_t ms = now[0].get<int64_t>() - last[0].get<int64_t>();
    if (ms <= 0) continue;
    const auto rate = [&](size_t field) {
      const auto a = last[field].get<uint64_t>(), b = now[field].get<uint64_t>();
      return format_size(b < a ? 0 : (b - a) * 1'000 / static_cast<uint64_t>(ms)) + "/s";
    };
    const auto level = [&](size_t field) { return format_size(now[field].get<uint64_t>()); };
    rows.push_back({format_utc(now[0].get<int64_t>()), rate(1), rate(2), rate(3), rate(4), level(5),
                    level(6), level(7)});
  }
  print_table(
      out, {"TIME", "WRITTEN", "READ", "UPLOADED", "DOWNLOADED", "CACHE", "NOT UPLOADED", "BUFFER"},
      rows);
}

}  // namespace

void define_api_commands(CommandLine& line) {
  struct Values {
    std::string operation, input = "{}", resolution = "coarse";
  };
  const auto v = std::make_shared<Values>();
  line.command(
          line.root(), "history", "rates and levels of the last hours",
          [&line, v] {
            return line.show("DescribeHistory", {{"Resolution", v->resolution}}, print_history);
          },
          "  coldshelf history                 (a line a minute, of a day)\n"
          "  coldshelf history --resolution fine   (every two seconds, of an hour)")
      ->add_option("--resolution", v->resolution, "coarse or fine")
      ->check(CLI::IsMember({"coarse", "fine"}));
  CLI::App* api = line.group("api", "the management API as it is (docs/api.md)");
  line.command(
      api, "list", "the operations of our own, and who may",
      [&line] { return line.show("ListOperations", Json::object(), print_operations); },
      "  coldshelf api list");
  CLI::App* call = line.command(
      api, "call", "one operation, with its input as JSON; prints the answer",
      [&line, v]() -> Status {
        const Json input = Json::parse(v->input, nullptr, false);
        if (!input.is_object()) {
          return Error(ErrorCode::invalid_argument, "the input must be a JSON object");
        }
        ASSIGN_OR_RETURN(const Json answer, line.call(v->operation.c_str(), input));
        line.print_json(answer);
        return {};
      },
      "  coldshelf api call ListDrives\n"
      "  coldshelf api call ListSegments '{\"Barcode\": \"ABC001L8\"}'\n"
      "  coldshelf api call StorageGateway_20130630.ListTapes '{\"Limit\": 10}'");
  call->add_option("operation", v->operation, "of ours, or AWS's with its prefix")->required();
  call->add_option("input", v->input, "a JSON object; default: {}");
}

}  // namespace coldshelf::cli
