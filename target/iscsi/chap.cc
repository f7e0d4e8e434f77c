#include "target/iscsi/chap.h"

#include <openssl/evp.h>

#include <memory>

#include "target/iscsi/text.h"

namespace coldshelf::iscsi {

namespace {

const EVP_MD* digest_of(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::md5:
      return EVP_md5();
    case ChapAlgorithm::sha1:
      return EVP_sha1();
    case ChapAlgorithm::sha256:
      return EVP_sha256();
  }
  return nullptr;
}

}  // namespace

std::optional<ChapAlgorithm> choose_algorithm(std::string_view offered) {
  // RFC 7143 6.2.1: the list is in the initiator's order of preference; take the first we know.
  for (std::string_view item : split_list(offered)) {
    const auto number = parse_number(item);
    if (!number) continue;
    if (*number == 5 || *number == 6 || *number == 7) return static_cast<ChapAlgorithm>(*number);
  }
  return std::nullopt;
}

size_t response_length(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::md5:
      return 16;
    case ChapAlgorithm::sha1:
      return 20;
    case ChapAlgorithm::sha256:
      return 32;
  }
  return 0;
}

Buffer chap_response(ChapAlgorithm algorithm, uint8_t identifier, const Secret& secret,
                     ByteView challenge) {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  Buffer out(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  const ByteView key = secret.reveal_bytes();
  if (!context || EVP_DigestInit_ex(context.get(), digest_of(algorithm), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), &identifier, 1) != 1 ||
      EVP_DigestUpdate(context.get(), key.data(), key.size()) != 1 ||
      EVP_DigestUpdate(context.get(), challenge.data(), challenge.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(out.data()), &length) != 1)
    return {};
  out.resize(length);
  return out;
}

ChapExchange::Outcome ChapExchange::begin(std::string_view algorithms, std::string& reply) {
  const auto chosen = choose_algorithm(algorithms);
  if (!chosen) return Outcome::failed;
  algorithm_ = *chosen;
  challenge_.resize(response_length(algorithm_));
  random_.fill(challenge_);
  identifier_ = static_cast<uint8_t>(random_.below(256));
  append_key(reply, "CHAP_A", std::to_string(static_cast<unsigned>(algorithm_)));
  append_key(reply, "CHAP_I", std::to_string(identifier_));
  append_key(reply, "CHAP_C", encode_hex(challenge_));
  return Outcome::ok;
}

ChapExchange::Outcome ChapExchange::finish(const Proof& proof, std::string& reply) {
  if (!proof.name || !proof.response) return Outcome::failed;
  const auto response = parse_binary(*proof.response);
  const Buffer wanted = chap_response(algorithm_, identifier_, expected_.secret, challenge_);
  // Both are always compared, so that a wrong name takes as long as a wrong secret.
  const bool name_fits = constant_time_equal(as_view(*proof.name), as_view(expected_.user));
  const bool response_fits = response && !wanted.empty() && constant_time_equal(*response, wanted);
  if (!name_fits || !response_fits) return Outcome::failed;
  return prove(proof, reply);
}

ChapExchange::Outcome ChapExchange::prove(const Proof& proof, std::string& reply) {
  if (!proof.identifier && !proof.challenge) return Outcome::ok;  // one-way
  if (!proof.identifier || !proof.challenge || ours_ == nullptr) return Outcome::failed;
  const auto identifier = parse_number(*proof.identifier);
  const auto challenge = parse_binary(*proof.challenge);
  if (!identifier || *identifier > 255 || !challenge) return Outcome::failed;
  // RFC 7143 12.1.3: an initiator must not send our challenge back to us, and we must look.
  if (equal(*challenge, challenge_)) return Outcome::close;
  const Buffer answer =
      chap_response(algorithm_, static_cast<uint8_t>(*identifier), ours_->secret, *challenge);
  if (answer.empty()) return Outcome::failed;
  append_key(reply, "CHAP_N", ours_->user);
  append_key(reply, "CHAP_R", encode_hex(answer));
  return Outcome::ok;
}

}  // namespace coldshelf::iscsi
