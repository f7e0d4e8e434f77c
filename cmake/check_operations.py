#!/usr/bin/env python3
"""Checks that every operation of the management API has its role, its place in docs/, and its command.

usage: check_operations.py ROOT
"""
import pathlib
import re
import sys

# AWS's names of what the command line does by an operation of our own, or by another of AWS's.
SAME_AS = {
    "CancelArchival": "CancelTapeJob",
    "CancelRetrieval": "CancelTapeJob",
    "CreateCachediSCSIVolume": "CreateVolume",
    "CreateSnapshot": "CreateRecoveryPoint",
    "CreateSnapshotFromVolumeRecoveryPoint": "CreateRecoveryPoint",
    "CreateStorediSCSIVolume": "CreateVolume",
    "CreateTapePool": "CreatePool",
    "CreateTapeWithBarcode": "CreateTapes",
    "DeleteSnapshotSchedule": "DeleteVolumeSchedule",
    "DeleteTapeArchive": "DeleteTape",
    "DeleteTapePool": "DeletePool",
    "DescribeCache": "GatewayStatus",
    "DescribeCachediSCSIVolumes": "DescribeVolume",
    "DescribeSnapshotSchedule": "ListVolumeSchedules",
    "DescribeStorediSCSIVolumes": "DescribeVolume",
    "DescribeTapeArchives": "DescribeTape",
    "DescribeTapeRecoveryPoints": "ListShelf",
    "DescribeTapes": "DescribeTape",
    "DescribeUploadBuffer": "GatewayStatus",
    "DescribeWorkingStorage": "GatewayStatus",
    "ListDrives": "LibraryStatus",
    "ListLocalDisks": "GatewayStatus",
    "ListTapePools": "ListPools",
    "ListVolumeInitiators": "ListSessions",
    "ListVolumeRecoveryPoints": "DescribeVolume",
    "RetrieveTapeArchive": "RetrieveTape",
    "RetrieveTapeRecoveryPoint": "TakeOverTape",
    "UpdateSnapshotSchedule": "PutVolumeSchedule",
}


def main():
    root = pathlib.Path(sys.argv[1])
    read = lambda pattern: "\n".join(p.read_text() for p in sorted(root.glob(pattern)))
    api, cli, docs = read("gateway/api/*.cc"), read("gateway/cli/*.cc"), read("docs/*.md")
    roles = set(re.findall(r'^    \{"(\w+)", [VOA], (?:true|false)\},', (root / "gateway/api/roles.cc").read_text(), re.M))
    served = set(re.findall(r'\b(?:own|aws)\("(\w+)"', api))
    # Two operations of one body: aws(condition ? "A" : "B", ...).
    for pair in re.findall(r'\b(?:own|aws)\([\w()]+ \? "(\w+)" : "(\w+)"', api):
        served.update(pair)
    for name in re.findall(r'^\s+\w+\("\w+", "(\w+)", \w+\);', api, re.M):
        served.add(name)
    # What stands in the table of roles is served.
    problems = [f"{name} has no row in gateway/api/roles.cc" for name in sorted(served - roles)]
    used = set(re.findall(r'"(?:StorageGateway_20130630\.)?([A-Z]\w+)"', cli))
    for name in sorted(roles | served):
        if not re.search(rf"\b{name}\b", docs):
            problems.append(f"{name} is not in docs/")
        if SAME_AS.get(name, name) not in used:
            problems.append(f"no command does {SAME_AS.get(name, name)}: gateway/cli/ lacks it")
    for name in sorted(set(SAME_AS) - roles):
        problems.append(f"check_operations.py: there is no operation {name}")
    print("\n".join(problems) or f"{len(roles)} operations have their role, documentation and command")
    sys.exit(1 if problems else 0)


main()
