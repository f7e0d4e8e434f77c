#include "snapshot/ebs_image.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

std::string text(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t number(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

int64_t time_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

Result<Json> object_of(const std::string& name, const std::string& value) {
  Json json = Json::parse(value, nullptr, false);
  if (!json.is_object()) return Error(ErrorCode::corrupt, "image: property " + name);
  return json;
}

// Text from elsewhere (descriptions, tags) may be no UTF-8.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

EbsPoint point_of(const Uuid& id, const Json& json) {
  EbsPoint out;
  out.point = id;
  out.snapshot = text(json, "snapshot");
  out.base = text(json, "base");
  out.volume = text(json, "volume");
  out.description = text(json, "description");
  out.kms_key = text(json, "kms_key");
  out.started_ms = time_of(json, "started_ms");
  out.pulled_ms = time_of(json, "pulled_ms");
  out.volume_gib = number(json, "gib");
  const auto encrypted = json.find("encrypted");
  out.encrypted = encrypted != json.end() && encrypted->is_boolean() && encrypted->get<bool>();
  out.listed_blocks = number(json, "listed");
  out.fetched_blocks = number(json, "fetched");
  out.stored_blocks = number(json, "stored");
  out.removed_blocks = number(json, "removed");
  const auto tags = json.find("tags");
  if (tags != json.end() && tags->is_object()) {
    for (const auto& [key, value] : tags->items()) {
      if (value.is_string()) out.tags[key] = value.get<std::string>();
    }
  }
  return out;
}

PullUnderWay pull_of(const Json& json) {
  PullUnderWay out;
  out.snapshot = text(json, "snapshot");
  out.base = text(json, "base");
  out.next_block = number(json, "next");
  out.listed_blocks = number(json, "listed");
  out.fetched_blocks = number(json, "fetched");
  out.stored_blocks = number(json, "stored");
  out.removed_blocks = number(json, "removed");
  return out;
}

}  // namespace

const EbsPoint* EbsImage::find(const std::string& snapshot) const {
  const auto at = std::find_if(points.begin(), points.end(),
                               [&](const EbsPoint& p) { return p.snapshot == snapshot; });
  return at == points.end() ? nullptr : &*at;
}

const EbsPoint* EbsImage::find(const Uuid& point) const {
  const auto at = std::find_if(points.begin(), points.end(),
                               [&](const EbsPoint& p) { return p.point == point; });
  return at == points.end() ? nullptr : &*at;
}

Result<EbsSource> parse_ebs_source(const std::string& value) {
  ASSIGN_OR_RETURN(const Json json, object_of(std::string(kPropertyEbsSource), value));
  return EbsSource{text(json, "volume"), text(json, "region"), text(json, "account")};
}

Result<EbsImage> read_ebs_image(const Manifest& manifest) {
  EbsImage out;
  const auto& all = manifest.properties;
  for (auto at = all.lower_bound("ebs."); at != all.end() && at->first.starts_with("ebs."); ++at) {
    const std::string& name = at->first;
    const std::string& value = at->second;
    if (name == kPropertyEbsHead) {
      out.head = value;
      continue;
    }
    ASSIGN_OR_RETURN(const Json json, object_of(name, value));
    if (name == kPropertyEbsSource) {
      ASSIGN_OR_RETURN(out.source, parse_ebs_source(value));
    } else if (name == kPropertyEbsPull) {
      out.pull = pull_of(json);
    } else if (name.starts_with(kPropertyEbsPoint)) {
      const auto id = Uuid::parse(name.substr(kPropertyEbsPoint.size()));
      if (!id) return Error(ErrorCode::corrupt, "image: property " + name);
      // One whose recovery point was deleted by somebody who knows nothing of EBS counts no more.
      if (!all.contains(std::string(kPropertyPoint) + id->to_string())) continue;
      out.points.push_back(point_of(*id, json));
    } else if (name.starts_with(kPropertyEbsPushed)) {
      const auto id = Uuid::parse(name.substr(kPropertyEbsPushed.size()));
      if (!id) return Error(ErrorCode::corrupt, "image: property " + name);
      for (const auto& [snapshot, unused] : json.items()) out.pushed[*id].push_back(snapshot);
    }
  }
  if (out.find(out.head) == nullptr) out.head.clear();
  std::stable_sort(out.points.begin(), out.points.end(), [](const EbsPoint& a, const EbsPoint& b) {
    return a.started_ms < b.started_ms;
  });
  return out;
}

Volume::Properties property_of(const EbsSource& source) {
  const Json json = {
      {"volume", source.volume}, {"region", source.region}, {"account", source.account}};
  return {{std::string(kPropertyEbsSource), dump(json)}};
}

Volume::Properties property_of(const PullUnderWay& pull) {
  const Json json = {{"snapshot", pull.snapshot},      {"base", pull.base},
                     {"next", pull.next_block},        {"listed", pull.listed_blocks},
                     {"fetched", pull.fetched_blocks}, {"stored", pull.stored_blocks},
                     {"removed", pull.removed_blocks}};
  return {{std::string(kPropertyEbsPull), dump(json)}};
}

Volume::Properties property_of(const EbsPoint& point) {
  Json json = {{"snapshot", point.snapshot},      {"base", point.base},
               {"volume", point.volume},          {"description", point.description},
               {"started_ms", point.started_ms},  {"pulled_ms", point.pulled_ms},
               {"gib", point.volume_gib},         {"encrypted", point.encrypted},
               {"kms_key", point.kms_key},        {"listed", point.listed_blocks},
               {"fetched", point.fetched_blocks}, {"stored", point.stored_blocks},
               {"removed", point.removed_blocks}};
  json["tags"] = Json::object();
  for (const auto& [key, value] : point.tags) json["tags"][key] = value;
  return {{std::string(kPropertyEbsPoint) + point.point.to_string(), dump(json)}};
}

Volume::Properties property_of_pushed(const Uuid& point,
                                      const std::vector<std::string>& snapshots) {
  Json json = Json::object();
  for (const std::string& snapshot : snapshots) json[snapshot] = true;
  return {{std::string(kPropertyEbsPushed) + point.to_string(), dump(json)}};
}

Volume::Properties without_point(const Uuid& point) {
  return {{std::string(kPropertyEbsPoint) + point.to_string(), ""},
          {std::string(kPropertyEbsPushed) + point.to_string(), ""}};
}

}  // namespace coldshelf
