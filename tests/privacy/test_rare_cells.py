"""A category that is frequent, but rare in one arm, has no term of this arm in the default models."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel.additive import additive_of
from treatsel.models import (
    HierarchicalClassifier,
    StackedClassifier,
)

pytestmark = pytest.mark.one_version

MODELS = {
    "hierarchical": HierarchicalClassifier(),
    "stacked": StackedClassifier(),
}


def cohort(outcome, n=600):
    """Return X and y; one patient of the category "s" received arm A, with the given outcome."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(40, 12, n), "job": rng.choice(["p", "q", "r"], n)})
    X["arm"] = rng.choice(["A", "B", "C"], n)
    X.loc[:7, "job"] = "s"
    X.loc[:7, "arm"] = ["A", *["B"] * 7]
    y = (rng.random(n) < expit(0.02 * (X["age"] - 40))).to_numpy(dtype=int)
    y[0] = outcome
    return X, y


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_difference_between_arms_does_not_tell_the_outcome(model):
    """What the category adds to arm A, over what it adds to arm C, is the same for either outcome."""
    found = []
    for outcome in (0, 1):
        X, y = cohort(outcome)
        fitted = model.fit(X, y)
        new = pd.DataFrame({"age": 40.0, "job": ["s", "p"]})
        logits = np.log(fitted.predict_by_arm(new)) - np.log1p(-fitted.predict_by_arm(new))
        change = logits.iloc[0] - logits.iloc[1]
        found.append(change["A"] - change["C"])
        if (additive := additive_of(fitted)) is not None and additive.trees is None:
            place = list(additive.encoding.features).index("job=s")
            own = additive.coefficients[:, place]
            assert own[0] == pytest.approx(own[2], abs=2e-3)
    # the base rates of the arms differ by one outcome of 200, and with them the other terms
    assert abs(found[1] - found[0]) < 0.012
