#!/usr/bin/env bash
# Fails when a source file is not as clang-format would have it.
set -euo pipefail
cd "$1"
files=$(git ls-files '*.h' '*.cc' 2>/dev/null || find . -name '*.h' -o -name '*.cc')
[[ -n $files ]] || { echo "no source files found" >&2; exit 1; }
xargs clang-format-14 --dry-run -Werror <<<"$files"
echo "$(wc -l <<<"$files") files are formatted"
