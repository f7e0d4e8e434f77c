#include "gateway/api_doors.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "gateway/api/roles.h"
#include "gateway/units.h"

namespace coldshelf {

namespace {

constexpr const char* kAuditHeadSetting = "audit_head";
constexpr unsigned kHttpsConnections = 256;
constexpr size_t kMaxNames = 64;

HttpServerOptions with_lanes() {
  HttpServerOptions options;
  options.lanes.resize(api::kLanes);
  const auto lane = [&options](api::Lane which) -> HttpLane& {
    return options.lanes[static_cast<size_t>(which)];
  };
  // Together fewer than the connections there may be.
  lane(api::Lane::change) = HttpLane{8, 32};
  lane(api::Lane::ask) = HttpLane{4, 12};
  options.lane_of = [](std::string_view target) {
    return static_cast<size_t>(api::lane_of(target));
  };
  return options;
}

// What a client may call this machine: the names of a self-signed certificate.
std::vector<std::string> own_names(const std::string& listen_host) {
  std::vector<std::string> out = {"localhost", "127.0.0.1", "::1"};
  const auto add = [&](const std::string& name) {
    if (!name.empty() && out.size() < kMaxNames &&
        std::find(out.begin(), out.end(), name) == out.end()) {
      out.push_back(name);
    }
  };
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) add(host);
  if (listen_host != "0.0.0.0" && listen_host != "::") {
    add(listen_host);
    return out;
  }
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      add(::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text) != nullptr ? text : "");
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      add(::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text) != nullptr ? text : "");
    }
  }
  ::freeifaddrs(all);
  return out;
}

}  // namespace

Result<std::unique_ptr<ApiDoors>> ApiDoors::open(const Config& config, const Env& env) {
  std::unique_ptr<ApiDoors> out(new ApiDoors(config, env));
  const std::string directory = config.api_dir();
  ASSIGN_OR_RETURN(out->keys_, AccessKeys::open(*env.files, *env.clock, *env.random, directory));
  ASSIGN_OR_RETURN(out->chap_, ChapRegistry::open(*env.files, *env.random, out->keys_->box(),
                                                  join_path(directory, "chap.json")));
  AuditLog::Options audit;
  audit.directory = join_path(config.gateway.data_dir, "audit");
  audit.load_head = [catalog = env.catalog]() -> Result<std::string> {
    ASSIGN_OR_RETURN(const auto found, catalog->setting(kAuditHeadSetting));
    return found.value_or("");
  };
  audit.save_head = [catalog = env.catalog](const std::string& head) {
    return catalog->set_setting(kAuditHeadSetting, head);
  };
  ASSIGN_OR_RETURN(out->audit_, AuditLog::open(*env.files, *env.clock, audit));
  return out;
}

ApiDoors::~ApiDoors() { stop(); }

Status ApiDoors::start(api::Service& service) {
  api::FrontDoor::Env env;
  env.service = &service;
  env.keys = keys_.get();
  env.audit = audit_.get();
  env.clock = env_.clock;
  env.random = env_.random;
  env.session_idle_ms = config_.api.session_idle_ms;
  front_door_ = std::make_unique<api::FrontDoor>(env);
  const HttpHandler handler = [this](const ApiRequest& request) {
    return front_door_->handle(request);
  };
  HttpServerOptions options = with_lanes();
  options.socket_path = config_.api.socket;
  ASSIGN_OR_RETURN(socket_, HttpServer::start(options, handler));
  log_info("gateway", "management API", {{"socket", config_.api.socket}});
  if (config_.api.listen.empty()) return {};
  Status https = start_https(handler);
  if (https.ok() || config_.api.listen != Config::Api().listen) return https;
  // Nobody asked for this port: a second gateway on a machine works without it.
  log_warning("gateway", "no HTTPS: set api.listen", {{"error", https.error().message()}});
  return {};
}

// A self-signed certificate is kept, clients trust it by its file; api.listen may have become
// another address since it was made.
void ApiDoors::warn_of_missing_names(const std::vector<std::string>& names) const {
  const auto missing = names_missing(*env_.files, identity_.certificate_file, names);
  if (!missing.ok() || missing->empty()) return;
  std::string text;
  for (const std::string& name : *missing) text += (text.empty() ? "" : ", ") + name;
  log_warning("gateway",
              "the API's certificate is not for every name of this machine; remove it and start "
              "again for a new one, and give that to the clients",
              {{"file", identity_.certificate_file}, {"missing", text}});
}

Status ApiDoors::start_https(const HttpHandler& handler) {
  if (config_.api.certificate_file.empty()) {
    ASSIGN_OR_RETURN(const HostPort where, parse_listen_address(config_.api.listen, 0));
    const std::vector<std::string> names = own_names(where.host);
    ASSIGN_OR_RETURN(identity_,
                     self_signed_identity(*env_.files, *env_.clock, *env_.random, config_.api_dir(),
                                          config_.gateway.name, names));
    warn_of_missing_names(names);
  } else {
    ASSIGN_OR_RETURN(identity_, load_tls_identity(*env_.files, config_.api.certificate_file,
                                                  config_.api.key_file));
  }
  HttpServerOptions options = with_lanes();
  options.listen = config_.api.listen;
  options.certificate_file = identity_.certificate_file;
  options.key_file = identity_.key_file;
  options.max_connections = kHttpsConnections;
  ASSIGN_OR_RETURN(https_, HttpServer::start(options, handler));
  log_info("gateway", "management API",
           {{"https", https_->endpoint()},
            {"certificate", identity_.certificate_file},
            {"sha256", identity_.fingerprint},
            {"expires", format_utc(identity_.not_after_ms)}});
  return {};
}

void ApiDoors::stop() {
  if (https_) https_->stop();
  if (socket_) socket_->stop();
}

}  // namespace coldshelf
