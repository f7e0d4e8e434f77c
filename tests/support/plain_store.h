// A store without conditional writes, as some S3-compatible servers are.
#pragma once

#include "uploader/cloud/object_store.h"

namespace coldshelf::test {

class PlainStore final : public ObjectStore {
 public:
  explicit PlainStore(ObjectStore& inner) : inner_(inner) {}
  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override {
    if (options.condition != PutCondition::none) {
      return Error(ErrorCode::not_supported, "conditions are not honoured here");
    }
    return inner_.put(key, source, options);
  }
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override {
    return inner_.get(key, offset, out);
  }
  Result<ObjectInfo> head(const std::string& key) override { return inner_.head(key); }
  Result<ListPage> list(const std::string& prefix, const std::string& after,
                        size_t limit) override {
    return inner_.list(prefix, after, limit);
  }
  Result<FolderPage> list_folders(const std::string& prefix, const std::string& after,
                                  size_t limit) override {
    return inner_.list_folders(prefix, after, limit);
  }
  Status remove(const std::string& key) override { return inner_.remove(key); }
  Result<ObjectInfo> change_class(const std::string& key, StorageClass c) override {
    return inner_.change_class(key, c);
  }
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override {
    return inner_.restore(key, tier, days);
  }
  Status set_lock(const std::string& key, const ObjectLock& lock) override {
    return inner_.set_lock(key, lock);
  }
  Result<ObjectLock> lock_of(const std::string& key) override { return inner_.lock_of(key); }
  Result<StoreCapabilities> capabilities() override {
    ASSIGN_OR_RETURN(StoreCapabilities found, inner_.capabilities());
    found.conditional_put = false;
    return found;
  }
  Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) override {
    return inner_.abort_unfinished(prefix, age_ms);
  }
  std::string describe() const override { return "plain " + inner_.describe(); }

 private:
  ObjectStore& inner_;
};

}  // namespace coldshelf::test
