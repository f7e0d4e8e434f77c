#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gateway/api/audit_log.h"
#include "tests/support/sim_file_system.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

using Json = nlohmann::json;

class Audit : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    AuditLog::Options options;
    options.directory = directory();
    options.rotate_bytes = rotate_bytes;
    options.load_head = [this]() -> Result<std::string> { return head; };
    options.save_head = [this](const std::string& text) -> Status {
      if (catalog_full) return Error(ErrorCode::no_space, "the catalog's disk is full");
      head = text;
      return {};
    };
    auto opened = AuditLog::open(gateway.files, clock, options);
    ASSERT_OK(opened);
    log = std::move(*opened);
  }
  void write(int records, const std::string& operation = "CreateTapes") {
    for (int i = 0; i < records; ++i) {
      ASSERT_OK(log->append({"ada", "admin", "CSK1", "192.0.2.1", operation,
                             Json{{"Barcode", "T" + std::to_string(i)}}, "ok"}));
    }
  }
  std::string directory() const { return gateway.root() + "/audit"; }
  std::string path() const { return directory() + "/audit.log"; }
  static std::string read(const std::string& from) {
    std::ifstream in(from);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  static void put(const std::string& to, const std::string& text) { std::ofstream(to) << text; }
  bool intact() {
    auto report = log->verify();
    EXPECT_OK(report);
    return report.ok() && report->ok();
  }
  TestGateway gateway;
  ManualClock clock;
  uint64_t rotate_bytes = 16 * MiB;
  std::string head;
  bool catalog_full = false;
  std::unique_ptr<AuditLog> log;
};

TEST_F(Audit, TellsWhoWhatWhenAndTheResultNewestFirst) {
  write(3);
  clock.sleep_ms(1'000);
  write(1, "DeleteTape");
  auto all = log->list(10, 0);
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 4U);
  EXPECT_EQ((*all)[0]["operation"], "DeleteTape");
  EXPECT_EQ((*all)[0]["time"], format_utc(clock.unix_ms()));
  EXPECT_EQ((*all)[1]["input"]["Barcode"], "T2");
  EXPECT_EQ((*all)[1]["who"], "ada");
  EXPECT_EQ((*all)[1]["result"], "ok");
  auto older = log->list(2, (*all)[1]["seq"].get<uint64_t>());
  ASSERT_OK(older);
  ASSERT_EQ(older->size(), 2U);
  EXPECT_EQ((*older)[0]["input"]["Barcode"], "T1");
  EXPECT_TRUE(intact());
  auto info = gateway.files.info(path());
  ASSERT_OK(info);
  EXPECT_EQ(info->permissions, 0600U);
}

// Every byte of the file, changed in any way, and every cut.
TEST_F(Audit, AnyEditIsFound) {
  write(4);
  const std::string before = read(path());
  for (size_t i = 0; i < before.size(); ++i) {
    std::string changed = before;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    put(path(), changed);
    ASSERT_FALSE(intact()) << "byte " << i;
  }
  for (size_t i = 0; i < before.size(); ++i) {
    put(path(), before.substr(0, i));
    // Without its last newline nothing of a record is missing.
    ASSERT_EQ(intact(), i + 1 == before.size()) << "cut at " << i;
  }
  std::vector<std::string> lines;
  std::istringstream in(before);
  for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
  for (size_t gone = 0; gone < lines.size(); ++gone) {
    std::string rest, twice, swapped;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i != gone) rest += lines[i];
      twice += lines[i] + (i == gone ? lines[i] : "");
      swapped += lines[i == gone ? (i + 1) % 4 : i == (gone + 1) % 4 ? gone : i];
    }
    put(path(), rest);
    EXPECT_FALSE(intact()) << "without line " << gone;
    put(path(), twice);
    EXPECT_FALSE(intact()) << "line " << gone << " twice";
    put(path(), swapped);
    EXPECT_FALSE(intact()) << "line " << gone << " swapped";
  }
  put(path(), before);
  EXPECT_TRUE(intact());
}

// Who can compute hashes may make a chain that fits in itself; it does not end where it should.
TEST_F(Audit, AWholeNewChainIsFound) {
  write(3);
  const std::string known = head;
  std::filesystem::remove(path());
  head.clear();
  open();
  write(3, "Harmless");
  EXPECT_TRUE(intact());
  head = known;
  EXPECT_FALSE(intact());
}

TEST_F(Audit, ARestartGoesOnWithTheChain) {
  write(2);
  open();
  write(2);
  EXPECT_TRUE(intact());
  EXPECT_EQ(log->verify()->records, 4U);
  // A crash before the head was saved: the record is there, and it counts.
  const std::string old_head = head;
  write(1);
  head = old_head;
  open();
  EXPECT_TRUE(intact());
  write(1);
  EXPECT_TRUE(intact());
  EXPECT_EQ(log->verify()->records, 6U);
  // A crash in the middle of a record: it was never confirmed.
  put(path(), read(path()) + "0123456789abc");
  open();
  EXPECT_TRUE(intact());
  write(1);
  EXPECT_EQ(log->verify()->records, 7U);
}

// A full disk: the lines are durable, the catalog lags behind, over the end of a file too. Nobody
// changed anything, and nothing says so.
TEST_F(Audit, ACatalogThatLagsIsNoTampering) {
  rotate_bytes = 1'000;
  open();
  write(3);
  catalog_full = true;
  for (int i = 0; i < 7; ++i) {
    EXPECT_FALSE(log->append({"ada", "admin", "", "", "Late", Json::object(), "ok"}).ok());
  }
  EXPECT_TRUE(intact());
  const std::string lagging = head;
  catalog_full = false;
  open();  // the process ended meanwhile
  EXPECT_TRUE(intact());
  write(2);
  EXPECT_TRUE(intact());
  EXPECT_EQ(log->verify()->records, 12U);
  EXPECT_EQ(log->verify()->last, 12U) << "no number comes twice";
  // What is cut off before the head that is known, and what breaks the chain behind it, is found.
  head = lagging;
  const std::string text = read(path());
  put(path(), text + text.substr(text.rfind('\n', text.size() - 2) + 1));
  open();
  EXPECT_FALSE(intact());
}

TEST_F(Audit, WhatStandsBehindTheLastRecordIsFound) {
  write(2);
  const std::string two = read(path());
  const std::string known = head;
  write(1);
  const std::string three = read(path());
  put(path(), two);
  head = known;
  open();
  EXPECT_TRUE(intact());
  put(path(), three);  // chained as it should be, but not by this process
  EXPECT_FALSE(intact());
}

TEST_F(Audit, WhatIsCutOffBeforeARestartIsFoundAfterIt) {
  write(3);
  const std::string text = read(path());
  put(path(), text.substr(0, text.rfind('\n', text.size() - 2) + 1));
  open();
  EXPECT_FALSE(intact());
  write(2);
  EXPECT_FALSE(intact());
}

TEST_F(Audit, RotationKeepsTheChain) {
  rotate_bytes = 1'000;
  open();
  write(20);
  EXPECT_TRUE(intact());
  auto names = gateway.files.list(directory());
  ASSERT_OK(names);
  EXPECT_GT(names->size(), 3U);
  EXPECT_EQ(log->list(100, 0)->size(), 20U);
  open();
  write(1);
  EXPECT_TRUE(intact());
  std::filesystem::remove(directory() + "/" + (*names)[1]);
  EXPECT_FALSE(intact());
}

// A file ends with the record that brought it to its size, and is named after its first.
TEST_F(Audit, FilesEndAtTheirSize) {
  rotate_bytes = 1'500;
  open();
  for (int i = 0; i < 40; ++i) {
    write(1);
    if (i % 7 == 3) open();  // a restart in the middle of a file
  }
  auto names = gateway.files.list(directory());
  ASSERT_OK(names);
  ASSERT_GT(names->size(), 3U);
  uint64_t next = 1;
  for (const std::string& name : *names) {
    const std::string text = read(directory() + "/" + name);
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
    ASSERT_FALSE(lines.empty()) << name;
    const Json first = Json::parse(lines.front().substr(65));
    EXPECT_EQ(first["seq"], next) << name;
    if (name != "audit.log") {
      char wanted[64];
      std::snprintf(wanted, sizeof wanted, "audit-%012llu.log",
                    static_cast<unsigned long long>(next));
      EXPECT_EQ(name, wanted);
      EXPECT_GE(text.size(), rotate_bytes) << name;
      EXPECT_LT(text.size() - lines.back().size(), rotate_bytes) << name << ": one record more";
    }
    next += lines.size();
  }
  EXPECT_EQ(next, 41U);
  EXPECT_EQ(log->verify()->records, 40U);
  EXPECT_TRUE(intact());
  // Paging goes over the ends of files.
  auto page = log->list(7, 20);
  ASSERT_OK(page);
  ASSERT_EQ(page->size(), 7U);
  EXPECT_EQ(page->front()["seq"], 19U);
  EXPECT_EQ(page->back()["seq"], 13U);
}

TEST_F(Audit, AFileOfAnEarlierTimeIsNotReplaced) {
  rotate_bytes = 1'000;
  open();
  const std::string taken = directory() + "/audit-000000000001.log";
  put(taken, "what was here before\n");
  write(6);
  EXPECT_EQ(read(taken), "what was here before\n");
  EXPECT_TRUE(std::filesystem::exists(directory() + "/audit-000000000001_2.log"));
  EXPECT_EQ(log->list(100, 0)->size(), 6U) << "no record is lost";
  EXPECT_FALSE(intact()) << "and what is no record is found";
}

// Whichever call of the disk fails on the way into the next file: the record is there in the end,
// once.
TEST_F(Audit, ARotationThatFailsIsTriedAgain) {
  unsigned failed = 0;
  for (uint64_t call = 1; call <= 12; ++call) {
    SCOPED_TRACE("call " + std::to_string(call));
    SimFileSystem files;
    head.clear();
    AuditLog::Options options;
    options.directory = "/audit";
    options.rotate_bytes = 100;
    options.load_head = [this]() -> Result<std::string> { return head; };
    options.save_head = [this](const std::string& text) -> Status {
      head = text;
      return {};
    };
    log = *AuditLog::open(files, clock, options);
    write(1);
    files.fail_call(files.counted_calls() + call, ErrorCode::io);
    failed += log->append({"ada", "admin", "", "", "Late", Json::object(), "ok"}).ok() ? 0 : 1;
    files.no_faults();
    EXPECT_OK(log->ready());
    EXPECT_TRUE(*files.exists("/audit/audit-000000000001.log"));
    EXPECT_EQ(log->verify()->records, 2U);
    EXPECT_TRUE(intact());
    log.reset();
  }
  EXPECT_GE(failed, 4U) << "open, write, sync, rename";
}

TEST_F(Audit, ALargeInputIsShortened) {
  std::string text;
  for (int i = 0; i < 3'000; ++i) text += "\xC3\xA4";  // two bytes each: the cut may be in one
  ASSERT_OK(log->append({"ada", "admin", "", "", "PutPolicy", Json{{"Note", text}}, "ok"}));
  ASSERT_OK(log->append({"ada", "admin", "", "", "PutPolicy", Json{{"Note", "fits"}}, "ok"}));
  auto all = log->list(10, 0);
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0]["input"]["Note"], "fits");
  const Json& shortened = (*all)[1]["input"];
  ASSERT_TRUE(shortened.contains("Shortened")) << shortened;
  EXPECT_FALSE(shortened.contains("Note"));
  EXPECT_TRUE(shortened["Shortened"].get<std::string>().starts_with("{\"Note\":\"\xC3\xA4"));
  EXPECT_LE(shortened["Shortened"].get<std::string>().size(), 4'100U);
  EXPECT_TRUE(intact());
}

// What waits has a bound; who comes when it is reached is told, and nobody is dropped in silence.
TEST_F(Audit, WhatWaitsIsBoundedAndNothingIsDroppedUnsaid) {
  const auto append = [&](const std::string& operation) {
    return log->append({"ada", "admin", "", "", operation, Json::object(), "ok"});
  };
  std::filesystem::create_directory(path());  // in the way
  for (int i = 0; i < 1'000; ++i) ASSERT_FALSE(append("Kept").ok());
  EXPECT_FALSE(append("Refused").ok());
  std::filesystem::remove(path());
  ASSERT_OK(append("Late"));
  auto all = log->list(2'000, 0);
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 1'001U);
  EXPECT_EQ(all->front()["operation"], "Late") << "an ok is a record";
  EXPECT_EQ((*all)[1]["operation"], "Kept");
  EXPECT_EQ(all->back()["seq"], 1U);
  EXPECT_TRUE(intact());
}

TEST_F(Audit, ARecordThatCannotBeWrittenIsKeptAndTriedAgain) {
  write(1);
  std::filesystem::rename(path(), path() + ".away");
  std::filesystem::create_directory(path());  // in the way
  EXPECT_FALSE(log->append({"ada", "admin", "", "", "CreateTapes", Json::object(), "ok"}).ok());
  EXPECT_FALSE(log->ready().ok());
  std::filesystem::remove(path());
  std::filesystem::rename(path() + ".away", path());
  EXPECT_OK(log->ready());
  EXPECT_EQ(log->verify()->records, 2U);
  EXPECT_TRUE(intact());
}

}  // namespace
}  // namespace coldshelf::test
