import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def cohort():
    """Two hundred patients in three arms at eight sites, with calibrated predictions on a coarse grid."""
    rng = np.random.default_rng(20)
    probability = np.round(rng.beta(2, 2, 200).clip(0.02, 0.98), 2)
    return pd.DataFrame(
        {
            "y": rng.binomial(1, probability),
            "p": probability,
            "q": np.round(rng.uniform(0.05, 0.95, 200), 2),
            "arm": rng.choice(["CBT", "IPT", "SSRI"], 200),
            "site": rng.choice(list("abcdefgh"), 200),
            "weight": rng.integers(0, 4, 200),
        },
        index=[f"patient {i}" for i in range(200)],
    )
