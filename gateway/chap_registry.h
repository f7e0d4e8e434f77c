// CHAP credentials of single targets, set through the management API: which initiator proves what,
// and what the target proves to it. Kept sealed in <data>/api/chap.json (0600), and applied to the
// iSCSI server at once: sessions that are open stay. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"
#include "gateway/api/secret_box.h"
#include "target/iscsi/target_chap.h"

namespace coldshelf {

class ChapRegistry {
 public:
  static constexpr size_t kMinSecretBytes = 12;  // RFC 7143 9.2.1
  static constexpr size_t kMaxSecretBytes = 16;  // what initiators of Windows take, and AWS
  static constexpr size_t kMaxInitiators = 64;   // of a target

  static Result<std::unique_ptr<ChapRegistry>> open(FileSystem& files, Random& random,
                                                    const SecretBox& box, const std::string& path);

  using Apply = std::function<void(const std::string& iqn, std::vector<iscsi::TargetChap>)>;
  // Told of each change from now on.
  void apply_to(Apply apply);

  std::map<std::string, std::vector<iscsi::TargetChap>> all() const;  // by target
  std::vector<iscsi::TargetChap> list(const std::string& iqn) const;
  // New or instead of the initiator's old ones.
  Status put(const std::string& iqn, const iscsi::TargetChap& chap);
  Status remove(const std::string& iqn, const std::string& initiator);  // not_found
  Status forget(const std::string& iqn);  // all of a target that is gone; ok when there are none

 private:
  using Targets = std::map<std::string, std::vector<iscsi::TargetChap>>;
  ChapRegistry(FileSystem& files, Random& random, const SecretBox& box, std::string path)
      : files_(files), random_(random), box_(box), path_(std::move(path)) {}
  Status load();
  Status replace(Targets targets, const std::string& iqn);

  FileSystem& files_;
  Random& random_;
  const SecretBox& box_;
  const std::string path_;
  mutable std::mutex mutex_;
  Targets targets_;
  Apply apply_;
};

}  // namespace coldshelf
