import copy
import os
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.errors import CodebookError, CohortError, TreatselError, TreatselWarning
from treatsel.table import read_chunks, read_csv, read_parquet

SECRET = "987654"  # a patient's value: no message may contain it
BOOK = Codebook.from_dict(
    {
        "fields": [
            {"name": "id", "role": "id"},
            {"name": "site", "role": "site"},
            {"name": "age", "type": "integer", "role": "covariate",
             "constraints": {"minimum": 18, "maximum": 90, "required": True}},
            {"name": "score", "type": "number", "role": "covariate"},
            {"name": "smoker", "type": "boolean", "role": "covariate"},
            {"name": "gender", "role": "covariate", "constraints": {"enum": ["female", "male", "3"]}},
            {"name": "arm", "role": "arm", "constraints": {"enum": ["CBT", "SSRI"]}},
            {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
            {"name": "dropout", "type": "boolean", "role": "outcome", "event_is_good": False},
            {"name": "ethnicity", "role": "audit"},
            {"name": "start", "type": "date", "role": "date"},
            {"name": "ref", "constraints": {"unique": True}},
            {"name": "phq_last", "type": "number", "role": "session_score"},
        ],
        "missingValues": ["", "NA"],
    }
)  # fmt: skip
ROWS = {
    "id": ["p1", "p2", "p3", "p4"],
    "site": ["S1", "S1", "S2", "S2"],
    "age": [31, 44, 90, 18],
    "score": [1.5, None, 3, -2],
    "smoker": [True, True, None, False],
    "gender": ["female", "male", None, "3"],
    "arm": ["CBT", "SSRI", "SSRI", "CBT"],
    "remission": [1, 0, None, 1],
    "dropout": [0, 0, 1, None],
    "ethnicity": ["a", "b", "a", None],
    "start": ["2020-01-31", "2020-02-01", None, "2021-03-04"],
    "ref": ["r1", "r2", None, None],
    "phq_last": [4, 9, None, 12.5],
}


@pytest.fixture
def frame():
    return pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in ROWS.items()})


@pytest.fixture
def cohort(frame):
    return Cohort(frame, BOOK)


def faults_of(frame, book=BOOK):
    with pytest.raises(CohortError) as error:
        Cohort(frame, book)
    assert SECRET not in str(error.value)
    return error.value


def spoiled(frame, **cells):
    """The table with invalid values in its last rows: column -> one value or several."""
    frame = frame.copy()
    for name, values in cells.items():
        bad = values if isinstance(values, list) else [values]
        frame[name] = [*frame[name][: -len(bad)], *bad]
    return frame


# --- returned tables


def test_frame_is_clean_and_indexed_by_patient(cohort):
    assert len(cohort) == 4
    assert cohort.codebook is BOOK
    assert cohort.frame.index.tolist() == ["p1", "p2", "p3", "p4"]
    assert cohort.frame.index.name == "id"
    assert cohort.frame.columns.tolist() == list(ROWS)[1:]
    assert cohort.frame.dtypes.astype(str).to_dict() == {
        "site": "object", "age": "float64", "score": "float64", "smoker": "float64", "gender": "object",
        "arm": "object", "remission": "float64", "dropout": "float64", "ethnicity": "object",
        "start": str(cohort.frame["start"].dtype), "ref": "object", "phq_last": "float64",
    }  # fmt: skip
    assert pd.api.types.is_datetime64_dtype(cohort.frame["start"].dtype)


def test_x_contains_covariates_and_the_arm(cohort):
    assert cohort.X.columns.tolist() == ["age", "score", "smoker", "gender", "arm"]
    assert cohort.X.index.equals(cohort.frame.index)
    np.testing.assert_array_equal(cohort.X["smoker"], [1, 1, np.nan, 0])
    assert cohort.X["gender"].tolist()[:2] == ["female", "male"]


def test_y_is_a_table_for_several_outcomes_and_a_series_for_one(cohort, frame):
    assert cohort.y.columns.tolist() == ["remission", "dropout"]
    np.testing.assert_array_equal(cohort.y["dropout"], [0, 0, 1, np.nan])
    book = BOOK.merge({"fields": [{"name": "dropout", "role": "audit", "event_is_good": None}]})
    single = Cohort(frame, book)
    assert isinstance(single.y, pd.Series)
    assert single.y.name == "remission"
    assert single.y.dtype == np.float64
    np.testing.assert_array_equal(single.y, [1, 0, np.nan, 1])
    assert single.audit.columns.tolist() == ["dropout", "ethnicity"]


def test_received_groups_and_audit(cohort, frame):
    assert cohort.received.to_dict() == {"p1": "CBT", "p2": "SSRI", "p3": "SSRI", "p4": "CBT"}
    assert cohort.groups.tolist() == ["S1", "S1", "S2", "S2"]
    assert cohort.audit.columns.tolist() == ["ethnicity"]
    persons = Cohort(frame, BOOK.merge({"fields": [{"name": "site", "role": "person"}]}))
    assert persons.groups.name == "site"
    assert Cohort(frame, BOOK.merge({"fields": [{"name": "site", "role": None}]})).groups is None


def test_a_cohort_without_arm_or_outcome_refuses_to_return_them(frame):
    keep = ["id", "age", "smoker"]
    cohort = Cohort(frame[keep], BOOK.subset(keep))
    assert cohort.X.columns.tolist() == ["age", "smoker"]
    assert cohort.audit.shape == (4, 0)
    with pytest.raises(CohortError, match="no column with the role outcome"):
        _ = cohort.y
    with pytest.raises(CohortError, match="no column with the role arm"):
        _ = cohort.received


def test_optional_columns_may_be_absent(frame):
    cohort = Cohort(frame.drop(columns=["start", "ref", "phq_last"]), BOOK)
    assert "start" not in cohort.frame.columns


def test_without_an_id_column_the_index_is_kept(frame):
    book = BOOK.merge({"fields": [{"name": "id", "role": None}]})
    cohort = Cohort(frame.set_axis([7, 5, 3, 1]), book)
    assert cohort.X.index.tolist() == [7, 5, 3, 1]
    with pytest.raises(CohortError, match="The index holds 2 duplicates"):
        Cohort(frame.set_axis([7, 7, 7, 1]), book)


def test_a_cohort_can_be_built_from_its_own_frame(cohort):
    again = Cohort(cohort.frame, cohort.codebook)
    pd.testing.assert_frame_equal(again.frame, cohort.frame)
    half = Cohort(cohort.frame[cohort.frame["site"] == "S1"], cohort.codebook)
    assert half.X.index.tolist() == ["p1", "p2"]


def test_columns_with_numbers_for_names():
    frame = pd.DataFrame({0: [31, 44, 50], 1: ["CBT", "SSRI", "CBT"]})
    cohort = Cohort(frame, Codebook.infer(frame, arm="1"))
    assert cohort.X.columns.tolist() == ["0", "1"]


def test_numeric_arms_and_ids_are_labels(frame):
    frame["arm"], frame["id"] = [1.0, 2.0, 2.0, 1.0], [1, 2, 3, 4]
    book = BOOK.merge({"fields": [{"name": "arm", "constraints": {"enum": ["1", "2"]}}]})
    cohort = Cohort(frame, book)
    assert cohort.received.to_dict() == {"1": "1", "2": "2", "3": "2", "4": "1"}
    drafted = Cohort(frame[["id", "age", "arm", "remission"]])
    assert drafted.received.tolist() == [1, 2, 2, 1]


def test_a_codebook_is_drafted_if_none_is_given(frame):
    cohort = Cohort(frame.drop(columns=["ref", "start"]))
    assert cohort.codebook.arm == "arm"
    assert cohort.codebook.outcomes == ("remission", "dropout")
    assert "phq_last" not in cohort.X.columns


# --- protection against accidental changes


def test_returned_tables_are_copies(cohort):
    before = cohort.frame.copy()
    for table in (cohort.X, cohort.y, cohort.audit):
        table.iloc[0, 0] = table.iloc[1, 0]
        table["new"] = 1
    for column in (cohort.received, cohort.groups):
        column.iloc[0] = "changed"
    pd.testing.assert_frame_equal(cohort.frame, before)


def test_changing_the_table_afterwards_does_not_change_it():
    table = pd.DataFrame({"age": [31.0, 44.0, 50.0], "arm": ["a", "b", "a"]})
    given = table.copy()
    cohort = Cohort(table)
    pd.testing.assert_frame_equal(table, given)
    table.loc[0, "age"] = 99
    table["arm"] = "c"
    assert cohort.X["age"].tolist() == [31, 44, 50]
    assert cohort.received.tolist() == ["a", "b", "a"]


def test_attributes_cannot_be_set(cohort):
    with pytest.raises(AttributeError):
        cohort.frame = None
    with pytest.raises(AttributeError):
        cohort.X = None


def test_it_is_an_object_like_others(cohort):
    assert cohort == cohort
    assert cohort != copy.copy(cohort)
    assert {cohort: 1}[cohort] == 1
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(cohort)).frame, cohort.frame)


def test_its_repr_shows_no_patient(frame):
    cohort = Cohort(spoiled(frame, score=int(SECRET), ref=SECRET), BOOK)
    assert repr(cohort) == "Cohort(4 patients, 4 covariates, arm='arm', outcomes=['remission', 'dropout'])"


# --- faults

BAD_CELLS = {
    "age": [("abc" + SECRET, "1 value that is not an integer from 18 to 90", "from 18 to 90"),
            (int(SECRET), "1 value out of range", "from 18 to 90"),
            ("17", "1 value out of range", "from 18 to 90"),
            (55.5987654, "1 value that is not a whole number", "from 18 to 90"),
            (np.inf, "1 value that is infinite", "from 18 to 90"),
            ("inf", "1 value that is infinite", "from 18 to 90"),
            ("nan", "1 value that is not an integer", "from 18 to 90"),
            (None, "1 value missing, but the column is required", "from 18 to 90"),
            ("NA", "1 value missing, but the column is required", "from 18 to 90")],
    "score": [("x" + SECRET, "1 value that is not a number", "a number"),
              ("1," + SECRET, "1 value that is not a number", "a number"),
              ("-Infinity", "1 value that is infinite", "a number"),
              ({SECRET: SECRET}, "1 value that is not a number", "a number")],
    "smoker": [(int(SECRET), "1 value that is not true or false", "true or false (1 or 0)"),
               ("yes", "1 value that is not true or false", "true or false (1 or 0)")],
    "gender": [(SECRET, "1 value that the codebook does not list", "one of female, male, 3"),
               ("Female", "1 value that the codebook does not list", "one of female, male, 3")],
    "arm": [(SECRET, "1 value that the codebook does not list", "one of CBT, SSRI"),
            (None, "1 value missing, but the column is required", "one of CBT, SSRI")],
    "remission": [(int(SECRET), "1 value that is neither 0 nor 1", "0 and 1"),
                  (0.987654, "1 value that is neither 0 nor 1", "0 and 1"),
                  (SECRET + "x", "1 value that is not an integer", "0 and 1")],
    "dropout": [(int(SECRET), "1 value that is not true or false", "0 and 1")],
    "id": [([SECRET, SECRET], "1 value that is a duplicate", "one row and a unique id"),
           (None, "1 value missing, but the column is required", "one row and a unique id")],
    "start": [(f"{SECRET}-01-01", "1 value that is not a date", "a date"),
              (int(SECRET), "1 value that is not a date", "a date")],
    "ref": [([SECRET, SECRET], "1 value that is a duplicate", "Each value may occur only once")],
    "phq_last": [("x" + SECRET, "1 value that is not a number", "a number")],
}  # fmt: skip
CASES = [(name, *case) for name, cases in BAD_CELLS.items() for case in cases]


@pytest.mark.parametrize(("column", "bad", "problem", "allowed"), CASES)
def test_a_bad_cell_is_one_fault_with_count_and_remedy_and_without_its_value(
    frame, column, bad, problem, allowed
):
    error = faults_of(spoiled(frame, **{column: bad}))
    (fault,) = error.faults
    assert fault.column == column
    assert fault.problem.startswith(f"holds {problem}")
    assert allowed in fault.remedy
    assert str(error).startswith("The cohort does not fit its codebook; faults: 1.\n- Column ")
    assert str(fault) in str(error)
    for value in bad if isinstance(bad, list) else [bad]:
        assert value is None or str(value) in allowed + problem or str(value) not in str(error)


@pytest.mark.parametrize(("column", "bad", "problem", "allowed"), CASES)
def test_a_bad_cell_in_a_file_is_found_too(frame, tmp_path, column, bad, problem, allowed):
    spoiled(frame, **{column: bad}).to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(CohortError) as error:
        Cohort.read_csv(tmp_path / "cohort.csv", BOOK)
    assert [fault.column for fault in error.value.faults] == [column]
    assert SECRET not in str(error.value)


def test_a_column_of_nothing_but_wrong_values_is_one_fault(frame):
    (fault,) = faults_of(frame.assign(score=SECRET + "x")).faults
    assert fault.problem == "holds 4 values that are not a number"


def test_every_fault_is_reported_at_once_in_one_error(frame):
    bad = spoiled(
        frame, id=[SECRET, SECRET], age=[int(SECRET), "x"], score=np.inf, smoker="yes", gender=SECRET,
        arm=None, remission=[2, 3], dropout=SECRET, start=SECRET + "x",
    ).drop(columns=["ethnicity"]).rename(columns={"site": "sites"})  # fmt: skip
    error = faults_of(bad)
    found = [(fault.column, fault.problem) for fault in error.faults]
    assert found == [
        ("sites", "is not in the codebook"),
        ("id", "holds 1 value that is a duplicate"),
        ("site", "is missing from the table"),
        ("age", "holds 1 value that is not an integer from 18 to 90"),
        ("age", "holds 1 value out of range"),
        ("score", "holds 1 value that is infinite"),
        ("smoker", "holds 1 value that is not true or false (1 or 0)"),
        ("gender", "holds 1 value that the codebook does not list"),
        ("arm", "holds 1 value missing, but the column is required"),
        ("remission", "holds 2 values that are neither 0 nor 1"),
        ("dropout", "holds 1 value that is not true or false (1 or 0)"),
        ("ethnicity", "is missing from the table"),
        ("start", "holds 1 value that is not a date"),
    ]
    assert str(error).count("\n") == len(found)
    assert "faults: 13." in str(error)
    assert all(fault.remedy for fault in error.faults)


def test_misspelt_columns_get_a_hint(frame):
    error = faults_of(frame.rename(columns={"remission": "remision", "AGE": "age", "arm": "Arm"}))
    assert "Column 'remission' is missing from the table" in str(error)
    assert "rename the column that holds it. Did you mean 'remision'?" in str(error)
    assert "Column 'Arm' is not in the codebook" in str(error)
    assert "Did you mean 'arm'?" in str(error)


def test_a_column_that_is_not_in_the_codebook(frame):
    (fault,) = faults_of(frame.assign(wage=SECRET)).faults
    assert (fault.column, fault.problem) == ("wage", "is not in the codebook")
    assert fault.remedy == "Add it to the codebook (without a role, if it is not to be used), or drop it."


@pytest.mark.parametrize("role", ["covariate", "audit"])
def test_a_covariate_without_any_value(frame, role):
    book = BOOK.merge({"fields": [{"name": "score", "role": role}]})
    empty = frame.assign(score=[None, "", "NA", np.nan])
    if role == "audit":
        assert Cohort(empty, book).audit["score"].isna().all()
        return
    (fault,) = faults_of(empty, book).faults
    assert (fault.column, fault.problem) == ("score", "has no values")
    assert "needs at least one value" in fault.remedy


def test_a_codebook_without_covariates(frame):
    with pytest.raises(CohortError, match=r"no column with the role covariate\. It needs at least one"):
        Cohort(frame[["id", "arm"]], BOOK.subset(["id", "arm"]))


LEAKS = {
    "itself": (lambda y: y, True),
    "turned round": (lambda y: 1 - y, True),
    "as booleans": (lambda y: y.astype(bool).astype(object), True),
    "as texts": (lambda y: y.map({0: "ill", 1: "well"}), True),
    "as other numbers": (lambda y: y.map({0: 8, 1: 9}), True),
    "with gaps": (lambda y: y.where(y.index != 3), True),
    "but for one patient": (lambda y: y.where(y.index != 3, 1 - y), False),
    "a constant": (lambda y: y * 0, False),
    "three values": (lambda y: y + (y.index == 3) * 3, False),
}


@pytest.mark.parametrize("how", LEAKS)
def test_a_covariate_that_repeats_the_outcome(how):
    change, leaks = LEAKS[how]
    y = pd.Series(np.random.default_rng(0).integers(0, 2, 60))
    table = pd.DataFrame({"age": np.arange(60) % 40, "state": change(y), "arm": "CBT", "remission": y})
    draft = Codebook.infer(table)
    follows = leaks or how in ("but for one patient", "three values")
    assert draft["state"].role == ("undecided" if follows else "covariate")
    book = draft.merge({"fields": [{"name": "state", "role": "covariate"}]})
    if not leaks:
        assert "state" in Cohort(table, book).X.columns
        return
    (fault,) = faults_of(table, book).faults
    assert fault.column == "state"
    assert fault.problem == "repeats the outcome 'remission' for every patient"
    assert "known before treatment" in fault.remedy


def test_small_tables_need_more_agreement_to_be_suspicious():
    table = pd.DataFrame(
        {"age": [31, 44], "gender": ["f", "m"], "ill": [0, 1], "arm": "a", "remission": [1, 0]}
    )
    assert Cohort(table).X.shape == (2, 4)
    four = pd.DataFrame(
        {"age": [31, 44, 50, 60], "again": [1, 0, 1, 0], "arm": "a", "remission": [1, 0, 1, 0]}
    )
    assert [fault.column for fault in faults_of(four, None).faults] == ["again"]


def test_session_scores_may_repeat_the_outcome():
    table = pd.DataFrame(
        {"age": [31, 44, 50, 60], "well_last": [1, 0, 1, 0], "arm": "a", "remission": [1, 0, 1, 0]}
    )
    cohort = Cohort(table)
    assert cohort.codebook["well_last"].role == "session_score"
    assert cohort.X.columns.tolist() == ["age", "arm"]
    with pytest.raises(CohortError, match="'well_last' repeats the outcome 'remission'"):
        Cohort(table, cohort.codebook.merge({"fields": [{"name": "well_last", "role": "covariate"}]}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda frame: Cohort(frame.head(0), BOOK),
            "The table has no rows. A cohort needs at least one patient",
        ),
        (lambda frame: Cohort(pd.DataFrame()), "no rows"),
        (lambda frame: Cohort(frame.to_dict("records"), BOOK), "must be a DataFrame; it is a list"),
        (lambda frame: Cohort(frame["age"], BOOK), "must be a DataFrame; it is a Series"),
        (lambda frame: Cohort(None), "must be a DataFrame; it is a NoneType"),
        (lambda frame: Cohort(frame.rename(columns={"age": "arm"}), BOOK), r"more than once: \['arm'\]"),
    ],
)
def test_what_is_not_a_table_of_patients(frame, call, message):
    with pytest.raises(CohortError, match=message):
        call(frame)


@pytest.mark.parametrize("book", [BOOK.to_dict(), 5, [BOOK]])
def test_what_is_not_a_codebook(frame, book):
    with pytest.raises(CodebookError, match=r"give a Codebook \(Codebook.from_dict\), a path or None"):
        Cohort(frame, book)


def test_a_drafted_codebook_does_not_disclose_values():
    table = pd.DataFrame({"x": [1.0, float(SECRET), np.inf], "arm": ["a", "b", "a"]})
    (fault,) = faults_of(table, None).faults
    assert fault.problem == "holds 1 value that is infinite"


# --- files


def write(frame, path, **options):
    frame.to_csv(path, index=False, **options)
    return path


def test_csv_gives_the_same_cohort(cohort, frame, tmp_path):
    path = write(frame, tmp_path / "cohort.csv")
    BOOK.write(tmp_path / "book.yaml")
    for book in (BOOK, tmp_path / "book.yaml", str(tmp_path / "book.yaml")):
        for read in (Cohort.read_csv, Cohort.read):
            pd.testing.assert_frame_equal(read(path, book).frame, cohort.frame)
    pd.testing.assert_frame_equal(Cohort(frame, str(tmp_path / "book.yaml")).frame, cohort.frame)


def test_parquet_gives_the_same_cohort(cohort, frame, tmp_path):
    pytest.importorskip("pyarrow")
    typed = frame.convert_dtypes().astype({"arm": "category", "start": "datetime64[ns]"})
    typed["score"] = frame["score"].astype("float64")
    typed.to_parquet(tmp_path / "cohort.parquet")
    for read in (Cohort.read_parquet, Cohort.read):
        found = read(tmp_path / "cohort.parquet", BOOK).frame
        pd.testing.assert_frame_equal(found, cohort.frame.astype(found.dtypes[["start"]].to_dict()))
    cohort.frame.to_parquet(tmp_path / "again.PARQUET")  # the ids are its index
    pd.testing.assert_frame_equal(
        Cohort.read(tmp_path / "again.PARQUET", BOOK).frame, cohort.frame, check_dtype=False
    )


@pytest.mark.parametrize(
    "options",
    [{"encoding": "utf-8-sig"}, {"lineterminator": "\r\n"}, {"quoting": 1}, {"na_rep": "NA"}],
    ids=str,
)
def test_dialects_of_csv_that_are_read(cohort, frame, tmp_path, options):
    path = write(frame, tmp_path / "cohort.csv", **options)
    pd.testing.assert_frame_equal(Cohort.read_csv(path, BOOK).frame, cohort.frame)


def test_texts_that_pandas_takes_for_missing_stay_texts(tmp_path):
    (tmp_path / "cohort.csv").write_text("nation,arm\nNA,None\nUK,nan\nNA,null\n")
    fields = [{"name": "nation", "role": "covariate"}, {"name": "arm", "role": "arm"}]
    cohort = Cohort.read_csv(tmp_path / "cohort.csv", Codebook.from_dict({"fields": fields}))
    assert cohort.frame["nation"].tolist() == ["NA", "UK", "NA"]
    assert cohort.received.tolist() == ["None", "nan", "null"]


def test_leading_zeros_are_kept(tmp_path):
    (tmp_path / "cohort.csv").write_text("id,age,arm\n007,31,01\n07,44,1\n")
    cohort = Cohort.read_csv(tmp_path / "cohort.csv", Codebook.from_dict({"fields": [
        {"name": "id", "role": "id"}, {"name": "age", "type": "integer", "role": "covariate"},
        {"name": "arm", "role": "arm"}]}))  # fmt: skip
    assert cohort.received.to_dict() == {"007": "01", "07": "1"}


@pytest.mark.parametrize("book", [BOOK, None], ids=["book", "draft"])
@pytest.mark.parametrize(("separator", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_file_with_another_separator_is_read_with_a_warning(frame, tmp_path, separator, said, book):
    path = write(frame, tmp_path / "cohort.csv", sep=separator)
    with pytest.warns(TreatselWarning, match=f"separated by {said}"):
        table = read_csv(path, book)
    pd.testing.assert_frame_equal(table, read_csv(write(frame, tmp_path / "usual.csv")))
    pd.testing.assert_frame_equal(table, read_csv(path, book, separator=separator))  # stated: no warning


def test_decimal_commas_become_points(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("pid;age;note\n1;34,5;a,b\n2;-41,2;1.234,5\n", encoding="utf-8")
    with pytest.warns(TreatselWarning, match="decimal sign ','"):
        table = read_csv(path)
    assert table["age"].tolist() == ["34.5", "-41.2"]
    assert table["note"].tolist() == ["a,b", "1.234,5"], "only whole cells that are numbers change"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"sep=;\npid;age\n1;34\n2;41\n", [["1", "34"], ["2", "41"]]),
        (b'"age" "sex"\n"1" 34 "m"\n"2" 41 "f"\n', [["1", "34", "m"], ["2", "41", "f"]]),  # write.table of R
        ("pid,\u00e4ge\n1,34\n".encode("cp1252"), [["1", "34"]]),
        ("pid,age\n1,34\n".encode("utf-16"), [["1", "34"]]),
    ],
)
def test_what_other_programs_write_is_recognized(tmp_path, content, rows):
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        assert read_csv(path).to_numpy().tolist() == rows


def test_compressed_files_are_read(frame, tmp_path):
    frame.to_csv(tmp_path / "cohort.csv.gz", index=False)
    pd.testing.assert_frame_equal(
        read_csv(tmp_path / "cohort.csv.gz"), read_csv(write(frame, tmp_path / "usual.csv"))
    )


def test_a_text_with_semicolons_in_its_cells_stays_comma_separated(tmp_path):
    (tmp_path / "cohort.csv").write_text("pid,note\n1,a;b\n2,c;d\n3,e;f\n")
    assert read_csv(tmp_path / "cohort.csv").columns.tolist() == ["pid", "note"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_read_whole(frame, tmp_path):
    content = write(frame, tmp_path / "usual.csv").read_bytes()
    os.mkfifo(tmp_path / "pipe.csv")
    writer = threading.Thread(target=(tmp_path / "pipe.csv").write_bytes, args=(content,))
    writer.start()
    table = read_csv(tmp_path / "pipe.csv")
    writer.join()
    pd.testing.assert_frame_equal(table, read_csv(tmp_path / "usual.csv"))


@pytest.mark.parametrize("first", ["no value", "whole numbers"])
def test_parquet_files_of_a_folder_share_one_schema(tmp_path, first):
    pytest.importorskip("pyarrow")
    folder, scores = tmp_path / "t.parquet", {"no value": [None, None], "whole numbers": [1, 2]}[first]
    folder.mkdir()
    pd.DataFrame({"pid": ["a", "b"], "score": scores}).to_parquet(folder / "part0.parquet", index=False)
    pd.DataFrame({"pid": ["c"], "score": [2.5]}).to_parquet(folder / "part1.parquet", index=False)
    whole = read_parquet(folder)
    assert whole["score"].iloc[2] == 2.5
    chunks = pd.concat(read_chunks(folder, rows=2))
    pd.testing.assert_frame_equal(chunks.reset_index(drop=True), whole)


def test_parquet_files_of_different_types_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"score": [1.0]}).to_parquet(tmp_path / "part0.parquet", index=False)
    pd.DataFrame({"score": [SECRET]}).to_parquet(tmp_path / "part1.parquet", index=False)
    with pytest.raises(CohortError, match=r"'score' of .* has different types") as error:
        read_parquet(tmp_path)
    assert SECRET not in str(error.value)


def test_a_file_without_a_header_does_not_show_its_first_patient(frame, tmp_path):
    first = {"ref": SECRET, "score": int(SECRET), "phq_last": int(SECRET)}
    path = write(frame.assign(**first), tmp_path / "cohort.csv", header=False)
    with pytest.raises(CohortError, match="Its first line must hold the names of the columns") as error:
        Cohort.read_csv(path, BOOK)
    assert SECRET not in str(error.value)
    assert "p1" not in str(error.value)
    assert "Column 'arm' is missing" in str(error.value)


def test_names_in_capitals_get_a_hint(frame, tmp_path):
    path = write(frame.rename(columns=str.upper), tmp_path / "cohort.csv")
    with pytest.raises(CohortError, match=r"Column 'gender' is missing.*Did you mean 'GENDER'"):
        Cohort.read_csv(path, BOOK)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read .*cohort.csv: No such file or directory"),
        (b"", r"is not a readable \.csv file"),
        (b"\n\n", r"is not a readable \.csv file"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe" + SECRET.encode(), "is not text in UTF-8. Save it as CSV UTF-8"),
        (b"id,age,arm\n1,2,a\n1,2,a,987654\n", r"\.csv file \(Expected 3 fields in line 3, saw 4\)"),
        (b'id,age,arm\n1,"987654,a\n', r"\.csv file \(EOF inside string\)"),
        (b"id,age,arm\n1,2,a,987654\n2,3,b,987654\n", "rows of .* have more cells than the header has names"),
        (b"id,age,arm\n", "The table has no rows"),
        (b"id,age,arm,age\n1,987654,a,987654\n", r"more than once: \['age'\]"),
    ],
)
@pytest.mark.parametrize("book", [None, BOOK.subset(["id", "age", "arm"])], ids=["draft", "book"])
def test_files_that_are_not_cohorts(tmp_path, content, message, book):
    if content is not None:
        (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError, match=message) as error:
        Cohort.read_csv(tmp_path / "cohort.csv", book)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "content", [None, b"", b"PAR1", b"PAR1" + b"\x00" * 50 + b"PAR1", b"id,arm\n987654,a\n"]
)
def test_files_that_are_not_parquet(tmp_path, content):
    pytest.importorskip("pyarrow")
    if content is not None:
        (tmp_path / "cohort.parquet").write_bytes(content)
    with pytest.raises(
        CohortError, match=r"(Cannot read .*cohort\.parquet|is not a readable \.parquet file)"
    ):
        Cohort.read_parquet(tmp_path / "cohort.parquet", BOOK)


def test_directories_are_not_cohorts(tmp_path):
    with pytest.raises(CohortError, match=r"Cannot read .*: Is a directory"):
        Cohort.read_csv(tmp_path, BOOK)
    pytest.importorskip("pyarrow")
    with pytest.raises(TreatselError):
        Cohort.read_parquet(tmp_path, BOOK)


def test_the_suffix_determines_the_format(frame, tmp_path):
    path = write(frame, tmp_path / "usual.csv")
    frame.to_csv(tmp_path / "cohort.csv.gz", index=False)
    (tmp_path / "cohort.tsv").write_bytes(path.read_bytes())
    for name in ("cohort.csv.gz", "cohort.tsv"):
        pd.testing.assert_frame_equal(Cohort.read(tmp_path / name, BOOK).frame, Cohort.read(path, BOOK).frame)
    (tmp_path / "cohort.xlsx").write_bytes(b"")
    with pytest.raises(CohortError, match=r"openpyxl|not a readable"):
        Cohort.read(tmp_path / "cohort.xlsx")


def test_the_codebook_is_read_first(tmp_path):
    with pytest.raises(CodebookError, match="Cannot read the codebook"):
        Cohort.read_csv(tmp_path / "absent.csv", tmp_path / "absent.yaml")


def test_a_written_index_is_not_a_covariate(tmp_path):
    table = pd.DataFrame({"age": [31, 44, 50], "arm": ["a", "b", "a"]})
    table.to_csv(tmp_path / "cohort.csv")
    assert Cohort.read_csv(tmp_path / "cohort.csv").codebook.covariates == ("age",)


# --- invariances

words = st.sampled_from(["", "NA", "nan", "inf", "1", "CBT", "p1"])
numbers = st.one_of(st.integers(), st.floats(), st.booleans())
cells = st.one_of(st.none(), numbers, words, st.text(max_size=4), st.dates())


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 3), column=st.sampled_from(list(ROWS)), value=cells)
def test_one_odd_cell_gives_a_cohort_or_a_cohort_error(frame, row, column, value):
    frame = frame.copy()
    frame[column] = [value if i == row else old for i, old in enumerate(frame[column])]
    try:
        cohort = Cohort(frame, BOOK)
    except CohortError as error:
        columns = {fault.column for fault in error.faults}
    else:
        columns = {column}
        numeric = cohort.X.select_dtypes("number")
        assert not np.isinf(numeric.to_numpy()).any()
        assert set(cohort.received) <= {"CBT", "SSRI"}
        assert set(cohort.y.to_numpy()[cohort.y.notna()]) <= {0, 1}
    assert columns == {column}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(list(ROWS)), rows=st.permutations(range(4)))
def test_order_of_columns_and_rows_does_not_matter(cohort, frame, order, rows):
    shuffled = Cohort(frame[order].iloc[rows], BOOK)
    pd.testing.assert_frame_equal(shuffled.frame.sort_index(), cohort.frame)
