#include "gateway/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "gateway/barcode.h"
#include "gateway/units.h"

namespace coldshelf {
namespace {

std::string error_of(const std::string& text) {
  auto parsed = parse_config(text, "c.toml", "/etc", "/data");
  return parsed.ok() ? "accepted" : parsed.error().context;
}

TEST(Config, DefaultsLieBelowTheDataDirectory) {
  auto config = default_config("/srv/tapes");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->api.socket, "/srv/tapes/coldshelf.sock");
  EXPECT_EQ(config->store.path, "/srv/tapes/store");
  EXPECT_EQ(config->cartridges_dir(), "/srv/tapes/cartridges");
  EXPECT_EQ(config->iscsi.listen, std::vector<std::string>{"127.0.0.1:3260"});
  EXPECT_EQ(config->pools.size(), 2U);
}

TEST(Config, ReadsValuesAndRelativePaths) {
  auto config = parse_config(
      "[gateway]\nname = 'lab-1'\ndata_dir = 'd'\n[cartridge]\nsegment_size = '32MiB'\nlevel = -3\n"
      "[library]\nexport_delay = '2m'\n[cache]\nlimit = 1048576\n"
      "[[pool]]\nname = 'cold'\nstorage_class = 'DEEP_ARCHIVE'\n",
      "c.toml", "/etc/coldshelf");
  ASSERT_TRUE(config.ok()) << config.error().context;
  EXPECT_EQ(config->gateway.data_dir, "/etc/coldshelf/d");
  EXPECT_EQ(config->cartridge.segment_bytes, 32 * MiB);
  EXPECT_EQ(config->cartridge.level, -3);
  EXPECT_EQ(config->library.export_delay_ms, 120'000);
  EXPECT_EQ(config->cache.limit_bytes, MiB);
  ASSERT_EQ(config->pools.size(), 1U);
  EXPECT_EQ(config->pools[0].storage_class, "DEEP_ARCHIVE");
}

TEST(Config, RefusesWithLineAndColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"[iscsi]\nlistn = ['127.0.0.1']\n",
       "c.toml:2:1: unknown key 'iscsi.listn'; did you mean 'iscsi.listen'?"},
      {"[librar]\nslots = 1\n", "c.toml:1:2: unknown key 'librar'"},
      {"\n[library]\n  slots = 0\n", "c.toml:3:11: library.slots: is 0; it must be between 1 and"},
      {"[library]\nslots = '4'\n", "c.toml:2:9: library.slots: must be a whole number"},
      {"[library]\ndrives = 256\n", "c.toml:2:10: library.drives: is 256"},
      {"[library]\nslots = 3200\nimport_export_slots = 1\n",
       "c.toml:2:1: library.slots: slots and"},
      {"[library]\nchanger = 'STK'\n", "c.toml:2:11: library.changer: is \"STK\"; known changers"},
      {"[library]\ndrive_model = 'X'\n",
       "c.toml:2:15: library.drive_model: is \"X\"; known drives"},
      {"[library]\non_export = 'burn'\n", "c.toml:2:13: library.on_export: is \"burn\"; it must"},
      {"[cartridge]\nsegment_size = '1KiB'\n",
       "c.toml:2:16: cartridge.segment_size: is 1KiB; it must be between 1MiB and 1GiB"},
      {"[cartridge]\nsegment_size = '64 potatoes'\n",
       "c.toml:2:16: cartridge.segment_size: '64 po"},
      {"[cartridge]\nlevel = 99\n", "c.toml:2:9: cartridge.level: is 99"},
      {"[iscsi]\nnop_interval = '30'\n", "c.toml:2:16: iscsi.nop_interval: '30' is not a duration"},
      {"[iscsi]\nallow_unauthenticated = 1\n", "c.toml:2:25: iscsi.allow_unauthenticated: must be"},
      {"[iscsi]\nlisten = []\n", "c.toml:2:10: iscsi.listen: must be a list"},
      {"[iscsi]\nlisten = ['localhost']\n", "c.toml:2:10: iscsi.listen: 'localhost' is not a num"},
      {"[iscsi]\nlisten = ['127.0.0.1:99999']\n", "is not a port between 0 and 65535"},
      {"[iscsi]\nlisten = ['0.0.0.0:3260']\n",
       "c.toml:2:1: iscsi.listen: 0.0.0.0:3260 is reachable from other machines"},
      {"[iscsi.chap]\nuser = 'u'\n", "c.toml:2:1: iscsi.chap.user: needs iscsi.chap.secret_file"},
      {"[iscsi.chap]\nsecret_env = 'S'\n", "c.toml:2:1: iscsi.chap.secret_env: needs iscsi.chap.u"},
      {"[iscsi.chap]\nmutual_user = 'm'\nmutual_secret_env = 'S'\n", "needs one-way CHAP too"},
      {"[encryption]\nkey_file = 'a'\nkey_env = 'B'\n", "c.toml:3:1: encryption.key_env: give"},
      {"[encryption]\nkms_region = 'x'\n", "kms_... settings need kms_key_id"},
      {"[[encryption.old_key]]\nkey_env = 'B'\n", "needs a key that is in use"},
      {"[encryption]\nkey_env='A'\n[[encryption.old_key]]\n",
       "c.toml:3:1: encryption.old_key: needs"},
      {"[encryption]\nkey_env='A'\n[[encryption.old_key]]\nkey='B'\n",
       "c.toml:4:1: unknown key 'encryption.old_key.key'"},
      {"[encryption]\nkey_env='A'\n[[encryption.old_key]]\nkey_env='B'\nkey_command='c'\n",
       "not several"},
      {"[[pool]]\nname = 'x'\nstorage_class = 'ICE'\n", "c.toml:3:17: pool.storage_class: 'ICE'"},
      {"[[pool]]\nname = 'x'\n[[pool]]\nname = 'x'\n", "pool 'x' is there twice"},
      {"[[pool]]\nnam = 'x'\n", "c.toml:2:1: unknown key 'pool.nam'; did you mean 'pool.name'?"},
      {"[gateway]\nname = 'Big Name'\n", "c.toml:2:8: gateway.name: is \"Big Name\""},
      {"library = 3\n", "c.toml:1:1: library must be a table"},
      {"[library\n", "c.toml:1:9: "},
      {"[alarms.cache_dirty]\nraise = 101\n", "c.toml:2:9: alarms.cache_dirty.raise: is 101"},
      {"[alarms.cache_dirty]\nraise = 60\n", "alarms.cache_dirty.clear: must be below raise"},
      {"[alarms.io_wait]\nclear = 20\n", "c.toml:2:1: alarms.io_wait.clear: must be below raise"},
      {"[alarms.io_wait]\nrise = 20\n", "c.toml:2:1: unknown key 'alarms.io_wait.rise'; did you"},
      {"[alarms.nonsense]\nafter = '1m'\n", "c.toml:1:9: unknown key 'alarms.nonsense'"},
      {"[log]\nlevel = 'loud'\n", "c.toml:2:9: log.level: is \"loud\"; it must be one of"},
  };
  for (const auto& [text, wanted] : cases) {
    EXPECT_NE(error_of(text).find(wanted), std::string::npos) << text << "gave: " << error_of(text);
  }
}

// Segments that are being written are in the buffer, and only what is sealed leaves it.
TEST(Config, ABufferThatWritersFillAloneIsRefused) {
  const std::string before =
      "[library]\ndrives = 2\n[cartridge]\nsegment_size = '8MiB'\n[buffer]\nlimit = '";
  for (const char* fits : {"0B", "35MiB", "1GiB"}) {
    EXPECT_TRUE(parse_config(before + fits + "'\n", "c.toml", "/etc", "/data").ok()) << fits;
  }
  for (const char* small : {"1B", "24MiB", "34MiB"}) {
    const std::string why = error_of(before + small + "'\n");
    EXPECT_NE(why.find("c.toml:6:1: buffer.limit: is too small"), std::string::npos) << why;
    for (const char* part :
         {"library.drives = 2", "cartridge.segment_size = \"8MiB\"", "\"35MiB\""}) {
      EXPECT_NE(why.find(part), std::string::npos) << why;
    }
  }
}

TEST(Config, NeedsADataDirectory) {
  auto parsed = parse_config("", "c.toml", "/etc");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().context.find("gateway.data_dir: is needed"), std::string::npos);
}

TEST(Config, AnOverlongSocketPathIsRefused) {
  auto parsed = default_config("/" + std::string(120, 'x'));
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().context.find("107"), std::string::npos);
}

TEST(Config, EffectiveConfigurationReadsBack) {
  auto first = parse_config(
      "[iscsi]\nlisten = ['127.0.0.1:1', '[::1]:2']\n[store]\n"
      "restore_bulk = '90s'\n",
      "c.toml", "/etc", "/data");
  ASSERT_TRUE(first.ok());
  const std::string text = effective_config(*first);
  auto second = parse_config(text, "again.toml", "/elsewhere");
  ASSERT_TRUE(second.ok()) << second.error().context << "\n" << text;
  EXPECT_EQ(effective_config(*second), text);
}

TEST(Config, TheExampleHasEveryKeyAndItsDefault) {
  std::ifstream in(COLDSHELF_EXAMPLE_CONFIG);
  std::ostringstream content;
  content << in.rdbuf();
  const std::string text = content.str();
  ASSERT_FALSE(text.empty());
  auto example = parse_config(text, "example", "/etc");
  ASSERT_TRUE(example.ok()) << example.error().context;
  auto defaults = default_config("/var/lib/coldshelf");
  ASSERT_TRUE(defaults.ok());
  EXPECT_EQ(effective_config(*example), effective_config(*defaults));
  for (const std::string& key : config_keys()) {
    const std::string table = key.substr(0, key.rfind('.'));
    const std::string name = key.substr(key.rfind('.') + 1);
    // Those that have no default are shown as comments.
    const bool is_hidden = text.find("\n# [[" + table + "]]\n") != std::string::npos;
    const std::string hidden = is_hidden ? "# " : "";
    const std::string header = table == "pool"   ? "\n[[pool]]\n"
                               : !hidden.empty() ? "\n# [[" + table + "]]\n"
                                                 : "\n[" + table + "]\n";
    const size_t begin = text.find(header);
    ASSERT_NE(begin, std::string::npos) << header;
    const size_t end = text.find("\n[", begin + header.size() - 1);
    EXPECT_NE(text.substr(begin, end - begin).find("\n" + hidden + name + " = "), std::string::npos)
        << key;
  }
}

TEST(Config, PoliciesAreReadShownAndReadAgain) {
  const std::string text =
      "[[policy]]\nname = \"nightly\"\nschedule = \"*-*-* 02:30\"\ntags = { Backup = \"true\" }\n"
      "pre_command = [\"freeze\", \"{instance}\"]\npost_command = \"thaw '{instance}'\"\n"
      "keep_in_aws = { last = 2, age = \"7d\" }\n";
  const auto config = parse_config(text, "c", "/", "/data");
  ASSERT_TRUE(config.ok()) << config.error().context;
  ASSERT_EQ(config->policies.size(), 1U);
  EXPECT_EQ(config->policies[0].keep_in_aws.keep_last, 2U);
  EXPECT_EQ(config->policies[0].commands.post, (std::vector<std::string>{"thaw", "{instance}"}));
  const auto again = parse_config(effective_config(*config), "c", "/", "/data");
  ASSERT_TRUE(again.ok()) << again.error().context;
  EXPECT_EQ(again->policies, config->policies);
  const auto error = [](const std::string& more) {
    const auto parsed = parse_config("[[policy]]\nname = \"p\"\n" + more, "c", "/", "/data");
    return parsed.ok() ? "accepted" : parsed.error().context;
  };
  const std::string hour = error("tags = { A = \"1\" }\nschedule = \"99:00\"\n");
  EXPECT_EQ(hour.find("c:4:12: policy.schedule: "), 0U) << hour;
  EXPECT_NE(hour.find("the hour is from 0 to 23"), std::string::npos) << hour;
  EXPECT_NE(error("tags = { A = \"1\" }\nretention = 3\n").find("unknown key"), std::string::npos);
  EXPECT_NE(error("tags = { A = \"1\" }\n[[policy]]\nname = \"p\"\ntags = { A = \"1\" }\n")
                .find("is there twice"),
            std::string::npos);
}

TEST(Config, NotificationsNeedWhatTheirTypeNeeds) {
  const auto error = [](const std::string& more) {
    const auto parsed = parse_config("[[notify]]\nname = \"n\"\n" + more, "c", "/", "/data");
    return parsed.ok() ? "accepted" : parsed.error().context;
  };
  EXPECT_EQ(error("type = \"webhook\"\nurl = \"https://x/y\"\n"), "accepted");
  EXPECT_EQ(error("type = \"sns\"\ntopic_arn = \"arn\"\nat_least = \"error\"\n"), "accepted");
  EXPECT_NE(error("type = \"pager\"\n").find("must be \"webhook\""), std::string::npos);
  EXPECT_NE(error("type = \"mail\"\nurl = \"smtp://h\"\n").find("needs from"), std::string::npos);
  EXPECT_NE(error("type = \"sns\"\ntopic_arn = \"a\"\nurl = \"x\"\n").find("is not for type"),
            std::string::npos);
  EXPECT_NE(error("type = \"webhook\"\nurl = \"u\"\nat_least = \"all\"\n").find("at_least"),
            std::string::npos);
  EXPECT_NE(error("type = \"webhook\"\nurl = \"ftp://x\"\n").find("must begin with https://"),
            std::string::npos);
  EXPECT_NE(error("type = \"mail\"\nurl = \"h\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n")
                .find("must begin with smtp://"),
            std::string::npos);
  const auto config = parse_config(
      "[[notify]]\nname = \"n\"\ntype = \"mail\"\nurl = \"smtp://h\"\nfrom = \"a@b\"\n"
      "to = [\"c@d\"]\npassword_file = \"pw\"\nuser = \"u\"\n",
      "c", "/etc", "/data");
  ASSERT_TRUE(config.ok()) << config.error().context;
  EXPECT_EQ(config->notify.at(0).password_file, "/etc/pw");
  const auto again = parse_config(effective_config(*config), "c", "/etc", "/data");
  ASSERT_TRUE(again.ok()) << again.error().context;
  EXPECT_EQ(again->notify.at(0).to, config->notify.at(0).to);
}

TEST(Config, BandwidthLimits) {
  const auto config = parse_config(
      "[[bandwidth]]\ndays = \"Mon-Fri\"\nfrom = \"08:00\"\nto = \"18:00\"\nupload = \"20MB/s\"\n"
      "[[bandwidth]]\ndownload = \"1MiB/s\"\n",
      "c", "/", "/data");
  ASSERT_TRUE(config.ok()) << config.error().context;
  ASSERT_EQ(config->bandwidth.size(), 2U);
  EXPECT_EQ(config->bandwidth[0].days, 0x1FU);
  EXPECT_EQ(config->bandwidth[0].limits, (BandwidthLimits{20'000'000, 0}));
  EXPECT_EQ(config->bandwidth[1].from_minute, 0U);
  EXPECT_EQ(config->bandwidth[1].to_minute, 1440U);
  EXPECT_EQ(config->bandwidth[1].limits, (BandwidthLimits{0, MiB}));
  // What is shown is what can be read.
  const auto again = parse_config(effective_config(*config), "c", "/");
  ASSERT_TRUE(again.ok()) << again.error().context;
  EXPECT_EQ(effective_config(*again), effective_config(*config));
  const std::pair<const char*, const char*> bad[] = {
      {"[[bandwidth]]\nupload = \"20MB\"\n", "is no rate"},
      {"[[bandwidth]]\nupload = \"1KB/s\"\n", "at least 128KiB/s"},
      {"[[bandwidth]]\nupload = 5\n", "must be a string"},
      {"[[bandwidth]]\ndays = \"Monday\"\n", "are no days"},
      {"[[bandwidth]]\nto = \"25:00\"\n", "is no time of day"},
      {"[[bandwidth]]\nfrom = \"24:00\"\n", "23:59"},
      {"[[bandwidth]]\nuplod = \"none\"\n", "did you mean 'bandwidth.upload'"},
      {"[bandwidth]\nupload = \"none\"\n", "[[bandwidth]] tables"}};
  for (const auto& [text, why] : bad) {
    const auto refused = parse_config(text, "c", "/", "/data");
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.error().context.find(why), std::string::npos) << refused.error().context;
    EXPECT_TRUE(refused.error().context.starts_with("c:1:") ||
                refused.error().context.starts_with("c:2:"))
        << refused.error().context;
  }
}

TEST(ConfigKeys, OldOnesAreReadAndShown) {
  auto config = parse_config(
      "[encryption]\nkms_key_id = 'alias/tapes'\nkms_region = 'eu-west-1'\nkms_ca_file = 'ca.pem'\n"
      "[[encryption.old_key]]\nkey_file = 'old.key'\n"
      "[[encryption.old_key]]\nkey_command = \"pass show 'my key'\"\n",
      "c.toml", "/etc/coldshelf", "/data");
  ASSERT_TRUE(config.ok()) << config.error().context;
  EXPECT_TRUE(config->encryption.enabled());
  EXPECT_EQ(config->encryption.kms_ca_file, "/etc/coldshelf/ca.pem");
  ASSERT_EQ(config->encryption.old_keys.size(), 2U);
  EXPECT_EQ(config->encryption.old_keys[0].key_file, "/etc/coldshelf/old.key");
  EXPECT_EQ(config->encryption.old_keys[1].key_command, "pass show 'my key'");
  auto again = parse_config(effective_config(*config), "effective", "/");
  ASSERT_TRUE(again.ok()) << again.error().context;
  EXPECT_EQ(effective_config(*again), effective_config(*config));
}

TEST(Units, Sizes) {
  EXPECT_EQ(*parse_size("1.5TiB"), 3 * TiB / 2);
  EXPECT_EQ(*parse_size("64 MiB"), 64 * MiB);
  EXPECT_EQ(*parse_size("10GB"), 10'000'000'000U);
  EXPECT_EQ(*parse_size("512"), 512U);
  for (const char* bad : {"", "x", "-1", "1.5", "1.x GiB", "99999999999TiB", "1 gib", "1e3"}) {
    EXPECT_FALSE(parse_size(bad).ok()) << bad;
  }
  EXPECT_EQ(format_exact_size(3 * MiB), "3MiB");
  EXPECT_EQ(format_size(1536 * MiB), "1.5 GiB");
}

TEST(Units, Durations) {
  EXPECT_EQ(*parse_duration_ms("1.5s"), 1'500);
  EXPECT_EQ(*parse_duration_ms("12h"), 43'200'000);
  EXPECT_EQ(*parse_duration_ms("0"), 0);
  for (const char* bad : {"", "5", "s", "0.5ms", "1 fortnight"}) {
    EXPECT_FALSE(parse_duration_ms(bad).ok()) << bad;
  }
}

TEST(Units, LoopbackIsKnown) {
  EXPECT_TRUE(is_loopback(*parse_listen_address("127.3.4.5", 1)));
  EXPECT_TRUE(is_loopback(*parse_listen_address("[::1]:5", 1)));
  EXPECT_FALSE(is_loopback(*parse_listen_address("[::]:5", 1)));
  EXPECT_FALSE(is_loopback(*parse_listen_address("10.0.0.1:5", 1)));
}

TEST(Barcodes, RuleAndCounting) {
  for (const char* bad : {"ABC1", "ABCDEFGHIJKLMNOPQ", "abc001L8", "ABC-01L8", "ABC 01L8", ""}) {
    EXPECT_FALSE(check_barcode(bad).ok()) << bad;
  }
  EXPECT_TRUE(check_barcode("ABC001L8").ok());
  auto three = count_barcodes("ABC098L8", 3);
  ASSERT_TRUE(three.ok());
  EXPECT_EQ(*three, (std::vector<std::string>{"ABC098L8", "ABC099L8", "ABC100L8"}));
  EXPECT_EQ((*count_barcodes("TAPE1X", 2))[1], "TAPE2X");
  EXPECT_FALSE(count_barcodes("ABC999L8", 2).ok());
  EXPECT_FALSE(count_barcodes("ABCDEF", 2).ok());
}

}  // namespace
}  // namespace coldshelf
