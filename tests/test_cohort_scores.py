import pickle

import numpy as np
import pandas as pd
import pytest

from treatsel.artifact import load_model
from treatsel.cli.main import main
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.datasets import make_cohort
from treatsel.errors import CodebookError, CohortError, DataQualityWarning
from treatsel.outcome import Outcome

COLUMNS = {
    "phq_first": "phq9_start", "phq_last": "phq9_end", "gad_first": "gad7_start", "gad_last": "gad7_end",
}  # fmt: skip
LOW = {"name": "low", "role": "outcome", "event_is_good": True, "score": "phq9_end", "target": "< 10"}
NHS = {"name": "recovery", "role": "outcome", "definition": {"name": "nhs_recovery", **COLUMNS}}


def book_of(*outcomes):
    ranges = {"minimum": 0, "maximum": 50}
    scores = [
        {"name": name, "type": "number", "role": role, "constraints": ranges}
        for name, role in zip(COLUMNS.values(), ["covariate", "session_score"] * 2, strict=True)
    ]
    rest = [
        {"name": "id", "role": "id"},
        {"name": "arm", "role": "arm"},
        {"name": "attended", "type": "integer", "role": "process"},
    ]
    return Codebook.from_dict({"fields": [*rest, *scores, *outcomes]})


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    n = 40
    table = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "arm": ["A", "B"] * 20,
            "attended": rng.integers(1, 20, n),
            "phq9_start": rng.integers(5, 28, n),
            "phq9_end": rng.integers(0, 28, n).astype(float),
            "gad7_start": rng.integers(3, 22, n),
            "gad7_end": rng.integers(0, 22, n),
        }
    )
    table.loc[:2, "phq9_end"] = np.nan
    return table


def test_outcomes_are_derived_without_a_column(frame):
    cohort = Cohort(frame, book_of(LOW, NHS))
    score = frame["phq9_end"].to_numpy()
    expected = np.where(np.isnan(score), np.nan, score < 10)
    np.testing.assert_array_equal(cohort.y["low"], expected)
    recovery = Outcome.get("nhs_recovery")
    assert cohort.y["recovery"].tolist() == pytest.approx(
        recovery.label(frame, **COLUMNS).tolist(), nan_ok=True
    )
    np.testing.assert_allclose(cohort.scores["low"], (9.5 - score) / np.nanstd(score, ddof=1))
    np.testing.assert_allclose(cohort.scores["recovery"], recovery.distance(frame, **COLUMNS))
    assert list(cohort.scores) == ["low", "recovery"]
    assert cohort.scores.index.equals(cohort.frame.index)
    assert list(cohort.frame) == [name for name in cohort.codebook.names() if name != "id"]
    assert list(cohort.process) == ["attended"]
    assert set(cohort.X) == {"phq9_start", "gad7_start", "arm"}


@pytest.mark.parametrize(
    ("target", "event"),
    [
        ("< 10", lambda s: s < 10),
        ("<= 9", lambda s: s <= 9),
        (">= 10", lambda s: s >= 10),
        ("> 9", lambda s: s > 9),
        ("< 9.5", lambda s: s < 9.5),
        (">= 0", lambda s: s >= 0),
        ("< -1", lambda s: s < -1),
    ],
)
@pytest.mark.parametrize("step", [1, 0.5])
def test_the_sign_of_a_score_is_the_outcome(frame, target, event, step):
    table = frame.iloc[:40].assign(phq9_end=np.arange(40) * step)
    cohort = Cohort(table, book_of({**LOW, "target": target}))
    np.testing.assert_array_equal(cohort.y, event(table["phq9_end"]).astype(float))
    assert ((cohort.scores["low"] > 0) == (cohort.y == 1)).all()
    assert (cohort.scores["low"] != 0).all()


def test_targets_that_mean_the_same_give_the_same_scores(frame):
    for one, other in (("< 10", "<= 9"), (">= 10", "> 9")):
        same = [Cohort(frame, book_of({**LOW, "target": target})).scores for target in (one, other)]
        pd.testing.assert_frame_equal(*same)


def test_rows_keep_their_distances(frame):
    cohort = Cohort(frame, book_of(LOW, NHS))
    pd.testing.assert_frame_equal(cohort.take([5, 3, 9]).scores, cohort.scores.iloc[[5, 3, 9]])
    mask = np.arange(len(cohort)) % 2 == 0
    pd.testing.assert_frame_equal(cohort.take(mask).scores, cohort.scores[mask])
    pd.testing.assert_frame_equal(cohort.with_frame(cohort.frame).scores, cohort.scores)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(cohort)).scores, cohort.scores)
    copy = cohort.scores
    copy["low"] = 0.0
    assert (cohort.scores["low"].dropna() != 0).all()


def test_a_cohort_without_scores_has_an_empty_table(frame):
    plain = {"name": "low", "type": "integer", "role": "outcome"}
    cohort = Cohort(frame.assign(low=[0, 1] * 20), book_of(plain))
    assert cohort.scores.shape == (40, 0)
    assert cohort.scores.index.equals(cohort.frame.index)
    lacking = Cohort(frame.assign(low=[0, 1] * 20).drop(columns="phq9_end"), book_of(LOW))
    assert (lacking.scores.shape, lacking.y.sum()) == ((40, 0), 20)


def test_a_column_that_agrees_is_allowed_and_one_that_differs_is_a_fault(frame):
    book = book_of(LOW)
    right = Cohort(frame, book).y.to_numpy()
    assert Cohort(frame.assign(low=right), book).y.tolist() == pytest.approx(right.tolist(), nan_ok=True)
    wrong = np.where(np.arange(40) >= 28, 1 - right, right)
    with pytest.raises(CohortError) as error:
        Cohort(frame.assign(low=wrong), book)
    (fault,) = error.value.faults
    assert (fault.column, fault.n_rows) == ("low", 12)
    assert fault.rows == tuple(f"p{i}" for i in range(28, 40))
    assert fault.problem == "has another value than phq9_end < 10 gives in 12 patients"
    assert "drop the column" in fault.remedy


def test_values_without_a_score_are_not_used_and_this_is_said(frame):
    known = (frame["phq9_end"] < 10).astype(float)
    with pytest.warns(DataQualityWarning, match="'low' holds 3 values where phq9_end < 10 gives none"):
        cohort = Cohort(frame.assign(low=known), book_of(LOW))
    assert cohort.y.isna().sum() == 3
    assert (cohort.y.isna() == cohort.scores["low"].isna()).all()


def test_faults_of_scores(frame):
    with pytest.raises(CohortError, match=r"'phq9_end' is missing from the table.*outcome 'low' is derived"):
        Cohort(frame.drop(columns="phq9_end"), book_of(LOW))
    with pytest.raises(CohortError, match="'phq9_end' holds 40 values out of range") as error:
        Cohort(frame.assign(phq9_end=99), book_of(LOW))
    assert len(error.value.faults) == 1
    with pytest.raises(CohortError, match=r"'recovery' cannot be derived .*phq_last \(column 'phq9_end'\)"):
        Cohort(frame.assign(phq9_end=44), book_of(NHS))
    wrong = {**NHS, "definition": {"name": "remission", "last": "phq9_end", "instrument": "PHQ-10"}}
    with pytest.raises(CodebookError, match=r"'recovery': definition 'remission': .*PHQ-9"):
        Cohort(frame, book_of(wrong))


def test_a_covariate_that_repeats_a_derived_outcome_is_a_fault(frame):
    book = book_of(LOW).to_dict()
    book["fields"].append({"name": "again", "type": "integer", "role": "covariate"})
    again = (frame["phq9_end"] < 10).astype(float)
    with pytest.raises(CohortError, match="'again' repeats the outcome 'low'"):
        Cohort(frame.assign(again=again), Codebook.from_dict(book))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    cohort = make_cohort(700, random_state=0).cohort
    cohort.frame.drop(columns=["recovery", "dropout"]).to_csv(folder / "cohort.csv")
    book = cohort.codebook.to_dict()
    fields = [field for field in book["fields"] if field["name"] not in ("recovery", "dropout")]
    columns = {key: name.replace("_end", "_last") for key, name in COLUMNS.items()}
    derived = {"name": "recovery", "role": "outcome", "definition": {"name": "nhs_recovery", **columns}}
    Codebook.from_dict({**book, "fields": [*fields, derived]}).write(folder / "codebook.yaml")
    again = Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml")
    pd.testing.assert_series_equal(again.y, cohort.y["recovery"], check_index_type=False)
    return folder


def test_a_model_is_trained_and_validated_without_a_column_of_the_outcome(files, capsys):
    table, book, model = files / "cohort.csv", files / "codebook.yaml", files / "m.treatsel"
    train = ["train", table, "--codebook", book, "--out", model, "--intended-use", "A test."]
    assert main([str(each) for each in [*train, "--estimator", "hierarchical"]]) == 0
    assert "outcomes ['recovery']" in capsys.readouterr().out
    assert load_model(model).codebook_["recovery"].definition["name"] == "nhs_recovery"
    assert main(["validate", str(model), str(table), "--json", str(files / "report.json")]) == 0
    assert "AUC" in capsys.readouterr().out
