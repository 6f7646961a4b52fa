"""Acceptabilities and weight sets against the reference numbers `smaa.*` and `weights.*`.

The folder is that of the variable TREATSEL_SYNTHESIS_REFERENCE, otherwise the one beside the project. A check
whose quantity has no rule here fails.
"""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from treatsel.preference import (
    Criterion,
    PartialValues,
    Preferences,
    acceptability,
    dominance,
    flips,
    partial_values,
    smaa,
    smaa_of_draws,
)

BESIDE = Path(__file__).parents[3] / "shared" / "reference" / "synthesis"
FOLDER = Path(os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", BESIDE))
EXPECTED = FOLDER / "expected.json"
CHECKS = json.loads(EXPECTED.read_text())["checks"] if EXPECTED.exists() else []
CHECKS = [one for one in CHECKS if one["id"].startswith(("smaa.", "weights."))]
N_DRAWS = 200_000  # as in the reference

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not CHECKS, reason="the reference numbers do not lie beside the project"),
]


def read(name):
    return json.loads((FOLDER / "data" / name).read_text())


def preferences_of(problem, criteria):
    """What a problem says about the weights: an order, bounds and ratios."""
    found = Preferences.between(
        problem.get("bounds", {}), at_least=map(tuple, problem.get("at_least", ())), criteria=criteria
    )
    return found & Preferences.ranked(problem["order"]) if "order" in problem else found


@cache
def simulated(name, weights):
    """SMAA of a problem with distributions: weights free, ordered, within bounds, or fixed."""
    problem = read(f"smaa_{name.split('_')[0]}.json")
    assert problem["name"] == name
    criteria = [
        Criterion(*named, worst=worst, best=best)
        for *named, worst, best in zip(problem["criteria"], problem["worst"], problem["best"], strict=True)
    ]
    random = np.random.default_rng(1)
    drawn = {}
    for j, criterion in enumerate(criteria):
        if problem["distribution"] == "beta":
            kind, first, second = random.beta, problem["alpha"], problem["beta"]
        else:
            kind, first, second = random.normal, problem["mean"], problem["sd"]
        drawn[criterion.name] = np.column_stack(
            [kind(a[j], b[j], N_DRAWS) for a, b in zip(first, second, strict=True)]
        )
    values = partial_values(drawn, criteria, arms=problem["arms"])
    names = problem["criteria"]
    preferences = {
        "free": lambda: Preferences.between({}, criteria=names),
        "ordered": lambda: Preferences.ranked(problem["order"]),
        "bounds": lambda: Preferences.between(problem["bounds"], criteria=names),
        "fixed": lambda: Preferences(problem["weights"]),
    }[weights]()
    return smaa(values, preferences, n_draws=N_DRAWS, random_state=2)


@cache
def from_draws(fixed):
    """SMAA of the problem whose draws are given."""
    table = pd.read_csv(FOLDER / "data" / "smaa_thrombosis_draws.csv.gz")
    arms, names = ("Heparin", "Enoxaparin"), ("Prox DVT", "Dist DVT", "Bleed")
    draws = {name: table[[f"{arm}.{name}" for arm in arms]].to_numpy() for name in names}
    values = partial_values(draws, [Criterion(name, worst=0, best=1) for name in names], arms=arms)
    if fixed:
        return smaa(values, Preferences(dict(zip(names, (0.5, 0.2, 0.3), strict=True))))
    return smaa_of_draws(values, table[[f"weight.{name}" for name in names]].set_axis(names, axis=1))


def by_arm(found, numbers):
    rows = [None if np.isnan(row).any() else row.tolist() for row in np.atleast_1d(numbers)]
    return dict(zip(found.arms, rows, strict=True))


def quartiles(found):
    table = found.quantiles((0.25, 0.5, 0.75)).set_axis(["mean", "q1", "median", "q3"], axis=1)
    return table.to_dict(orient="index")


SMAA = {
    "rank_acceptability": lambda found: by_arm(found, found.rank_acceptability),
    "fixed_weights": lambda found: by_arm(found, found.rank_acceptability),
    "central_weight": lambda found: by_arm(found, found.central_weights),
    "confidence": lambda found: by_arm(found, found.confidence),
    "pairwise": lambda found: found.pairwise_frame().to_dict(orient="index"),
    "expected": lambda found: by_arm(found, found.expected),
    "mean_weight": lambda found: dict(zip(found.criteria, found.mean_weights, strict=True)),
    "values": quartiles,
}


def smaa_value(check):
    _, name, *rest = check["id"].split(".")
    quantity = rest[-1]
    if len(rest) == 1:
        found = from_draws(quantity == "fixed_weights")
        return found.entropy if quantity == "entropy" else SMAA[quantity](found)
    found = simulated(name, rest[0])
    if quantity == "entropy":
        return {"ranking": found.entropy, "choice": found.first_choice_entropy}
    return SMAA[quantity](found)


@cache
def problem_of(name):
    problem = next(one for one in read("weights_exact.json") if one.get("name") == name)
    values = partial_values(
        {
            name: {arm: row[j] for arm, row in problem["values"].items()}
            for j, name in enumerate(problem["criteria"])
        },
        [Criterion(name, worst=0, best=1) for name in problem["criteria"]],
    )
    return values, preferences_of(problem, problem["criteria"]), problem.get("weights")


def without(table, arm):
    return {other: value for other, value in table.items() if other != arm}


def flips_of(values, weights):
    found = flips(values, Preferences(weights))
    shares = found.to_dict()["share"]
    for arm in found.top:
        shares.pop(arm)
    return shares


def leads(values, preferences):
    found = dominance(values, preferences).to_dict()["worst_lead"]
    return {arm: without(row, arm) for arm, row in found.items()}


WEIGHTS = {
    "share": lambda values, known, weights: known.weight_set.share,
    "centroid": lambda values, known, weights: known.mean_weights,
    "vertices": lambda values, known, weights: known.weight_set.vertices.tolist(),
    "acceptability": lambda values, known, weights: by_arm(
        values, acceptability(values, known).rank_acceptability
    ),
    "central": lambda values, known, weights: by_arm(values, acceptability(values, known).central_weights),
    "worst_lead": lambda values, known, weights: leads(values, known),
    "possible_best": lambda values, known, weights: list(dominance(values, known).potentially_best),
    "expected": lambda values, known, weights: by_arm(
        values, acceptability(values, Preferences(weights)).expected
    ),
    "flip": lambda values, known, weights: flips_of(values, weights),
    "flip_one": lambda values, known, weights: flips(values, Preferences(weights)).to_dict()["at"],
}


def weights_value(check):
    _, name, *rest = check["id"].split(".")
    if name == "swing":
        ratings = next(one["swing"] for one in read("weights_exact.json") if "swing" in one)
        return Preferences.swing(ratings).mean_weights
    if name == "rank_order_centroid":
        names = [f"criterion {j}" for j in range(int(rest[0]))]
        return list(Preferences.ranked(names).mean_weights.values())
    return WEIGHTS[rest[0]](*problem_of(name))


def compare(found, expected, check):
    """Compare numbers one by one, in lists and mappings with the same keys."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            compare(found[key], expected[key], check)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            compare(one, other, check)
    elif expected is None or isinstance(expected, str | bool):
        assert found == expected
    else:
        kind = {"absolute": "abs", "relative": "rel", "exact": "abs"}[check["tolerance_kind"]]
        tolerance = {"abs": 0, "rel": 0} | {kind: check["tolerance"]}
        assert found == pytest.approx(expected, **tolerance)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["id"])
def test_reference(check):
    found = smaa_value(check) if check["id"].startswith("smaa.") else weights_value(check)
    compare(found, check["value"], check)


def test_partial_values_hold_what_the_reference_holds():
    values, _, _ = problem_of("two_arms_three_criteria")
    assert isinstance(values, PartialValues)
    assert values.to_frame().loc["ssri", "no_nausea"] == 0.7
