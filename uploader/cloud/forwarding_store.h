// A store in front of another one. Here, and nowhere else, every operation is spelled out to be
// passed on; a decorator says what is done around each, and overrides those that it changes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/cloud/object_store.h"

namespace coldshelf {

enum class StoreCall { put, get, head, list, remove, copy, restore, lock, other };

struct StoreOperation {
  StoreCall call;
  const char* name;      // "put", "change_class"
  std::string_view key;  // or a prefix; of the first of many
  uint64_t bytes = 0;    // of content that is moved
};

// Decorator has, visible to this class and in its header,
//   template <typename Work>
//   auto pass(const StoreOperation& what, const Work& work) -> decltype(work());
// where work() asks the store behind.
template <typename Decorator>
class ForwardingStore : public ObjectStore {
 public:
  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override {
    return self().pass({StoreCall::put, "put", key, source.size},
                       [&] { return inner_.put(key, source, options); });
  }
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override {
    return self().pass({StoreCall::get, "get", key, out.size()},
                       [&] { return inner_.get(key, offset, out); });
  }
  Result<ObjectInfo> head(const std::string& key) override {
    return self().pass({StoreCall::head, "head", key}, [&] { return inner_.head(key); });
  }
  Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                        size_t limit) override {
    return self().pass({StoreCall::list, "list", prefix},
                       [&] { return inner_.list(prefix, continue_after, limit); });
  }
  Result<FolderPage> list_folders(const std::string& prefix, const std::string& continue_after,
                                  size_t limit) override {
    return self().pass({StoreCall::list, "list", prefix},
                       [&] { return inner_.list_folders(prefix, continue_after, limit); });
  }
  Status remove(const std::string& key) override {
    return self().pass({StoreCall::remove, "remove", key}, [&] { return inner_.remove(key); });
  }
  Status remove_all(const std::vector<std::string>& keys) override {
    const std::string_view first = keys.empty() ? std::string_view() : keys.front();
    return self().pass({StoreCall::remove, "remove", first},
                       [&] { return inner_.remove_all(keys); });
  }
  Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) override {
    return self().pass({StoreCall::copy, "change_class", key},
                       [&] { return inner_.change_class(key, storage_class); });
  }
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override {
    return self().pass({StoreCall::restore, "restore", key},
                       [&] { return inner_.restore(key, tier, days); });
  }
  Status set_lock(const std::string& key, const ObjectLock& lock) override {
    return self().pass({StoreCall::lock, "set_lock", key},
                       [&] { return inner_.set_lock(key, lock); });
  }
  Result<ObjectLock> lock_of(const std::string& key) override {
    return self().pass({StoreCall::lock, "lock_of", key}, [&] { return inner_.lock_of(key); });
  }
  Result<StoreCapabilities> capabilities() override {
    return self().pass({StoreCall::other, "capabilities", {}},
                       [&] { return inner_.capabilities(); });
  }
  Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) override {
    return self().pass({StoreCall::other, "abort_unfinished", prefix},
                       [&] { return inner_.abort_unfinished(prefix, age_ms); });
  }
  void give_up() override { inner_.give_up(); }
  std::string describe() const override { return inner_.describe(); }

 protected:
  explicit ForwardingStore(std::unique_ptr<ObjectStore> inner)
      : owned_(std::move(inner)), inner_(*owned_) {}
  explicit ForwardingStore(ObjectStore& inner) : inner_(inner) {}  // which outlives it
  ObjectStore& inner() { return inner_; }
  const ObjectStore& inner() const { return inner_; }

 private:
  Decorator& self() { return static_cast<Decorator&>(*this); }

  const std::unique_ptr<ObjectStore> owned_;
  ObjectStore& inner_;
};

}  // namespace coldshelf
