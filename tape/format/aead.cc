#include "tape/format/aead.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/check.h"

namespace coldshelf::aead {

namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
};
struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

// One per thread: fetching the cipher costs microseconds. The context is reset after each use,
// which wipes the expanded key.
class ThreadCipher {
 public:
  class Use {
   public:
    explicit Use(ThreadCipher& owner) : owner_(owner) {}
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { EVP_CIPHER_CTX_reset(owner_.context_.get()); }
    EVP_CIPHER_CTX* context() { return owner_.context_.get(); }
    const EVP_CIPHER* cipher() { return owner_.cipher_.get(); }

   private:
    ThreadCipher& owner_;
  };

  static ThreadCipher& mine() {
    thread_local ThreadCipher cipher;
    return cipher;
  }

 private:
  ThreadCipher()
      : cipher_(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)), context_(EVP_CIPHER_CTX_new()) {
    CHECK(cipher_ != nullptr && context_ != nullptr);
  }
  std::unique_ptr<EVP_CIPHER, FreeCipher> cipher_;
  std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context_;
};

const unsigned char* chars(const std::byte* p) { return reinterpret_cast<const unsigned char*>(p); }
unsigned char* chars(std::byte* p) { return reinterpret_cast<unsigned char*>(p); }

}  // namespace

void seal(ByteView key, const Nonce& nonce, std::initializer_list<ByteView> associated,
          ByteView plain, MutableBytes out) {
  CHECK(key.size() == kKeySize && out.size() == plain.size() + kTagSize);
  ThreadCipher::Use use(ThreadCipher::mine());
  EVP_CIPHER_CTX* context = use.context();
  CHECK(EVP_EncryptInit_ex2(context, use.cipher(), chars(key.data()), chars(nonce.data()),
                            nullptr) == 1);
  int length = 0;
  for (ByteView part : associated) {
    if (part.empty()) continue;
    CHECK(EVP_EncryptUpdate(context, nullptr, &length, chars(part.data()),
                            static_cast<int>(part.size())) == 1);
  }
  if (!plain.empty()) {
    CHECK(EVP_EncryptUpdate(context, chars(out.data()), &length, chars(plain.data()),
                            static_cast<int>(plain.size())) == 1);
    CHECK(static_cast<size_t>(length) == plain.size());
  }
  CHECK(EVP_EncryptFinal_ex(context, chars(out.data() + plain.size()), &length) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagSize),
                            out.data() + plain.size()) == 1);
}

bool open(ByteView key, const Nonce& nonce, std::initializer_list<ByteView> associated,
          ByteView sealed, MutableBytes out) {
  CHECK(key.size() == kKeySize && sealed.size() == out.size() + kTagSize);
  ThreadCipher::Use use(ThreadCipher::mine());
  EVP_CIPHER_CTX* context = use.context();
  CHECK(EVP_DecryptInit_ex2(context, use.cipher(), chars(key.data()), chars(nonce.data()),
                            nullptr) == 1);
  int length = 0;
  for (ByteView part : associated) {
    if (part.empty()) continue;
    CHECK(EVP_DecryptUpdate(context, nullptr, &length, chars(part.data()),
                            static_cast<int>(part.size())) == 1);
  }
  if (!out.empty()) {
    CHECK(EVP_DecryptUpdate(context, chars(out.data()), &length, chars(sealed.data()),
                            static_cast<int>(out.size())) == 1);
  }
  std::array<std::byte, kTagSize> tag;
  std::copy_n(sealed.end() - static_cast<ptrdiff_t>(kTagSize), kTagSize, tag.begin());
  CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagSize),
                            tag.data()) == 1);
  std::array<std::byte, kTagSize> rest;
  if (EVP_DecryptFinal_ex(context, chars(rest.data()), &length) == 1) return true;
  // What was decrypted is not to be trusted, nor seen.
  std::fill(out.begin(), out.end(), std::byte{0});
  return false;
}

}  // namespace coldshelf::aead
