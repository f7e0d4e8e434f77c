#!/usr/bin/env python3
"""Checks who includes whom (docs/ARCHITECTURE.md, "Layers"), and that guarded libraries stay in their folders.

usage: check_layers.py ROOT
"""
import pathlib
import re
import sys

# Folder -> folders it may include beside itself. The longest matching prefix of a path is its folder.
ALLOWED = {
    "base": [],
    "tape/format": ["base"],
    "tape/cartridge": ["tape/format", "base"],
    "tape/drive": ["tape/cartridge", "tape/format", "base"],
    "tape/library": ["tape/drive", "tape/cartridge", "tape/format", "base"],
    "volume": ["tape/format", "tape/cartridge", "base"],
    "catalog": ["base"],
    "uploader": ["tape/format", "tape/cartridge", "catalog", "base"],
    "uploader/cloud": ["base"],
    "snapshot": ["uploader/cloud", "volume", "tape/cartridge", "tape/format", "catalog", "base"],
    "target/scsi": ["tape/drive", "tape/library", "tape/cartridge", "tape/format", "volume", "base"],
    "target/iscsi": ["target/scsi", "base"],
    "gateway": None,  # everything
    "tests": None,
    "bench": None,
}
PARENTS = {"uploader": ["uploader/cloud"]}  # a folder may include its own sub-folder
# Library header pattern -> folders that may include it.
GUARDED = [
    (re.compile(r"sqlite3\.h"), ["catalog"]),
    (re.compile(r"curl/"), ["uploader/cloud"]),
    (re.compile(r"boost/(asio|beast)"), ["target", "gateway", "tests", "bench"]),
    (re.compile(r"iscsi/iscsi\.h"), ["tests", "bench"]),
    (re.compile(r"gtest/|gmock/|rapidcheck"), ["tests"]),
]
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def folder_of(path):
    best = None
    for folder in ALLOWED:
        if (path == folder or path.startswith(folder + "/")) and (best is None or len(folder) > len(best)):
            best = folder
    return best


def main():
    root = pathlib.Path(sys.argv[1])
    problems, files = [], 0
    for top in sorted({f.split("/")[0] for f in ALLOWED}):
        for source in sorted((root / top).rglob("*")):
            if source.suffix not in (".h", ".cc"):
                continue
            files += 1
            name = source.relative_to(root).as_posix()
            here = folder_of(name)
            if here is None:
                problems.append(f"{name}: lies in no known folder")
                continue
            for quote, included in INCLUDE.findall(source.read_text(encoding="utf-8")):
                for pattern, places in GUARDED:
                    if pattern.match(included) and not any(name.startswith(p + "/") for p in places):
                        problems.append(f"{name}: includes <{included}>, which belongs to {', '.join(places)}")
                if quote != '"':
                    continue
                there = folder_of(included)
                if there is None:
                    problems.append(f'{name}: "{included}" is not written from the root of the project')
                elif there != here and ALLOWED[here] is not None:
                    if there not in ALLOWED[here] + PARENTS.get(here, []):
                        problems.append(f"{name}: {here} must not include {there} ({included})")
    for problem in problems:
        print(problem)
    if files == 0:
        problems.append("no files")
        print("no source files found")
    print(f"{files} files checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
