"""Patients out of scope: ids of faulty rows on request, reasons in every row, no unmarked probability."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel import serve
from treatsel.cli.main import main
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.errors import CodebookError, CohortError, Fault, InputError
from treatsel.explanation import explain
from treatsel.scale import predict_dask, predict_file, predict_in_chunks

STORED = Path(__file__).parents[1] / "artifacts" / "format_1.treatsel"
PATIENT = {
    **{"age": 40, "gender": "female", "phq9_start": 17, "gad7_start": 13, "wsas_start": 22},
    **{"deprivation_decile": 3, "employment": "employed", "chronicity_months": 20, "previous_episodes": 1},
    **{"comorbidity_count": 0, "long_term_condition": 0, "living_alone": 1, "prior_treatment": 0},
    **{"medication_at_start": 0, "preferred_format": "no_preference"},
}
SECRET = "SECRET-VALUE"
IDS = ["P-1", "P-2", "P-3", "P-4"]


@pytest.fixture(scope="module")
def selector():
    return ts.load_model(STORED)


@pytest.fixture(scope="module")
def served():
    return serve.load_model(STORED)


@pytest.fixture
def frame():
    """Four patients; the second has two invalid values, the fourth one."""
    table = pd.DataFrame([{"patient_id": name, **PATIENT} for name in IDS], dtype="object")
    table.loc[1, ["age", "gender"]] = [999, SECRET]
    table.loc[3, "phq9_start"] = "1e999"
    return table


CALLS = {
    "predict": lambda model, X: model.predict(X),
    "predict_by_arm": lambda model, X: model.predict_by_arm(X),
    "recommend": lambda model, X: model.recommend(X),
    "explain": lambda model, X: explain(model, X, arm="cbt"),
    "cohort": lambda model, X: Cohort(X.assign(arm="cbt"), model.codebook_),
    "chunks": lambda model, X: predict_in_chunks(model, X.set_index("patient_id")),
}


class TestFaultsAsData:
    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_an_error_gives_the_ids_of_the_faulty_rows_on_request_only(self, selector, frame, call):
        with pytest.raises(CohortError) as caught:
            CALLS[call](selector, frame)
        found = {fault.column: fault for fault in caught.value.faults if fault.rows}
        assert {name: fault.rows for name, fault in found.items()} == {
            "age": ("P-2",),
            "gender": ("P-2",),
            "phq9_start": ("P-4",),
        }
        assert found["age"].n_rows == 1
        told = json.dumps([fault.to_dict() for fault in caught.value.faults])
        for text in (str(caught.value), repr(caught.value), repr(caught.value.faults), told):
            assert "P-2" not in text
            assert SECRET not in text
            assert "999" not in text

    def test_rows_without_ids_are_named_by_their_index(self, selector, frame):
        with pytest.raises(CohortError) as caught:
            selector.predict(frame.drop(columns="patient_id").set_axis([5, 6, 7, 8]))
        assert caught.value.faults[0].rows == (6,)

    def test_a_record_is_its_own_row(self, served):
        with pytest.raises(CohortError) as caught:
            served.predict({**PATIENT, "age": 999, "patient_id": "P-9"})
        (fault,) = caught.value.faults
        assert fault.rows == ("P-9",)
        assert fault.to_dict() == {
            "column": "age",
            "problem": "holds 1 value out of range",
            "remedy": "Allowed: an integer from 18 to 90. Correct the values, or change the codebook if it "
            "is wrong.",
            "n_rows": 1,
        }

    def test_every_refusal_has_faults(self, selector, frame):
        with pytest.raises(InputError) as caught:
            selector.predict(frame.iloc[:1], level=95)
        (fault,) = caught.value.faults
        assert fault.column is None
        assert fault.problem == "level is 95"
        assert fault.remedy == "it must lie between 0 and 1, for example 0.95."
        with pytest.raises(CodebookError) as refused:
            Codebook.from_dict({"fields": []})
        assert refused.value.faults[0].problem == "The codebook has no fields"
        assert InputError("Column 'arm' has 2 missing values. Exclude them.").faults == (
            Fault(column="arm", problem="has 2 missing values", remedy="Exclude them."),
        )


class TestFlaggedTables:
    def test_every_row_stays_and_says_why_it_is_out_of_scope(self, selector, frame):
        table = selector.predict(frame, on_invalid="flag").to_frame()
        assert table["patient"].drop_duplicates().tolist() == IDS
        assert len(table) == len(IDS) * len(selector.arms_)
        first = table.groupby("patient", sort=False).first()
        assert first["in_scope"].tolist() == [True, False, True, False]
        reasons = ["", "out_of_range | outside_training_range | unseen_category", "", "infinite"]
        assert first["reason"].tolist() == reasons
        assert first["reason_column"].tolist() == ["", "age | age | gender", "", "phq9_start"]
        valid = selector.predict(frame.iloc[[0, 2]]).to_frame()
        pd.testing.assert_frame_equal(table[table["in_scope"]].reset_index(drop=True), valid)

    def test_json_marks_each_row(self, selector, served, frame):
        found = selector.predict(frame, on_invalid="flag").to_dict()
        assert [row["in_scope"] for row in found["predictions"][:: len(selector.arms_)]] == [
            *(True, False),
            *(True, False),
        ]
        record = frame.iloc[3].to_dict()
        alone = json.loads(served.predict(record, on_invalid="flag").to_json())
        assert {row["in_scope"] for row in alone["predictions"]} == {False}
        assert alone["predictions"][0]["scope_reasons"] == [{"code": "infinite", "column": "phq9_start"}]
        (told,) = served.recommend(record, on_invalid="flag").to_dict()["recommendations"]
        assert (told["in_scope"], told["arm"]) == (False, None)
        assert told["scope_reasons"] == [{"code": "infinite", "column": "phq9_start"}]
        (shown,) = served.explain(record, arm="cbt", on_invalid="flag").to_dict()["explanations"]
        assert (shown["in_scope"], shown["scope_reasons"]) == (False, told["scope_reasons"])

    def test_recommendations_and_explanations_say_why(self, selector, frame):
        table = selector.recommend(frame, on_invalid="flag").to_frame()
        assert table["in_scope"].tolist() == [True, False, True, False]
        assert table["reason"].tolist()[3] == "infinite"
        shown = explain(selector, frame, arm="cbt", on_invalid="flag").to_frame()
        assert shown.groupby("patient")["in_scope"].first().tolist() == [True, False, True, False]

    def test_by_arm_tables_are_blank_out_of_scope(self, selector, served, frame):
        expected = selector.predict_by_arm(frame.iloc[[0, 2]])
        found = selector.predict_by_arm(frame, on_invalid="flag")
        assert found.index.tolist() == IDS
        assert found.isna().all(axis=1).tolist() == [False, True, False, True]
        pd.testing.assert_frame_equal(found.iloc[[0, 2]], expected)
        chunks = predict_in_chunks(selector, frame.set_index("patient_id"), on_invalid="flag")
        pd.testing.assert_frame_equal(chunks, found, check_index_type=False)
        one = served.predict_by_arm(frame.iloc[1].to_dict(), on_invalid="flag")
        assert np.isnan(list(one.values())).all()

    def test_a_value_outside_the_training_range_is_marked_without_any_option(self, served):
        ranges = {**served.development.ranges, "age": (20.0, 35.0)}
        narrow = replace(served, development=replace(served.development, ranges=ranges))
        for X in (PATIENT, [PATIENT, {**PATIENT, "age": 30}]):
            table = narrow.predict(X).to_frame().groupby("patient").first()
            assert table.loc[0, ["in_scope", "reason", "reason_column"]].tolist() == [
                *(False, "outside_training_range", "age")
            ]
            assert table["in_scope"].tolist()[1:] == [True] * (len(table) - 1)

    def test_ids_that_are_missing_or_repeated_are_matched(self, selector, frame):
        frame["patient_id"] = ["P-1", np.nan, "P-3", "P-4"]
        found = selector.predict(frame, on_invalid="flag")
        assert [bool(reasons) for reasons in found.reasons] == [False, True, False, True]


def test_dask_partitions_are_blank_out_of_scope(selector, frame):
    dask = pytest.importorskip("dask.dataframe")
    parts = dask.from_pandas(frame.astype(str), npartitions=2)
    found = predict_dask(selector, parts, on_invalid="flag").compute()
    assert found.isna().all(axis=1).tolist() == [False, True, False, True]
    pd.testing.assert_frame_equal(
        found, selector.predict_by_arm(frame, on_invalid="flag"), check_index_type=False
    )


class TestFiles:
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_streamed_file_keeps_all_rows(self, selector, frame, tmp_path, monkeypatch, suffix):
        monkeypatch.setattr("treatsel.scale._files.CHUNK", 1)  # the first chunk has no reason, the second has
        source, out = tmp_path / "in.csv", tmp_path / f"out.{suffix}"
        frame.to_csv(source, index=False)
        predict_file(selector, source, out, on_invalid="flag")
        table = pd.read_csv(out, keep_default_na=False) if suffix == "csv" else pd.read_parquet(out)
        assert table["patient"].drop_duplicates().tolist() == IDS
        assert table.groupby("patient")["in_scope"].first().tolist() == [True, False, True, False]
        assert table.groupby("patient")["reason"].first().tolist()[3] == "infinite"

    @pytest.mark.parametrize("command", [["predict"], ["recommend"], ["explain", "--arm", "cbt"]], ids=str)
    def test_the_shell_prints_ids_only_on_request(self, frame, tmp_path, capsys, command):
        name, *options = command
        source, out = tmp_path / "in.csv", tmp_path / "out.csv"
        frame.to_csv(source, index=False)
        arguments = [name, str(STORED), str(source), *options]
        assert main(arguments) == 2
        assert "P-2" not in capsys.readouterr().err
        assert main([*arguments, "--show-ids"]) == 2
        told = capsys.readouterr().err
        assert "column 'age', ids: 'P-2'" in told
        assert "column 'phq9_start', ids: 'P-4'" in told
        assert SECRET not in told
        assert main([*arguments, "--on-invalid", "flag", "--out", str(out)]) == 0
        table = pd.read_csv(out, keep_default_na=False)
        assert table["patient"].drop_duplicates().tolist() == IDS
        assert table.groupby("patient")["in_scope"].first().tolist() == [True, False, True, False]
        assert table.groupby("patient")["reason"].first().tolist()[3] == "infinite"
