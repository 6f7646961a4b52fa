"""One record at a time: the same numbers as in a table, from any thread, for any content of the record."""

import copy
import dataclasses
import datetime
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier

import treatsel as ts
from treatsel import serve
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, InputError, TreatselError
from treatsel.models import ArmwiseClassifier
from treatsel.predictions import OUT_OF_SCOPE_CODES, WARNING_CODES, Predictions
from treatsel.recommendation import Recommendations

STORED = Path(__file__).parents[1] / "artifacts" / "format_1.treatsel"


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(600, random_state=3).cohort


@pytest.fixture(scope="module")
def fitted(cohort):
    with pytest.warns(ts.errors.TreatselWarning):
        return ts.TreatmentSelector(codebook=cohort.codebook, random_state=0).fit(cohort.X, cohort.y)


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model.treatsel"
    ts.save_model(fitted, path, intended_use="A test.")
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return ts.load_model(path)


@pytest.fixture(scope="module")
def served(path):
    return serve.load_model(path)


@pytest.fixture(scope="module")
def records(cohort):
    rows = cohort.X.drop(columns="arm").head(60).to_dict(orient="records")
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


def codes(found):
    """Warnings as (code, column)."""
    return set(zip(found.flags["code"], found.flags["column"], strict=True))


def as_dict_or_error(selector, X, **options):
    """The content of a prediction as a dict, or its error."""
    try:
        return selector.predict(X, **options).to_dict()
    except TreatselError as error:
        return type(error), str(error)


def without_keys(told):
    """Unknown keys are reported for records only: other columns of a table are ignored."""
    if isinstance(told, dict):
        told["warnings"] = [row for row in told["warnings"] if row["code"] != "unknown_key"]
    return told


def assert_same(one, many):
    if isinstance(one, tuple) or isinstance(many, tuple):
        assert one == many
        return
    assert {**one, "predictions": None} == {**many, "predictions": None}
    for a, b in zip(one["predictions"], many["predictions"], strict=True):
        assert a["probability"] == b["probability"]  # to the last bit
        assert (a["outcome"], a["arm"]) == (b["outcome"], b["arm"])
        assert [a["lower"], a["upper"]] == pytest.approx([b["lower"], b["upper"]], abs=1e-12)


def assert_close(one, other):
    """The same content, numbers to 1e-12."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_close(one[key], other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-12)
    else:
        assert one == other


class TestOneRecordIsOneRow:
    @pytest.mark.parametrize("name", ["fitted", "loaded", "served"])
    def test_predictions_are_those_of_a_table(self, request, loaded, records, name):
        model = request.getfixturevalue(name)
        for record in records[:15]:
            one, many = as_dict_or_error(model, record), as_dict_or_error(loaded, [record])
            if name == "fitted":  # it was saved, but does not store the id of the file
                many["audit"] = {**many["audit"], "model_id": None, "intended_use": None}
            assert_same(one, many)

    def test_recommendations_are_those_of_a_table(self, loaded, served, records):
        preferences = dict(zip(loaded.outcomes_, (0.7, 0.3), strict=True))
        for record in records[:8]:
            options = {"preferences": preferences, "rule": "switch", "on_invalid": "flag"}
            many = loaded.recommend([record], **options)
            for model in (loaded, served):
                one = model.recommend(record, **options)
                assert isinstance(one, Recommendations)
                pd.testing.assert_frame_equal(one.to_frame(), many.to_frame())
                pd.testing.assert_frame_equal(one.utility, many.utility)

    def test_by_arm_values_are_those_of_a_table(self, loaded, served, records):
        for outcome in (None, *loaded.outcomes_):
            table = loaded.predict_by_arm([records[0]], outcome)
            pd.testing.assert_frame_equal(loaded.predict_by_arm(records[0], outcome), table)
            assert served.predict_by_arm(records[0], outcome) == table.iloc[0].to_dict()

    def test_tables_are_made_on_request(self, loaded, records):
        one, many = loaded.predict(records[0]), loaded.predict([records[0]])
        assert isinstance(one, Predictions)
        assert repr(one).startswith("Predictions(1 patient,")
        for name in loaded.outcomes_:
            pd.testing.assert_frame_equal(one.by_arm(name), many.by_arm(name))
        pd.testing.assert_frame_equal(one.to_frame(), many.to_frame(), atol=1e-12)
        pd.testing.assert_series_equal(one.out_of_scope, many.out_of_scope)
        assert one.in_scope.tolist() == (~many.out_of_scope).tolist()
        assert one.plot().get_xlabel() == many.plot().get_xlabel()

    def test_a_model_that_is_not_a_sum_reads_records_as_tables(self, cohort, records):
        from sklearn.ensemble import RandomForestClassifier

        forest = ts.models.PooledClassifier(RandomForestClassifier(10, random_state=0))
        selector = ts.TreatmentSelector(estimator=forest, codebook=cohort.codebook, random_state=0)
        with pytest.warns(ts.errors.TreatselWarning):
            selector.fit(cohort.X, cohort.y["recovery"])
        assert_same(as_dict_or_error(selector, records[0]), as_dict_or_error(selector, [records[0]]))

    def test_what_was_learned_cannot_be_set(self, fitted, loaded):
        for selector in (fitted, loaded):
            for name in ("default_arm_", "codebook_", "training_", "arms_"):
                with pytest.raises(AttributeError):
                    setattr(selector, name, None)

    def test_nothing_that_predicts_can_be_changed_in_place(self, fitted, loaded):
        for selector in (fitted, loaded):
            additive = selector.additive_["dropout"]
            for array in (additive.intercept, selector.model_.assignment_model.coefficients):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 9
            with pytest.raises(TypeError):
                selector.model_.development.training["n"][0] = 0
            table = selector.assignment_.table
            table["auc"] = 0.5
            assert not (selector.assignment_.table["auc"] == 0.5).all()

    def test_a_file_states_how_the_fitted_model_was_assigned(self, fitted, tmp_path):
        changed = copy.deepcopy(fitted).set_params(assignment="randomised", arm="other")
        ts.save_model(changed, tmp_path / "m.treatsel", intended_use="A test.")
        again = ts.load_model(tmp_path / "m.treatsel")
        assert (again.model_.assignment, again.arm) == (fitted.model_.assignment, "arm")

    def test_other_models_need_the_same_arms_and_covariates(self, fitted):
        model = fitted.additive_["dropout"]
        turned = dataclasses.replace(model, arms_=model.arms_[::-1])
        with pytest.raises(InputError, match="has the arms"):
            fitted.with_models({"dropout": turned})
        with pytest.raises(InputError, match="outcome is 'remision'"):
            fitted.with_models({"remision": model})
        same = fitted.with_models({"dropout": model})
        assert same.get_params() == fitted.get_params()
        assert same.model_.model_id is None

    @pytest.mark.parametrize("missing", [math.nan, None])
    def test_a_patient_without_an_id_is_flagged_like_others(self, loaded, cohort, missing):
        rows = cohort.X.head(3).copy()
        rows.index = pd.Index([1.0, missing, 3.0])
        rows.iloc[1, rows.columns.get_loc("age")] = 1e9
        assert loaded.predict(rows, on_invalid="flag").out_of_scope.tolist() == [False, True, False]
        statuses = loaded.recommend(rows, on_invalid="flag").to_frame()["status"]
        assert statuses.iloc[1] == "out_of_scope"

    def test_every_result_can_be_replaced_in_part(self, loaded, records):
        for X in (records[0], records[:3]):
            predictions, recommendations = loaded.predict(X), loaded.recommend(X)
            assert dataclasses.replace(predictions, level=0.9).level == 0.9
            assert dataclasses.replace(recommendations, margin=0.1).margin == 0.1
            explanation = ts.explain(loaded, X, arm="cbt")
            assert dataclasses.replace(explanation, outcome="other").outcome == "other"
        assert dataclasses.replace(loaded.model_, model_id="x").model_id == "x"

    def test_one_model_serves_the_selector_the_file_and_the_service(self, fitted, loaded, served):
        assert type(fitted.model_) is type(loaded.model_) is type(served) is serve.FittedModel
        assert {field.name for field in dataclasses.fields(served)} >= {"models", "codebook", "development"}

    def test_boosted_trees_give_a_record_the_bits_of_a_table(self, cohort, records):
        boosted = LGBMClassifier(n_estimators=15, min_child_samples=40, n_jobs=1, verbose=-1)
        X = pd.concat([cohort.X, cohort.X.head(4).assign(arm="new")], ignore_index=True)
        y = pd.concat([cohort.y["dropout"], cohort.y["dropout"].head(4)], ignore_index=True).fillna(0)
        y.iloc[-4:] = [0, 1, 0, 1]  # an arm whose trees have no split
        with pytest.warns(ts.errors.TreatselWarning):
            model = ts.TreatmentSelector(estimator=ArmwiseClassifier(boosted), event_is_good=False).fit(X, y)
        table = model.predict_by_arm(records)
        assert "new" in table
        for i, record in enumerate(records[:20]):
            assert model.predict_by_arm(record).iloc[0].tolist() == table.iloc[i].tolist()

    @pytest.mark.slow
    def test_a_new_fit_replaces_the_served_model(self, cohort, records):
        selector = ts.TreatmentSelector(
            estimator="hierarchical", codebook=cohort.codebook, assignment="randomised", random_state=0
        )
        y = cohort.y["recovery"].fillna(0)
        X = cohort.X.join(cohort.frame[["service", "therapist"]])
        first = selector.fit(X, y).predict(records[0]).by_arm().to_numpy()
        second = selector.fit(X, 1 - y).predict(records[0]).by_arm().to_numpy()
        assert (first != second).all()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", " 31 ", "1e5", "nan", "-inf", "1_000", "٣", "0x10", "true", "False", "1.0", "\x00"]),
    st.sampled_from([10**400, -(10**5000), 1e308, -1e101, math.inf, -math.inf, math.nan, -0.0, 5e-324]),
    st.sampled_from(
        [np.float32("nan"), np.int8(3), np.bool_(True), np.str_("x"), Decimal("NaN"), Decimal("1e500")]
    ),
    st.sampled_from([pd.NA, pd.NaT, np.datetime64("NaT", "ns"), pd.Timestamp("2024-01-01"), b"31", 3 + 4j]),
    st.sampled_from([[], [1], {}, {"a": 1}, (1, 2), {1}, object, len]),
)


@pytest.mark.slow
@given(data=st.data(), on_invalid=st.sampled_from(["raise", "flag"]))
@settings(max_examples=60, deadline=None)
def test_odd_values_mean_the_same_in_a_record_and_in_a_table(loaded, records, data, on_invalid):
    record = dict(data.draw(st.sampled_from(records)))
    for name in data.draw(st.lists(st.sampled_from(sorted(record)), max_size=3)):
        record[name] = data.draw(ODD)
    one, many = (as_dict_or_error(loaded, X, on_invalid=on_invalid) for X in (record, [record]))
    assert_same(without_keys(one), many)


class TestBadRecords:
    def test_all_faults_are_reported_at_once_without_values(self, served, records):
        record = {**records[0], "age": "secret", "phq9_start": 99}
        del record[next(name for name in served.codebook.covariates if name not in ("age", "phq9_start"))]
        with pytest.raises(CohortError) as caught:
            served.predict(record)
        assert len(caught.value.faults) == 3
        assert "secret" not in str(caught.value)
        assert "99" not in str(caught.value)

    def test_a_flagged_record_is_predicted_and_out_of_scope(self, served, records):
        found = served.predict({**records[0], "age": "secret", "phq9_start": 1e200}, on_invalid="flag")
        assert {("wrong_type", "age"), ("infinite", "phq9_start")} <= codes(found)
        assert not found.in_scope.any()
        told = served.recommend({**records[0], "age": -1}, on_invalid="flag").to_dict()
        (row,) = told["recommendations"]
        assert (row["status"], row["arm"]) == ("out_of_scope", None)
        json.dumps(told, allow_nan=False)

    def test_unknown_keys_are_reported(self, served, records):
        known = {"arm": "cbt", served.outcomes[0]: 1}
        found = served.predict({**records[0], "Age": 40, **known})
        assert {flag for flag in codes(found) if flag[0] == "unknown_key"} == {("unknown_key", "Age")}
        assert found.in_scope == served.predict(records[0]).in_scope

    def test_a_record_cannot_make_a_result_large(self, served, records):
        usual = len(served.predict(records[0]).to_json())
        keys = {f"{i:x}" + "k" * 500: 0 for i in range(5_000)}
        for method in (served.predict, served.recommend):
            found = method({**records[0], **keys})
            pairs = zip(found.flags["code"], found.flags["column"], strict=True)
            named = [column for code, column in pairs if code == "unknown_key"]
            assert named[-1] == "... and 4,995 more"
            assert [len(name) for name in named[:-1]] == [60] * 5
            assert len(json.dumps(found.to_dict())) < usual + 5_000

    @pytest.mark.parametrize(
        "patient",
        ["A" * 257, 10**5000, {"a": "A" * 257}, ["A"] * 99],
        ids=["text", "number", "object", "list"],
    )
    def test_an_id_has_a_largest_length(self, served, records, patient):
        name = served.codebook.name("id")
        for method in (served.predict, served.recommend):
            with pytest.raises(InputError, match="more than 256 characters") as caught:
                method({**records[0], name: patient})
            assert "AAA" not in str(caught.value)
            assert method({**records[0], name: "A" * 256}).patients == ("A" * 256,)

    @pytest.mark.parametrize("record", [None, 3, "x", [], [("age", 3)]])
    def test_non_records_are_refused(self, served, record):
        for method in (served.predict, served.predict_by_arm, served.recommend):
            with pytest.raises(InputError, match=r"a record or a list of records|has no rows"):
                method(record)

    def test_keys_must_be_texts(self, served, records):
        with pytest.raises(InputError, match="1 key of a type other than text"):
            served.predict({**records[0], 3: 4})

    @pytest.mark.parametrize(
        ("method", "options", "message"),
        [
            ("predict", {"level": 1.5}, "level is 1.5"),
            ("predict", {"on_invalid": "ignore"}, "'raise' or 'flag'"),
            ("predict_by_arm", {"outcome": "remision"}, "outcome is 'remision'"),
            ("recommend", {"rule": "best"}, "rule is 'best'"),
            ("recommend", {"margin": 1}, "margin is 1"),
            ("recommend", {"excluded": {"surgery": "no"}}, "An arm to exclude is 'surgery'"),
            ("recommend", {"preferences": {"sleep": 1}}, "unknown key 'sleep'"),
        ],
    )
    def test_bad_options_are_refused(self, served, records, method, options, message):
        with pytest.raises(InputError, match=message):
            getattr(served, method)(records[0], **options)


class TestAudit:
    def test_an_audit_record_reproduces_the_prediction(self, served, loaded, records):
        for record in records[:5]:
            found = served.predict(record, level=0.9, on_invalid="flag")
            audit = json.loads(found.to_json())["audit"]
            for model in (served, loaded):
                assert model.reproduce(audit, record).to_json() == found.to_json()

    def test_another_record_model_or_version_is_refused(self, served, records):
        audit = served.predict(records[0]).audit
        for changed, record, message in [
            (audit, records[1], "its digest differs"),
            ({**audit, "model_id": "0" * 64}, records[0], "model_id"),
            ({**audit, "library_version": "0"}, records[0], "library_version"),
            ({"model_id": audit["model_id"]}, records[0], "lacks"),
            (None, records[0], "not a mapping"),
        ]:
            with pytest.raises(InputError, match=message):
                served.reproduce(changed, record)

    def test_a_recommendation_carries_it_too(self, served, records):
        record = {**records[0], "Age": 40}
        found, told = served.recommend(record), served.predict(record)
        shared = set(found.audit) & set(told.audit) - {"kind"}
        assert {key: found.audit[key] for key in shared} == {key: told.audit[key] for key in shared}
        assert ("unknown_key", "Age") in codes(found)
        written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert written["audit"]["intended_use"] == {"purpose": "A test."}
        assert {"patient": 0, "code": "unknown_key", "column": "Age"} in written["warnings"]
        assert served.reproduce(written["audit"], record).to_dict() == found.to_dict()

    OPTIONS = (
        {},
        {"preferences": {"recovery": 3, "dropout": 1}, "rule": "switch", "margin": 0.1, "level": 0.8},
        {"preferences": {"dropout": 0.1, "recovery": 0.2}, "excluded": {"cbt": "no therapist"}},
        {"on_invalid": "flag", "date": "2030-01-31"},
        {"comparator": "ipt", "rule": "switch", "p_switch": 0.6},
        {"rule": "default"},
    )

    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_recommendation_is_reproduced_with_what_decided(self, served, loaded, records, options):
        for record in records[:5]:
            found = served.recommend(record, **options)
            audit = json.loads(found.to_json(), parse_constant=pytest.fail)["audit"]
            for model in (served, loaded):
                assert model.reproduce(audit, record).to_json() == found.to_json()

    def test_the_table_and_the_record_decide_alike(self, loaded, records):
        for options in self.OPTIONS:
            one, many = (loaded.recommend(X, **options).to_dict() for X in (records[3], [records[3]]))
            assert_close(one, many)

    def test_what_decided_is_recorded(self, served, records):
        options = self.OPTIONS[1] | {"excluded": {"cbt": "no therapist", "ipt": "declined"}}
        found = served.recommend(records[0], **options)
        content = found.to_dict()
        assert content["preferences"] == {"recovery": 3.0, "dropout": 1.0}
        for key in (
            "preferences",
            "rule",
            "margin",
            "level",
            "p_switch",
            "comparator",
            "excluded",
            "default_arm",
        ):
            assert content[key] == found.audit[key]
        (row,), (decision,) = content["recommendations"], found.audit["decisions"]
        assert decision == {key: row[key] for key in ("arm", "status", "status_reasons")}
        assert found.audit["excluded"] == {"cbt": "no therapist", "ipt": "declined"}

    def test_a_changed_recommendation_is_refused_with_what_differs(self, served, records):
        audit = served.recommend(records[0], margin=0.9).audit
        (decision,) = audit["decisions"]
        other = next(arm for arm in served.arms if arm != decision["arm"])
        changed = [{**decision, "arm": other, "status": "clear_gain"}]
        for altered, message in [
            ({**audit, "decisions": changed}, rf"differs in arm \(recorded '{other}', now .+\), status"),
            ({**audit, "margin": 0.0, "rule": "best"}, "rule is 'best'"),
            ({**audit, "excluded": {decision["arm"]: "declined"}}, "differs in arm"),
            ({**audit, "decisions": changed * 2}, "several patients"),
            ({**audit, "date": "31.01.2030"}, "date must be a date"),
            ({**audit, "kind": "advice"}, "The kind of the audit record is 'advice'"),
            ({key: audit[key] for key in audit if key != "preferences"}, r"lacks \['preferences'\]"),
        ]:
            with pytest.raises(InputError, match=message):
                served.reproduce(altered, records[0])

    def test_permissions_are_compared(self, loaded, records):
        allowed = pd.DataFrame(True, index=[0], columns=list(loaded.arms_))
        allowed["cbt"] = False
        found = loaded.recommend(records[0], allowed=allowed)
        assert found.to_dict()["recommendations"][0]["excluded"] == {"cbt": "not permitted for this patient"}
        again = loaded.reproduce(found.audit, records[0], allowed=allowed[allowed.columns[::-1]])
        assert again.to_dict() == found.to_dict()
        with pytest.raises(InputError, match="Pass it as allowed="):
            loaded.reproduce(found.audit, records[0])
        with pytest.raises(InputError, match="allowed is not the table"):
            loaded.reproduce(found.audit, records[0], allowed=allowed | True)

    def test_an_explanation_is_reproduced_too(self, served, loaded, records):
        for options in ({"arm": "cbt"}, {"contrast": ("cbt", "ipt"), "scale": "probability"}):
            found = served.explain(records[1], outcome="dropout", date="2030-01-31", **options)
            audit = json.loads(found.to_json(), parse_constant=pytest.fail)["audit"]
            assert served.reproduce(audit, records[1]).to_json() == found.to_json()
        other = served.explain(records[1], arm="cbt", background=records[:20])
        with pytest.raises(InputError, match="background that the audit record does not hold"):
            served.reproduce(other.audit, records[1])

    def test_reasons_name_what_put_a_patient_out_of_scope(self, served, loaded, records):
        record = {**records[0], "age": -1, "phq9_start": "secret"}
        for found in (
            served.recommend(record, on_invalid="flag"),
            loaded.recommend([records[1], record], on_invalid="flag"),
        ):
            content = found.to_dict()
            codes_of = {
                (each["code"], each["about"]) for each in content["recommendations"][-1]["status_reasons"]
            }
            assert {("out_of_range", "age"), ("wrong_type", "phq9_start")} <= codes_of
            assert not {code for code, _ in codes_of} - OUT_OF_SCOPE_CODES
            assert "secret" not in found.to_json()
            assert content["audit"]["decisions"][-1]["status"] == "out_of_scope"

    def test_a_model_without_draws_says_so(self, served, records):
        bare = served.without_draws()
        for X in (records[0], records[:3]):
            table = bare.recommend(X, preferences={"recovery": 1, "dropout": 1}).to_frame()
            assert set(table["status"]) <= {"no_interval", "out_of_scope", "insufficient_evidence"}
            silent = table[table["status"] == "no_interval"]["status_reasons"]
            assert len(silent)
            assert set(silent) == {(("no_interval", "recovery"), ("no_interval", "dropout"))}
        one = served.recommend(records[0], excluded=dict.fromkeys(served.arms[1:], "no")).to_frame().iloc[0]
        assert (one["status"], one["arm"]) == ("only_option", served.arms[0])


@pytest.fixture(scope="module")
def dated(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("dated") / "model.treatsel"
    use = {"purpose": "A test.", "review_date": datetime.date(2027, 1, 31)}
    ts.save_model(fitted, path, intended_use=use)
    return path


@pytest.fixture(params=[serve.load_model, ts.load_model], ids=["served", "loaded"])
def dated_model(dated, request):
    return request.param(dated)


class TestReviewDate:
    @pytest.mark.parametrize("several", [False, True])
    def test_every_patient_of_an_expired_model_is_warned(self, dated_model, records, several):
        X, n = (records[:4], 4) if several else (records[0], 1)
        for date, expired in [
            (None, False),
            ("2027-01-31", False),
            ("2027-02-01", True),
            (datetime.date(2031, 5, 1), True),
            (datetime.datetime(2027, 1, 31, 23, 59), False),
            (pd.Timestamp("2027-02-01 08:00"), True),
        ]:
            for found in (
                dated_model.predict(X, date=date),
                dated_model.recommend(X, date=date),
                ts.explain(dated_model, X, arm="cbt", date=date),
            ):
                told = found.to_dict()
                flags = [row for row in told["warnings"] if row["code"] == "model_expired"]
                assert len(flags) == n * expired
                assert all(row["column"] is None for row in flags)
                assert told["audit"]["date"] == (None if date is None else str(date)[:10])
            assert (
                dated_model.predict(X, date=date).in_scope.tolist()
                == dated_model.predict(X).in_scope.tolist()
            )

    def test_the_numbers_do_not_depend_on_the_date(self, dated_model, records):
        one, two = dated_model.recommend(records[0], date="2040-01-01"), dated_model.recommend(records[0])
        assert one.to_dict()["recommendations"] == two.to_dict()["recommendations"]
        assert one.warnings["code"].tolist() == [*two.warnings["code"], "model_expired"]

    def test_a_model_without_a_review_date_does_not_expire(self, loaded, fitted, records):
        for model in (loaded, fitted):
            found = model.predict(records[0], date="2999-12-31")
            assert "model_expired" not in set(found.warnings["code"])

    @pytest.mark.parametrize("date", ["31.01.2027", "2027-02-30", "", 2027, 1.5, pd.NaT, True])
    def test_something_else_is_refused(self, dated_model, records, date):
        for call in (
            dated_model.predict,
            dated_model.recommend,
            lambda X, date: ts.explain(dated_model, X, arm="cbt", date=date),
        ):
            with pytest.raises(InputError, match="date must be a date such as 2027-01-31"):
                call(records[0], date=date)

    @pytest.mark.parametrize("date", ["soon", "2027", "31/01/2027", "2027-13-01", "2027-02-30", 2027, pd.NaT])
    def test_an_unreadable_review_date_is_refused_at_save(self, fitted, tmp_path, date):
        use = {"purpose": "A test.", "review_date": date}
        with pytest.raises(InputError, match="review_date in intended_use"):
            ts.save_model(fitted, tmp_path / "model.treatsel", intended_use=use)
        assert not list(tmp_path.iterdir())


class TestModelWithoutId:
    def test_a_model_without_an_id_reproduces_nothing(self, fitted, records):
        with pytest.raises(InputError, match="not from a file"):
            fitted.reproduce(fitted.predict(records[0]).audit, records[0])

    def test_the_intended_use_is_in_the_audit_record(self, served, records):
        assert served.predict(records[0]).audit["intended_use"] == {"purpose": "A test."}


class TestExplaining:
    @pytest.mark.parametrize(
        "options", [{"arm": "cbt"}, {"contrast": ("cbt", "ipt"), "scale": "probability"}]
    )
    def test_attributions_are_those_of_a_table(self, loaded, served, records, options):
        for outcome in served.outcomes:
            one = served.explain(records[2], outcome=outcome, **options)
            many = ts.explain(loaded, [records[2]], outcome=outcome, **options)
            pd.testing.assert_frame_equal(one.values, many.values, atol=1e-12)
            pd.testing.assert_frame_equal(one.to_frame(), many.to_frame(), atol=1e-12)
            assert one.base_value == pytest.approx(many.base_value, abs=1e-12)
            total = one.base_value + one.attributions.sum()
            assert total == pytest.approx(one.predictions[0], abs=1e-9)
            assert (one.outcome, one.arm, one.contrast) == (outcome, many.arm, many.contrast)
            assert one.model_id == served.model_id
            told = json.loads(one.to_json())
            assert told["explanations"][0]["attributions"] == one.values.iloc[0].to_dict()

    def test_a_value_that_breaks_the_codebook_is_explained_as_it_is_predicted(self, served, records):
        record = {**records[0], "age": "secret"}
        with pytest.raises(CohortError):
            served.explain(record, arm="cbt")
        odd = served.explain(record, arm="cbt", on_invalid="flag")
        missing = served.explain({**record, "age": None}, arm="cbt")
        np.testing.assert_array_equal(odd.attributions, missing.attributions)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "either arm="),
            ({"arm": "cbd"}, "Did you mean 'cbt'"),
            ({"contrast": ("cbt", "cbt")}, "two different arms"),
            ({"arm": "cbt", "scale": "odds"}, "'logit' or 'probability'"),
            ({"arm": "cbt", "outcome": "remision"}, "outcome is 'remision'"),
        ],
    )
    def test_bad_options_are_refused(self, served, records, options, message):
        with pytest.raises(InputError, match=message):
            served.explain(records[0], **options)

    def test_a_model_without_background_is_refused(self, served, records):
        bare = dataclasses.replace(served.development, background={})
        with pytest.raises(InputError, match="has no background"):
            dataclasses.replace(served, development=bare).explain(records[0], arm="cbt")

    @pytest.mark.parametrize("patient", [np.int64(3), b"x", pd.NA, math.nan, pd.Timestamp("2024-01-01")])
    def test_any_id_can_be_written(self, served, records, patient):
        found = dataclasses.replace(served.explain(records[0], arm="cbt"), patients=(patient,))
        assert json.loads(found.to_json())["explanations"][0]["patient"] in (
            3,
            "b'x'",
            "<NA>",
            None,
            "2024-01-01 00:00:00",
        )


class TestCompiled:
    def test_kernels_change_nothing(self, path, served, records):
        compiled = serve.load_model(path, compiled=True)
        for record in [dict.fromkeys(records[0]), *records[:20]]:
            for method in ("predict", "recommend"):
                one, other = (getattr(m, method)(record, on_invalid="flag") for m in (compiled, served))
                assert_close(one.to_dict(), other.to_dict())
            one, other = (m.explain(record, arm="ipt", on_invalid="flag") for m in (compiled, served))
            assert_close(one.to_dict(), other.to_dict())

    def test_without_numba_it_is_refused(self, path, monkeypatch):
        monkeypatch.setattr("treatsel.additive._kernel.is_available", lambda: False)
        with pytest.raises(InputError, match="needs numba"):
            serve.load_model(path, compiled=True)


class TestManyAtOnce:
    def test_threads_give_the_serial_bits(self, served, records):
        serial = [served.predict(record, on_invalid="flag").to_json() for record in records]
        start = threading.Barrier(64)

        def work(number):
            start.wait()
            picked = [(number * 7 + i) % len(records) for i in range(12)]
            return [(i, served.predict(records[i], on_invalid="flag").to_json()) for i in picked]

        with ThreadPoolExecutor(64) as pool:
            for part in pool.map(work, range(64)):
                assert all(serial[i] == text for i, text in part)

    @pytest.mark.parametrize("method", ["spawn", "fork"])
    def test_processes_give_the_serial_bits(self, served, records, method):
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            found = pool.submit(served.predict, records[0]).result()
        assert found.to_json() == served.predict(records[0]).to_json()

    def test_copies_and_pickles_are_whole(self, fitted, served, records):
        for model in (fitted, served):
            expected = model.predict(records[0]).to_json()
            for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
                assert same.predict(records[0]).to_json() == expected

    def test_memory_stays_flat(self, served, records):
        for record in records:
            served.predict(record, on_invalid="flag")
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(5):
                for record in records:
                    served.predict(record, on_invalid="flag")
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 50_000

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_forked_children_of_a_busy_process_predict(self, served, records):
        busy = True

        def work():
            while busy:
                served.predict(records[0])

        with ThreadPoolExecutor(2) as pool:
            others = [pool.submit(work) for _ in range(2)]
            for _ in range(10):
                if (child := os.fork()) == 0:
                    signal.alarm(20)  # kills a child that waits for a lock
                    served.predict(records[0])
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            busy = False
            assert [other.result() for other in others] == [None, None]

    def test_returned_objects_cannot_change_the_model(self, served, records):
        told = served.predict(records[0]).audit
        told["intended_use"]["purpose"] = "other"
        assert served.predict(records[0]).audit["intended_use"]["purpose"] == "A test."
        for mapping in (
            served.models,
            served.development.ranges,
            served.development.training,
            served.intended_use,
        ):
            with pytest.raises(TypeError, match="does not support item"):
                mapping["x"] = 1
        with pytest.raises(ValueError, match="read-only"):
            served.development.background["age"][0] = 1.0

    def test_a_model_cannot_be_changed(self, served):
        with pytest.raises(AttributeError):
            served.model_id = "other"
        model = next(iter(served.models.values()))
        with pytest.raises(ValueError, match="read-only"):
            model.intercept[0] = 9


def test_serving_imports_no_heavy_package():
    code = f"""
import sys
from treatsel import serve
model = serve.load_model({str(STORED)!r})
record = dict.fromkeys(model.codebook.covariates)
model.predict(record, on_invalid="flag").to_json()
model.recommend(record, on_invalid="flag").to_dict()
model.explain(record, arm=model.arms[0], on_invalid="flag").to_json()
heavy = {{"pandas", "sklearn", "lightgbm", "shap", "scipy", "matplotlib", "numba", "yaml", "statsmodels"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_code_is_listed(served, records):
    found = served.predict({**dict.fromkeys(records[0], "?"), "strange": 1}, on_invalid="flag")
    assert set(found.flags["code"]) <= set(WARNING_CODES)


def test_odd_records_are_predicted_or_refused():
    from fuzz.records import run

    counts = run(str(STORED), 0, 600)
    assert counts.total() == 600
    assert {"raise: predicted, flag: predicted", "raise: CohortError, flag: out of scope"} <= set(counts)
