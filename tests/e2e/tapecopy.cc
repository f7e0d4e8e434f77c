// coldshelf_tapecopy: dd between standard input or output and a tape drive behind iSCSI, by
// libiscsi in user space. For the demo and for end-to-end tests on machines whose kernel has no
// iSCSI initiator.
//
//   coldshelf_tapecopy --portal 127.0.0.1:3260 --target IQN write|read [--record-size 262144]
//                      [--append] [--skip-files N]
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/bytes.h"
#include "tests/support/tape_client.h"

namespace coldshelf::test {
namespace {

struct Settings {
  std::string portal = "127.0.0.1:3260";
  std::string target;
  std::string action;
  size_t record_bytes = 256 * KiB;
  bool append = false;
  unsigned skip_files = 0;
};

// Spaces over `files` filemarks by reading: positions exactly, whatever the drive.
Status skip_files(TapeClient& client, unsigned files, Buffer& room) {
  while (files > 0) {
    ASSIGN_OR_RETURN(const TapeClient::Next next, client.read_next(room));
    if (next.kind == TapeClient::Next::Kind::filemark) --files;
    if (next.kind == TapeClient::Next::Kind::end_of_data) {
      return Error(ErrorCode::not_found, "the tape has not that many files");
    }
  }
  return {};
}

Status to_end_of_data(TapeClient& client, Buffer& room) {
  while (true) {
    ASSIGN_OR_RETURN(const TapeClient::Next next, client.read_next(room));
    if (next.kind == TapeClient::Next::Kind::end_of_data) return {};
  }
}

Status write_all(TapeClient& client, const Settings& settings, uint64_t& bytes) {
  Buffer record(settings.record_bytes);
  if (settings.append) TRY(to_end_of_data(client, record));
  while (true) {
    const size_t n = std::fread(record.data(), 1, record.size(), stdin);
    if (n == 0) break;
    TRY(client.write(std::span(record).first(n)));
    bytes += n;
  }
  if (std::ferror(stdin) != 0) return Error(ErrorCode::io, "standard input");
  return client.write_filemarks(1, false);
}

Status read_all(TapeClient& client, uint64_t& bytes, unsigned files) {
  Buffer room(8 * MiB);
  TRY(skip_files(client, files, room));
  while (true) {
    ASSIGN_OR_RETURN(const TapeClient::Next next, client.read_next(room));
    if (next.kind != TapeClient::Next::Kind::record) return {};
    if (std::fwrite(room.data(), 1, next.size, stdout) != next.size) {
      return Error(ErrorCode::io, "standard output");
    }
    bytes += next.size;
  }
}

Status run(const Settings& settings) {
  ASSIGN_OR_RETURN(TapeClient client, TapeClient::connect(settings.portal, settings.target, 0,
                                                          "iqn.2026-11.io.coldshelf:tapecopy"));
  TRY(client.wait_ready(20));
  TRY(client.rewind());
  uint64_t bytes = 0;
  if (settings.action == "write") {
    TRY(write_all(client, settings, bytes));
  } else {
    TRY(read_all(client, bytes, settings.skip_files));
  }
  if (std::fflush(stdout) != 0) return Error(ErrorCode::io, "standard output");
  std::fprintf(stderr, "%llu bytes\n", static_cast<unsigned long long>(bytes));
  return {};
}

}  // namespace
}  // namespace coldshelf::test

int main(int argc, char** argv) {
  CLI::App app{"Copies between standard input or output and a virtual tape over iSCSI"};
  coldshelf::test::Settings settings;
  app.add_option("--portal", settings.portal, "address and port");
  app.add_option("--target", settings.target, "the drive's iSCSI name")->required();
  app.add_option("--record-size", settings.record_bytes)->check(CLI::Range(1, 8 << 20));
  app.add_flag("--append", settings.append, "write behind what is there");
  app.add_option("--skip-files", settings.skip_files, "read the file after so many filemarks");
  app.add_option("action", settings.action)->required()->check(CLI::IsMember({"write", "read"}));
  CLI11_PARSE(app, argc, argv);
  const coldshelf::Status done = coldshelf::test::run(settings);
  if (done.ok()) return 0;
  std::fprintf(stderr, "coldshelf_tapecopy: %s\n", done.error().message().c_str());
  return 1;
}
