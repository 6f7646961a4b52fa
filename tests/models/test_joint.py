"""Joint draws of several outcomes: correlated as the estimates of these outcomes are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from treatsel.additive import rows_of_draws
from treatsel.errors import InputError
from treatsel.models import (
    ArmwiseClassifier,
    DropoutMixture,
    HierarchicalClassifier,
    ImputedClassifier,
    JointDraws,
    PooledClassifier,
    Priors,
    StackedClassifier,
)
from treatsel.selector._joint import residuals_of, shrunken_correlation

RIDGE = LogisticRegression(C=10.0)
MODELS = {
    "hierarchical": HierarchicalClassifier(),
    "hierarchical-sites": HierarchicalClassifier(groups="site"),
    "stacked": StackedClassifier(),
    "pooled": PooledClassifier(RIDGE),
    "armwise": ArmwiseClassifier(RIDGE),
}
ARMS = ("a", "b")
AT = pd.DataFrame({"x": [0.0, 1.0, -1.0], "z": [0.0, -1.0, 1.0]})


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(limits=1, user_api="blas"):  # many small fits
        yield


def make(n, rho, seed, arms=ARMS, effect=(0.3, 0.3)):
    """Return covariates, two outcomes and the true probabilities: logistic models and a Gaussian copula."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["x", "z"])
    X["arm"] = np.array(arms)[rng.permutation(np.arange(n) % len(arms))]
    X["site"] = rng.integers(0, 6, n).astype(str)

    def chance(rows, arm):
        at_arm = (np.asarray(arm) == arms[-1]).astype(float)
        each = [
            0.5 * s * rows["x"] + at_arm * (e + 0.2 * rows["z"])
            for s, e in zip((1, 0.5), effect, strict=True)
        ]
        return expit(np.column_stack(each))

    white = rng.normal(size=(n, 2))
    white[:, 1] = rho * white[:, 0] + np.sqrt(1 - rho**2) * white[:, 1]
    return X, (norm.cdf(white) < chance(X, X["arm"])).astype(float), chance


def fit(model, X, Y, correlation, arms=ARMS, names=("arm",)):
    joint = JointDraws.of([[1.0, correlation], [correlation, 1.0]], arms)
    columns = ["x", "z", *names, *(["site"] if getattr(model, "groups", None) else [])]
    seen = ~np.isnan(Y)
    return [
        clone(model).set_params(joint=each).fit(X.loc[own, columns], y[own])
        for each, y, own in zip(joint, Y.T, seen.T, strict=True)
    ]


def logits(model, at=AT):
    """Return draws of the logits, (n_draws, n_patients, n_arms), at the average site if there are sites."""
    sites = {"site": "0"} if model.additive().sites else {}
    return logit(model.additive().predict_draws(at.assign(**sites), "average"))


def correlations(models):
    """Return correlations of the draws of two outcomes: of differences between arms, and of single arms."""
    one, two = (logits(model) for model in models)
    pairs = [(one[..., 1] - one[..., 0], two[..., 1] - two[..., 0]), (one[..., 0], two[..., 0])]
    return np.array([np.corrcoef(a[:, i], b[:, i])[0, 1] for a, b in pairs for i in range(len(AT))])


def test_numbers_have_the_given_correlation():
    wanted = np.array([[1.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 1.0]])
    joint = JointDraws.of(wanted)
    drawn = [each.normal(3, shape=(40_000,)) for each in joint]
    np.testing.assert_allclose(np.corrcoef(drawn), wanted, atol=0.02)  # four standard errors
    np.testing.assert_allclose(np.std(drawn, axis=1), 1.0, atol=0.02)
    orders = [np.argsort(each.order(1, n=40_000)) for each in joint]
    found = np.corrcoef(orders)  # of uniform numbers: 6 / pi asin(r / 2) for normal ones with correlation r
    np.testing.assert_allclose(found, 6 / np.pi * np.arcsin(wanted**2 / 2), atol=0.02)


def test_further_outcomes_do_not_change_the_numbers_of_earlier_ones():
    few = JointDraws.of([[1.0, 0.4], [0.4, 1.0]])
    many = JointDraws.of([[1.0, 0.4, 0.1], [0.4, 1.0, 0.4], [0.1, 0.4, 1.0]])
    for before, after in zip(few, many[:2], strict=True):
        np.testing.assert_allclose(before.normal(0, shape=(5,)), after.normal(0, shape=(5,)), rtol=1e-12)


def test_a_linear_combination_of_other_outcomes_is_one():
    r = np.sqrt(0.5)
    joint = JointDraws.of([[1.0, 0.0, r], [0.0, 1.0, r], [r, r, 1.0]])
    one, two, third = (each.normal(0, shape=(10,)) for each in joint)
    np.testing.assert_allclose(third, r * (one + two), atol=1e-7)


@pytest.mark.parametrize(
    "correlation",
    [[[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], [[1.0, 0.2]], [[1.0, np.nan], [np.nan, 1.0]]],
)
def test_no_correlation_matrix_is_refused(correlation):
    with pytest.raises(InputError, match="correlation must"):
        JointDraws.of(correlation)


@pytest.mark.parametrize("name", MODELS)
def test_copies_of_an_outcome_have_the_same_draws(name):
    X, Y, _ = make(300, 0.0, 1)
    one, two = fit(MODELS[name], X, np.column_stack([Y[:, 0], Y[:, 0]]), 1.0)
    np.testing.assert_allclose(logits(one), logits(two), atol=1e-5)
    opposite = fit(MODELS[name], X, np.column_stack([Y[:, 0], 1 - Y[:, 0]]), -1.0)
    assert correlations(opposite).max() < (-0.85 if name == "stacked" else -0.97)  # weights have bounds


@pytest.mark.parametrize("name", MODELS)
def test_independent_outcomes_have_independent_draws(name):
    X, Y, _ = make(300, 0.0, 2)
    found = correlations(fit(MODELS[name], X, Y, 0.0))
    assert np.abs(found).max() < 4.5 / np.sqrt(500)  # antithetic pairs: 500 independent draws
    assert abs(found.mean()) < 3 / np.sqrt(500)


@pytest.mark.parametrize("name", MODELS)
def test_the_draws_of_one_outcome_keep_their_distribution(name):
    X, Y, _ = make(300, 0.8, 3)
    _, joint = fit(MODELS[name], X, Y, 0.5)
    columns = ["x", "z", "arm", *(["site"] if "sites" in name else [])]
    alone = clone(MODELS[name]).fit(X[columns], Y[:, 1])
    one, two = logits(joint), logits(alone)
    assert joint.additive().joint
    assert not alone.additive().joint
    np.testing.assert_allclose(one.mean(axis=0), two.mean(axis=0), atol=0.15 * two.std(axis=0).max())
    # standard error of an SD: 3 %, of a ratio 5 %; with sites more, since only 20 SDs of sites are drawn
    np.testing.assert_allclose(one.std(axis=0), two.std(axis=0), rtol=0.35 if "sites" in name else 0.12)
    pd.testing.assert_frame_equal(joint.predict_by_arm(X[columns]), alone.predict_by_arm(X[columns]))


@pytest.mark.parametrize("name", ["hierarchical", "armwise"])
def test_labels_of_arms_do_not_matter(name):
    X, Y, _ = make(300, 0.9, 4, arms=("a", "b", "c"))
    Y[np.flatnonzero(X["arm"] == "a")[:40], 1] = np.nan  # the arms differ in size in the second outcome only
    before = fit(MODELS[name], X, Y, 0.6, arms=("a", "b", "c"))
    renamed = X.assign(arm=X["arm"].map({"a": "z", "b": "y", "c": "x"}))
    after = fit(MODELS[name], renamed, Y, 0.6, arms=("z", "y", "x"))
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(logits(one), logits(two)[..., ::-1], atol=1e-5)


def test_draws_of_imputed_and_mixed_outcomes_are_joint():
    X, Y, _ = make(400, 0.9, 5)
    X = X.assign(dropout=(np.random.default_rng(0).random(400) < 0.3).astype(float))
    lost = Y.copy()
    lost[np.flatnonzero(X["dropout"])[:80], 1] = np.nan
    joint = JointDraws.of([[1.0, 0.7], [0.7, 1.0]], ARMS)
    whole = HierarchicalClassifier(joint=joint[0]).fit(X[["x", "z", "arm"]], Y[:, 0])
    base, table = HierarchicalClassifier(joint=joint[1]), X[["x", "z", "arm", "dropout"]]
    for model in (DropoutMixture(base), ImputedClassifier(base, auxiliary=["dropout"])):
        found = correlations([whole, model.fit(table, lost[:, 1])])
        assert model.additive().joint
        assert 0.35 < found.mean() < 0.8


def test_draws_that_are_not_joint_are_paired_by_a_permutation():
    X, Y, _ = make(200, 0.0, 6)
    joint = [model.additive() for model in fit(HierarchicalClassifier(), X, Y, 0.5)]
    alone = HierarchicalClassifier().fit(X[["x", "z", "arm"]], Y[:, 1]).additive()
    rows = rows_of_draws({"a": joint[0], "b": joint[1]})
    assert all((own == np.arange(1000)).all() for own in rows.values())
    rows = rows_of_draws({"a": joint[0], "b": alone})
    assert (rows["a"] == np.arange(1000)).all()
    assert (np.sort(rows["b"]) == np.arange(1000)).all()
    assert abs(np.corrcoef(rows["a"], rows["b"])[0, 1]) < 0.15


def test_of_different_numbers_of_draws_the_first_are_used():
    X, Y, _ = make(200, 0.0, 6)
    one, two = (model.additive() for model in fit(HierarchicalClassifier(), X, Y, 0.5))
    two = replace(two, coefficient_draws=two.coefficient_draws[:300])
    rows = rows_of_draws({"a": one, "b": two})
    assert {len(own) for own in rows.values()} == {300}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lost"), [("pooled", 0.0), ("hierarchical", 0.4)])
def test_the_correlation_is_that_of_refits_to_bootstrap_samples(name, lost):
    n, n_refits = 1000, 50
    X, Y, _ = make(n, 0.9, 7)
    Y[np.random.default_rng(0).random(n) < lost, 1] = np.nan
    columns = X[["x", "z"]].to_numpy(), pd.get_dummies(X["arm"]).to_numpy(dtype=float)
    wanted = shrunken_correlation(residuals_of(Y, *columns))[0, 1]
    drawn = correlations(fit(MODELS[name], X, Y, wanted))
    found = []
    for seed in range(n_refits):
        rows = np.random.default_rng([1, seed]).integers(0, n, n)
        again = fit(MODELS[name], X.iloc[rows].reset_index(drop=True), Y[rows], 0.0)
        tables = [logit(model.predict_by_arm(AT).to_numpy()) for model in again]
        found.append([np.concatenate([one[:, 1] - one[:, 0], one[:, 0]]) for one in tables])
    one, two = np.moveaxis(np.array(found), 1, 0)
    refitted = np.array([np.corrcoef(one[:, i], two[:, i])[0, 1] for i in range(one.shape[1])])
    se = (1 - refitted**2) / np.sqrt(n_refits)
    assert (np.abs(drawn - refitted) < 4 * se + 0.05).all(), (drawn, refitted)
    means = f"residuals {wanted:.2f}, draws {drawn.mean():.2f}, refits {refitted.mean():.2f}"
    print(f"{name}, {lost:.0%} lost: {means}")
    # models and prior variances that are averaged differ between the outcomes, at some cost in correlation
    assert abs(drawn.mean() - refitted.mean()) < (0.08 if name == "pooled" else 0.12)
    assert (drawn > 0.2).all()


@pytest.mark.slow
@pytest.mark.parametrize(("signs", "permuted_is"), [((1, 1), "too narrow"), ((1, -1), "too wide")])
def test_intervals_of_a_weighted_utility_have_their_coverage(signs, permuted_is):
    """Difference between arms in the mean of two outcomes, of which both are good, or one is not."""
    n, n_sets = 400, 120
    covered, at = np.zeros((n_sets, 2, len(AT))), np.array(signs) / 2
    for seed in range(n_sets):
        X, Y, chance = make(n, 0.9, seed + 100, effect=(0.4, 0.4))
        columns = X[["x", "z"]].to_numpy(), pd.get_dummies(X["arm"]).to_numpy(dtype=float)
        wanted = shrunken_correlation(residuals_of(Y, *columns))[0, 1]
        one, two = (model.additive().predict_draws(AT) for model in fit(MODELS["pooled"], X, Y, wanted))
        truth = (chance(AT, ["b"] * len(AT)) - chance(AT, ["a"] * len(AT))) @ at
        rows = np.random.default_rng(seed).permutation(len(two))
        for way, other in enumerate((two, two[rows])):
            drawn = at[0] * (one[..., 1] - one[..., 0]) + at[1] * (other[..., 1] - other[..., 0])
            lower, upper = np.quantile(drawn, [0.05, 0.95], axis=0)
            covered[seed, way] = (lower <= truth) & (truth <= upper)
    joint, permuted = covered.mean(axis=(0, 2))
    se = covered[:, 0].mean(axis=1).std(ddof=1) / np.sqrt(n_sets)
    print(f"coverage of 90% intervals: joint {joint:.3f} (SE {se:.3f}), permuted {permuted:.3f}")
    assert abs(joint - 0.9) < 3 * se + 0.01
    assert permuted < joint - 0.04 if permuted_is == "too narrow" else permuted > joint + 0.04


def test_published_estimates_keep_the_draws_of_one_outcome_as_precise():
    X, Y, _ = make(300, 0.5, 8)
    priors = Priors(arm_contrasts={("b", "a"): (0.3, 0.05)}, source="A trial")
    _, joint = fit(HierarchicalClassifier(priors=priors), X, Y, 0.5)
    alone = HierarchicalClassifier(priors=priors).fit(X[["x", "z", "arm"]], Y[:, 1])
    assert (alone.priors_["used_se"] < 2 * alone.priors_["patients_se"]).all()  # the estimate counts
    one, two = ((each[..., 1] - each[..., 0]).std(axis=0) for each in map(logits, (joint, alone)))
    np.testing.assert_allclose(one, two, rtol=0.12)
