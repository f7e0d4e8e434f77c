// What the errors of the EBS direct APIs mean, in one table.
// https://docs.aws.amazon.com/ebs/latest/APIReference/CommonErrors.html
#pragma once

#include <string>

#include "base/result.h"
#include "uploader/cloud/http.h"

namespace coldshelf {

struct EbsFault {
  enum class Kind {
    throttled,    // too many requests: slower, and again
    server,       // 5xx: again
    not_found,    // no such snapshot, or not yet
    page_token,   // expired or wrong: list anew from the last index
    block_token,  // expired or wrong: list that block anew
    bad_block,    // of a put: the bytes that came are not those of the checksum
    conflict,     // the snapshot is in another state
    unrelated,    // the two snapshots are not of one volume
    quota,        // a limit that time does not lift
    refused,      // permission
    invalid,      // everything else
  };
  Kind kind = Kind::invalid;
  std::string name;    // "ValidationException"
  std::string reason;  // "INVALID_PAGE_TOKEN"
  std::string message;
  bool whose_account = false;  // throttled: which quota, when it says
  bool whose_snapshot = false;

  bool again() const { return kind == Kind::throttled || kind == Kind::server; }
};

EbsFault read_ebs_fault(const HttpResponse& response);
// not_found, conflict, permission, unavailable, no_space (a quota), precondition_failed (a token),
// corrupt (a block damaged on its way), invalid_argument.
Error error_of(const EbsFault& fault, const std::string& what, int status);

}  // namespace coldshelf
