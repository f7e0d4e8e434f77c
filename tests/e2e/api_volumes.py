#!/usr/bin/env python3
"""Volumes in AWS's terms through the management API.

usage: api_volumes.py ENDPOINT CA_FILE CREDENTIALS GATEWAY_ID COMMAND, as api_support.py has it
COMMAND: volumes | snapshots | moves
"""
import datetime
import re

from api_support import *
from api_support import ACCOUNT, COMMAND, GATEWAY, GATEWAY_ID, GIB

HERE = dict(GatewayARN=GATEWAY, NetworkInterfaceId="127.0.0.1")
NOWHERE = GATEWAY + "/volume/vol-00000000"


def cached(sg, name, **more):
    request = dict(HERE, TargetName=name, VolumeSizeInBytes=GIB, ClientToken="token-" + name)
    return sg.create_cached_iscsi_volume(**{**request, **more})


def stored(sg, name, **more):
    request = dict(HERE, TargetName=name, DiskId="coldshelf-data/1GiB", PreserveExistingData=False)
    return sg.create_stored_iscsi_volume(**{**request, **more})


def volumes():
    sg = client("admin")
    check_making(sg)
    made = {"one": cached(sg, "one"), "two": cached(sg, "two"), "st": stored(sg, "st")}
    arns = {name: answer["VolumeARN"] for name, answer in made.items()}
    for name, arn in arns.items():
        check(arn.startswith(GATEWAY + "/volume/vol-"), f"{name}: {arn}")
        target = f"{GATEWAY}/target/iqn.2026-11.io.coldshelf:test-volume-{name}"
        equal(made[name]["TargetARN"], target, "TargetARN of " + name)
    equal(made["st"]["VolumeSizeInBytes"], GIB, "a stored volume is as large as its disk")
    check_views(sg, arns)
    check_paging(sg, arns)
    check_settings(sg, arns["one"], made["one"]["TargetARN"])
    # Gone, with the volume's tags and CHAP credentials; the others stay.
    who = dict(InitiatorName="iqn.1994-05.com.example:host", SecretToAuthenticateInitiator="initiator-key1")
    for name in ("one", "two"):
        sg.update_chap_credentials(TargetARN=made[name]["TargetARN"], **who)
    equal(sg.delete_volume(VolumeARN=arns["two"])["VolumeARN"], arns["two"], "DeleteVolume")
    refuses(lambda: sg.describe_cached_iscsi_volumes(VolumeARNs=[arns["two"]]), "VolumeNotFound")
    refuses(lambda: sg.list_tags_for_resource(ResourceARN=arns["two"]))
    equal(len(sg.list_volumes()["VolumeInfos"]), 2, "volumes left")
    again = cached(sg, "two", ClientToken="token-two-again")
    equal(again["TargetARN"], made["two"]["TargetARN"], "the name is free")
    chap = lambda name: sg.describe_chap_credentials(TargetARN=made[name]["TargetARN"])["ChapCredentials"]
    equal(chap("two"), [], "CHAP of a volume that has the name of a deleted one")
    equal(len(chap("one")), 1, "CHAP of a volume that is still there")
    sg.delete_volume(VolumeARN=again["VolumeARN"])
    check_unknown(sg)


def check_making(sg):
    tags = [{"Key": "owner", "Value": "ada"}]
    first = cached(sg, "once", Tags=tags)
    equal(cached(sg, "other", ClientToken="token-once")["VolumeARN"], first["VolumeARN"], "the same ClientToken")
    equal(tags_of(sg, first["VolumeARN"]), {"owner": "ada"}, "tags of a new volume")
    # A token is one of its operation: the tapes are made.
    tapes = sg.create_tapes(
        GatewayARN=GATEWAY, TapeSizeInBytes=GIB, ClientToken="token-once", NumTapesToCreate=1, TapeBarcodePrefix="VT"
    )
    check(":tape/VT" in tapes["TapeARNs"][0], "another operation's ClientToken")
    refuses(lambda: cached(sg, "once", ClientToken="token-again"), "VolumeAlreadyExists")
    refuses(lambda: stored(sg, "once"), "VolumeAlreadyExists")
    refuses(lambda: cached(sg, "-no-name"), "InvalidParameters")
    refuses(lambda: cached(sg, "tiny", VolumeSizeInBytes=1), "InvalidParameters")
    refuses(lambda: cached(sg, "keyed", KMSEncrypted=True, KMSKey="alias/none"), "NotSupported")
    refuses(lambda: cached(sg, "ghost", SnapshotId="snap-0123456789abcdef0"), "SnapshotNotFound")
    refuses(lambda: cached(sg, "ghost", SourceVolumeARN=NOWHERE), "VolumeNotFound")
    refuses(lambda: stored(sg, "disk", DiskId="/dev/sda"), "DiskDoesNotExist")
    refuses(lambda: stored(sg, "disk", DiskId="coldshelf-data/much"), "InvalidParameters")
    refuses(lambda: stored(sg, "disk", PreserveExistingData=True), "NotSupported")
    refuses(lambda: cached(sg, "far", GatewayARN=GATEWAY[:-1] + "X"), "GatewayNotFound")
    # What is refused half way leaves nothing behind: the source can go, no clone stands on it.
    twice = [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]
    refuses(lambda: cached(sg, "ghost", Tags=twice), "InvalidParameters")
    refuses(
        lambda: cached(sg, "ghost", SourceVolumeARN=first["VolumeARN"], VolumeSizeInBytes=GIB + 1), "InvalidParameters"
    )
    equal([v["VolumeARN"] for v in sg.list_volumes()["VolumeInfos"]], [first["VolumeARN"]], "volumes made")
    sg.delete_volume(VolumeARN=first["VolumeARN"])


def check_views(sg, arns):
    shown = {v["TargetName"]: v for v in sg.describe_cached_iscsi_volumes(VolumeARNs=[arns["one"], arns["two"]])["CachediSCSIVolumes"]}
    equal(sorted(shown), ["one", "two"], "DescribeCachediSCSIVolumes")
    shown["st"] = sg.describe_stored_iscsi_volumes(VolumeARNs=[arns["st"]])["StorediSCSIVolumes"][0]
    equal(shown["st"]["VolumeDiskId"], "coldshelf-data/1GiB", "VolumeDiskId")
    equal(shown["st"]["PreservedExistingData"], False, "PreservedExistingData")
    for name, v in shown.items():
        equal(v["VolumeARN"], arns[name], "VolumeARN")
        equal(arns[name].split("/")[-1], v["VolumeId"], "VolumeId")
        equal(v["VolumeType"], "STORED iSCSI" if name == "st" else "CACHED iSCSI", "VolumeType")
        equal((v["VolumeStatus"], v["VolumeAttachmentStatus"]), ("AVAILABLE", "ATTACHED"), "status")
        equal((v["VolumeSizeInBytes"], v["VolumeUsedInBytes"]), (GIB, 0), "sizes")
        age = datetime.datetime.now(datetime.timezone.utc) - v["CreatedDate"]
        check(abs(age.total_seconds()) < 3600, "CreatedDate is not now")
        iscsi = v["VolumeiSCSIAttributes"]
        equal(iscsi["ChapEnabled"], False, "ChapEnabled")
        equal(iscsi["NetworkInterfaceId"], "127.0.0.1", "NetworkInterfaceId")
    refuses(lambda: sg.describe_stored_iscsi_volumes(VolumeARNs=[arns["one"]]), "VolumeNotFound")
    refuses(lambda: sg.describe_cached_iscsi_volumes(VolumeARNs=[arns["st"]]), "VolumeNotFound")
    refuses(lambda: sg.describe_cached_iscsi_volumes(VolumeARNs=[arns["one"], NOWHERE]), "VolumeNotFound")
    points = sg.list_volume_recovery_points(GatewayARN=GATEWAY)["VolumeRecoveryPointInfos"]
    equal(sorted(p["VolumeARN"] for p in points), sorted([arns["one"], arns["two"]]), "of cached volumes alone")
    for point in points:
        equal((point["VolumeSizeInBytes"], point["VolumeUsageInBytes"]), (GIB, 0), "sizes of a recovery point")
        check(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", point["VolumeRecoveryPointTime"]), str(point))


def check_paging(sg, arns):
    for size in (1, 2, 3, 100):
        pages = list(sg.get_paginator("list_volumes").paginate(GatewayARN=GATEWAY, PaginationConfig={"PageSize": size}))
        equal(len(pages), max(1, -(-3 // size)), f"pages of {size}")
        infos = [v for page in pages for v in page["VolumeInfos"]]
        equal(sorted(v["VolumeARN"] for v in infos), sorted(arns.values()), f"list_volumes by {size}")
        equal({(v["GatewayARN"], v["GatewayId"]) for v in infos}, {(GATEWAY, GATEWAY_ID)}, "the gateway")
        equal(sorted({v["VolumeType"] for v in infos}), ["CACHED iSCSI", "STORED iSCSI"], "types")


def check_settings(sg, arn, target):
    sg.add_tags_to_resource(ResourceARN=arn, Tags=[{"Key": "k", "Value": "v"}])
    equal(tags_of(sg, arn), {"k": "v"}, "tags")
    sg.remove_tags_from_resource(ResourceARN=arn, TagKeys=["k"])
    equal(tags_of(sg, arn), {}, "tags taken off")
    equal(sg.list_volume_initiators(VolumeARN=arn)["Initiators"], [], "ListVolumeInitiators")
    who = "iqn.1994-05.com.example:host"
    sg.update_chap_credentials(TargetARN=target, InitiatorName=who, SecretToAuthenticateInitiator="initiator-key1")
    chap = lambda: sg.describe_cached_iscsi_volumes(VolumeARNs=[arn])["CachediSCSIVolumes"][0]["VolumeiSCSIAttributes"]
    equal(chap()["ChapEnabled"], True, "ChapEnabled")
    equal(sg.describe_chap_credentials(TargetARN=target)["ChapCredentials"][0]["InitiatorName"], who, "CHAP of a volume")
    sg.delete_chap_credentials(TargetARN=target, InitiatorName=who)
    equal(chap()["ChapEnabled"], False, "ChapEnabled again")


def check_unknown(sg):
    """Each operation on a volume that there is none, or that is another's."""
    calls = (
        lambda arn: sg.delete_volume(VolumeARN=arn),
        lambda arn: sg.detach_volume(VolumeARN=arn),
        lambda arn: sg.attach_volume(VolumeARN=arn, **HERE),
        lambda arn: sg.describe_cached_iscsi_volumes(VolumeARNs=[arn]),
        lambda arn: sg.describe_stored_iscsi_volumes(VolumeARNs=[arn]),
        lambda arn: sg.list_volume_initiators(VolumeARN=arn),
        lambda arn: sg.create_snapshot(VolumeARN=arn, SnapshotDescription="d"),
        lambda arn: sg.create_snapshot_from_volume_recovery_point(VolumeARN=arn, SnapshotDescription="d"),
        lambda arn: sg.describe_snapshot_schedule(VolumeARN=arn),
        lambda arn: sg.update_snapshot_schedule(VolumeARN=arn, StartAt=1, RecurrenceInHours=1),
        lambda arn: sg.delete_snapshot_schedule(VolumeARN=arn),
    )
    by_name = GATEWAY + "/volume/one"  # a name is no id: it may be another volume's id one day
    for call in calls:
        for arn in (NOWHERE, by_name, ACCOUNT + "gateway/sgw-00000000/volume/vol-00000000"):
            refuses(lambda: call(arn), "VolumeNotFound")
    refuses(lambda: sg.list_volume_recovery_points(GatewayARN=GATEWAY[:-1] + "X"), "GatewayNotFound")
    refuses(lambda: sg.list_volumes(GatewayARN=GATEWAY[:-1] + "X"), "GatewayNotFound")


def snapshots():
    sg = client("admin")
    arn = cached(sg, "src")["VolumeARN"]
    keep = cached(sg, "kept")["VolumeARN"]
    first = sg.create_snapshot(VolumeARN=arn, SnapshotDescription="before the change")
    second = sg.create_snapshot_from_volume_recovery_point(VolumeARN=arn, SnapshotDescription="from the point")
    equal((first["VolumeARN"], second["VolumeARN"]), (arn, arn), "snapshots")
    check(first["SnapshotId"] != second["SnapshotId"], "two snapshots with one id")
    check(second["VolumeRecoveryPointTime"], "VolumeRecoveryPointTime")
    points = own("--json", "volume", "point", "list", "src")["RecoveryPoints"]
    equal(sorted(p["About"]["description"] for p in points), ["before the change", "from the point"], "descriptions")
    tags = [{"Key": "a", "Value": "b"}]
    refuses(lambda: sg.create_snapshot(VolumeARN=arn, SnapshotDescription="d", Tags=tags), "NotSupported")
    # Volumes that begin as a snapshot, or as another volume is.
    clone = cached(sg, "clone", SnapshotId=first["SnapshotId"], VolumeSizeInBytes=2 * GIB)["VolumeARN"]
    equal(sg.describe_cached_iscsi_volumes(VolumeARNs=[clone])["CachediSCSIVolumes"][0]["VolumeSizeInBytes"], 2 * GIB, "larger")
    full = stored(sg, "full", SnapshotId=first["SnapshotId"])["VolumeARN"]
    equal(sg.describe_stored_iscsi_volumes(VolumeARNs=[full])["StorediSCSIVolumes"][0]["VolumeSizeInBytes"], GIB, "stored")
    before = len(own("--json", "volume", "point", "list", "src")["RecoveryPoints"])
    copy = cached(sg, "copy", SourceVolumeARN=arn)["VolumeARN"]
    equal(len(own("--json", "volume", "point", "list", "src")["RecoveryPoints"]), before + 1, "a point for the copy")
    refuses(lambda: cached(sg, "small", SourceVolumeARN=arn, VolumeSizeInBytes=GIB // 2), "InvalidParameters")
    refuses(lambda: cached(sg, "small", SnapshotId=first["SnapshotId"], VolumeSizeInBytes=GIB // 2), "InvalidParameters")
    equal(len(own("--json", "volume", "point", "list", "src")["RecoveryPoints"]), before + 1, "no point for nothing")
    refuses(
        lambda: cached(sg, "both", SourceVolumeARN=arn, SnapshotId=first["SnapshotId"]), "InvalidParameters"
    )
    refuses(lambda: sg.delete_volume(VolumeARN=arn), "VolumeInUse")  # clones stand on it
    for made in (clone, full, copy):
        sg.delete_volume(VolumeARN=made)
    check_schedule(sg, arn, keep)


def check_schedule(sg, arn, other):
    refuses(lambda: sg.describe_snapshot_schedule(VolumeARN=arn), "SnapshotScheduleNotFound")
    refuses(lambda: sg.delete_snapshot_schedule(VolumeARN=arn), "SnapshotScheduleNotFound")
    put = lambda volume, **given: sg.update_snapshot_schedule(VolumeARN=volume, **given)
    equal(put(arn, StartAt=3, RecurrenceInHours=8, Description="thrice a day")["VolumeARN"], arn, "UpdateSnapshotSchedule")
    put(other, StartAt=0, RecurrenceInHours=1)
    shown = sg.describe_snapshot_schedule(VolumeARN=arn)
    equal(
        {k: shown[k] for k in ("VolumeARN", "StartAt", "RecurrenceInHours", "Description", "Timezone")},
        dict(VolumeARN=arn, StartAt=3, RecurrenceInHours=8, Description="thrice a day", Timezone="GMT"),
        "DescribeSnapshotSchedule",
    )
    for hours in (1, 2, 4, 8, 12, 24):
        put(arn, StartAt=0, RecurrenceInHours=hours)
        equal(sg.describe_snapshot_schedule(VolumeARN=arn)["RecurrenceInHours"], hours, "RecurrenceInHours")
    for hours in (3, 5, 23):
        refuses(lambda: put(arn, StartAt=0, RecurrenceInHours=hours), "InvalidParameters")
    refuses(lambda: put(arn, StartAt=0, RecurrenceInHours=1, Tags=[{"Key": "a", "Value": "b"}]), "NotSupported")
    equal(sg.describe_snapshot_schedule(VolumeARN=arn)["RecurrenceInHours"], 24, "what was refused changed nothing")
    equal(sg.delete_snapshot_schedule(VolumeARN=arn)["VolumeARN"], arn, "DeleteSnapshotSchedule")
    refuses(lambda: sg.describe_snapshot_schedule(VolumeARN=arn), "SnapshotScheduleNotFound")
    equal(sg.describe_snapshot_schedule(VolumeARN=other)["RecurrenceInHours"], 1, "another volume's schedule")


def moves():
    """Given up and taken again, as between gateways of one store."""
    sg = client("admin")
    arn = cached(sg, "roam", Tags=[{"Key": "owner", "Value": "ada"}])["VolumeARN"]
    refuses(lambda: sg.attach_volume(VolumeARN=arn, **HERE), "VolumeNotFound")  # it is not detached
    equal(sg.detach_volume(VolumeARN=arn, ForceDetach=True)["VolumeARN"], arn, "DetachVolume")
    wait_for("the end of the detachment", lambda: arn not in [v["VolumeARN"] for v in sg.list_volumes()["VolumeInfos"]])
    refuses(lambda: sg.describe_cached_iscsi_volumes(VolumeARNs=[arn]), "VolumeNotFound")
    refuses(lambda: sg.attach_volume(VolumeARN=arn, TargetName="elsewhere", **HERE), "NotSupported")
    refuses(lambda: sg.attach_volume(VolumeARN=arn, DiskId="/dev/sda", **HERE), "DiskDoesNotExist")
    answer = sg.attach_volume(VolumeARN=arn, TargetName="roam", **HERE)
    equal(answer["VolumeARN"], arn, "AttachVolume")
    check(answer["TargetARN"].endswith("-volume-roam"), "TargetARN")
    equal(sg.describe_cached_iscsi_volumes(VolumeARNs=[arn])["CachediSCSIVolumes"][0]["VolumeStatus"], "AVAILABLE", "attached")


{"volumes": volumes, "snapshots": snapshots, "moves": moves}[COMMAND]()
done()
