"""Walks a checkpoint with nothing but a MessagePack reader, as ARCHITECTURE.md describes its files.

    python3 tests/oracle/walk_state.py <store>/<job>/chk-<n>

Prints a line of JSON for each state: its operator, name and kind, how many entries it has, and the entries: keys with their values, or the
items of a list. Every checksum, length and reference is checked; whatever is wrong ends the walk with an error.
"""

import json
import os
import sys

import msgpack

KEYED = {"value", "timers", "window", "keyed_list", "map", "reducing", "aggregating"}
LISTS = {"list", "union_list"}


def crc32c_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(crc32c_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Walk:
    """The objects of some bytes, one after the other, and where they lie."""

    def __init__(self, data):
        self.data = data
        self.unpacker = msgpack.Unpacker(None, strict_map_key=True, max_buffer_size=len(data) + 1)
        self.unpacker.feed(data)

    def next(self):
        return self.unpacker.unpack()

    def at(self):
        return self.unpacker.tell()

    def all(self):
        objects = []
        while self.at() < len(self.data):
            objects.append(self.next())
        return objects


def sealed(walk, name):
    """A map of format and version, the document, and the checksum of both."""
    begin = walk.at()
    head, document = walk.next(), walk.next()
    body = walk.data[begin : walk.at()]
    assert head == {"format": name, "version": 1}, head
    assert walk.next() == crc32c(body), f"{name}: the seal does not match"
    return document


def sections(path):
    """The sections of a snapshot file, each with its entries as they are, and the file's index."""
    with open(path, "rb") as file:
        data = file.read()
    walk = Walk(data)
    sealed(walk, "tidegate-snapshot")
    index_at = Walk(data[-9:]).next()
    found = []
    while walk.at() < index_at:
        offset = walk.at()
        head, content = walk.next(), walk.next()
        assert head["codec"] == "none" and head["raw_bytes"] == len(content), head
        assert head["crc32c"] == crc32c(content), f"{path}: the section at {offset} is damaged"
        found.append((head, content, offset, walk.at() - offset, crc32c(data[offset : walk.at()])))
    begin = walk.at()
    index = walk.next()
    assert crc32c(data[begin : walk.at()]) == walk.next(), f"{path}: the index is damaged"
    assert walk.next() == index_at and walk.at() == len(data)
    return found, index, len(data)


def checkpoint(directory):
    """Each state's description with its entries."""
    with open(os.path.join(directory, "manifest"), "rb") as file:
        manifest = sealed(Walk(file.read()), "tidegate-manifest")
    states = {}
    for uid, operator in manifest["operators"].items():
        assert operator["parallelism"] == len(operator["parts"])
        for state in operator["states"]:
            states[uid, state["name"]] = (state, [])
    for file in manifest["files"]:
        older = file.get("checkpoint")
        place = directory if older is None else os.path.join(os.path.dirname(os.path.abspath(directory)), f"chk-{older}")
        found, index, size = sections(os.path.join(place, file["name"]))
        assert size == file["bytes"] and len(index) == len(found), file["name"]
        if older is None:
            assert index == file["sections"], file["name"]
        named = [(section, entry) for section, entry in zip(found, index) if entry in file["sections"]]
        assert len(named) == len(file["sections"]), file["name"]
        found, index = [section for section, _ in named], [entry for _, entry in named]
        for (head, content, offset, length, crc), entry in zip(found, index):
            assert (entry["offset"], entry["length"], entry["crc32c"]) == (offset, length, crc), entry
            same = ["operator", "state", "group", "part", "entries"]
            assert [head[name] for name in same] == [entry[name] for name in same], entry
            state, entries = states[head["operator"], head["state"]]
            objects = Walk(content).all()
            if state["kind"] in LISTS:
                assert head["group"] is None
            else:
                assert (head["group"] is not None) == (state["kind"] in KEYED), head
                objects = list(zip(objects[0::2], objects[1::2], strict=True))
            assert len(objects) == head["entries"], head
            entries.extend((head["part"], object) for object in objects)
    return states


def main():
    for (uid, name), (state, entries) in sorted(checkpoint(sys.argv[1]).items()):
        if state["kind"] == "broadcast":
            # Each instance has written its copy.
            first = min((part for part, _ in entries), default=0)
            entries = [(part, entry) for part, entry in entries if part == first]
        entries = [entry for _, entry in entries]
        told = {"operator": uid, "state": name, "kind": state["kind"], "entries": len(entries), "content": entries}
        print(json.dumps(told, default=lambda value: {"$bytes": value.hex()}))


main()
