#include "snapshot/ebs_image.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <variant>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

// The models of the EBS direct APIs; EC2's limits are 128 and 256.
constexpr size_t kMaxEbsTagKey = 127;
constexpr size_t kMaxEbsTagValue = 255;

size_t characters(const std::string& utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
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

// What stands under which name, for reading and writing alike. What is missing, or of another type,
// is what a new T has.
template <typename T>
struct Field {
  const char* name;
  std::variant<std::string T::*, uint64_t T::*, int64_t T::*, bool T::*,
               std::map<std::string, std::string> T::*>
      member;
};

constexpr Field<EbsSource> kSourceFields[] = {{"volume", &EbsSource::volume},
                                              {"region", &EbsSource::region},
                                              {"account", &EbsSource::account}};
constexpr Field<PullUnderWay> kPullFields[] = {
    {"snapshot", &PullUnderWay::snapshot},      {"base", &PullUnderWay::base},
    {"next", &PullUnderWay::next_block},        {"listed", &PullUnderWay::listed_blocks},
    {"fetched", &PullUnderWay::fetched_blocks}, {"stored", &PullUnderWay::stored_blocks},
    {"removed", &PullUnderWay::removed_blocks}};
constexpr Field<EbsPoint> kPointFields[] = {
    {"snapshot", &EbsPoint::snapshot},      {"base", &EbsPoint::base},
    {"volume", &EbsPoint::volume},          {"description", &EbsPoint::description},
    {"kms_key", &EbsPoint::kms_key},        {"started_ms", &EbsPoint::started_ms},
    {"pulled_ms", &EbsPoint::pulled_ms},    {"gib", &EbsPoint::volume_gib},
    {"encrypted", &EbsPoint::encrypted},    {"listed", &EbsPoint::listed_blocks},
    {"fetched", &EbsPoint::fetched_blocks}, {"stored", &EbsPoint::stored_blocks},
    {"removed", &EbsPoint::removed_blocks}, {"tags", &EbsPoint::tags}};

void take(const Json& from, std::string& to) {
  if (from.is_string()) to = from.get<std::string>();
}
void take(const Json& from, uint64_t& to) {
  if (from.is_number_unsigned()) to = from.get<uint64_t>();
}
void take(const Json& from, int64_t& to) {
  if (from.is_number_integer()) to = from.get<int64_t>();
}
void take(const Json& from, bool& to) {
  if (from.is_boolean()) to = from.get<bool>();
}
void take(const Json& from, std::map<std::string, std::string>& to) {
  if (!from.is_object()) return;
  for (const auto& [key, value] : from.items()) {
    if (value.is_string()) to[key] = value.get<std::string>();
  }
}

template <typename T, size_t N>
T decode(const Json& json, const Field<T> (&fields)[N]) {
  T out;
  for (const Field<T>& field : fields) {
    const auto found = json.find(field.name);
    if (found == json.end()) continue;
    std::visit([&](auto member) { take(*found, out.*member); }, field.member);
  }
  return out;
}

template <typename T, size_t N>
std::string encode(const T& what, const Field<T> (&fields)[N]) {
  Json json = Json::object();
  for (const Field<T>& field : fields) {
    std::visit([&](auto member) { json[field.name] = what.*member; }, field.member);
  }
  return dump(json);
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
  return decode(json, kSourceFields);
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
      out.pull = decode(json, kPullFields);
    } else if (name.starts_with(kPropertyEbsPoint)) {
      const auto id = Uuid::parse(name.substr(kPropertyEbsPoint.size()));
      if (!id) return Error(ErrorCode::corrupt, "image: property " + name);
      // One whose recovery point was deleted by somebody who knows nothing of EBS counts no more.
      if (!all.contains(std::string(kPropertyPoint) + id->to_string())) continue;
      out.points.push_back(decode(json, kPointFields));
      out.points.back().point = *id;
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
  return {{std::string(kPropertyEbsSource), encode(source, kSourceFields)}};
}

Volume::Properties property_of(const PullUnderWay& pull) {
  return {{std::string(kPropertyEbsPull), encode(pull, kPullFields)}};
}

Volume::Properties property_of(const EbsPoint& point) {
  return {{std::string(kPropertyEbsPoint) + point.point.to_string(), encode(point, kPointFields)}};
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

std::map<std::string, std::string> tags_to_restore(const std::map<std::string, std::string>& tags) {
  std::map<std::string, std::string> out = tags;
  std::erase_if(out, [](const auto& tag) {
    return tag.first.starts_with("aws:") || tag.first.starts_with("coldshelf:") ||
           characters(tag.first) > kMaxEbsTagKey || characters(tag.second) > kMaxEbsTagValue;
  });
  return out;
}

}  // namespace coldshelf
