"""Attributions of trees equal the definition, compiled or not, for one patient or many."""

import itertools
import math

import numpy as np
import pytest

from treatsel.additive import AdditiveModel, Column, Encoding, Explainer, Trees, score_trees
from treatsel.additive._shapley import TreeGames
from treatsel.errors import AdditivityError, UnsupportedModelError

SOURCES = np.array([0, 1, 1, 2, 3])  # five features of four source columns


def tree_of(nodes):
    """One tree from rows (feature, threshold, left, right, missing_left, value); a leaf: (value,)."""
    rows = [node if len(node) > 1 else (-1, 0.0, i, i, False, node[0]) for i, node in enumerate(nodes)]
    kinds = (np.int32, np.float64, np.int32, np.int32, bool, np.float64)
    arrays = [np.array(part, dtype=kind) for part, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    return Trees(*arrays, roots=np.zeros(1, dtype=np.int32), member=np.zeros(1, dtype=np.int32))


def random_tree(random, depth):
    nodes = []

    def grow(left):
        i = len(nodes)
        nodes.append((float(random.normal()),))
        if left and (left == depth or random.random() < 0.8):
            feature, threshold = int(random.integers(5)), float(random.integers(-2, 3)) / 2
            below, above = grow(left - 1), grow(left - 1)
            nodes[i] = (feature, threshold, below, above, bool(random.integers(2)), 0.0)
        return i

    grow(depth)
    return tree_of(nodes)


@pytest.fixture(scope="module")
def trees():
    random = np.random.default_rng(1)
    members = [Trees.join([random_tree(random, depth) for depth in (1, 3, 5)]) for _ in range(2)]
    for ensemble in members:
        ensemble.member[:] = 0
    return Trees.join([*members, tree_of([(0.7,)])])


def rows(seed, n):
    random = np.random.default_rng(seed)
    matrix = random.integers(-3, 4, size=(n, 5)) / 2
    matrix[random.random(matrix.shape) < 0.15] = np.nan
    return matrix


def brute_force(score, x, reference):
    """Shapley values by the definition: all coalitions of source columns, mean over the background."""
    n, found = int(SOURCES.max()) + 1, np.zeros(int(SOURCES.max()) + 1)

    def value(coalition):
        mixed = reference.copy()
        taken = np.isin(SOURCES, coalition)
        mixed[:, taken] = x[taken]
        return score(mixed).mean()

    for player in range(n):
        others = [other for other in range(n) if other != player]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for coalition in itertools.combinations(others, size):
                found[player] += weight * (value([*coalition, player]) - value(coalition))
    return found


@pytest.mark.parametrize("compiled", [False, True])
def test_values_are_those_of_the_definition(trees, compiled):
    weights, matrix, reference = np.array([1.0, -0.4, 2.0]), rows(2, 6), rows(3, 30)
    games = TreeGames.of(trees, reference, SOURCES)
    found = games.values(matrix, weights, compiled=compiled)
    for x, values in zip(matrix, found, strict=True):
        expected = brute_force(lambda mixed: score_trees(trees, mixed) @ weights, x, reference)
        np.testing.assert_allclose(values, expected, atol=1e-13)
    assert games.base @ weights == pytest.approx((score_trees(trees, reference) @ weights).mean())


def test_many_patients_get_the_values_of_one(trees, monkeypatch):
    monkeypatch.setattr("treatsel.additive._shapley._CELLS", 300)  # several blocks
    weights, matrix = np.array([0.3, 1.0, 0.0]), rows(4, 70)
    games = TreeGames.of(trees, rows(5, 40), SOURCES)
    one_by_one = np.vstack([games.values(x[None], weights) for x in matrix])
    np.testing.assert_allclose(games.values(matrix, weights), one_by_one, atol=1e-14)
    assert np.abs(one_by_one).max() > 0.1


def test_ensembles_of_weight_zero_and_trees_without_splits_add_nothing(trees):
    games = TreeGames.of(trees, rows(5, 40), SOURCES)
    for compiled in (False, True):
        assert not games.values(rows(6, 3), np.zeros(3), compiled=compiled).any()
        stump = TreeGames.of(tree_of([(0.7,)]), rows(5, 40), SOURCES)
        np.testing.assert_array_equal(
            stump.values(rows(6, 3), np.ones(1), compiled=compiled), np.zeros((3, 4))
        )
    assert stump.base == 0.7


def test_a_path_of_too_many_columns_is_refused():
    n = 63
    chain = [(i // 2, 0.0, i + 1, i + 2, True, 0.0) if i % 2 == 0 else (1.0,) for i in range(2 * n)]
    trees = tree_of([*chain, (2.0,)])
    assert trees.problem(n) is None
    with pytest.raises(UnsupportedModelError, match="63 covariates on the path to one leaf"):
        TreeGames.of(trees, np.zeros((3, n)), np.arange(n))
    games = TreeGames.of(trees, np.zeros((3, n)), np.arange(n) // 2)
    expected = score_trees(trees, np.ones((1, n)))[0, 0] - games.base[0]
    assert games.values(np.ones((1, n)), np.ones(1)).sum() == pytest.approx(expected)


def model_of(trees):
    columns = tuple(Column(name=name) for name in "abcde")
    return AdditiveModel(
        encoding=Encoding(columns, native_missing=False),
        arms_=np.array(["CBT", "SSRI"]),
        intercept=np.array([0.2, -0.1]),
        coefficients=np.arange(10.0).reshape(2, 5) / 10,
        trees=trees,
        mixing=np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]),
    )


def test_an_explainer_is_kept_for_its_background_and_stays_out_of_copies(trees):
    model, reference = model_of(trees), np.nan_to_num(rows(7, 20))
    made = Explainer.of(model, reference)
    assert Explainer.of(model, reference.copy()) is made
    assert Explainer.of(model, reference + 1) is not made
    assert "_explainer" in model.__dict__
    assert "_explainer" not in model.__getstate__()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("scale", ["logit", "probability"])
def test_attributions_add_up_in_every_unit(trees, scale, compiled):
    model, matrix = model_of(trees), np.nan_to_num(rows(8, 5))
    explainer = Explainer.of(model, np.nan_to_num(rows(7, 20)))
    logits = model.logit(matrix)
    expected = logits if scale == "logit" else 1 / (1 + np.exp(-logits))
    for arms, wanted in (([0], expected[:, 0]), ([1, 0], expected[:, 1] - expected[:, 0])):
        values, base, prediction = explainer.explain(matrix, arms, scale, compiled=compiled)
        np.testing.assert_allclose(prediction, wanted, atol=1e-14)
        np.testing.assert_allclose(base + values.sum(axis=1), wanted, atol=1e-12)


def test_what_does_not_add_up_is_never_returned(trees, monkeypatch):
    explainer = Explainer.of(model_of(trees), np.nan_to_num(rows(7, 20)))
    monkeypatch.setattr(
        TreeGames, "values", lambda games, matrix, weights, **_: np.full((len(matrix), 4), 0.1)
    )
    with pytest.raises(AdditivityError, match="2 patients do not add up"):
        explainer.explain(np.zeros((2, 5)), [0], "logit")
