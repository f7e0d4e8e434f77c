// An HttpTransport whose every answer the test gives, and that remembers what was asked.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "uploader/cloud/http.h"

namespace coldshelf::test {

struct SeenRequest {
  std::string method;
  std::string url;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int64_t timeout_ms = 0;
  bool direct = false;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

inline HttpResponse http_answer(int status, std::string_view body) {
  HttpResponse out;
  out.status = status;
  out.body = to_buffer(as_view(body));
  return out;
}

class ScriptedHttp final : public HttpTransport {
 public:
  using Script = std::function<Result<HttpResponse>(const SeenRequest&)>;
  explicit ScriptedHttp(Script script) : script_(std::move(script)) {}

  Result<HttpResponse> perform(const HttpRequest& request) override {
    SeenRequest seen;
    seen.method = request.method;
    seen.url = request.url;
    for (const auto& [name, value] : request.headers) {
      std::string lower = name;
      for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      seen.headers[lower] = value;
    }
    seen.body = to_text(request.body);
    seen.timeout_ms = request.total_timeout_ms;
    seen.direct = request.direct;
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back(seen);
    }
    return script_(seen);
  }
  void give_up() override {}

  std::vector<SeenRequest> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  const Script script_;
  mutable std::mutex mutex_;
  std::vector<SeenRequest> seen_;
};

}  // namespace coldshelf::test
