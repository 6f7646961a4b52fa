"""Statuses, best sets, rules and probabilities of recommendations, with known truth."""

from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
import pandas as pd
import pytest
from benchmarks.selection import reliability
from benchmarks.selection.decisions import PROCESSES, run

CHOSEN = ("dense", "sparse", "rare_arms", "constant", "null", "equal")
SEEDS = range(4)
pytestmark = [pytest.mark.one_version, pytest.mark.slow]


@pytest.fixture(scope="module")
def found():
    jobs = list(product([p for p in PROCESSES if p.name in CHOSEN], [1000], SEEDS))
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(run, jobs))
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}


@pytest.fixture(scope="module")
def stated():
    chosen = [p for p in (*reliability.RECORDS, *reliability.CLINIC) if p.name in CHOSEN]
    with ProcessPoolExecutor(2) as pool:
        return pd.concat(pool.map(reliability.run, product(chosen, [1000], SEEDS, (False,))))


def mean_and_se(values, sample):
    """Mean over samples, with the standard error that their variation gives."""
    by_sample = values.groupby(sample).mean()
    return by_sample.mean(), by_sample.std() / np.sqrt(len(by_sample))


def test_a_clear_gain_is_one(found):
    patients = found["patients"][lambda x: x["modified"]]
    sample = patients["process"] + patients["seed"].astype(str)
    for status, gain, loss in [("clear_gain", 0.12, 0.05), ("leaning", 0.05, 0.06)]:
        mine = patients["status"] == status
        mean, se = mean_and_se(patients["gain"][mine], sample[mine])
        assert mean - 2 * se > gain, (status, mean, se)
        assert patients["loss"][mine].mean() < loss


def test_without_modification_hardly_any_gain_is_clear(found):
    null = found["patients"][lambda x: ~x["modified"]]
    shares = null.groupby("process")["status"].apply(lambda x: (x == "clear_gain").mean())
    assert shares.max() <= 0.025
    settled = null["status"].isin(["default_best", "equivalent"])
    assert settled[null["process"] == "constant"].mean() > 0.8


def test_equivalent_arms_are_about_equal(found):
    mine = found["patients"][lambda x: x["status"] == "equivalent"]
    assert mine["loss"].mean() < 0.04
    assert mine["several"].all()


def test_an_arm_drawn_from_a_best_set_loses_less_than_the_margin(found):
    mine = found["patients"][lambda x: x["several"]]
    sample = mine["process"] + mine["seed"].astype(str)
    mean, se = mean_and_se(mine["set_mean"], sample)
    assert mean + 2 * se < 0.05, (mean, se)


def test_the_rule_switch_does_little_harm(found):
    rules = found["rules"].groupby(["modified", "rule"])[["gain", "switched", "worse"]].mean()
    assert rules.loc[(False, "switch"), "gain"] > -0.002
    assert rules.loc[(True, "expected"), "gain"] > rules.loc[(True, "switch"), "gain"] > 0.02
    moved = rules.loc[(True, "switch")]
    assert moved["worse"] < 0.12 * moved["switched"]
    assert (found["rules"][lambda x: x["rule"] == "default"]["gain"] == 0).all()


def test_expected_regret_is_right_on_average_or_overstated(found):
    patients = found["patients"]
    sample = patients["process"] + patients["seed"].astype(str)
    mean, se = mean_and_se(patients["expected_regret"] - patients["loss"], sample)
    assert -2 * se < mean < 0.015 + 2 * se, (mean, se)
    above, se = mean_and_se(patients["p_regret"] - patients["lost"], sample)
    assert -2 * se < above < 0.08 + 2 * se, (above, se)


@pytest.mark.parametrize("kind", ["better", "best"])
def test_probabilities_are_reliable(stated, kind):
    mine = stated[stated["kind"] == kind]
    for low, high in [(0.3, 0.6), (0.6, 0.8), (0.8, 1.0)]:
        part = mine[mine["stated"].between(low, high)]
        mean, se = mean_and_se(part["true"] - part["stated"], part["sample"])
        assert abs(mean) < 0.08 + 2 * se, (low, mean, se)
