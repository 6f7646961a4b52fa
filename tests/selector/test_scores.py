"""Outcomes learned from scores: what a selector says of them."""

import warnings

import numpy as np
import pandas as pd
from scipy.special import expit

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.errors import TreatselWarning

BOOK = {
    "fields": [
        {"name": "x", "type": "number", "role": "covariate"},
        {"name": "z", "type": "number", "role": "covariate"},
        {"name": "arm", "type": "string", "role": "arm"},
        {"name": "phq9_end", "type": "number", "role": "session_score"},
        {
            "name": "remission",
            "type": "integer",
            "role": "outcome",
            "event_is_good": True,
            "score": "phq9_end",
            "target": "< 10",
        },
    ]
}


def cohort(n, seed, *, spread=0.0):
    """Return a cohort and its truth; with `spread`, scores vary more in some patients than in others."""
    rng = np.random.default_rng([seed, 5])
    X = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.standard_normal(n)})
    X["arm"] = rng.choice(["A", "B"], n)
    latent = 0.9 * X["x"] + 0.5 * X["z"] * (X["arm"] == "A")
    scale = np.exp(spread * X["x"])
    score = 9.5 - 3 * (latent + scale * rng.logistic(size=n))
    frame = X.assign(phq9_end=score.round(2))
    return ts.Cohort(frame, Codebook.from_dict(BOOK)), expit(latent / scale)


def fitted(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        return ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(data)


def test_a_score_whose_thresholds_share_their_slope_is_accepted():
    codes = [c.code for seed in range(3) for c in fitted(cohort(800, seed)[0]).data_checks_]
    assert "score_not_proportional" not in codes


def test_a_score_whose_thresholds_differ_is_reported():
    selector = fitted(cohort(2500, 0, spread=0.6)[0])
    check = next(c for c in selector.data_checks_ if c.code == "score_not_proportional")
    assert "'remission'" in check.message
    assert "leave score and definition out of the codebook" in check.message


def test_the_score_alone_defines_the_outcome():
    data, truth = cohort(1500, 1)
    selector = fitted(data)
    assert selector.outcomes_ == ["remission"]
    assert selector.models_["remission"].levels_ == 12
    own = selector.predict_by_arm(data.X).to_numpy()
    predicted = np.where(data.X["arm"] == "A", own[:, 0], own[:, 1])
    assert np.abs(predicted - truth).mean() < 0.04
