// The parts of the iSCSI target that need no socket: text, negotiation, CHAP, digests, the budget.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/random.h"
#include "target/iscsi/budget.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/negotiation.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/text.h"

namespace coldshelf::iscsi {
namespace {

Buffer bytes_of(std::initializer_list<int> values) {
  Buffer out;
  for (int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

TEST(IscsiText, ParsesPairs) {
  const std::string text("a=1\0b=\0Key.x-y+z@w_1=v=w\0\0", 26);
  const auto parsed = parse_text(as_view(text));
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->size(), 3U);
  EXPECT_EQ((*parsed)[0].value, "1");
  EXPECT_EQ((*parsed)[1].value, "");
  EXPECT_EQ((*parsed)[2].key, "Key.x-y+z@w_1");
  EXPECT_EQ((*parsed)[2].value, "v=w");
}

TEST(IscsiText, RefusesWhatIsMalformed) {
  for (const std::string& bad :
       {std::string("a=1"), std::string("abc\0", 4), std::string("=1\0", 3),
        std::string(64, 'k') + std::string("=1\0", 3), std::string("k k=1\0", 6),
        "k=" + std::string(kMaxValueLength + 1, 'v') + std::string(1, '\0')})
    EXPECT_FALSE(parse_text(as_view(bad)).ok()) << bad.substr(0, 20);
  std::string many;
  for (size_t i = 0; i <= kMaxKeysPerExchange; ++i) append_key(many, "k" + std::to_string(i), "");
  EXPECT_FALSE(parse_text(as_view(many)).ok());
}

TEST(IscsiText, NumbersAndBinaryValues) {
  EXPECT_EQ(parse_number("0"), 0U);
  EXPECT_EQ(parse_number("262144"), 262144U);
  EXPECT_EQ(parse_number("0x1F"), 31U);
  EXPECT_EQ(parse_number("0X1f"), 31U);
  for (const char* bad : {"", "-1", "1 ", "0x", "12a", "18446744073709551616", "+1"})
    EXPECT_FALSE(parse_number(bad)) << bad;
  EXPECT_EQ(parse_binary("0x0102ff"), bytes_of({1, 2, 255}));
  EXPECT_EQ(parse_binary("0X102"), bytes_of({1, 2}));
  EXPECT_EQ(parse_binary("0bAQL/"), bytes_of({1, 2, 255}));
  for (const char* bad : {"", "0x", "0b", "0102", "0xzz", "0b*"})
    EXPECT_FALSE(parse_binary(bad)) << bad;
  EXPECT_FALSE(parse_binary("0x" + std::string(2 * kMaxBinaryLength + 2, '0')));
}

TEST(IscsiText, Names) {
  EXPECT_TRUE(is_valid_name("iqn.2026-11.io.coldshelf:gw-tapedrive-01"));
  EXPECT_TRUE(is_valid_name("eui.02004567a425678d"));
  EXPECT_FALSE(is_valid_name("iqn.x y"));
  EXPECT_FALSE(is_valid_name("disk1"));
  EXPECT_FALSE(is_valid_name("iqn." + std::string(220, 'a')));
  EXPECT_EQ(normalize_name("IQN.2026-11.Io:X"), "iqn.2026-11.io:x");
}

struct NegotiationCase {
  const char *key, *offer, *answer;  // nullptr: none
};
class IscsiNegotiation : public ::testing::TestWithParam<NegotiationCase> {};
TEST_P(IscsiNegotiation, Answers) {
  NegotiationLimits limits;
  limits.initial_r2t = false;
  limits.immediate_data = true;
  OperationalNegotiation negotiation(limits, false);
  std::string reply;
  EXPECT_TRUE(negotiation.handle(GetParam().key, GetParam().offer, reply));
  std::string expected;
  if (GetParam().answer != nullptr) append_key(expected, GetParam().key, GetParam().answer);
  EXPECT_EQ(reply, expected);
}
INSTANTIATE_TEST_SUITE_P(
    Table, IscsiNegotiation,
    ::testing::Values(NegotiationCase{"HeaderDigest", "CRC32C,None", "CRC32C"},
                      NegotiationCase{"HeaderDigest", "None", "None"},
                      NegotiationCase{"DataDigest", "SHA999,None", "None"},
                      NegotiationCase{"DataDigest", "SHA999", "Reject"},
                      NegotiationCase{"InitialR2T", "Yes", "Yes"},
                      NegotiationCase{"InitialR2T", "No", "No"},
                      NegotiationCase{"InitialR2T", "Maybe", "Reject"},
                      NegotiationCase{"ImmediateData", "No", "No"},
                      NegotiationCase{"ImmediateData", "Yes", "Yes"},
                      NegotiationCase{"MaxConnections", "65535", "1"},
                      NegotiationCase{"MaxConnections", "0", "Reject"},
                      NegotiationCase{"MaxConnections", "65536", "Reject"},
                      NegotiationCase{"MaxRecvDataSegmentLength", "512", nullptr},
                      NegotiationCase{"MaxRecvDataSegmentLength", "511", "Reject"},
                      NegotiationCase{"MaxRecvDataSegmentLength", "16777216", "Reject"},
                      NegotiationCase{"MaxBurstLength", "16777215", "1048576"},
                      NegotiationCase{"MaxBurstLength", "4096", "4096"},
                      NegotiationCase{"FirstBurstLength", "16777215", "262144"},
                      NegotiationCase{"DefaultTime2Wait", "0", "2"},
                      NegotiationCase{"DefaultTime2Wait", "3601", "Reject"},
                      NegotiationCase{"DefaultTime2Retain", "60", "0"},
                      NegotiationCase{"MaxOutstandingR2T", "65535", "8"},
                      NegotiationCase{"MaxOutstandingR2T", "0", "Reject"},
                      NegotiationCase{"DataPDUInOrder", "No", "Yes"},
                      NegotiationCase{"DataSequenceInOrder", "No", "Yes"},
                      NegotiationCase{"ErrorRecoveryLevel", "2", "0"},
                      NegotiationCase{"ErrorRecoveryLevel", "3", "Reject"},
                      NegotiationCase{"OFMarker", "Yes", "No"},
                      NegotiationCase{"IFMarkInt", "1~2", "Reject"},
                      NegotiationCase{"TaskReporting", "ResponseFence", "Reject"},
                      NegotiationCase{"MaxBurstLength", "NotUnderstood", nullptr}));

TEST(IscsiNegotiationRules, FirstBurstNeverExceedsMaxBurst) {
  NegotiationLimits limits;
  OperationalNegotiation negotiation(limits, false);
  std::string reply;
  negotiation.handle("MaxBurstLength", "4096", reply);
  reply.clear();
  negotiation.handle("FirstBurstLength", "65536", reply);
  EXPECT_EQ(reply, std::string("FirstBurstLength=4096\0", 22));
  EXPECT_EQ(negotiation.parameters().first_burst_length, 4096U);
}

TEST(IscsiNegotiationRules, OurSideOfTheBooleans) {
  NegotiationLimits limits;
  limits.initial_r2t = true;
  limits.immediate_data = false;
  limits.header_digest = false;
  OperationalNegotiation negotiation(limits, false);
  std::string reply;
  negotiation.handle("InitialR2T", "No", reply);
  negotiation.handle("ImmediateData", "Yes", reply);
  negotiation.handle("HeaderDigest", "CRC32C,None", reply);
  EXPECT_EQ(reply, std::string("InitialR2T=Yes\0ImmediateData=No\0HeaderDigest=None\0", 50));
  EXPECT_FALSE(negotiation.handle("Unknown", "1", reply));
}

TEST(IscsiNegotiationRules, DiscoverySessionsHaveNoData) {
  NegotiationLimits limits;
  OperationalNegotiation negotiation(limits, true);
  std::string reply;
  negotiation.handle("InitialR2T", "No", reply);
  EXPECT_EQ(reply, std::string("InitialR2T=Irrelevant\0", 22));
}

// MD5, SHA-1 and SHA-256 of 0x17 | "coldshelf-secret" | 00 01 .. 0f, computed with Python's
// hashlib.
TEST(IscsiChap, Vectors) {
  Buffer challenge;
  for (int i = 0; i < 16; ++i) challenge.push_back(static_cast<std::byte>(i));
  const Secret secret(std::string_view("coldshelf-secret"));
  EXPECT_EQ(to_hex(chap_response(ChapAlgorithm::md5, 0x17, secret, challenge)),
            "23792a8e8d80195c4e479af92b9c6c0c");
  EXPECT_EQ(to_hex(chap_response(ChapAlgorithm::sha1, 0x17, secret, challenge)),
            "9178502fd6574606607dc82941dfd3f7060d9935");
  EXPECT_EQ(to_hex(chap_response(ChapAlgorithm::sha256, 0x17, secret, challenge)),
            "e8c5f456c2448034f9063c491c5d53051961da6127c48293f219006ffd7315fd");
}

TEST(IscsiChap, ChoosesTheFirstItKnows) {
  EXPECT_EQ(choose_algorithm("8,7,5"), ChapAlgorithm::sha256);
  EXPECT_EQ(choose_algorithm("5"), ChapAlgorithm::md5);
  EXPECT_FALSE(choose_algorithm("8,9"));
  EXPECT_FALSE(choose_algorithm(""));
}

// RFC 3720 B.4: 32 bytes of zeroes, of ones, ascending.
TEST(IscsiDigest, RfcVectors) {
  EXPECT_EQ(crc32c(Buffer(32, std::byte{0})), 0x8a9136aaU);
  EXPECT_EQ(crc32c(Buffer(32, std::byte{0xff})), 0x62a8ab43U);
  Buffer ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(crc32c(ascending), 0x46dd794eU);
}

TEST(IscsiPdu, SealsLengthsPaddingAndDigests) {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::data_in);
  const Buffer first = bytes_of({1, 2, 3}), second = bytes_of({4, 5});
  pdu.parts = {first, second};
  pdu.seal(true, true);
  EXPECT_EQ(pdu.bhs.data_length(), 5U);
  EXPECT_EQ(pdu.wire_length, 48U + 4 + 5 + 3 + 4);
  EXPECT_EQ(load_le<uint32_t>(&pdu.trailer[3]), crc32c(bytes_of({1, 2, 3, 4, 5, 0, 0, 0})));
  EXPECT_EQ(load_le<uint32_t>(pdu.header_digest.data()), crc32c(pdu.bhs.bytes()));
}

TEST(IscsiPdu, Luns) {
  EXPECT_TRUE(is_lun_zero(bytes_of({0, 0, 0, 0, 0, 0, 0, 0})));
  EXPECT_TRUE(is_lun_zero(bytes_of({0x40, 0, 0, 0, 0, 0, 0, 0})));
  EXPECT_FALSE(is_lun_zero(bytes_of({0, 1, 0, 0, 0, 0, 0, 0})));
  EXPECT_FALSE(is_lun_zero(bytes_of({0, 0, 0, 1, 0, 0, 0, 0})));
  EXPECT_FALSE(is_lun_zero(bytes_of({0xc1, 0, 0, 0, 0, 0, 0, 0})));
}

TEST(IscsiPdu, SerialNumbersWrap) {
  EXPECT_TRUE(serial_less(0xffffffffU, 0));
  EXPECT_FALSE(serial_less(0, 0xffffffffU));
  EXPECT_TRUE(serial_less_equal(7, 7));
}

class IscsiBudget : public testing::Test {
 protected:
  using Share = std::shared_ptr<ByteBudget::Share>;
  static Share share() { return std::make_shared<ByteBudget::Share>(); }
  uint64_t take(const Share& who, int n, uint64_t bytes) {
    return budget->take_later(who, bytes, [this, n](std::shared_ptr<ByteBudget::Lease> lease) {
      order.push_back(n);
      leases.push_back(std::move(lease));
    });
  }
  std::shared_ptr<ByteBudget> budget = ByteBudget::create(100);
  std::vector<int> order;
  std::vector<std::shared_ptr<ByteBudget::Lease>> leases;
};

TEST_F(IscsiBudget, ServesInOrderAndNeverOvertakes) {
  auto first = budget->try_take(share(), 80);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget->try_take(share(), 30));
  take(share(), 1, 90);
  const uint64_t second = take(share(), 2, 10);
  take(share(), 3, 5);
  EXPECT_FALSE(budget->try_take(share(), 1));  // there is room, and others wait
  EXPECT_TRUE(order.empty());
  budget->cancel(second);
  first.reset();
  EXPECT_EQ(order, (std::vector<int>{1, 3}));
  EXPECT_EQ(budget->used_bytes(), 95U);
  leases.clear();
  EXPECT_EQ(budget->used_bytes(), 0U);
  EXPECT_TRUE(budget->try_take(share(), 500));  // bigger than all: alone, but served
}

TEST_F(IscsiBudget, ASessionThatHasMoreThanItLeavesWaitsForItself) {
  const Share greedy = share(), modest = share();
  auto first = budget->try_take(greedy, 30);
  auto second = budget->try_take(greedy, 20);
  ASSERT_TRUE(first && second) << "half of the whole, while nobody else wants it";
  EXPECT_FALSE(budget->try_take(greedy, 10));
  take(greedy, 1, 40);
  take(greedy, 2, 1);
  EXPECT_TRUE(order.empty()) << "the second does not go past the first";
  EXPECT_FALSE(budget->try_take(greedy, 1));
  auto other = budget->try_take(modest, 10);
  EXPECT_TRUE(other) << "nor does it hold up anybody else";
  take(modest, 3, 10);
  EXPECT_EQ(order, (std::vector<int>{3}));
  take(modest, 4, 10);
  EXPECT_EQ(order, (std::vector<int>{3})) << "the rule is for everybody";
  EXPECT_TRUE(budget->try_take(share(), 20)) << "one command, to who has none";
  first.reset();
  EXPECT_EQ(order, (std::vector<int>{3, 4}));
  second.reset();
  EXPECT_EQ(order, (std::vector<int>{3, 4, 1}));
  std::exchange(leases, {}).clear();
  EXPECT_EQ(order, (std::vector<int>{3, 4, 1, 2}));
}

// Hosts that ask for all there is, and freeze: as many as there are, a write of another has room.
TEST_F(IscsiBudget, ThereIsAlwaysSomethingLeft) {
  budget = ByteBudget::create(1024);
  for (int silent = 0; silent < 8; ++silent) {
    const Share who = share();
    for (auto lease = budget->try_take(who, 1); lease; lease = budget->try_take(who, 1))
      leases.push_back(std::move(lease));
    take(who, silent, 1);
  }
  EXPECT_TRUE(order.empty()) << "each waits for itself";
  EXPECT_EQ(budget->used_bytes(), 1020U);
  EXPECT_TRUE(budget->try_take(share(), 2));
}

}  // namespace
}  // namespace coldshelf::iscsi
