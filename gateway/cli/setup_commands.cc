// `coldshelf setup`: flags, questions where there is a terminal, and what comes of them.
#include <istream>

#include "gateway/cli/command_line.h"
#include "gateway/cli/support_bundle.h"
#include "gateway/setup.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

struct Options {
  SetupAnswers answers;
  std::string cache, buffer;
  bool no_encryption = false, yes = false;
};

// Asks for what was not given as a flag. An empty line takes what stands in brackets.
class Interview {
 public:
  Interview(std::istream& in, std::ostream& out) : in_(in), out_(out) {}
  Status ask(const std::string& question, std::string& value) {
    out_ << question << " [" << value << "]: " << std::flush;
    std::string line;
    if (!std::getline(in_, line)) {
      return Error(ErrorCode::cancelled, "no answer; nothing was written");
    }
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos) return {};
    value = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    return {};
  }
  Status ask_number(const std::string& question, uint64_t& value, uint64_t most) {
    for (int attempt = 0; attempt < 10; ++attempt) {
      std::string text = std::to_string(value);
      TRY(ask(question, text));
      if (!text.empty() && text.size() <= 6 &&
          text.find_first_not_of("0123456789") == std::string::npos) {
        const uint64_t number = std::stoull(text);
        if (number >= 1 && number <= most) {
          value = number;
          return {};
        }
      }
      out_ << "  a number from 1 to " << most << "\n";
    }
    return Error(ErrorCode::invalid_argument, "no number was given; nothing was written");
  }

 private:
  std::istream& in_;
  std::ostream& out_;
};

Status interview(CommandLine& line, SetupAnswers& answers) {
  Interview asker(*line.env().in, line.err());
  line.err() << "An empty answer takes what stands in brackets.\n";
  TRY(asker.ask("Name of the gateway (part of the iSCSI names)", answers.name));
  TRY(asker.ask("Data directory (its disk is the cache)", answers.data_dir));
  if (answers.store.empty()) answers.store = join_path(answers.data_dir, "store");
  TRY(asker.ask("Object store: s3://BUCKET/PREFIX or a directory", answers.store));
  if (answers.store.starts_with("s3://")) {
    TRY(asker.ask("  Region (empty: as AWS's tools find it)", answers.region));
    TRY(asker.ask("  Endpoint, if it is not AWS", answers.endpoint));
    TRY(asker.ask("  Profile of ~/.aws (empty: the whole credential chain)", answers.profile));
  }
  TRY(asker.ask("iSCSI listens on", answers.listen));
  ASSIGN_OR_RETURN(const HostPort listen, parse_listen_address(answers.listen, 3260));
  if (!is_loopback(listen)) {
    if (answers.chap_user.empty()) answers.chap_user = "backup";
    TRY(asker.ask("CHAP user of the initiators", answers.chap_user));
  }
  TRY(asker.ask_number("Tape drives", answers.drives, 255));
  TRY(asker.ask_number("Slots", answers.slots, 3'196));
  std::string encrypt = answers.encrypt ? "yes" : "no";
  TRY(asker.ask("Encrypt everything that goes to the store", encrypt));
  answers.encrypt = !encrypt.starts_with('n') && !encrypt.starts_with('N');
  return {};
}

void print_result(std::ostream& out, const SetupResult& result) {
  out << "Configuration: " << result.config_path << "\n";
  if (!result.old_config_path.empty()) {
    out << "               the one before is " << result.old_config_path << "\n";
  }
  out << "Store:         " << result.store << " (an object was put, read and removed)\n";
  if (!result.key_path.empty()) {
    out << "Key:           " << result.key_path << " (" << result.key_id
        << (result.key_made ? ", new)\n" : ")\n");
  } else {
    out << "Key:           none: what goes to the store is not encrypted\n";
  }
  if (!result.chap_secret_path.empty()) {
    out << "CHAP secret:   " << result.chap_secret_path << "\n";
  }
  for (const std::string& fact : result.facts) out << "  " << fact << "\n";
  out << "\nNext:\n";
  int number = 0;
  for (const std::string& step : result.next) out << "  " << ++number << ". " << step << "\n";
}

Status set_up(CommandLine& line, Options options) {
  SetupAnswers& answers = options.answers;
  answers.encrypt = !options.no_encryption;
  if (!options.cache.empty()) {
    ASSIGN_OR_RETURN(answers.cache_bytes, parse_size(options.cache));
  }
  if (!options.buffer.empty()) {
    ASSIGN_OR_RETURN(answers.buffer_bytes, parse_size(options.buffer));
  }
  if (!options.yes) {
    if (line.env().in == nullptr) {
      return Error(ErrorCode::invalid_argument,
                   "there is no terminal to ask at; give --yes and the flags (--help)");
    }
    TRY(interview(line, answers));
  }
  ASSIGN_OR_RETURN(const SetupResult result,
                   run_setup({line.env().files, line.env().clock, line.env().random}, answers));
  if (!line.json()) {
    print_result(line.out(), result);
    return {};
  }
  line.print_json({{"Config", result.config_path},
                   {"OldConfig", result.old_config_path},
                   {"Store", result.store},
                   {"KeyFile", result.key_path},
                   {"KeyId", result.key_id},
                   {"KeyMade", result.key_made},
                   {"ChapSecretFile", result.chap_secret_path},
                   {"Facts", result.facts},
                   {"Next", result.next}});
  return {};
}

// -- the support bundle

struct BundleOptions {
  BundleRequest request;
  bool force = false;
};

std::string default_bundle_name(Clock& clock) {
  std::string time = format_utc(clock.unix_ms()).substr(0, 19);
  std::erase_if(time, [](char c) { return c == ':' || c == '-'; });
  return "coldshelf-support-" + time + ".tar.gz";
}

Status make_bundle(CommandLine& line, BundleOptions options) {
  options.request.overwrite = options.force;
  if (options.request.path.empty()) options.request.path = default_bundle_name(*line.env().clock);
  ASSIGN_OR_RETURN(const Config config, line.effective());
  const auto call = [&line](const std::string& operation, const Json& input) {
    return line.call(operation.c_str(), input);
  };
  ASSIGN_OR_RETURN(const BundleReport report,
                   write_support_bundle(line.env(), config, call, options.request));
  if (line.json()) {
    line.print_json(
        {{"Path", report.path}, {"Members", report.members}, {"Missing", report.missing}});
    return {};
  }
  for (const std::string& what : report.missing) line.err() << "not in it: " << what << "\n";
  line.out() << report.path << " holds " << report.members.size()
             << " files and no secret; look at it before you send it\n";
  return {};
}

}  // namespace

void define_setup_commands(CommandLine& line) {
  auto options = std::make_shared<Options>();
  SetupAnswers& a = options->answers;
  CLI::App* setup = line.command(
      line.root(), "setup", "write a configuration, checked against store and disk",
      [&line, options] { return set_up(line, *options); },
      "  coldshelf setup                                asks at a terminal\n"
      "  coldshelf setup --yes --store s3://my-tapes/gw1 --region eu-central-1 \\\n"
      "      --listen 0.0.0.0:3260 --chap-user backup\n"
      "  coldshelf setup --yes --to ./coldshelf.toml --data-dir /srv/tapes --drives 2\n"
      "It makes the key and the CHAP secret (0600), puts, reads and removes an object in the\n"
      "store, and then writes the configuration. Nothing that is there is overwritten.");
  setup->add_option("--to", a.config_path, "the configuration to write")->capture_default_str();
  setup->add_option("--data-dir", a.data_dir, "its disk is the cache")->capture_default_str();
  setup->add_option("--api-socket", a.socket, "of the management API");
  setup->add_option("--name", a.name, "part of the iSCSI names")->capture_default_str();
  setup->add_option("--store", a.store, "s3://BUCKET/PREFIX or a directory");
  setup->add_option("--region", a.region, "of the bucket");
  setup->add_option("--endpoint", a.endpoint, "https://HOST[:PORT] of a store that is not AWS");
  setup->add_option("--profile", a.profile, "of ~/.aws");
  setup->add_option("--ca-file", a.ca_file, "certificates the store is checked with");
  setup->add_option("--listen", a.listen, "where iSCSI listens")->capture_default_str();
  setup->add_option("--chap-user", a.chap_user, "of the initiators; its secret is made");
  setup->add_option("--key-file", a.key_file, "an existing key; default: a new one is made");
  setup->add_flag("--no-encryption", options->no_encryption, "the store sees plain data");
  setup->add_option("--drives", a.drives, "tape drives")->capture_default_str();
  setup->add_option("--slots", a.slots, "slots")->capture_default_str();
  setup->add_option("--drive-model", a.drive_model, "what they say they are")
      ->capture_default_str();
  setup->add_option("--cache", options->cache, "cache.limit; default: half of what is free");
  setup->add_option("--buffer", options->buffer, "buffer.limit; default: a quarter of it");
  setup->add_flag("--yes", options->yes, "ask nothing");
  setup->add_flag("--force", a.force, "keep the configuration that is there as .old");

  auto bundle_options = std::make_shared<BundleOptions>();
  CLI::App* bundle = line.command(
      line.root(), "support-bundle", "what somebody who helps needs to see, without secrets",
      [&line, bundle_options] { return make_bundle(line, *bundle_options); },
      "  coldshelf support-bundle --to /tmp/gateway1.tar.gz\n"
      "Configuration (secrets left out), state, metrics, jobs, alarms, the catalog's schema and\n"
      "counts, the heads of manifests and the log. It works without the daemon too.");
  bundle->add_option("--to", bundle_options->request.path, "NAME.tar.gz");
  bundle->add_option("--log", bundle_options->request.log_file,
                     "the daemon's log; default: what systemd's journal has");
  bundle
      ->add_option("--cartridges", bundle_options->request.cartridges,
                   "heads of at most so many manifests")
      ->capture_default_str();
  bundle->add_flag("--force", bundle_options->force, "replace the file");
}

}  // namespace coldshelf::cli
