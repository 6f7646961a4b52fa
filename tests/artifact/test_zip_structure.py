"""Zips around a sound model that differ from what this library writes: each is refused by own checks.

Versions of Python differ in which of them `zipfile` accepts, so that it must not be what decides.
"""

import hashlib
import struct
from pathlib import Path

import pytest

from treatsel.artifact import _archive, read_manifest
from treatsel.errors import ArtifactError

STORED = Path(__file__).parents[1] / "artifacts" / "format_1.treatsel"
SEAL, END, CENTRAL = 64, 22, 46


def taken_apart():
    """Return the bytes before the directory, and the records of the directory."""
    whole = STORED.read_bytes()[:-SEAL]
    size, start = struct.unpack("<2I", whole[-END:][12:20])
    records, at = [], start
    while at < start + size:
        length = CENTRAL + int.from_bytes(whole[at + 28 : at + 30], "little")
        records.append(bytearray(whole[at : at + length]))
        at += length
    return bytearray(whole[:start]), records


def put_together(members, records, *, n=None, before_end=b""):
    """Return the file with a right end record and seal."""
    directory, n = b"".join(records), len(records) if n is None else n
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, n, n, len(directory), len(members), SEAL)
    whole = bytes(members) + directory + before_end + end
    return whole + hashlib.sha256(whole).hexdigest().encode()


def with_extra(record, extra):
    record[30:32] = struct.pack("<H", len(extra))
    record += extra


def set_number(record, at, value, size=2):
    record[at : at + size] = value.to_bytes(size, "little")


def start_of(record):
    return int.from_bytes(record[42:46], "little")


def hidden_gap(members, records):
    return put_together(members + bytes(5_000_000), records)


def second_directory(members, records):
    return put_together(members + b"".join(records), records)


def prefix(members, records):
    for record in records:
        set_number(record, 42, start_of(record) + 512, 4)
    return put_together(b"PK" + bytes(510) + members, records)


def gap_in_the_middle(members, records):
    at = start_of(records[2])
    for record in records[2:]:
        set_number(record, 42, start_of(record) + 8, 4)
    return put_together(members[:at] + bytes(8) + members[at:], records)


def too_few_in_the_end_record(members, records):
    return put_together(members, records, n=1)


def too_many_in_the_end_record(members, records):
    return put_together(members, records, n=60)


def none_in_the_end_record(members, records):
    return put_together(members, records, n=0)


def zip64_sizes(members, records):
    record = records[1]
    sizes = struct.unpack("<2I", record[20:28])
    with_extra(record, struct.pack("<2H3Q", 1, 24, sizes[1], sizes[0], start_of(record)))
    record[20:28] = b"\xff" * 8
    return put_together(members, records)


def zip64_locator(members, records):
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(members), 1)
    return put_together(members, records, before_end=locator)


def another_name_in_an_extra_field(members, records):
    import zlib

    name = bytes(records[1][CENTRAL:])
    with_extra(records[1], struct.pack("<2HBI", 0x7075, 13, 1, zlib.crc32(name)) + b"evil.npy")
    return put_together(members, records)


def comment(members, records):
    set_number(records[1], 32, 5)
    records[1] += b"hello"
    return put_together(members, records)


def disk(members, records):
    set_number(records[1], 34, 7)
    return put_together(members, records)


def link(members, records):
    set_number(records[1], 38, 0o120777 << 16, 4)
    return put_together(members, records)


def folder(members, records):
    set_number(records[1], 38, 0x10, 4)
    return put_together(members, records)


def newer_version(members, records):
    set_number(records[1], 6, 255)
    return put_together(members, records)


def data_descriptor(members, records):
    set_number(members, start_of(records[1]) + 6, 8)
    return put_together(members, records)


def method_of_the_member(members, records):
    set_number(members, start_of(records[1]) + 8, 12)
    return put_together(members, records)


def size_of_the_member(members, records):
    set_number(members, start_of(records[1]) + 18, 2**32 - 1, 4)
    return put_together(members, records)


def extra_field_of_the_member(members, records):
    set_number(members, start_of(records[1]) + 28, 2**16 - 1)
    return put_together(members, records)


def name_of_the_member(members, records):
    members[start_of(records[1]) + 30] = ord("z")
    return put_together(members, records)


def all_at_one_place(members, records):
    for record in records[2:]:
        record[42:46] = records[1][42:46]
    return put_together(members, records)


def same_member_twice(members, records):
    return put_together(members, [records[0], *records])


def other_order(members, records):
    return put_together(members, [records[0], *records[:0:-1]])


VARIANTS = [
    *(hidden_gap, second_directory, prefix, gap_in_the_middle, too_few_in_the_end_record),
    *(too_many_in_the_end_record, none_in_the_end_record, zip64_sizes, zip64_locator, comment, disk, link),
    *(another_name_in_an_extra_field, folder, newer_version, data_descriptor, method_of_the_member),
    *(size_of_the_member, extra_field_of_the_member, name_of_the_member, all_at_one_place),
    *(same_member_twice, other_order),
]


def test_the_file_put_together_unchanged_is_read(tmp_path):
    path = tmp_path / "m.treatsel"
    path.write_bytes(put_together(*taken_apart()))
    assert path.read_bytes() == STORED.read_bytes()
    assert read_manifest(path).model_id == read_manifest(STORED).model_id


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_a_zip_that_is_not_as_written_is_refused(tmp_path, variant):
    path = tmp_path / "m.treatsel"
    path.write_bytes(variant(*taken_apart()))
    with pytest.raises(ArtifactError, match=r"[Ii]ts (zip directory|members)|not a plain file") as caught:
        read_manifest(path)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, ArtifactError)


def test_reading_does_not_depend_on_zipfile(monkeypatch):
    monkeypatch.setattr(_archive.zipfile, "ZipFile", None)
    assert read_manifest(STORED).model_id
