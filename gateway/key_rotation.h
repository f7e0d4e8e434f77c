// Which key every tape's and volume's data key is wrapped by, and the rotation that wraps all of
// them by the key in use. Data is not touched: a rotation is one edit of each manifest, which goes
// up to the store again. A tape opens at every moment: its manifest names the old or the new key,
// and both are configured until the operator takes the old one away. Thread-safe.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "catalog/catalog.h"
#include "gateway/tape_service.h"
#include "gateway/volume_service.h"
#include "tape/format/keys.h"

namespace coldshelf {

enum class KeyState { none, current, old, missing };  // none: the tape is not encrypted
std::string_view to_string(KeyState state);

struct TapeKey {
  std::string id;
  KeyState state = KeyState::none;
};

struct KeyReport {
  struct Key {
    std::string id;
    KeyState state = KeyState::none;
    uint64_t tapes = 0;
  };
  std::vector<Key> keys;  // the current one first, then old ones, then missing ones
  uint64_t not_encrypted = 0;
  uint64_t unreadable = 0;    // their manifests cannot be read
  uint64_t not_uploaded = 0;  // of the current key's tapes: the store's manifest is older
};

struct RotationProgress {
  enum class State { none, running, succeeded, failed } state = State::none;
  uint64_t done = 0;
  uint64_t total = 0;
  uint64_t waiting = 0;  // tapes that a job is busy with
  struct Failure {
    std::string barcode;
    std::string error;
  };
  std::vector<Failure> failures;  // the first 100
  uint64_t failed = 0;
};
std::string_view to_string(RotationProgress::State state);

class KeyRotation {
 public:
  struct Env {
    Clock* clock = nullptr;
    Random* random = nullptr;
    Catalog* catalog = nullptr;
    Vault* vault = nullptr;
    TapeService* tapes = nullptr;
    const KeyRing* ring = nullptr;  // null: no key is configured
    VolumeService* volumes = nullptr;
  };
  explicit KeyRotation(Env env) : env_(env) {}
  ~KeyRotation() { stop(); }

  Result<TapeKey> key_of(const TapeRow& row);  // not_found: no manifest here
  Result<KeyReport> report();

  // Begins on a thread of its own; a restart goes on with it. conflict: running already, or no key.
  Status start();
  Status resume();  // what a restart interrupted
  void stop();      // leaves the rest to resume()
  RotationProgress progress() const;

 private:
  struct Known {
    std::string key_id;
    uint64_t generation = 0;  // of the manifest when it was looked at, or changed here
  };
  enum class Outcome { done, not_needed, later };
  Result<Known> known(const TapeRow& row);
  Status begin();  // mutex_ is held
  void run();
  Result<std::vector<TapeRow>> tapes_to_do();
  Result<Outcome> rotate(const TapeRow& row);
  void note_failure(const TapeRow& row, const Error& why);
  bool pause(int64_t ms);  // false: stopping

  const Env env_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<Uuid, Known> known_;
  RotationProgress progress_;
  bool stopping_ = false;
  std::unique_ptr<WorkerPool> worker_;
};

}  // namespace coldshelf
