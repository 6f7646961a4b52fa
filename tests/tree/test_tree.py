"""Policy trees: exact search against brute force, ties, missing values, categories, and what is reported."""

import json

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.errors import InputError
from treatsel.tree import PolicyTree, _kernel, policy_tree


def cohort(n=60, *, seed=0, digits=1, missing=False):
    """Scores of three arms, and two numbers, a category and a boolean."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": random.normal(40, 10, n).round(digits - 2),
            "phq9": random.integers(5, 27, n).astype(float),
            "job": random.choice(["employed", "retired", "student"], n),
            "prior": random.random(n) < 0.4,
        },
        index=[f"p{i}" for i in range(n)],
    )
    if missing:
        X.loc[random.random(n) < 0.2, "phq9"] = np.nan
        X.loc[random.random(n) < 0.2, "job"] = None
    table = random.normal(0.5, 0.5, (n, 3))
    table[:, 0] += 0.3 * (X["phq9"] < 14)
    return pd.DataFrame(table, columns=["cbt", "ipt", "ssri"], index=X.index), X


def splits(X):
    """Every way to split the patients, by definition: patients who answer "yes"."""
    for _, column in X.items():  # noqa: PERF102
        if pd.api.types.is_float_dtype(column):
            absent = column.isna().to_numpy()
            for cut in column.dropna().unique():
                low = (column <= cut).to_numpy()
                yield low
                yield low | absent
            yield absent
        else:
            for level in column.dropna().unique():
                yield (column == level).to_numpy()
            yield column.isna().to_numpy()


def brute_force(scores, ways, depth, min_leaf):
    """The highest sum of scores of a tree, by trying everything; minus infinity if there is none."""
    best = scores.sum(axis=0).max() if len(scores) >= min_leaf else -np.inf
    if depth:
        for way in ways:
            parts = [
                brute_force(scores[side], [other[side] for other in ways], depth - 1, min_leaf)
                for side in (way, ~way)
                if side.any() and not side.all()
            ]
            if len(parts) == 2:
                best = max(best, sum(parts))
    return best


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("depth", "min_leaf", "missing"), [(1, 1, True), (2, 1, False), (2, 1, True), (2, 6, True)]
)
def test_value_is_that_of_brute_force(depth, min_leaf, missing, compiled, monkeypatch):
    monkeypatch.setattr(_kernel, "_WORTH_COMPILING", 0 if compiled else 10**9)
    scores, X = cohort(24, seed=depth + min_leaf, missing=missing)
    tree = policy_tree(scores, X, depth, min_leaf=min_leaf)
    expected = brute_force(scores.to_numpy(), list(splits(X)), depth, min_leaf) / len(X)
    assert tree.value == pytest.approx(expected, abs=1e-12)
    assigned = tree.predict(X)
    own = [scores.loc[patient, arm] for patient, arm in assigned.items()]
    assert np.mean(own) == pytest.approx(tree.value, abs=1e-12)
    assert min(node.n for node in tree.nodes) >= min_leaf


def test_a_third_level_is_at_least_as_good_as_two():
    scores, X = cohort(80, seed=5)
    two, three = (policy_tree(scores, X, depth, min_leaf=5) for depth in (2, 3))
    assert three.value >= two.value
    assert three.depth == 3
    assert three.method.startswith("hybrid")


def test_order_of_rows_columns_and_arms_does_not_matter():
    scores, X = cohort(80, seed=2, missing=True)
    tree = policy_tree(scores, X, min_leaf=5)
    order = np.random.default_rng(1).permutation(len(X))
    other = policy_tree(scores.iloc[order, ::-1], X.iloc[order, ::-1], min_leaf=5)
    assert other.to_text() == tree.to_text()
    pd.testing.assert_frame_equal(other.to_frame(), tree.to_frame())
    assert other.cross_fitted_gain.value == pytest.approx(tree.cross_fitted_gain.value, abs=1e-12)


def test_ties_prefer_fewer_levels_then_the_name_then_the_lower_cut():
    same = pd.DataFrame({"ssri": [0.5] * 8, "cbt": [0.5] * 8})
    X = pd.DataFrame({"b": range(8), "a": range(8)}, dtype=float)
    tree = policy_tree(same, X, min_leaf=1)
    assert [node.arm for node in tree.nodes] == ["cbt"]
    scores = pd.DataFrame({"cbt": [1, 1, 1, 0.5, 0.5, 0, 0, 0], "ssri": [0, 0, 0, 0.5, 0.5, 1, 1, 1]})
    tree = policy_tree(scores, X, min_leaf=1)
    assert (tree.depth, tree.nodes[0].column, tree.nodes[0].cut) == (1, "a", 2.0)


def test_binary_fractions_do_not_decide_ties():
    scores = pd.DataFrame({"b": [0.1 + 0.2, 0.3], "a": [0.3, 0.1 + 0.2]})
    tree = policy_tree(scores, pd.DataFrame({"x": [0.0, 1.0]}), min_leaf=1)
    assert [node.arm for node in tree.nodes] == ["a"]


def test_missing_values_have_a_branch():
    scores = pd.DataFrame({"cbt": [1.0, 1, 0, 0, 1, 1], "ssri": [0.0, 0, 1, 1, 0, 0]})
    X = pd.DataFrame({"phq9": [5, 6, 20, 21, np.nan, np.nan]})
    tree = policy_tree(scores, X, 1, min_leaf=1)
    assert tree.nodes[0].missing == "yes"
    assert tree.to_text().startswith("if phq9 <= 6 or phq9 is missing:")
    assert tree.predict(pd.DataFrame({"phq9": [np.nan, 30.0]})).tolist() == ["cbt", "ssri"]
    other = policy_tree(scores, X.assign(phq9=[1.0, 1, np.nan, np.nan, 1, 1]), 1, min_leaf=1)
    assert other.nodes[0].condition == "phq9 is missing"


def test_without_missing_values_they_go_with_most_patients():
    scores = pd.DataFrame({"cbt": [1.0, 1, 1, 0], "ssri": [0.0, 0, 0, 1]})
    tree = policy_tree(scores, pd.DataFrame({"phq9": [5, 6, 7, 20]}), 1, min_leaf=1)
    assert tree.predict(pd.DataFrame({"phq9": [None]}, dtype=float)).tolist() == ["cbt"]
    assert "missing" not in tree.to_text()


def test_categories_and_ordered_categories():
    scores = pd.DataFrame({"cbt": [1.0, 0, 1, 0], "ssri": [0.0, 1, 0, 1]})
    text = pd.DataFrame({"job": ["a", "b", "c", "b"]})
    tree = policy_tree(scores, text, 1, min_leaf=1)
    assert tree.nodes[0].condition == "job = b"
    assert tree.predict(pd.DataFrame({"job": ["b", "unknown", None]})).tolist() == ["ssri", "cbt", "cbt"]
    grades = pd.CategoricalDtype(["mild", "moderate", "severe"], ordered=True)
    grades = pd.Series(["mild", "severe", "mild", "moderate"]).astype(grades)
    ordered = policy_tree(scores, pd.DataFrame({"grade": grades}), 1, min_leaf=1)
    assert ordered.nodes[0].condition == "grade <= mild"
    assert ordered.predict(pd.DataFrame({"grade": grades})).tolist() == ["cbt", "ssri", "cbt", "ssri"]
    with pytest.raises(InputError, match="ordered category"):
        ordered.predict(pd.DataFrame({"grade": ["mild"]}))


def test_quantile_cuts_are_observed_values():
    scores, X = cohort(80, seed=3, digits=3)
    scores["ipt"] += 0.5 * (X["age"] > 45)
    tree = policy_tree(scores, X[["age"]], 1, min_leaf=5, n_cuts=4)
    assert tree.nodes[0].cut in X["age"].to_numpy()
    assert "4 cuts" in tree.method
    assert tree.value <= policy_tree(scores, X[["age"]], 1, min_leaf=5).value


def test_null_gain_is_not_found_by_cross_fitting():
    gains = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        scores = pd.DataFrame(random.normal(0.5, 1, (200, 3)), columns=["a", "b", "c"])
        X = pd.DataFrame(random.normal(size=(200, 3)).round(1), columns=["x", "y", "z"])
        tree = policy_tree(scores, X, 1)
        gains.append((tree.gain.value, tree.cross_fitted_gain.value))
    in_sample, crossed = np.mean(gains, axis=0)
    assert in_sample > 0.05
    assert crossed < 0.03


def test_planted_rule_is_found_and_kept_with_clusters():
    random = np.random.default_rng(4)
    X = pd.DataFrame({"phq9": random.integers(5, 27, 400), "age": random.integers(18, 80, 400)})
    good = np.where(X["phq9"] <= 14, 1.0, 0.0)
    noise = random.normal(0, 0.3, (400, 2))
    scores = pd.DataFrame(noise + np.column_stack([good, 1 - good]), columns=["cbt", "ssri"])
    sites = random.integers(0, 12, 400)
    tree = policy_tree(scores, X, clusters=sites, recommended=np.where(good, "cbt", "ssri"))
    assert (tree.nodes[0].column, tree.nodes[0].cut) == ("phq9", 14)
    assert tree.cross_fitted_gain.lower > 0.3
    assert "12 clusters" in tree.cross_fitted_gain.method
    assert tree.agreement.reproduced > 0.95
    assert abs(tree.agreement.given_up.value) < 0.05


def test_recommendations_of_the_tree_give_nothing_up():
    scores, X = cohort(30, seed=1)
    tree = policy_tree(scores, X, min_leaf=14)
    assert tree.cross_fitted_gain is None
    again = policy_tree(scores, X, min_leaf=14, recommended=tree.predict(X))
    assert again.agreement.reproduced == 1.0
    assert again.agreement.given_up.value == 0.0
    assert np.isnan(again.agreement.reproduced_cross_fitted)


def test_result_is_shown_without_patients():
    scores, X = cohort(80, seed=2, missing=True)
    tree = policy_tree(scores, X, min_leaf=5, recommended=scores.idxmax(axis=1))
    assert isinstance(tree, PolicyTree)
    assert json.loads(json.dumps(tree.to_dict(), allow_nan=False))["best_arm"] in tree.arms
    assert len(tree.to_frame()) == len(tree.nodes)
    assert "cross-fitted" in repr(tree)
    assert "p1" not in repr(tree) + tree.to_text()
    drawn = [text.get_text() for text in tree.plot().texts]
    assert any(tree.nodes[0].condition in text for text in drawn)
    assert ts.policy_tree is policy_tree


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 4}, "depth is 4; it must be at least 0 and at most 3"),
        ({"depth": 1.5}, "whole number"),
        ({"min_leaf": 99}, "min_leaf is 99"),
        ({"X": pd.DataFrame({"x": [1.0, np.inf]})}, "'x' holds 1 infinite value"),
        ({"X": pd.DataFrame({"x": pd.to_datetime(["2020-01-01", "2021-01-01"])})}, "type Timestamp"),
        ({"X": pd.DataFrame({"x": [1.0, 2.0, 3.0]})}, "Lengths differ"),
        ({"recommended": ["cbt", "other"]}, "arms without a column"),
    ],
)
def test_wrong_input_is_refused(change, message):
    options = {
        "scores": pd.DataFrame({"cbt": [1.0, 0.0], "ssri": [0.0, 1.0]}),
        "X": pd.DataFrame({"x": [1.0, 2.0]}),
        "min_leaf": 1,
    }
    with pytest.raises(InputError, match=message):
        policy_tree(**(options | change))


def test_predict_names_missing_columns():
    scores = pd.DataFrame({"cbt": [1.0, 0.0], "ssri": [0.0, 1.0]})
    tree = policy_tree(scores, pd.DataFrame({"x": [1.0, 2.0]}), min_leaf=1)
    with pytest.raises(InputError, match="lacks 1 column"):
        tree.predict(pd.DataFrame({"y": [1.0]}))
    with pytest.raises(InputError, match="must hold numbers"):
        tree.predict(pd.DataFrame({"x": ["1"]}))
