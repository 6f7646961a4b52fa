"""Expected scores: unbiased against a known truth, in the unit of the score, the same from a file."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import treatsel as ts
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.models import RecalibratedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
FIELDS = [
    {"name": "id", "type": "string", "role": "id"},
    {"name": "start", "type": "number", "role": "covariate"},
    {"name": "x", "type": "number", "role": "covariate"},
    {"name": "arm", "type": "string", "role": "arm"},
    {"name": "end", "type": "number", "role": "session_score"},
]
REMISSION = {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True}
SCORED = REMISSION | {"score": "end", "start": "start", "target": "< 10"}


def made(n, seed, outcome=SCORED, sign=1):
    """Return a cohort with scores at the end, and the expected score under each arm."""
    rng = np.random.default_rng(seed)
    start, x, arm = rng.normal(16, 4, n).round().clip(5, 27), rng.normal(size=n), rng.integers(0, 3, n)
    latent = (3 + 0.55 * start)[:, None] - 1.2 * x[:, None] * [0, 1, 0] - [0.0, 1.5, 0.5]
    noise = 1.9 * rng.logistic(size=(300, n, 1))
    expected = (latent + noise).round().clip(0, 27).mean(axis=0)
    end = (latent[np.arange(n), arm] + 1.9 * rng.logistic(size=n)).round().clip(0, 27)
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "start": start, "x": x, "end": sign * end})
    frame["arm"] = np.array(list("ABC"))[arm]
    book = ts.Codebook.from_dict({"fields": [*FIELDS, outcome]})
    return ts.Cohort(frame, book), sign * expected


@pytest.fixture(scope="module")
def fitted():
    cohort, expected = made(1200, 0)
    return ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort), cohort, expected


def test_expected_scores_are_those_of_the_truth(fitted):
    selector, cohort, expected = fitted
    found = selector.predict_score_by_arm(cohort.frame)
    assert list(found.columns) == list("ABC")
    assert found.index.equals(cohort.frame.index)
    away = found - expected
    assert away.mean().abs().max() < 0.5  # of an SD of the score of 4.6; the SE of an arm's mean is 0.2
    assert np.sqrt((away**2).to_numpy().mean()) < 0.7
    draws = selector.predict_score_draws(cohort.frame.head(200))
    np.testing.assert_allclose(draws.mean(axis=0), found.head(200), atol=0.1)
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    assert ((lower <= expected[:200]) & (expected[:200] <= upper)).mean() > 0.85


def test_the_direction_of_the_score_does_not_matter():
    outcome = SCORED | {"target": "> -10"}
    outcome.pop("start")
    cohort, expected = made(800, 1, outcome, sign=-1)
    found = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort)
    away = found.predict_score_by_arm(cohort.frame) - expected
    assert away.mean().abs().max() < 0.6
    with pytest.raises(InputError, match="names no covariate as the score at the start"):
        found.predict_score_by_arm(cohort.frame, change=True)


def test_the_change_is_from_the_score_at_the_start(fitted):
    selector, cohort, _ = fitted
    rows = cohort.frame.head(5).assign(start=[10.0, 12.0, 15.0, 20.0, np.nan])
    change = selector.predict_score_by_arm(rows, change=True)
    end = selector.predict_score_by_arm(rows)
    np.testing.assert_allclose(end.sub(rows["start"], axis=0), change)
    assert change.iloc[-1].isna().all()
    one = selector.predict_score_by_arm({"start": 10.0, "x": cohort.frame["x"].iloc[0]})
    np.testing.assert_allclose(one.iloc[0], end.iloc[0])
    draws = selector.predict_score_draws(rows.head(4), change=True)
    np.testing.assert_allclose(draws.mean(axis=0), change.head(4), atol=0.1)


def test_a_file_keeps_the_scores(fitted, tmp_path):
    selector, cohort, _ = fitted
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    pd.testing.assert_frame_equal(
        loaded.predict_score_by_arm(cohort.frame), selector.predict_score_by_arm(cohort.frame)
    )


def test_models_without_one_score_have_no_expected_score(fitted):
    selector, cohort, _ = fitted
    plain = ts.Cohort(cohort.frame, ts.Codebook.from_dict({"fields": [*FIELDS, REMISSION]}))
    without = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(plain)
    with pytest.raises(UnsupportedModelError, match="no expected score"):
        without.predict_score_by_arm(cohort.frame)
    updated = RecalibratedClassifier(selector.models_["remission"]).fit(cohort.X, cohort.y)
    with pytest.raises(UnsupportedModelError, match="not recalibrated"):
        selector.with_models({"remission": updated}).predict_score_draws(cohort.frame)
    flagged = selector.predict_score_by_arm(cohort.frame.head(2).assign(x=[1e6, 0.0]), on_invalid="flag")
    assert flagged.isna().all(axis=1).tolist() == [True, False]


def test_a_selector_that_is_not_fitted_and_wrong_options_are_refused(fitted):
    selector, cohort, _ = fitted
    unfitted = ts.TreatmentSelector()
    for call in (unfitted.predict_score_by_arm, unfitted.predict_score_draws, unfitted.has_posterior_draws):
        with pytest.raises(NotFittedError):
            call(cohort.frame)
    with pytest.raises(InputError, match="on_invalid"):
        selector.predict_score_by_arm(cohort.frame, on_invalid="ignore")
    with pytest.raises(InputError, match="service"):
        selector.predict_score_by_arm(cohort.frame, service="ours")


class TestBenefitInPoints:
    def test_it_is_the_difference_of_expected_scores(self, fitted):
        selector, cohort, expected = fitted
        X = cohort.frame.head(700)  # more than one block
        found = selector.predict_score_benefit(X, comparator="A")
        assert list(found.columns) == ["value", "lower", "upper", "p_better"]
        assert found.index.names == ["id", "arm"]
        scores = selector.predict_score_by_arm(X)
        for k, arm in ((1, "B"), (2, "C")):
            mine = found.xs(arm, level="arm")
            np.testing.assert_allclose(mine["value"], scores["A"] - scores[arm])  # lower is better
            truth = expected[:700, 0] - expected[:700, k]
            covered = (mine["lower"] <= truth) & (truth <= mine["upper"])
            assert covered.mean() > 0.85
            assert np.corrcoef(mine["p_better"], mine["value"])[0, 1] > 0.5
        draws = selector.predict_score_draws(X)
        np.testing.assert_allclose(
            found.xs("B", level="arm")["p_better"], (draws[:, :, 1] < draws[:, :, 0]).mean(axis=0)
        )

    def test_the_default_arm_is_the_comparator_unless_stated(self, fitted):
        selector, cohort, _ = fitted
        found = selector.predict_score_benefit(cohort.frame.head(2))
        assert selector.default_arm_ not in found.index.get_level_values("arm")
        with pytest.raises(InputError, match="comparator is 'D'"):
            selector.predict_score_benefit(cohort.frame.head(2), comparator="D")

    def test_higher_scores_are_better_where_the_outcome_says_so(self):
        outcome = SCORED | {"target": "> -10"}
        outcome.pop("start")
        cohort, _ = made(600, 1, outcome, sign=-1)
        selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort)
        found = selector.predict_score_benefit(cohort.frame, comparator="A").xs("B", level="arm")
        scores = selector.predict_score_by_arm(cohort.frame)
        np.testing.assert_allclose(found["value"], scores["B"] - scores["A"])


class TestAScoreWithoutAThreshold:
    def test_it_is_compared_with_the_median(self, tmp_path):
        cohort, expected = made(1200, 0, SCORED | {"target": "< median"})
        median = cohort.frame["end"].median()
        assert cohort.codebook["remission"].target == f"< {median:g}"
        assert cohort.y.mean() == pytest.approx((cohort.frame["end"] < median).mean())
        selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort)
        away = selector.predict_score_by_arm(cohort.frame) - expected
        assert away.mean().abs().max() < 0.5
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
        loaded = ts.load_model(tmp_path / "m.treatsel")
        assert loaded.codebook_["remission"].target == f"< {median:g}"
        pd.testing.assert_frame_equal(
            loaded.predict_score_benefit(cohort.frame.head()),
            selector.predict_score_benefit(cohort.frame.head()),
        )

    def test_scores_and_their_arms_do_not_depend_on_the_threshold(self):
        cohort, _ = made(900, 3, SCORED | {"target": "< median"})
        other, _ = made(900, 3, SCORED | {"target": "< 8"})
        first, second = (
            ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(each)
            for each in (cohort, other)
        )
        scores = first.predict_score_by_arm(cohort.frame), second.predict_score_by_arm(cohort.frame)
        assert (scores[0] - scores[1]).abs().to_numpy().mean() < 0.25

    def test_another_target_in_validation_is_refused(self, fitted):
        selector, _, _ = fitted
        other, _ = made(600, 4, SCORED | {"target": "< median"})
        with pytest.raises(InputError, match=r"has the target < 10 in the model and < .* in the cohort"):
            ts.validate(selector, other)

    def test_a_score_without_values_has_no_median(self):
        cohort, _ = made(60, 5)
        book = ts.Codebook.from_dict({"fields": [*FIELDS, SCORED | {"target": "< median"}]})
        empty = cohort.frame.reset_index().assign(end=np.nan).drop(columns="remission")
        with pytest.raises(ts.errors.CohortError, match="no median"):
            ts.Cohort(empty, book)
