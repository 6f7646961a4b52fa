"""The demonstration's cohorts: predictions compared with the known truth of the external cohort."""

import numpy as np
import pytest
from scipy.special import logit

import treatsel as ts
from treatsel.datasets import load_synthetic
from treatsel.metrics import calibration_slope


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_the_model_is_calibrated_against_the_truth(capsys):
    development, external = (load_synthetic(name) for name in ("development", "external"))
    selector = ts.TreatmentSelector(random_state=0).fit(development.cohort)
    truth = external.truth["recovery"]
    predicted = selector.predict_by_arm(external.cohort.X)[truth.columns]
    p, t = predicted.to_numpy().ravel(), truth.to_numpy().ravel()
    ratio = t.mean() / p.mean()
    slope = float(
        calibration_slope(
            np.r_[np.ones_like(t), np.zeros_like(t)], np.r_[p, p], sample_weight=np.r_[t, 1 - t]
        ).value
    )
    error = 100 * np.sqrt(((p - t) ** 2).mean())
    draws = selector.predict_draws(external.cohort.X.head(1000))
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    order = [selector.arms_.index(arm) for arm in truth.columns]
    inside = truth.head(1000).to_numpy()
    covered = ((lower[:, order] <= inside) & (inside <= upper[:, order])).mean()
    with capsys.disabled():
        print(
            f"\nDemonstration, external cohort, against the truth: observed/expected {ratio:.3f}, slope "
            f"{slope:.2f}, RMSE {error:.1f} points, mean logit off by "
            f"{(logit(p) - logit(t)).mean():+.2f}, coverage of 95 % intervals {covered:.3f}"
        )
    report = ts.validate(selector, external.cohort, assignment="randomised", sections=())
    found = report.tables["complete cases"].set_index("measure").loc["observed / expected"]
    assert 0.95 < found["weighted_value"] < 1.05
    assert found["value"] > 1.1  # without the patients who were lost, the model would seem too pessimistic
    assert 0.95 < ratio < 1.05
    assert 0.8 < slope < 1.25
    assert covered > 0.9
