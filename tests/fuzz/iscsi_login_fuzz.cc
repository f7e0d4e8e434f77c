// The login machine against arbitrary requests. An input is a row of requests: flags, the low byte
// of the TSIH, two bytes of length, text.
#include <algorithm>

#include "base/check.h"
#include "target/iscsi/login.h"
#include "tests/fuzz/fuzz.h"

using namespace coldshelf;         // NOLINT
using namespace coldshelf::iscsi;  // NOLINT

namespace {

class FakeDirectory final : public LoginDirectory {
 public:
  std::optional<TargetInfo> find_target(const std::string& name) const override {
    if (name != "iqn.t:1") return std::nullopt;
    return TargetInfo{"alias"};
  }
  LoginStatus check_session(uint16_t, const std::string&, const std::string&,
                            const std::array<std::byte, 6>&, uint16_t) const override {
    return LoginStatus::session_does_not_exist;
  }
  bool stopping() const override { return false; }
};

ServerOptions make_options(bool chap) {
  ServerOptions options;
  if (!chap) return options;
  options.chap = ChapCredentials{"user", Secret(std::string_view("initiator-secret"))};
  options.mutual = ChapCredentials{"shelf", Secret(std::string_view("the-target-secret"))};
  return options;
}

void run(ByteView input, bool chap) {
  const ServerOptions options = make_options(chap);
  const FakeDirectory directory;
  SeededRandom random(1);
  LoginMachine machine(options, directory, random);
  for (int step = 0; input.size() >= 4 && step < 64; ++step) {
    Bhs bhs(Opcode::login_request, std::to_integer<uint8_t>(input[0]));
    bhs.set8(0, 0x43);
    bhs.set16(field::kTsih, std::to_integer<uint8_t>(input[1]));
    const size_t length = std::min<size_t>(load_be<uint16_t>(&input[2]), input.size() - 4);
    const auto response = machine.on_request(bhs, input.subspan(4, length));
    input = input.subspan(4 + length);
    CHECK(response.text.size() <= kDefaultMaxRecvDataSegmentLength);
    // Nobody gets in without a proof that this input cannot contain.
    CHECK(!(chap && response.complete));
    CHECK(!(response.close && response.complete));
    if (response.close || response.complete) return;
  }
}

Buffer request(uint8_t flags, std::string text) {
  for (char& c : text)
    if (c == '|') c = '\0';
  Buffer out(4);
  out[0] = static_cast<std::byte>(flags);
  out[1] = std::byte{0};
  store_be(&out[2], static_cast<uint16_t>(text.size()));
  append(out, as_view(text));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  run(input, false);
  run(input, true);
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  const std::string hello = "InitiatorName=iqn.i:1|SessionType=Normal|TargetName=iqn.t:1|";
  std::vector<Buffer> seeds;
  seeds.push_back(request(0x87, hello + "HeaderDigest=CRC32C,None|MaxBurstLength=65536|X-a=1|"));
  seeds.push_back(request(0x87, "InitiatorName=iqn.i:1|SessionType=Discovery|InitialR2T=No|"));
  Buffer chap = request(0x00, hello + "AuthMethod=CHAP,None|");
  append(chap, request(0x00, "CHAP_A=7,5|"));
  append(chap, request(0x81,
                       "CHAP_N=user|CHAP_R=0x00112233445566778899aabbccddeeff|CHAP_I=1|"
                       "CHAP_C=0bAAECAwQFBgcICQoLDA0ODw==|"));
  append(chap, request(0x87, "MaxRecvDataSegmentLength=65536|InitialR2T=Yes|ImmediateData=No|"));
  seeds.push_back(chap);
  Buffer split = request(0x44, "InitiatorName=iqn.i:1|Targ");
  append(split, request(0x87, "etName=iqn.t:1|ErrorRecoveryLevel=2|"));
  seeds.push_back(split);
  return seeds;
}
