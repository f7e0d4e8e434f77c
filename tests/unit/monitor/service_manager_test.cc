// What systemd is told, read from sockets of the test's own.
#include "base/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "base/journal_log.h"
#include "base/log.h"

namespace coldshelf {
namespace {

class Receiver {
 public:
  Receiver() : path_(testing::TempDir() + "/cs-" + std::to_string(::getpid()) + ".sock") {
    ::unlink(path_.c_str());
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);  // NOLINT
  }
  ~Receiver() {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  std::string next() {
    std::string out(256 * 1024, 0);
    const ssize_t n = ::recv(fd_, out.data(), out.size(), MSG_DONTWAIT);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_;
};

// As the journal reads an entry.
std::map<std::string, std::string> decode(const std::string& entry) {
  std::map<std::string, std::string> out;
  for (size_t at = 0; at < entry.size();) {
    const size_t stop = entry.find_first_of("=\n", at);
    if (stop == std::string::npos) break;
    const std::string name = entry.substr(at, stop - at);
    if (entry[stop] == '=') {
      const size_t end = entry.find('\n', stop);
      out[name] = entry.substr(stop + 1, end - stop - 1);
      at = end + 1;
      continue;
    }
    uint64_t length = 0;
    for (unsigned i = 0; i < 8; ++i) {
      length |= uint64_t{static_cast<unsigned char>(entry[stop + 1 + i])} << (8 * i);
    }
    out[name] = entry.substr(stop + 9, length);
    at = stop + 9 + length + 1;
  }
  return out;
}

TEST(ServiceManager, IsToldThroughItsSocket) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(notify_service_manager("READY=1"));
  Receiver receiver;
  ::setenv("NOTIFY_SOCKET", receiver.path().c_str(), 1);
  EXPECT_TRUE(notify_service_manager("READY=1"));
  EXPECT_EQ(receiver.next(), "READY=1");
  ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  EXPECT_FALSE(notify_service_manager("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

TEST(Journal, EntriesKeepWhatIsInThem) {
  const JournalFields fields = {
      {"MESSAGE", "two\nlines\n"}, {"PRIORITY", "3"}, {"EMPTY", ""}, {"", "nameless"}};
  const auto seen = decode(encode_journal_entry(fields));
  EXPECT_EQ(seen, (std::map<std::string, std::string>{
                      {"MESSAGE", "two\nlines\n"}, {"PRIORITY", "3"}, {"EMPTY", ""}}));
}

TEST(Journal, NamesAreAsItWantsThem) {
  EXPECT_EQ(journal_field_name("cartridge"), "CARTRIDGE");
  EXPECT_EQ(journal_field_name("_x-y.Z9"), "X_Y_Z9");
  EXPECT_EQ(journal_field_name("9"), "");
  EXPECT_EQ(journal_field_name(std::string(100, 'a')).size(), 64U);
}

TEST(Journal, AWrongPlaceIsAnError) {
  JournalSocket socket;
  EXPECT_FALSE(socket.open("/nowhere/at/all").ok());
  EXPECT_FALSE(socket.open(std::string(300, 'x')).ok());
  EXPECT_FALSE(socket.send({{"MESSAGE", "x"}}));
}

// Last: the log of this process goes there from now on, and back to standard error when the
// receiver is gone.
TEST(JournalLog, LinesBecomeEntries) {
  Receiver receiver;
  ASSERT_TRUE(log_to_journal(receiver.path()).ok());
  log_error("uploader", "segment lost", {{"segment-id", 7}, {"why", "a \"b\"\nc"}});
  const auto entry = decode(receiver.next());
  EXPECT_EQ(entry.at("PRIORITY"), "3");
  EXPECT_EQ(entry.at("SYSLOG_IDENTIFIER"), "coldshelfd");
  EXPECT_EQ(entry.at("COLDSHELF_COMPONENT"), "uploader");
  EXPECT_EQ(entry.at("COLDSHELF_EVENT"), "segment lost");
  EXPECT_EQ(entry.at("COLDSHELF_SEGMENT_ID"), "7");
  EXPECT_EQ(entry.at("COLDSHELF_WHY"), "a \"b\"\nc");
  EXPECT_EQ(entry.at("MESSAGE"), "uploader: segment lost segment-id=7 why=\"a \\\"b\\\"\\nc\"");
  log_debug("x", "not written at this level");
  EXPECT_EQ(receiver.next(), "");
}

}  // namespace
}  // namespace coldshelf
