"""What the programs that call the management API with boto3 share: a client that checks every answer against botocore's
model, and what is expected of it.

usage: PROGRAM ENDPOINT CA_FILE CREDENTIALS GATEWAY_ID COMMAND
CREDENTIALS is a file as ~/.aws/credentials, with the profiles admin, operator and viewer.
$COLDSHELF is the command line to the same gateway.
"""
import configparser
import json
import os
import re
import subprocess
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

ENDPOINT, CA, CREDENTIALS, GATEWAY_ID, COMMAND = sys.argv[1:6]
ACCOUNT = "arn:aws:storagegateway:local-1:000000000000:"
GATEWAY = ACCOUNT + "gateway/" + GATEWAY_ID
GIB = 1 << 30
checks = 0
called = set()


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"{sys.argv[0]} {COMMAND}: {what}")


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def validate(shape, value, path):
    """`value`, as it came over the wire, against the model: nothing unknown, everything of its type and size."""
    kind = shape.type_name
    if kind == "structure":
        check(isinstance(value, dict), f"{path} is no object")
        for name, inner in value.items():
            check(name in shape.members, f"{path}.{name} is not in the model")
            validate(shape.members[name], inner, f"{path}.{name}")
        for name in shape.required_members:
            check(name in value, f"{path}.{name} is missing")
    elif kind == "list":
        check(isinstance(value, list), f"{path} is no list")
        for i, inner in enumerate(value):
            validate(shape.member, inner, f"{path}[{i}]")
        bounds(shape, len(value), path)
    elif kind == "string":
        check(isinstance(value, str), f"{path} is no string")
        bounds(shape, len(value), path)
        pattern = shape.metadata.get("pattern")
        if pattern and "\\p{" not in pattern:
            check(re.search(pattern.replace("\\z", "\\Z"), value), f"{path} {value!r} is not {pattern}")
        if shape.metadata.get("enum"):
            check(value in shape.metadata["enum"], f"{path} {value!r} is none of {shape.metadata['enum']}")
    elif kind in ("integer", "long"):
        check(isinstance(value, int) and not isinstance(value, bool), f"{path} is no whole number")
        bounds(shape, value, path)
    elif kind in ("double", "float", "timestamp"):
        check(isinstance(value, (int, float)), f"{path} is no number")
    elif kind == "boolean":
        check(isinstance(value, bool), f"{path} is no boolean")
    else:
        check(False, f"{path}: type {kind} is not known here")


def bounds(shape, size, path):
    check(size >= shape.metadata.get("min", size), f"{path}: {size} is below the model's minimum")
    check(size <= shape.metadata.get("max", size), f"{path}: {size} is above the model's maximum")


def client(profile, secret=None, check_input=True):
    profiles = configparser.ConfigParser()
    profiles.read(CREDENTIALS)
    config = botocore.config.Config(
        parameter_validation=check_input, retries={"max_attempts": 1}, region_name="eu-central-1"
    )
    made = boto3.client(
        "storagegateway",
        endpoint_url=ENDPOINT,
        verify=CA,
        config=config,
        aws_access_key_id=profiles[profile]["aws_access_key_id"],
        aws_secret_access_key=secret or profiles[profile]["aws_secret_access_key"],
    )

    def answered(event_name, response_dict, **_):
        operation_model = made.meta.service_model.operation_model(event_name.split(".")[-1])
        check(response_dict is not None, f"{operation_model.name}: no answer")
        body = json.loads(response_dict["body"] or b"{}")
        called.add(operation_model.name)
        if response_dict["status_code"] == 200:
            if operation_model.output_shape is not None:
                validate(operation_model.output_shape, body, operation_model.name)
        elif body.get("__type") in ("InvalidGatewayRequestException", "InternalServerError"):
            codes = made.meta.service_model.shape_for("ErrorCode").metadata["enum"]
            check(body["error"]["errorCode"] in codes, f"{operation_model.name}: {body} has no errorCode of the model")

    made.meta.events.register("response-received.storage-gateway", answered)
    return made


def refused(call, code, error_code=None):
    try:
        call()
    except botocore.exceptions.ClientError as e:
        equal(e.response["Error"]["Code"], code, "the error's code")
        if error_code:
            equal(e.response["error"]["errorCode"], error_code, "errorCode")
        check(e.response["Error"]["Message"], "the error says nothing")
        return e
    check(False, f"nothing refused; wanted {code}")


def wait_for(what, condition):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    check(False, f"{what} did not come")


def tape_arn(barcode):
    return ACCOUNT + "tape/" + barcode


def tags_of(sg, arn):
    return {t["Key"]: t["Value"] for t in sg.list_tags_for_resource(ResourceARN=arn)["Tags"]}


def refuses(call, error_code=None):
    """Refused as AWS refuses nearly everything."""
    return refused(call, "InvalidGatewayRequestException", error_code)


def own(*arguments):
    """The answer of the gateway's own command line."""
    run = subprocess.run(os.environ["COLDSHELF"].split() + list(arguments), check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def done():
    print(f"{checks} checks passed; called: {' '.join(sorted(called))}")
