"""The completions in the shells that they are for: bash, zsh and fish, each with its own machinery."""

import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

BIN = pathlib.Path(sys.argv[1])
PROGRAM = str(BIN / "coldshelf")


def script(shell, program):
    told = subprocess.run([PROGRAM, "completion", shell, program], capture_output=True, text=True, check=True)
    return told.stdout


class Bash:
    """Calls the function as readline would."""

    def __init__(self, directory, program):
        self.file = directory / "completion.bash"
        self.file.write_text(script("bash", program))
        self.program = program
        subprocess.run(["bash", "-n", self.file], check=True)

    def offers(self, line, cwd):
        words = line.split(" ")
        code = f"source {self.file}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; "
        code += f'_{self.program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        out = subprocess.run(["bash", "--norc", "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
        assert not out.stderr, out.stderr
        return set(out.stdout.split())


class Fish:
    """`complete -C` is fish's own engine without its line editor."""

    def __init__(self, directory, program):
        self.file = directory / "completion.fish"
        self.file.write_text(script("fish", program))
        self.env = dict(os.environ, HOME=str(directory), XDG_CONFIG_HOME=str(directory), XDG_DATA_HOME=str(directory))
        subprocess.run(["fish", "--no-config", "-n", self.file], check=True, env=self.env)

    def offers(self, line, cwd):
        code = f'source {self.file}; complete -C "{line}"'
        out = subprocess.run(["fish", "--no-config", "-c", code], cwd=cwd, capture_output=True, text=True, check=True, env=self.env)
        assert not out.stderr, out.stderr
        return {one.split("\t")[0] for one in out.stdout.splitlines()}


class Zsh:
    """An interactive zsh on a terminal, with compinit: the keys are typed, the screen is read."""

    def __init__(self, directory, program):
        functions = directory / "functions"
        functions.mkdir()
        (functions / f"_{program}").write_text(script("zsh", program))
        subprocess.run(["zsh", "-n", functions / f"_{program}"], check=True)
        (directory / ".zshrc").write_text(
            f"fpath=({functions} $fpath)\nautoload -Uz compinit; compinit -D -u\n"
            "PS1='READY> '; unsetopt beep; unset zle_bracketed_paste\n"
            f"LISTMAX=10000; {program}() {{ : }}\n"
            "list() { zle list-choices }; zle -N list; bindkey '^T' list; bindkey '^U' kill-whole-line\n"
        )
        self.directory = directory

    def offers(self, line, cwd):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(cwd)
            env = dict(os.environ, ZDOTDIR=str(self.directory), HOME=str(self.directory), TERM="dumb")
            os.execvpe("zsh", ["zsh", "-i"], env)
        try:
            # Room for the whole list, or it asks whether to show it.
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 2000, 400, 0, 0))
            self.read(terminal, "READY> ")
            # Listed; then the line is taken back, and a command says that all was worked off.
            os.write(terminal, (line + "\x14\x15print -r DONE$((1+1))\r").encode())
            seen = self.read(terminal, "DONE2")
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
            os.close(terminal)
        out = set()
        for shown in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", seen).replace("\r", "\n").split("\n"):
            if "READY> " in shown or "DONE" in shown or shown.startswith(line):
                continue  # what was typed
            words = shown.split()
            out.update(words[:1] if " -- " in shown else words)
        return out

    @staticmethod
    def read(terminal, until):
        seen, end = "", time.monotonic() + 60
        while until not in seen:
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            assert ready, f"zsh does not say {until!r}: {seen!r}"
            seen += os.read(terminal, 65536).decode(errors="replace")
        return seen


CASES = [
    # line, offered, not offered
    ("coldshelf ", {"tape", "volume", "snapshot", "completion"}, {"create", "bkp.toml"}),
    ("coldshelf sn", {"snapshot"}, {"tape", "volume"}),
    ("coldshelf snapshot ", {"pull", "reassign", "archive"}, {"resize", "bkp.toml"}),
    ("coldshelf snapshot re", {"reassign", "restore", "retrieve"}, {"pull"}),
    ("coldshelf --json volume point ", {"create", "list", "delete"}, {"clone"}),
    ("coldshelf completion ", {"bash", "zsh", "fish"}, {"tape"}),
    ("coldshelf tape create --", {"--size", "--pool", "--worm", "--json"}, {"--tier"}),
    ("coldshelf snapshot reassign db --", {"--pool", "--estimate", "--yes", "--wait"}, {"--size"}),
    # Files where one is taken, nothing where a word of one's own is.
    ("coldshelf policy put b", {"bkp.toml"}, {"list"}),
    ("coldshelf volume export a@b --to b", {"bkp.toml"}, {"list"}),
    ("coldshelf snapshot reassign db --pool b", set(), {"bkp.toml", "bash"}),
]
DAEMON = [("coldshelfd --", {"--config", "--check-config", "--data"}, {"--json"})]


def main():
    for shell in (Bash, Fish, Zsh):
        for program, cases in (("coldshelf", CASES), ("coldshelfd", DAEMON)):
            with tempfile.TemporaryDirectory() as scratch:
                directory = pathlib.Path(scratch)
                work = directory / "work"
                work.mkdir()
                (work / "bkp.toml").write_text("")
                engine = shell(directory, program)
                for line, wanted, unwanted in cases:
                    offered = engine.offers(line, work)
                    assert wanted <= offered, f"{shell.__name__}: {line!r} offers {sorted(offered)}, not {sorted(wanted - offered)}"
                    assert not (unwanted & offered), f"{shell.__name__}: {line!r} offers {sorted(unwanted & offered)}"
        print(shell.__name__, "completes")


main()
