import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

ARMS = ["CBT", "SSRI", "TAU"]


def make_patients(n=240, random_state=0):
    """Mixed columns with missing values, three arms, a real modifier."""
    rng = np.random.default_rng(random_state)
    age = rng.normal(40, 12, n).round(1)
    severity = rng.normal(15, 5, n)
    job = rng.choice(["employed", "student", "unemployed"], n, p=[0.6, 0.1, 0.3])
    arm = rng.choice(ARMS, n)
    effect = {"CBT": 0.4, "SSRI": 0.0, "TAU": -0.6}
    logit = -0.1 * (severity - 15) + pd.Series(arm).map(effect).to_numpy()
    logit += np.where(arm == "SSRI", 0.08 * (severity - 15), 0) + 0.4 * (job == "employed")
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, age),
            "severity": severity,
            "job": np.where(rng.random(n) < 0.05, None, job.astype(object)),
            "married": rng.random(n) < 0.5,
            "arm": arm,
        },
        index=[f"p{i:04d}" for i in range(n)],
    )
    y = pd.Series((rng.random(n) < expit(logit)).astype(int), index=frame.index, name="remission")
    return frame, y


@pytest.fixture(scope="session")
def patients():
    return make_patients()
