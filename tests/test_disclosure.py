"""Statistical disclosure control: no small count is shown or follows from arithmetic on totals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel._disclosure import (
    is_disclosive,
    is_small,
    merged,
    rounded_down,
    stated,
    suppressed,
    suppression,
)

TABLES = st.lists(st.integers(0, 60), min_size=2, max_size=7)


def test_only_one_to_four_patients_are_small():
    assert is_small(np.array([0, 1, 4, 5, 400, np.nan])).tolist() == [False, True, True, False, False, False]
    assert is_disclosive(np.array([0, 3, 50, 97, 100]), 100).tolist() == [False, True, False, True, False]
    assert is_small(0.01 * 500) is False  # 5 up to rounding error


def test_a_second_cell_is_suppressed_and_more_while_they_are_few_together():
    assert suppressed([3, 7, 0, 90]) == pytest.approx([np.nan, np.nan, 0, 90], nan_ok=True)
    assert suppressed([3, 4, 90]) == pytest.approx([np.nan] * 3, nan_ok=True)
    assert suppressed([3, 4, 30, 90]) == pytest.approx([np.nan, np.nan, np.nan, 90], nan_ok=True)
    assert suppressed([10, 90]) == pytest.approx([10, 90])


@settings(deadline=None)
@given(TABLES)
def test_no_arithmetic_on_the_total_gives_a_small_count(counts):
    counts = np.array(counts, dtype=float)
    shown = suppressed(counts)
    hidden = np.isnan(shown)
    assert not is_small(shown[~hidden]).any()
    if hidden.any() and (counts[~hidden] > 0).any():  # otherwise all nonzero counts are hidden
        assert hidden.sum() >= 2
        assert counts.sum() - np.nansum(shown) >= 10


@settings(deadline=None)
@given(TABLES)
def test_what_was_suppressed_stays_so(counts):
    once = suppressed(counts)
    again = suppressed(once)
    np.testing.assert_array_equal(again, once)


def test_remainders_are_protected_too():
    n_observed, n_missing = np.array([50.0, 60.0, 70.0]), np.array([3.0, 0.0, 6.0])
    hidden = suppression(n_observed, primary=is_small(n_missing), remainders=n_missing)
    assert hidden.tolist() == [True, True, True]  # the first two lack 3 together


@pytest.mark.parametrize("rare", [1, 2, 3, 4])
def test_merged_counts_fit_several_small_counts(rare):
    assert merged([rare, 48, 101]).tolist() == [0.0, 50.0, 100.0]
    assert merged([48, 101]).tolist() == [48.0, 101.0]


def test_counts_in_sentences():
    assert rounded_down(597, 600) == 590
    assert rounded_down(600, 600) == 600
    assert [stated(n, "patient") for n in (0, 3, 1200)] == [
        "0 patients",
        "fewer than 5 patients",
        "1,200 patients",
    ]
