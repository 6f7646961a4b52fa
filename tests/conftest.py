import sys
from collections.abc import Iterator

import pytest
from sklearn.linear_model import LogisticRegression

# scikit-learn 1.8 gave up `penalty`; older ones take no notice of `l1_ratio` alone
LASSO = {"l1_ratio": 1} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close what a test drew: pyplot keeps figures open, and warns at twenty."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
