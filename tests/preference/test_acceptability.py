"""Laws of acceptabilities, dominance and flips."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from treatsel.errors import InputError, TreatselWarning
from treatsel.preference import (
    Criterion,
    Preferences,
    acceptability,
    dominance,
    flips,
    partial_values,
    ranking_table,
    smaa,
    smaa_of_draws,
)

NAMES = ["remission", "stay", "wait", "sessions"]
ARMS = ["cbt", "ssri", "gsh", "tau"]
FREE = Preferences.between({}, criteria=NAMES)
RANKED = Preferences.ranked(NAMES)
KNOWN = Preferences({"remission": 0.5, "stay": 0.3, "wait": 0.15, "sessions": 0.05})
BOUNDS = Preferences.between({"remission": (0.2, 0.6), "stay": (0.1, 0.5)}, criteria=NAMES)
ALL = {"free": FREE, "ranked": RANKED, "known": KNOWN, "bounds": BOUNDS}


def unit(names):
    return [Criterion(name, worst=0, best=1) for name in names]


def values_of(seed, *, arms=ARMS, names=NAMES, n=1):
    random = np.random.default_rng(seed)
    means = random.uniform(0.3, 0.7, (len(arms), len(names)))
    draws = means + (random.normal(0, 0.08, (n, *means.shape)) if n > 1 else 0)
    draws = draws.reshape(n, *means.shape)
    return partial_values({name: draws[:, :, j] for j, name in enumerate(names)}, unit(names), arms=arms)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 500, 30_000])
def test_acceptabilities_sum_to_one_by_arm_and_by_rank(name, n):
    found = smaa(values_of(1, n=n), ALL[name])
    np.testing.assert_allclose(found.rank_acceptability.sum(axis=0), 1)
    np.testing.assert_allclose(found.rank_acceptability.sum(axis=1), 1)
    exact = acceptability(values_of(1), ALL[name])
    np.testing.assert_allclose(exact.rank_acceptability.sum(axis=0), 1)
    np.testing.assert_allclose(exact.rank_acceptability.sum(axis=1), 1)
    wins = found.pairwise + found.pairwise.T
    np.testing.assert_allclose(wins[~np.eye(4, dtype=bool)], 1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_result_is_the_limit_of_the_simulation(name, seed):
    values = values_of(seed)
    exact, drawn = acceptability(values, ALL[name]), smaa(values, ALL[name], n_draws=100_000)
    np.testing.assert_allclose(drawn.rank_acceptability, exact.rank_acceptability, atol=0.008)
    np.testing.assert_allclose(drawn.pairwise, exact.pairwise, atol=0.008)
    np.testing.assert_allclose(drawn.expected, exact.expected, atol=0.002)
    np.testing.assert_allclose(drawn.mean_weights, exact.mean_weights, atol=0.004)
    often = exact.rank_acceptability[:, 0] > 0.05
    np.testing.assert_allclose(drawn.central_weights[often], exact.central_weights[often], atol=0.02)
    assert exact.method == "exact"
    assert (exact.error == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(ALL)))
def test_a_dominated_arm_is_never_first(seed, name):
    values = values_of(seed)
    worse = values.means[0] - np.random.default_rng(seed).uniform(0.001, 0.1, len(NAMES))
    block = np.concatenate([values.block, worse[:, None, None]], axis=1)
    values = replace(values, arms=(*ARMS, "worse"), block=block)
    for found in (smaa(values, ALL[name]), acceptability(values, ALL[name])):
        assert found.rank_acceptability[-1, 0] == 0
        assert np.isnan(found.central_weights[-1]).all()
        assert found.pairwise[0, -1] == pytest.approx(1)
    leads = dominance(values, ALL[name])
    assert "worse" in leads.dominated
    assert "worse" not in leads.potentially_best
    assert leads.dominates.loc["cbt", "worse"]
    found = flips(values, Preferences.equal(NAMES))
    assert "worse" not in found.top
    assert found.top != ("cbt",) or np.isnan(found.share[-1])  # no weights make it equal to that arm


@pytest.mark.parametrize("name", NAMES)
def test_one_criterion_alone_gives_its_ranking(name):
    values = values_of(2)
    alone = Preferences({each: float(each == name) for each in NAMES})
    order = np.argsort(-values.means[:, NAMES.index(name)])
    for found in (smaa(values, alone), acceptability(values, alone)):
        np.testing.assert_array_equal(found.rank_acceptability.argmax(axis=1)[order], range(4))
        assert (found.rank_acceptability.max(axis=1) == 1).all()
        np.testing.assert_allclose(found.expected, values.means[:, NAMES.index(name)])
    table = ranking_table(values.select([name]), {"alone": Preferences({name: 7})})
    assert table.sort_values("rank")["arm"].tolist() == [ARMS[i] for i in order]


@pytest.mark.parametrize("name", ALL)
def test_units_and_scales_do_not_matter(name):
    random = np.random.default_rng(4)
    measured = {each: random.uniform(0.2, 0.6, (300, 4)) for each in NAMES}
    ranges = zip(NAMES, (0, 0.7, 1, 0.1), (1, 0, 0, 0.9), strict=True)
    criteria = [Criterion(each, worst=worst, best=best) for each, worst, best in ranges]
    percent = [Criterion(one.name, worst=100 * one.worst + 3, best=100 * one.best + 3) for one in criteria]
    other = {each: 100 * table + 3 for each, table in measured.items()}
    one, same = partial_values(measured, criteria, arms=ARMS), partial_values(other, percent, arms=ARMS)
    a, b = smaa(one, ALL[name]), smaa(same, ALL[name])
    np.testing.assert_array_equal(a.rank_acceptability, b.rank_acceptability)
    np.testing.assert_allclose(a.expected, b.expected)
    np.testing.assert_allclose(a.confidence, b.confidence)
    weights = {"remission": 50, "stay": 30, "wait": 15, "sessions": 5}
    np.testing.assert_allclose(flips(one, Preferences(weights)).share, flips(same, KNOWN).share)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_arms_and_of_criteria_does_not_matter(name, seed):
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(4), random.permutation(4)
    one = values_of(seed, n=700)
    arms, names = [ARMS[i] for i in rows], [NAMES[j] for j in columns]
    other = replace(
        one.select(names), arms=tuple(arms), block=np.ascontiguousarray(one.block[columns][:, rows])
    )
    preferences = ALL[name]
    for function in (smaa, acceptability):
        a, b = (function(values, preferences).to_frame() for values in (one, other))
        pd.testing.assert_frame_equal(a, b.loc[ARMS, a.columns], check_exact=False, rtol=1e-9, atol=1e-12)
    a, b = (dominance(values, preferences).to_frame().set_index(["arm", "other"]) for values in (one, other))
    pd.testing.assert_frame_equal(a, b.loc[a.index], check_exact=False, rtol=1e-9, atol=1e-12)
    a, b = flips(one, preferences), flips(other, preferences)
    pd.testing.assert_frame_equal(a.by_arm(), b.by_arm().loc[ARMS, a.by_arm().columns], rtol=1e-9, atol=1e-12)
    pd.testing.assert_frame_equal(a.to_frame(), b.to_frame().loc[NAMES], rtol=1e-9, atol=1e-12)


def test_equal_arms_share_their_ranks():
    values = values_of(3, n=400)
    block = np.concatenate([values.block, values.block[:, :1]], axis=1)
    values = replace(values, arms=(*ARMS, "twin"), block=block)
    for found in (smaa(values, RANKED), smaa(values, KNOWN), acceptability(values, RANKED)):
        np.testing.assert_allclose(found.rank_acceptability[0], found.rank_acceptability[-1], atol=1e-12)
        np.testing.assert_allclose(found.rank_acceptability.sum(axis=0), 1)
        np.testing.assert_allclose(found.rank_acceptability.sum(axis=1), 1)
        np.testing.assert_allclose(found.confidence[0], found.confidence[-1])
        assert found.pairwise[0, -1] == 0
    leads = dominance(values, RANKED)
    assert ("cbt" in leads.potentially_best) == ("twin" in leads.potentially_best)
    assert not leads.dominates.loc["cbt", "twin"]


@pytest.mark.parametrize("n_model", [50, 400])
def test_the_monte_carlo_error_is_that_of_repetitions(n_model):
    ranks, errors = [], []
    for seed in range(150):
        found = smaa(values_of(5, n=1), FREE, n_draws=n_model, random_state=seed)
        ranks.append(found.rank_acceptability)
        errors.append(found.error)
    spread, stated = np.std(ranks, axis=0), np.mean(errors, axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.25, atol=0.004)


def test_the_monte_carlo_error_counts_repeated_draws_of_the_model():
    few = smaa(values_of(6, n=100), KNOWN)
    assert (few.n_draws, few.n_model_draws) == (100, 100)
    repeated = smaa(values_of(6, n=100), RANKED, n_draws=10_000)
    assert (repeated.n_draws, repeated.n_model_draws) == (10_000, 100)
    shares = repeated.rank_acceptability
    assert (repeated.error >= np.sqrt(shares * (1 - shares) / 10_000) - 1e-3).all()
    ranks, stated = [], []
    random = np.random.default_rng(0)
    means = values_of(6).means
    for seed in range(150):
        draws = means + random.normal(0, 0.08, (100, *means.shape))
        values = partial_values({x: draws[:, :, j] for j, x in enumerate(NAMES)}, unit(NAMES), arms=ARMS)
        found = smaa(values, RANKED, n_draws=1_000, random_state=seed)
        ranks.append(found.rank_acceptability)
        stated.append(found.error)
    np.testing.assert_allclose(np.mean(stated, axis=0), np.std(ranks, axis=0), rtol=0.3, atol=0.004)


def test_seeds_give_the_same_result():
    values = values_of(7, n=300)
    one, same, other = (smaa(values, RANKED, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.rank_acceptability, same.rank_acceptability)
    assert (one.rank_acceptability != other.rank_acceptability).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 5))
def test_the_smallest_move_equals_the_linear_programme(seed, k, m):
    random = np.random.default_rng(seed)
    names, arms = [f"c{j}" for j in range(k)], [f"a{i}" for i in range(m)]
    means = random.uniform(0, 1, (m, k)).round(2)
    weights = random.dirichlet(np.ones(k))
    values = partial_values({name: means[:, j] for j, name in enumerate(names)}, unit(names), arms=arms)
    found = flips(values, Preferences(dict(zip(names, weights, strict=True))))
    if len(found.top) > 1:
        assert found.smallest == 0
        return
    top = arms.index(found.top[0])
    for i in range(m):
        if i == top:
            continue
        share = moved_by_programme(weights, means[top] - means[i])
        assert found.share[i] == pytest.approx(share, abs=1e-8, nan_ok=True)
        if share == share:
            at = found.weights_at[i]
            assert at.min() >= -1e-12
            assert at.sum() == pytest.approx(1)
            assert (means[top] - means[i]) @ at == pytest.approx(0, abs=1e-9)
            assert np.abs(at - weights).sum() / 2 == pytest.approx(share, abs=1e-8)


def moved_by_programme(weights, gap):
    k = len(weights)
    eye = np.eye(k)
    rows = np.r_[np.c_[eye, -eye], np.c_[-eye, -eye], [np.r_[gap, np.zeros(k)]]]
    found = linprog(
        np.r_[np.zeros(k), np.ones(k)],
        A_ub=rows,
        b_ub=np.r_[weights, -weights, 0],
        A_eq=[np.r_[np.ones(k), np.zeros(k)]],
        b_eq=[1],
    )
    return found.fun / 2 if found.status == 0 else np.nan


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_at_a_flip_of_one_weight_the_top_arm_changes_and_not_before(seed):
    values = values_of(seed)
    weights = np.random.default_rng(seed).dirichlet(np.ones(4))
    found = flips(values, Preferences(dict(zip(NAMES, weights, strict=True))))
    top, crossings = ARMS.index(found.top[0]), found.at.tolist()
    for j in range(4):
        rest = np.where(np.arange(4) == j, 0, weights) / (1 - weights[j])

        def best(weight, j=j, rest=rest):
            return int((values.means @ ((1 - weight) * rest + weight * np.eye(4)[j])).argmax())

        at = crossings[j]
        if at != at:
            assert {best(weight) for weight in np.linspace(0, 1, 101)} == {top}
            continue
        sign = np.sign(at - weights[j])
        inside = np.linspace(weights[j], at - 1e-7 * sign, 50)
        assert {best(weight) for weight in inside} == {top}
        if 1e-6 < at < 1 - 1e-6:
            assert ARMS[best(at + 1e-6 * sign)] in found.arms_at[j]


def test_tied_arms_at_the_top_flip_at_once():
    values = partial_values({"a": {"x": 1, "y": 0, "z": 0.2}, "b": {"x": 0, "y": 1, "z": 0.1}}, unit("ab"))
    found = flips(values, Preferences.equal(["a", "b"]))
    assert found.top == ("x", "y")
    assert found.smallest == 0
    assert found.at.tolist() == [0.5, 0.5]
    assert found.arms_at == (("x", "y"), ("x", "y"))
    assert np.isfinite(found.share).sum() == 2 + np.isfinite(found.share[2])


def test_all_weight_on_one_criterion_has_no_proportions():
    values = partial_values({"a": {"x": 1, "y": 0}, "b": {"x": 0, "y": 1}}, unit("ab"))
    found = flips(values, Preferences({"a": 1, "b": 0}))
    assert found.to_dict()["at"] == {"a": None, "b": pytest.approx(0.5)}
    assert found.smallest == pytest.approx(0.5)


def test_dominance_is_the_same_by_vertices_and_by_programmes():
    names = [f"c{j:02}" for j in range(14)]
    wide = Preferences.between(dict.fromkeys(names, (0.02, 0.12)))
    assert not wide.weight_set.exact
    values = values_of(8, names=names)
    found = dominance(values, wide)
    drawn = wide.sample(2_000).to_numpy() @ (values.means[0] - values.means[1])
    assert found.worst_lead[0, 1] <= drawn.min() + 1e-9
    assert found.best_lead[0, 1] >= drawn.max() - 1e-9
    assert smaa(values, wide, n_draws=500).rank_acceptability.sum() == pytest.approx(4)
    with pytest.raises(InputError, match="too complex"):
        acceptability(values, wide)


def test_stochastic_dominance_by_hand():
    draws = {"a": np.array([[0.2, 0.1, 0.0], [0.6, 0.5, 0.3], [0.4, 0.3, 0.9]])}
    found = smaa(partial_values(draws, unit("a"), arms=["x", "y", "z"]), Preferences({"a": 1}))
    table = found.stochastic_dominance()
    assert table.loc["x", "y"] == 1  # 0.2, 0.4, 0.6 and 0.1, 0.3, 0.5
    assert table.loc["y", "x"] == 0
    assert table.loc["x", "z"] == 2 * int(0.6 + 0.4 + 0.2 >= 1.2)  # 0, 0.3, 0.9: the same mean, more spread
    assert (np.diag(table) == 0).all()
    with pytest.raises(InputError, match="no draws"):
        acceptability(values_of(1), FREE).stochastic_dominance()


def test_entropies_are_zero_without_uncertainty():
    found = smaa(values_of(1), KNOWN)
    assert found.entropy == found.first_choice_entropy == 0
    assert smaa(values_of(1), FREE).entropy > 0
    many = values_of(1, arms=[f"a{i}" for i in range(9)])
    assert 0 < smaa(many, FREE).entropy < np.log2(10_000)


def test_measurements_are_matched_by_name():
    remission = pd.DataFrame({"ssri": [0.3, 0.5], "cbt": [0.4, 0.6]})
    wait = pd.Series({"cbt": 11, "ssri": 2})
    criteria = [Criterion("wait", worst=20, best=2), Criterion("remission", worst=0.2, best=0.6)]
    values = partial_values({"remission": remission, "wait": wait}, criteria)
    assert values.arms == ("cbt", "ssri")
    assert values.n_draws == 2
    expected = pd.DataFrame({"wait": [0.5, 1], "remission": [0.75, 0.5]}, index=["cbt", "ssri"])
    pd.testing.assert_frame_equal(values.to_frame(), expected, check_names=False)
    assert values.select(["remission"]).names == ("remission",)
    json.dumps(values.to_dict())
    table = pd.DataFrame({"wait": [11, 2], "remission": [0.5, 0.4]}, index=["cbt", "ssri"])
    assert partial_values(table, criteria).to_frame()["remission"].tolist() == pytest.approx([0.75, 0.5])


GOOD = {"a": {"x": 0.5, "y": 0.4}, "b": {"x": 0.1, "y": 0.2}}


@pytest.mark.parametrize(
    ("measured", "criteria", "message"),
    [
        (GOOD, unit("a"), r"\['b'\] have no criterion"),
        (GOOD, unit("abc"), r"\['c'\] have no measurements"),
        (GOOD, [*unit("ab"), *unit("a")], "different names"),
        (GOOD, ["a", "b"], "list of Criterion"),
        (GOOD, [], "list of Criterion"),
        (GOOD | {"b": {"x": 0.1}}, unit("ab"), "has the arms"),
        (GOOD | {"b": {"x": 0.1, "y": np.nan}}, unit("ab"), "'b' holds 1 missing value"),
        (GOOD | {"b": {"x": "?", "y": 1}}, unit("ab"), "'b' must hold numbers only"),
        (GOOD | {"b": [1, 2, 3]}, unit("ab"), r"has the shape \(3,\)"),
        ({"a": [0.5, 0.4]}, unit("a"), "without labels of arms"),
        (
            {"a": pd.DataFrame({"x": [0.1, 0.2], "y": [0.1, 0.2]}), "b": np.full((3, 2), 0.5)},
            unit("ab"),
            r"\[2, 3\] draws",
        ),
    ],
)
def test_bad_measurements_are_refused(measured, criteria, message):
    with pytest.raises(InputError, match=message):
        partial_values(measured, criteria)


def test_means_outside_the_range_are_warned_of():
    criterion = Criterion("wait", worst=20, best=2, unit="weeks")
    with pytest.warns(TreatselWarning, match="mean of 1 arm lies outside.*from 20 weeks.*state a wider"):
        partial_values({"wait": {"x": 30, "y": 4}}, [criterion])


def test_weights_and_values_must_have_the_same_criteria():
    values = values_of(1)
    for function in (smaa, acceptability, dominance, flips):
        with pytest.raises(InputError, match="State a weight for each criterion"):
            function(values, Preferences({"remission": 1}))
    with pytest.raises(InputError, match="n_draws is 0"):
        smaa(values, FREE, n_draws=0)
    with pytest.raises(InputError, match="at least one"):
        ranking_table(values, {})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full((10, 4), 0.25), "must be a DataFrame"),
        (pd.DataFrame(np.full((7, 4), 0.25), columns=NAMES), "must be a multiple"),
        (pd.DataFrame(np.full((10, 4), 0.3), columns=NAMES), "have the sum 1"),
        (pd.DataFrame([[-0.5, 0.5, 0.5, 0.5]] * 10, columns=NAMES), "0 or more"),
    ],
)
def test_bad_draws_of_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        smaa_of_draws(values_of(1, n=10), weights)


def test_results_as_tables_dicts_and_plots():
    values = values_of(9, n=200)
    found = smaa(values, RANKED)
    table = found.to_frame()
    assert {"expected", "rank_1", "rank_4", "rank_1_error", "confidence", "central_stay"} <= set(table)
    for result in (found, acceptability(values, RANKED), dominance(values, RANKED), flips(values, KNOWN)):
        json.dumps(result.to_dict(), allow_nan=False)
    ax = found.plot()
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == table["rank_1"].idxmax()
    assert found.quantiles().loc["cbt", "0.5"] == pytest.approx(np.median(found.value_draws[0]))
    shown = repr(found)
    assert "largest standard error" in shown
    assert "10,000" in shown
