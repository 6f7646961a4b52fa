"""Allocations and matchings against the reference numbers `allocate.*` and `match.*`.

The folder is that of the variable TREATSEL_SYNTHESIS_REFERENCE, otherwise the one beside the project. A check
whose quantity has no rule here fails.
"""

import json
import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import treatsel as ts
from treatsel.allocation._comparison import FIRST_COME
from treatsel.errors import InputError

BESIDE = Path(__file__).parents[3] / "shared" / "reference" / "synthesis"
FOLDER = Path(os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", BESIDE))
EXPECTED = FOLDER / "expected.json"
CHECKS = json.loads(EXPECTED.read_text())["checks"] if EXPECTED.exists() else []
CHECKS = [one for one in CHECKS if one["id"].startswith(("allocate.", "match."))]

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not CHECKS, reason="the reference numbers do not lie beside the project"),
]


def table(name, prefix):
    """Utilities and permissions of a file, and its settings."""
    settings = json.loads((FOLDER / "data" / f"{name}.json").read_text())
    rows = pd.read_csv(FOLDER / "data" / f"{name}.csv").set_index("patient")
    columns = list(settings["capacity" if name == "allocation" else "caseload"])
    allowed = rows[[f"{prefix}_{column}" for column in columns]].set_axis(columns, axis=1) == 1
    return rows[columns], allowed, settings


@cache
def allocation(case):
    utility, allowed, settings = table("allocation", "allowed")
    if case == "budget":
        return ts.allocate(utility, {}, allowed=allowed, budget=(settings["budget"], settings["cost"]))
    return ts.allocate(
        utility,
        settings["tight" if case in ("tight", "all_tight", "first_come") else "capacity"],
        allowed=allowed,
        minimum=settings["minimum"] if case == "minimum" else None,
        defer=not case.startswith("all"),
    )


@cache
def matching():
    utility, allowed, settings = table("matching", "may")
    return ts.match(utility, settings["caseload"], allowed=allowed)


def value(case):
    if case == "all_tight":
        with pytest.raises(InputError, match="16 places missing: of 50 patients, at most 34"):
            allocation(case)
        return None
    return allocation(case).value


def quantity(name):
    """The value of a check, by its id."""
    _, case, *rest = name.split(".")
    if name.startswith("match."):
        return {
            "match.value": lambda: matching().value,
            "match.margin": lambda: matching().margin,
            "match.pairs": lambda: matching().therapist.to_dict(),
            "match.price": lambda: matching().prices.to_dict(),
        }[name]()
    if case == "first_come":
        return {"value": lambda: allocation(case).comparison.loc[FIRST_COME, "total"]}[rest[0]]()
    if case == "minimum" and rest == ["price"]:
        return allocation(case).minimums["cost"].item()
    if case == "budget":
        budget = allocation(case).budget
        assert budget.gap == 0
        own = {"integer": allocation(case).value, "relaxed": budget.relaxed, "price": budget.price}
        return own[rest[0]]
    return {
        "value": lambda: value(case),
        "treated": lambda: allocation(case).n_treated,
        "price": lambda: (
            allocation(case).limits[["gain_of_one_more", "loss_of_one_less"]].to_dict(orient="index")
        ),
    }[rest[0]]()


def same(found, wanted, tolerance):
    if isinstance(wanted, dict):
        assert set(found) == set(wanted)
        for name, one in wanted.items():
            same(found[name], one, tolerance)
    elif wanted is None or isinstance(wanted, str):
        assert found == wanted
    else:
        assert found == pytest.approx(wanted, abs=tolerance, rel=0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["id"])
def test_reference(check):
    assert check["tolerance_kind"] == "absolute"
    same(quantity(check["id"]), check["value"], check["tolerance"])


def test_the_budget_is_kept():
    found = allocation("budget")
    assert found.budget.spent <= found.budget.limit
    assert found.value <= found.budget.relaxed + 1e-9
