"""Weights for missing outcomes, compared with a known dropout mechanism."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel._stats.folds import balanced_folds
from treatsel.errors import InputError, TreatselError
from treatsel.models._observation import MAX_WEIGHT, observation_weights

ARMS = np.array(["A", "B", "C"])
SECRET = 98765.4321


def cohort(n=3000, seed=0):
    """Remission and observation both depend on arm, severity, age (a threshold) and job."""
    rng = np.random.default_rng(seed)
    age, severity = rng.normal(40, 12, n), rng.normal(0, 1, n)
    job = rng.choice(["work", "school", "none"], n, p=[0.6, 0.1, 0.3])
    arm, young, works = rng.integers(0, 3, n), age < 30, job == "work"
    remits = expit(0.2 - 0.8 * severity + 0.5 * works - 0.6 * young + np.array([0.3, 0.0, -0.3])[arm])
    stays = np.array([0.75, 0.05, -0.45])[arm] - np.array([1.2, 0.3, 0.8])[arm] * severity
    stays = expit(stays - 0.9 * young + 0.5 * works)
    index = pd.Index([f"p{i}" for i in range(n)])
    X = pd.DataFrame({"age": age, "severity": severity, "job": job}, index=index)
    y, seen = (rng.random(n) < remits).astype(float), rng.random(n) < stays
    return X, pd.Series(ARMS[arm], index, name="arm"), y, seen, stays


def weigh(X, received, seen, n_splits=5):
    folds = balanced_folds(received, np.asarray(seen, float), n_splits=n_splits, random_state=0)
    return observation_weights(X, received, seen, folds)


@pytest.fixture(scope="module")
def large():
    X, received, y, seen, stays = cohort(30_000)
    return weigh(X, received, seen), received, y, seen, stays


def test_weights_remove_the_bias_of_dropout(large):
    result, received, y, seen, _ = large
    assert 0.43 < 1 - seen.mean() < 0.47
    naive, weighted = [], []
    for arm in ARMS:
        mine, w = (received == arm).to_numpy(), result.weights.to_numpy()
        naive.append(y[mine & seen].mean() - y[mine].mean())
        weighted.append(w[mine] @ y[mine] / w[mine].sum() - y[mine].mean())
    assert min(naive) > 0.02
    assert max(naive) > 0.07
    assert np.abs(weighted).max() < 0.012  # standard error of an arm's weighted mean: 0.007 to 0.009


def test_the_probability_is_found(large):
    result, *_, stays = large
    assert np.abs(result.probability - stays).mean() < 0.04  # a change of slope approximates the step at 30
    assert np.corrcoef(result.probability, stays)[0, 1] > 0.97


def test_weights_average_one_and_reduce_the_effective_sample_size(large):
    result, received, _, seen, _ = large
    weights = result.weights
    assert (weights[~seen] == 0).all()
    assert (weights[seen] > 0).all()
    for arm, row in result.table.iterrows():
        mine = weights[seen & (received == arm)]
        assert mine.mean() == pytest.approx(1)
        assert row["n"] == (received == arm).sum()
        assert row["n_observed"] == len(mine)
        assert row["share"] == pytest.approx(len(mine) / row["n"])
        assert (row["smallest"], row["largest"]) == (mine.min(), mine.max())
        assert row["effective_n"] == pytest.approx(mine.sum() ** 2 / (mine**2).sum())
        assert row["effective_n"] < row["n_observed"]
    assert weights.index.equals(received.index)
    pd.testing.assert_frame_equal(result.to_frame(), result.table)


def test_when_all_are_observed_weights_are_exactly_one():
    X, received, *_ = cohort(200)
    result = weigh(X, received, np.ones(200, dtype=bool))
    assert (result.weights == 1).all()
    assert (result.probability == 1).all()
    assert (result.table["effective_n"] == result.table["n"]).all()


def test_an_arm_in_which_all_are_observed_has_unit_weights():
    X, received, _, seen, _ = cohort(1500)
    complete = (received == "B").to_numpy()
    result = weigh(X, received, seen | complete)
    assert (result.weights[complete] == 1).all()
    others = weigh(X[~complete], received[~complete], seen[~complete])
    assert not np.allclose(result.weights[~complete & seen], 1)
    assert result.table.loc["A", "n_observed"] == others.table.loc["A", "n_observed"]


@pytest.mark.parametrize("n_lost", [1, 3])
def test_a_few_lost_patients_hardly_matter(n_lost):
    X, received, *_ = cohort(400)
    seen = np.ones(400, dtype=bool)
    seen[:n_lost] = False
    weights = weigh(X, received, seen).weights[seen]
    assert weights.between(0.9, 1.1).all()


def test_an_arm_with_few_or_none_observed_is_accepted():
    X, received, _, seen, _ = cohort(600)
    seen[(received == "C").to_numpy()] = False
    table = weigh(X, received, seen).table
    assert table.loc["C", "effective_n"] == 0
    assert np.isnan(table.loc["C", "largest"])
    seen[np.flatnonzero(received == "C")[0]] = True
    assert weigh(X, received, seen).table.loc["C", "effective_n"] == pytest.approx(1)


def test_no_weight_exceeds_the_bound_by_much():
    X, received, *_ = cohort(4000)
    hopeless = expit(-4 * X["severity"].to_numpy())
    seen = np.random.default_rng(1).random(4000) < hopeless
    table = weigh(X, received, seen).table
    assert table["n_truncated"].sum() > 0
    assert table["largest"].max() < 1.5 * MAX_WEIGHT


def test_probabilities_are_out_of_fold():
    X, received, _, seen, _ = cohort(600)
    folds = balanced_folds(received, seen.astype(float), random_state=0)
    before = observation_weights(X, received, seen, folds).probability
    rest, fold = folds[0]
    changed = seen.copy()
    changed[fold] = seen[fold][::-1]
    after = observation_weights(X, received, changed, folds).probability
    pd.testing.assert_series_equal(before.iloc[fold], after.iloc[fold])
    assert not np.allclose(before.iloc[rest], after.iloc[rest])


def test_names_of_arms_and_order_of_columns_do_not_matter():
    X, received, _, seen, _ = cohort(500)
    folds = balanced_folds(received, seen.astype(float), random_state=0)
    one = observation_weights(X, received, seen, folds)
    again = observation_weights(X, received, seen, folds)
    pd.testing.assert_series_equal(one.weights, again.weights)
    renamed = received.map({"A": "z", "B": "y", "C": "x"})
    other = observation_weights(X[["job", "severity", "age"]], renamed, seen, folds)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-5)


def test_missing_covariates_and_small_tables_work():
    X, received, _, seen, _ = cohort(60)
    X = X.mask(np.random.default_rng(0).random(X.shape) < 0.4)
    weights = weigh(X, received, seen).weights
    assert np.isfinite(weights).all()
    assert weights[seen].mean() == pytest.approx(1)


@pytest.mark.parametrize("fault", ["length", "values", "nobody", "folds", "twice", "infinite"])
def test_faults_raise_and_name_no_value(fault):
    X, received, _, seen, _ = cohort(100)
    folds = balanced_folds(received, seen.astype(float), random_state=0)
    X = X.assign(severity=X["severity"].where(X.index != "p7", SECRET))
    observed = seen.astype(float)
    if fault == "length":
        observed = observed[:-1]
    elif fault == "values":
        observed[3] = SECRET
    elif fault == "nobody":
        observed[:] = 0
    elif fault == "folds":
        folds = folds[1:]
    elif fault == "twice":
        folds = [(np.arange(100), fold) for _, fold in folds]
    else:
        X.loc["p3", "age"] = np.inf
    with pytest.raises(TreatselError) as caught:
        observation_weights(X, received, observed, folds)
    assert fault == "infinite" or isinstance(caught.value, InputError)
    assert "98765" not in str(caught.value)


def test_the_printed_result_shows_no_patient():
    X, received, _, seen, _ = cohort(200)
    X.index = received.index = [f"secret{i}" for i in range(200)]
    assert "secret" not in repr(weigh(X, received, seen))
