#!/usr/bin/env python3
"""Data directories of older formats, opened by the daemon of today: everything on them is read, and more written.

usage: upgrade_test.py PROGRAMS ROOT
"""
import hashlib
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gateway_process import Gateway, free_port  # noqa: E402

KEY = bytes(range(32)).hex()


def content(tape, number, length):
    out, i = b"", 0
    while len(out) < length:
        out += hashlib.sha256(f"{tape}-{number}:{i // 8}".encode()).digest()
        i += 1
    return out[:length]


class Upgraded:
    def __init__(self, programs, scratch, archive):
        self.programs, self.port = programs, free_port()
        with tarfile.open(archive) as tar:
            tar.extractall(scratch)
        key = scratch / "key"
        key.touch(0o600)
        key.write_text(KEY)
        config = scratch / "c.toml"
        config.write_text(
            f'[gateway]\ndata_dir = "{scratch}/data"\n[iscsi]\nlisten = ["127.0.0.1:{self.port}"]\n[library]\ndrives = 2\n'
            f'slots = 6\nimport_export_slots = 2\n[encryption]\nkey_file = "{key}"\n[api]\nsocket = "{scratch}/api.sock"\n')
        self.gateway = Gateway(programs, scratch, ["--config", str(config)])
        self.config = config

    def cli(self, *arguments):
        done = subprocess.run([str(self.programs / "coldshelf"), "--config", str(self.config), *arguments],
                              text=True, capture_output=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{self.gateway.log.read_text()}"
        return done.stdout

    def tape(self, *arguments, data=None):
        done = subprocess.run([str(self.programs / "coldshelf_tapecopy"), "--portal", f"127.0.0.1:{self.port}", "--target",
                               "iqn.2026-11.io.coldshelf:coldshelf-tapedrive-01", "--record-size", "4096", *arguments],
                              input=data, capture_output=True)
        assert done.returncode == 0, done.stderr.decode() + self.gateway.log.read_text()
        return done.stdout

    def check(self, barcode):
        for number, length in ((0, 50_000), (1, 20_000)):
            skip = ["--skip-files", str(number)] if number else []
            got = self.tape(*skip, "read")
            assert got == content(barcode, number, length), f"{barcode} file {number}: {len(got)} bytes"


def open_and_read(programs, scratch, archive):
    old = Upgraded(programs, scratch, archive)
    with old.gateway as gateway:
        gateway.wait()
        tapes = {t["Barcode"]: t for t in gateway.call("ListTapes")["Tapes"]}
        assert sorted(tapes) == ["GLD001L8", "GLD002L8", "GLD003L8", "GLD004L8"], tapes
        assert tapes["GLD002L8"]["Status"] == "ARCHIVED" and tapes["GLD001L8"]["Pinned"]
        assert tapes["GLD003L8"]["Location"] == "drive 1"
        assert "COLD" in old.cli("pool", "list")
        assert gateway.call("ListAlarms")["Alarms"] == []
        old.check("GLD003L8")
        old.cli("library", "unload", "1")
        old.cli("library", "load", "GLD001L8", "1")
        old.check("GLD001L8")
        # It goes on being written where it ended.
        old.tape("--append", "write", data=b"of today" * 1000)
        assert old.tape("--skip-files", "2", "read") == b"of today" * 1000
        old.cli("library", "unload", "1")
        old.cli("tape", "verify", "GLD001L8")
        old.cli("tape", "retrieve", "GLD002L8", "--tier", "Expedited", "--wait")
        old.cli("library", "load", "GLD002L8", "1")
        old.check("GLD002L8")
        old.cli("library", "unload", "1")
        old.cli("tape", "create", "--barcode", "GLD005L8", "--size", "1GiB")
        assert gateway.stop() == 0


def refuse_newer(programs, scratch, archive):
    old = Upgraded(programs, scratch, archive)
    old.gateway.wait()
    assert old.gateway.stop() == 0
    (scratch / "data" / "version").write_text("coldshelf data format 99\n")
    done = subprocess.run([str(programs / "coldshelfd"), "--config", str(old.config)], text=True, capture_output=True,
                          timeout=60)
    assert done.returncode != 0 and "newer coldshelf" in done.stderr, done.stderr


def main():
    programs, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    archives = sorted((root / "tests/golden").glob("data-v*/*.tar.gz"))
    assert archives
    for archive in archives:
        with tempfile.TemporaryDirectory() as scratch:
            open_and_read(programs, pathlib.Path(scratch), archive)
        with tempfile.TemporaryDirectory() as scratch:
            refuse_newer(programs, pathlib.Path(scratch), archive)
        print(f"{archive.name}: opened, read, written on")


main()
