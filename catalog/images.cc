// Images in the catalog: rows beside the tapes'.
#include "catalog/catalog.h"
#include "catalog/catalog_state.h"

namespace coldshelf {

namespace {
using sqlite::Statement;
using sqlite::Transaction;
}  // namespace

Status Catalog::set_image(const Uuid& uuid, ImageMode mode, bool pinned) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("UPDATE tapes SET mode = ?, pinned = ? WHERE "
                                                "uuid = ? AND kind = 1"));
  s.integer(static_cast<int64_t>(mode)).integer(pinned).blob(uuid.view());
  TRY(s.run());
  if (state_->database->changes() == 1) return {};
  return Error(ErrorCode::not_found, "catalog: no image " + uuid.to_string());
}

Status Catalog::forget_cartridge(const Uuid& uuid) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::begin(*state_->database));
  for (const char* sql :
       {"DELETE FROM segments WHERE cartridge = ?", "DELETE FROM tapes WHERE uuid = ?"}) {
    ASSIGN_OR_RETURN(Statement s, state_->prepare(sql));
    s.blob(uuid.view());
    TRY(s.run());
  }
  return transaction.commit();
}

}  // namespace coldshelf
