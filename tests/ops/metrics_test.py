#!/usr/bin/env python3
"""/metrics of a real daemon through promtool; the alert rules and the dashboard against its names.

usage: metrics_test.py PROGRAMS ROOT
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gateway_process import Gateway  # noqa: E402

# Families that are there only when there is something to tell.
SOMETIMES = {"coldshelf_cache_hit_percent", "coldshelf_certificate_expiry_timestamp_seconds",
             "coldshelf_time_since_last_recovery_point_seconds",
             "coldshelf_volume_newest_point_age_seconds", "coldshelf_volumes", "coldshelf_volume_size_bytes",
             "coldshelf_volume_used_bytes", "coldshelf_volume_not_uploaded_bytes"}


def run(*words, **more):
    done = subprocess.run(words, text=True, capture_output=True, **more)
    print(" ".join(map(str, words[:3])), "->", done.returncode, (done.stdout + done.stderr).strip()[-2000:])
    if done.returncode != 0:
        raise SystemExit(1)


def names_in(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bcoldshelf_[a-z0-9_]+", text)}


def main():
    programs, root = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as scratch, Gateway(programs, scratch) as gateway:
        gateway.wait()
        gateway.call("CreateTapes", Barcode="MET001L8", SizeInBytes=1 << 30, Count=3)
        gateway.call("LoadDrive", Barcode="MET001L8", Drive=1)
        status, text = gateway.get("/metrics")
        assert status == 200
        ready, body = gateway.get("/readyz")
        assert ready == 200, body
        run("promtool", "check", "metrics", input=text)
        assert 'coldshelf_tapes{status="AVAILABLE"} 3' in text, text
        assert gateway.call("ListAlarms")["Alarms"] == []
        assert len(gateway.call("ListAlarmRules")["Rules"]) >= 10
        assert gateway.stop() == 0
    known = names_in(text) | SOMETIMES
    documented = names_in((root / "docs/metrics.md").read_text())
    missing = sorted(known - documented)
    assert not missing, f"docs/metrics.md lacks {missing}"
    unknown = sorted(name for name in documented - known if not name.startswith("coldshelf_alarm_"))
    assert not unknown, f"docs/metrics.md names what is not there: {unknown}"

    rules = root / "deploy/prometheus/coldshelf.rules.yml"
    dashboard = root / "deploy/grafana/coldshelf.json"
    run("promtool", "check", "rules", str(rules))
    with tempfile.TemporaryDirectory() as scratch:
        tests = pathlib.Path(scratch) / "rules_test.yml"
        tests.write_text((root / "tests/ops/rules_test.yml").read_text().replace("RULES", str(rules)))
        run("promtool", "test", "rules", str(tests))
    for path in (rules, dashboard):
        unknown = sorted(names_in(path.read_text()) - known)
        assert not unknown, f"{path.name} asks for what is not there: {unknown}"
    panels = json.loads(dashboard.read_text())["panels"]
    assert len(panels) >= 15 and len({p["id"] for p in panels}) == len(panels)
    # Every query is one that Prometheus can parse.
    with tempfile.TemporaryDirectory() as scratch:
        queries = [t["expr"] for p in panels for t in p.get("targets", [])]
        group = {"groups": [{"name": "dashboard", "rules": [
            {"record": f"query:number:{i}", "expr": q.replace("$__rate_interval", "5m").replace("$instance", ".*")}
            for i, q in enumerate(queries)]}]}
        path = pathlib.Path(scratch) / "queries.yml"
        path.write_text(json.dumps(group))
        run("promtool", "check", "rules", str(path))
    print(f"{len(names_in(text))} families, {len(queries)} queries of the dashboard")


main()
