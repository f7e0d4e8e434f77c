#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"
#include "gateway/cli/progress.h"
#include "gateway/exit_codes.h"
#include "gateway/service_user.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

Status rotate_keys(CommandLine& line) {
  ASSIGN_OR_RETURN(const int64_t timeout_ms, line.timeout_ms());
  const int64_t begin_ns = line.env().clock->monotonic_ns();
  ASSIGN_OR_RETURN(Json answer, line.call("RotateKeys", Json::object()));
  Progress progress(line.err(), *line.env().clock, progress_style(line.json()), "key rotate");
  const auto running = [&] { return answer["Rotation"].value("State", "") == "running"; };
  while (line.wait() && running()) {
    const Json& rotation = answer["Rotation"];
    progress.show(0, 0, rotation["Done"].dump() + " of " + rotation["Total"].dump() + " tapes");
    if (timeout_ms != 0 && line.env().clock->monotonic_ns() - begin_ns > timeout_ms * 1'000'000) {
      return Error(ErrorCode::timed_out, "the rotation is still running; it goes on");
    }
    line.env().clock->sleep_ms(kPollMs);
    ASSIGN_OR_RETURN(answer, line.call("DescribeKeys", Json::object()));
  }
  progress.finish();
  if (line.json()) {
    line.print_json(answer);
  } else {
    print_keys(line.out(), answer);
  }
  if (answer["Rotation"].value("State", "") == "failed") {
    return Error(ErrorCode::key_mismatch, "some tapes keep the key they had");
  }
  return {};
}

// Never over another key: tapes may depend on it.
Status write_key_file(CommandLine& line, const std::string& path, const Secret& key) {
  auto file = line.env().files->open(path, OpenMode::create_private);
  if (!file.ok()) return file.error();
  TRY((*file)->write_at(0, key.reveal_bytes()));
  TRY((*file)->write_at(key.reveal().size(), as_view("\n")));
  TRY((*file)->sync());
  TRY(line.env().files->sync_directory(parent_directory(path)));
  // The gateway that is to use it cannot read what is root's.
  return is_of_service(parent_directory(path)) ? give_to_service(path, false) : Status();
}

Status generate_key(CommandLine& line, const std::string& output) {
  const Secret key = KeyEncryptionKey::generate_text(*line.env().random);
  ASSIGN_OR_RETURN(const KeyEncryptionKey parsed, KeyEncryptionKey::parse(key.reveal()));
  if (output.empty()) {
    line.out() << key.reveal() << "\n";
    return {};
  }
  TRY(write_key_file(line, output, key));
  if (line.json()) {
    line.print_json({{"KeyId", parsed.id()}, {"Output", output}});
  } else {
    line.out() << parsed.id() << " written to " << output << "\n";
  }
  return {};
}

}  // namespace

void define_key_commands(CommandLine& line) {
  auto output = std::make_shared<std::string>();
  CLI::App* key = line.group("key", "the key-encryption key");
  CLI::App* generate = line.command(
      key, "generate", "make a new key", [&line, output] { return generate_key(line, *output); },
      "  coldshelf key generate --to /etc/coldshelf/new.key     (mode 0600)\n"
      "Keep a copy away from the gateway: without it encrypted tapes cannot be read.");
  generate->add_option("--to", *output, "the file to write; default: standard output");
  line.command(
      key, "status", "how many tapes are under which key",
      [&line] { return line.show("DescribeKeys", Json::object(), print_keys); },
      "  coldshelf key status");
  CLI::App* rotate = line.command(
      key, "rotate", "wrap every tape's data key by the key in use",
      [&line] { return rotate_keys(line); },
      "  coldshelf key generate --to /etc/coldshelf/new.key\n"
      "  (configure it as [encryption], the one before as [[encryption.old_key]]; restart)\n"
      "  coldshelf key rotate --wait\n"
      "No data is read or written; docs/encryption.md");
  line.add_wait(rotate, false);
}

}  // namespace coldshelf::cli
