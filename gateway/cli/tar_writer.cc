#include "gateway/cli/tar_writer.h"

#include <algorithm>
#include <cstdio>

namespace coldshelf::cli {

namespace {

constexpr size_t kBlock = 512;
constexpr size_t kFlushBytes = 1 * MiB;
constexpr uint64_t kUstarMaxSize = 077777777777;  // eleven octal digits

std::string partial_path(const std::string& path) { return path + ".partial"; }

void put_text(Buffer& block, size_t at, std::string_view text) {
  std::transform(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at),
                 [](char c) { return static_cast<std::byte>(c); });
}

void put_octal(Buffer& block, size_t at, size_t digits, uint64_t value) {
  std::string text(digits, '0');
  for (size_t i = digits; i-- > 0; value >>= 3) text[i] = static_cast<char>('0' + (value & 7));
  put_text(block, at, text);
}

// POSIX.1-2017 pax, "ustar Interchange Format".
Buffer ustar_block(const std::string& name, char type, uint64_t size, int64_t modified_unix_s) {
  Buffer block(kBlock, std::byte{0});
  put_text(block, 0, name.substr(0, 100));
  put_octal(block, 100, 7, 0644);
  put_octal(block, 108, 7, 0);
  put_octal(block, 116, 7, 0);
  put_octal(block, 124, 11, std::min(size, kUstarMaxSize));
  put_octal(block, 136, 11, static_cast<uint64_t>(std::max<int64_t>(0, modified_unix_s)));
  put_text(block, 148, "        ");
  block[156] = static_cast<std::byte>(type);
  put_text(block, 257, std::string_view("ustar\00000", 8));
  put_text(block, 265, "root");
  put_text(block, 297, "root");
  uint64_t sum = 0;
  for (const std::byte b : block) sum += std::to_integer<uint64_t>(b);
  put_octal(block, 148, 6, sum);
  block[154] = std::byte{0};
  return block;
}

// The size stands in an extended header as well, for members of 8 GiB and more.
Buffer member_header(const std::string& name, uint64_t size, int64_t modified_unix_s) {
  char record[32];
  std::snprintf(record, sizeof record, "29 size=%020llu\n", static_cast<unsigned long long>(size));
  const std::string_view text = record;
  Buffer out = ustar_block("pax/" + name.substr(0, 90), 'x', text.size(), modified_unix_s);
  Buffer body(kBlock, std::byte{0});
  put_text(body, 0, text);
  append(out, body);
  append(out, ustar_block(name, '0', size, modified_unix_s));
  return out;
}

}  // namespace

Result<std::unique_ptr<TarWriter>> TarWriter::create(FileSystem& files, const std::string& path,
                                                     bool overwrite) {
  ASSIGN_OR_RETURN(const bool there, files.exists(path));
  if (there && !overwrite) {
    return Error(ErrorCode::exists, path + " is there already; --force replaces it");
  }
  Status stale = files.remove(partial_path(path));
  if (!stale.ok() && stale.error().code != ErrorCode::not_found) return stale.error();
  ASSIGN_OR_RETURN(auto file, files.open(partial_path(path), OpenMode::create));
  return std::unique_ptr<TarWriter>(new TarWriter(files, path, std::move(file)));
}

TarWriter::~TarWriter() {
  if (!file_) return;
  file_.reset();
  const Status removed = files_.remove(partial_path(path_));
  if (!removed.ok()) {
    std::fprintf(stderr, "coldshelf: %s stays behind: %s\n", partial_path(path_).c_str(),
                 removed.error().context.c_str());
  }
}

Status TarWriter::flush() {
  TRY(file_->write_at(written_, pending_));
  written_ += pending_.size();
  pending_.clear();
  return {};
}

Status TarWriter::append(ByteView bytes) {
  member_bytes_ += bytes.size();
  coldshelf::append(pending_, bytes);
  return pending_.size() >= kFlushBytes ? flush() : Status();
}

Status TarWriter::begin_member(const std::string& name, int64_t modified_unix_s) {
  member_name_ = name;
  modified_unix_s_ = modified_unix_s;
  header_at_ = written_ + pending_.size();
  coldshelf::append(pending_, member_header(name, 0, modified_unix_s));
  member_bytes_ = 0;
  return {};
}

Status TarWriter::end_member() {
  const size_t odd = member_bytes_ % kBlock;
  if (odd != 0) pending_.resize(pending_.size() + kBlock - odd, std::byte{0});
  TRY(flush());
  return file_->write_at(header_at_, member_header(member_name_, member_bytes_, modified_unix_s_));
}

Status TarWriter::add_member(const std::string& name, int64_t modified_unix_s, ByteView content) {
  TRY(begin_member(name, modified_unix_s));
  TRY(append(content));
  return end_member();
}

Status TarWriter::finish() {
  pending_.resize(pending_.size() + 2 * kBlock, std::byte{0});
  TRY(flush());
  TRY(file_->sync());
  TRY(files_.rename(partial_path(path_), path_));
  file_.reset();
  return files_.sync_directory(parent_directory(path_));
}

}  // namespace coldshelf::cli
