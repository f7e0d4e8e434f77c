# cmake -DROOT=DIR -DFILES="a;b" -DOUTPUT=x.cc -P embed_files.cmake: the files' bytes as C++, for
# gateway/api/console_assets.h.
set(arrays "")
set(rows "")
set(number 0)
foreach(file IN LISTS FILES)
  file(READ "${ROOT}/${file}" hex HEX)
  file(SIZE "${ROOT}/${file}" size)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "const unsigned char kFile${number}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${file}\", kFile${number}, ${size}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}" "// Made by cmake/embed_files.cmake.
#include \"gateway/api/console_assets.h\"

namespace coldshelf {
namespace {
${arrays}const EmbeddedFile kFiles[] = {
${rows}};
}  // namespace
std::span<const EmbeddedFile> console_files() { return kFiles; }
}  // namespace coldshelf
")
