"""Delta-adjusted gain and observed / expected, against outcomes that were lost with a known shift."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from treatsel.errors import InputError
from treatsel.metrics.missing import delta_adjusted

ARMS = ["CBT", "SSRI"]


def patients(seed, n, shift, reference=None):
    """Return data in which lost outcomes are worse by `shift`, and the complete outcomes.

    With `reference`, lost patients fare as under that arm.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = rng.integers(2, size=n)
    dropout = (rng.random(n) < expit(-0.8 + 0.5 * x + 0.6 * arm)).astype(float)
    seen = rng.random(n) < expit(2.2 - 2.4 * dropout - 0.4 * x)
    logits = np.column_stack([-0.2 + 0.5 * x - 0.9 * dropout, 0.1 - 0.3 * x - 0.9 * dropout])
    rows, under = np.arange(n), arm if reference is None else np.where(seen, arm, ARMS.index(reference))
    y = (rng.random(n) < expit(logits[rows, under] - shift * ~seen)).astype(float)
    table = pd.DataFrame(expit(np.column_stack([-0.1 + 0.4 * x, -0.1 - 0.2 * x])), columns=ARMS)
    return {
        "y_true": np.where(seen, y, np.nan),
        "received": np.array(ARMS)[arm],
        "by_arm": table,
        "propensity": pd.DataFrame(0.5, index=table.index, columns=ARMS),
        "recommended": table.idxmax(axis=1),
        "observation": expit(2.2 - 2.4 * dropout - 0.4 * x),
        "expected": pd.DataFrame(expit(logits), columns=ARMS),
        "comparator": "CBT",
    }, y


def of(data, shift, **options):
    found = delta_adjusted(**data, shifts=[shift], **options).table.set_index(["measure", "lost"])
    return found.xs("all lost patients", level="lost")["value"].to_list()


def complete(data, y):
    """Gain and observed / expected, had no outcome been lost."""
    table, received = data["by_arm"], data["received"]
    own = np.where(received == "CBT", table["CBT"], table["SSRI"])
    other = data["recommended"] == "SSRI"
    residual = 2 * (y - own) * np.where(received == "SSRI", 1, -1)
    scores = table["SSRI"] - table["CBT"] + residual
    return (scores * other).mean(), y.sum() / own.sum()


N = 40_000  # at the right shift, the estimates are then within .004 of those from complete outcomes (2 SE)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_right_shift_is_unbiased_and_no_shift_is_not(shift):
    data, y = patients(0, N, shift)
    assert of(data, shift) == pytest.approx(complete(data, y), abs=0.01)
    if shift:
        assert of(data, 0.0)[1] - complete(data, y)[1] > 0.05  # observed / expected


def test_an_error_of_one_of_the_two_models_does_not_bias_it_at_no_shift():
    data, y = patients(1, N, 0.0)
    truth, flat = complete(data, y), np.full(N, 0.8)
    assert of(data | {"expected": data["by_arm"]}, 0.0) == pytest.approx(truth, abs=0.01)
    assert of(data | {"observation": flat}, 0.0) == pytest.approx(truth, abs=0.01)
    assert of(data | {"expected": None, "observation": flat}, 0.0)[1] - truth[1] > 0.05


def test_lost_patients_may_fare_as_under_a_reference_arm():
    data, y = patients(2, N, 0.0, reference="CBT")
    assert of(data, 0.0, reference="CBT") == pytest.approx(complete(data, y), abs=0.01)


def test_the_shift_at_which_the_gain_vanishes_is_that_of_the_curve():
    data, _ = patients(3, 4000, 0.0)
    data["recommended"] = np.where(data["by_arm"]["CBT"] < 0.6, "SSRI", "CBT")
    tipping = delta_adjusted(**data).tipping.set_index("lost")
    lost = "lost patients who received the recommended arm"
    where, limit = tipping.loc[lost, ["tipping_estimate", "tipping_limit"]]
    assert 0 < limit < where < 5
    again = delta_adjusted(**data, shifts=[where, limit]).table
    again = again[(again["measure"] == "gain") & (again["lost"] == lost)]
    assert again["value"].iloc[0] == pytest.approx(0, abs=1e-9)
    assert again["lower"].iloc[1] == pytest.approx(0, abs=1e-9)


def test_the_mean_outcome_of_the_lost_moves_by_the_shift():
    data, _ = patients(1, 500, 0.0)
    data["expected"] = pd.DataFrame(0.5, index=data["by_arm"].index, columns=ARMS)
    table = delta_adjusted(**data, shifts=[-1.0, 0.0, 2.0]).table
    rates = table[table["measure"] == "observed / expected"]["rate_lost"]
    assert logit(rates.to_list()) == pytest.approx([1.0, 0.0, -2.0])


def test_intervals_allow_for_clusters_and_rows_may_be_in_any_order():
    data, _ = patients(2, 600, 0.0)
    sites = np.arange(600) % 12
    found = delta_adjusted(**data, clusters=sites)
    assert "12 clusters" in found.method
    order = np.random.default_rng(0).permutation(600)
    moved = {
        name: value.iloc[order] if hasattr(value, "iloc") else value[order]
        for name, value in data.items()
        if name != "comparator"
    }
    again = delta_adjusted(**moved, comparator="CBT", clusters=sites[order])
    pd.testing.assert_frame_equal(found.table, again.table)


def test_what_is_refused():
    data, y = patients(2, 200, 0.0)
    with pytest.raises(InputError, match="The outcome is missing in none of 200 patients"):
        delta_adjusted(**data | {"y_true": y})
    with pytest.raises(InputError, match="reference"):
        delta_adjusted(**data, reference="IPT")
    with pytest.raises(InputError, match="comparator"):
        delta_adjusted(**data | {"comparator": "IPT"})


def test_the_plot_shows_both_measures():
    data, _ = patients(3, 4000, 0.0)
    data["recommended"] = np.where(data["by_arm"]["CBT"] < 0.6, "SSRI", "CBT")
    found = delta_adjusted(**data)
    axes = found.plot()
    assert len(axes.get_legend().get_texts()) == 2
    marked = [line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "o"]
    known = found.tipping[["tipping_estimate", "tipping_limit"]].to_numpy().ravel()
    assert sorted(marked) == sorted(known[np.isfinite(known) & (known <= 3)])
    assert found.plot(measure="observed / expected").get_ylabel().startswith("Observed / expected")
