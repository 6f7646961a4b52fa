"""The list of measures: each has its function, and correct values for perfect and useless models."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from treatsel._measures import MEASURES, measure_of
from treatsel.metrics import FUNCTIONS, measures
from treatsel.metrics._functions import FIELDS, OF_REFITS, OF_TWO_COHORTS, value_of
from treatsel.metrics.resampled._fast_metrics import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "measures.md"
SIMPLE = [key for key, measure in MEASURES.items() if measure.needs == ("y_true", "y_prob")]
BETTER = {"higher": "higher is better", "lower": "lower is better", "none": "describes"}


def shown(value):
    if value is None:
        return ""
    return {math.inf: "∞", -math.inf: "-∞"}.get(value, f"{value:g}")


def page():
    rows = ["| key | label | range | better | ideal | useless |", "|---|---|---|---|---|---|"]
    for measure in MEASURES.values():
        low, high = map(shown, measure.range)
        better = BETTER.get(measure.direction, f"nearer to {shown(measure.ideal)}")
        cells = [f"`{measure.key}`", measure.label, f"{low} to {high}", better]
        rows.append("| " + " | ".join([*cells, shown(measure.ideal), shown(measure.useless)]) + " |")
    return "\n".join(rows) + "\n"


def test_the_reference_page_contains_the_list():
    """To write it again: python -m tests.metrics.test_measures."""
    assert PAGE.read_text().endswith(page())


def test_each_measure_has_a_function_and_each_resampled_metric_a_row():
    assert set(FUNCTIONS) | set(OF_TWO_COHORTS) | set(OF_REFITS) == set(MEASURES) == set(measures())
    assert set(FIELDS) < set(FUNCTIONS)
    assert set(METRICS) < set(MEASURES)
    labels = [measure.label for measure in MEASURES.values()]
    assert len(set(labels)) == len(labels)
    assert [measure_of(label).label for label in labels] == labels


def test_entries_are_consistent():
    for key, measure in MEASURES.items():
        assert key == measure.key
        low, high = measure.range
        for value in (measure.ideal, measure.useless):
            assert value is None or low <= value <= high, key
        if measure.direction == "target":
            assert measure.ideal is not None, key
        if measure.direction == "higher" and measure.ideal is not None:
            assert measure.ideal == high, key
        if measure.direction == "lower":
            assert measure.ideal == low == 0, key
        assert measure.scale == "identity" or low == 0, key


@pytest.mark.parametrize("key", SIMPLE)
@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_a_perfect_model_reaches_the_ideal(key):
    """Calibration: outcomes occur exactly as often as predicted; otherwise each prediction is its outcome."""
    measure, options = MEASURES[key], {}
    exact = measure.direction != "higher" and key not in ("brier_score", "log_loss")
    if exact:  # two groups, 20% and 60%, in which exactly that share has the outcome
        y, p = np.repeat([1, 0, 1, 0], [20, 80, 60, 40]), np.repeat([0.2, 0.6], 100)
    else:
        y = p = np.tile([0, 1], 50)
    if key in ("ici", "e50", "e90", "emax", "eci"):
        options = {"n_resamples": 0, "n_simulations": 0, "smooth": "recalibration"}
        y, p = np.tile([0, 1], 50), np.tile([0.0, 1.0], 50)
        options.pop("smooth")
    found = value_of(key, FUNCTIONS[key](y, p, **options))
    if key == "spiegelhalter_z":
        assert abs(found) < 0.1
    else:
        assert found == pytest.approx(measure.ideal, abs=1e-6)


@pytest.mark.parametrize("key", [key for key in SIMPLE if MEASURES[key].useless is not None])
def test_a_useless_model_reaches_the_useless_value(key):
    y = np.tile([0, 1, 1, 0, 0], 20)
    found = value_of(key, FUNCTIONS[key](y, np.full(100, 0.4)))
    assert found == pytest.approx(MEASURES[key].useless, abs=1e-9)


def test_gains_of_one_arm_for_all_are_zero():
    rng = np.random.default_rng(1)
    scores = pd.DataFrame(rng.normal(0.5, 0.2, (40, 2)), columns=["a", "b"])
    best = scores.mean().idxmax()
    for key in ("gain", "gain_over_random"):
        found = value_of(key, FUNCTIONS[key](scores, [best] * 40))
        assert found == pytest.approx(MEASURES[key].useless, abs=1e-12)


if __name__ == "__main__":
    text = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(text[: text.find("| key |")] + page())
