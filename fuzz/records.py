"""`python -m fuzz.records`: predict a million unusual records, which must not cause unexpected errors.

Each record is predicted (and every tenth gets a recommendation) with both values of `on_invalid`. The result
must be a prediction with valid JSON, or an `InputError` or `CohortError` whose message repeats no value.
"""

import argparse
import json
import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from treatsel import serve
from treatsel.errors import CohortError, InputError

STORED = Path(__file__).parents[1] / "tests" / "artifacts" / "format_1.treatsel"
SECRET = "secret-7431"
CHUNK = 20_000


class Hostile:
    """An object whose special methods all raise."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    __repr__ = __hash__ = __bool__ = __float__ = __len__ = __str__  # type: ignore[assignment]


def deep(source: random.Random) -> Any:
    nested: Any = SECRET
    for _ in range(source.choice((3, 50, 5000))):
        nested = [nested] if source.random() < 0.5 else {"a": nested}
    return nested


ODD: tuple[Callable[[random.Random], Any], ...] = (
    lambda s: None,
    lambda s: s.choice((True, False)),
    lambda s: s.randint(-(10**3), 10**3),
    lambda s: s.choice((1, -1)) * 10 ** s.choice((20, 100, 101, 308, 309, 4000, 5000)),
    lambda s: s.uniform(-100, 100),
    lambda s: s.choice((math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, -1.8e308, 1e100, 1.0000001e100)),
    lambda s: SECRET,
    lambda s: "".join(chr(s.randrange(0x110000)) for _ in range(s.choice((0, 1, 5, 300)))),
    lambda s: s.choice(
        ("", " ", "31", " 31 ", "1e5", "1e999", "nan", "inf", "0x1f", "1_0", "٣", "\ud800", "\0")
    ),
    lambda s: "9" * s.choice((1, 300, 5000)),
    lambda s: s.choice(
        (Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e999999"), Fraction(1, 3))
    ),
    lambda s: s.choice((np.float32(3), np.float64("nan"), np.int64(-1), np.bool_(True), np.str_("x"))),
    lambda s: s.choice(
        (np.datetime64("NaT", "ns"), np.array([1, 2]), np.array(3.0), np.void(b"x"), np.bytes_(b"x"))
    ),
    lambda s: s.choice(
        (b"31", bytearray(b"x"), 3 + 4j, range(3), date(2024, 1, 1), Ellipsis, NotImplemented)
    ),
    lambda s: s.choice(([], {}, (), set(), [SECRET], {"a": SECRET}, (1, 2), frozenset({1}))),
    lambda s: s.choice((object(), Hostile(), len, int, random, Hostile)),
    deep,
)


def made(names: list[str], usual: dict[str, list[Any]], source: random.Random) -> Any:
    """Return a record of usual and unusual values, at times with other keys, or another kind of object."""
    if source.random() < 0.01:
        return source.choice(ODD)(source)
    share = source.choice((0.02, 0.2, 1.0))
    record: dict[Any, Any] = {
        name: source.choice(ODD)(source) if source.random() < share else source.choice(usual[name])
        for name in names
    }
    if source.random() < 0.05:
        record.pop(source.choice(names))
    if source.random() < 0.05:
        record[source.choice(("arm", "id", "strange", "", "\ud800", 3, None, 2.5, ("a",)))] = source.choice(
            ODD
        )(source)
    return record


def judged(model: serve.FittedModel, record: Any, number: int) -> str:
    """Return the outcome for a record; raise if it is not allowed."""
    verdicts = []
    for on_invalid in ("raise", "flag"):
        try:
            found = model.predict(record, on_invalid=on_invalid)
            text = found.to_json()
            json.loads(text, parse_constant=_no_constant)
            table = np.array(list(found.probability.values()))
            if not ((table >= 0) & (table <= 1)).all():
                raise AssertionError("a probability is none")
            if number % 10 == 0:
                json.dumps(model.recommend(record, on_invalid=on_invalid).to_dict(), allow_nan=False)
            verdicts.append("predicted" if found.in_scope.all() else "out of scope")
        except (InputError, CohortError) as error:
            if SECRET in str(error):
                raise AssertionError("a message repeats a value") from None
            verdicts.append(type(error).__name__)
    return f"raise: {verdicts[0]}, flag: {verdicts[1]}"


def _no_constant(name: str) -> float:
    raise AssertionError(f"JSON holds {name}")


def run(path: str, first: int, number: int) -> Counter[str]:
    """Test a range of records; if one fails, name its number."""
    model = serve.load_model(path)
    names, counts = list(model.codebook.covariates), Counter[str]()
    usual = {name: _usual(model, name) for name in names}
    for i in range(first, first + number):
        record = made(names, usual, random.Random(i))
        try:
            counts[judged(model, record, i)] += 1
        except Exception as error:
            raise AssertionError(f"record {i}: {type(error).__name__}") from error
    return counts


def _usual(model: serve.FittedModel, name: str) -> list[Any]:
    field = model.codebook[name]
    if field.enum is not None:
        return list(field.enum)
    low, high = model.development.ranges[name]
    low = low if field.minimum is None else max(low, field.minimum)
    high = high if field.maximum is None else min(high, field.maximum)
    whole = field.type != "number"
    return [math.ceil(low), math.floor(high), round((low + high) / 2) if whole else (low + high) / 2]


def main() -> int:
    """Run and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.records", description=__doc__)
    parser.add_argument("--number", type=int, default=1_000_000)
    parser.add_argument("--model", default=str(STORED))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    began, total = time.monotonic(), Counter[str]()
    starts = range(0, args.number, CHUNK)
    with ProcessPoolExecutor(args.jobs) as pool:
        tasks = [pool.submit(run, args.model, i, min(CHUNK, args.number - i)) for i in starts]
        for task in tasks:
            total += task.result()
    for verdict, count in total.most_common():
        print(f"{count:>9,}  {verdict}")
    print(f"{total.total():>9,}  records in {time.monotonic() - began:.0f} s; no other exception")
    return 0


if __name__ == "__main__":
    sys.exit(main())
