import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel import outcome as module
from treatsel.errors import InputError
from treatsel.instrument import Instrument
from treatsel.outcome import (
    Outcome,
    below_dose,
    caseness,
    nhs_recovery,
    non_start,
    reliable_deterioration,
    reliable_improvement,
    reliable_recovery,
    remission,
    response,
    unplanned_end,
)

GOLDEN = pd.read_csv(Path(__file__).parent / "reference" / "outcomes_golden.csv")  # by hand; see its README
OPTIONS = {"instrument": str, "fall": float, "k": int}
GOOD = {"remission", "response", "nhs_recovery", "reliable_improvement", "reliable_recovery"}
SAMPLE_OPTIONS = {
    "remission": {"instrument": "PHQ-9"},
    "caseness": {"instrument": "GAD-7"},
    "below_dose": {"k": 4},
}
PHQ, GAD = st.one_of(st.none(), st.integers(0, 27)), st.one_of(st.none(), st.integers(0, 21))


def shipped(name):
    return Outcome.get(name, **SAMPLE_OPTIONS.get(name, {}))


def options_of(row):
    return {key: kind(row[key]) for key, kind in OPTIONS.items() if pd.notna(row[key])}


def test_golden_table_covers_every_outcome():
    assert set(GOLDEN["outcome"]) == set(Outcome.names())
    assert len(GOLDEN) >= 60


@pytest.mark.parametrize("row", GOLDEN.to_dict("records"), ids=lambda row: f"{row['outcome']}: {row['why']}")
def test_golden_row(row):
    found = Outcome.get(row["outcome"], **options_of(row))
    values = {name: [row[name]] for name in found.inputs}
    direct = getattr(module, row["outcome"])(**values, **options_of(row))
    labeled = found.label(pd.DataFrame(values), **{name: name for name in found.inputs})
    np.testing.assert_equal([direct[0], labeled[0]], [row["expected"]] * 2)


@pytest.mark.parametrize("name", ["nhs_recovery", "reliable_improvement", "reliable_recovery", "non_start"])
def test_golden_rows_are_the_same_when_labeled_together(name):
    rows = GOLDEN[GOLDEN["outcome"] == name].set_index("why")
    found = Outcome.get(name)
    labels = found.label(rows, **{key: key for key in found.inputs})
    pd.testing.assert_series_equal(labels, rows["expected"].rename(name))


@pytest.mark.parametrize("name", Outcome.names())
def test_labels_keep_index_and_carry_the_name(name):
    found = shipped(name)
    frame = pd.DataFrame({f"my_{key}": [1, np.nan, 0] for key in found.inputs}, index=["c", "a", "b"])
    labels = found.label(frame, **{key: f"my_{key}" for key in found.inputs})
    assert list(labels.index) == ["c", "a", "b"]
    assert labels.name == name
    assert labels.dtype == np.float64
    assert np.isnan(labels["a"])
    assert found.event_is_good == (name in GOOD)
    assert "{" not in found.title


@pytest.mark.parametrize("name", Outcome.names())
def test_outcomes_are_values(name):
    found = shipped(name)
    assert pickle.loads(pickle.dumps(found)) == found == shipped(name)
    assert hash(found) == hash(shipped(name))


def test_titles_include_the_option():
    assert Outcome.get("remission", instrument="phq9").title == "Remission on PHQ-9 at the end"
    assert Outcome.get("response").title == "Reduction of at least 50% from the first score"
    assert Outcome.get("response", instrument="PHQ-9", fall=0.25).title.startswith(
        "Reduction of at least 25%"
    )


def test_example_of_the_nhs():
    frame = pd.DataFrame({"p1": [20, 9], "p2": [5, 9], "g1": [15, 3], "g2": [4, 3]}, index=[101, 102])
    columns = {"phq_first": "p1", "phq_last": "p2", "gad_first": "g1", "gad_last": "g2"}
    labels = Outcome.get("nhs_recovery").label(frame, **columns)
    pd.testing.assert_series_equal(labels, pd.Series([1.0, np.nan], index=[101, 102], name="nhs_recovery"))


def test_a_custom_definition():
    def fewer_than_two(score, *, bound):
        return pd.Series(score < bound, dtype=float)

    own = Outcome(
        name="own", title="Own", event_is_good=True, definition=fewer_than_two, options={"bound": 2}
    )
    assert own.inputs == ("score",)
    assert own.label(pd.DataFrame({"x": [1, 2]}), score="x").tolist() == [1, 0]
    dropout = dataclasses.replace(Outcome.get("below_dose", k=4), name="dropout")
    assert dropout.label(pd.DataFrame({"n": [3]}), sessions="n").name == "dropout"


def test_a_definition_that_gives_no_labels_is_refused():
    own = Outcome(name="own", title="Own", event_is_good=True, definition=lambda score: score)
    with pytest.raises(InputError, match="own holds 1 value that is neither 0 nor 1"):
        own.label(pd.DataFrame({"x": [1, 2]}), score="x")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("remision", {}, "Did you mean 'remission'"),
        ("remission", {}, "needs the option 'instrument'"),
        ("remission", {"instrument": "phq8"}, "Did you mean 'PHQ-9'"),
        ("remission", {"instrument": "WSAS"}, "WSAS has no remission_maximum"),
        ("caseness", {"instrument": "HAM-D17"}, "HAM-D17 has no case_cutoff"),
        ("remission", {"instrumnt": "PHQ-9"}, "Did you mean 'instrument'"),
        ("below_dose", {}, "needs the option 'k'"),
        ("below_dose", {"k": 0}, "k is 0"),
        ("below_dose", {"k": 2.5}, "k is 2.5"),
        ("below_dose", {"k": True}, "k is True"),
        ("below_dose", {"k": None}, "k is None"),
        ("response", {"fall": 50}, "fall is 50"),
        ("response", {"fall": 0}, "fall is 0"),
        ("nhs_recovery", {"k": 4}, "unknown key 'k'"),
    ],
)
def test_bad_options_are_refused_at_once(name, options, message):
    with pytest.raises(InputError, match=message):
        Outcome.get(name, **options)


def test_bad_columns_are_refused():
    frame, found = pd.DataFrame({"phq9_last": [3]}), Outcome.get("remission", instrument="PHQ-9")
    with pytest.raises(InputError, match="needs a column for: last"):
        found.label(frame)
    with pytest.raises(InputError, match=r"unknown key 'lst'.*Did you mean 'last'"):
        found.label(frame, lst="phq9_last")
    with pytest.raises(InputError, match=r"The column for last is 'phq_last'.*Did you mean 'phq9_last'"):
        found.label(frame, last="phq_last")


def test_errors_name_the_column_and_no_value():
    frame = pd.DataFrame({"phq9_last": [3, 99.25]})
    with pytest.raises(
        InputError, match=r"last \(column 'phq9_last'\) holds 1 score outside 0 to 27"
    ) as error:
        Outcome.get("remission", instrument="PHQ-9").label(frame, last="phq9_last")
    assert "99" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: non_start([-1]), "sessions holds 1 value other than counts"),
        (lambda: below_dose([1.5], k=4), "sessions holds 1 value other than counts"),
        (lambda: unplanned_end([2]), "planned_end holds 1 value that is neither 0 nor 1"),
        (lambda: response([-1], [0]), "first holds 1 negative"),
        (lambda: response([28], [0], instrument="PHQ-9"), "first holds 1 score outside"),
        (lambda: nhs_recovery([1], [1], [22], [1]), "gad_first holds 1 score outside 0 to 21"),
        (lambda: nhs_recovery([1], [1, 2], [2], [1]), "Lengths differ"),
        (lambda: remission("abc", instrument="PHQ-9"), "last must"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_response_refuses_a_scale_without_a_zero():
    from_one = dataclasses.replace(Instrument.get("WSAS"), minimum=1)
    rising = dataclasses.replace(Instrument.get("WSAS"), direction="higher is better")
    for instrument in (from_one, rising):
        with pytest.raises(InputError, match="must start at 0"):
            response([10], [5], instrument=instrument)


def test_a_custom_instrument():
    strict = dataclasses.replace(Instrument.get("PHQ-9"), remission_maximum=2)
    assert remission([2, 3], instrument=strict).tolist() == [1, 0]


def test_series_are_matched_by_patient():
    first = pd.Series([20, 10], index=["a", "b"])
    last = pd.Series([10, 10], index=["b", "a"])
    assert response(first, last).to_dict() == {"a": 1.0, "b": 0.0}


def test_an_empty_table_gives_an_empty_label():
    assert caseness(pd.Series(dtype=float), instrument="PHQ-9").empty


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(PHQ, PHQ, GAD, GAD), min_size=1, max_size=20))
def test_laws_of_the_nhs_outcomes(patients):
    scores = [np.array(column, dtype=float) for column in zip(*patients, strict=True)]
    improved, worse = reliable_improvement(*scores), reliable_deterioration(*scores)
    recovered, reliably = nhs_recovery(*scores), reliable_recovery(*scores)
    assert not ((improved == 1) & (worse == 1)).any()
    pd.testing.assert_series_equal(reliably, (recovered * improved).rename("reliable_recovery"))
    there, back = scores, [scores[1], scores[0], scores[3], scores[2]]
    np.testing.assert_array_equal(reliable_improvement(*there), reliable_deterioration(*back))
    missing = np.isnan(scores).any(axis=0)
    np.testing.assert_array_equal(improved.isna(), missing)
    assert recovered[missing].isna().all()
