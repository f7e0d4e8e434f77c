#!/usr/bin/env python3
"""Checks that Clang compiles every source file of a build, with its warnings as errors.

Takes the commands the build compiles with and has Clang go through them without making code.

usage: check_clang.py BUILD_DIR CLANG
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys


def commands(build):
    listed = subprocess.run(["ninja", "-C", build, "-t", "compdb"], check=True, capture_output=True)
    seen = set()
    for entry in json.loads(listed.stdout):
        words = shlex.split(entry["command"])
        if not entry["file"].endswith(".cc") or "-c" not in words or entry["file"] in seen:
            continue
        seen.add(entry["file"])
        while not os.path.basename(words[0]).startswith(("c++", "g++", "clang++")):
            words.pop(0)  # ccache
        yield entry["file"], entry["directory"], words[1:]


def check(clang, file, directory, words):
    out = []
    skip = False
    for word in words:
        if skip or word.startswith(("-fsanitize", "-fno-sanitize", "-MD", "-Wno-")):
            skip = False
        elif word in ("-o", "-MF", "-MT"):
            skip = True
        else:
            out.append(word)
    run = subprocess.run([clang, "-fsyntax-only", *out], cwd=directory, capture_output=True, text=True)
    return file, run.returncode, run.stderr


def main():
    build, clang = sys.argv[1:]
    files = list(commands(build))
    if not files:
        sys.exit(f"{build}: nothing is compiled there")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(check, clang, *item) for item in files]
        for job in concurrent.futures.as_completed(jobs):
            file, code, said = job.result()
            if code != 0:
                failed += 1
                print(f"{file}:\n{said}", file=sys.stderr)
    if failed:
        sys.exit(f"{failed} of {len(files)} files")
    print(f"{len(files)} files pass {clang}")


main()
