"""The assignment model, compared with known assignment probabilities."""

import numpy as np
import pandas as pd
import pytest

from treatsel._stats.folds import balanced_folds
from treatsel._stats.vectors import effective_size
from treatsel.errors import CohortError, InputError
from treatsel.models import PROPENSITY_FLOOR, assignment_probabilities
from treatsel.models._assignment import LOW_PROPENSITY, assess_assignment, randomized_probabilities


def cohort(n=3000, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    chance = np.exp(strength * z[:, [0]] * np.array([-1.0, 0.0, 1.0]))
    chance /= chance.sum(axis=1, keepdims=True)
    arm = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    index = pd.Index([f"p{i}" for i in range(n)])
    received = pd.Series(np.array(["C", "A", "B"])[arm], index=index)
    return pd.DataFrame(z, columns=["x", "noise"], index=index), received, chance[:, [1, 2, 0]]


def estimate(X, received, **options):
    folds = balanced_folds(received, np.zeros(len(received)), random_state=0)
    return assignment_probabilities(X, received, folds, **options)


def test_known_probabilities_are_found():
    X, received, truth = cohort()
    table = estimate(X, received)
    assert list(table.columns) == ["A", "B", "C"]
    assert table.index.equals(X.index)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert np.abs(table.to_numpy() - truth).mean() < 0.02


def test_in_a_trial_the_shares_are_found():
    X, received, _ = cohort(strength=0)
    assert (estimate(X, received) - 1 / 3).abs().mean(axis=None) < 0.03


def test_predictions_are_out_of_fold():
    X, received, _ = cohort(300)
    folds = balanced_folds(received, np.zeros(300), random_state=0)
    table = assignment_probabilities(X, received, folds)
    rest, fold = folds[0]
    shuffled = received.copy()
    shuffled.iloc[fold] = received.iloc[fold].to_numpy()[::-1]
    again = assignment_probabilities(X, shuffled, folds)
    pd.testing.assert_frame_equal(table.iloc[fold], again.iloc[fold])
    assert not np.allclose(table.iloc[rest], again.iloc[rest])


def test_probabilities_keep_off_the_floor():
    X, received, _ = cohort(strength=6.0)
    table = estimate(X, received)
    assert table.to_numpy().min() >= PROPENSITY_FLOOR / (1 + 3 * PROPENSITY_FLOOR)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert estimate(X, received, floor=0.1).to_numpy().min() >= 0.1 / 1.3


def test_one_arm_is_certain():
    X, received, _ = cohort(100)
    assert (estimate(X, received.mask(received != "A", "A")) == 1).all(axis=None)


def assess(X, received, **options):
    return assess_assignment(
        X, received, balanced_folds(received, np.zeros(len(received)), random_state=0), **options
    )


def test_the_assessment_holds_the_same_probabilities():
    X, received, truth = cohort(strength=3.0)
    found = assess(X, received, floor=0.03)
    pd.testing.assert_frame_equal(found.probabilities, estimate(X, received, floor=0.03))
    assert found.raw.to_numpy().min() < 0.01
    assert np.abs(found.raw.to_numpy() - truth).mean() < 0.03
    np.testing.assert_allclose(found.raw.sum(axis=1), 1)


def test_overlap_is_reported_by_arm():
    X, received, _ = cohort(strength=2.0)
    found = assess(X, received)
    table = found.table
    for arm, row in table.iterrows():
        mine, raw = (received == arm).to_numpy(), found.raw[arm].to_numpy()
        weights = 1 / found.probabilities[arm].to_numpy()[mine]
        assert row["n"] == mine.sum()
        assert row["share"] == pytest.approx(mine.mean())
        assert row["effective_n"] == pytest.approx(weights.sum() ** 2 / (weights @ weights))
        assert row["propensity_q01"] == pytest.approx(np.quantile(raw, 0.01))
        assert row["share_low_propensity"] == pytest.approx((raw < 0.02).mean())
        above = raw[mine][:, None] - raw[~mine]
        assert row["auc"] == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean())
    assert table["share_low_propensity"].max() > 0.02
    pd.testing.assert_frame_equal(found.to_frame(), table)


def test_in_a_trial_overlap_is_complete():
    X, received, _ = cohort(strength=0)
    table = assess(X, received).table
    assert (table["effective_n"] > 0.98 * table["n"]).all()
    assert (table["share_low_propensity"] == 0).all()
    assert table["auc"].between(0.45, 0.55).all()


def test_the_model_predicts_new_patients():
    X, received, _ = cohort(strength=2.0)
    new, _, truth = cohort(500, strength=2.0, seed=1)
    model = assess(X, received).model
    table = model.predict_by_arm(new)
    assert list(table.columns) == ["A", "B", "C"]
    assert table.index.equals(new.index)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert np.abs(table.to_numpy() - truth).mean() < 0.02
    rare = (table < LOW_PROPENSITY).to_numpy()
    assert rare.any()
    assert truth[rare].mean() < LOW_PROPENSITY
    np.testing.assert_allclose(model.predict_by_arm(new.iloc[[3]]), table.iloc[[3]])
    with pytest.raises(CohortError, match="noise"):
        model.predict_by_arm(new[["x"]])


@pytest.mark.parametrize("arms", [["A"], ["A", "B"]])
def test_one_and_two_arms(arms):
    X, received, _ = cohort(900)
    keep = received.isin(arms)
    found = assess(X[keep], received[keep])
    assert list(found.table.index) == arms
    np.testing.assert_allclose(found.model.predict_by_arm(X).sum(axis=1), 1)
    if len(arms) == 1:
        assert (found.probabilities == 1).all(axis=None)
        assert found.table.loc["A", "effective_n"] == pytest.approx(found.table.loc["A", "n"])
        assert np.isnan(found.table.loc["A", "auc"])
    else:
        expected = 1 / (1 + np.exp(-X["x"]))  # logits: 0 for A, x for B
        assert (found.model.predict_by_arm(X)["B"] - expected).abs().mean() < 0.05


def test_an_arm_of_one_patient_is_accepted():
    X, received, _ = cohort(200)
    received.iloc[0] = "rare"
    found = assess(X, received)
    assert found.raw.loc["p0", "rare"] == 0  # the model of the other folds was fitted without this arm
    assert found.probabilities.loc["p0", "rare"] > 0
    assert found.table.loc["rare", "n"] == 1


def test_randomized_probabilities_are_the_shares_of_the_arms():
    _, received, _ = cohort(400)
    table = randomized_probabilities(received)
    assert table.index.equals(received.index)
    assert list(table.columns) == ["A", "B", "C"]
    for arm in table:
        assert (table[arm] == (received == arm).mean()).all()


def test_folds_and_floor_are_checked():
    X, received, _ = cohort(100)
    folds = balanced_folds(received, np.zeros(100), random_state=0)
    for wrong in (folds[1:], [*folds, folds[0]], [(np.arange(100), fold) for _, fold in folds]):
        with pytest.raises(InputError, match=r"fold|folds"):
            assignment_probabilities(X, received, wrong)
    for floor in (0, 1, np.nan):
        with pytest.raises(InputError, match="floor"):
            assignment_probabilities(X, received, folds, floor=floor)
    with pytest.raises(InputError, match="Lengths differ"):
        assess_assignment(X.iloc[:-1], received, folds)


def test_the_printed_assessment_shows_no_patient():
    X, received, _ = cohort(100)
    X.index = received.index = [f"secret{i}" for i in range(100)]
    assert "secret" not in repr(assess(X, received))


def test_effective_size_is_kish():
    assert effective_size(np.array([2.0, 2.0, 0.0])) == 2
    assert effective_size(np.zeros(3)) == 0
    assert effective_size(np.array([1e200, 1e200])) == 2
