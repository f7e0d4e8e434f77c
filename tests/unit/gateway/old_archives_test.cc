#include "gateway/old_archives.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/log.h"
#include "tape/format/manifest.h"

namespace coldshelf::test {
namespace {

class OldArchives : public ::testing::Test {
 protected:
  void SetUp() override {
    capture_log([this](std::string_view line) { log += std::string(line) + "\n"; });
    auto opened = Catalog::open(":memory:");
    ASSERT_TRUE(opened.ok());
    catalog = std::move(*opened);
    std::string pattern = (std::filesystem::temp_directory_path() / "old-archives-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    data = pattern;
    ASSERT_TRUE(files.create_directories(data + "/cartridges").ok());
  }
  void TearDown() override {
    capture_log(nullptr);
    std::filesystem::remove_all(data);
  }

  // Its directory's name.
  std::string put(const std::string& label, uint8_t number) {
    Manifest manifest;
    manifest.uuid.bytes.fill(std::byte{number});
    manifest.label = label;
    manifest.kind = CartridgeKind::image;
    manifest.partitions.resize(1);
    const std::string name = manifest.uuid.to_string();
    EXPECT_TRUE(files.create_directories(data + "/archives/" + name).ok());
    write(data + "/archives/" + name + "/manifest", encode_manifest(manifest));
    return name;
  }
  void write(const std::string& path, const Buffer& bytes) {
    auto file = files.open(path, OpenMode::create_private);
    ASSERT_TRUE(file.ok()) << file.error().message();
    ASSERT_TRUE((*file)->write_at(0, bytes).ok());
    ASSERT_TRUE((*file)->sync().ok());
  }
  bool there(const std::string& path) { return *files.exists(path); }
  Status take_over() { return take_over_old_archives(files, *catalog, data, data + "/cartridges"); }

  PosixFileSystem files;
  std::string data;
  std::unique_ptr<Catalog> catalog;
  std::string log;
};

TEST_F(OldArchives, AllOfThemMoveAndNothingIsLeft) {
  const std::string a = put("vol-a", 1), b = put("vol-b", 2);
  ASSERT_TRUE(take_over().ok());
  EXPECT_TRUE(there(data + "/cartridges/" + a + "/manifest"));
  EXPECT_TRUE(there(data + "/cartridges/" + b + "/manifest"));
  EXPECT_FALSE(there(data + "/archives"));
  ASSERT_TRUE(take_over().ok()) << "nothing to do";
}

TEST_F(OldArchives, ADamagedOneStaysAndIsNamedWhileTheOthersMove) {
  const std::string damaged = put("vol-a", 1), whole = put("vol-b", 2), other = put("vol-c", 3);
  const std::string path = data + "/archives/" + damaged + "/manifest";
  auto bytes = files.read_file(path);
  ASSERT_TRUE(bytes.ok());
  (*bytes)[bytes->size() / 2] ^= std::byte{1};
  ASSERT_TRUE(files.remove(path).ok());
  write(path, *bytes);
  // One directory that has another's manifest.
  ASSERT_TRUE(
      files.rename(data + "/archives/" + other, data + "/archives/" + Uuid{}.to_string()).ok());
  const Status taken = take_over();
  ASSERT_TRUE(taken.ok()) << taken.error().message();
  EXPECT_TRUE(there(data + "/cartridges/" + whole));
  EXPECT_TRUE(there(path)) << "left where it is";
  EXPECT_FALSE(there(data + "/cartridges/" + damaged));
  EXPECT_NE(log.find("/archives/" + damaged), std::string::npos) << log;
  EXPECT_NE(log.find("/archives/" + Uuid{}.to_string()), std::string::npos) << log;
  EXPECT_EQ(log.find("/archives/" + whole), std::string::npos) << log;
}

}  // namespace
}  // namespace coldshelf::test
