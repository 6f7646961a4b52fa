"""Value of information against the reference numbers `voi.*`.

The folder is that of the variable TREATSEL_SYNTHESIS_REFERENCE, otherwise the one beside the project. A check
whose quantity has no rule here fails.
"""

import json
import os
from functools import cache
from itertools import product
from math import prod
from pathlib import Path

import pandas as pd
import pytest

from treatsel.questions import (
    evpi_of_arms,
    evpi_of_difference,
    evsi_of_difference,
    p_best_of_arms,
    value_of_answers,
)

BESIDE = Path(__file__).parents[3] / "shared" / "reference" / "synthesis"
FOLDER = Path(os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", BESIDE))
EXPECTED = FOLDER / "expected.json"
CHECKS = json.loads(EXPECTED.read_text())["checks"] if EXPECTED.exists() else []
CHECKS = [one for one in CHECKS if one["id"].startswith("voi.")]

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not CHECKS, reason="the reference numbers do not lie beside the project"),
]


@cache
def problems():
    return json.loads((FOLDER / "data" / "voi.json").read_text())


def named(kind, name):
    return next(one for one in problems()[kind] if one["name"] == name)


@cache
def asked(name):
    problem = named("questions", name)
    questions = list(problem["answers"])
    grid = list(product(*(range(len(problem["answers"][q]["p"])) for q in questions)))
    chances = [prod(problem["answers"][q]["p"][i] for q, i in zip(questions, g, strict=True)) for g in grid]
    utilities = {
        arm: [
            entry["base"]
            + sum(entry["effect"][q][i] for q, i in zip(questions, g, strict=True) if q in entry["effect"])
            for g in grid
        ]
        for arm, entry in problem["arms"].items()
    }
    answers = pd.DataFrame(grid, columns=questions)
    return value_of_answers(pd.DataFrame(utilities), answers, chances, cost=problem.get("cost"))


ANSWERS = {
    "current": lambda found: dict(found.current),
    "value": lambda found: found.table["value"].to_dict(),
    "p_change": lambda found: found.table["p_change"].to_dict(),
    "all": lambda found: found.all_answers,
    "next": lambda found: found.question,
}


def found_for(check):
    _, kind, name, *rest = check["id"].split(".")
    if kind == "normal":
        problem = named("normal", name)
        known = problem["mean"], problem["sd"]
        if rest[0] == "evpi":
            return evpi_of_difference(*known)
        assert rest[0] == "evsi"
        return evsi_of_difference(*known, n=problem["n"], outcome_sd=problem["sigma"])
    if kind == "several":
        problem = named("several", name)
        rule = {"evpi": evpi_of_arms, "p_best": p_best_of_arms}[rest[0]]
        return rule(problem["mean"], problem["sd"])
    return ANSWERS[name](asked(kind))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["id"])
def test_reference(check):
    found, expected = found_for(check), check["value"]
    if expected is None or isinstance(expected, str):
        assert found == expected
    else:
        assert found == pytest.approx(expected, abs=check["tolerance"], rel=0)
