#include "uploader/cloud/credentials.h"

namespace coldshelf {

namespace {

class StaticCredentials final : public CredentialsProvider {
 public:
  explicit StaticCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  Result<Credentials> get() override {
    if (credentials_.access_key_id.empty() || credentials_.secret_access_key.empty()) {
      return Error(ErrorCode::permission, "credentials: the configured access key is not complete");
    }
    return credentials_;
  }
  void expire() override {}

 private:
  const Credentials credentials_;
};

}  // namespace

std::unique_ptr<CredentialsProvider> make_static_credentials(Credentials credentials) {
  return std::make_unique<StaticCredentials>(std::move(credentials));
}

}  // namespace coldshelf
