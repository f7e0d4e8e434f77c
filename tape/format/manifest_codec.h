// The bytes of a manifest file: its header, and commits of edits. Used by manifest_log.cc and
// tests.
#pragma once

#include <span>

#include "tape/format/manifest.h"

namespace coldshelf {

constexpr size_t kManifestHeaderSize = 16;
constexpr size_t kManifestCommitHeaderSize = 24;

Buffer encode_manifest_header();
// One commit: `edits` that become true together, and the generation of the manifest after them.
Buffer encode_manifest_commit(std::span<const ManifestEdit> edits, uint64_t generation_after);

}  // namespace coldshelf
