#!/usr/bin/env python3
"""The documents of the format against the golden files, with none of the project's code.

Every ```vector FILE OFFSET``` block of docs/format/*.md must be in FILE at OFFSET (negative: from the
end; FOOTER: where the trailer says). And the files are read by what the documents say: checksums,
frames, footer, trailer, commits.

usage: check_docs.py REPOSITORY
"""
import hashlib
import json
import re
import struct
import sys
from pathlib import Path


def make_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ 0x82F63B78 if i & 1 else i >> 1
        table.append(i)
    return table


TABLE = make_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        assert self.at + count <= len(self.data), "cut short"
        self.at += count
        return self.data[self.at - count : self.at]

    def u(self, size):
        return int.from_bytes(self.raw(size), "little")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 if value % 2 == 0 else -(value + 1) // 2

    def blob(self):
        return self.raw(self.varint())

    def end(self):
        return self.at == len(self.data)


def check_quotes(document, golden):
    count = 0
    for name, where, body in re.findall(r"```vector (\S+) (\S+)\n(.*?)```", document, re.S):
        data = (golden / name).read_bytes()
        quoted = bytes.fromhex("".join(line.split(";")[0] for line in body.splitlines()))
        if where == "FOOTER":
            offset = struct.unpack("<Q", data[-64:-56])[0]
        else:
            offset = int(where) % len(data)
        found = data[offset : offset + len(quoted)]
        assert found == quoted, f"{name} at {offset}: quoted\n{quoted.hex()}, found\n{found.hex()}"
        count += 1
    return count


def check_frame(data, at, index, block, filemark, encrypted):
    """Returns header size, stored size, plain size, kind, flags, objects, filemarks, records."""
    head = data[at : at + 64]
    assert head[0:4] == b"CSFR" and head[4] == 1 and head[52:56] == bytes(4)
    kind, codec, flags = head[5], head[6], head[7]
    size, number, first_block, first_mark, marks, plain, stored, whole, runs = struct.unpack(
        "<IIQQIIIII", head[8:52]
    )
    payload_crc, header_crc = struct.unpack("<II", head[56:64])
    assert (number, first_block, first_mark) == (index, block, filemark)
    assert header_crc == crc32c(head[:60] + data[at + 64 : at + size])
    payload = data[at + size : at + size + stored]
    assert payload_crc == (crc32c(payload) if payload else 0)
    assert bool(flags & 1) == encrypted
    if codec == 0:
        assert stored == plain + (16 if encrypted else 0)
    else:
        assert 0 < stored - (16 if encrypted else 0) < plain
    reader, records = Reader(data[at + 64 : at + size]), []
    for _ in range(runs):
        length, count = reader.varint(), reader.varint()
        records += [length] * count
    assert reader.end() and (kind > 2 or sum(records) == plain)
    assert (whole != 0) == bool(flags & 6)
    objects = marks if kind == 2 else 0 if flags & 4 else len(records)
    if codec == 0 and not encrypted and kind == 1:
        cuts, start = [], 0
        for length in records:
            cuts.append(payload[start : start + length])
            start += length
        records = cuts
    return size, stored, plain, kind, flags, objects, marks, records


def check_segment(data, want):
    head = data[:128]
    assert head[:8] == b"CLDSHSEG" and struct.unpack("<HHI", head[8:16])[::2] == (1, 128)
    encrypted = bool(head[10] & 1)
    assert encrypted == want["encrypted"]
    partition, zero, epoch, sequence, block, filemark, created = struct.unpack("<IIQQQQq", head[32:80])
    assert zero == 0 and head[80:124] == bytes(44)
    assert struct.unpack("<I", head[124:])[0] == crc32c(head[:124])
    assert (partition, epoch, sequence) == (want["partition"], want["epoch"], want["sequence"])
    assert (block, filemark) == (want["first_block"], want["first_filemark"])
    assert created == want["created_unix_ms"]
    tail = data[-80:]
    assert tail[:8] == b"CLDSHEND" and tail[8:12] == b"\1\0\0\0" and tail[36:44] == bytes(8)
    frames, footer_at, footer_size, footer_crc = struct.unpack("<IQQI", tail[12:36])
    assert struct.unpack("<I", tail[44:48])[0] == crc32c(tail[:44])
    assert footer_at + footer_size + 80 == len(data) and frames == want["frames"]
    assert tail[48:] == hashlib.sha256(data[:-32]).digest() == bytes.fromhex(want["sha256"])
    footer = Reader(data[footer_at : footer_at + footer_size])
    assert footer_crc == crc32c(footer.data)
    assert (footer.varint(), footer.varint()) == (block, filemark)
    at, objects = 128, []
    for index in range(frames):
        size, stored, plain, kind, flags, count, marks, records = check_frame(
            data, at, index, block, filemark, encrypted
        )
        entry = (kind | (flags & 6) << 3, count, size, stored, plain)
        assert entry == (footer.u(1), *(footer.varint() for _ in range(4)))
        objects += ["filemark"] * marks + (records if kind == 1 else [])
        at, block, filemark = at + size + stored, block + count, filemark + marks
    assert at == footer_at and footer.end()
    if not any(isinstance(o, int) for o in objects):  # stored in the clear: the records themselves
        objects = [
            o if o == "filemark" else {"record": len(o), "sha256": hashlib.sha256(o).hexdigest()}
            for o in objects
        ]
        assert objects == want["objects"]
        return True
    return False


def check_table(r, kind, plain):
    """A table of ranges and its data (docs/format/image.md)."""
    size, flags = r.u(4), r.u(1)
    assert flags <= 1 and struct.unpack("<I", plain[size - 4 : size])[0] == crc32c(plain[: size - 4])
    ranges, end = [], 0
    for _ in range(r.varint()):
        first = end + r.varint()
        ranges.append([first, r.varint()])
        end = sum(ranges[-1])
    at = size
    for _, blocks in ranges if kind == 3 else []:
        for begin in range(0, blocks * 512, 4096):
            piece = plain[at : at + min(4096, blocks * 512 - begin)]
            assert r.u(4) == crc32c(piece)
            at += len(piece)
    assert r.at == size - 4 and at == len(plain)
    name = "extents" if kind == 3 else "holes"
    return {name: ranges, "goes_on": bool(flags), "sha256": hashlib.sha256(plain[size:]).hexdigest()}


def check_image(data, want):
    if want["encrypted"]:
        return False
    frames, at = [], 128
    for index in range(struct.unpack("<I", data[-68:-64])[0]):
        size, stored, plain_size, kind, *_ = check_frame(data, at, index, 0, 0, False)
        plain = data[at + size : at + size + stored]
        r = Reader(plain)
        if kind == 5:
            frames.append({"mark": [r.varint() for _ in range(4)]})
        elif kind in (3, 4):
            frames.append(check_table(r, kind, plain))
        elif r.u(1) == 1:
            read = lambda: [r.raw(16).hex(), r.varint(), r.varint(), r.varint()]
            frames.append({"sources": [read() for _ in range(r.varint())]})
        else:
            group, count = r.varint(), r.varint()
            entries = [[r.u(2), r.u(2), r.u(4), r.u(4)] for _ in range(count)]
            frames.append({"group": group, "entries": entries})
            assert r.end()
        at += size + stored
    for frame in want["frames"]:
        for source in frame.get("sources", []):
            source[0] = source[0].replace("-", "")
    assert frames == want["frames"], f"{frames}\n{want['frames']}"
    return True


def check_manifest(data, want):
    assert data[:8] == b"CLDSHMAN" and data[8:12] == b"\1\0\0\0"
    assert struct.unpack("<I", data[12:16])[0] == crc32c(data[:12])
    reader, commits = Reader(data), []
    reader.raw(16)
    while not reader.end():
        head = reader.raw(24)
        assert head[:4] == b"CSMC"
        size, generation, body_crc, head_crc = struct.unpack("<IQII", head[4:])
        body = Reader(reader.raw(size))
        assert body_crc == crc32c(body.data) and head_crc == crc32c(head[:20])
        commits.append([(body.u(1), body.blob()) for _ in range(body.varint())])
        assert body.end()
    assert generation == want["generation"]
    kind, content = commits[0][0]
    assert kind == 1 and all(1 <= k <= 12 for edits in commits for k, _ in edits)
    return check_snapshot(Reader(content), want if len(commits) == 1 else None)


def check_snapshot(r, want):
    got = {"uuid": r.raw(16).hex(), "label": r.blob().decode(), "kind": r.u(1)}
    got["medium"], got["capacity_bytes"], got["created_unix_ms"] = r.blob().decode(), r.varint(), r.u(8)
    got["parent"], flags = r.raw(16).hex(), r.u(1)
    got["worm"], got["write_protected"] = bool(flags & 1), bool(flags & 2)
    got["epoch"], got["next_sequence"], got["generation"] = r.varint(), r.varint(), r.varint()
    got["key_id"], got["wrapped_key"] = r.blob().decode(), r.blob().hex()
    got["partitions"] = []
    for _ in range(r.varint()):
        part = {"capacity_bytes": r.varint(), "segments": []}
        sequence, epoch, block, mark = 0, 0, 0, 0
        for _ in range(r.varint()):
            sequence, epoch = sequence + 1 + r.zigzag(), epoch + r.zigzag()
            first_block = block + r.zigzag()
            blocks = r.varint()
            first_mark = mark + r.zigzag()
            marks, plain, stored, digest = r.varint(), r.varint(), r.varint(), r.raw(32).hex()
            block, mark = first_block + blocks, first_mark + marks
            part["segments"].append(
                [sequence, epoch, first_block, blocks, first_mark, marks, plain, stored, digest]
            )
        got["partitions"].append(part)
    got["mam"] = [[r.varint(), r.u(2), r.u(1), r.blob().hex()] for _ in range(r.varint())]
    got["properties"] = {r.blob().decode(): r.blob().decode() for _ in range(r.varint())}
    assert r.end()
    if want is not None:
        want = dict(want, uuid=want["uuid"].replace("-", ""), parent=want["parent"].replace("-", ""))
        assert got == want, f"{got}\n{want}"
    return want is not None


def main():
    root = Path(sys.argv[1])
    golden = root / "tests/golden/v1"
    quotes = 0
    for document in sorted((root / "docs/format").glob("*.md")):
        quotes += check_quotes(document.read_text(), golden)
    expected = json.loads((golden / "expected.json").read_text())
    whole = sum(check_segment((golden / n).read_bytes(), w) for n, w in expected["segments"].items())
    whole += sum(check_manifest((golden / n).read_bytes(), w) for n, w in expected["manifests"].items())
    images = sum(check_image((golden / n).read_bytes(), w) for n, w in expected["images"].items())
    assert quotes >= 8 and whole >= 2 and images >= 2
    print(f"{quotes} quotes, {len(expected['segments'])} segments, {len(expected['manifests'])} manifests")


main()
