"""Mutants of a file's content with all hashes recomputed, as a forger could write them."""

import contextlib
import copy
import hashlib
import io
import json
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np

from fuzz.damage import SEAL, sealed
from treatsel.additive import logistic
from treatsel.artifact import _archive, _models
from treatsel.artifact._structure import check_manifest

LONG = "x" * 50_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.7, -0.0, 1e-320, 1e308, -1e308, 1e29, 10**15, 2**60, 10**400,
    float("nan"), float("inf"), float("-inf"), "", "a", "cbt", "\0", "\x1b[2J", "\ud800", "\u202e", LONG,
    [], {}, [[]], [None], [1, 2], ["a", "b"], [1e308] * 6, {"a": 1}, {"name": "x"}, "nan",
)  # fmt: skip
NUMBERS = (
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 1e29, -1e29, 1e155, 5e-324, 1e9, 700.0,
)  # fmt: skip
INTEGERS = (-(2**31), -2, -1, 0, 1, 2, 7, 10**6, 2**31 - 1)
NAMES = (
    "../x.npy", "/etc/x.npy", "a/../../x.npy", "C:/x.npy", "a\\b.npy", "ä.npy", "a\u202e.npy", "x",
    "x.pkl", "", "a//b.npy", "./a.npy", "a" * 60_000 + ".npy", "manifest.json/x.npy", "signature.ed25519",
    "extra/x.npy", "outcome_9/draws.npy", "MANIFEST.JSON", "a\0b.npy", "con.npy",
)  # fmt: skip
CODE = "__import__('os').system('false')"
DTYPES = ("<f8", "<f4", "<f2", "<i4", "<i8", "|b1", ">f8", "<c16", "|u1", "<U4", "|S8", "|O", "<M8[s]", "|V8")


class Forgery:
    """The parts of a file; public methods (except `written` and `replay`) are ways of changing it."""

    def __init__(self, content: bytes, source: random.Random) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self.parts = {name: archive.read(name) for name in archive.namelist()}
        self.manifest: Any = json.loads(self.parts.pop("manifest.json"))
        self.source = source
        self.text: Callable[[bytes], bytes] = lambda text: text
        self.bytes: Callable[[bytes], bytes] = lambda content: content
        self.compression = zipfile.ZIP_STORED

    def written(self) -> bytes:
        """Return the file with hashes and model id recomputed."""
        if isinstance(self.manifest, dict):
            self.manifest["members"] = {n: hashlib.sha256(data).hexdigest() for n, data in self.parts.items()}
            rest = {
                key: value for key, value in self.manifest.items() if key not in ("model_id", "validation")
            }
            canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
            self.manifest["model_id"] = hashlib.sha256(canonical).hexdigest()
        text = self.text(json.dumps(self.manifest, sort_keys=True, separators=(",", ":")).encode())
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", self.compression) as archive:
            for name, data in {"manifest.json": text, **self.parts}.items():
                archive.writestr(zipfile.ZipInfo(name), data, self.compression)
            archive.comment = b"0" * SEAL
        return sealed(self.bytes(stream.getvalue()))

    def replay(self) -> None:
        """Store the predictions of the changed models as golden predictions, if the models can be built."""
        found = []

        def capture(model: Any, columns: Any, arrays: Any, _: Any) -> None:
            rows = _models._rows(_models.background_columns(columns, arrays))
            found.append(np.vstack([logistic(model.logit(model.encoding.encode_one(row))) for row in rows]))

        with contextlib.suppress(Exception), mock.patch.object(_models, "_replay", capture):
            content = json.loads(json.dumps(self.manifest))
            arrays = {name: _archive.array_of(name, data) for name, data in self.parts.items()}
            check_manifest(content)
            with np.errstate(all="ignore"):
                _models.unpack_models(content, arrays)
        for i, golden in enumerate(found):
            self.parts[f"outcome_{i}/golden.npy"] = _archive.array_bytes(golden)

    # --- changes of the manifest

    def replace_value(self) -> None:
        parent, key = self._place()
        parent[key] = self._value()

    def nudge_number(self) -> None:
        """Change a number slightly, to another number of the manifest, or to text."""
        places = [(p, k) for p, k in _places(self.manifest) if isinstance(p[k], int | float)]
        parent, key = self.source.choice(places)
        other, other_key = self.source.choice(places)
        value = parent[key]
        parent[key] = self.source.choice(
            (-value, value * 1.5, value + 1, value - 1, other[other_key], str(value))
        )

    def remove_part(self) -> None:
        parent, key = self._place()
        del parent[key]

    def add_part(self) -> None:
        parent, key = self._place()
        if isinstance(parent, dict):
            parent[self.source.choice(("new", "name", "levels", "constraints", ""))] = self._value()
        else:
            parent.insert(key, self.source.choice((parent[key], self._value())))

    def exchange_parts(self) -> None:
        (one, i), (two, j) = self._place(), self._place()
        one[i], two[j] = json.loads(json.dumps([two[j], one[i]]))

    def rename_key(self) -> None:
        places = [(p, k) for p, k in _places(self.manifest) if isinstance(p, dict)]
        parent, key = self.source.choice(places)
        parent[self.source.choice((str(key).upper(), "__class__", "age", key + " "))] = parent.pop(key)

    def nest_deeply(self) -> None:
        depth = self.source.choice((33, 900, 5000, 100_000))
        kind = self.source.choice((("[", "]"), ('{"a":', "}")))
        deep = kind[0] * depth + "1" + kind[1] * depth
        key = self.source.choice(('"arms":', '"members":', '"new":'))
        self.text = lambda text: text.replace(b"{", b"{" + (key + deep + ",").encode(), 1)

    def spoil_text(self) -> None:
        spoils: tuple[Callable[[bytes], bytes], ...] = (
            lambda text: text.decode().encode("utf-16"),
            lambda text: b"\xef\xbb\xbf" + text,
            lambda text: text.replace(b'"arms":', b'"arms":1,"arms":', 1),
            lambda text: text.replace(b":1,", b":" + b"9" * 5000 + b",", 1),
            lambda text: text.replace(b":1,", b":1e" + b"9" * 300 + b",", 1),
            lambda text: text.replace(b"{", b"{" + b" " * 9 * 2**20, 1),
            lambda text: text.replace(b"{", b"{" + b'"a":[' + b"0," * 10**6 + b"0],", 1),
            lambda text: text.replace(b"{", b'{"\\' + b'"\\' * 10**6, 1),
            lambda text: text + b"{}",
            lambda text: text[:-1],
            lambda text: text.replace(b'"', b"'"),
            lambda text: b"[" + text + b"]",
            lambda _: b"null",
            lambda _: b"",
        )
        self.text = self.source.choice(spoils)

    # --- changes of the arrays

    def change_numbers(self) -> None:
        """Put extreme values into an array, in place."""
        name, array = self._array()
        flat, choices = array.reshape(-1), INTEGERS if array.dtype.kind in "ib" else NUMBERS
        if len(flat):
            for _ in range(self.source.choice((1, 1, 2, len(flat)))):
                at = self.source.randrange(len(flat))
                with np.errstate(all="ignore"):
                    value = np.float64(flat[at])
                    near = (value * 1e-3, value * 10, -value, value + 1)
                    chosen = self.source.choice((*choices, *near))
                    whole = array.dtype.kind in "ib"
                    flat[at] = int(np.clip(np.nan_to_num(chosen), -(2**31), 2**31 - 1)) if whole else chosen
        self.parts[name] = _archive.array_bytes(array)

    def change_kind(self) -> None:
        name, array = self._array()
        dtype = self.source.choice(DTYPES)
        stream = io.BytesIO()
        with contextlib.suppress(ValueError, TypeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.save(stream, array.astype(dtype), allow_pickle=True)
            self.parts[name] = stream.getvalue()

    def change_shape(self) -> None:
        name, array = self._array()
        shapes = (
            lambda: array.T, lambda: array[:0], lambda: array[:1], lambda: array[:-1], lambda: array[None],
            lambda: array.reshape(-1), lambda: array[..., None], lambda: np.concatenate([array, array]),
            lambda: array.reshape(-1)[0], lambda: np.repeat(array, 2, axis=-1),
            lambda: np.asfortranarray(array), lambda: array[..., :0], lambda: array[::-1],
            lambda: np.zeros((10**6, 1)),
        )  # fmt: skip
        stream = io.BytesIO()
        with contextlib.suppress(IndexError, ValueError):
            np.save(stream, self.source.choice(shapes)(), allow_pickle=False)
            self.parts[name] = stream.getvalue()

    def change_array_header(self) -> None:
        name, array = self._array()
        shapes = ((2**40, 2**20), (10**12,), (-1,), (0, 10**9), (2**63,), (1,) * 40, tuple(array.shape))
        shape, dtype = self.source.choice(shapes), self.source.choice((*DTYPES, "<f99", CODE))
        header = f"{{'descr': {dtype!r}, 'fortran_order': {self.source.random() < 0.5}, 'shape': {shape}, }}"
        if self.source.random() < 0.3:
            header = self.source.choice(
                (CODE, "(" * 900, "-" * 1000 + "1", "{" * 100, header.replace("'", '"'))
            )
        padded = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + "\n"
        length = self.source.choice((len(padded), len(padded), 0, 65535, len(padded) - 1))
        version = self.source.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x00\x00", b"\xff\xff"))
        head = b"\x93NUMPY" + version + length.to_bytes(2, "little") + padded.encode()
        self.parts[name] = head + array.tobytes()

    def smuggle_pickle(self) -> None:
        name, _ = self._array()
        self.parts[name] = self.source.choice(
            (pickle.dumps(print), b"", b"\x93NUMPY", self.source.randbytes(200))
        )

    def twist_trees(self) -> None:
        """Point nodes to invalid places: cycles, children before their parents, other trees."""
        names = [name for name in self.parts if "/trees/" in name]
        if not names:
            return
        name = self.source.choice(
            [n for n in names if n.rpartition("/")[2] not in ("value.npy", "threshold.npy")]
        )
        array = self._read(name)
        n = len(array)
        for _ in range(self.source.choice((1, 1, 2, 10))):
            at = self.source.randrange(n)
            near = (at, at - 1, at + 1, 0, n, n - 1, -1, self.source.randrange(n), 2**31 - 1)
            array[at] = self.source.choice(near)
        self.parts[name] = _archive.array_bytes(array)

    def grow_chain(self) -> None:
        """Replace all trees by one tree that is a long chain."""
        places = sorted({name.rpartition("/")[0] for name in self.parts if "/trees/" in name})
        if not places:
            return
        place, depth = self.source.choice(places), self.source.choice((200, 255, 256, 257, 300, 100_000))
        n, inner = 2 * depth + 1, np.arange(depth)
        left, right, feature = np.arange(n), np.arange(n), np.full(n, -1)
        left[2 * inner], right[2 * inner], feature[2 * inner] = 2 * inner + 1, 2 * inner + 2, 0
        whole = {
            "left": left,
            "right": right,
            "feature": feature,
            "roots": np.zeros(1),
            "member": np.zeros(1),
        }
        parts = {part: array.astype("<i4") for part, array in whole.items()}
        parts |= {"threshold": np.zeros(n), "value": np.ones(n), "missing_left": np.zeros(n, dtype=bool)}
        self.parts |= {f"{place}/{part}.npy": _archive.array_bytes(array) for part, array in parts.items()}
        outcome = place.rpartition("/")[0]  # one ensemble remains
        for name, axis in ((f"{outcome}/draws.npy", 2), (f"{outcome}/mixing.npy", 1)):
            if name in self.parts:
                array, n_members = self._read(name), self._read(f"{outcome}/mixing.npy").shape[1]
                keep = range(array.shape[axis] - (n_members - 1)) if axis == 2 else [0]
                self.parts[name] = _archive.array_bytes(np.take(array, list(keep), axis=axis))

    # --- changes of the archive

    def change_members(self) -> None:
        name, source = self.source.choice(sorted(self.parts)), self.source
        ways: tuple[Callable[[], Any], ...] = (
            lambda: self.parts.pop(name),
            lambda: self.parts.update({source.choice(NAMES): self.parts[name]}),
            lambda: self.parts.update({source.choice(NAMES): self.parts.pop(name)}),
            lambda: self.parts.update({source.choice(sorted(self.parts)): self.parts[name]}),
            lambda: self.parts.update({f"extra/m_{i}.npy": b"" for i in range(source.choice((5, 5000)))}),
        )
        source.choice(ways)()

    def swell(self) -> None:
        """Replace or add a member that becomes very large when decompressed."""
        name, self.compression = self.source.choice(sorted(self.parts)), zipfile.ZIP_DEFLATED
        size = self.source.choice((10**6, 10**7, 140 * 10**6))
        self.parts[self.source.choice((name, "extra/x.npy"))] = bytes(size)

    def claim_sizes(self) -> None:
        """State other sizes, positions, methods or flags in the zip headers."""
        place = {
            b"PK\x01\x02": (6, 8, 10, 16, 20, 24, 28, 30, 32, 42),
            b"PK\x03\x04": (4, 6, 8, 14, 18, 22, 26, 28),
        }
        signature = self.source.choice(tuple(place))
        field, source = self.source.choice(place[signature]), self.source

        def change(content: bytes) -> bytes:
            places = [i for i in range(len(content) - 46) if content[i : i + 4] == signature]
            at = source.choice(places) + field
            size = 4 if field in (14, 16, 18, 20, 22, 24, 42) else 2
            value: int = source.choice((0, 1, 9, 0x7FFF, 0xFFFF, 2**31, 2**32 - 1)) % 256**size
            return content[:at] + value.to_bytes(size, "little") + content[at + size :]

        self.bytes = change

    def change_end(self) -> None:
        """Change the end record, or add a 64-bit one."""
        source = self.source

        def change(content: bytes) -> bytes:
            at = len(content) - SEAL - 22
            if source.random() < 0.3:
                more = b"PK\x06\x07" + source.randbytes(16)
                return content[:at] + b"PK\x06\x06" + source.randbytes(52) + more + content[at:]
            start, size = source.choice(((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)))
            value: int = source.choice((0, 1, 63, 65, 0xFFFF, 2**31, 2**32 - 1)) % 256**size
            return content[: at + start] + value.to_bytes(size, "little") + content[at + start + size :]

        self.bytes = change

    def _value(self) -> Any:
        return copy.deepcopy(self.source.choice(VALUES))

    def _place(self) -> tuple[Any, Any]:
        return self.source.choice(_places(self.manifest))

    def _array(self) -> tuple[str, np.ndarray]:
        """Return a random array, of the background less often than others."""
        names = sorted(self.parts)
        some = [name for name in names if not name.startswith("background")]
        name = self.source.choice(some if some and self.source.random() < 0.7 else names)
        return name, self._read(name)

    def _read(self, name: str) -> np.ndarray:
        try:
            return np.array(np.load(io.BytesIO(self.parts[name]), allow_pickle=False))
        except Exception:  # unreadable after an earlier change
            return np.zeros(3)


WAYS = [name for name in vars(Forgery) if not name.startswith("_") and name not in ("written", "replay")]
OFTEN = ("replace_value", "change_numbers", "nudge_number", "remove_part", "twist_trees")


def forged(content: bytes, source: random.Random) -> tuple[str, bytes]:
    """Return the name of a way of forging, and its result; some forgeries combine two changes."""
    forgery, names = Forgery(content, source), []
    for _ in range(source.choice((1, 1, 1, 2))):
        names.append(source.choice((*WAYS, *OFTEN, *OFTEN)))
        with contextlib.suppress(
            IndexError, KeyError, TypeError, AttributeError, OverflowError
        ):  # nothing to change
            getattr(forgery, names[-1])()
    if source.random() < 0.6:
        forgery.replay()
    try:
        return names[0], forgery.written()
    except (ValueError, OverflowError, UnicodeError, RecursionError, zipfile.LargeZipFile):  # unwritable
        return "unwritable", content


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every part of the manifest as its parent and its key in the parent."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping | list):
            keys = list(part) if isinstance(part, Mapping) else range(len(part))
            found += [(part, key) for key in keys if key != "members"]
            waiting += [part[key] for key in keys if key != "members"]
    return found
