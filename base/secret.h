// A secret: never printed, wiped when destroyed.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace coldshelf {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view value) : value_(value) {}
  explicit Secret(ByteView value) : value_(as_text(value)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  Secret(Secret&& other) noexcept : value_(other.value_) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      value_ = other.value_;
      other.wipe();
    }
    return *this;
  }
  ~Secret() { wipe(); }

  // The value itself: only for the code that computes with it.
  std::string_view reveal() const { return value_; }
  ByteView reveal_bytes() const { return as_view(value_); }
  bool empty() const { return value_.empty(); }

 private:
  void wipe();
  std::string value_;
};

bool constant_time_equal(ByteView a, ByteView b);  // time depends on the lengths alone

}  // namespace coldshelf
