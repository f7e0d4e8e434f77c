#!/usr/bin/env python3
"""How long a scrape of /metrics takes, of a daemon with tapes and volumes.

usage: scrape_bench.py PROGRAMS [--tapes 1500] [--volumes 100] [--rounds 100]
PROGRAMS is where coldshelfd is. `./dev bench scrape` runs it.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/ops"))
from gateway_process import Gateway, free_port  # noqa: E402

GOAL_MS = 20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("--tapes", type=int, default=1500)
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory) / "c.toml"
        config.write_text(
            f'[gateway]\ndata_dir = "{directory}/data"\n[iscsi]\nlisten = ["127.0.0.1:{free_port()}"]\n[library]\n'
            f'slots = {given.tapes}\ndrives = 10\n[api]\nsocket = "{directory}/api.sock"\nlisten = ""\n')
        with Gateway(given.programs, directory, ["--config", str(config)]) as gateway:
            gateway.wait()
            for first in range(0, given.tapes, 500):
                gateway.call("CreateTapes", Barcode=f"SC{first:05d}L8", SizeInBytes=1 << 40,
                             Count=min(500, given.tapes - first))
            for i in range(given.volumes):
                gateway.call("CreateVolume", Name=f"v{i}", SizeInBytes=1 << 30)
                gateway.call("CreateRecoveryPoint", Volumes=[f"v{i}"])
            times = []
            for _ in range(given.rounds):
                begin = time.perf_counter()
                status, text = gateway.get("/metrics")
                times.append((time.perf_counter() - begin) * 1e3)
                assert status == 200 and f'coldshelf_tapes{{status="AVAILABLE"}} {given.tapes}' in text, text[:500]
                assert text.count("coldshelf_volume_size_bytes{") == given.volumes
            times.sort()
            median = statistics.median(times)
            print(f"/metrics, {given.tapes} tapes, {given.volumes} volumes: median {median:.1f} ms, "
                  f"99% {times[len(times) * 99 // 100]:.1f} ms, {len(text)} bytes  (goal: < {GOAL_MS} ms: "
                  f"{'met' if median < GOAL_MS else 'MISSED'})")
            gateway.stop()
    sys.exit(0 if median < GOAL_MS else 1)


main()
