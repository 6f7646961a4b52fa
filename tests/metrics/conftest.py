import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "reference" / "validation"
REFERENCE = Path(os.environ.get("TREATSEL_REFERENCE", BESIDE))
FILES = {"ref1": "ref1_multiarm_sites", "ref2": "ref2_tiny_ties"}


class Reference:
    """One fixed data set and what other packages compute on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = pd.read_csv(REFERENCE / f"{FILES[name]}.csv")
        checks = json.loads((REFERENCE / f"{name}_expected.json").read_text())["checks"]
        self.checks = {check["id"]: check for check in checks}
        self.arms = [column[2:] for column in self.table if column.startswith("e_")]

    def by_arm(self, prefix: str) -> pd.DataFrame:
        return self.table[[prefix + arm for arm in self.arms]].set_axis(self.arms, axis=1)


@pytest.fixture(scope="session")
def reference():
    """Give a reference data set by name, or skip where the folder is absent."""
    loaded: dict[str, Reference] = {}

    def load(name: str) -> Reference:
        if not REFERENCE.is_dir():
            pytest.skip(f"no reference values at {REFERENCE}; set TREATSEL_REFERENCE")
        if name not in loaded:
            loaded[name] = Reference(name)
        return loaded[name]

    return load


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
