import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

# scikit-learn 1.8 deprecated `penalty`; older versions ignore `l1_ratio` alone
LASSO = {"l1_ratio": 1} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close the figures of a test: pyplot keeps them open, and warns at twenty."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated cohort, its truth and codebook, and a model of dropout, all made by commands.

    Training takes seconds, so one folder serves the whole run, parallel workers included: tests only read it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    if not shared.exists():
        made = tmp_path_factory.mktemp("training")
        simulate_and_train(made)
        with contextlib.suppress(OSError):  # a folder with files is not replaced: another worker was first
            made.rename(shared)
    return shared


def simulate_and_train(folder: Path) -> None:
    from treatsel.cli.main import main

    cohort, codebook = str(folder / "cohort.csv"), str(folder / "codebook.yaml")
    simulate = ["simulate", cohort, "--n", "600", "--missing", "0.05", "--seed", "3", "--codebook", codebook]
    assert main([*simulate, "--truth", str(folder / "truth.csv")]) == 0
    use = folder / "use.yaml"
    use.write_text("purpose: Tests.\nreview_date: '2027-01-31'\n", encoding="utf-8")
    train = ["train", cohort, "--codebook", codebook, "--outcome", "dropout", "--intended-use", f"@{use}"]
    assert main([*train, "--out", str(folder / "m.treatsel")]) == 0
