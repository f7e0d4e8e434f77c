// The small documents that say who may write what, as JSON.
#include <nlohmann/json.hpp>

#include "uploader/ownership.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr int kDocumentFormat = 1;
constexpr uint64_t kDocumentLimit = 64 * KiB;
// A reader's clock may be ahead of the writer's by this much before a living lease looks dead.
constexpr int64_t kClockMarginMs = 10'000;

Buffer dump(const Json& document) { return to_buffer(as_view(document.dump(1) + "\n")); }

// Fields of the wrong kind are damage, and so is their absence.
Result<Json> parse(ByteView document, const char* what) {
  Json parsed = Json::parse(as_text(document), nullptr, false);
  if (!parsed.is_object() || !parsed.contains("format") || !parsed["format"].is_number_unsigned()) {
    return Error(ErrorCode::corrupt, std::string(what) + ": not a JSON document with a format");
  }
  if (parsed["format"].get<uint64_t>() > kDocumentFormat) {
    return Error(ErrorCode::unsupported_version,
                 std::string(what) + " has format " + parsed["format"].dump() +
                     ", made by a newer coldshelf; this one knows up to " +
                     std::to_string(kDocumentFormat));
  }
  return parsed;
}

Result<std::string> text_of(const Json& document, const char* name, const char* what) {
  if (document.contains(name) && document[name].is_string()) {
    return document[name].get<std::string>();
  }
  return Error(ErrorCode::corrupt, std::string(what) + ": no text \"" + name + "\"");
}

Result<uint64_t> number_of(const Json& document, const char* name, const char* what) {
  if (document.contains(name) && document[name].is_number_unsigned()) {
    return document[name].get<uint64_t>();
  }
  return Error(ErrorCode::corrupt, std::string(what) + ": no number \"" + name + "\"");
}

}  // namespace

std::string lease_key(const std::string& gateway) {
  return std::string(kGatewaysPrefix) + gateway + "/lease";
}
std::string inventory_key(const std::string& gateway) {
  return std::string(kGatewaysPrefix) + gateway + "/inventory";
}
std::string owner_key(const Uuid& cartridge) {
  return std::string(kCartridgesPrefix) + cartridge.to_string() + "/owner";
}
std::string barcode_key(const std::string& barcode) {
  return std::string(kBarcodesPrefix) + barcode;
}

std::string_view to_string(OwnerState state) {
  switch (state) {
    case OwnerState::owned:
      return "owned";
    case OwnerState::shelved:
      return "shelved";
    case OwnerState::deleting:
      return "deleting";
  }
  return "unknown";
}

bool Lease::alive(int64_t now_unix_ms) const {
  return expires_unix_ms != 0 && now_unix_ms < expires_unix_ms + kClockMarginMs;
}

Buffer encode_lease(const Lease& lease) {
  return dump({{"format", kDocumentFormat},
               {"gateway", lease.gateway},
               {"name", lease.name},
               {"host", lease.host},
               {"instance", lease.instance},
               {"epoch", lease.epoch},
               {"expires_unix_ms", static_cast<uint64_t>(lease.expires_unix_ms)}});
}

Result<Lease> decode_lease(ByteView document) {
  constexpr const char* kWhat = "lease";
  ASSIGN_OR_RETURN(const Json json, parse(document, kWhat));
  Lease lease;
  ASSIGN_OR_RETURN(lease.gateway, text_of(json, "gateway", kWhat));
  ASSIGN_OR_RETURN(lease.name, text_of(json, "name", kWhat));
  ASSIGN_OR_RETURN(lease.host, text_of(json, "host", kWhat));
  ASSIGN_OR_RETURN(lease.instance, text_of(json, "instance", kWhat));
  ASSIGN_OR_RETURN(lease.epoch, number_of(json, "epoch", kWhat));
  ASSIGN_OR_RETURN(const uint64_t expires, number_of(json, "expires_unix_ms", kWhat));
  lease.expires_unix_ms = static_cast<int64_t>(std::min<uint64_t>(expires, INT64_MAX / 2));
  return lease;
}

Buffer encode_owner(const Owner& owner) {
  return dump({{"format", kDocumentFormat},
               {"gateway", owner.gateway},
               {"instance", owner.instance},
               {"epoch", owner.epoch},
               {"state", to_string(owner.state)},
               {"change", owner.change}});
}

Result<Owner> decode_owner(ByteView document) {
  constexpr const char* kWhat = "owner";
  ASSIGN_OR_RETURN(const Json json, parse(document, kWhat));
  Owner owner;
  ASSIGN_OR_RETURN(owner.gateway, text_of(json, "gateway", kWhat));
  ASSIGN_OR_RETURN(owner.instance, text_of(json, "instance", kWhat));
  ASSIGN_OR_RETURN(owner.epoch, number_of(json, "epoch", kWhat));
  if (json.contains("change")) {  // older ones do not count
    ASSIGN_OR_RETURN(owner.change, number_of(json, "change", kWhat));
  }
  ASSIGN_OR_RETURN(const std::string state, text_of(json, "state", kWhat));
  for (const OwnerState known : {OwnerState::owned, OwnerState::shelved, OwnerState::deleting}) {
    if (state != to_string(known)) continue;
    owner.state = known;
    return owner;
  }
  return Error(ErrorCode::corrupt, "owner: no state is called \"" + state + "\"");
}

Buffer encode_barcode(const BarcodeClaim& claim) {
  return dump({{"format", kDocumentFormat},
               {"barcode", claim.barcode},
               {"cartridge", claim.cartridge.to_string()},
               {"gateway", claim.gateway}});
}

Result<BarcodeClaim> decode_barcode(ByteView document) {
  constexpr const char* kWhat = "barcode";
  ASSIGN_OR_RETURN(const Json json, parse(document, kWhat));
  BarcodeClaim claim;
  ASSIGN_OR_RETURN(claim.barcode, text_of(json, "barcode", kWhat));
  ASSIGN_OR_RETURN(claim.gateway, text_of(json, "gateway", kWhat));
  ASSIGN_OR_RETURN(const std::string uuid, text_of(json, "cartridge", kWhat));
  const auto parsed = Uuid::parse(uuid);
  if (!parsed) return Error(ErrorCode::corrupt, "barcode: \"" + uuid + "\" is no uuid");
  claim.cartridge = *parsed;
  return claim;
}

PutSource source_of(ByteView bytes) {
  PutSource source;
  source.bytes = bytes;
  source.size = bytes.size();
  source.sha256 = Sha256::of(bytes);
  return source;
}

Result<Versioned> read_versioned(ObjectStore& store, const std::string& key, uint64_t limit) {
  Versioned out;
  for (int attempt = 0; attempt < 3; ++attempt) {
    ASSIGN_OR_RETURN(out.info, store.head(key));
    if (out.info.size > limit) {
      return Error(ErrorCode::out_of_range, key + " has " + std::to_string(out.info.size) +
                                                " bytes, expected at most " +
                                                std::to_string(limit));
    }
    out.content.resize(static_cast<size_t>(out.info.size));
    const Status got = store.get(key, 0, out.content);
    // A shorter one in its place now: look again.
    if (!got.ok() && got.error().code != ErrorCode::out_of_range) return got.error();
    if (got.ok() && out.info.sha256 && Sha256::of(out.content) == *out.info.sha256) return out;
    if (got.ok() && !out.info.sha256) {
      ASSIGN_OR_RETURN(const ObjectInfo after, store.head(key));
      if (after.etag == out.info.etag) return out;
    }
  }
  // It changed each time, or its bytes do not have the digest the store tells.
  return Error(ErrorCode::corrupt, key + ": what the store gave does not match its digest");
}

Result<std::map<std::string, std::optional<Lease>>> read_leases(ObjectStore& store) {
  std::map<std::string, std::optional<Lease>> out;
  std::string after;
  do {
    ASSIGN_OR_RETURN(const auto page,
                     store.list_folders(std::string(kGatewaysPrefix), after, 1'000));
    for (const std::string& id : page.names) {
      Result<Versioned> found = read_versioned(store, lease_key(id), kDocumentLimit);
      if (!found.ok() && found.error().code != ErrorCode::not_found) return found.error();
      out[id] = std::nullopt;
      if (!found.ok()) continue;
      ASSIGN_OR_RETURN(Lease lease, decode_lease(found->content));
      lease.etag = found->info.etag;
      out[id] = std::move(lease);
    }
    after = page.next;
  } while (!after.empty());
  return out;
}

}  // namespace coldshelf
