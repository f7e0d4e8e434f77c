#!/usr/bin/python3
"""What a script on AWS's own SDK does with a snapshot: lists it, gets its blocks on many threads, checks each SHA-256, writes
them to a file. Prints blocks, seconds and processor seconds.

usage: ebs_sdk_client.py ENDPOINT SNAPSHOT FILE THREADS BLOCKS
"""
import base64
import concurrent.futures
import hashlib
import os
import resource
import sys
import time

import boto3
import botocore.config

endpoint, snapshot, path, threads, limit = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
config = botocore.config.Config(max_pool_connections=threads, retries={"max_attempts": 10, "mode": "standard"})
ebs = boto3.client("ebs", region_name="us-east-1", endpoint_url=endpoint, config=config)
out = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)


def fetch(block):
    answer = ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"])
    data = answer["BlockData"].read()
    if base64.b64encode(hashlib.sha256(data).digest()).decode() != answer["Checksum"]:
        raise SystemExit("a block is not what its checksum says")
    os.pwrite(out, data, block["BlockIndex"] * 524288)


def blocks():
    arguments = {"SnapshotId": snapshot, "MaxResults": 10000}
    left = limit
    while left > 0:
        page = ebs.list_snapshot_blocks(**arguments)
        for block in page["Blocks"][:left]:
            left -= 1
            yield block
        if "NextToken" not in page:
            return
        arguments["NextToken"] = page["NextToken"]


begun = time.monotonic()
done = 0
with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(fetch, blocks()):
        done += 1
took = time.monotonic() - begun
use = resource.getrusage(resource.RUSAGE_SELF)
print(done, f"{took:.3f}", f"{use.ru_utime + use.ru_stime:.3f}")
