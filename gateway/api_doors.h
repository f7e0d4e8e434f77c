// The management API's two doors, the Unix socket and HTTPS, and what they need: certificate,
// access keys, audit log.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "catalog/catalog.h"
#include "gateway/api/access_keys.h"
#include "gateway/api/audit_log.h"
#include "gateway/api/front_door.h"
#include "gateway/api/tls_identity.h"
#include "gateway/chap_registry.h"
#include "gateway/config.h"

namespace coldshelf {

class ApiDoors {
 public:
  struct Env {
    FileSystem* files = nullptr;
    Clock* clock = nullptr;
    Random* random = nullptr;  // thread-safe
    Catalog* catalog = nullptr;
  };
  // Reads keys and audit log; nothing listens yet.
  static Result<std::unique_ptr<ApiDoors>> open(const Config& config, const Env& env);
  ~ApiDoors();  // stop()

  Status start(api::Service& service);
  void stop();

  AccessKeys& keys() { return *keys_; }
  AuditLog& audit() { return *audit_; }
  ChapRegistry& chap() { return *chap_; }
  // Of HTTPS, as bound; "" when it is switched off.
  std::string endpoint() const { return https_ ? https_->endpoint() : std::string(); }
  const TlsIdentity& identity() const { return identity_; }

 private:
  ApiDoors(const Config& config, const Env& env) : config_(config), env_(env) {}
  Status start_https(const HttpHandler& handler);
  void warn_of_missing_names(const std::vector<std::string>& names) const;

  const Config config_;
  const Env env_;
  TlsIdentity identity_;
  std::unique_ptr<AccessKeys> keys_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<ChapRegistry> chap_;
  std::unique_ptr<api::FrontDoor> front_door_;
  std::unique_ptr<HttpServer> socket_;
  std::unique_ptr<HttpServer> https_;
};

}  // namespace coldshelf
