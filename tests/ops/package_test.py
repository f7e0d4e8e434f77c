#!/usr/bin/env python3
"""The Debian package: made, looked at, installed, its unit verified, its daemon run, removed, purged.

Root: everything happens in a copy-on-write view of this system that is thrown away afterwards; nothing is
installed here. Others: the package is unpacked, and the parts that need no root are run.

usage: package_test.py BUILD ROOT
"""
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

MOST_EXPOSURE = 1.5  # of systemd-analyze security, 0 to 10


def run(*words, check=True, **more):
    done = subprocess.run([str(w) for w in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def make(build):
    for old in (build / "package").glob("*.deb"):
        old.unlink()
    run("cpack", "-G", "DEB", cwd=build)
    packages = list((build / "package").glob("*.deb"))
    assert len(packages) == 1, packages
    return packages[0]


def look_at(package):
    fields = run("dpkg-deb", "-f", package)
    for wanted in ("Package: coldshelf", "Version: ", "Section: admin", "Description: virtual tape library"):
        assert wanted in fields, fields
    depends = re.search(r"^Depends: (.*)$", fields, re.M).group(1)
    for library in ("libc6", "libcurl4", "libssl3", "libsqlite3-0", "libzstd1"):
        assert library in depends, depends
    files = {}
    for line in run("dpkg-deb", "-c", package).splitlines():
        mode, owner, _, _, _, name = line.split()[:6]
        files[name[1:].rstrip("/")] = (mode, owner)
    for wanted, mode in {
            "/usr/bin/coldshelfd": "-rwxr-xr-x", "/usr/bin/coldshelf": "-rwxr-xr-x",
            "/etc/coldshelf/coldshelf.toml": "-rw-r-----", "/lib/systemd/system/coldshelf.service": "-rw-r--r--",
            "/usr/lib/systemd/system/coldshelf.service": "-rw-r--r--",
            "/usr/lib/sysusers.d/coldshelf.conf": "-rw-r--r--", "/usr/lib/tmpfiles.d/coldshelf.conf": "-rw-r--r--",
            "/etc/logrotate.d/coldshelf": "-rw-r--r--", "/usr/share/doc/coldshelf/copyright": "-rw-r--r--",
            "/usr/share/doc/coldshelf/runbook.md": "-rw-r--r--",
            "/usr/share/man/man1/coldshelf.1.gz": "-rw-r--r--", "/usr/share/man/man8/coldshelfd.8.gz": "-rw-r--r--",
            "/usr/share/bash-completion/completions/coldshelf": "-rw-r--r--",
            "/usr/share/bash-completion/completions/coldshelfd": "-rw-r--r--",
            "/usr/share/zsh/vendor-completions/_coldshelf": "-rw-r--r--",
            "/usr/share/zsh/vendor-completions/_coldshelfd": "-rw-r--r--",
            "/usr/share/fish/vendor_completions.d/coldshelf.fish": "-rw-r--r--",
            "/usr/share/fish/vendor_completions.d/coldshelfd.fish": "-rw-r--r--",
            "/usr/share/doc/coldshelf/examples/coldshelf.toml": "-rw-r--r--",
            "/usr/share/doc/coldshelf/examples/grafana/coldshelf.json": "-rw-r--r--"}.items():
        if wanted.startswith("/lib/") and wanted not in files:
            continue
        if wanted.startswith("/usr/lib/systemd") and wanted not in files:
            assert wanted[4:] in files, sorted(files)
            continue
        assert wanted in files, f"{wanted} is not among {sorted(files)}"
        assert files[wanted][0] == mode, (wanted, files[wanted])
    assert all(owner == "root/root" for _, owner in files.values()), files
    assert not [name for name in files if name.endswith((".a", ".h"))]
    conffiles = run("dpkg-deb", "-I", package, "conffiles").split()
    assert conffiles == ["/etc/coldshelf/coldshelf.toml", "/etc/logrotate.d/coldshelf"], conffiles
    return files


def check_unit(unit, daemon):
    """systemd's own checks. `daemon`: where the program is, for a unit that is not installed."""
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory) / "coldshelf.service"
        copy.write_text(unit.read_text().replace("/usr/bin/coldshelfd", str(daemon)))
        said = run("systemd-analyze", "verify", "--man=no", copy)
        assert "coldshelf" not in said, said
        exposure = run("systemd-analyze", "security", "--offline=yes", copy)
    level = float(re.search(r"exposure level for \S+ ([0-9.]+)", exposure.splitlines()[-1]).group(1))
    assert level <= MOST_EXPOSURE, exposure
    return level


def check_container_file(root):
    text = (root / "deploy/Containerfile").read_text()
    wanted = re.search(r"^build_packages=\((.*?)\)", (root / "dev").read_text(), re.M | re.S).group(1).split()
    missing = [package for package in wanted if not re.search(rf"(?<!\S){re.escape(package)}(?!\S)", text)]
    assert not missing, f"deploy/Containerfile lacks {missing}"


INSIDE = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
fail() { echo "FAILED: $*"; exit 1; }
dpkg -i /package.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "dpkg -i"; }
grep -q "coldshelf setup\|upgraded" /tmp/dpkg.log || cat /tmp/dpkg.log
id coldshelf >/dev/null || fail "no user"
[ "$(stat -c '%U %G %a' /var/lib/coldshelf)" = "coldshelf coldshelf 750" ] || fail "data directory: $(stat -c '%U %G %a' /var/lib/coldshelf)"
[ "$(stat -c '%U %G %a' /etc/coldshelf)" = "root coldshelf 750" ] || fail "/etc/coldshelf: $(stat -c '%U %G %a' /etc/coldshelf)"
[ "$(stat -c '%U %G %a' /etc/coldshelf/coldshelf.toml)" = "root coldshelf 640" ] || fail "config: $(stat -c '%U %G %a' /etc/coldshelf/coldshelf.toml)"
systemd-analyze verify --man=no coldshelf.service > /tmp/verify 2>&1 || { cat /tmp/verify; fail verify; }
! grep coldshelf /tmp/verify || fail "verify complains"
logrotate --debug /etc/logrotate.d/coldshelf > /tmp/rotate 2>&1 || { cat /tmp/rotate; fail logrotate; }
mkdir -p /run/coldshelf && chown coldshelf:coldshelf /run/coldshelf
# The daemon by hand, with the packaged configuration, as its own user; its port is this test's.
sed -i "s/127.0.0.1:3260/127.0.0.1:$PORT/" /etc/coldshelf/coldshelf.toml
start() {
  setpriv --reuid coldshelf --regid coldshelf --clear-groups --no-new-privs --bounding-set=-all \
    /usr/bin/coldshelfd --config /etc/coldshelf/coldshelf.toml 2>/tmp/daemon.log &
  daemon=$!
  i=0
  until coldshelf status >/dev/null 2>&1; do
    i=$((i + 1))
    kill -0 $daemon 2>/dev/null && [ $i -lt 300 ] || { cat /tmp/daemon.log; fail "the daemon does not answer"; }
    sleep 0.1
  done
}
stop() { kill -TERM $daemon; wait $daemon || { cat /tmp/daemon.log; fail "the daemon's end"; }; }
# Before there was any start: what setup makes as root is the service's, the store too.
cp /etc/coldshelf/coldshelf.toml /tmp/packaged.toml
coldshelf setup --yes --force --listen 127.0.0.1:$PORT >/tmp/setup0.log || { cat /tmp/setup0.log; fail "first setup"; }
start
coldshelf tape create --barcode PKG000L8 --size 1GiB >/dev/null
stop
coldshelf setup --yes --force --listen 127.0.0.1:$PORT --data-dir /srv/tapes --store /srv/far/store >/tmp/setup0.log || { cat /tmp/setup0.log; fail "setup elsewhere"; }
grep -q "ReadWritePaths=/srv/tapes /srv/far/store" /tmp/setup0.log || { cat /tmp/setup0.log; fail "the unit's limits are not told of"; }
[ "$(find /srv/tapes /srv/far -user root)" = "" ] || fail "root's: $(find /srv/tapes /srv/far -user root)"
rm -rf /srv/tapes /srv/far /etc/coldshelf/coldshelf.key
find /var/lib/coldshelf -mindepth 1 -delete
cp /tmp/packaged.toml /etc/coldshelf/coldshelf.toml
# By hand, as root: what that leaves behind would keep the service from starting.
code=0; coldshelfd --config /etc/coldshelf/coldshelf.toml >/tmp/root.log 2>&1 || code=$?
[ $code = 4 ] && grep -q "belongs to the user coldshelf" /tmp/root.log || { cat /tmp/root.log; fail "root starts it: $code"; }
[ -z "$(find /var/lib/coldshelf -user root)" ] || fail "root left $(find /var/lib/coldshelf -user root)"
coldshelf key generate --to /etc/coldshelf/new.key >/dev/null
[ "$(stat -c '%U %a' /etc/coldshelf/new.key)" = "coldshelf 600" ] || fail "new key: $(stat -c '%U %a' /etc/coldshelf/new.key)"
start
coldshelf tape create --barcode PKG001L8 --size 1GiB >/dev/null
coldshelf tape list | grep -q PKG001L8 || fail "no tape"
coldshelf alarm list | grep -q "No alarm" || { coldshelf alarm list; fail "alarms"; }
[ "$(stat -c '%U' /run/coldshelf/coldshelf.sock)" = coldshelf ] || fail "socket"
stop
# Set up by root: key and secrets must be readable by the service.
coldshelf setup --yes --force --listen 127.0.0.1:$PORT --chap-user backup >/tmp/setup.log || { cat /tmp/setup.log; fail setup; }
[ "$(stat -c '%U %a' /etc/coldshelf/coldshelf.key)" = "coldshelf 600" ] || fail "key: $(stat -c '%U %a' /etc/coldshelf/coldshelf.key)"
start
coldshelf tape list | grep -q PKG001L8 || fail "the tape is gone after setup"
stop
# The gateway is lost; root rebuilds it from the store, and the service goes on.
mkdir /srv/store && mv /var/lib/coldshelf/store/* /srv/store && chown coldshelf: /srv/store
mv /var/lib/coldshelf /var/lib/coldshelf.lost && install -d -m 0750 -o coldshelf -g coldshelf /var/lib/coldshelf
coldshelf recover --store /srv/store --config /etc/coldshelf/coldshelf.toml >/tmp/recover.log || { cat /tmp/recover.log; fail recover; }
[ "$(find /var/lib/coldshelf /srv/store -user root)" = "" ] || fail "root's: $(find /var/lib/coldshelf /srv/store -user root)"
sed -i 's|^type = "directory"|type = "directory"\npath = "/srv/store"|' /etc/coldshelf/coldshelf.toml
start
coldshelf tape list | grep -q "PKG001L8.*RECOVERED" || { coldshelf tape list; fail "the tape was not rebuilt"; }
stop
# An upgrade keeps the operator's configuration and the data; then removal and purge.
dpkg -i --force-confold /package.deb >/tmp/dpkg2.log 2>&1 || { cat /tmp/dpkg2.log; fail "upgrade"; }
grep -q "Written by" /etc/coldshelf/coldshelf.toml || fail "the configuration was replaced"
dpkg -r coldshelf >/tmp/remove.log 2>&1 || { cat /tmp/remove.log; fail "remove"; }
[ ! -e /usr/bin/coldshelfd ] || fail "the program stays"
[ -e /var/lib/coldshelf/catalog.db ] || fail "data was removed"
dpkg -P coldshelf >/tmp/purge.log 2>&1 || { cat /tmp/purge.log; fail "purge"; }
[ -e /var/lib/coldshelf/catalog.db ] && [ -e /etc/coldshelf/coldshelf.key ] || fail "purge removed data or keys"
grep -q "stay: data and keys" /tmp/purge.log || fail "purge does not say that data stays"
echo INSTALLED-RUN-REMOVED
"""


def install_and_run(package, port):
    with tempfile.TemporaryDirectory() as scratch:
        script = pathlib.Path(scratch) / "inside.sh"
        script.write_text(INSIDE)
        outer = f"""
set -eu
mount -t tmpfs none {scratch}/view 
mkdir {scratch}/view/upper {scratch}/view/work {scratch}/view/root
mount -t overlay overlay -o lowerdir=/,upperdir={scratch}/view/upper,workdir={scratch}/view/work {scratch}/view/root
cp {package} {scratch}/view/root/package.deb
cp {script} {scratch}/view/root/inside.sh
cd {scratch}/view/root
mount -t proc none proc
mount -t tmpfs none run
mount -t tmpfs none tmp
mount --rbind /dev dev
PORT={port} exec chroot . /bin/sh /inside.sh
"""
        (pathlib.Path(scratch) / "view").mkdir()
        said = run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", outer, check=False)
        if "INSTALLED-RUN-REMOVED" not in said:
            raise SystemExit(said)


def can_have_a_view():
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c",
             f"mount -t tmpfs none {scratch} && mkdir {scratch}/u {scratch}/w {scratch}/m && mount -t overlay overlay "
             f"-o lowerdir=/,upperdir={scratch}/u,workdir={scratch}/w {scratch}/m"], capture_output=True).returncode == 0


def main():
    build, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    check_container_file(root)
    package = make(build)
    files = look_at(package)
    unpacked = pathlib.Path(tempfile.mkdtemp())
    try:
        run("dpkg-deb", "-x", package, unpacked)
        unit = next(unpacked.rglob("coldshelf.service"))
        level = check_unit(unit, unpacked / "usr/bin/coldshelfd")
        for page, wanted in (("man1/coldshelf.1.gz", "coldshelf tape retrieve"), ("man8/coldshelfd.8.gz", "\\-\\-check\\-config")):
            text = gzip.open(unpacked / "usr/share/man" / page, "rt").read()
            assert text.startswith(".TH coldshelf") and wanted in text, text[:500]
        run(unpacked / "usr/bin/coldshelfd", "--config", unpacked / "etc/coldshelf/coldshelf.toml", "--check-config")
        for script in ("postinst", "prerm", "postrm"):
            run("sh", "-n", root / "deploy/debian" / script)
    finally:
        shutil.rmtree(unpacked)
    if can_have_a_view():
        from gateway_process import free_port
        install_and_run(package, free_port())
        print("installed, run, removed")
    else:
        print("not root: not installed")
    print(f"{package.name}: {len(files)} files, exposure {level}")


main()
