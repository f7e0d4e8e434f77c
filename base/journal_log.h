// The log (base/log.h) in systemd's journal.
#pragma once

#include <string>

#include "base/service_manager.h"

namespace coldshelf {

// Entries go to the journal from here on, with priority and fields (COLDSHELF_COMPONENT,
// COLDSHELF_<KEY>), instead of lines to standard error.
Status log_to_journal(const std::string& socket = kJournalSocket);
// Whether standard error is the journal's own stream, as in a unit of systemd (JOURNAL_STREAM).
bool standard_error_is_the_journal();

}  // namespace coldshelf
