// The web console's files, which are part of the program (gateway/console/, embedded at build
// time).
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "gateway/api/http_server.h"

namespace coldshelf {

struct EmbeddedFile {
  std::string_view name;  // "index.html", "js/app.js"
  const unsigned char* data;
  size_t size;
};
std::span<const EmbeddedFile> console_files();  // generated: cmake/embed_files.cmake

class ConsoleAssets {
 public:
  explicit ConsoleAssets(std::span<const EmbeddedFile> files);

  // With ETag, gzip for who takes it, and a content policy that allows nothing from elsewhere and
  // nothing inline. 404 when there is no such file.
  ApiResponse get(const ApiRequest& request) const;

 private:
  struct Asset {
    std::string content_type, etag, plain, gzip;  // gzip: empty when it does not pay
  };
  std::map<std::string, Asset, std::less<>> assets_;  // by path: "/index.html"
};

// Headers of every answer a browser gets.
void add_browser_headers(ApiResponse& response);

}  // namespace coldshelf
