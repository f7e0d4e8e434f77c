#!/usr/bin/env python3
"""Settings that the API keeps, by the command line of a real daemon: tags, CHAP, bandwidth, automatic tapes, names.

usage: settings_test.py PROGRAMS
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gateway_process import Gateway  # noqa: E402

INITIATOR = "iqn.1994-05.com.example:host"
USAGE, NOT_FOUND = 2, 3


def main():
    programs = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        with Gateway(programs, directory) as gateway:
            gateway.wait()

            def run(*words, code=0):
                done = subprocess.run([programs / "coldshelf", "--socket", gateway.socket, *words], text=True,
                                      capture_output=True)
                said = done.stdout + done.stderr
                assert done.returncode == code, f"{words}: {done.returncode}, wanted {code}: {said}"
                return said

            def ask(*words):
                return json.loads(run("--json", *words))

            run("tape", "create", "--barcode", "SET001L8", "--size", "1GiB")
            run("volume", "create", "--name", "Mail", "--size", "1GiB")
            tags(run, ask)
            chap(run, ask, pathlib.Path(directory))
            bandwidth(run, ask)
            automatic(run, ask)
            names(run, ask)
            raw(run, ask)
            assert gateway.stop() == 0
    print("tags, CHAP, bandwidth, automatic tapes, names")


def tags(run, ask):
    for resource in ("tape/SET001L8", "volume/Mail", "pool/GLACIER", "device/tapedrive-01", "gateway"):
        run("tag", "add", resource, "owner=ada", "x=", "eq=a=b")
        assert ask("tag", "list", resource)["Tags"] == [
            {"Key": "eq", "Value": "a=b"}, {"Key": "owner", "Value": "ada"}, {"Key": "x", "Value": ""}], resource
        run("tag", "remove", resource, "x", "eq")
        assert "ada" in run("tag", "list", resource)
        assert len(ask("tag", "list", resource)["Tags"]) == 1
    arn = ask("tag", "list", "tape/SET001L8")["ResourceARN"]
    assert ask("tag", "list", arn)["Tags"] == [{"Key": "owner", "Value": "ada"}]
    for wrong, code in (("nonsense", USAGE), ("tape/", USAGE), ("tape/NONE01L8", NOT_FOUND), ("volume/none", NOT_FOUND)):
        run("tag", "list", wrong, code=code)
    run("tag", "add", "gateway", "novalue", code=USAGE)


def chap(run, ask, directory):
    secret, other = directory / "secret", directory / "other"
    secret.write_text("initiator-key1\n")
    other.write_text("target-key-12")
    for target in ("tapedrive-01", "mediachanger", "Mail"):
        assert ask("chap", "list", target)["ChapCredentials"] == []
        run("chap", "set", target, INITIATOR, "--secret-file", str(secret), "--mutual-secret-file", str(other))
        entry = ask("chap", "list", target)["ChapCredentials"][0]
        assert entry["SecretToAuthenticateInitiator"] == "initiator-key1", entry
        assert entry["SecretToAuthenticateTarget"] == "target-key-12", entry
        shown = run("chap", "list", target)
        assert INITIATOR in shown and "mutual" in shown and "key" not in shown.lower().replace(INITIATOR, ""), shown
        run("chap", "remove", target, INITIATOR)
        run("chap", "remove", target, INITIATOR, code=NOT_FOUND)
    run("chap", "list", "nobody", code=NOT_FOUND)
    secret.write_text("short")
    run("chap", "set", "Mail", INITIATOR, "--secret-file", str(secret), code=USAGE)


def bandwidth(run, ask):
    assert "always: upload none, download none" in run("bandwidth", "show")
    run("bandwidth", "set", "--upload", "20MiB/s", "--download", "512KiB/s")
    assert "always: upload 20MiB/s, download 512KiB/s" in run("bandwidth", "show")
    run("bandwidth", "clear", "upload")
    assert "always: upload none, download 512KiB/s" in run("bandwidth", "show")
    run("bandwidth", "clear")
    run("bandwidth", "schedule", "Mon-Fri 08:00-18:00 upload=20MiB/s download=50MiB/s", "Sat,Sun 00:00-24:00 upload=80MiB/s")
    intervals = ask("bandwidth", "show")["BandwidthRateLimitIntervals"]
    assert [i["DaysOfWeek"] for i in intervals] == [[1, 2, 3, 4, 5], [0, 6]], intervals
    assert (intervals[1]["EndHourOfDay"], intervals[1]["EndMinuteOfHour"]) == (23, 59), intervals
    shown = [line.split() for line in run("bandwidth", "show").splitlines()]
    assert ["Mon-Fri", "08:00", "18:00", "20MiB/s", "50MiB/s"] in shown, shown
    assert ["Sat-Sun", "00:00", "24:00", "80MiB/s", "none"] in shown, shown
    for wrong in ("Mon 22:00-06:00 upload=1MB/s", "Someday 08:00-09:00 upload=1MB/s", "Mon 08:00-09:00 upload=slow"):
        run("bandwidth", "schedule", wrong, code=USAGE)
    run("bandwidth", "schedule", code=USAGE)
    run("bandwidth", "set", code=USAGE)
    run("bandwidth", "schedule", "--clear")
    assert ask("bandwidth", "show")["BandwidthRateLimitIntervals"] == []


def automatic(run, ask):
    assert ask("auto-create", "list") == []
    run("auto-create", "set", "DAY", "--count", "2", "--size", "1GiB", "--pool", "GLACIER")
    run("auto-create", "set", "WEEK", "--count", "1", "--size", "2GiB", "--pool", "DEEP_ARCHIVE", "--worm")
    run("auto-create", "set", "DAY", "--count", "3", "--size", "1GiB", "--pool", "GLACIER")  # instead of the first
    rules = {r["TapeBarcodePrefix"]: r for r in ask("auto-create", "list")}
    assert (rules["DAY"]["MinimumNumTapes"], rules["WEEK"]["Worm"]) == (3, True), rules
    for _ in range(300):
        made = [t["Barcode"] for t in ask("tape", "list")["Tapes"] if t["Barcode"].startswith("DAY")]
        if len(made) == 3:
            break
        time.sleep(0.1)
    assert len(made) == 3, made
    run("auto-create", "remove", "DAY")
    assert [r["TapeBarcodePrefix"] for r in ask("auto-create", "list")] == ["WEEK"]
    run("auto-create", "remove", "WEEK")
    run("auto-create", "remove", "WEEK", code=NOT_FOUND)
    assert ask("auto-create", "list") == []
    run("auto-create", "set", "day", "--size", "1GiB", "--pool", "GLACIER", code=USAGE)


def names(run, ask):
    run("gateway", "set", "--name", "Cold one", "--timezone", "GMT+1:00")
    shown = ask("gateway", "show")
    assert (shown["GatewayName"], shown["GatewayTimezone"]) == ("Cold one", "GMT+1:00"), shown
    run("gateway", "set", "--timezone", "CET", code=USAGE)
    run("gateway", "set", code=USAGE)
    assert "tapedrive-01" in run("library", "devices")
    run("library", "changer", "AWS-Gateway-VTL")
    run("library", "changer", "Nonsense", code=USAGE)


def raw(run, ask):
    assert ask("tape", "segments", "SET001L8")["Runs"] == []
    assert ask("history", "--resolution", "fine")["Fields"][0] == "UnixMs"
    run("history")
    assert len(json.loads(run("api", "call", "ListDrives"))["Drives"]) > 0
    listed = json.loads(run("api", "call", "StorageGateway_20130630.ListTapes", '{"Limit": 1}'))
    assert len(listed["TapeInfos"]) == 1
    assert "ArchiveTape" in run("api", "list")
    run("api", "call", "Nothing", code=USAGE)
    run("api", "call", "ListTapes", "[]", code=USAGE)
    rules = {r["Alarm"]: r for r in ask("alarm", "rules")["Rules"]}
    assert rules["cache_dirty"]["RaisedWhen"] == "80 % of the cache are not in the store", rules


main()
