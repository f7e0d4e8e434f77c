#!/usr/bin/env python3
"""`coldshelf setup` and `coldshelf support-bundle`, by hand and by flags; no secret in the bundle.

usage: setup_test.py PROGRAMS
"""
import json
import os
import pathlib
import pty
import stat
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gateway_process import Gateway, free_port  # noqa: E402


def cli(programs, *arguments, code=0):
    done = subprocess.run([str(programs / "coldshelf"), *arguments], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def answer(programs, arguments, lines):
    """The command at a terminal, its questions answered line by line."""
    parent, child = pty.openpty()
    process = subprocess.Popen([str(programs / "coldshelf"), *arguments], stdin=child, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(child)
    os.write(parent, "".join(line + "\n" for line in lines).encode())
    out, err = process.communicate(timeout=60)
    os.close(parent)
    assert process.returncode == 0, out + err
    return out, err


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def by_flags(programs, scratch):
    config = scratch / "etc" / "coldshelf.toml"
    flags = ["setup", "--yes", "--to", str(config), "--data-dir", str(scratch / "data"), "--api-socket",
             str(scratch / "api.sock"), "--name", "gw1", "--listen", f"127.0.0.1:{free_port()}", "--drives", "2",
             "--chap-user", "backup", "--cache", "1GiB", "--buffer", "1GiB", "--json"]
    made = json.loads(cli(programs, *flags))
    assert made["KeyMade"] and made["KeyId"].startswith("kek-"), made
    assert mode(made["KeyFile"]) == 0o600 and mode(made["ChapSecretFile"]) == 0o600
    assert mode(config) == 0o640
    key = pathlib.Path(made["KeyFile"]).read_text().strip()
    chap = pathlib.Path(made["ChapSecretFile"]).read_text().strip()
    assert len(chap) == 16, chap  # Windows takes 12 to 16
    assert key not in config.read_text() and chap not in config.read_text()
    # Nothing is overwritten, and a second run with --force keeps key and old configuration.
    before = config.read_text()
    assert "is there" in cli(programs, *flags, code=4)
    again = json.loads(cli(programs, *flags, "--force"))
    assert not again["KeyMade"] and again["KeyId"] == made["KeyId"]
    assert (scratch / "etc" / "coldshelf.toml.old").read_text() == before
    config.write_text("# by hand\n" + before)
    third = json.loads(cli(programs, *flags, "--force"))
    assert third["OldConfig"].endswith(".old.2"), third
    assert (scratch / "etc" / "coldshelf.toml.old").read_text() == before
    assert (scratch / "etc" / "coldshelf.toml.old.2").read_text().startswith("# by hand")
    # What cannot work is refused before anything is written.
    other = ["setup", "--yes", "--to", str(scratch / "x" / "c.toml"), "--data-dir", str(scratch / "x" / "data")]
    assert "CHAP" in cli(programs, *other, "--listen", "0.0.0.0:3260", code=2)
    cli(programs, *other, "--drive-model", "VHS", code=2)
    cli(programs, *other, "--key-file", str(scratch / "nowhere"), code=3)
    assert not (scratch / "x" / "c.toml").exists()
    assert "terminal" in cli(programs, "setup", "--to", str(scratch / "x" / "c.toml"), code=2)
    return config, key, chap


def at_a_terminal(programs, scratch):
    data = scratch / "data2"
    config = scratch / "etc2" / "coldshelf.toml"
    out, err = answer(programs, ["setup", "--to", str(config)],
                      ["asked", str(data), "", f"127.0.0.1:{free_port()}", "zero", "3", "", "no"])
    text = config.read_text()
    assert 'name = "asked"' in text and "drives = 3" in text and "slots = 40" in text, text
    assert "[encryption]" not in text and f'path = "{data}/store"' in text
    assert "a number from 1" in err and "Next:" in out, (out, err)
    checked = subprocess.run([str(programs / "coldshelfd"), "--config", str(config), "--check-config"],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def bundle(programs, scratch, config, key, chap):
    # A secret of a kind that no file holds: in a command's arguments and in a URL.
    text = config.read_text()
    sneaky = 'key_command = "vault -token=s.SNEAKYTOKEN read x"'
    token = scratch / "token"
    token.touch(0o600)
    token.write_text("Bearer sneakybearer\n")
    hook = (f'[[notify]]\nname = "hook"\ntype = "webhook"\nurl = "https://hooks.example/services/SNEAKYPATH"\n'
            f'authorization_file = "{token}"\n')
    config.write_text(text + f'\n[[encryption.old_key]]\n{sneaky}\n{hook}')
    log = scratch / "log"
    log.write_text(f"a line with {key} in it, and Bearer sneakybearer\nhttps://user:sneakyword@host/x?token=sneakyquery y\n")
    config.write_text(text)
    with Gateway(programs, scratch, ["--config", str(config)]) as gateway:
        gateway.socket = str(scratch / "api.sock")
        gateway.wait()
        gateway.call("CreateTapes", Barcode="BUN001L8", SizeInBytes=1 << 30, Count=2)
        config.write_text(text + f'\n[[encryption.old_key]]\n{sneaky}\n{hook}')
        target = scratch / "bundle.tar.gz"
        said = cli(programs, "--config", str(config), "support-bundle", "--to", str(target), "--log", str(log))
        assert "no secret" in said, said
        cli(programs, "--config", str(config), "support-bundle", "--to", str(target), code=4)
        assert gateway.stop() == 0
    members = {}
    with tarfile.open(target) as tar:
        for member in tar.getmembers():
            members[member.name.removeprefix("coldshelf-support/")] = tar.extractfile(member).read().decode()
    for name in ("about.txt", "config.toml", "status.json", "library.json", "jobs.json", "alarms.json", "metrics.txt",
                 "catalog.txt", "manifests.json", "coldshelfd.log"):
        assert members.get(name), f"{name} is missing: {sorted(members)}\n{members.get('missing.txt')}"
    everything = "\n".join(members.values())
    wrapped = [key, chap, "SNEAKYTOKEN", "sneakyword", "sneakyquery", "SNEAKYPATH", "sneakybearer"]
    for secret in wrapped:
        assert secret not in everything, f"{secret} is in the bundle"
    assert "https://hooks.example/" in members["config.toml"] and "compression = \"zstd\"" in members["config.toml"]
    assert "key_file" in members["config.toml"] and "kek-" in members["keys.json"]
    assert "tapes: 2 rows" in members["catalog.txt"] and 'CREATE TABLE "tapes"' in members["catalog.txt"]
    manifests = json.loads(members["manifests.json"])
    assert manifests["Cartridges"] == 2 and manifests["Headers"][0]["Label"].startswith("BUN00")
    assert manifests["Headers"][0]["KeyId"].startswith("kek-")
    # Without the daemon most of it is there, and what is not is told.
    cli(programs, "--config", str(config), "support-bundle", "--to", str(target), "--force", "--log", str(log))
    with tarfile.open(target) as tar:
        names = {m.name.removeprefix("coldshelf-support/") for m in tar.getmembers()}
        missing = tar.extractfile("coldshelf-support/missing.txt").read().decode()
    assert {"catalog.txt", "config.toml", "manifests.json"} <= names and "status.json" not in names
    assert "no coldshelfd answers" in missing
    assert not (scratch / "bundle.tar").exists()


def main():
    programs = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        config, key, chap = by_flags(programs, scratch)
        at_a_terminal(programs, scratch)
        bundle(programs, scratch, config, key, chap)
    print("setup and support-bundle: done")


main()
