"""Preferences: statements about weights, their geometry, and what is refused."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from treatsel.errors import InputError
from treatsel.preference import Criterion, Preferences, WeightSet
from treatsel.preference._hit_and_run import hit_and_run
from treatsel.preference._polytope import all_weights, cut, triangulate
from treatsel.preference._statements import smallest_conflict

NAMES = ["remission", "stay", "wait", "sessions"]
FREE = Preferences.between({}, criteria=NAMES)
PARTIAL = {
    "free": FREE,
    "ranked": Preferences.ranked(NAMES),
    "bounds": Preferences.between({"remission": (0.3, 0.6), "wait": (0.05, 0.4)}, criteria=NAMES),
    "ratio": Preferences.between({}, at_least=[("remission", "stay", 1.5)], criteria=NAMES),
    "tied": Preferences.ranked(["remission", ["stay", "wait"], "sessions"]),
}


def test_weights_are_divided_by_their_sum():
    assert Preferences({"remission": 3, "stay": 1}).mean_weights == {"remission": 0.75, "stay": 0.25}
    huge = Preferences({"remission": 1.5e308, "stay": 1.5e308})
    assert huge.mean_weights == {"remission": 0.5, "stay": 0.5}
    assert huge.are_known


def test_equal_weights_have_no_hidden_criteria():
    assert Preferences.equal(NAMES).mean_weights == dict.fromkeys(NAMES, 0.25)
    criteria = [Criterion("wait", worst=20, best=2), Criterion.of_event("stay", good=True)]
    assert Preferences.equal(criteria).criteria == ("wait", "stay")


@pytest.mark.parametrize("k", range(1, 11))
def test_the_mean_of_an_ordering_is_the_rank_order_centroid(k):
    names = [f"c{j}" for j in range(k)]
    centroid = [float(sum(Fraction(1, i) for i in range(j, k + 1)) / k) for j in range(1, k + 1)]
    found = Preferences.ranked(names)
    np.testing.assert_allclose(list(found.mean_weights.values()), centroid, atol=1e-14)
    corners = [[1 / (j + 1)] * (j + 1) + [0] * (k - j - 1) for j in range(k)]
    np.testing.assert_allclose(sorted(found.weight_set.vertices.tolist()), sorted(corners), atol=1e-14)


def test_tied_criteria_have_the_same_weight_in_any_order():
    found = Preferences.ranked(["remission", ["stay", "wait"], "sessions"])
    same = Preferences.ranked(["remission", {"wait", "stay"}, ["sessions"]])
    assert found.mean_weights == pytest.approx(same.mean_weights)
    draws = found.sample(200)
    np.testing.assert_allclose(draws["stay"], draws["wait"])
    assert (draws["remission"] >= draws["stay"] - 1e-12).all()
    assert (draws["wait"] >= draws["sessions"] - 1e-12).all()
    assert found.weight_set.share == 0  # an equality leaves no volume
    # 1,0,0,0; 1/3,1/3,1/3,0; 1/4 each: a triangle
    assert found.mean_weights == pytest.approx(
        {"remission": 19 / 36, "stay": 7 / 36, "wait": 7 / 36, "sessions": 1 / 12}
    )


def test_bounds_that_meet_are_known_weights():
    found = Preferences.between({"remission": (0.5, 1), "stay": (0.5, 1), "wait": (0, 1)})
    assert found.are_known
    assert found.mean_weights == pytest.approx({"remission": 0.5, "stay": 0.5, "wait": 0})
    line = Preferences.between({"remission": (0.4, 0.4), "stay": (0, 1), "wait": (0, 1)})
    assert line.mean_weights == pytest.approx({"remission": 0.4, "stay": 0.3, "wait": 0.3})
    assert line.weight_set.share == 0


@pytest.mark.parametrize("name", PARTIAL)
def test_draws_are_uniform_on_the_set(name):
    preferences = PARTIAL[name]
    draws = preferences.sample(40_000, random_state=3)
    low, high = preferences.ranges().T
    assert ((draws >= low - 1e-12) & (draws <= high + 1e-12)).to_numpy().all()
    np.testing.assert_allclose(draws.sum(axis=1), 1)
    error = draws.std() / np.sqrt(len(draws))
    assert (np.abs(draws.mean() - preferences.weight_set.centroid) < 5 * error + 1e-12).all()
    again = preferences.sample(40_000, random_state=3)
    assert again.equals(draws)


@pytest.mark.parametrize("name", PARTIAL)
def test_the_order_of_criteria_and_statements_does_not_matter(name):
    one = PARTIAL[name]
    for seed in range(3):
        random = np.random.default_rng(seed)
        criteria = [one.criteria[j] for j in random.permutation(len(one.criteria))]
        statements = [one.statements[j] for j in random.permutation(len(one.statements))]
        other = WeightSet(criteria, statements)
        back = [criteria.index(each) for each in one.criteria]
        np.testing.assert_array_equal(other.centroid[back], one.weight_set.centroid)
        np.testing.assert_array_equal(other.sample(100, 1)[:, back], one.weight_set.sample(100, 1))


@st.composite
def statements_about_weights(draw):
    k = draw(st.integers(2, 6))
    names = [f"c{j}" for j in range(k)]
    point = np.array(draw(st.lists(st.integers(1, 9), min_size=k, max_size=k)), dtype=float)
    point /= point.sum()  # is allowed, so that the statements have no conflict
    bounds = {}
    for j in draw(st.sets(st.integers(0, k - 1))):
        low, high = draw(st.sampled_from([(0.5, 2), (0.9, 1.1), (0, 1.5), (0.8, 9)]))
        bounds[names[j]] = (low * point[j], min(1.0, high * point[j]))
    pairs = []
    for i, j in draw(st.sets(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), max_size=3)):
        if i != j:
            pairs.append((names[i], names[j], 0.9 * point[i] / point[j]))
    return names, point, bounds, pairs


@settings(max_examples=60, deadline=None)
@given(statements_about_weights())
def test_volume_and_vertices_equal_those_of_qhull(problem):
    names, _, bounds, pairs = problem
    found = Preferences.between(bounds, at_least=pairs, criteria=names).weight_set
    vertices = found.vertices
    if len(names) > 2:
        hull = ConvexHull(vertices[:, :-1])
        assert len(hull.vertices) == len(vertices)
        whole = ConvexHull(np.eye(len(names))[:, :-1])
        assert found.share == pytest.approx(hull.volume / whole.volume, rel=1e-8)
    low, high = found.smallest(np.eye(len(names))), -found.smallest(-np.eye(len(names)))
    inverse = [names.index(name) for name in sorted(names)]
    assert inverse == list(range(len(names)))
    for j, (lowest, highest) in enumerate(zip(low, high, strict=True)):
        cost = np.eye(len(names))[j]
        assert found._programme(cost) == pytest.approx(lowest, abs=1e-9)
        assert -found._programme(-cost) == pytest.approx(highest, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_the_two_sides_of_a_cut_add_up(k, seed):
    random = np.random.default_rng(seed)
    whole = all_weights(k)
    for _ in range(4):
        normal = random.normal(size=k)
        below, above, on = cut(whole, normal, float(normal @ random.dirichlet(np.ones(k))))
        volumes = [triangulate(part).volumes.sum() for part in (whole, below, above)]
        if below is not whole and above is not whole:
            assert volumes[0] == pytest.approx(volumes[1] + volumes[2], abs=1e-12)
            assert on.dimension == whole.dimension - 1
        whole = below if volumes[1] > volumes[2] else above


def test_many_criteria_are_sampled_by_hit_and_run():
    names = [f"c{j:02}" for j in range(14)]
    found = Preferences.between(dict.fromkeys(names, (0.02, 0.12)))
    assert not found.weight_set.exact
    draws = found.sample(4_000)
    assert ((draws >= 0.02 - 1e-9) & (draws <= 0.12 + 1e-9)).to_numpy().all()
    np.testing.assert_allclose(draws.mean(), 1 / 14, atol=0.003)  # by symmetry
    np.testing.assert_allclose(found.ranges(), [[0.02, 0.12]] * 14, atol=1e-9)
    with pytest.raises(InputError, match=r"14 criteria under 28 statements.*too complex.*Use smaa"):
        _ = found.mean_weights
    tied = found & Preferences.ranked([["c00", "c01"], *names[2:]])
    assert tied.weight_set.criteria == found.criteria


def test_hit_and_run_has_the_moments_of_the_set():
    ranked = PARTIAL["bounds"].weight_set
    draws = hit_and_run(ranked._rows, 4, 20_000, np.random.default_rng(0))
    exact = ranked.sample(200_000)[:, np.argsort(ranked._back)]
    np.testing.assert_allclose(draws.mean(axis=0), exact.mean(axis=0), atol=0.006)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(exact.T), atol=0.001)
    closed = Preferences.between({"a": (0.5, 1), "b": (0.5, 1), "c": (0, 1)}).weight_set
    with pytest.raises(InputError, match="no room"):
        hit_and_run(closed._rows, 3, 10, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"remission": -1, "stay": 2}, "finite numbers of 0 or more; that of 'remission' is not"),
        ({"remission": np.nan}, "finite numbers"),
        ({"remission": np.inf, "stay": 1}, "finite numbers"),
        ({"remission": 0, "stay": 0}, "must not all be 0"),
        ({}, "at least one"),
        ({"remission": "much"}, "must be a number; it is a str"),
        ({"remission": True}, "must be a number; it is a bool"),
        ({1: 2}, "named by texts"),
        ([("remission", 1)], "must be a mapping of criteria to numbers, not a list"),
    ],
)
@pytest.mark.parametrize("make", [Preferences, Preferences.swing])
def test_bad_weights_are_refused(make, numbers, message):
    with pytest.raises(InputError, match=message):
        make(numbers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Preferences.between({"a": (0.6, 0.3), "b": (0, 1)}), "lower bound comes first"),
        (lambda: Preferences.between({"a": (-0.1, 1), "b": (0, 1)}), "Weights are 0 to 1"),
        (lambda: Preferences.between({"a": (0.1, np.nan), "b": (0, 1)}), "Weights are 0 to 1"),
        (lambda: Preferences.between({"a": 0.3, "b": (0, 1)}), "must be a pair"),
        (lambda: Preferences.between({"a": ("x", 1), "b": (0, 1)}), "must be a number"),
        (lambda: Preferences.between({"a": (0, 1)}, at_least=["ab"]), "must hold pairs"),
        (lambda: Preferences.between({"a": (0, 1)}, at_least=[("a", "a")]), "compares 'a' with itself"),
        (lambda: Preferences.between({"a": (0, 1)}, at_least=[("a", "b", 0)]), "finite and above 0"),
        (lambda: Preferences.between({"a": (0, 0.5)}, criteria=["b"]), "not among"),
        (lambda: Preferences.between([("a", 1)]), "must be a mapping"),
        (lambda: Preferences.between({}), "at least one is needed"),
        (lambda: Preferences.ranked([]), "at least one is needed"),
        (lambda: Preferences.ranked("remission"), "must be a list"),
        (lambda: Preferences.ranked(["a", "b", "a"]), r"\['a'\] are named more than once"),
        (lambda: Preferences.ranked(["a", 3]), "named by texts"),
        (lambda: Preferences.equal("ab"), "list of criteria"),
        (lambda: Preferences.equal([]), "at least one"),
    ],
)
def test_bad_statements_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_conflict_names_a_smallest_set_of_statements():
    with pytest.raises(InputError) as caught:
        Preferences.between(
            {"remission": (0.1, 0.9), "stay": (0, 0.2), "wait": (0.5, 0.8), "sessions": (0.0, 1.0)},
            at_least=[("stay", "wait"), ("remission", "sessions", 2)],
        )
    text = str(caught.value)
    named = "'stay' weighs at most 0.2; 'wait' weighs at least 0.5; 'stay' weighs at least as much as 'wait'."
    assert named in text
    assert "remission" not in text
    known, bound = (
        Preferences({"wait": 1, "stay": 1}),
        Preferences.between({"stay": (0.7, 1), "wait": (0, 1)}),
    )
    with pytest.raises(InputError, match=r"other: 'stay' weighs 0\.5; 'stay' weighs at least 0\.7\. No"):
        _ = known & bound


def test_a_conflict_of_two_is_found_behind_a_longer_one():
    chain = Preferences.ranked(["a", "b", "c", "d"]).statements
    wide = Preferences.between({"d": (0.2, 1), "a": (0, 0.3)}, criteria="abcd").statements
    pair = Preferences.between({"b": (0.6, 1)}, criteria="abcd").statements
    other = Preferences.between({"c": (0.6, 1)}, criteria="abcd").statements
    found = smallest_conflict("abcd", [*chain, *wide, *pair, *other])
    assert len(found) == 2
    single = Preferences.between({"d": (0.9, 1)}, criteria="abcd").statements
    assert len(smallest_conflict("abcd", [*chain, *single])) <= 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_conflicts_are_irreducible(seed):
    random = np.random.default_rng(seed)
    names = ["a", "b", "c", "d"]
    statements = []
    for name in names:
        low = float(random.uniform(0, 0.5))
        statements += Preferences.between({name: (low, 1)}, criteria=names).statements
    pairs = [(a, b, 1.5) for a, b in itertools.permutations(names, 2) if random.random() < 0.3]
    for pair in pairs:
        statements += Preferences.between({}, at_least=[pair], criteria=names).statements
    if feasible(names, statements):
        assert Preferences._stated(tuple(names), statements, "bounds").weight_set.exact
        return
    found = smallest_conflict(names, statements)
    assert not feasible(names, found)
    for one in found:
        assert feasible(names, [other for other in found if other is not one])


def feasible(names, statements):
    rows = [[dict(one.terms).get(name, 0.0) for name in names] for one in statements]
    bounds = [one.bound for one in statements]
    upper = {"A_ub": rows, "b_ub": bounds} if rows else {}
    return linprog([0.0] * len(names), A_eq=[[1.0] * len(names)], b_eq=[1], **upper).status == 0


def test_criteria_need_a_range_and_a_direction():
    with pytest.raises(TypeError, match="worst"):
        Criterion("wait")
    with pytest.raises(InputError, match="'wait' has no worst value"):
        Criterion("wait", worst=None, best=2)
    with pytest.raises(InputError, match="equal, so that it has no direction"):
        Criterion("wait", worst=2, best=2)
    with pytest.raises(InputError, match="best of criterion 'wait' must be finite"):
        Criterion("wait", worst=2, best=np.inf)
    with pytest.raises(InputError, match="direction of 'dropout' is not specified"):
        Criterion.of_event("dropout", good=None)
    with pytest.raises(InputError, match="name of a criterion"):
        Criterion("", worst=0, best=1)
    assert Criterion.of_event("dropout", good=False).value(0.2) == pytest.approx(0.8)
    assert Criterion("x", worst=0, best=4, label="Nausea").describe() == "Nausea: from 0 (worst) to 4 (best)"


def test_results_as_tables_and_dicts():
    found = PARTIAL["bounds"]
    table = found.to_frame()
    assert list(table.columns) == ["weight", "lowest", "highest"]
    assert table["weight"].sum() == pytest.approx(1)
    assert table.loc["remission", ["lowest", "highest"]].tolist() == pytest.approx([0.3, 0.6])
    said = found.to_dict()
    assert said["source"] == "bounds"
    assert said["statements"][0] == "'remission' weighs at least 0.3"
    both = found & Preferences.ranked(["remission", "stay"])
    assert both.source == "bounds and ranking"
    assert (
        repr(both)
        == "Preferences(4 criteria, by bounds and ranking; criteria: remission, stay, wait, sessions)"
    )
    with pytest.raises(TypeError):
        _ = found & {"remission": 1}
