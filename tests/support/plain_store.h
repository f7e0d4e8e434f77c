// A store without conditional writes, as some S3-compatible servers are.
#pragma once

#include "uploader/cloud/forwarding_store.h"

namespace coldshelf::test {

class PlainStore final : public ForwardingStore<PlainStore> {
 public:
  explicit PlainStore(ObjectStore& inner) : ForwardingStore(inner) {}
  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override {
    if (options.condition != PutCondition::none) {
      return Error(ErrorCode::not_supported, "conditions are not honoured here");
    }
    return inner().put(key, source, options);
  }
  Result<StoreCapabilities> capabilities() override {
    ASSIGN_OR_RETURN(StoreCapabilities found, inner().capabilities());
    found.conditional_put = false;
    return found;
  }
  void give_up() override {}  // the store behind is the test's
  std::string describe() const override { return "plain " + inner().describe(); }

 private:
  friend class ForwardingStore<PlainStore>;
  template <typename Work>
  auto pass(const StoreOperation&, const Work& work) -> decltype(work()) {
    return work();
  }
};

}  // namespace coldshelf::test
