// CHAP (RFC 1994, RFC 7143 12.1.3): the computation and the target's side of the exchange.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "base/secret.h"
#include "target/iscsi/options.h"

namespace coldshelf::iscsi {

// CHAP_A values, as registered by IANA.
enum class ChapAlgorithm : uint8_t { md5 = 5, sha1 = 6, sha256 = 7 };

std::optional<ChapAlgorithm> choose_algorithm(std::string_view offered);  // "7,5"
size_t response_length(ChapAlgorithm algorithm);
// H(identifier | secret | challenge); empty when the algorithm is switched off in OpenSSL.
Buffer chap_response(ChapAlgorithm algorithm, uint8_t identifier, const Secret& secret,
                     ByteView challenge);

// The target authenticates the initiator, and proves itself when asked.
class ChapExchange {
 public:
  enum class Outcome { ok, failed, close };  // close: RFC 7143 12.1.3, a reflected challenge

  ChapExchange(const ChapCredentials& expected, const ChapCredentials* ours, Random& random)
      : expected_(expected), ours_(ours), random_(random) {}

  // CHAP_A came: chooses and appends CHAP_A, CHAP_I, CHAP_C.
  Outcome begin(std::string_view algorithms, std::string& reply);
  struct Proof {
    std::optional<std::string> name, response, identifier, challenge;
  };
  // CHAP_N and CHAP_R came, with CHAP_I and CHAP_C when we are asked too.
  Outcome finish(const Proof& proof, std::string& reply);
  bool begun() const { return !challenge_.empty(); }

 private:
  Outcome prove(const Proof& proof, std::string& reply);

  const ChapCredentials& expected_;
  const ChapCredentials* ours_;
  Random& random_;
  ChapAlgorithm algorithm_ = ChapAlgorithm::md5;
  uint8_t identifier_ = 0;
  Buffer challenge_;
};

}  // namespace coldshelf::iscsi
