// Signatures against AWS's published vectors, and against requests that botocore signed.
#include <gtest/gtest.h>

#include "uploader/cloud/http.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Vector {
  std::string name;
  std::string method;
  std::string path;
  Pairs query;
  Pairs headers;
  std::string body;
  std::string signed_headers;
  std::string signature;
  std::string token = {};
};

std::string sha256_hex(std::string_view text) { return to_hex(Sha256::of(as_view(text))); }

Credentials credentials_of(std::string id, std::string_view secret, std::string token) {
  Credentials out;
  out.access_key_id = std::move(id);
  out.secret_access_key = Secret(secret);
  out.session_token = std::move(token);
  return out;
}

std::string value_of(const Pairs& headers, std::string_view name) {
  for (const auto& [n, value] : headers) {
    if (n == name) return value;
  }
  return {};
}

void check(const Vector& v, const std::string& host, const SigningScope& scope,
           const Credentials& credentials, int64_t unix_ms, const std::string& day) {
  SCOPED_TRACE(v.name);
  SignedRequest request;
  request.method = v.method;
  request.host = host;
  request.path = v.path;
  request.query = v.query;
  request.headers = v.headers;
  request.payload_hash = sha256_hex(v.body);
  const Pairs added = sign_v4(request, scope, credentials, unix_ms);
  EXPECT_EQ(value_of(added, "authorization"),
            "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id + "/" + day + "/" +
                scope.region + "/" + scope.service +
                "/aws4_request, SignedHeaders=" + v.signed_headers + ", Signature=" + v.signature)
      << canonical_request(request, scope, nullptr);
  EXPECT_EQ(value_of(added, "x-amz-security-token"), credentials.session_token);
  EXPECT_EQ(value_of(added, "x-amz-content-sha256"),
            scope.service == "s3" ? request.payload_hash : "");
}

const std::string kUnreserved =
    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const std::string kStsToken =
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

// The aws-sig-v4-test-suite ("Signature Version 4 test suite" of the AWS General Reference):
// us-east-1, "service", 2015-08-30T12:36:00Z. Its paths are not encoded yet, as ours are for a
// service that encodes twice.
const std::vector<Vector>& suite() {
  static const std::string kPlain = "host;x-amz-date";
  static const std::string kVanilla =
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
  static const std::string kForm = "application/x-www-form-urlencoded";
  static const std::vector<Vector> vectors = {
      {"get-vanilla", "GET", "/", {}, {}, "", kPlain, kVanilla},
      {"get-vanilla-empty-query-key",
       "GET",
       "/",
       {{"Param1", "value1"}},
       {},
       "",
       kPlain,
       "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
      {"get-vanilla-query-order-key-case",
       "GET",
       "/",
       {{"Param2", "value2"}, {"Param1", "value1"}},
       {},
       "",
       kPlain,
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-vanilla-query-order-key",
       "GET",
       "/",
       {{"Param1", "value2"}, {"Param1", "Value1"}},
       {},
       "",
       kPlain,
       "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
      {"get-vanilla-query-order-value",
       "GET",
       "/",
       {{"Param1", "value2"}, {"Param1", "value1"}},
       {},
       "",
       kPlain,
       "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
      {"get-vanilla-query-order-encoded",
       "GET",
       "/",
       {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\u1234", "Value1"}},
       {},
       "",
       kPlain,
       "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
      {"get-vanilla-query-unreserved",
       "GET",
       "/",
       {{kUnreserved, kUnreserved}},
       {},
       "",
       kPlain,
       "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
      {"get-vanilla-utf8-query",
       "GET",
       "/",
       {{"\u1234", "bar"}},
       {},
       "",
       kPlain,
       "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {"get-vanilla-with-session-token",
       "GET",
       "/",
       {},
       {},
       "",
       "host;x-amz-date;x-amz-security-token",
       "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
       "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"},
      {"get-unreserved",
       "GET",
       "/" + kUnreserved,
       {},
       {},
       "",
       kPlain,
       "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-utf8",
       "GET",
       "/\u1234",
       {},
       {},
       "",
       kPlain,
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-header-key-duplicate",
       "GET",
       "/",
       {},
       {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
       "",
       "host;my-header1;x-amz-date",
       "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
      {"get-header-value-multiline",
       "GET",
       "/",
       {},
       {{"My-Header1", "value1\n  value2\n     value3"}},
       "",
       "host;my-header1;x-amz-date",
       "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"},
      {"get-header-value-order",
       "GET",
       "/",
       {},
       {{"My-Header1", "value4"},
        {"My-Header1", "value1"},
        {"My-Header1", "value3"},
        {"My-Header1", "value2"}},
       "",
       "host;my-header1;x-amz-date",
       "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
      {"get-header-value-trim",
       "GET",
       "/",
       {},
       {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
       "",
       "host;my-header1;my-header2;x-amz-date",
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"post-vanilla",
       "POST",
       "/",
       {},
       {},
       "",
       kPlain,
       "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"post-vanilla-query",
       "POST",
       "/",
       {{"Param1", "value1"}},
       {},
       "",
       kPlain,
       "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
      {"post-header-key-sort",
       "POST",
       "/",
       {},
       {{"My-Header1", "value1"}},
       "",
       "host;my-header1;x-amz-date",
       "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"post-header-value-case",
       "POST",
       "/",
       {},
       {{"My-Header1", "VALUE1"}},
       "",
       "host;my-header1;x-amz-date",
       "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
      {"post-x-www-form-urlencoded",
       "POST",
       "/",
       {},
       {{"Content-Type", kForm}},
       "Param1=value1",
       "content-type;host;x-amz-date",
       "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
      {"post-x-www-form-urlencoded-parameters",
       "POST",
       "/",
       {},
       {{"Content-Type", kForm + "; charset=utf8"}},
       "Param1=value1",
       "content-type;host;x-amz-date",
       "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
      {"post-sts-header-before",
       "POST",
       "/",
       {},
       {},
       "",
       "host;x-amz-date;x-amz-security-token",
       "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
       kStsToken},
      {"normalize-path/get-relative", "GET", "/example/..", {}, {}, "", kPlain, kVanilla},
      {"normalize-path/get-relative-relative",
       "GET",
       "/example1/example2/../..",
       {},
       {},
       "",
       kPlain,
       kVanilla},
      {"normalize-path/get-slash", "GET", "//", {}, {}, "", kPlain, kVanilla},
      {"normalize-path/get-slash-dot-slash", "GET", "/./", {}, {}, "", kPlain, kVanilla},
      {"normalize-path/get-slash-pointless-dot",
       "GET",
       "/./example",
       {},
       {},
       "",
       kPlain,
       "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
      {"normalize-path/get-slashes",
       "GET",
       "//example//",
       {},
       {},
       "",
       kPlain,
       "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
      {"normalize-path/get-space",
       "GET",
       "/example space/",
       {},
       {},
       "",
       kPlain,
       "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {"normalize-path/get-special-character",
       "GET",
       "/example/$delete",
       {},
       {},
       "",
       kPlain,
       "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27"},
  };
  return vectors;
}

// "Authenticating Requests: Using the Authorization Header" of the Amazon S3 API Reference:
// examplebucket, us-east-1, 2013-05-24T00:00:00Z.
const std::vector<Vector>& s3_examples() {
  static const std::vector<Vector> vectors = {
      {"GET Object with a Range",
       "GET",
       "/test.txt",
       {},
       {{"Range", "bytes=0-9"}},
       "",
       "host;range;x-amz-content-sha256;x-amz-date",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"PUT Object",
       "PUT",
       percent_encode("/test$file.text", true),
       {},
       {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
       "Welcome to Amazon S3.",
       "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"GET Bucket Lifecycle",
       "GET",
       "/",
       {{"lifecycle", ""}},
       {},
       "",
       "host;x-amz-content-sha256;x-amz-date",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"GET Bucket (List Objects)",
       "GET",
       "/",
       {{"prefix", "J"}, {"max-keys", "2"}},
       {},
       "",
       "host;x-amz-content-sha256;x-amz-date",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  return vectors;
}

constexpr int64_t kSuiteTime = 1'440'938'160'000;
constexpr int64_t kS3Time = 1'369'353'600'000;
constexpr int64_t kBotocoreTime = 1'772'323'199'000;  // 2026-02-28T23:59:59Z
constexpr std::string_view kSuiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

TEST(SigV4, PublishedTestSuite) {
  for (const Vector& v : suite()) {
    check(v, "example.amazonaws.com", {"us-east-1", "service"},
          credentials_of("AKIDEXAMPLE", kSuiteSecret, v.token), kSuiteTime, "20150830");
  }
}

TEST(SigV4, PublishedS3Examples) {
  for (const Vector& v : s3_examples()) {
    check(v, "examplebucket.s3.amazonaws.com", {"us-east-1", "s3"},
          credentials_of("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", {}),
          kS3Time, "20130524");
  }
}

// What S3's documentation gives for the steps of "GET Object".
TEST(SigV4, PublishedSteps) {
  SignedRequest request;
  request.method = "GET";
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = "/test.txt";
  request.headers = {{"Range", "bytes=0-9"},
                     {"x-amz-date", "20130524T000000Z"},
                     {"x-amz-content-sha256", sha256_hex("")}};
  std::string names;
  const SigningScope scope{"us-east-1", "s3"};
  const std::string canonical = canonical_request(request, scope, &names);
  EXPECT_EQ(canonical,
            "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
            "x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            "\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(names, "host;range;x-amz-content-sha256;x-amz-date");
  EXPECT_EQ(string_to_sign(canonical, scope, "20130524T000000Z"),
            "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
}

// Signed by botocore 1.43.11 (S3SigV4Auth, SigV4Auth) with the suite's keys.
TEST(SigV4, AgreesWithBotocore) {
  const auto keys = [](const std::string& token) {
    return credentials_of("AKIDEXAMPLE", kSuiteSecret, token);
  };
  check({"a key with everything S3 allows",
         "PUT",
         percent_encode("/a b/%/+~\u00e4//..'()*", true),
         {},
         {{"x-amz-storage-class", "DEEP_ARCHIVE"}, {"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}},
         "coldshelf",
         "content-md5;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;"
         "x-amz-storage-class",
         "57732aaa65d495814b365bd54c1f3c77151937414a785b396edb0398a5cbd147"},
        "shelf.s3.eu-central-1.amazonaws.com", {"eu-central-1", "s3"}, keys("token/+=x"),
        kBotocoreTime, "20260228");
  check({"path style, a port, a query to be encoded",
         "GET",
         "/bucket",
         {{"list-type", "2"},
          {"prefix", "p/q r"},
          {"delimiter", "/"},
          {"continuation-token", "a+b="},
          {"versions", ""}},
         {},
         "",
         "host;x-amz-content-sha256;x-amz-date",
         "9bc5bd2507419b225af91aadd0217856015895765c58efaa6693ebcb8020b077"},
        "127.0.0.1:19520", {"us-east-1", "s3"}, keys(""), kBotocoreTime, "20260228");
  check({"a secret longer than a block of SHA-256",
         "DELETE",
         "/b/k",
         {},
         {},
         "",
         "host;x-amz-content-sha256;x-amz-date",
         "79c21f08d348dcf98b49ad8a1d8a9846e61cf745769d5da7fb743af90e17c8c5"},
        "h.example", {"us-east-1", "s3"}, credentials_of("AKIDEXAMPLE", std::string(200, 's'), {}),
        kBotocoreTime, "20260228");
  check({"KMS",
         "POST",
         "/",
         {},
         {{"X-Amz-Target", "TrentService.Decrypt"}, {"Content-Type", "application/x-amz-json-1.1"}},
         R"({"CiphertextBlob":"AA=="})",
         "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
         "9964bbf2d1c4cc3c99b747a21adefe7f4998d24f8fd61bfccbbac6d1c949222c"},
        "kms.eu-west-1.amazonaws.com", {"eu-west-1", "kms"}, keys("tok"), kBotocoreTime,
        "20260228");
  check({"an encoded path is encoded once more outside S3",
         "GET",
         "/a%20b/./c/..//d%2Fe/",
         {},
         {},
         "",
         "host;x-amz-date",
         "fc4fa4e13bf34a270a199b403a03ec2912e946d8e1e240f02107305926a29fca"},
        "h.example", {"us-east-1", "execute-api"}, keys(""), kBotocoreTime, "20260228");
}

TEST(SigV4, UnsignedPayloadsAreNamedAsSuch) {
  SignedRequest request;
  request.method = "PUT";
  request.host = "h";
  request.path = "/k";
  for (const std::string_view hash : {kUnsignedPayload, kStreamingUnsignedTrailer}) {
    request.payload_hash = hash;
    const SigningScope scope{"us-east-1", "s3"};
    const Pairs added = sign_v4(request, scope, credentials_of("AK", "s", {}), kS3Time);
    EXPECT_EQ(value_of(added, "x-amz-content-sha256"), hash);
    EXPECT_TRUE(canonical_request(request, scope, nullptr).ends_with("\n" + std::string(hash)));
  }
  // No hash given: the one of an empty body.
  request.payload_hash.clear();
  const Pairs added = sign_v4(request, {"us-east-1", "s3"}, credentials_of("AK", "s", {}), kS3Time);
  EXPECT_EQ(value_of(added, "x-amz-content-sha256"), sha256_hex(""));
}

TEST(SigV4, TheSecretIsInNoHeader) {
  SignedRequest request;
  request.method = "GET";
  request.host = "h";
  request.path = "/";
  for (const auto& [name, value] :
       sign_v4(request, {"r", "s3"}, credentials_of("AK", "sEcReT", "token"), kS3Time)) {
    EXPECT_EQ((name + value).find("sEcReT"), std::string::npos) << name;
  }
}

TEST(PercentEncode, Rfc3986) {
  EXPECT_EQ(percent_encode(kUnreserved, false), kUnreserved);
  EXPECT_EQ(percent_encode("a/b c", true), "a/b%20c");
  EXPECT_EQ(percent_encode("a/b c", false), "a%2Fb%20c");
  EXPECT_EQ(percent_encode("+!'()*%\xff\n", false), "%2B%21%27%28%29%2A%25%FF%0A");
  EXPECT_EQ(percent_encode(std::string_view("\0", 1), true), "%00");
  EXPECT_EQ(percent_encode("", true), "");
}

TEST(StaticCredentials, GivesWhatItGot) {
  auto provider = make_static_credentials(credentials_of("AK", "secret", "token"));
  auto got = provider->get();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->access_key_id, "AK");
  EXPECT_EQ(got->secret_access_key.reveal(), "secret");
  EXPECT_EQ(got->session_token, "token");
  EXPECT_EQ(make_static_credentials(credentials_of("AK", "", {}))->get().error().code,
            ErrorCode::permission);
}

}  // namespace
}  // namespace coldshelf::test
