// Is the store the one this data directory was used with? The catalog remembers the last lease the
// gateway had there; a store without it has been given another path, is not mounted, or is an old
// copy, and what the catalog says of it is said of another one.
#pragma once

#include <cstdint>
#include <optional>

#include "catalog/catalog.h"
#include "uploader/ownership.h"

namespace coldshelf {

// 0: there never was one; none: that was not noted.
Result<std::optional<uint64_t>> known_lease_epoch(Catalog& catalog);
Status remember_lease_epoch(Catalog& catalog, uint64_t epoch);

// For a store that the operator adopts: what is here is put again unless the store, asked for each
// segment, has it; manifests are put again. The number of segments. What is not here stays as it
// is: a read tells whether the store has it.
Result<uint64_t> doubt_the_store(Catalog& catalog);
// When it is adopted: a store that lost what it had does not know either whose the barcodes are,
// and another gateway would take them. Those of deleted tapes too, which are never used again.
Status claim_barcodes_again(Catalog& catalog, Ownership& ownership);

}  // namespace coldshelf
