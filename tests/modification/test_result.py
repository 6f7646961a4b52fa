"""Tables, plots and what they disclose."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from tests.modification.conftest import fit, simulate

import treatsel as ts
from treatsel.errors import InputError
from treatsel.modification._levels import bins_of, levels_of


@pytest.fixture(scope="module")
def selector_and_patients():
    X, y = simulate(400, seed=3, n_arms=3, slope=2.5)
    X.loc[:2, "letter"] = "seldom"  # three patients
    X.loc[10:29, "noise"] = np.nan
    return fit(X, y), X


@pytest.fixture(scope="module")
def found(selector_and_patients):
    return ts.modifiers(*selector_and_patients)


def test_frames_and_dictionaries_say_the_same(found):
    pd.testing.assert_frame_equal(found.to_frame(), found.table)
    text = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert text["covariates"]["modifier"]["finding"] == found.table.loc["modifier", "finding"]
    assert len(text["interactions"]) == len(found.interactions)
    for name in ("modifier", "letter"):
        dependence = found.dependence(name)
        pd.testing.assert_frame_equal(dependence.to_frame(), dependence.table)
        text = json.loads(json.dumps(dependence.to_dict(), allow_nan=False))
        assert len(text["differences"]) == len(dependence.table)


def test_a_copy_still_draws(found):
    copied = pickle.loads(pickle.dumps(found))
    pd.testing.assert_frame_equal(copied.dependence("noise").table, found.dependence("noise").table)


def test_dependence_is_the_mean_prediction_with_a_value(selector_and_patients, found):
    selector, X = selector_and_patients
    table = found.dependence("letter").table
    assert set(table["value"]) == {"a", "b", "c"}
    assert set(table["arm"]) == set(found.arms) - {found.comparator}
    complete = X[X["noise"].notna()]
    again = ts.modifiers(selector, complete)
    dependence = again.dependence("letter").table
    draws = selector.predict_draws(complete.iloc[::2].assign(letter="b"))
    arms = list(selector.arms_)
    for row in dependence[dependence["value"] == "b"].itertuples():
        drawn = (draws[:, :, arms.index(row.arm)] - draws[:, :, arms.index(found.comparator)]).mean(axis=1)
        assert row.difference == pytest.approx(drawn.mean(), abs=1e-6)
        assert row.lower == pytest.approx(np.quantile(drawn, 0.025), abs=1e-6)


def test_curves_rise_with_the_planted_modification(found):
    table = found.dependence("modifier").table.set_index("arm")
    arm = "A" if found.comparator != "A" else "B"
    sign = 1 if arm == "A" else -1
    values = sign * table.loc[arm, "difference"].to_numpy()
    assert (np.diff(values) > 0).all()
    assert values[-1] - values[0] > 0.2


def test_no_single_patient_is_described(selector_and_patients, found):
    X = selector_and_patients[1]
    shown = found.interactions
    assert "seldom" not in set(shown["level"])
    assert set(shown.loc[shown["covariate"] == "noise", "level"]) >= {"missing"}
    dependence = found.dependence("modifier")
    assert (dependence.patients["n"] >= 5).all()
    assert dependence.patients["n"].sum() == len(X)
    edges = [*dependence.patients["lower"], *dependence.patients["upper"], *dependence.table["value"]]
    assert not set(edges) & set(X["modifier"])
    counts = found.dependence("letter").patients
    assert "seldom" not in set(counts["value"])
    assert counts["n"].isna().any()  # the total would give the three patients away


def test_levels_and_bins():
    number = pd.Series([*range(30), *[None] * 4])
    assert [int(mask.sum()) for mask in levels_of(number).values()] == [10, 10, 10]
    few = levels_of(pd.Series([0.0, 1.0] * 10 + [2.0] * 4))
    assert list(few) == ["0", "1"]
    skewed = np.array([0.0] * 90 + [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    bins = bins_of(skewed)
    assert sum(n for *_, n in bins) == 100
    assert all(n >= 5 and low < high for low, high, n in bins)


def test_plots_have_one_row_per_covariate(found):
    ax = found.plot()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[::-1] == list(found.table.index)
    assert ax.lines[1].get_xdata() == pytest.approx(found.table["modification"][::-1])
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"modifies", "noise alone"}
    assert "95% intervals" in ax.get_xlabel()
    assert found.plot(ax=ax) is ax


def test_dependence_is_drawn_with_bands_and_bars(found):
    ax = found.plot_dependence("modifier")
    assert len(ax.patches) == len(found.dependence("modifier").patients)
    assert len(ax.collections) == 2
    ax = found.plot_dependence("letter", arms=[next(a for a in found.arms if a != found.comparator)])
    assert len(ax.get_yticklabels()) == 3
    with pytest.raises(InputError, match="arms"):
        found.plot_dependence("letter", arms=[found.comparator])
    with pytest.raises(InputError, match="covariate"):
        found.dependence("site")


def test_summaries_name_the_finding(found):
    assert "Modification of the choice is shown for modifier" in repr(found)
    assert "findings are associations" in found._repr_html_()
    assert "Difference in remission" in repr(found.dependence("modifier"))
