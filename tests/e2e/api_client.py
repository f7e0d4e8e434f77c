#!/usr/bin/env python3
"""Tapes, settings, parameter checks and roles of the management API; volumes are in api_volumes.py.

usage: api_client.py ENDPOINT CA_FILE CREDENTIALS GATEWAY_ID COMMAND, as api_support.py has it
COMMAND: tapes | settings | inputs | roles | served
"""
import datetime
import os
import re
import subprocess

import boto3
import botocore

from api_support import *
from api_support import ACCOUNT, CA, COMMAND, ENDPOINT, GATEWAY, GIB

# AWS's own names; DescribeWorkingStorage is the old name of the upload buffer.
SUPPORTED = """
CreateTapes CreateTapeWithBarcode DeleteTape DeleteTapeArchive DescribeTapes DescribeTapeArchives
DescribeTapeRecoveryPoints ListTapes RetrieveTapeArchive RetrieveTapeRecoveryPoint CancelArchival CancelRetrieval
CreateTapePool DeleteTapePool ListTapePools AssignTapePool UpdateAutomaticTapeCreationPolicy
ListAutomaticTapeCreationPolicies DeleteAutomaticTapeCreationPolicy DescribeVTLDevices UpdateVTLDeviceType
CreateCachediSCSIVolume CreateStorediSCSIVolume DescribeCachediSCSIVolumes DescribeStorediSCSIVolumes AttachVolume
DetachVolume DeleteVolume ListVolumes ListVolumeInitiators ListVolumeRecoveryPoints CreateSnapshot
CreateSnapshotFromVolumeRecoveryPoint DescribeSnapshotSchedule UpdateSnapshotSchedule DeleteSnapshotSchedule
DescribeGatewayInformation UpdateGatewayInformation ListGateways ListLocalDisks DescribeCache DescribeUploadBuffer
DescribeWorkingStorage DescribeChapCredentials UpdateChapCredentials DeleteChapCredentials
DescribeBandwidthRateLimit UpdateBandwidthRateLimit DeleteBandwidthRateLimit DescribeBandwidthRateLimitSchedule
UpdateBandwidthRateLimitSchedule AddTagsToResource ListTagsForResource RemoveTagsFromResource
""".split()

def tapes():
    sg = client("admin")
    names = [g["GatewayARN"] for g in sg.list_gateways()["Gateways"]]
    equal(names, [GATEWAY], "ListGateways")
    tags = [{"Key": "owner", "Value": "ada"}, {"Key": "Größe", "Value": "XL"}]
    arn = sg.create_tape_with_barcode(
        GatewayARN=GATEWAY, TapeSizeInBytes=GIB, TapeBarcode="BOTO01L8", PoolId="GLACIER", Tags=tags
    )["TapeARN"]
    equal(arn, tape_arn("BOTO01L8"), "CreateTapeWithBarcode")
    request = dict(
        GatewayARN=GATEWAY, TapeSizeInBytes=GIB, ClientToken="token-1", NumTapesToCreate=5, TapeBarcodePrefix="PG"
    )
    made = sg.create_tapes(**request)["TapeARNs"]
    equal(len(made), 5, "CreateTapes")
    equal(sg.create_tapes(**request)["TapeARNs"], made, "CreateTapes again with the same token")
    refused(
        lambda: sg.create_tape_with_barcode(GatewayARN=GATEWAY, TapeSizeInBytes=GIB, TapeBarcode="BOTO01L8"),
        "InvalidGatewayRequestException",
    )
    refused(
        lambda: sg.create_tape_with_barcode(GatewayARN=GATEWAY, TapeSizeInBytes=GIB + 1, TapeBarcode="BOTO02L8"),
        "InvalidGatewayRequestException",
        "InvalidParameters",
    )
    refused(
        lambda: sg.describe_tapes(GatewayARN=GATEWAY[:-1] + "X"), "InvalidGatewayRequestException", "GatewayNotFound"
    )
    refused(
        lambda: sg.describe_tapes(GatewayARN=GATEWAY, TapeARNs=[tape_arn("NONE0001")]),
        "InvalidGatewayRequestException",
        "TapeCartridgeNotFound",
    )
    refused(
        lambda: sg.create_tape_with_barcode(
            GatewayARN=GATEWAY,
            TapeSizeInBytes=GIB,
            TapeBarcode="KMS001L8",
            KMSEncrypted=True,
            KMSKey="arn:aws:kms:eu-central-1:123456789012:key/none",
        ),
        "InvalidGatewayRequestException",
        "NotSupported",
    )
    # Paging: every page size gives every tape once.
    wanted = sorted(made + [arn])
    for size in (1, 2, 3, 6, 100):
        for operation, key, more in (
            ("list_tapes", "TapeInfos", {}),
            ("describe_tapes", "Tapes", {"GatewayARN": GATEWAY}),
        ):
            pages = sg.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **more)
            listed = [t["TapeARN"] for page in pages for t in page[key]]
            equal(sorted(listed), wanted, f"{operation} by {size}")
    one = sg.describe_tapes(GatewayARN=GATEWAY, TapeARNs=[arn])["Tapes"][0]
    equal(one["TapeStatus"], "AVAILABLE", "TapeStatus")
    equal(one["TapeSizeInBytes"], GIB, "TapeSizeInBytes")
    check(isinstance(one["TapeCreatedDate"], datetime.datetime), "TapeCreatedDate is no time")
    age = datetime.datetime.now(datetime.timezone.utc) - one["TapeCreatedDate"]
    check(abs(age.total_seconds()) < 3600, "TapeCreatedDate is not now")
    equal(tags_of(sg, arn), {"owner": "ada", "Größe": "XL"}, "tags of a new tape")
    sg.add_tags_to_resource(ResourceARN=arn, Tags=[{"Key": "owner", "Value": "bob"}, {"Key": "n", "Value": ""}])
    sg.remove_tags_from_resource(ResourceARN=arn, TagKeys=["Größe", "never there"])
    equal(tags_of(sg, arn), {"owner": "bob", "n": ""}, "changed tags")
    pages = sg.get_paginator("list_tags_for_resource").paginate(ResourceARN=arn, PaginationConfig={"PageSize": 1})
    equal([t["Key"] for p in pages for t in p["Tags"]], ["n", "owner"], "tags by one")
    for resource in (GATEWAY, ACCOUNT + "tapepool/GLACIER", GATEWAY + "/device/tapedrive-01"):
        sg.add_tags_to_resource(ResourceARN=resource, Tags=[{"Key": "k", "Value": resource[-5:]}])
        equal(tags_of(sg, resource), {"k": resource[-5:]}, "tags of " + resource)
    equal(sg.describe_gateway_information(GatewayARN=GATEWAY)["Tags"][0]["Key"], "k", "the gateway's tags")
    for resource in (tape_arn("NONE0001"), GATEWAY + "/device/tapedrive-99", ACCOUNT + "tapepool/none"):
        refused(lambda: tags_of(sg, resource), "InvalidGatewayRequestException")
    pools(sg, arn)
    shelf(sg, arn)
    refused(
        lambda: sg.describe_tape_recovery_points(GatewayARN="arn:aws:s3:eu-central-1:000000000000:bucket/elsewhere"),
        "InvalidGatewayRequestException",
        "GatewayNotFound",
    )
    equal(sg.describe_tape_recovery_points(GatewayARN=GATEWAY)["TapeRecoveryPointInfos"], [], "recovery points")
    refused(
        lambda: sg.retrieve_tape_recovery_point(TapeARN=tape_arn("NONE0001"), GatewayARN=GATEWAY),
        "InvalidGatewayRequestException",
        "TapeCartridgeNotFound",
    )


def pools(sg, tape):
    arn = sg.create_tape_pool(PoolName="boto pool", StorageClass="DEEP_ARCHIVE", Tags=[{"Key": "a", "Value": "b"}])[
        "PoolARN"
    ]
    equal(tags_of(sg, arn), {"a": "b"}, "tags of a new pool")
    listed = {p["PoolARN"]: p for p in sg.list_tape_pools()["PoolInfos"]}
    equal(listed[arn]["StorageClass"], "DEEP_ARCHIVE", "StorageClass")
    equal(listed[arn]["RetentionLockType"], "NONE", "RetentionLockType")
    pages = sg.get_paginator("list_tape_pools").paginate(PaginationConfig={"PageSize": 1})
    equal(sorted(p["PoolARN"] for page in pages for p in page["PoolInfos"]), sorted(listed), "pools by one")
    equal(len(sg.list_tape_pools(PoolARNs=[arn])["PoolInfos"]), 1, "one pool")
    sg.assign_tape_pool(TapeARN=tape, PoolId=arn)
    equal(sg.list_tapes(TapeARNs=[tape])["TapeInfos"][0]["PoolId"], "boto pool", "PoolId")
    refused(lambda: sg.delete_tape_pool(PoolARN=arn), "InvalidGatewayRequestException")
    sg.assign_tape_pool(TapeARN=tape, PoolId="GLACIER")
    sg.delete_tape_pool(PoolARN=arn)
    check(arn not in [p["PoolARN"] for p in sg.list_tape_pools()["PoolInfos"]], "the pool is still there")
    refused(
        lambda: sg.create_tape_pool(PoolName="bad", StorageClass="DEEP_ARCHIVE", RetentionLockTimeInDays=9),
        "InvalidGatewayRequestException",
    )


def shelf(sg, arn):
    subprocess.run(os.environ["COLDSHELF"].split() + ["tape", "archive", arn.split("/")[1], "--wait"], check=True)
    wait_for("the archived tape", lambda: arn in [t["TapeARN"] for t in sg.describe_tape_archives()["TapeArchives"]])
    wait_for(
        "ARCHIVED",
        lambda: sg.describe_tape_archives(TapeARNs=[arn])["TapeArchives"][0]["TapeStatus"] == "ARCHIVED",
    )
    archive = sg.describe_tape_archives(TapeARNs=[arn])["TapeArchives"][0]
    check("CompletionTime" in archive, "no CompletionTime")
    equal(tags_of(sg, arn), {"owner": "bob", "n": ""}, "tags of an archived tape")
    sg.add_tags_to_resource(ResourceARN=arn, Tags=[{"Key": "on", "Value": "shelf"}])
    refused(lambda: sg.delete_tape(GatewayARN=GATEWAY, TapeARN=arn), "InvalidGatewayRequestException")
    refused(lambda: sg.cancel_archival(GatewayARN=GATEWAY, TapeARN=arn), "InvalidGatewayRequestException")
    refused(lambda: sg.cancel_retrieval(GatewayARN=GATEWAY, TapeARN=arn), "InvalidGatewayRequestException")
    sg.retrieve_tape_archive(TapeARN=arn, GatewayARN=GATEWAY)

    def retrieved():
        found = sg.describe_tapes(GatewayARN=GATEWAY, TapeARNs=[arn])["Tapes"]
        return found and found[0]["TapeStatus"] == "RETRIEVED"

    wait_for("RETRIEVED", retrieved)
    extra = sg.create_tape_with_barcode(GatewayARN=GATEWAY, TapeSizeInBytes=GIB, TapeBarcode="GONE01L8")["TapeARN"]
    equal(sg.delete_tape(GatewayARN=GATEWAY, TapeARN=extra)["TapeARN"], extra, "DeleteTape")
    refused(lambda: sg.delete_tape_archive(TapeARN=arn), "InvalidGatewayRequestException")


def settings():
    sg = client("admin")
    devices = sg.describe_vtl_devices(GatewayARN=GATEWAY)["VTLDevices"]
    equal(len(devices), 3, "devices")
    pages = sg.get_paginator("describe_vtl_devices").paginate(GatewayARN=GATEWAY, PaginationConfig={"PageSize": 1})
    equal([d for p in pages for d in p["VTLDevices"]], devices, "devices by one")
    changer = [d for d in devices if d["VTLDeviceType"] == "Medium Changer"][0]["VTLDeviceARN"]
    drive = [d for d in devices if d["VTLDeviceType"] == "Tape Drive"][0]
    sg.update_vtl_device_type(VTLDeviceARN=changer, DeviceType="AWS-Gateway-VTL")
    refused(
        lambda: sg.update_vtl_device_type(VTLDeviceARN=changer, DeviceType="Nonsense"),
        "InvalidGatewayRequestException",
        "InvalidParameters",
    )
    refused(
        lambda: sg.update_vtl_device_type(VTLDeviceARN=drive["VTLDeviceARN"], DeviceType="STK-L700"),
        "InvalidGatewayRequestException",
        "NotSupported",
    )
    # The gateway, its disks.
    info = sg.update_gateway_information(GatewayARN=GATEWAY, GatewayName="Cold one", GatewayTimezone="GMT+1:00")
    equal(info["GatewayName"], "Cold one", "UpdateGatewayInformation")
    info = sg.describe_gateway_information(GatewayARN=GATEWAY)
    equal((info["GatewayName"], info["GatewayTimezone"]), ("Cold one", "GMT+1:00"), "DescribeGatewayInformation")
    equal(info["GatewayNetworkInterfaces"][0]["Ipv4Address"], "127.0.0.1", "GatewayNetworkInterfaces")
    refused(
        lambda: sg.update_gateway_information(GatewayARN=GATEWAY, GatewayTimezone="CET"),
        "InvalidGatewayRequestException",
        "InvalidParameters",
    )
    disk = sg.list_local_disks(GatewayARN=GATEWAY)["Disks"][0]
    check(disk["DiskSizeInBytes"] > 0, "DiskSizeInBytes")
    equal(sg.describe_cache(GatewayARN=GATEWAY)["CacheAllocatedInBytes"], 4 * GIB, "CacheAllocatedInBytes")
    equal(
        sg.describe_upload_buffer(GatewayARN=GATEWAY)["UploadBufferAllocatedInBytes"], 2 * GIB, "the upload buffer"
    )
    equal(
        sg.describe_working_storage(GatewayARN=GATEWAY)["WorkingStorageAllocatedInBytes"], 2 * GIB, "working storage"
    )
    bandwidth(sg)
    chap(sg, drive["DeviceiSCSIAttributes"]["TargetARN"])
    automatic(sg)


def bandwidth(sg):
    limit = lambda: {k: v for k, v in sg.describe_bandwidth_rate_limit(GatewayARN=GATEWAY).items() if "Rate" in k}
    equal(limit(), {}, "no limit")
    sg.update_bandwidth_rate_limit(GatewayARN=GATEWAY, AverageUploadRateLimitInBitsPerSec=80_000_000)
    sg.update_bandwidth_rate_limit(GatewayARN=GATEWAY, AverageDownloadRateLimitInBitsPerSec=160_000_000)
    equal(limit()["AverageUploadRateLimitInBitsPerSec"], 80_000_000, "upload limit")
    equal(limit()["AverageDownloadRateLimitInBitsPerSec"], 160_000_000, "download limit")
    sg.delete_bandwidth_rate_limit(GatewayARN=GATEWAY, BandwidthType="DOWNLOAD")
    equal(list(limit()), ["AverageUploadRateLimitInBitsPerSec"], "one limit left")
    sg.delete_bandwidth_rate_limit(GatewayARN=GATEWAY, BandwidthType="ALL")
    equal(limit(), {}, "no limit again")
    interval = dict(
        StartHourOfDay=8,
        StartMinuteOfHour=0,
        EndHourOfDay=17,
        EndMinuteOfHour=59,
        DaysOfWeek=[1, 2, 3, 4, 5],
        AverageUploadRateLimitInBitsPerSec=8_000_000,
    )
    weekend = dict(interval, DaysOfWeek=[0, 6], AverageDownloadRateLimitInBitsPerSec=1_600_000)
    put = lambda given: sg.update_bandwidth_rate_limit_schedule(GatewayARN=GATEWAY, BandwidthRateLimitIntervals=given)
    put([interval, weekend])
    shown = sg.describe_bandwidth_rate_limit_schedule(GatewayARN=GATEWAY)["BandwidthRateLimitIntervals"]
    equal(shown, [interval, weekend], "the schedule")
    for wrong in (
        [interval, interval],
        [dict(interval, EndHourOfDay=7)],
        [dict(interval, StartHourOfDay=24)],
        [dict(interval, DaysOfWeek=[7])],
        [dict(interval, AverageUploadRateLimitInBitsPerSec=8)],
        [interval] * 21,
    ):
        free = client("admin", check_input=False)
        refused(
            lambda: free.update_bandwidth_rate_limit_schedule(GatewayARN=GATEWAY, BandwidthRateLimitIntervals=wrong),
            "InvalidGatewayRequestException",
            "InvalidParameters",
        )


def chap(sg, target):
    initiator = "iqn.1994-05.com.example:host"
    equal(sg.describe_chap_credentials(TargetARN=target)["ChapCredentials"], [], "no CHAP")
    entry = dict(
        TargetARN=target,
        InitiatorName=initiator,
        SecretToAuthenticateInitiator="initiator-key1",
        SecretToAuthenticateTarget="target-key-12",
    )
    sg.update_chap_credentials(**entry)
    equal(sg.describe_chap_credentials(TargetARN=target)["ChapCredentials"], [entry], "CHAP")
    for wrong in (
        dict(entry, SecretToAuthenticateInitiator="short"),
        dict(entry, SecretToAuthenticateInitiator="x" * 17),
        dict(entry, SecretToAuthenticateTarget="initiator-key1"),
    ):
        refused(
            lambda: sg.update_chap_credentials(**wrong), "InvalidGatewayRequestException", "InvalidParameters"
        )
    refused(
        lambda: sg.describe_chap_credentials(TargetARN=GATEWAY + "/target/iqn.none"),
        "InvalidGatewayRequestException",
        "TargetNotFound",
    )
    refused(
        lambda: sg.delete_chap_credentials(TargetARN=target, InitiatorName="iqn.none"),
        "InvalidGatewayRequestException",
        "ChapCredentialNotFound",
    )
    other = initiator + "2"
    sg.update_chap_credentials(TargetARN=target, InitiatorName=other, SecretToAuthenticateInitiator="initiator-key2")
    sg.delete_chap_credentials(TargetARN=target, InitiatorName=other)


def automatic(sg):
    equal(sg.list_automatic_tape_creation_policies()["AutomaticTapeCreationPolicyInfos"], [], "no rules")
    rule = dict(TapeBarcodePrefix="AUTO", PoolId="GLACIER", TapeSizeInBytes=GIB, MinimumNumTapes=3, Worm=False)
    put = lambda *rules: sg.update_automatic_tape_creation_policy(
        GatewayARN=GATEWAY, AutomaticTapeCreationRules=list(rules)
    )
    put(rule)
    shown = sg.list_automatic_tape_creation_policies(GatewayARN=GATEWAY)["AutomaticTapeCreationPolicyInfos"]
    equal(shown, [{"GatewayARN": GATEWAY, "AutomaticTapeCreationRules": [rule]}], "the rules")
    have = lambda: [t["TapeARN"] for t in sg.list_tapes()["TapeInfos"] if ":tape/AUTO" in t["TapeARN"]]
    wait_for("three tapes", lambda: len(have()) == 3)
    sg.delete_tape(GatewayARN=GATEWAY, TapeARN=have()[0])
    wait_for("three tapes again", lambda: len(have()) == 3)
    for wrong in (dict(rule, PoolId="none"), dict(rule, TapeSizeInBytes=5)):
        refused(lambda: put(wrong), "InvalidGatewayRequestException")
    refused(lambda: put(rule, rule), "InvalidGatewayRequestException", "InvalidParameters")
    sg.delete_automatic_tape_creation_policy(GatewayARN=GATEWAY)
    equal(sg.list_automatic_tape_creation_policies()["AutomaticTapeCreationPolicyInfos"], [], "no rules again")


def valid(shape, name):
    """Some value the model allows; of this gateway where it must be."""
    if name == "GatewayARN":
        return GATEWAY
    kind = shape.type_name
    if kind == "string":
        if shape.metadata.get("enum"):
            return shape.metadata["enum"][0]
        return "A" * max(shape.metadata.get("min", 1), 1)
    if kind in ("integer", "long"):
        return shape.metadata.get("min", 1)
    if kind == "boolean":
        return True
    if kind == "list":
        return [valid(shape.member, "")] if shape.metadata.get("min", 0) > 0 else []
    if kind == "structure":
        return {n: valid(m, n) for n, m in shape.members.items() if n in shape.required_members}
    return 0


def wrong_values(shape):
    kind, low, high = shape.type_name, shape.metadata.get("min"), shape.metadata.get("max")
    if kind == "string":
        yield 7
        if low:
            yield "A" * (low - 1)
        if high:
            yield "A" * (high + 1)
    elif kind in ("integer", "long"):
        yield "text"
        yield 1.5
        if low is not None:
            yield low - 1
        if high is not None and high < 1 << 40:
            yield high + 1
    elif kind == "boolean":
        yield "true"
    elif kind == "list":
        if low:
            yield []
        if high:
            yield [valid(shape.member, "")] * (high + 1)


def inputs():
    """Each member the model demands, left out; each limit it has, overstepped."""
    sg = client("admin", check_input=False)
    model = sg.meta.service_model
    for name in SUPPORTED:
        shape = model.operation_model(name).input_shape
        if shape is None:
            continue
        call = getattr(sg, botocore.xform_name(name))
        good = {n: valid(m, n) for n, m in shape.members.items() if n in shape.required_members}
        for member in shape.required_members:
            refused(
                lambda: call(**{n: v for n, v in good.items() if n != member}),
                "InvalidGatewayRequestException",
                "InvalidParameters",
            )
        for member, inner in shape.members.items():
            for wrong in wrong_values(inner):
                e = refused(
                    lambda: call(**dict(good, **{member: wrong})),
                    "InvalidGatewayRequestException",
                    "InvalidParameters",
                )
                check(member in e.response["Error"]["Message"], f"{name}: {e} does not name {member}")


def roles():
    viewer, operator = client("viewer", check_input=False), client("operator", check_input=False)
    model = viewer.meta.service_model
    for name in SUPPORTED:
        reads = re.match("List|Describe", name) and name != "DescribeChapCredentials"
        moves = name in ("RetrieveTapeArchive", "CancelArchival", "CancelRetrieval") or name.startswith("CreateSnapshot")
        for who, may in ((viewer, reads), (operator, reads or moves)):
            try:
                getattr(who, botocore.xform_name(name))()
                denied = False
            except botocore.exceptions.ClientError as e:
                denied = e.response["Error"]["Code"] == "AccessDeniedException"
            equal(denied, not may, name)
    refused(lambda: client("admin", secret="x" * 40).list_tapes(), "InvalidSignatureException")
    stranger = boto3.client(
        "storagegateway",
        endpoint_url=ENDPOINT,
        verify=CA,
        region_name="us-east-1",
        aws_access_key_id="CSKNOBODY",
        aws_secret_access_key="x" * 40,
    )
    refused(stranger.list_tapes, "UnrecognizedClientException")


def served():
    """Every operation that AWS has: served, or unknown here; and the documentation names those that are served."""
    sg = client("admin", check_input=False)
    for name in sg.meta.service_model.operation_names:
        known = True
        try:
            getattr(sg, botocore.xform_name(name))()
        except botocore.exceptions.ClientError as e:
            known = e.response["Error"]["Code"] != "UnknownOperationException"
        equal(known, name in SUPPORTED, f"{name} is served")
    text = open(os.path.join(os.path.dirname(__file__), "../../docs/api.md")).read()
    table = text[text.index("## Operations of AWS") : text.index("## Operations of our own")]
    equal(sorted(set(re.findall(r"\w+", table)) & set(sg.meta.service_model.operation_names)), sorted(SUPPORTED), "docs/api.md")


{"tapes": tapes, "served": served, "settings": settings, "inputs": inputs, "roles": roles}[COMMAND]()
done()
