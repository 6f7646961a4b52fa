"""Data checks: each reports its finding, gives no false alarm, and names no value."""

import numpy as np
import pandas as pd
import pytest

from treatsel.selector.data_checks._arms import (
    DataCheck,
    check_events,
    check_persons,
    check_sample_size,
)
from treatsel.selector.data_checks._column import columns_of
from treatsel.selector.data_checks._columns import check_collinear, check_constant, check_positivity
from treatsel.selector.data_checks._duplicate_rows import check_duplicates
from treatsel.selector.data_checks._model import check_auc, check_extreme, check_loss
from treatsel.selector.data_checks._table import run_checks

SECRET = 98765.4321


def table(n=2000, seed=0):
    """Mixed columns, correlated but not equivalent; three arms; two outcomes."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(15, 5, n)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n).astype(float),
            "severity": severity,
            "score": severity + rng.normal(0, 2, n),
            "job": rng.choice(["work", "school", "none"], n),
            "married": rng.random(n) < 0.5,
        },
        index=[f"p{i}" for i in range(n)],
    )
    X["score"] = X["score"].where(rng.random(n) > 0.2)
    X["job"] = X["job"].where(rng.random(n) > 0.1, None)
    received = pd.Series(rng.choice(["A", "B", "C"], n), X.index, name="arm")
    y = pd.DataFrame({"remission": rng.random(n) < 0.4, "dropout": rng.random(n) < 0.2}, X.index).astype(
        float
    )
    return X, received, y


def codes(checks):
    return [check.code for check in checks]


def test_a_sound_table_gives_no_warning():
    X, received, y = table()
    sites = pd.Series(np.arange(2000) % 5, X.index)
    persons = pd.Series(np.arange(2000), X.index, name="person")
    assert run_checks(X, received, y, groups=sites, persons=persons) == []


def test_all_problems_are_reported_at_once():
    X, received, y = table(600)
    received.iloc[:80] = "A"
    X = X.assign(
        constant=1.0, twice=2 * X["severity"], ward=received.map({"A": "x", "B": "y", "C": "y"}).to_numpy()
    )
    X.iloc[:40] = X.iloc[40:80].to_numpy()
    persons = pd.Series(np.arange(600) // 2, X.index, name="person")
    y["remission"] = y["remission"].where(received != "B", 0.0)
    found = run_checks(X, received, y, persons=persons, groups=pd.Series(range(600)))
    assert set(codes(found)) == {
        "few_events",
        "small_arms",
        "constant_column",
        "positivity_violation",
        "collinear_columns",
        "duplicate_patients",
        "person_in_several_groups",
    }
    assert all(isinstance(check, DataCheck) and check.message.endswith(".") for check in found)


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_few_events_or_few_non_events(rare):
    received = pd.Series(["A"] * 40 + ["B"] * 40)
    y = pd.Series([0.0, 1.0] * 40, name="remission")
    assert check_events(received, y) == []
    y[:40] = 1 - rare
    y[:9] = rare
    y[39] = np.nan
    (check,) = check_events(received, y)
    assert check.code == "few_events"
    assert ("'A': 9 of 39" if rare else "'A': 30 of 39") in check.message
    assert "'B'" not in check.message
    y[9] = rare
    assert check_events(received, y) == []


def test_few_patients_counts_observed_outcomes():
    received = pd.Series(["A"] * 300 + ["B"] * 300)
    y = pd.Series(1.0, received.index, name="remission")
    assert check_sample_size(received, y) == []
    y[0] = np.nan
    (check,) = check_sample_size(received, y)
    assert "1 of 2 arms" in check.message
    assert "'A': 299" in check.message


@pytest.mark.parametrize(("auc", "told"), [(0.7, False), (0.85, False), (0.86, True), (np.nan, False)])
def test_an_auc_too_good_to_be_true(auc, told):
    assert codes(check_auc(auc, "remission")) == ["suspected_leakage"] * told


@pytest.mark.parametrize("column", ["text", "flag", "end", "number", "missing"])
def test_a_column_that_determines_the_arm(column):
    X, received, _ = table()
    mine = (received == "B").to_numpy()
    if column == "text":
        X["job"] = X["job"].mask(mine & (X["age"] > 40), "ward")
        n = (mine & (X["age"] > 40)).sum()
    elif column == "flag":
        X["job"], n = ~mine, 2000 - (~mine).sum()
    elif column == "end":
        X["job"] = X["severity"].mask(mine & (X["age"] > 40), -100 - X["age"])
        n = (mine & (X["age"] > 40)).sum()
    elif column == "number":
        X["job"], n = received.map({"A": 1, "B": 2, "C": 3}), 2000
    else:
        X["job"], n = X["severity"].mask(mine), mine.sum()
    (check,) = check_positivity(columns_of(X), received)
    assert check.code == "positivity_violation"
    assert "'job'" in check.message
    assert f"{n} of 2000" in check.message


def test_values_that_occur_in_one_arm_by_chance_are_not_reported():
    X, received, _ = table()
    received.iloc[:1950] = "A"
    received.iloc[1950:] = "B"
    assert check_positivity(columns_of(X.drop(columns="severity")), received) == []  # nearly all received A
    X, received, _ = table()
    X["job"] = [f"t{i // 10}" for i in range(2000)]
    received = received.mask(X["job"].isin([f"t{i}" for i in range(20)]), "B")
    assert check_positivity(columns_of(X), received) == []  # ten patients per value
    assert check_positivity(columns_of(X), received.mask(received != "A", "A")) == []  # a single arm


def test_constant_columns_are_counted_and_named():
    X, *_ = table()
    assert check_constant(columns_of(X)) == []
    X = X.assign(one=1.0, text="same", with_gaps=X["score"].where(X["score"].isna(), 3.0))
    (check,) = check_constant(columns_of(X))
    assert check.message.startswith("3 columns")
    assert all(name in check.message for name in ("one", "text", "with_gaps"))


def test_columns_that_are_equivalent():
    X, *_ = table()
    assert check_collinear(columns_of(X)) == []
    rng = np.random.default_rng(1)
    X["pounds"] = 2.2 * X["severity"] + rng.normal(0, 0.1, 2000)
    X["less"] = -X["pounds"].where(rng.random(2000) > 0.3)
    X["recoded"] = X["job"].map({"work": 3, "school": 1, "none": 2})
    X["single"] = X["married"].map({True: "no", False: "yes"})
    found = sorted(check_collinear(columns_of(X)), key=lambda check: check.message)
    assert codes(found) == ["collinear_columns"] * 3
    assert "['job', 'recoded']" in found[0].message
    assert "['married', 'single']" in found[1].message
    assert "['severity', 'pounds', 'less']" in found[2].message


def test_columns_that_are_merely_correlated_are_not_reported():
    X, *_ = table()
    rng = np.random.default_rng(1)
    X["close"] = X["severity"] + rng.normal(0, 1, 2000)  # correlation 0.98
    X["nearly"] = X["job"].where(rng.random(2000) > 0.02, "none")
    X["few_in_common"] = X["severity"].where(np.arange(2000) < 20)
    assert check_collinear(columns_of(X)) == []


def test_numbers_of_any_size_and_few_rows_are_accepted():
    X, received, y = table(3)
    assert check_collinear(columns_of(X)) == []
    X = X.assign(huge=[1e150, -1e150, 0.0], empty=np.nan)
    assert set(codes(run_checks(X, received, y))) == {"few_events", "small_arms"}
    assert check_duplicates(columns_of(X[[]])) == check_collinear(columns_of(X[[]])) == []


def test_copied_rows_are_counted():
    X, *_ = table()
    X.iloc[:7] = X.iloc[100:107].to_numpy()
    (check,) = check_duplicates(columns_of(X))
    assert check.code == "duplicate_patients"
    assert check.message.startswith("14 patients")
    assert "7 sets" in check.message
    X.iloc[:6] = X.iloc[200:206].assign(age=99.0).to_numpy()
    assert check_duplicates(columns_of(X)) == []  # one pair is left: too few


@pytest.mark.parametrize("kind", ["few_categories", "correlated", "score_of_items", "forms_left_empty"])
def test_rows_that_are_equal_by_coincidence_are_not_reported(kind):
    rng = np.random.default_rng(0)
    X, *_ = table(3000)
    items = pd.DataFrame(rng.integers(0, 4, (3000, 4)).astype(float), columns=list("pqrs"))
    if kind == "few_categories":
        X = X[["job", "married"]]
    elif kind == "correlated":
        base = rng.integers(0, 4, 3000)
        X = pd.DataFrame({f"c{j}": np.where(rng.random(3000) < 0.8, base, 3) for j in range(6)})
    elif kind == "score_of_items":
        X = items.assign(total=items.sum(axis=1))
    else:
        X.loc[rng.random(3000) < 0.3, ["age", "severity", "score"]] = np.nan
    assert check_duplicates(columns_of(X)) == []


def test_persons_divided_between_groups():
    persons = pd.Series(["a", "a", "b", "b", "c", None, None], name="person")
    assert check_persons(persons, pd.Series([0, 0, 1, 1, 2, 0, 1])) == []
    (check,) = check_persons(persons, pd.Series(["x", "y", "x", "x", "y", "x", "y"]))
    assert check.code == "person_in_several_groups"
    assert check.message.startswith(
        "fewer than 5 persons (column 'person', fewer than 5 rows) have several rows in several groups."
    )
    assert check_persons(persons.where(persons.isna()), None) == []


def test_persons_with_several_rows_where_no_groups_keep_them_together():
    persons = pd.Series([*"aabbccddeeef", None, None], name="person")
    (check,) = check_persons(persons, None)
    assert check.message.startswith("5 persons (column 'person', 11 rows) have several rows.")
    assert check_persons(persons.drop_duplicates(), None) == []


@pytest.mark.parametrize("n_events", [1, 4, 36, 39])
def test_few_events_are_not_counted(n_events):
    received = pd.Series(["A"] * 40 + ["B"] * 40)
    y = pd.Series([0.0, 1.0] * 40, name="remission")
    y[:40] = (np.arange(40) < n_events).astype(float)
    (check,) = check_events(received, y)
    told = "'A': fewer than 5 of 40" if n_events < 5 else "'A': all but fewer than 5 of 40"
    assert told in check.message
    y[8:40] = np.nan
    y[:8] = 1.0
    (check,) = check_events(received, y)
    assert "'A': none or all of fewer than 10" in check.message


def test_patients_of_a_tiny_arm_are_not_counted():
    received = pd.Series(["A"] * 4 + ["B"] * 40 + ["C"] * 400)
    (check,) = check_sample_size(received, pd.Series(1.0, received.index, name="remission"))
    assert "('A', 'B')" in check.message  # with that of B, the count of A would be known from the total
    received[:8] = "A"
    (check,) = check_sample_size(received, pd.Series(1.0, received.index, name="remission"))
    assert "('A': 8, 'B': 36)" in check.message


def test_messages_name_no_value():
    X, received, y = table(300)
    received.iloc[:40] = "A"
    X = X.assign(constant=SECRET, ward=received.map({"A": SECRET, "B": 0.0, "C": 0.0}))
    X["job"] = X["job"].mask(received == "A", "98765 street")
    X.iloc[:20] = X.iloc[20:40].to_numpy()
    persons = pd.Series(np.repeat(["98765-a", "98765-b"], 150), X.index, name="person")
    found = run_checks(X, received, y, persons=persons, groups=received)
    assert len(set(codes(found))) >= 5
    assert not any("98765" in check.message for check in found)


def test_a_column_that_differs_by_rounding_is_constant():
    X = table(200)[0]
    X["far"] = 1e15 + np.arange(200) % 2
    assert "far" in check_constant(columns_of(X))[0].message


def test_a_model_worse_than_a_comparator_is_reported():
    assert codes(check_loss({"the baseline": (0.03, 0.1), "the base rate": (-0.1, 0.01)}, "remission")) == [
        "worse_than_baseline"
    ]
    assert codes(check_loss({"the baseline": (0.006, 0.001)}, "remission")) == ["worse_than_baseline"]
    assert check_loss({"the baseline": (0.004, 0.003), "the base rate": (-0.02, 0.004)}, "remission") == []


def test_probabilities_of_practically_0_or_1_are_reported_without_small_counts():
    logits = np.zeros((50, 2))
    assert check_extreme(logits, "remission") == []
    logits[0, 1] = -25.0
    (found,) = check_extreme(logits, "remission")
    assert found.code == "extreme_predictions"
    assert "for fewer than 5 patients" in found.message
