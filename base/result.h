// Result<T>: a value or an Error. Never dropped, never thrown across folders.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace coldshelf {

enum class ErrorCode {
  invalid_argument,     // the caller asked for something malformed
  out_of_range,         // a size, position or count outside what is allowed
  not_found,            // no such cartridge, file, object, element
  exists,               // already there
  permission,           // the operating system refused
  io,                   // the disk failed (EIO and kin)
  no_space,             // ENOSPC, or a configured limit is reached
  read_only,            // the medium, file system or cartridge cannot be written now
  write_protected,      // by the user: write-protect tab, WORM, retention, archived
  corrupt,              // bytes were read and are wrong
  unsupported_version,  // a format newer than this program
  not_supported,        // what the other side (a store, a server) does not offer
  key_missing,          // encrypted, and no key is configured
  key_mismatch,         // encrypted with another key than the configured one
  cold,                 // the bytes are in an archive class and must be recalled first
  busy,                 // in use by somebody else, or by an operation under way
  not_ready,            // no medium, not loaded, starting
  prevented,            // PREVENT ALLOW MEDIUM REMOVAL stands against it
  element_empty,        // changer: the source element holds nothing
  element_full,         // changer: the destination element is occupied
  conflict,             // a state or a reservation stands against it
  precondition_failed,  // a conditional write lost
  cancelled,
  timed_out,
  unavailable,  // a service did not answer, try later
  internal,
};

// What the caller may do about it.
enum class Disposition { permanent, retry, corrupt, no_space, cold, cancelled };

std::string_view to_string(ErrorCode code);
std::string_view to_string(Disposition disposition);
Disposition default_disposition(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  Disposition disposition = Disposition::permanent;
  std::string context;  // for a person: what was tried, on what, and what the system said

  Error() = default;
  Error(ErrorCode c, std::string what)
      : code(c), disposition(default_disposition(c)), context(std::move(what)) {}
  Error(ErrorCode c, Disposition d, std::string what)
      : code(c), disposition(d), context(std::move(what)) {}

  std::string message() const;  // "no_space: writing segment 7: No space left on device"
};

// From errno, e.g. Error::from_errno(errno, "open /x").
Error error_from_errno(int errno_value, std::string what);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  // By value, so that `for (auto& x : *list())` does not walk through something gone.
  T value() && {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { CHECK(ok()); }
  const Error& error() const& {
    CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

// TRY(f()): return f()'s error from this function, or go on.
// ASSIGN_OR_RETURN(auto x, f()): the same, with the value in x.
#define COLDSHELF_CONCAT_INNER(a, b) a##b
#define COLDSHELF_CONCAT(a, b) COLDSHELF_CONCAT_INNER(a, b)
#define TRY(expression)                                                     \
  do {                                                                      \
    auto coldshelf_status = (expression);                                   \
    if (!coldshelf_status.ok()) return std::move(coldshelf_status).error(); \
  } while (false)
#define ASSIGN_OR_RETURN(target, expression)                                 \
  auto COLDSHELF_CONCAT(coldshelf_result_, __LINE__) = (expression);         \
  if (!COLDSHELF_CONCAT(coldshelf_result_, __LINE__).ok())                   \
    return std::move(COLDSHELF_CONCAT(coldshelf_result_, __LINE__)).error(); \
  target = std::move(COLDSHELF_CONCAT(coldshelf_result_, __LINE__)).value()

}  // namespace coldshelf
