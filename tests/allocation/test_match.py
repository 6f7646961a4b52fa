"""Matching with therapists: constraints, shrunken effects, and what is withheld."""

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.allocation import allowed_pairs, therapist_utilities
from treatsel.errors import InputError

PROBABILITY = pd.Series(np.linspace(0.2, 0.7, 12), index=[f"p{i}" for i in range(12)])
EFFECTS = pd.DataFrame(
    {
        "therapist": ["t1", "t2", "t3", "t4"],
        "n": [80, 60, 12, 40],
        "effect": [0.6, -0.5, 0.9, 0.1],
        "sd": [0.2, 0.2, 0.1, 0.3],
    }
)
THERAPISTS = ["t1", "t2", "t3", "t4", "t5"]


def utilities(effects=EFFECTS, **options):
    return therapist_utilities(PROBABILITY, effects, therapists=THERAPISTS, **{"good": True, **options})


def test_only_effects_that_say_something_are_used():
    found = utilities()
    table = found.utility
    assert found.n_withheld == 3  # 12 cases; an interval with 0; no row
    assert (table["t1"] > PROBABILITY).all()
    assert (table["t2"] < PROBABILITY).all()
    for name in ("t3", "t4", "t5"):
        np.testing.assert_allclose(table[name], PROBABILITY)
    bad = utilities(good=False).utility
    np.testing.assert_allclose(bad, 1 - table)


def test_matching_with_intervals():
    plan = ts.match(utilities(), {"t1": 3, "t2": 3, "t3": 3, "t4": 3, "t5": 3})
    frame = plan.to_frame()
    counts = plan.therapist.value_counts()
    assert counts["t1"] == 3
    assert "t2" not in counts
    assert plan.several_optima  # average therapists are interchangeable
    assert not plan.withheld
    assert 0 < plan.gain_lower < plan.gain < plan.gain_upper
    assert (frame["lower"].notna() == (frame["therapist"] == "t1")).all()
    of_first = frame[frame["therapist"] == "t1"]
    assert (of_first["upper"] > of_first["utility"]).all()


def test_withheld_without_a_clear_effect():
    plan = ts.match(utilities(EFFECTS.assign(sd=1.0)), dict.fromkeys(THERAPISTS, 3))
    assert plan.withheld
    assert np.isnan([plan.gain, plan.gain_lower, plan.gain_upper]).all()
    assert "not used: no interval excludes 0" in plan._repr_html_()
    np.testing.assert_allclose(plan.utility, PROBABILITY)


def test_no_ranking_of_named_staff_is_exported():
    plan = ts.match(utilities(), dict.fromkeys(THERAPISTS, 3))
    assert list(plan.prices.index) == THERAPISTS
    exported = plan.to_dict()
    assert set(exported) == {
        *("proposal", "value", "margin", "several_optima", "gain", "level", "withheld", "matching")
    }
    assert set(exported["matching"][0]) == {"patient", "therapist", "utility", "lower", "upper", "tied"}
    for text in (repr(plan), plan._repr_html_(), repr(utilities()), utilities()._repr_html_()):
        assert not any(name in text for name in THERAPISTS)


def test_order_has_no_effect():
    caseload = dict.fromkeys(THERAPISTS, 3)
    plan = ts.match(utilities().utility, caseload)
    other = ts.match(utilities().utility.iloc[::-1, ::-1], caseload)
    pd.testing.assert_series_equal(plan.therapist, other.therapist[::-1])


def test_hard_constraints():
    patients = pd.DataFrame({"language": ["fr", "de", None], "problem": ["ocd|ptsd", "ptsd", "ocd"]})
    therapists = pd.DataFrame(
        {"languages": ["de|fr", "de"], "problems": ["ocd", "ocd|ptsd"]}, index=["s", "t"]
    )
    needs = {"language": "languages", "problem": "problems"}
    found = allowed_pairs(patients, therapists, needs)
    assert found.to_numpy().tolist() == [[False, False], [False, True], [True, True]]
    utility = pd.DataFrame(0.5, index=patients.index, columns=["s", "t"])
    with pytest.raises(InputError, match="1 place missing: of 3 patients, at most 2"):
        ts.match(utility, {"s": 5, "t": 5}, allowed=found)
    plan = ts.match(utility, {"s": 5, "t": 5}, allowed=found, defer=True)
    assert plan.therapist[0] is None
    with pytest.raises(InputError, match="no column 'languge'"):
        allowed_pairs(patients, therapists, {"languge": "languages"})
    with pytest.raises(InputError, match="missing for 1 therapist"):
        allowed_pairs(patients, therapists.assign(languages=["de", None]), needs)


@pytest.mark.parametrize(
    ("effects", "text"),
    [
        (EFFECTS.drop(columns="sd"), "no column 'sd'"),
        (EFFECTS.assign(arm=["a", "b", "a", "b"]), "select the rows of one arm"),
        (EFFECTS.assign(therapist="t1"), "duplicate"),
        (EFFECTS.assign(sd=[-1, 1, 1, 1]), "1 row"),
    ],
)
def test_refusals(effects, text):
    with pytest.raises(InputError, match=text):
        utilities(effects)
