"""Bit vectors, the compiled kernel and traversal of the nodes give the same bits."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from treatsel._files import is_private
from treatsel.additive import Trees, _kernel, _scoring, logistic, logistic_quantiles, quantiles, score_trees
from treatsel.additive._numeric import softmax
from treatsel.additive._scoring import bit_vectors_of, score_compiled, walk

N_FEATURES = 5


def grown(random, n_leaves):
    """One tree of random shape: rows of feature, threshold, left, right, missing_left, value."""
    nodes = []

    def grow(n):
        i = len(nodes)
        nodes.append([-1, 0.0, i, i, False, random.normal()])
        if n > 1:
            below = int(random.integers(1, n))
            threshold = float(random.integers(-3, 4)) / 2  # a grid: ties between nodes, and with values
            left, right = grow(below), grow(n - below)
            nodes[i] = [
                int(random.integers(N_FEATURES)),
                threshold,
                left,
                right,
                bool(random.integers(2)),
                0.0,
            ]
        return i

    grow(n_leaves)
    return nodes


def forest_of(seed, n_trees, most_leaves, n_members=1):
    random = np.random.default_rng(seed)
    parts, roots = [], []
    for _ in range(n_trees):
        nodes = grown(random, int(random.integers(1, most_leaves + 1)))
        roots.append(sum(map(len, parts)))
        parts.append([[f, t, a + roots[-1], b + roots[-1], m, v] for f, t, a, b, m, v in nodes])
    columns = list(zip(*(node for part in parts for node in part), strict=True))
    kinds = (np.int32, np.float64, np.int32, np.int32, bool, np.float64)
    arrays = [np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)]
    member = np.sort(random.integers(0, n_members, n_trees))
    member = np.unique(member, return_inverse=True)[1].astype(np.int32)
    trees = Trees(*arrays, roots=np.array(roots, dtype=np.int32), member=member)
    assert trees.problem(N_FEATURES) is None
    return trees


def patients(seed, n=40):
    random = np.random.default_rng(seed)
    matrix = random.integers(-4, 5, size=(n, N_FEATURES)) / 2
    matrix[random.random(matrix.shape) < 0.15] = np.nan
    return matrix


@given(
    seed=st.integers(0, 10**6),
    n_trees=st.integers(1, 90),
    most_leaves=st.sampled_from([1, 2, 3, 8, 9, 16, 17, 32, 33, 64]),
    n_members=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_all_ways_of_scoring_give_the_same_bits(seed, n_trees, most_leaves, n_members):
    trees, matrix = forest_of(seed, n_trees, most_leaves, n_members), patients(seed + 1)
    walked = walk(trees, matrix)
    if bit_vectors_of(trees) is None:
        assert (trees.feature < 0).all()  # nothing to look up
        return
    np.testing.assert_array_equal(np.vstack([bit_vectors_of(trees).score_one(x) for x in matrix]), walked)
    np.testing.assert_array_equal(score_compiled(bit_vectors_of(trees), matrix), walked)


def test_a_last_block_of_trees_without_a_split_counts():
    stump = forest_of(9, 1, 1)
    for n in (1, 16, 63, 64, 65, 128):  # with up to 8 leaves, 64 trees share a block
        trees, matrix = Trees.join([forest_of(8, n, 8), *[stump] * 65]), patients(3)
        walked = walk(trees, matrix)
        np.testing.assert_array_equal(np.vstack([bit_vectors_of(trees).score_one(x) for x in matrix]), walked)
        np.testing.assert_array_equal(score_compiled(bit_vectors_of(trees), matrix), walked)
        assert (walked[:, -1] == stump.value[0]).all()


def test_tables_much_larger_than_their_trees_are_not_made():
    n = 2000  # a feature for each tree: every block would have a row for each of them
    parts = []
    for feature in range(n):
        nodes = ([feature, -1, -1], [0.0] * 3, [1, 1, 2], [2, 1, 2], [False] * 3, [0.0, 1.0, 2.0])
        kinds = (np.int32, np.float64, np.int32, np.int32, bool, np.float64)
        arrays = [np.array(part, dtype=kind) for part, kind in zip(nodes, kinds, strict=True)]
        one = np.zeros(1, dtype=np.int32)
        parts.append(Trees(*arrays, roots=one, member=one))
    trees = Trees.join(parts)
    assert bit_vectors_of(trees) is None
    assert score_trees(trees, np.ones((1, n))).sum() == 2.0 * n


def test_kernels_are_compiled_again_if_the_cache_is_not_writable(monkeypatch):
    import numba

    real, asked = numba.njit, []

    def njit(*, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    with monkeypatch.context() as patched:
        patched.setattr(numba, "njit", njit)
        compiled = _kernel.compiled_form.__wrapped__(_kernel._weighted_sum)
    out = np.zeros(2)
    compiled(np.ones((1, 2)), np.ones(1), out)
    assert (asked, out.tolist()) == ([True, False], [1.0, 1.0])


@pytest.mark.parametrize(("mode", "is_used"), [(0o700, True), (0o770, False), (0o777, False), (0o1777, True)])
def test_compiled_kernels_are_read_from_a_private_folder_only(tmp_path, monkeypatch, mode, is_used):
    import numba

    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    compiled = _kernel.compiled_form.__wrapped__(_kernel._weighted_sum)
    assert (compiled.stats.cache_path is not None) == is_used


def test_a_folder_of_somebody_else_is_not_private(tmp_path, monkeypatch):
    assert is_private(tmp_path)
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1)
    assert is_private(tmp_path) == (tmp_path.stat().st_uid == 0)


def test_trees_with_more_leaves_than_a_word_has_bits_are_walked():
    trees = forest_of(0, 3, 200)
    assert bit_vectors_of(trees) is None
    matrix = patients(1)
    one_by_one = np.vstack([score_trees(trees, x[None]) for x in matrix])
    np.testing.assert_array_equal(score_trees(trees, matrix), one_by_one)


@pytest.mark.parametrize("with_kernel", [True, False])
def test_many_patients_get_the_bits_of_one(monkeypatch, with_kernel):
    monkeypatch.setattr(_scoring, "WORTH_COMPILING", 10)
    monkeypatch.setattr(_kernel, "is_available", lambda: with_kernel)
    trees, matrix = forest_of(5, 70, 12, 3), patients(6, n=3000)
    scores = score_trees(trees, matrix)
    np.testing.assert_array_equal(scores, walk(trees, matrix))
    np.testing.assert_array_equal(scores[:20], np.vstack([score_trees(trees, x[None]) for x in matrix[:20]]))


def test_scores_are_those_of_lightgbm_to_the_last_bit():
    import lightgbm

    from treatsel.models._lightgbm import trees_of_lightgbm

    random = np.random.default_rng(2)
    X = random.normal(size=(2000, N_FEATURES))
    X[random.random(X.shape) < 0.1] = np.nan
    y = random.random(2000) < 1 / (1 + np.exp(-np.nan_to_num(X[:, 0])))
    options = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(X, y.astype(float)), 60)
    trees, raw = trees_of_lightgbm(booster), booster.predict(X, raw_score=True)
    np.testing.assert_array_equal(walk(trees, X)[:, 0], raw)
    np.testing.assert_array_equal(score_compiled(bit_vectors_of(trees), X)[:, 0], raw)
    np.testing.assert_array_equal([bit_vectors_of(trees).score_one(x)[0] for x in X[:100]], raw[:100])


def test_bit_vectors_stay_out_of_pickles():
    trees = forest_of(3, 200, 8)
    before = len(pickle.dumps(trees))
    score_trees(trees, patients(4, n=1))
    again = pickle.loads(pickle.dumps(trees))
    assert len(pickle.dumps(trees)) == before
    np.testing.assert_array_equal(score_trees(again, patients(4)), score_trees(trees, patients(4)))


def test_the_logistic_function_never_overflows():
    x = np.array([-1e5, -745.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1e5])
    np.testing.assert_allclose(logistic(x), expit(x), rtol=1e-15, atol=1e-300)
    rows = np.random.default_rng(0).normal(size=(5, 4)) * 300
    rows[0, 0] = -np.inf  # an arm that no patient received
    np.testing.assert_allclose(softmax(rows), scipy_softmax(rows, axis=1), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1000, 3), (7,), (2, 2, 2), (1, 4)])
def test_quantiles_are_those_of_numpy(shape):
    draws, levels = np.random.default_rng(1).normal(size=shape), [0.0, 0.025, 0.5, 0.77, 0.975, 1.0]
    last = np.moveaxis(draws, 0, -1)
    np.testing.assert_allclose(quantiles(last, levels), np.quantile(draws, levels, axis=0), rtol=1e-14)
    expected = np.quantile(logistic(last), levels, axis=-1)
    np.testing.assert_allclose(logistic_quantiles(last, levels), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7, 400, 1000])
@pytest.mark.parametrize("level", [0.001, 0.5, 0.95, 0.9999])
def test_compiled_quantiles_give_the_same_bits(n, level):
    draws = np.random.default_rng(n).normal(size=(2, 3, n)).round(1)  # with ties
    levels = [(1 - level) / 2, (1 + level) / 2]
    for function in (quantiles, logistic_quantiles):
        np.testing.assert_array_equal(function(draws, levels, compiled=True), function(draws, levels))
