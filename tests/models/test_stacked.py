"""The stack: trees where the data support them, the hierarchical model elsewhere."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from treatsel import explain
from treatsel.additive import score_trees
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.models._boosting import MIN_PATIENTS, Target, boost, read
from treatsel.models._lightgbm import trees_of_lightgbm
from treatsel.models._stack import StackWeights
from treatsel.models.hierarchical import Levels

ARMS = np.array(list("ABCDEF"))


def cohort(n, seed, logits, **options):
    """Return X, y and the true probabilities, given by-arm logits as a function of standard normals."""
    rng = np.random.default_rng([seed, 12])
    z = rng.standard_normal((n, 6))
    truth = expit(logits(z))
    arm = rng.choice(truth.shape[1], n, p=options.get("shares"))
    X = pd.DataFrame(z, columns=[f"x{j}" for j in range(6)]).assign(arm=ARMS[arm])
    y = (rng.random(n) < truth[np.arange(n), arm]).astype(int)
    return X, y, pd.DataFrame(truth, columns=ARMS[: truth.shape[1]])


def linear(z):
    modifiers = np.random.default_rng(7).normal(0, 0.25, (3, 6))
    return (-0.2 + 0.6 * z[:, 0] - 0.4 * z[:, 1])[:, None] + z @ modifiers.T + [0.3, 0.0, -0.3]


def crossed(z):
    """Prognosis and effects that are not additive: the better arm depends on the signs of two covariates."""
    a, b, c = (z[:, j] > 0 for j in range(3))
    sign = np.where(a != c, 1.0, -1.0)
    return (-0.3 + 1.2 * (a & b) - 1.0 * (~a & ~b))[:, None] + 0.7 * sign[:, None] * [1, -1]


def error(model, X, truth):
    return float(np.sqrt(((model.predict_by_arm(X) - truth) ** 2).to_numpy().mean()))


def covers(draws, truth, level=0.95):
    """Return the share of patients whose true difference of the first two arms lies in its interval."""
    bounds = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(draws[:, :, 0] - draws[:, :, 1], bounds, axis=0)
    target = (truth.iloc[:, 0] - truth.iloc[:, 1]).to_numpy()
    return ((low < target) & (target < high)).mean()


def width(draws):
    return np.diff(np.quantile(draws, [0.025, 0.975], axis=0), axis=0).mean()


@pytest.fixture(scope="module")
def on_crossed():
    X, y, _ = cohort(2000, 0, crossed)
    return X, y, StackedClassifier().fit(X, y)


@pytest.fixture(scope="module")
def on_linear():
    X, y, _ = cohort(1000, 0, linear)
    return X, y, StackedClassifier().fit(X, y)


# -- when trees contribute ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_trees_find_interactions_that_linear_terms_miss(on_crossed):
    ratios, right, covered = [], [], []
    for seed in range(3):
        X, y, _ = cohort(2500, seed, crossed)
        new, _, truth = cohort(2000, 100 + seed, crossed)
        model = on_crossed[2] if seed == 0 else StackedClassifier().fit(X, y)
        hierarchical = HierarchicalClassifier().fit(X, y)
        ratios.append(error(model, new, truth) / error(hierarchical, new, truth))
        best = truth.idxmax(axis=1)
        models = (model, hierarchical)
        right.append([(m.predict_by_arm(new).idxmax(axis=1) == best).mean() for m in models])
        draws = [m.predict_draws(new.head(300)) for m in models]
        assert width(draws[0]) > width(draws[1])
        covered.append([covers(found, truth.head(300)) for found in draws])
        weights = model.weights_.drop(index="base")
        assert (weights >= 0).all(axis=None)
        assert (weights.max() > 0.5).all()
    assert max(ratios) < 0.9
    assert np.mean(ratios) < 0.8
    stacked, alone = np.mean(right, axis=0)
    assert stacked > 0.75
    assert alone < 0.6
    stacked, alone = np.mean(covered, axis=0)
    assert stacked > 0.8
    assert alone < 0.2  # its intervals ignore what it cannot represent


@pytest.mark.slow
def test_on_a_linear_truth_trees_stay_out():
    ratios, sizes = [], []
    for seed in range(3):
        X, y, _ = cohort(1000, seed, linear)
        new, _, truth = cohort(2000, 100 + seed, linear)
        model = StackedClassifier().fit(X, y)
        ratios.append(error(model, new, truth) / error(HierarchicalClassifier().fit(X, y), new, truth))
        sizes.append(model.weights_.abs().max(axis=None))
        draws = model.predict_draws(new.head(300))
        assert covers(draws, truth.head(300)) > 0.85
    assert max(ratios) < 1.05
    assert np.mean(sizes) < 0.15
    assert max(sizes) < 0.3


def test_where_trees_are_of_no_use_the_hierarchical_model_stays():
    X, y, _ = cohort(60, 1, linear)
    table = StackedClassifier().fit(X, y).predict_by_arm(X)
    plain = HierarchicalClassifier().fit(X, y).predict_by_arm(X)
    assert np.abs(table - plain).to_numpy().max() < 0.02


def test_a_small_arm_gets_no_trees_of_its_own(monkeypatch):
    asked = []

    def spy(matrix, target, weights, offset, folds):
        found = boost(matrix, target, weights, offset, folds)
        asked.append((len(target.y), offset is not None, found is not None))
        return found

    monkeypatch.setattr("treatsel.models.stacked.boost", spy)
    X, y, _ = cohort(2100, 0, lambda z: crossed(z)[:, [0, 1, 1]], shares=[0.48, 0.48, 0.04])
    model = StackedClassifier().fit(X, y)
    own = {n: grown for n, has_offset, grown in asked if has_offset}
    small = (X["arm"] == "C").sum()
    assert small < MIN_PATIENTS
    assert not own[small]
    assert any(own.values())
    assert model.predict_draws(X.head(5)).shape == (1000, 5, 3)


def binary(y):
    """Return a 0/1 outcome as the target of trees."""
    levels = Levels.binary(y)
    return Target(y, levels, levels.thresholds(np.empty(0)))


def test_too_few_patients_are_not_boosted():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(MIN_PATIENTS - 1, 2)), np.arange(MIN_PATIENTS - 1) % 2.0
    folds = [(np.flatnonzero(np.arange(len(y)) % 5 != k), np.arange(k, len(y), 5)) for k in range(5)]
    assert boost(x, binary(y), np.ones(len(y)), None, [folds]) is None


def test_boosting_stops_where_noise_begins():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    folds = [(np.flatnonzero(np.arange(600) % 5 != k), np.arange(k, 600, 5)) for k in range(5)]
    noise = (rng.random(600) < 0.4).astype(float)
    found = boost(x, binary(noise), np.ones(600), np.full(600, logit(noise.mean())), [folds])
    assert found is None or found.found[0].num_trees() < 10
    signal = (rng.random(600) < expit(2 * np.sign(x[:, 0] * x[:, 1]))).astype(float)
    full, *others = boost(x, binary(signal), np.ones(600), None, [folds]).found
    assert len(others) == 5
    assert {booster.num_trees() for booster in (full, *others)} >= {full.num_trees()}
    scores = score_trees(trees_of_lightgbm(full), x)[:, 0]
    assert np.corrcoef(scores, np.sign(x[:, 0] * x[:, 1]))[0, 1] > 0.7


def test_trees_of_a_score_start_from_the_base_rate_and_follow_its_event():
    """With two levels, the trees are LightGBM's own; with more, they use what the score adds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    folds = [(np.flatnonzero(np.arange(600) % 5 != k), np.arange(k, 600, 5)) for k in range(5)]
    score = 2 * np.sign(x[:, 0] * x[:, 1]) - 1 + rng.logistic(size=600)
    y = (score > 0).astype(float)
    levels = Levels.of_score(score, y, np.ones(600))
    cuts = np.array([score[levels.reached == m].min() for m in range(1, levels.n)])
    target = Target(y, levels, np.concatenate([[np.inf], -cuts, [-np.inf]]))
    found = boost(x, target, np.ones(600), None, [folds])
    assert found.base == pytest.approx(logit(y.mean()))
    ensemble = read(found, [folds])
    raw = found.found[0].predict(x, raw_score=True) + found.base
    np.testing.assert_allclose(score_trees(ensemble.full, x)[:, 0], raw, rtol=1e-9)
    truth = 2 * np.sign(x[:, 0] * x[:, 1]) - 1
    of_outcome = read(boost(x, binary(y), np.ones(600), None, [folds]), [folds])
    errors = [np.abs(e.held_out([folds], x) - truth).mean() for e in (ensemble, of_outcome)]
    assert errors[0] < errors[1]


def test_below_two_thousand_patients_no_trees_are_grown(on_linear):
    _, _, model = on_linear
    assert model.additive().trees is None
    assert list(model.weights_.index) == ["base"]


# -- weights -----------------------------------------------------------------------------------------------


def weighed(prognosis, modification, n=4000, seed=0):
    """Learn weights from a truth that is a base plus a source with these weights."""
    rng = np.random.default_rng(seed)
    base, source = rng.normal(0, 0.8, (n, 3)), rng.normal(0, 0.8, (n, 3))
    mean = source.mean(axis=1, keepdims=True)
    arms = rng.integers(0, 3, n)
    logits = base + prognosis * mean + modification * (source - mean)
    y = (rng.random(n) < expit(logits[np.arange(n), arms])).astype(float)
    sources = {"base": base - base.mean(), "trees": source}
    return sources, StackWeights.learn(base, sources, arms=arms, y=y, weights=np.ones(n))


@pytest.mark.parametrize(("prognosis", "modification"), [(1.0, 0.0), (0.0, 0.8), (0.7, 0.7)])
def test_prognosis_and_modification_have_separate_weights(prognosis, modification):
    _, weights = weighed(prognosis, modification)
    table = weights.to_frame()
    assert table.loc["trees", "prognosis"] == pytest.approx(prognosis, abs=0.2)
    assert table.loc["trees", "modification"] == pytest.approx(modification, abs=0.15)
    assert table.loc["base"].abs().max() < 0.2
    assert sum(choice.probability for choice in weights.choices) == pytest.approx(1)


def test_operators_combine_parts_by_their_weights():
    sources, weights = weighed(0.7, 0.4)
    expected = 0
    for name, table in sources.items():
        mean = table.mean(axis=1, keepdims=True)
        row = weights.to_frame().loc[name]
        expected = expected + row["prognosis"] * mean + row["modification"] * (table - mean)
    np.testing.assert_allclose(weights.combine(sources), expected, atol=1e-12)


def test_draws_of_weights_stay_within_their_bounds_and_around_their_mean():
    _, weights = weighed(0.7, 0.4)
    draws = weights.draw(4000)
    assert draws.shape == (4000, 2, 2)
    assert (draws[:, :, 1] >= 0).all()
    np.testing.assert_allclose(draws.mean(axis=0), weights.mean, atol=0.03)


def test_an_uninformative_part_gets_no_weight():
    rng = np.random.default_rng(0)
    base, arms = rng.normal(size=(500, 2)), np.arange(500) % 2
    y = (rng.random(500) < expit(base[np.arange(500), arms])).astype(float)
    sources = {"base": base - base.mean(), "trees": np.zeros((500, 2))}
    weights = StackWeights.learn(base, sources, arms=arms, y=y, weights=np.ones(500))
    assert (weights.to_frame().loc["trees"] == 0).all()


# -- invariances -------------------------------------------------------------------------------------------


def test_trees_are_explained_exactly(on_crossed):
    X, _, model = on_crossed
    assert model.additive().trees is not None
    new, background = X.drop(columns="arm").head(15), X.drop(columns="arm").iloc[100:160]
    found = explain(model, new, contrast=("A", "B"), background=background)
    logits = logit(model.predict_by_arm(new))
    total = found.base_value + found.values.sum(axis=1)
    np.testing.assert_allclose(total, logits["A"] - logits["B"], atol=1e-9)
    size = found.values.abs().mean()
    assert size[["x0", "x2"]].mean() > size.drop(index=["x0", "x2"]).mean()
    of_arm = explain(model, new, arm="A", background=background)
    np.testing.assert_allclose(of_arm.base_value + of_arm.values.sum(axis=1), logits["A"], atol=1e-9)


@pytest.mark.slow
def test_nothing_is_random_and_the_order_of_patients_does_not_matter(on_crossed):
    X, y, model = on_crossed
    again = StackedClassifier().fit(X, y)
    pd.testing.assert_frame_equal(again.predict_by_arm(X), model.predict_by_arm(X))
    np.testing.assert_array_equal(again.predict_draws(X.head(9)), model.predict_draws(X.head(9)))
    order = np.random.default_rng(1).permutation(len(X))
    other = StackedClassifier().fit(X.iloc[order], y[order])
    pd.testing.assert_frame_equal(other.predict_by_arm(X), model.predict_by_arm(X), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.slow
def test_leaving_out_one_patient_changes_few_recommendations(on_linear):
    X, y, model = on_linear
    new, _, _ = cohort(2000, 100, linear)
    best = model.predict_by_arm(new).idxmax(axis=1)
    for left_out in (0, 500):  # folds are assigned again
        keep = np.arange(len(X)) != left_out
        other = StackedClassifier().fit(X[keep], y[keep]).predict_by_arm(new).idxmax(axis=1)
        assert (other != best).mean() <= 0.02


def test_cross_fitted_probabilities_are_out_of_fold(on_crossed):
    X, y, model = on_crossed
    tables = model.cross_fitted_, model.predict_by_arm(X)
    assert tables[0].index.equals(X.index)
    assert list(tables[0].columns) == ["A", "B"]
    column = tables[0].columns.get_indexer(X["arm"])
    honest, seen = (table.to_numpy()[np.arange(len(X)), column] for table in tables)
    honest, seen = (-np.log(np.where(y == 1, p, 1 - p)).mean() for p in (honest, seen))
    assert seen < honest < np.log(2)


def test_names_and_order_of_arms_change_neither_probabilities_nor_draws(on_crossed):
    X, y, model = on_crossed
    other = StackedClassifier().fit(X.assign(arm=X["arm"].map({"A": "z", "B": "y"})), y)
    expected = model.predict_by_arm(X).to_numpy()
    np.testing.assert_allclose(other.predict_by_arm(X)[["z", "y"]].to_numpy(), expected, rtol=1e-6)
    draws = model.predict_draws(X.head(20))
    np.testing.assert_allclose(other.predict_draws(X.head(20))[:, :, ::-1], draws, rtol=1e-4)


def test_the_order_of_covariates_does_not_matter(on_crossed):
    X, y, model = on_crossed
    other = StackedClassifier().fit(X[list(X.columns[::-1])], y)
    pd.testing.assert_frame_equal(other.predict_by_arm(X), model.predict_by_arm(X), rtol=1e-6)


def test_draws_are_probabilities_around_the_prediction(on_crossed, on_linear):
    for X, _, model in (on_crossed, on_linear):
        new = X.head(100)
        draws, table = model.predict_draws(new), model.predict_by_arm(new).to_numpy()
        assert draws.shape == (1000, 100, table.shape[1])
        assert np.isfinite(draws).all()
        assert draws.min() > 0
        assert draws.max() < 1
        assert np.abs(draws.mean(axis=0) - table).max() < 0.06
        assert np.abs(draws.mean(axis=0) - table).mean() < 0.02


# -- sites, missing values and edges -----------------------------------------------------------------------


@pytest.mark.slow
def test_sites_widen_intervals_and_are_not_predictors():
    X, _, truth = cohort(800, 0, linear)
    rng = np.random.default_rng(0)
    X["site"] = rng.integers(0, 20, 800)
    logits = logit(truth.to_numpy()) + rng.normal(0, 0.9, 20)[X["site"], None]
    arm = pd.Index(truth.columns).get_indexer(X["arm"])
    y = (rng.random(800) < expit(logits[np.arange(800), arm])).astype(int)
    model = StackedClassifier(groups="site").fit(X, y)
    plain = StackedClassifier().fit(X.drop(columns="site"), y)
    assert 0.45 < model.prior_["site"] < 1.8
    new = X.drop(columns="site").head(50)
    assert width(model.predict_draws(new)) > 1.5 * width(plain.predict_draws(new))
    pd.testing.assert_frame_equal(
        model.predict_by_arm(X.assign(site="new").head(50)), model.predict_by_arm(new)
    )
    with pytest.raises(InputError, match="'site' holds 800 missing sites"):
        StackedClassifier(groups="site").fit(X.assign(site=None), y)


def test_intervals_widen_where_a_covariate_is_missing(on_linear):
    X, _, model = on_linear
    new = X.head(50)
    assert width(model.predict_draws(new.assign(x0=np.nan))) > 1.3 * width(model.predict_draws(new))


@pytest.mark.parametrize("n_rare", [3, 2])
def test_a_dozen_patients_are_enough_to_fit(n_rare):
    X, _, _ = cohort(12, 0, linear)
    X["arm"] = ["C"] * n_rare + ["A", "B"] * ((12 - n_rare) // 2) + ["A"] * (n_rare % 2)
    y = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0])
    model = StackedClassifier().fit(X, y)
    table, draws = model.predict_by_arm(X).to_numpy(), model.predict_draws(X)
    assert table.min() > 0.05
    assert table.max() < 0.95
    assert draws.shape == (1000, 12, 3)
    assert np.isfinite(draws).all()


@pytest.mark.slow
def test_weights_are_used_and_zeros_are_ignored():
    X, y, _ = cohort(400, 0, linear)
    weights = (np.arange(400) % 4 > 0).astype(float)
    model = StackedClassifier().fit(X, y, sample_weight=weights)
    kept = StackedClassifier().fit(X[weights > 0], y[weights > 0])
    pd.testing.assert_frame_equal(model.predict_by_arm(X), kept.predict_by_arm(X))
    with pytest.raises(InputError, match=r"sample_weight must not .* all be zero"):
        StackedClassifier().fit(X, y, sample_weight=np.zeros(400))


@pytest.mark.parametrize("arms", [None, ["A", "B", "C", "D", "E", "F"]])
def test_one_arm_and_six_arms(arms):
    X, y, _ = cohort(600, 0, crossed)
    if arms is None:
        model = StackedClassifier(arm=None).fit(X.drop(columns="arm"), y)
    else:
        X["arm"] = np.array(arms)[np.arange(600) % 6]
        model = StackedClassifier().fit(X, y)
    assert list(model.predict_by_arm(X).columns) == (arms or ["all"])
    assert model.predict_draws(X.head(3)).shape == (1000, 3, len(arms or [0]))


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.assign(constant=1.0, twin=X["x0"], large=1e6 * X["x1"], country="here"),
        lambda X: X[["x0", "arm"]].round().astype({"x0": int}),
        lambda X: X[["arm"]].assign(constant=1),
    ],
    ids=["odd columns", "one whole number", "one constant"],
)
def test_odd_tables_are_fitted(change):
    X, y, _ = cohort(300, 0, linear)
    X = change(X)
    model = StackedClassifier().fit(X, y == 1)
    assert np.isfinite(model.predict_draws(X)).all()
    assert model.predict_by_arm(X).to_numpy().min() > 0.01


@pytest.mark.slow
def test_cross_fitted_predictions_show_no_gain_from_pure_noise():
    gains = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(300, 20)), columns=[f"v{j}" for j in range(20)])
        X["arm"] = rng.choice(["A", "B"], 300)
        y = (rng.random(300) < 0.5).astype(float)
        table = StackedClassifier().fit(X, y).cross_fitted_
        recommended = np.where(table["A"] > table["B"], "A", "B")
        gains.append(np.mean((recommended == X["arm"]) * (y - 0.5) / 0.5))
    assert abs(np.mean(gains)) < 0.06  # three standard errors; seven points with folds by fitted risk
