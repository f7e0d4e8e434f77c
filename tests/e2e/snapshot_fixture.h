// A gateway, and AWS's stand-in for it.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "base/sha256.h"
#include "tests/e2e/gateway.h"
#include "tests/support/ebs_standin.h"

namespace coldshelf::test {

inline constexpr const char* kOther = "444455556666";

class SnapshotTest : public ::testing::Test {
 protected:
  SnapshotTest() {
    EbsStandinOptions options;
    options.accounts = {EbsAccount{}, {kOther, "AKIAOTHERACCOUNT", "other-secret"}};
    options.limits = {0, 0, 0, 0, 0, 0, 0, 0, 1000, 100, 100'000};
    auto started = EbsStandin::start(options);
    CHECK(started.ok());
    aws = std::move(*started);
    aws->add_role(role(), {EbsAccount{}.id}, "shared");
    setenv("COLDSHELF_TEST_AWS_SECRET", EbsAccount{}.secret_key.c_str(), 1);
    gateway = std::make_unique<Gateway>(configuration());
  }
  static std::string role() { return "arn:aws:iam::" + std::string(kOther) + ":role/backup"; }
  std::string configuration() const {
    const std::string at = "\"" + aws->endpoint() + "\"\n";
    return "[aws]\nregion = \"us-east-1\"\naccess_key_id = \"" + EbsAccount{}.access_key +
           "\"\nsecret_key_env = \"COLDSHELF_TEST_AWS_SECRET\"\nrequests = 16\ntimeout = \"5s\"\n"
           "ebs_endpoint = " +
           at + "ec2_endpoint = " + at + "sts_endpoint = " + at +
           "[[account]]\nname = \"other\"\nid = \"" + kOther + "\"\nrole_arn = \"" + role() +
           "\"\nexternal_id = \"shared\"\nregions = [\"eu-central-1\"]\n";
  }
  // What a raw image must be for a snapshot: its digest.
  std::string digest_of(const std::string& snapshot, uint64_t gib) const {
    Sha256 all;
    const Buffer zeros(kEbsBlockBytes, std::byte{0});
    for (uint64_t block = 0; block < gib * kEbsBlocksPerGib; ++block) {
      const auto bytes = aws->snapshot_block(snapshot, block);
      all.update(bytes ? ByteView(*bytes) : ByteView(zeros));
    }
    return to_hex(all.finish());
  }
  static std::string digest_of_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    Sha256 all;
    std::vector<char> chunk(1 << 20);
    while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), in.gcount() > 0) {
      all.update(as_view(std::string_view(chunk.data(), static_cast<size_t>(in.gcount()))));
    }
    return to_hex(all.finish());
  }
  // The job of an order; succeeded in the end.
  nlohmann::json follow(const nlohmann::json& ordered) {
    SystemClock clock;
    for (int i = 0; i < 1200; ++i) {
      const nlohmann::json jobs = gateway->json({"job", "list"});
      for (const nlohmann::json& job : jobs.is_array() ? jobs : jobs["Jobs"]) {
        if (job["JobId"] != ordered["JobId"]) continue;
        const std::string state = job["State"];
        if (state == "failed" || state == "succeeded" || state == "cancelled") return job;
      }
      clock.sleep_ms(100);
    }
    return {};
  }
  nlohmann::json pull(std::vector<std::string> more) {
    more.insert(more.begin(), {"snapshot", "pull"});
    const nlohmann::json job = follow(gateway->json(more));
    EXPECT_EQ(job.value("State", ""), "succeeded") << job;
    return job;
  }

  std::unique_ptr<EbsStandin> aws;
  std::unique_ptr<Gateway> gateway;
};

}  // namespace coldshelf::test
