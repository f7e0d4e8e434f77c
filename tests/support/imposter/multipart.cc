// Multipart uploads.
#include <algorithm>
#include <pugixml.hpp>

#include "tests/support/imposter/checks.h"
#include "tests/support/imposter/service.h"

namespace coldshelf::test::imposter {

namespace {

constexpr unsigned kMaxParts = 10'000;

bool part_number(const Request& request, unsigned& out) {
  const std::string text = request.query_value("partNumber");
  if (text.empty() || text.size() > 5 ||
      text.find_first_not_of("0123456789") != std::string::npos) {
    return false;
  }
  out = static_cast<unsigned>(std::stoul(text));
  return out >= 1 && out <= kMaxParts;
}

// "x-amz-checksum-sha256" -> "ChecksumSHA256", as CompleteMultipartUpload's XML names it.
std::string xml_name(const std::string& algorithm) {
  std::string upper = algorithm;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return "Checksum" + upper;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

Service::Refusal Service::find_upload(Bucket& b, const Request& request, Upload*& out) const {
  const auto it = b.uploads.find(request.query_value("uploadId"));
  if (it == b.uploads.end() || it->second.key != request.key) {
    return error_response("NoSuchUpload",
                          "The specified upload does not exist. The upload ID may be invalid, or "
                          "the upload may have been aborted or completed.");
  }
  out = &it->second;
  return std::nullopt;
}

Response Service::create_multipart(Bucket& b, const Request& request) {
  Upload upload;
  upload.key = request.key;
  if (auto wrong = read_attributes(b, request, {}, upload.object)) return *wrong;
  upload.initiated_ms = now_ms();
  if (support_.checksums == S3Support::yes) {
    upload.checksum = lower(request.header("x-amz-checksum-algorithm"));
    const std::string type = request.header("x-amz-checksum-type");
    const bool sha = upload.checksum == "sha256" || upload.checksum == "sha1";
    upload.full_object = type == "FULL_OBJECT" || upload.checksum == "crc64nvme";
    if (upload.full_object && sha) {
      return error_response("InvalidRequest",
                            "The FULL_OBJECT checksum type cannot be used with this algorithm");
    }
  } else if (support_.checksums == S3Support::refused &&
             request.has_header("x-amz-checksum-algorithm")) {
    return error_response("NotImplemented", "checksums are not done here");
  }
  const std::string id = new_id("upload-");
  Response response = xml_response(
      "InitiateMultipartUploadResult",
      element("Bucket", request.bucket) + element("Key", request.key) + element("UploadId", id));
  b.uploads.emplace(id, std::move(upload));
  return response;
}

Response Service::upload_part(Bucket& b, const Request& request, const Headers& checksums) {
  unsigned number = 0;
  if (!part_number(request, number)) {
    return error_response("InvalidArgument", "Part number must be between 1 and 10000");
  }
  Upload* upload = nullptr;
  if (auto wrong = find_upload(b, request, upload)) return *wrong;
  if (request.content.size() > options_.put_limit_bytes) {
    return error_response("EntityTooLarge", "Your proposed upload exceeds the maximum");
  }
  // An upload that was created without an algorithm is S3's own CRC64NVME.
  const std::string kind = upload->checksum.empty() ? "crc64nvme" : upload->checksum;
  if (!checksums.empty() && checksums.count("x-amz-checksum-" + kind) == 0) {
    return error_response("InvalidRequest", "Checksum Type mismatch occurred");
  }
  Part part;
  part.content = request.content;
  part.etag = request.header("imposter-etag");
  part.checksums = checksums;
  part.modified_ms = now_ms();
  Response response;
  response.set("ETag", quoted(part.etag));
  for (const auto& [name, value] : checksums) response.set(name, value);
  upload->parts[number] = std::move(part);
  return response;
}

Response Service::upload_part_copy(Bucket& b, const Request& request) {
  unsigned number = 0;
  if (!part_number(request, number)) {
    return error_response("InvalidArgument", "Part number must be between 1 and 10000");
  }
  Upload* upload = nullptr;
  if (auto wrong = find_upload(b, request, upload)) return *wrong;
  const Version* source = nullptr;
  uint64_t offset = 0;
  uint64_t length = 0;
  if (auto wrong = find_source(request, source, offset, length)) return *wrong;
  Part part;
  Buffer bytes;
  bytes.reserve(length);
  source->content.each(offset, length, [&](ByteView view) {
    append(bytes, view);
    return true;
  });
  Result<Blob> stored = keep(Blob::in_memory(std::move(bytes)));
  if (!stored.ok()) return error_response("InternalError", stored.error().message());
  part.content = *stored;
  part.etag = md5_hex(part.content);
  if (!upload->checksum.empty()) {
    part.checksums["x-amz-checksum-" + upload->checksum] =
        checksum_of(upload->checksum, part.content).value_or("");
  }
  part.modified_ms = now_ms();
  Response response =
      xml_response("CopyPartResult", element("LastModified", format_utc(part.modified_ms)) +
                                         element("ETag", quoted(part.etag)));
  upload->parts[number] = std::move(part);
  return response;
}

Service::Refusal Service::finish_checksum(const Request& request, const Upload& upload,
                                          const std::vector<const Part*>& parts,
                                          Version& object) const {
  if (support_.checksums != S3Support::yes) return std::nullopt;
  const std::string name = "x-amz-checksum-" + upload.checksum;
  if (!upload.checksum.empty() && !upload.full_object) {
    std::vector<std::string> digests;
    for (const Part* part : parts) {
      const auto known = part->checksums.find(name);
      if (known == part->checksums.end()) {
        return error_response(
            "InvalidRequest",
            "The upload was created using a " + upload.checksum + " checksum: each part needs one");
      }
      digests.push_back(known->second);
    }
    object.checksums[name] = raw_checksum_to_composite(upload.checksum, digests);
    object.composite = true;
  } else if (!upload.checksum.empty()) {
    object.checksums[name] = checksum_of(upload.checksum, object.content).value_or("");
  }
  for (const auto& [header, value] : request.headers) {
    if (header.compare(0, 15, "x-amz-checksum-") != 0 || header == "x-amz-checksum-type") continue;
    const std::string algorithm = header.substr(15);
    std::string real = checksum_of(algorithm, object.content).value_or("");
    if (object.composite) real = object.checksums.begin()->second;
    if (value != real) {
      return error_response("BadDigest", "The " + header + " you specified did not match");
    }
  }
  return std::nullopt;
}

Service::Refusal Service::finish_upload(const Request& request, Upload& upload,
                                        const pugi::xml_document& body, Version& out) const {
  out = upload.object;
  std::vector<const Part*> parts;
  Buffer digests;
  unsigned before = 0;
  for (const pugi::xml_node& item : body.child("CompleteMultipartUpload").children("Part")) {
    const unsigned number = item.child("PartNumber").text().as_uint(0);
    if (number <= before) {
      return error_response("InvalidPartOrder", "The list of parts was not in ascending order");
    }
    before = number;
    const auto part = upload.parts.find(number);
    if (part == upload.parts.end() || unquoted(item.child_value("ETag")) != part->second.etag) {
      return error_response("InvalidPart", "One or more of the specified parts could not be found");
    }
    for (const auto& [name, value] : part->second.checksums) {
      const std::string told = item.child_value(xml_name(name.substr(15)).c_str());
      const bool needed = name.substr(15) == upload.checksum && !upload.full_object;
      if (told.empty() ? needed : told != value) {
        return error_response("InvalidPart", "a part's checksum is missing or another");
      }
    }
    if (!parts.empty() && parts.back()->content.size() < options_.min_part_bytes) {
      return error_response("EntityTooSmall",
                            "Your proposed upload is smaller than the minimum allowed size");
    }
    parts.push_back(&part->second);
    out.content.append(part->second.content);
    Buffer raw;
    from_hex(part->second.etag, raw);
    append(digests, raw);
  }
  if (parts.empty()) return error_response("MalformedXML", "no parts");
  out.etag = md5_hex(Blob::in_memory(std::move(digests))) + "-" + std::to_string(parts.size());
  return finish_checksum(request, upload, parts, out);
}

Response Service::complete_multipart(Bucket& b, const Request& request) {
  Upload* upload = nullptr;
  if (auto wrong = find_upload(b, request, upload)) return *wrong;
  pugi::xml_document body;
  if (!parse_xml(request.content, body) || !body.child("CompleteMultipartUpload")) {
    return error_response("MalformedXML", "The XML you provided was not well-formed");
  }
  Version object;
  if (auto wrong = finish_upload(request, *upload, body, object)) return *wrong;
  if (auto refusal = refuse_condition(b, request)) return *refusal;
  add_version(b, request.key, std::move(object));
  b.uploads.erase(request.query_value("uploadId"));
  const Version& stored = *current(b, request.key);
  std::string content = element("Location", "http://s3/" + request.bucket + "/" + request.key) +
                        element("Bucket", request.bucket) + element("Key", request.key) +
                        element("ETag", quoted(stored.etag));
  for (const auto& [name, value] : stored.checksums) {
    content += element(xml_name(name.substr(15)), value);
  }
  if (!stored.checksums.empty()) {
    content += element("ChecksumType", stored.composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  Response response = xml_response("CompleteMultipartUploadResult", content);
  if (!stored.id.empty()) response.set("x-amz-version-id", stored.id);
  return response;
}

Response Service::abort_multipart(Bucket& b, const Request& request) {
  Upload* upload = nullptr;
  if (auto wrong = find_upload(b, request, upload)) return *wrong;
  b.uploads.erase(request.query_value("uploadId"));
  Response response;
  response.status = 204;
  return response;
}

}  // namespace coldshelf::test::imposter
