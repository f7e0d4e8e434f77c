// Tags of tapes, pools, devices, volumes and the gateway.
#include "gateway/api/service.h"
#include "gateway/volume_service.h"

namespace coldshelf::api {

// [{"Key": ..., "Value": ...}], of "Tags".
Result<TagMap> tags_of(const Params& in) {
  TagMap out;
  if (!in.has("Tags")) return out;
  const Json& given = in.raw("Tags");
  if (!given.is_array()) return Error(ErrorCode::invalid_argument, "Tags must be a list");
  for (const Json& tag : given) {
    if (!tag.is_object()) return Error(ErrorCode::invalid_argument, "Tags must be objects");
    const Params one(tag);
    ASSIGN_OR_RETURN(const std::string key, one.text("Key"));
    ASSIGN_OR_RETURN(const std::string value, one.text("Value"));
    if (!out.emplace(key, value).second) {
      return Error(ErrorCode::invalid_argument, "the tag " + key + " is given twice");
    }
  }
  TRY(Tags::check(out));
  return out;
}

Json tags_json(const TagMap& tags) {
  Json out = Json::array();
  for (const auto& [key, value] : tags) out.push_back({{"Key", key}, {"Value", value}});
  return out;
}

// The part of an ARN behind the account, when there is such a resource.
Result<std::string> Service::resource_of(const std::string& arn) const {
  const auto none = [&] { return Error(ErrorCode::not_found, "there is no resource " + arn); };
  const std::string prefix = gateway_arn().substr(0, gateway_arn().find(":gateway/") + 1);
  if (!arn.starts_with(prefix)) return none();
  const std::string resource = arn.substr(prefix.size());
  if (resource.starts_with("tape/")) {
    TRY(env_.tapes->show(resource.substr(5)));
    return resource;
  }
  if (resource.starts_with("tapepool/")) {
    ASSIGN_OR_RETURN(const auto pool, catalog().pool(resource.substr(9)));
    if (!pool) return none();
    return resource;
  }
  const std::string own = "gateway/" + env_.gateway_id;
  if (resource == own) return resource;
  if (resource.starts_with(own + "/device/")) {
    TRY(device_of(arn));
    return resource;
  }
  if (resource.starts_with(own + "/volume/") && volume_of(arn).ok()) return resource;
  return none();
}

void Service::add_tag_operations() {
  if (env_.tags == nullptr) return;
  Tags& tags = *env_.tags;
  aws("AddTagsToResource", [this, &tags](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("ResourceARN"));
    ASSIGN_OR_RETURN(const TagMap added, tags_of(in));
    ASSIGN_OR_RETURN(const std::string resource, resource_of(arn));
    TRY(tags.add(resource, added));
    return Json{{"ResourceARN", arn}};
  });
  aws("RemoveTagsFromResource", [this, &tags](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("ResourceARN"));
    ASSIGN_OR_RETURN(const auto keys, in.texts("TagKeys"));
    ASSIGN_OR_RETURN(const std::string resource, resource_of(arn));
    TRY(tags.remove(resource, keys));
    return Json{{"ResourceARN", arn}};
  });
  aws("ListTagsForResource", [this, &tags](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("ResourceARN"));
    ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
    ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", Tags::kMaxTags, 1, INT32_MAX));
    ASSIGN_OR_RETURN(const std::string resource, resource_of(arn));
    ASSIGN_OR_RETURN(const TagMap all, tags.get(resource));
    TagMap page;
    Json out = {{"ResourceARN", arn}};
    for (auto at = all.upper_bound(marker); at != all.end(); ++at) {
      if (page.size() == limit) {
        out["Marker"] = page.rbegin()->first;
        break;
      }
      page.insert(*at);
    }
    out["Tags"] = tags_json(page);
    return out;
  });
}

}  // namespace coldshelf::api
