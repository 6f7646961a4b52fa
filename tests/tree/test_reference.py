"""Policy trees against the reference numbers `policytree.*`: R's policytree, and brute force.

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

BESIDE = Path(__file__).parents[3] / "shared" / "reference" / "synthesis"
FOLDER = Path(os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", BESIDE))
EXPECTED = FOLDER / "expected.json"
CHECKS = json.loads(EXPECTED.read_text())["checks"] if EXPECTED.exists() else []
CHECKS = [one for one in CHECKS if one["id"].startswith("policytree.")]

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not CHECKS, reason="the reference numbers do not lie beside the project"),
]


@cache
def tables():
    table = pd.read_csv(FOLDER / "data" / "policy_scores.csv")
    scores = table.filter(like="score_").rename(columns=lambda name: name.removeprefix("score_"))
    return scores, table.drop(columns=table.filter(like="score_").columns)


@cache
def tree_of(depth, min_leaf=1):
    return ts.policy_tree(*tables(), depth=depth, min_leaf=min_leaf)


def nodes(tree):
    return [{"arm": n.arm} if n.is_leaf else {"split": n.column, "at": n.cut} for n in tree.nodes]


def counts(tree):
    assigned = tree.predict(tables()[1])
    return {arm: int((assigned == arm).sum()) for arm in tree.arms}


QUANTITIES = {
    "value": lambda tree: tree.value,
    "arms": counts,
    "nodes": nodes,
    "gain": lambda tree: {"gain": tree.gain.value, "se": tree.gain.se},
}


def found_for(check):
    _, problem, *rest = check["id"].split(".")
    if problem == "single":
        return dict(tree_of(1).single_arms)
    depth, _, least = problem.removeprefix("depth").partition("_min")
    return QUANTITIES[rest[0]](tree_of(int(depth), int(least or 1)))


def compare(found, expected, tolerance):
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            compare(found[key], expected[key], tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            compare(one, other, tolerance)
    elif isinstance(expected, str):
        assert found == expected
    else:
        assert found == pytest.approx(expected, abs=tolerance, rel=0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["id"])
def test_reference(check):
    compare(found_for(check), check["value"], check["tolerance"])
