"""Columns that repeat, compare or report on one another are left to a person."""

import numpy as np
import pandas as pd
import pytest

from treatsel import Codebook


@pytest.fixture
def trial() -> pd.DataFrame:
    """A trial with a count before treatment, twice after it, and two codings of these."""
    rng, n = np.random.default_rng(0), 400
    before = rng.normal(350, 100, n).round()
    frame = pd.DataFrame({"cd40": before, "cd420": (before + rng.normal(20, 60, n)).round()})
    frame["cd496"] = (before + rng.normal(-10, 80, n)).round()
    frame.loc[rng.random(n) < 0.4, "cd496"] = np.nan
    frame["cd80"] = rng.normal(900, 300, n).round()
    frame["r"] = frame["cd496"].notna().astype(int)
    frame["up"] = (frame["cd420"] >= frame["cd40"]).astype(int)
    frame["smoker"] = rng.integers(0, 2, n)
    frame["item1"] = rng.integers(0, 4, n)
    frame["item2"] = frame["item1"]
    return frame.assign(arm=rng.choice(["A", "B"], n), remission=rng.integers(0, 2, n))


@pytest.mark.parametrize("order", [1, -1])
def test_measurements_after_treatment_are_recognized_without_names_that_say_so(trial, order):
    drafted = Codebook.infer(trial[trial.columns[::order]])
    assert set(drafted.covariates) == {"cd40", "cd80", "smoker", "item1", "item2"}
    assert set(drafted.names("undecided")) == {"cd420", "cd496", "r", "up"}
    assert drafted["cd420"].note.startswith("May repeat 'cd40' at another time")
    assert drafted["r"].note.startswith("States in which rows 'cd496' is missing")
    assert drafted["up"].note.startswith("States which of 'cd40' and 'cd420'") or drafted[
        "up"
    ].note.startswith("States which of 'cd420' and 'cd40'")


def test_numbered_covariates_that_do_not_correlate_stay_covariates():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(200, 30)), columns=[f"pc{i}" for i in range(30)])
    drafted = Codebook.infer(frame.assign(arm=rng.choice(["A", "B"], 200)))
    assert len(drafted.covariates) == 30


def test_a_second_arm_or_site_is_left_to_a_person():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({name: rng.integers(1, 9, 100) for name in ("hospital", "country", "treatment")})
    frame = frame.assign(arm=rng.choice(["A", "B"], 100), age=rng.integers(18, 80, 100))
    drafted = Codebook.infer(frame, arm="arm", site="country")
    assert drafted.names("undecided") == ("hospital", "treatment")
    assert "site" in drafted["hospital"].note
    assert "arm" in drafted["treatment"].note


def test_the_absence_of_an_outcome_is_no_covariate(trial):
    lost = np.random.default_rng(3).random(len(trial)) < 0.3
    frame = trial.assign(remission=trial["remission"].mask(lost), dropped_in=lost.astype(int), seen=~lost)
    drafted = Codebook.infer(frame)
    assert {"dropped_in", "seen"} <= set(drafted.names("undecided"))
