"""A coldshelfd of a test's own: started, asked over its socket, stopped by its pid."""
import http.client
import json
import os
import pathlib
import socket
import subprocess
import time


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    def __init__(self, programs, scratch, arguments=None, environment=None):
        self.programs = pathlib.Path(programs)
        self.scratch = pathlib.Path(scratch)
        self.socket = str(self.scratch / "api.sock")
        self.log = self.scratch / "coldshelfd.log"
        if arguments is None:
            config = self.scratch / "coldshelf.toml"
            config.write_text(
                f'[gateway]\ndata_dir = "{self.scratch}/data"\n[iscsi]\nlisten = ["127.0.0.1:{free_port()}"]\n'
                f'[api]\nsocket = "{self.socket}"\n')
            arguments = ["--config", str(config)]
        self.process = subprocess.Popen([str(self.programs / "coldshelfd"), *arguments], stderr=open(self.log, "w"),
                                        env={**os.environ, **(environment or {})})

    def wait(self):
        """Until it answers; a daemon that ends instead is an error that shows its log."""
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                if self.get("/healthz")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the daemon does not answer:\n" + self.log.read_text())

    def get(self, path):
        connection = UnixConnection(self.socket)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def call(self, operation, **fields):
        connection = UnixConnection(self.socket)
        connection.request("POST", "/", json.dumps(fields), {"X-Amz-Target": "Coldshelf_20261101." + operation})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{operation}: {body}")
        return body

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=120)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
