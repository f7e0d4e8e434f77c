#include "gateway/api/tls_identity.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr int64_t kDaySeconds = 86'400;
constexpr int64_t kValidDays = 3'650;
constexpr const char* kCertificateName = "tls-cert.pem";
constexpr const char* kKeyName = "tls-key.pem";
constexpr uint64_t kMaxPemBytes = 1 * MiB;

template <auto free_function>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    free_function(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<size_t>(size));
}

Error openssl_failed(const char* what) {
  return {ErrorCode::internal, std::string("making the API's certificate: ") + what};
}

Result<CertificatePtr> parse_certificate(const std::string& path, ByteView pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CertificatePtr out(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!out) return Error(ErrorCode::invalid_argument, path + " holds no certificate in PEM form");
  return out;
}

Result<TlsIdentity> describe(const std::string& path, X509* certificate) {
  TlsIdentity out;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) {
    return openssl_failed("its digest");
  }
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (unsigned i = 0; i < size; ++i) {
    if (i != 0) out.fingerprint += ':';
    out.fingerprint += kDigits[digest[i] >> 4];
    out.fingerprint += kDigits[digest[i] & 15];
  }
  std::tm until{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until) != 1) {
    return Error(ErrorCode::invalid_argument, path + ": its certificate has no readable end");
  }
  out.not_after_ms = static_cast<int64_t>(timegm(&until)) * 1'000;
  return out;
}

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionPtr made(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return made && X509_add_ext(certificate, made.get(), -1) == 1;
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    unsigned char raw[16];
    const bool address = ::inet_pton(AF_INET, name.c_str(), raw) == 1 ||
                         ::inet_pton(AF_INET6, name.c_str(), raw) == 1;
    // What a configuration file of OpenSSL would read as something else has no place in a name.
    if (name.empty() || name.find_first_of(",;= \t") != std::string::npos) continue;
    out += (out.empty() ? "" : ",") + std::string(address ? "IP:" : "DNS:") + name;
  }
  return out;
}

// A serial number of 127 random bits: two gateways of one name must not look alike to a browser.
bool set_serial(X509* certificate, Random& random) {
  std::array<std::byte, 16> raw{};
  random.fill(raw);
  raw[0] = (raw[0] & std::byte{0x7F}) | std::byte{0x40};
  const std::unique_ptr<BIGNUM, Free<BN_free>> number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(raw.data()), raw.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

Result<CertificatePtr> make_certificate(EVP_PKEY* key, int64_t now_s, Random& random,
                                        const std::string& subject,
                                        const std::vector<std::string>& names) {
  CertificatePtr out(X509_new());
  if (!out || X509_set_version(out.get(), 2) != 1 || !set_serial(out.get(), random)) {
    return openssl_failed("its serial number");
  }
  // A day ago: clocks of clients may be late.
  if (ASN1_TIME_set(X509_getm_notBefore(out.get()), now_s - kDaySeconds) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(out.get()), now_s + kValidDays * kDaySeconds) == nullptr) {
    return openssl_failed("its dates");
  }
  X509_NAME* name = X509_get_subject_name(out.get());
  const auto* common = reinterpret_cast<const unsigned char*>(subject.data());
  const auto common_size = static_cast<int>(std::min<size_t>(subject.size(), 64));
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, common, common_size, -1, 0) != 1 ||
      X509_set_issuer_name(out.get(), name) != 1 || X509_set_pubkey(out.get(), key) != 1) {
    return openssl_failed("its name");
  }
  if (!add_extension(out.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(out.get(), NID_key_usage, "critical,digitalSignature,keyCertSign") ||
      !add_extension(out.get(), NID_ext_key_usage, "serverAuth") ||
      !add_extension(out.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(out.get(), NID_subject_alt_name, alternative_names(names))) {
    return openssl_failed("its extensions");
  }
  if (X509_sign(out.get(), key, EVP_sha256()) == 0) return openssl_failed("its signature");
  return out;
}

}  // namespace

Result<TlsIdentity> load_tls_identity(FileSystem& files, const std::string& certificate_file,
                                      const std::string& key_file) {
  ASSIGN_OR_RETURN(const Buffer pem, files.read_file(certificate_file, kMaxPemBytes));
  ASSIGN_OR_RETURN(const CertificatePtr certificate, parse_certificate(certificate_file, pem));
  ASSIGN_OR_RETURN(const FileInfo info, files.info(key_file));
  if ((info.permissions & 0007) != 0) {
    return Error(ErrorCode::permission,
                 "everybody may read " + key_file + ", the API's private key; chmod 0600 it");
  }
  ASSIGN_OR_RETURN(TlsIdentity out, describe(certificate_file, certificate.get()));
  out.certificate_file = certificate_file;
  out.key_file = key_file;
  return out;
}

Result<TlsIdentity> self_signed_identity(FileSystem& files, Clock& clock, Random& random,
                                         const std::string& directory, const std::string& subject,
                                         const std::vector<std::string>& names) {
  const std::string certificate_file = join_path(directory, kCertificateName);
  const std::string key_file = join_path(directory, kKeyName);
  ASSIGN_OR_RETURN(const bool have_certificate, files.exists(certificate_file));
  ASSIGN_OR_RETURN(const bool have_key, files.exists(key_file));
  if (!have_certificate || !have_key) {
    const KeyPtr key(EVP_EC_gen("P-256"));
    if (!key) return openssl_failed("its key");
    ASSIGN_OR_RETURN(const CertificatePtr made,
                     make_certificate(key.get(), clock.unix_ms() / 1'000, random, subject, names));
    const BioPtr key_pem(BIO_new(BIO_s_secmem()));
    const BioPtr certificate_pem(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
            1 ||
        PEM_write_bio_X509(certificate_pem.get(), made.get()) != 1) {
      return openssl_failed("its PEM form");
    }
    TRY(files.create_directories(directory));
    // The certificate last: a crash in between makes both anew.
    TRY(files.replace_file(key_file, as_view(text_of(key_pem.get())), OpenMode::create_private));
    TRY(files.replace_file(certificate_file, as_view(text_of(certificate_pem.get()))));
    log_info("api", "self-signed certificate made", {{"file", certificate_file}});
  }
  ASSIGN_OR_RETURN(TlsIdentity out, load_tls_identity(files, certificate_file, key_file));
  out.self_signed = true;
  return out;
}

Result<std::vector<std::string>> names_missing(FileSystem& files,
                                               const std::string& certificate_file,
                                               const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const Buffer pem, files.read_file(certificate_file, kMaxPemBytes));
  ASSIGN_OR_RETURN(const CertificatePtr certificate, parse_certificate(certificate_file, pem));
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (X509_check_ip_asc(certificate.get(), name.c_str(), 0) == 1) continue;
    if (X509_check_host(certificate.get(), name.data(), name.size(), 0, nullptr) == 1) continue;
    out.push_back(name);
  }
  return out;
}

}  // namespace coldshelf
