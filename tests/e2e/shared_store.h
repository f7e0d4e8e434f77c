// A store that several gateways share, as a directory with conditional writes, and the key.
#pragma once

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/file_system.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {

class SharedStore {
 public:
  SharedStore() : scratch_(std::filesystem::temp_directory_path().string()) {
    namespace fs = std::filesystem;
    std::ofstream(key()) << std::string(64, 'a') << "\n";
    fs::permissions(key(), fs::perms::owner_read | fs::perms::owner_write);
  }
  std::string path() const { return scratch_.path() + "/store"; }
  std::string key() const { return scratch_.path() + "/key"; }
  std::string directory() const { return scratch_.path(); }
  // Stands still, as a machine that hangs; not while it has the lock that a store in a directory
  // makes its conditions by: no other gateway could write then, which no server in between allows.
  void pause(Gateway& gateway) const {
    SystemClock clock;
    PosixFileSystem files;
    auto lock = files.lock(path() + "/~lock");
    for (int i = 0; i < 1'000 && !lock.ok(); ++i) {
      clock.sleep_ms(10);
      lock = files.lock(path() + "/~lock");
    }
    ASSERT_TRUE(lock.ok()) << lock.error().message();
    gateway.process().pause();
    clock.sleep_ms(100);  // the signal reaches every thread
  }
  // Leases of two seconds.
  std::string configuration() const {
    return "[cartridge]\nsegment_size = \"1MiB\"\n[store]\npath = \"" + path() +
           "\"\nlink = false\nlease_ttl = \"2s\"\nrestore_standard = \"100ms\"\n"
           "restore_poll = \"50ms\"\n[encryption]\nkey_file = \"" +
           key() + "\"\n";
  }

 private:
  ScratchDirectory scratch_;
};

// Waits until the store has what the gateway has sealed, and the manifests.
inline bool uploaded(Gateway& gateway) {
  SystemClock clock;
  for (int i = 0; i < 200; ++i) {
    const auto status = gateway.json({"status"});
    if (status["NotUploadedBytes"] == 0 && status["QueuedSegments"] == 0) {
      clock.sleep_ms(1'500);  // the manifest follows half a second behind
      return true;
    }
    clock.sleep_ms(100);
  }
  return false;
}

}  // namespace coldshelf::test
