#!/usr/bin/env python3
"""Debian's `aws`, imported once: each command runs in a fork of this process. A start of `aws` costs a second of
processor time, which is its imports and its models.

usage: aws_forks.py OUT ERR   (run by aws_cli.sh)
A line of standard input is a command, base64 of NUL-terminated words: NAME=VALUE for the environment, "--", then what
stands behind `aws`. Its output goes to the files OUT and ERR, its exit code to standard output.
"""
import base64
import gc
import os
import sys

import awscli.clidriver

SERVICES = ("ebs", "ec2", "sts", "sns")


def run(driver, words, out, err):
    """In the child; never returns."""
    split = words.index("--")
    for assignment in words[:split]:
        name, _, value = assignment.partition("=")
        os.environ[name] = value
        if not value:
            del os.environ[name]
    for path, fd in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    code = 255
    try:
        code = driver.main(words[split + 1 :])
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 255
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if code is not None else 0)


def main():
    out, err = sys.argv[1:3]
    driver = awscli.clidriver.create_clidriver()
    # Their models, read once; by a session of its own, which keeps its credentials to itself.
    reader = type(driver.session)()
    reader.register_component("data_loader", driver.session.get_component("data_loader"))
    for service in SERVICES:
        reader.create_client(service, region_name="us-east-1", endpoint_url="http://127.0.0.1:1")
    gc.freeze()
    for line in sys.stdin:
        words = base64.b64decode(line).decode().split("\0")[:-1]
        child = os.fork()
        if child == 0:
            run(driver, words, out, err)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


main()
