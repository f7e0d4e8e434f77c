// The management API's certificate: the operator's own, or one the gateway makes for itself.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"

namespace coldshelf {

struct TlsIdentity {
  std::string certificate_file;
  std::string key_file;
  std::string fingerprint;   // SHA-256 of the certificate: "AB:CD:..."
  int64_t not_after_ms = 0;  // when it expires
  bool self_signed = false;  // made by make_self_signed
};

// Reads and checks a certificate and its key. The key must not be readable by everybody.
Result<TlsIdentity> load_tls_identity(FileSystem& files, const std::string& certificate_file,
                                      const std::string& key_file);

// tls-cert.pem and tls-key.pem (0600) in `directory`, made when they are not there: P-256, valid
// for ten years, for `names` (host names and numeric addresses). The certificate is what clients
// are given as their CA file.
Result<TlsIdentity> self_signed_identity(FileSystem& files, Clock& clock, Random& random,
                                         const std::string& directory, const std::string& subject,
                                         const std::vector<std::string>& names);

// Which of `names` (host names and numeric addresses) a certificate is not for: clients that come
// by them will not take it.
Result<std::vector<std::string>> names_missing(FileSystem& files,
                                               const std::string& certificate_file,
                                               const std::vector<std::string>& names);

}  // namespace coldshelf
