from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel.errors import InputError
from treatsel.outcome import Outcome

GOLDEN = pd.read_csv(Path(__file__).parent / "reference" / "outcomes_golden.csv")
PROCESS = ("non_start", "one_session", "unplanned_end", "below_dose")
OPTIONS = {
    "remission": [{"instrument": "PHQ-9"}, {"instrument": "HAM-D17"}],
    "caseness": [{"instrument": "PHQ-9"}, {"instrument": "GAD-7"}],
    "response": [{}, {"fall": 0.3}, {"fall": 1.0}, {"instrument": "PHQ-9", "fall": 0.7}],
}
CASES = [
    (name, options) for name in Outcome.names() if name not in PROCESS for options in OPTIONS.get(name, [{}])
]
FEW = (0, 1, 3, 4, 5, 7, 8, 9, 10, 11, 14, 15, 16, 21)


def both(outcome, frame):
    columns = {name: name for name in outcome.inputs}
    return outcome.label(frame, **columns), outcome.distance(frame, **columns)


def check_signs(label, distance):
    assert distance.index.equals(label.index)
    assert distance.name == label.name
    assert (label.isna() == distance.isna()).all()
    known = label.notna()
    assert (distance[known] != 0).all()
    assert ((distance[known] > 0) == (label[known] == 1)).all()


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.parametrize("step", [1, 0.25])
def test_the_sign_is_the_label_on_a_grid_of_all_inputs(name, options, step):
    outcome = Outcome.get(name, **options)
    grid = np.arange(0, 21 + step, step) if len(outcome.inputs) < 3 else np.array(FEW) * step * 2 % 21.5
    values = [*grid, np.nan]
    frame = pd.DataFrame(list(product(values, repeat=len(outcome.inputs))), columns=list(outcome.inputs))
    label, distance = both(outcome, frame)
    assert set(label.dropna()) == {0, 1}
    check_signs(label, distance)


scores = st.one_of(
    st.none(),
    st.integers(0, 21),
    st.floats(0, 21),
    st.sampled_from([9 + 1e-10, 10 - 1e-10, 4 + 1e-9, 8 - 1e-9, 7.000000002]),
)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), case=st.sampled_from(CASES))
def test_the_sign_is_the_label_for_any_scores(data, case):
    outcome = Outcome.get(case[0], **case[1])
    rows = data.draw(st.lists(st.tuples(*(scores for _ in outcome.inputs)), max_size=8))
    frame = pd.DataFrame(rows, columns=list(outcome.inputs), dtype=float)
    check_signs(*both(outcome, frame))


@pytest.mark.parametrize("name", [name for name in Outcome.names() if name not in PROCESS])
def test_the_sign_is_the_label_in_the_golden_table(name):
    for row in GOLDEN[GOLDEN["outcome"] == name].to_dict("records"):
        chosen = {"instrument": str, "fall": float}
        options = {key: kind(row[key]) for key, kind in chosen.items() if pd.notna(row[key])}
        outcome = Outcome.get(name, **options)
        check_signs(*both(outcome, pd.DataFrame([{key: row[key] for key in outcome.inputs}])))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.parametrize("step", [1, 0.5])
def test_distances_are_monotone_in_each_last_score(name, options, step):
    outcome = Outcome.get(name, **options)
    grid = np.arange(0, 21.1, step) if len(outcome.inputs) < 3 else np.array([0, 4, 7, 8, 10, 15, 20.0])
    grid = grid - (0 if step == 1 else 0.25) * (grid == 15)
    frame = pd.DataFrame(list(product(grid, repeat=len(outcome.inputs))), columns=list(outcome.inputs))
    frame["distance"] = both(outcome, frame)[1]
    rises = name in ("caseness", "reliable_deterioration")
    for moving in [one for one in outcome.inputs if one.endswith("last") or one == "score"]:
        others = [one for one in outcome.inputs if one != moving]
        ordered = frame.dropna().sort_values([*others, moving])
        groups = ordered.groupby(others)["distance"] if others else ordered["distance"]
        changes = groups.diff().dropna() * (1 if rises else -1)
        assert len(changes) > 5
        assert (changes >= 0).all()
        assert (changes > 0).any()


PHQ_SD = np.std([9, 9, 15, 12], ddof=1)
GAD_SD = np.std([7, 10, 2, 9], ddof=1)
NHS = pd.DataFrame(
    {
        "phq_first": [20, 20, 20, 9],
        "phq_last": [9, 9, 15, 12],
        "gad_first": [12, 12, 12, 3],
        "gad_last": [7, 10, 2, 9],
    },
    index=["both", "gad high", "phq high", "no case"],
)


def test_recovery_is_the_smaller_distance_and_has_cases_only():
    found = both(Outcome.get("nhs_recovery"), NHS)[1]
    expected = [min(0.5 / PHQ_SD, 0.5 / GAD_SD), -2.5 / GAD_SD, -5.5 / PHQ_SD, np.nan]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_improvement_is_a_fall_of_either_and_no_rise():
    found = both(Outcome.get("reliable_improvement"), NHS)[1]
    # falls by 11 and 5, 11 and 2, 5 and 10; reliable from 6 and 4 points; the last patient rose by 3 and 6
    expected = [
        min(max(5.5 / PHQ_SD, 1.5 / GAD_SD), 16.5 / PHQ_SD, 8.5 / GAD_SD),
        min(max(5.5 / PHQ_SD, -1.5 / GAD_SD), 16.5 / PHQ_SD, 5.5 / GAD_SD),
        min(max(-0.5 / PHQ_SD, 6.5 / GAD_SD), 10.5 / PHQ_SD, 13.5 / GAD_SD),
        min(max(-8.5 / PHQ_SD, -9.5 / GAD_SD), 2.5 / PHQ_SD, -2.5 / GAD_SD),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    recovery = both(Outcome.get("nhs_recovery"), NHS)[1]
    expected = np.minimum(found, recovery).where(recovery.notna())
    np.testing.assert_allclose(both(Outcome.get("reliable_recovery"), NHS)[1], expected, rtol=1e-12)


def test_deterioration_is_a_rise_of_either_and_no_fall():
    found = both(Outcome.get("reliable_deterioration"), NHS)[1]
    expected = min(max(-2.5 / PHQ_SD, 2.5 / GAD_SD), 8.5 / PHQ_SD, 9.5 / GAD_SD)
    assert found["no case"] == pytest.approx(expected)
    assert (found.drop("no case") < 0).all()


def test_response_is_measured_on_last_by_first():
    frame = pd.DataFrame({"first": [20, 20, 11, 0], "last": [10, 11, 5, 3]})
    found = both(Outcome.get("response"), frame)[1]
    spread = np.std([10 / 20, 11 / 20, 5 / 11], ddof=1)
    np.testing.assert_allclose(found, [0.5 / 20 / spread, -0.5 / 20 / spread, 0.5 / 11 / spread, np.nan])


def test_fractions_are_compared_with_the_cutoff_itself():
    found = both(Outcome.get("caseness", instrument="PHQ-9"), pd.DataFrame({"score": [9.5, 10, 12]}))[1]
    spread = np.std([9.5, 10, 12], ddof=1)
    np.testing.assert_allclose(found, [-0.5 / spread, 0, 2 / spread], atol=1e-8)
    assert found[1] > 0


def test_equal_scores_have_a_spread_of_one():
    outcome = Outcome.get("remission", instrument="PHQ-9")
    assert both(outcome, pd.DataFrame({"last": [6.0, 6.0, np.nan]}))[1].tolist()[:2] == [-1.5, -1.5]
    assert both(outcome, pd.DataFrame({"last": [3.0]}))[1].tolist() == [1.5]
    assert both(outcome, pd.DataFrame({"last": []}, dtype=float))[1].tolist() == []


@pytest.mark.parametrize("name", PROCESS)
def test_process_data_have_no_score(name):
    outcome = Outcome.get(name, **({"k": 4} if name == "below_dose" else {}))
    columns = dict.fromkeys(outcome.inputs, "n")
    with pytest.raises(InputError, match=f"{name!r} has no score") as error:
        outcome.distance(pd.DataFrame({"n": [1]}), **columns)
    assert "Outcome.label" in str(error.value)


def test_a_custom_definition_has_a_distance_only_if_it_states_one():
    def below(score, *, bound):
        return (score < bound).astype(float)

    def margin(score, *, bound):
        return bound - score - 0.5

    own = Outcome(name="own", title="Own", event_is_good=True, definition=below, options={"bound": 2})
    frame = pd.DataFrame({"x": [1, 2]})
    with pytest.raises(InputError, match="has no score"):
        own.distance(frame, score="x")
    measured = Outcome(
        name="own", title="Own", event_is_good=True, definition=below, options={"bound": 2}, measure=margin
    )
    assert measured.distance(frame, score="x").tolist() == [0.5, -0.5]


def test_bad_columns_are_refused_as_in_label():
    recovery = Outcome.get("nhs_recovery")
    columns = {name: name for name in recovery.inputs}
    for method in (recovery.label, recovery.distance):
        with pytest.raises(InputError, match="needs a column for: gad_last"):
            method(NHS, **{key: value for key, value in columns.items() if key != "gad_last"})
        with pytest.raises(InputError, match="The column for gad_last"):
            method(NHS.drop(columns="gad_last"), **columns)
        with pytest.raises(InputError, match="unknown key 'last'"):
            method(NHS, last="phq_last")
        with pytest.raises(InputError, match="phq_last") as error:
            method(NHS.assign(phq_last=28), **columns)
        assert "28" not in str(error.value)
