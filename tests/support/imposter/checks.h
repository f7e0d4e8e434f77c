// What a strict server checks of a request before it believes a byte of it. Written against AWS's
// documents, with OpenSSL and tables of its own: none of the project's signing or checksum code.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tests/support/imposter/message.h"
#include "tests/support/imposter/sigv4.h"

namespace coldshelf::test::imposter {

// The answer to a request whose signature, date, scope or token is wrong.
std::optional<Response> check_signature(const Request& request,
                                        const std::map<std::string, Key>& keys,
                                        const std::string& region, int64_t now_ms);

// x-amz-checksum-NAME of `bytes`, base64. crc32, crc32c, crc64nvme, sha1, sha256.
std::optional<std::string> checksum_of(const std::string& name, const Blob& bytes);
std::string raw_checksum_to_composite(const std::string& name,
                                      const std::vector<std::string>& base64_of_parts);

// Takes the aws-chunked coding off request.body. The answer when it is malformed.
std::optional<Response> decode_aws_chunked(Request& request);

// Of request.content: payload hash, Content-MD5, checksums in headers and trailers. What the client
// sent of checksums and was right is in `verified`.
std::optional<Response> check_body(const Request& request, const ImposterSupport& support,
                                   Headers& verified);

std::string md5_hex(const Blob& bytes);

}  // namespace coldshelf::test::imposter
