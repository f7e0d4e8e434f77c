// The library's side of TapeService: the operator's moves, exports, and keeping inventory and
// catalog in step.
#include "base/log.h"
#include "gateway/tape_service.h"
#include "uploader/inventory_document.h"

namespace coldshelf {

Result<uint64_t> TapeService::set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                              const WrappedKey& after) {
  // No job begins meanwhile: jobs write manifests, too.
  const std::lock_guard operation(operations_mutex_);
  TRY(env_.catalog->check_no_job(uuid, ErrorCode::busy));
  return env_.vault->set_wrapped_key(uuid, before, after);
}

Status TapeService::set_property(std::string_view barcode, const std::string& name,
                                 const std::string& value) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  TRY(env_.catalog->check_no_job(row.uuid));
  return env_.vault->set_property(row.uuid, name, value);
}

Result<std::string> TapeService::property(std::string_view barcode, const std::string& name) {
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  ASSIGN_OR_RETURN(const Manifest manifest, env_.vault->read_manifest(row.uuid));
  const auto at = manifest.properties.find(name);
  return at == manifest.properties.end() ? std::string() : at->second;
}

namespace {
constexpr auto kTickInterval = std::chrono::milliseconds(500);
}  // namespace

// In the document that a rebuild reads: names, for element addresses change with the changer.
std::string_view inventory_name(ElementType type) {
  switch (type) {
    case ElementType::transport:
      return "transport";
    case ElementType::storage:
      return "slot";
    case ElementType::import_export:
      return "import_export";
    case ElementType::data_transfer:
      return "drive";
  }
  return "";
}

// -- the operator's moves

Result<uint16_t> TapeService::resolve_element(std::string_view text) {
  auto element = library_->parse_element(text);
  if (element.ok()) return element;
  if (const auto found = library_->find(text)) return found->address;
  return element;
}

Status TapeService::move(std::string_view source, std::string_view destination) {
  ASSIGN_OR_RETURN(const uint16_t from, resolve_element(source));
  ASSIGN_OR_RETURN(const uint16_t to, library_->parse_element(destination));
  return library_->move(from, to, false);
}

Status TapeService::load(std::string_view barcode, unsigned drive) {
  ASSIGN_OR_RETURN(const uint16_t to, library_->parse_element("drive" + std::to_string(drive)));
  const auto found = library_->find(barcode);
  if (!found) {
    ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
    return Error(ErrorCode::conflict, "tape " + row.barcode + " is " +
                                          std::string(to_string(row.status)) +
                                          " and not in the library");
  }
  if (found->address == to) return {};
  return library_->move(found->address, to, false);
}

Result<uint16_t> TapeService::unload(unsigned drive) {
  ASSIGN_OR_RETURN(const uint16_t from, library_->parse_element("drive" + std::to_string(drive)));
  ASSIGN_OR_RETURN(const Element element, library_->element(from));
  if (!element.cartridge) {
    return Error(ErrorCode::element_empty, library_->element_name(from) + " is empty");
  }
  std::optional<uint16_t> to;
  if (element.source_address) {
    ASSIGN_OR_RETURN(const Element home, library_->element(*element.source_address));
    // Not back into an import/export slot: that would mean export.
    if (!home.cartridge && home.type == ElementType::storage) to = home.address;
  }
  if (!to) to = library_->empty_slot();
  if (!to) {
    return Error(ErrorCode::element_full,
                 "no slot is empty for " + element.cartridge->barcode + "; move it by hand");
  }
  TRY(library_->move(from, *to, false));
  return *to;
}

Result<std::map<std::string, int64_t>> TapeService::export_tapes(std::string_view which) {
  const std::lock_guard operation(operations_mutex_);
  std::vector<Element> chosen;
  if (which.empty()) {
    // A new tape that found every slot full waits in an import/export slot and is not meant: it was
    // never moved.
    for (Element& e : library_->elements(ElementType::import_export)) {
      if (e.cartridge && (!e.placed_by_operator || e.source_address)) chosen.push_back(e);
    }
  } else {
    ASSIGN_OR_RETURN(const uint16_t address, resolve_element(which));
    ASSIGN_OR_RETURN(const Element e, library_->element(address));
    if (e.type != ElementType::import_export) {
      return Error(ErrorCode::invalid_argument, library_->element_name(address) +
                                                    " is no import/export slot; move the tape " +
                                                    "there first, or use `tape archive`");
    }
    if (!e.cartridge) {
      return Error(ErrorCode::element_empty, library_->element_name(address) + " is empty");
    }
    chosen.push_back(e);
  }
  std::map<std::string, int64_t> jobs;
  for (const Element& e : chosen) {
    ASSIGN_OR_RETURN(const TapeRow row, tape(e.cartridge->barcode));
    ASSIGN_OR_RETURN(jobs[row.barcode], archive_locked(row));
  }
  return jobs;
}

// -- what happens by itself

void TapeService::cartridge_moved(const LibraryCartridge& what, const Element* /*from*/,
                                  const Element* to, bool by_initiator) {
  const bool exported = by_initiator && to != nullptr && to->type == ElementType::import_export;
  if (exported && options_.archive_on_export) {
    log_info("tapes", "exported by an initiator",
             {{"barcode", what.barcode}, {"archived_in_ms", options_.export_delay_ms}});
  }
  {
    const std::lock_guard lock(state_mutex_);
    library_changed_ = true;
    export_due_ms_.erase(what.uuid);
    if (exported && options_.archive_on_export) {
      export_due_ms_[what.uuid] = env_.clock->unix_ms() + options_.export_delay_ms;
    }
    place_wanted_ = place_wanted_ || place_waiting_;  // room may have come
    wake_wanted_ = true;
  }
  wake_.notify_all();
}

bool TapeService::run_due_exports() {
  std::vector<Uuid> due;
  {
    const std::lock_guard lock(state_mutex_);
    const int64_t now = env_.clock->unix_ms();
    for (const auto& [uuid, when] : export_due_ms_) {
      if (when <= now) due.push_back(uuid);
    }
  }
  for (const Uuid& uuid : due) {
    const std::lock_guard operation(operations_mutex_);
    {
      const std::lock_guard lock(state_mutex_);
      // Moved back in the meantime?
      if (export_due_ms_.erase(uuid) == 0) continue;
    }
    auto run = [&]() -> Status {
      ASSIGN_OR_RETURN(const auto row, env_.catalog->tape(uuid));
      if (!row) return Error(ErrorCode::not_found, "tape " + uuid.to_string());
      const auto element = library_->find(row->barcode);
      if (!element || element->type != ElementType::import_export) return {};
      auto job = archive_locked(*row);
      if (!job.ok()) return job.error();
      return {};
    };
    if (Status done = run(); !done.ok()) {
      log_warning("tapes", "export failed, it is tried again",
                  {{"cartridge", uuid.to_string()}, {"error", done.error().message()}});
      const std::lock_guard lock(state_mutex_);
      export_due_ms_[uuid] =
          env_.clock->unix_ms() + std::max<int64_t>(options_.export_delay_ms, 10'000);
    }
  }
  return !due.empty();
}

bool TapeService::place_tapes() {
  {
    const std::lock_guard lock(state_mutex_);
    if (!place_wanted_) return false;
    place_wanted_ = false;
    place_waiting_ = false;
  }
  const std::lock_guard operation(operations_mutex_);
  auto rows = env_.catalog->tapes();
  if (!rows.ok()) {
    log_error("tapes", "catalog cannot be read", {{"error", rows.error().message()}});
    return false;
  }
  bool placed_any = false;
  for (const TapeRow& row : *rows) {
    const bool wanted = row.status == TapeStatus::available ||
                        row.status == TapeStatus::retrieved || row.status == TapeStatus::recovered;
    if (!wanted || library_->find(row.barcode)) continue;
    auto placed = library_->add({row.uuid, row.barcode, row.medium});
    const bool waits = !placed.ok() && placed.error().code != ErrorCode::exists;
    const std::string problem =
        waits ? "waits for an empty slot: " + placed.error().context : std::string();
    if (waits) {
      const std::lock_guard lock(state_mutex_);
      place_waiting_ = true;
    }
    placed_any = placed_any || placed.ok();
    if (problem != row.problem && (waits || row.problem.starts_with("waits for"))) {
      Status noted = env_.catalog->set_tape_problem(row.uuid, problem);
      log_warning(
          "tapes", waits ? "tape waits for an empty slot" : "tape has its slot",
          {{"barcode", row.barcode}, {"error", noted.ok() ? problem : noted.error().message()}});
    }
  }
  return placed_any;
}

// The library's layout for a rebuild from the store alone: which cartridge lies where, which pools
// there are.
bool TapeService::publish_library() {
  {
    const std::lock_guard lock(state_mutex_);
    if (!library_changed_) return false;
    library_changed_ = false;
  }
  InventoryDocument document;
  document.gateway = options_.gateway_id;
  document.name = options_.gateway_name;
  document.serial_prefix = options_.serial_prefix;
  document.changer = library_->options().profile->name;
  document.drive_model = options_.drive->name;
  document.slots = library_->options().slots;
  document.import_export_slots = library_->options().import_export_slots;
  document.drives = static_cast<unsigned>(library_->options().drives.size());
  for (const Element& e : library_->elements()) {
    if (!e.cartridge) continue;
    document.elements.push_back({std::string(inventory_name(e.type)), e.number, e.cartridge->uuid,
                                 e.cartridge->barcode, e.cartridge->medium});
  }
  if (auto pools = env_.catalog->pools(); pools.ok()) {
    document.pools = std::move(*pools);
  } else {
    log_error("tapes", "pools not read", {{"error", pools.error().message()}});
    const std::lock_guard lock(state_mutex_);
    library_changed_ = true;
    return false;
  }
  env_.shelf->put_document(inventory_key(options_.gateway_id), encode_inventory_document(document));
  return true;
}

bool TapeService::tick() {
  const bool exported = run_due_exports();
  const bool placed = place_tapes();
  const bool published = publish_library();
  return exported || placed || published;
}

// -- restart

Status TapeService::reconcile_element(const Element& element) {
  ASSIGN_OR_RETURN(const auto row, env_.catalog->tape(element.cartridge->uuid));
  const std::string where = library_->element_name(element.address);
  if (!row) {
    // Its directory may be on a disk that is not mounted: nothing is thrown away here.
    log_error("library", "the inventory has a cartridge that nobody knows",
              {{"barcode", element.cartridge->barcode}, {"element", where}});
    return {};
  }
  const bool belongs = row->status == TapeStatus::available ||
                       row->status == TapeStatus::retrieved || row->status == TapeStatus::recovered;
  if (belongs) {
    if (element.type == ElementType::import_export && !element.placed_by_operator &&
        options_.archive_on_export) {
      const std::lock_guard lock(state_mutex_);
      export_due_ms_[row->uuid] = env_.clock->unix_ms() + options_.export_delay_ms;
    }
    return {};
  }
  log_warning("library", "tape leaves the library, its status says so",
              {{"barcode", row->barcode}, {"element", where}, {"status", to_string(row->status)}});
  if (element.type == ElementType::data_transfer) {
    if (const auto slot = library_->empty_slot()) {
      TRY(library_->move(element.address, *slot, false));
    }
  }
  return library_->remove(row->uuid);
}

Status TapeService::reconcile() {
  for (const Element& element : library_->elements()) {
    if (!element.cartridge) continue;
    if (Status done = reconcile_element(element); !done.ok()) {
      log_error("library", "inventory and catalog differ",
                {{"barcode", element.cartridge->barcode}, {"error", done.error().message()}});
    }
  }
  {
    const std::lock_guard lock(state_mutex_);
    place_wanted_ = true;
    library_changed_ = true;
  }
  place_tapes();
  return {};
}

void TapeService::start() {
  thread_ = std::thread([this] {
    std::unique_lock lock(state_mutex_);
    while (!stopping_) {
      lock.unlock();
      tick();
      lock.lock();
      wake_.wait_for(lock, kTickInterval, [this] { return stopping_ || wake_wanted_; });
      wake_wanted_ = false;
    }
  });
}

void TapeService::stop() {
  {
    const std::lock_guard lock(state_mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  abandon_verify_ = true;
  env_.shelf->abandon_verify();
  verifier_.reset();
}

}  // namespace coldshelf
