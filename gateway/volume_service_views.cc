// Looking volumes up, and what is shown of them.
#include <algorithm>

#include "gateway/volume_entry.h"

namespace coldshelf {

namespace {

constexpr size_t kIdDigits = 8;

}  // namespace

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

std::string property_or(const Manifest& manifest, std::string_view name, std::string otherwise) {
  const auto at = manifest.properties.find(std::string(name));
  return at == manifest.properties.end() ? std::move(otherwise) : at->second;
}

std::string volume_id_of(const Uuid& uuid) {
  std::string id = "vol-";
  for (const char c : uuid.to_string().substr(0, kIdDigits)) {
    id += static_cast<char>(c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c);
  }
  return id;
}

// -- one of them

Result<VolumeService::EntryPtr> VolumeService::find(const std::string& volume) {
  const std::string wanted = lower_case(volume);
  const auto uuid = Uuid::parse(volume);
  const std::lock_guard lock(mutex_);
  std::vector<EntryPtr> found;
  for (const auto& [id, entry] : entries_) {
    if (lower_case(entry->name) == wanted || (uuid && *uuid == id)) return entry;
    if (lower_case(volume_id_of(id)) == wanted) found.push_back(entry);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) return Error(ErrorCode::not_found, "there is no volume " + volume);
  return Error(ErrorCode::conflict, "several volumes have the id " + volume + "; give the name");
}

Error VolumeService::not_open(const Entry& entry) {
  std::string what = (entry.archive ? "archive " : "volume ") + entry.name + " is " + entry.status;
  if (!entry.problem.empty()) what += ": " + entry.problem;
  if (entry.status == to_string(TapeStatus::archived)) {
    what += ": it is on the shelf, and must be retrieved first";
  } else if (entry.status == to_string(TapeStatus::retrieved)) {
    what += "; retrieve it again";
  }
  const bool on_shelf = entry.status == to_string(TapeStatus::archived) ||
                        entry.status == to_string(TapeStatus::retrieved);
  return {on_shelf ? ErrorCode::cold : ErrorCode::not_ready, std::move(what)};
}

Result<VolumeService::EntryPtr> VolumeService::find_open(const std::string& volume) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find(volume));
  look_again(entry);
  const std::lock_guard lock(mutex_);
  if (entry->volume && entry->status != "DELETING") return entry;
  return not_open(*entry);
}

Result<VolumeService::EntryPtr> VolumeService::find_volume(const std::string& volume) {
  ASSIGN_OR_RETURN(EntryPtr entry, find_open(volume));
  if (!entry->archive) return entry;
  return Error(ErrorCode::conflict, entry->name +
                                        " is an archive of EBS snapshots, which pulls alone write "
                                        "to; clone one of its points to have a volume");
}

Result<std::shared_ptr<Volume>> VolumeService::open_volume(const std::string& volume) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(volume));
  const std::lock_guard lock(mutex_);
  if (entry->volume) return entry->volume;
  return not_open(*entry);
}

// -- what is shown

VolumeView VolumeService::view(const EntryPtr& entry) { return look(entry, nullptr).image; }

// `sessions`: of all targets, when they have been asked for already.
VolumeService::ImageView VolumeService::look(const EntryPtr& entry, const Sessions* sessions) {
  ImageView both;
  VolumeView& out = both.image;
  Manifest& manifest = both.manifest;
  std::shared_ptr<Volume> volume;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    volume = entry->volume;
    out.status = entry->status;
    out.problem = entry->problem;
    if (!volume) manifest = entry->known;
    if (entry->offered) targets = targets_;
  }
  out.uuid = entry->uuid;
  out.name = entry->name;
  out.archive = entry->archive;
  if (targets != nullptr) {
    out.target = targets->iqn_of(entry->name);
    const Sessions asked = sessions == nullptr ? targets->sessions() : Sessions();
    const Sessions& all = sessions == nullptr ? asked : *sessions;
    const auto at = all.find(out.target);
    if (at != all.end()) out.sessions = at->second;
  }
  if (volume) {
    manifest = volume->manifest();
    out.size_bytes = volume->size_bytes();
    out.block_bytes = volume->block_bytes();
    out.usage = volume->usage();
    out.counters = volume->counters();
    out.map = volume->map_statistics();
    if (const Status works = volume->failure(); !works.ok()) {
      out.problem = works.error().context;
    } else if (const Status waits = volume->put_off(); !waits.ok()) {
      out.problem = "sealing waits: " + waits.error().message();
    }
  } else {
    out.size_bytes = image_size_bytes(manifest);
  }
  if (env_.shelf != nullptr) {
    if (const auto known = env_.shelf->image_statistics(entry->uuid); known.ok()) {
      out.usage.local_bytes = known->local_bytes;
      out.usage.stored_bytes = known->stored_bytes;
      out.not_uploaded_bytes = known->not_uploaded_bytes;
      out.not_uploaded_age_ms = known->not_uploaded_age_ms;
      if (out.problem.empty()) out.problem = known->problem;
    }
  }
  const std::string prefix(kPropertyPoint);
  for (auto at = manifest.properties.lower_bound(prefix);
       at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
    ++out.points;
  }
  out.mode = property_or(manifest, kPropertyMode, "cached");
  out.pool = property_or(manifest, "pool", "");
  out.pinned = property_or(manifest, kPinnedProperty, "") == "true";
  out.parent = manifest.parent;
  out.created_ms = manifest.created_unix_ms;
  out.encrypted = !manifest.key.empty();
  return both;
}

std::vector<VolumeView> VolumeService::list() {
  std::vector<VolumeView> out;
  for (ImageView& one : look_at_all(false)) out.push_back(std::move(one.image));
  return out;
}

std::vector<VolumeService::ImageView> VolumeService::look_at_all(bool of_archives) {
  std::vector<EntryPtr> entries;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [uuid, entry] : entries_) {
      if (entry->archive == of_archives) entries.push_back(entry);
    }
    targets = targets_;
  }
  const Sessions sessions = targets == nullptr ? Sessions() : targets->sessions();
  std::sort(entries.begin(), entries.end(),
            [](const EntryPtr& a, const EntryPtr& b) { return a->name < b->name; });
  std::vector<ImageView> out;
  for (const EntryPtr& entry : entries) {
    look_again(entry);
    out.push_back(look(entry, &sessions));
  }
  return out;
}

std::string_view VolumeService::type_of(const Uuid& image) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(image);
  return at == entries_.end() ? "" : at->second->archive ? "archive" : "volume";
}

Result<VolumeView> VolumeService::show(const std::string& volume) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find(volume));
  look_again(entry);
  return view(entry);
}

// -- those that are open

std::vector<std::shared_ptr<Volume>> VolumeService::open_volumes() {
  std::vector<std::shared_ptr<Volume>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, entry] : entries_) {
    if (entry->volume) out.push_back(entry->volume);
  }
  return out;
}

std::map<std::string, std::map<std::string, std::string>> VolumeService::properties(
    std::string_view prefix) {
  std::map<std::string, std::map<std::string, std::string>> out;
  for (const auto& volume : open_volumes()) {
    Volume::Properties found = volume->properties(std::string(prefix));
    if (!found.empty()) out[volume->name()] = std::move(found);
  }
  return out;
}

}  // namespace coldshelf
