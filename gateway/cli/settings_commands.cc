// Settings of the gateway that the API keeps: bandwidth, automatic tapes, the changer's model, its
// name.
#include <map>
#include <sstream>

#include "gateway/bandwidth_config.h"
#include "gateway/cli/aws_call.h"
#include "gateway/cli/output.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

constexpr const char* kUpload = "AverageUploadRateLimitInBitsPerSec";
constexpr const char* kDownload = "AverageDownloadRateLimitInBitsPerSec";

struct Values {
  std::string upload, download, which, prefix, pool, size, changer, name, timezone;
  std::vector<std::string> intervals;
  unsigned count = 1;
  bool worm = false, clear = false;
};
using SharedValues = std::shared_ptr<Values>;

std::string sentence(CommandLine& line, const Json& answer, const std::string& text) {
  return line.json() ? answer.dump(2) : text;
}

// -- bandwidth

std::string rate_of(const Json& limits, const char* key) {
  return format_rate(limits.value(key, uint64_t{0}) / 8);
}

std::string clock_text(const Json& interval, const char* hour, const char* minute, unsigned more) {
  return format_time_of_day(interval.value(hour, 0U) * 60 + interval.value(minute, 0U) + more);
}

unsigned days_of(const Json& interval) {
  unsigned days = 0;
  for (const Json& day : interval["DaysOfWeek"]) days |= 1U << ((day.get<unsigned>() + 6) % 7);
  return days;
}

Status show_bandwidth(CommandLine& line) {
  ASSIGN_OR_RETURN(Json answer, call_aws(line, "DescribeBandwidthRateLimit", Json::object()));
  ASSIGN_OR_RETURN(const Json schedule,
                   call_aws(line, "DescribeBandwidthRateLimitSchedule", Json::object()));
  answer["BandwidthRateLimitIntervals"] = schedule["BandwidthRateLimitIntervals"];
  line.print(answer, [](std::ostream& out, const Json& a) {
    out << "always: upload " << rate_of(a, kUpload) << ", download " << rate_of(a, kDownload)
        << "\n";
    std::vector<std::vector<std::string>> rows;
    for (const Json& one : a["BandwidthRateLimitIntervals"]) {
      rows.push_back({format_days(days_of(one)),
                      clock_text(one, "StartHourOfDay", "StartMinuteOfHour", 0),
                      clock_text(one, "EndHourOfDay", "EndMinuteOfHour", 1), rate_of(one, kUpload),
                      rate_of(one, kDownload)});
    }
    if (!rows.empty()) print_table(out, {"DAYS", "FROM", "TO", "UPLOAD", "DOWNLOAD"}, rows);
  });
  return {};
}

Status put_rate(Json& input, const char* key, const std::string& text) {
  if (text.empty()) return {};
  ASSIGN_OR_RETURN(const uint64_t rate, parse_rate(text));
  if (rate == 0) {
    return Error(ErrorCode::invalid_argument, "to have no limit: coldshelf bandwidth clear");
  }
  input[key] = rate * 8;
  return {};
}

// "Mon-Fri 08:00-18:00 upload=20MB/s download=50MB/s"
Result<Json> interval_of(const std::string& text) {
  std::map<std::string, std::string> texts;
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    const size_t dash = word.find('-');
    if (equals != std::string::npos) {
      texts[word.substr(0, equals)] = word.substr(equals + 1);
    } else if (word.find(':') != std::string::npos && dash != std::string::npos) {
      texts["from"] = word.substr(0, dash);
      texts["to"] = word.substr(dash + 1);
    } else {
      texts["days"] = word;
    }
  }
  const auto rule = bandwidth_rule_of(texts);
  if (!rule.ok()) {
    return Error(ErrorCode::invalid_argument, "'" + text + "': " + rule.error().context);
  }
  if (rule->to_minute <= rule->from_minute) {
    return Error(ErrorCode::invalid_argument, "'" + text + "' goes past midnight: give two");
  }
  Json out = {{"StartHourOfDay", rule->from_minute / 60},
              {"StartMinuteOfHour", rule->from_minute % 60},
              {"EndHourOfDay", (rule->to_minute - 1) / 60},
              {"EndMinuteOfHour", (rule->to_minute - 1) % 60},
              {"DaysOfWeek", Json::array()}};
  for (unsigned day = 0; day < 7; ++day) {
    if ((rule->days >> day & 1U) != 0) out["DaysOfWeek"].push_back((day + 1) % 7);
  }
  const BandwidthLimits& limits = rule->limits;
  if (limits.upload_bytes_per_s != 0) out[kUpload] = limits.upload_bytes_per_s * 8;
  if (limits.download_bytes_per_s != 0) out[kDownload] = limits.download_bytes_per_s * 8;
  return out;
}

Status set_bandwidth(CommandLine& line, const Values& v) {
  Json input = Json::object();
  TRY(put_rate(input, kUpload, v.upload));
  TRY(put_rate(input, kDownload, v.download));
  if (input.empty()) return Error(ErrorCode::invalid_argument, "give --upload or --download");
  ASSIGN_OR_RETURN(const Json answer, call_aws(line, "UpdateBandwidthRateLimit", input));
  line.out() << sentence(line, answer, "the limit holds from now on") << "\n";
  return {};
}

Status clear_bandwidth(CommandLine& line, const Values& v) {
  const std::string type = v.which == "upload"     ? "UPLOAD"
                           : v.which == "download" ? "DOWNLOAD"
                                                   : "ALL";
  ASSIGN_OR_RETURN(const Json answer,
                   call_aws(line, "DeleteBandwidthRateLimit", {{"BandwidthType", type}}));
  line.out() << sentence(line, answer, "no constant limit any more") << "\n";
  return {};
}

Status schedule_bandwidth(CommandLine& line, const Values& v) {
  if (v.intervals.empty() != v.clear) {
    return Error(ErrorCode::invalid_argument, "give intervals, or --clear");
  }
  Json intervals = Json::array();
  for (const std::string& text : v.intervals) {
    ASSIGN_OR_RETURN(Json interval, interval_of(text));
    intervals.push_back(std::move(interval));
  }
  ASSIGN_OR_RETURN(const Json answer, call_aws(line, "UpdateBandwidthRateLimitSchedule",
                                               {{"BandwidthRateLimitIntervals", intervals}}));
  line.out() << sentence(line, answer, "the schedule holds from now on") << "\n";
  return {};
}

void define_bandwidth(CommandLine& line, const SharedValues& v) {
  CLI::App* bandwidth = line.group("bandwidth", "limits between gateway and store");
  line.command(
      bandwidth, "show", "the limits, constant and by day and time",
      [&line] { return show_bandwidth(line); }, "  coldshelf bandwidth show");
  CLI::App* set = line.command(
      bandwidth, "set", "a constant limit, from now on and over restarts",
      [&line, v] { return set_bandwidth(line, *v); },
      "  coldshelf bandwidth set --upload 20MB/s\n"
      "It replaces [[bandwidth]] of the configuration.");
  set->add_option("--upload", v->upload, "e.g. 20MB/s");
  set->add_option("--download", v->download, "e.g. 512KiB/s");
  CLI::App* clear = line.command(
      bandwidth, "clear", "no constant limit any more",
      [&line, v] { return clear_bandwidth(line, *v); }, "  coldshelf bandwidth clear upload");
  clear->add_option("which", v->which, "upload or download; default: both")
      ->check(CLI::IsMember({"upload", "download"}));
  CLI::App* schedule = line.command(
      bandwidth, "schedule", "limits by day and time, instead of those there were",
      [&line, v] { return schedule_bandwidth(line, *v); },
      "  coldshelf bandwidth schedule 'Mon-Fri 08:00-18:00 upload=20MB/s download=50MB/s' \\\n"
      "    'Sat,Sun 00:00-24:00 upload=80MB/s'\n"
      "  coldshelf bandwidth schedule --clear");
  schedule->add_option("intervals", v->intervals, "DAYS FROM-TO upload=RATE download=RATE");
  schedule->add_flag("--clear", v->clear, "no schedule any more");
}

// -- automatic tapes

Result<Json> automatic_rules(CommandLine& line) {
  ASSIGN_OR_RETURN(const Json answer,
                   call_aws(line, "ListAutomaticTapeCreationPolicies", Json::object()));
  const Json& all = answer["AutomaticTapeCreationPolicyInfos"];
  return all.empty() ? Json::array() : all[0]["AutomaticTapeCreationRules"];
}

Status put_rules(CommandLine& line, const Json& rules, const std::string& text) {
  auto answer = rules.empty() ? call_aws(line, "DeleteAutomaticTapeCreationPolicy", Json::object())
                              : call_aws(line, "UpdateAutomaticTapeCreationPolicy",
                                         {{"AutomaticTapeCreationRules", rules}});
  if (!answer.ok()) return answer.error();
  line.out() << sentence(line, *answer, text) << "\n";
  return {};
}

Json without(const Json& rules, const std::string& prefix) {
  Json out = Json::array();
  for (const Json& rule : rules) {
    if (rule.value("TapeBarcodePrefix", "") != prefix) out.push_back(rule);
  }
  return out;
}

Status set_automatic(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const uint64_t size, parse_size(v.size));
  ASSIGN_OR_RETURN(const Json rules, automatic_rules(line));
  Json now = without(rules, v.prefix);
  now.push_back({{"TapeBarcodePrefix", v.prefix},
                 {"PoolId", v.pool},
                 {"TapeSizeInBytes", size},
                 {"MinimumNumTapes", v.count},
                 {"Worm", v.worm}});
  return put_rules(line, now,
                   std::to_string(v.count) + " tapes of prefix " + v.prefix + " are kept ready");
}

Status remove_automatic(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const Json rules, automatic_rules(line));
  const Json left = without(rules, v.prefix);
  if (left.size() == rules.size()) {
    return Error(ErrorCode::not_found, "there is no rule of prefix " + v.prefix);
  }
  return put_rules(line, left, "no tapes of prefix " + v.prefix + " are made any more");
}

void print_rules(std::ostream& out, const Json& rules) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& rule : rules) {
    rows.push_back({rule.value("TapeBarcodePrefix", ""),
                    std::to_string(rule.value("MinimumNumTapes", 0)),
                    format_size(rule.value("TapeSizeInBytes", uint64_t{0})),
                    rule.value("PoolId", ""), rule.value("Worm", false) ? "yes" : "no"});
  }
  if (rows.empty()) {
    out << "no tapes are made by themselves\n";
    return;
  }
  print_table(out, {"PREFIX", "READY", "SIZE", "POOL", "WORM"}, rows);
}

void define_automatic(CommandLine& line, const SharedValues& v) {
  CLI::App* automatic = line.group("auto-create", "tapes that are made by themselves");
  line.command(
      automatic, "list", "the rules",
      [&line]() -> Status {
        ASSIGN_OR_RETURN(const Json rules, automatic_rules(line));
        line.print(rules, print_rules);
        return {};
      },
      "  coldshelf auto-create list");
  CLI::App* set = line.command(
      automatic, "set", "keep so many blank tapes ready",
      [&line, v] { return set_automatic(line, *v); },
      "  coldshelf auto-create set DAY --count 5 --size 100GiB --pool GLACIER");
  set->add_option("prefix", v->prefix, "of their barcodes: 1 to 4 of A-Z")->required();
  set->add_option("--count", v->count, "how many, 1 to 10");
  set->add_option("--size", v->size, "of each, whole GiB")->required();
  set->add_option("--pool", v->pool, "where archived tapes go")->required();
  set->add_flag("--worm", v->worm, "write once");
  CLI::App* remove = line.command(
      automatic, "remove", "a rule; its tapes stay",
      [&line, v] { return remove_automatic(line, *v); }, "  coldshelf auto-create remove DAY");
  remove->add_option("prefix", v->prefix, "the rule's")->required();
}

// -- the gateway and its devices

void print_gateway(std::ostream& out, const Json& a) {
  for (const char* key :
       {"GatewayId", "GatewayName", "GatewayTimezone", "GatewayState", "GatewayARN"}) {
    out << key << ": " << a.value(key, "") << "\n";
  }
}

Status set_gateway(CommandLine& line, const Values& v) {
  Json input = Json::object();
  if (!v.name.empty()) input["GatewayName"] = v.name;
  if (!v.timezone.empty()) input["GatewayTimezone"] = v.timezone;
  if (input.empty()) return Error(ErrorCode::invalid_argument, "give --name or --timezone");
  ASSIGN_OR_RETURN(const Json answer, call_aws(line, "UpdateGatewayInformation", input));
  line.out() << sentence(line, answer, "the gateway is shown as " + answer.value("GatewayName", ""))
             << "\n";
  return {};
}

void define_gateway(CommandLine& line, const SharedValues& v) {
  CLI::App* gateway = line.group("gateway", "how the gateway is shown");
  line.command(
      gateway, "show", "its name, id, time zone and ARN",
      [&line]() -> Status {
        ASSIGN_OR_RETURN(const Json answer,
                         call_aws(line, "DescribeGatewayInformation", Json::object()));
        line.print(answer, print_gateway);
        return {};
      },
      "  coldshelf gateway show");
  CLI::App* set = line.command(
      gateway, "set", "another name or time zone", [&line, v] { return set_gateway(line, *v); },
      "  coldshelf gateway set --name \"Cold one\" --timezone GMT+1:00\n"
      "Targets keep gateway.name of the configuration.");
  set->add_option("--name", v->name, "2 to 255 characters");
  set->add_option("--timezone", v->timezone, "e.g. GMT+1:00");
}

Status show_devices(CommandLine& line) {
  ASSIGN_OR_RETURN(const Json answer, call_aws(line, "DescribeVTLDevices", Json::object()));
  line.print(answer, [](std::ostream& out, const Json& a) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& d : a["VTLDevices"]) {
      const std::string arn = d.value("VTLDeviceARN", "");
      const Json& iscsi = d["DeviceiSCSIAttributes"];
      const std::string target = iscsi.value("TargetARN", "");
      rows.push_back(
          {arn.substr(arn.rfind('/') + 1),
           d.value("VTLDeviceVendor", "") + " " + d.value("VTLDeviceProductIdentifier", ""),
           iscsi.value("ChapEnabled", false) ? "yes" : "no", target.substr(target.rfind('/') + 1)});
    }
    print_table(out, {"DEVICE", "MODEL", "CHAP", "TARGET"}, rows);
  });
  return {};
}

Status set_changer(CommandLine& line, const Values& v) {
  ASSIGN_OR_RETURN(const std::string arn, gateway_arn(line));
  return line.act("StorageGateway_20130630.UpdateVTLDeviceType",
                  {{"VTLDeviceARN", arn + "/device/mediachanger"}, {"DeviceType", v.changer}},
                  [&](const Json&) { return "a " + v.changer + " from the next start on"; });
}

}  // namespace

// `library` is there already.
void define_device_commands(CommandLine& line, CLI::App* library) {
  const auto v = std::make_shared<Values>();
  line.command(
      library, "devices", "changer and drives: models, targets, CHAP",
      [&line] { return show_devices(line); }, "  coldshelf library devices");
  CLI::App* changer = line.command(
      library, "changer", "another model of medium changer, from the next start on",
      [&line, v] { return set_changer(line, *v); },
      "  coldshelf library changer AWS-Gateway-VTL\n"
      "Element addresses change with it: hosts must look again.");
  changer->add_option("model", v->changer, "e.g. STK-L700")->required();
}

void define_settings_commands(CommandLine& line) {
  const auto v = std::make_shared<Values>();
  define_bandwidth(line, v);
  define_automatic(line, v);
  define_gateway(line, v);
}

}  // namespace coldshelf::cli
