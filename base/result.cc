#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace coldshelf {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d\n", condition, file, line);
  std::fflush(stderr);
  std::abort();
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::out_of_range:
      return "out_of_range";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::exists:
      return "exists";
    case ErrorCode::permission:
      return "permission";
    case ErrorCode::io:
      return "io";
    case ErrorCode::no_space:
      return "no_space";
    case ErrorCode::read_only:
      return "read_only";
    case ErrorCode::write_protected:
      return "write_protected";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::unsupported_version:
      return "unsupported_version";
    case ErrorCode::not_supported:
      return "not_supported";
    case ErrorCode::key_missing:
      return "key_missing";
    case ErrorCode::key_mismatch:
      return "key_mismatch";
    case ErrorCode::cold:
      return "cold";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::not_ready:
      return "not_ready";
    case ErrorCode::prevented:
      return "prevented";
    case ErrorCode::element_empty:
      return "element_empty";
    case ErrorCode::element_full:
      return "element_full";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::precondition_failed:
      return "precondition_failed";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::internal:
      return "internal";
  }
  return "unknown";
}

std::string_view to_string(Disposition disposition) {
  switch (disposition) {
    case Disposition::permanent:
      return "permanent";
    case Disposition::retry:
      return "retry";
    case Disposition::corrupt:
      return "corrupt";
    case Disposition::no_space:
      return "no_space";
    case Disposition::cold:
      return "cold";
    case Disposition::cancelled:
      return "cancelled";
  }
  return "unknown";
}

Disposition default_disposition(ErrorCode code) {
  switch (code) {
    case ErrorCode::corrupt:
      return Disposition::corrupt;
    case ErrorCode::no_space:
      return Disposition::no_space;
    case ErrorCode::cold:
      return Disposition::cold;
    case ErrorCode::cancelled:
      return Disposition::cancelled;
    case ErrorCode::busy:
    case ErrorCode::timed_out:
    case ErrorCode::unavailable:
      return Disposition::retry;
    default:
      return Disposition::permanent;
  }
}

std::string Error::message() const {
  return std::string(to_string(code)) + (context.empty() ? "" : ": " + context);
}

Error error_from_errno(int errno_value, std::string what) {
  ErrorCode code = ErrorCode::io;
  switch (errno_value) {
    case ENOENT:
      code = ErrorCode::not_found;
      break;
    case EEXIST:
      code = ErrorCode::exists;
      break;
    case EACCES:
    case EPERM:
      code = ErrorCode::permission;
      break;
    case ENOSPC:
    case EDQUOT:
      code = ErrorCode::no_space;
      break;
    case EROFS:
      code = ErrorCode::read_only;
      break;
    case EINVAL:
      code = ErrorCode::invalid_argument;
      break;
    case EAGAIN:
    case EBUSY:
      code = ErrorCode::busy;
      break;
    case ETIMEDOUT:
      code = ErrorCode::timed_out;
      break;
    default:
      break;
  }
  char text[128];
  what += ": ";
  what += strerror_r(errno_value, text, sizeof text);
  return Error(code, std::move(what));
}

}  // namespace coldshelf
