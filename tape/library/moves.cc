// Checking and carrying out changes: the part of the library that touches drives.
#include "base/log.h"
#include "tape/library/library_state.h"

namespace coldshelf {

// -- checks

// PREVENT ALLOW MEDIUM REMOVAL on the changer keeps the operator from the import/export elements
// (SMC-3 6.9), not the initiators.
Status Library::State::check_operator(size_t index, bool by_initiator) const {
  if (by_initiator || elements[index].type != ElementType::import_export) return {};
  const std::lock_guard lock(mutex);
  if (prevent_holders.empty()) return {};
  return Error(ErrorCode::prevented,
               name_of(elements[index]) + " is locked: an initiator prevents medium removal");
}

Status Library::State::check_source(size_t index, bool by_initiator) const {
  const Element& element = elements[index];
  if (!element.cartridge) {
    return Error(ErrorCode::element_empty, name_of(element) + " is empty");
  }
  TRY(check_operator(index, by_initiator));
  const TapeDrive* drive = drive_at(index);
  if (drive == nullptr) return {};
  const std::lock_guard lock(mutex);
  if (drive_prevented[element.number - 1] && drive->inserted()) {
    return Error(ErrorCode::prevented, name_of(element) + ": an initiator prevents removal of " +
                                           element.cartridge->barcode);
  }
  return {};
}

Result<Transfer> Library::State::plan(size_t from, size_t to) const {
  if (elements[from].type == ElementType::transport ||
      elements[to].type == ElementType::transport) {
    return Error(ErrorCode::invalid_argument, "the picker holds no cartridge between moves");
  }
  Transfer transfer;
  transfer.from = from;
  transfer.to = to;
  transfer.from_drive = drive_at(from);
  transfer.to_drive = drive_at(to);
  transfer.what = *elements[from].cartridge;
  return transfer;
}

// -- drives

void Library::State::set_drive_error(const TapeDrive& drive, std::optional<Error> error) {
  if (error) {
    log_error("library", "drive has a problem with its cartridge",
              {{"drive", drive.options().number}, {"error", error->message()}});
  }
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < options.drives.size(); ++i) {
    if (options.drives[i] == &drive) drive_errors[i] = std::move(error);
  }
}

Status Library::State::put_in(TapeDrive& drive, Transfer& transfer) {
  if (transfer.handle == nullptr) {
    ASSIGN_OR_RETURN(transfer.handle, options.vault->open(transfer.what.uuid));
  }
  Status inserted = drive.insert(transfer.handle);
  if (inserted.ok()) set_drive_error(drive, std::nullopt);
  return inserted;
}

// Where an error cannot change the outcome any more: what was synced is recovered by the next open.
void Library::State::close_handle(Transfer& transfer) {
  if (transfer.handle == nullptr) return;
  const Status closed = options.vault->close(std::move(transfer.handle));
  transfer.handle = nullptr;
  if (closed.ok()) return;
  log_error("library", "closing a cartridge failed",
            {{"barcode", transfer.what.barcode}, {"error", closed.error().message()}});
}

// Back into the drive it is in by the inventory, where it stands at its beginning now and those who
// use it do not know. When that fails the element keeps the cartridge, the drive stays empty, and a
// later move out of the element needs nothing of the drive.
void Library::State::put_back(Transfer& transfer) {
  const Status done = put_in(*transfer.from_drive, transfer);
  if (done.ok()) {
    transfer.from_drive->lose_position();
    return;
  }
  set_drive_error(*transfer.from_drive, done.error());
  close_handle(transfer);
}

// A cartridge that is no longer this gateway's takes no more writes, for good: that was told to
// whoever wrote, and must not keep it in the drive for ever.
Status Library::State::unless_taken(const Status& done, const Transfer& transfer) {
  if (done.ok() || done.error().code != ErrorCode::write_protected) return done;
  log_warning("library", "unloaded with data that could not be written",
              {{"barcode", transfer.what.barcode}, {"error", done.error().message()}});
  return {};
}

// Step 1 of a change.
Status Library::State::take_out(std::vector<Transfer>& transfers) {
  for (Transfer& transfer : transfers) {
    // Not inserted: the cartridge could not be opened for the drive, there is nothing to unload.
    if (transfer.from_drive == nullptr || !transfer.from_drive->inserted()) continue;
    const Status flushed = transfer.from_drive->eject(&transfer.handle);
    transfer.ejected = transfer.handle != nullptr;
    TRY(unless_taken(flushed, transfer));
    if (transfer.handle != nullptr && transfer.to_drive == nullptr) {
      TRY(unless_taken(options.vault->close(std::move(transfer.handle)), transfer));
    }
  }
  return {};
}

// Step 2.
Status Library::State::put_all_in(std::vector<Transfer>& transfers) {
  for (Transfer& transfer : transfers) {
    if (transfer.to_drive == nullptr) continue;
    TRY(put_in(*transfer.to_drive, transfer));
    transfer.inserted = true;
  }
  return {};
}

void Library::State::roll_back(std::vector<Transfer>& transfers) {
  for (Transfer& transfer : transfers) {
    if (!transfer.inserted) continue;
    const Status flushed = transfer.to_drive->eject(&transfer.handle);
    if (!flushed.ok()) {
      log_error("library", "unload failed while a move was undone",
                {{"barcode", transfer.what.barcode}, {"error", flushed.error().message()}});
    }
  }
  for (Transfer& transfer : transfers) {
    if (transfer.ejected) {
      // A flush that failed left the cartridge object unusable: it is opened anew, which recovers
      // everything that was synced.
      close_handle(transfer);
      put_back(transfer);
    } else {
      close_handle(transfer);
    }
  }
}

// A change, in the order that a crash at any point leaves each cartridge in exactly one element:
// the inventory alone says where a cartridge is, it is replaced as a whole, and the data of a
// cartridge does not depend on its element.
//   1. Unload the source drives: everything written is on disk before the cartridge leaves. Crash:
//      the cartridge is still in the drive by the inventory and is loaded again at the start.
//   2. Load into the destination drives: what cannot be opened or read there is refused before
//      anything is recorded. Crash: as before the move; what was written meanwhile is in the
//      cartridge, which is in its slot.
//   3. Replace the inventory, durably. Crash before it: not moved, after it: moved.
//   4. Take the change over in memory, then answer.
// An error in 1 to 3 puts the cartridges back where they were: not moved, and the error says why.
Status Library::State::carry_out(std::vector<Transfer> transfers, bool by_initiator,
                                 std::vector<Notice>& notices) {
  Status done = take_out(transfers);
  if (done.ok()) done = put_all_in(transfers);
  std::vector<Element> next = elements;
  for (const Transfer& transfer : transfers) next[transfer.from].cartridge.reset();
  for (const Transfer& transfer : transfers) {
    const Element& from = elements[transfer.from];
    Element& to = next[transfer.to];
    to.cartridge = transfer.what;
    // SMC-3: the storage element it was in last; a drive is none.
    to.source_address = holds_cartridges(from.type) ? from.address : from.source_address;
    to.placed_by_operator = to.type == ElementType::import_export && !by_initiator;
  }
  for (Element& element : next) {
    if (element.cartridge) continue;
    element.source_address.reset();
    element.placed_by_operator = false;
  }
  if (done.ok()) done = store(next);
  if (!done.ok()) {
    roll_back(transfers);
    return done;
  }
  const std::lock_guard lock(mutex);
  for (const Transfer& transfer : transfers) {
    if (transfer.from_drive != nullptr && next[transfer.from].cartridge == std::nullopt) {
      drive_errors[elements[transfer.from].number - 1].reset();
    }
    if (!by_initiator) {
      count_change(elements[transfer.from].type);
      count_change(elements[transfer.to].type);
    }
  }
  const std::vector<Element> before = std::move(elements);
  elements = std::move(next);
  for (const Transfer& transfer : transfers) {
    notices.push_back({transfer.what, before[transfer.from], snapshot(transfer.to), by_initiator});
  }
  return {};
}

void Library::State::count_change(ElementType type) {
  if (type == ElementType::import_export) {
    ++import_export_changes;
  } else {
    ++inventory_changes;
  }
}

void Library::State::tell(const std::vector<Notice>& notices) const {
  for (const Notice& notice : notices) {
    const Element* from = notice.from ? &*notice.from : nullptr;
    const Element* to = notice.to ? &*notice.to : nullptr;
    log_debug("library", "cartridge moved",
              {{"barcode", notice.what.barcode},
               {"from", from == nullptr ? std::string("outside") : name_of(*from)},
               {"to", to == nullptr ? std::string("outside") : name_of(*to)}});
    if (listener != nullptr) {
      listener->cartridge_moved(notice.what, from, to, notice.by_initiator);
    }
  }
}

}  // namespace coldshelf
