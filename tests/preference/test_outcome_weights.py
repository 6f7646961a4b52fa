"""Preferences: weights of the outcomes, and utilities."""

import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treatsel import TreatmentSelector
from treatsel.datasets import make_cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.preference import check_preferences, utility

OUTCOMES = ("remission", "dropout", "burden")
GOOD = {"remission": True, "dropout": False, "burden": None}
ORDERS = list(permutations(OUTCOMES))


def test_weights_are_normalized_and_the_default_is_the_first_outcome():
    assert check_preferences({"remission": 3, "dropout": 1}, OUTCOMES, GOOD) == {
        "remission": 0.75,
        "dropout": 0.25,
    }
    assert check_preferences(None, OUTCOMES, GOOD) == {"remission": 1.0}


def test_an_outcome_of_weight_zero_needs_no_direction():
    assert check_preferences({"dropout": 2, "burden": 0}, OUTCOMES, GOOD) == {"dropout": 1.0}


def test_weights_are_in_the_order_of_the_outcomes():
    good = {**GOOD, "burden": False}
    given = {"burden": 0.1, "remission": 0.2, "dropout": 0.3}
    found = [check_preferences({name: given[name] for name in order}, OUTCOMES, good) for order in ORDERS]
    assert [list(weights.items()) for weights in found] == [list(found[0].items())] * len(ORDERS)
    assert tuple(found[0]) == OUTCOMES


def test_the_order_of_preferences_does_not_matter():
    cohort = make_cohort(300, random_state=1).cohort
    X, y = cohort.X[["phq9_start", "arm"]], cohort.y[["recovery", "dropout"]]
    directions = {"recovery": True, "dropout": False}
    unfitted = TreatmentSelector(estimator="hierarchical", event_is_good=directions, random_state=0)
    with warnings.catch_warnings(action="ignore", category=TreatselWarning):
        selector = unfitted.fit(X, y)
    patients = X.drop(columns="arm").head(5)
    one, other = {"recovery": 0.6, "dropout": 0.4}, {"dropout": 0.4, "recovery": 0.6}
    tables = [selector.recommend(patients, preferences=p).to_frame() for p in (one, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert tables[0]["p_best"].notna().all()
    for record in patients.astype(object).where(patients.notna(), None).to_dict(orient="records"):
        a, b = (selector.recommend(record, preferences=p).to_dict() for p in (one, other))
        assert a == b


@pytest.mark.parametrize(
    ("preferences", "message"),
    [
        ({"remision": 1}, "unknown key 'remision'.*Did you mean 'remission'"),
        ({"remission": -1, "dropout": 2}, "0 or more"),
        ({"remission": 0}, "not all 0"),
        ({}, "not all 0"),
        ({"remission": np.nan}, "finite"),
        ({"remission": np.inf}, "finite"),
        ({"remission": "much"}, "must be numbers"),
        ({"remission": None}, "must be numbers"),
        ({"remission": 10**400}, "must be numbers"),
        ([("remission", 1)], "must be a mapping of outcomes to weights, not a list"),
        (
            {"remission": 1, "burden": 1},
            r"direction of 'burden' is not specified\. Set event_is_good=\{'burden': False\}",
        ),
    ],
)
def test_bad_preferences_are_refused(preferences, message):
    with pytest.raises(InputError, match=message):
        check_preferences(preferences, OUTCOMES, GOOD)


def test_utility_by_hand_for_tables_and_draws():
    tables = {
        "remission": pd.DataFrame({"CBT": [0.5, 0.2], "SSRI": [0.6, 0.3]}, index=["a", "b"]),
        "dropout": pd.DataFrame({"CBT": [0.2, 0.0], "SSRI": [0.4, 1.0]}, index=["a", "b"]),
    }
    weights = {"remission": 0.5, "dropout": 0.5}
    expected = pd.DataFrame({"CBT": [0.65, 0.6], "SSRI": [0.6, 0.15]}, index=["a", "b"])
    pd.testing.assert_frame_equal(utility(tables, weights, GOOD), expected)
    draws = {name: table.to_numpy()[None] for name, table in tables.items()}
    np.testing.assert_allclose(utility(draws, weights, GOOD)[0], expected)


@given(st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3))
def test_the_best_of_everything_is_never_above_one(weights):
    good = dict.fromkeys(OUTCOMES, True)
    checked = check_preferences(dict(zip(OUTCOMES, weights, strict=True)), OUTCOMES, good)
    assert sum(checked.values()) == pytest.approx(1)
    value = utility({name: np.ones((1, 2)) for name in OUTCOMES}, checked, good)
    assert value.max() <= 1
    np.testing.assert_allclose(value, 1)
