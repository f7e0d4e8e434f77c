#!/usr/bin/env python3
"""Alarms of a real daemon: listed, acknowledged, told to a webhook, and over.

usage: alarm_test.py PROGRAMS
"""
import http.server
import json
import pathlib
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from gateway_process import Gateway, free_port  # noqa: E402


class Receiver(http.server.BaseHTTPRequestHandler):
    told = []

    def do_POST(self):
        Receiver.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def until(what, condition):
    for _ in range(900):
        if condition():
            return
        time.sleep(0.1)
    raise SystemExit(f"never: {what}; told: {Receiver.told}")


def main():
    programs = pathlib.Path(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        config = scratch / "c.toml"
        config.write_text(
            f'[gateway]\ndata_dir = "{scratch}/data"\n[iscsi]\nlisten = ["127.0.0.1:{free_port()}"]\n'
            f'[api]\nsocket = "{scratch}/api.sock"\nlisten = ""\n[store]\npath = "{scratch}/store"\n[[notify]]\nname = "hook"\n'
            f'type = "webhook"\nurl = "http://127.0.0.1:{server.server_port}/alarms"\nevents = ["alarm."]\n')
        with Gateway(programs, scratch, ["--config", str(config)]) as gateway:
            gateway.wait()
            assert gateway.call("ListAlarms")["Alarms"] == []
            # What says that this is the data directory is gone, as when a disk is unmounted.
            version = scratch / "data" / "version"
            kept = version.read_text()
            version.unlink()
            on = lambda: [a["Alarm"] for a in gateway.call("ListAlarms")["Alarms"]]  # noqa: E731
            until("raised", lambda: on() == ["data_directory"])
            until("told", lambda: any(t["event"] == "alarm.raised" for t in Receiver.told))
            assert gateway.get("/healthz")[0] == 503 and gateway.get("/readyz")[0] == 503
            assert 'coldshelf_alarm{alarm="data_directory"' in gateway.get("/metrics")[1]
            assert gateway.call("GatewayStatus")["Alarms"][0]["Alarm"] == "data_directory"
            gateway.call("AcknowledgeAlarm", Alarm="data_directory")
            assert gateway.call("ListAlarms")["Alarms"][0]["Acknowledged"]
            version.write_text(kept)
            until("over", lambda: on() == [])
            until("told that it is over", lambda: any(t["event"] == "alarm.over" for t in Receiver.told))
            assert [a["Alarm"] for a in gateway.call("ListAlarms", History=True)["History"]] == ["data_directory"]
            raised = next(t for t in Receiver.told if t["event"] == "alarm.raised")
            assert raised["severity"] == "error" and "vanished" in raised["subject"], raised
            assert gateway.stop() == 0
    print(f"{len(Receiver.told)} messages")


main()
