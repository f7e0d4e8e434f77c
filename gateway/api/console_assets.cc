#include "gateway/api/console_assets.h"

#include <isa-l/igzip_lib.h>

#include "base/sha256.h"

namespace coldshelf {

namespace {

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
};

constexpr const char* kContentPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'";

std::string content_type_of(std::string_view name) {
  for (const auto& [suffix, type] : kTypes) {
    if (name.ends_with(suffix)) return std::string(type);
  }
  return "application/octet-stream";
}

// Empty when it would not be smaller.
std::string gzip(std::string_view plain) {
  std::string out(plain.size() + 1024, '\0');
  Buffer work(ISAL_DEF_LVL3_DEFAULT);
  isal_zstream stream{};
  isal_deflate_stateless_init(&stream);
  stream.level = 3;
  stream.level_buf = reinterpret_cast<uint8_t*>(work.data());
  stream.level_buf_size = static_cast<uint32_t>(work.size());
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.flush = NO_FLUSH;
  // ISA-L's interface has no const; the input is not written to.
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(plain.data()));  // NOLINT
  stream.avail_in = static_cast<uint32_t>(plain.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK || stream.avail_in != 0) return {};
  out.resize(stream.total_out);
  return out.size() < plain.size() ? out : std::string();
}

// "gzip" among "br;q=1.0, gzip;q=0.8"; not when its q is 0.
bool takes_gzip(std::string_view accepted) {
  const size_t at = accepted.find("gzip");
  if (at == std::string_view::npos) return false;
  const std::string_view rest = accepted.substr(at + 4, accepted.find(',', at) - at - 4);
  return rest.find("q=0") == std::string_view::npos || rest.find("q=0.") != std::string_view::npos;
}

}  // namespace

void add_browser_headers(ApiResponse& response) {
  response.headers.insert(response.headers.end(),
                          {{"Content-Security-Policy", kContentPolicy},
                           {"X-Content-Type-Options", "nosniff"},
                           {"X-Frame-Options", "DENY"},
                           {"Referrer-Policy", "no-referrer"},
                           {"Cross-Origin-Opener-Policy", "same-origin"},
                           {"Cross-Origin-Resource-Policy", "same-origin"}});
}

ConsoleAssets::ConsoleAssets(std::span<const EmbeddedFile> files) {
  for (const EmbeddedFile& file : files) {
    Asset asset;
    asset.plain.assign(reinterpret_cast<const char*>(file.data), file.size);
    asset.content_type = content_type_of(file.name);
    asset.etag = "\"" + to_hex(Sha256::of(as_view(asset.plain))).substr(0, 32) + "\"";
    asset.gzip = gzip(asset.plain);
    assets_["/" + std::string(file.name)] = std::move(asset);
  }
}

ApiResponse ConsoleAssets::get(const ApiRequest& request) const {
  ApiResponse out;
  const auto at = assets_.find(request.path == "/" ? "/index.html" : request.path);
  if (at == assets_.end()) {
    out.status = 404;
    out.content_type = "text/plain; charset=utf-8";
    out.body = "there is nothing here\n";
    add_browser_headers(out);
    return out;
  }
  const Asset& asset = at->second;
  out.content_type = asset.content_type;
  // Kept, but asked for again each time: a new version shows at once.
  out.headers = {{"ETag", asset.etag}, {"Cache-Control", "no-cache"}, {"Vary", "Accept-Encoding"}};
  add_browser_headers(out);
  if (request.header("if-none-match").find(asset.etag) != std::string_view::npos) {
    out.status = 304;
    return out;
  }
  if (!asset.gzip.empty() && takes_gzip(request.header("accept-encoding"))) {
    out.headers.emplace_back("Content-Encoding", "gzip");
    out.body = asset.gzip;
  } else {
    out.body = asset.plain;
  }
  return out;
}

}  // namespace coldshelf
