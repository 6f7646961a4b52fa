"""Safety items of a model: shown first, and without any influence on what is predicted or recommended."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import serve
from treatsel.artifact import read_manifest
from treatsel.cli.main import main
from treatsel.codebook import Codebook
from treatsel.errors import CohortError
from treatsel.models import PooledClassifier
from treatsel.report import model_card

FIELDS = [
    {"name": "id", "role": "id"},
    {"name": "age", "type": "number", "role": "covariate"},
    {"name": "severity", "type": "number", "role": "covariate"},
    {"name": "arm", "role": "arm"},
    {
        **{"name": "item9", "type": "integer", "role": "safety_item", "title": "Thoughts of self-harm"},
        **{"flag": ">= 1", "constraints": {"minimum": 0, "maximum": 3}},
    },
    {"name": "recovery", "type": "integer", "role": "outcome", "event_is_good": True},
]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 500
    age, severity = rng.normal(40, 10, n).round(1), rng.normal(15, 4, n).round(1)
    arm = rng.choice(["CBT", "SSRI"], n)
    logit = 1 - 0.1 * severity + 0.05 * (age - 40) * (arm == "CBT")
    recovery = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    # an item that would predict perfectly: a model that saw it would be found out
    columns = {"age": age, "severity": severity, "arm": arm, "item9": 3 * recovery, "recovery": recovery}
    return pd.DataFrame({"id": [f"p{i}" for i in range(n)], **columns})


def fitted_with(frame, fields=FIELDS):
    cohort = ts.Cohort(frame, Codebook.from_dict({"fields": fields}))
    model = PooledClassifier(LogisticRegression(solver="newton-cholesky"))
    return ts.TreatmentSelector(estimator=model, random_state=0, assignment="randomised").fit(cohort)


@pytest.fixture(scope="module")
def selector(frame):
    return fitted_with(frame)


@pytest.fixture(scope="module")
def path(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("safety") / "m.treatsel"
    ts.save_model(selector, path, intended_use="Tests.")
    return path


RECORD = {"id": "x", "age": 41.0, "severity": 12.0}


def test_no_model_sees_it(frame, selector):
    without = fitted_with(frame.drop(columns="item9"), [f for f in FIELDS if f["name"] != "item9"])
    for other in (without, fitted_with(frame.assign(item9=0))):
        np.testing.assert_array_equal(
            other.predict(RECORD).probability["recovery"], selector.predict(RECORD).probability["recovery"]
        )
    assert selector.codebook_.covariates == ("age", "severity")
    assert "item9" not in selector.ranges_.index
    assert "item9" not in selector.background_


@pytest.mark.parametrize("answer", [0, 1, 3, None, 9, "often"])
def test_it_never_changes_what_is_predicted_or_recommended(selector, answer):
    options = {"on_invalid": "flag"}
    for given, plain in (
        ({**RECORD, "item9": answer}, {**RECORD, "item9": 0}),
        (pd.DataFrame([{**RECORD, "item9": answer}], dtype="object"), pd.DataFrame([RECORD], dtype="object")),
    ):
        found, base = selector.recommend(given, **options), selector.recommend(plain, **options)
        pd.testing.assert_frame_equal(found.table, base.table)
        assert found.to_frame()["in_scope"].all()
        assert found.audit == base.audit
        ours, theirs = selector.predict(given, **options), selector.predict(plain, **options)
        np.testing.assert_array_equal(ours.probability["recovery"], theirs.probability["recovery"])
        assert ours.in_scope.all()


def test_a_record_and_a_table_say_the_same_first(selector):
    record = {**RECORD, "age": None, "item9": 2}
    for way in ("predict", "recommend", "explain"):
        options = {"arm": "CBT"} if way == "explain" else {}
        one = getattr(selector.model_, way)(record, **options)
        table = getattr(selector.model_, way)(pd.DataFrame([record], dtype="object"), **options)
        expected = ["safety_item", "missing_covariate"]
        for found in (one, table):
            codes = found.warnings["code"].tolist()
            assert codes == expected
        assert one.to_dict()["warnings"] == table.to_dict()["warnings"]


def test_tables_and_json_hold_the_warning_but_not_the_answer(selector):
    table = pd.DataFrame(
        {"age": [41.0, 42.0, 43.0], "severity": 12.0, "item9": [0, 3, None]}, index=["a", "b", "c"]
    )
    recommended, predicted = selector.recommend(table), selector.predict(table)
    says = ["", "safety_item: item9", "safety_item_missing: item9"]
    assert recommended.to_frame()["safety"].tolist() == says
    assert recommended.to_frame().columns[0] == "safety"
    assert predicted.to_frame().drop_duplicates("patient")["safety"].tolist() == says
    for found in (recommended, predicted):
        content = json.loads(found.to_json())
        assert content["safety"] == content["warnings"][:2]
        assert content["safety"][0] == {"patient": "b", "code": "safety_item", "column": "item9"}
        assert found.safety["patient"].tolist() == ["b", "c"]
        assert found.safety_items == ("item9",)


def test_a_wrong_answer_is_an_error_unless_it_is_flagged(selector):
    for X in ({**RECORD, "item9": 77}, pd.DataFrame([{**RECORD, "item9": 77}])):
        with pytest.raises(CohortError, match="'item9' holds 1 value out of range") as error:
            selector.recommend(X)
        assert "77" not in str(error.value)


def test_a_model_without_safety_items_says_nothing_of_them(frame):
    plain = fitted_with(frame.drop(columns="item9"), [f for f in FIELDS if f["name"] != "item9"])
    found = plain.predict(RECORD)
    assert found.to_dict()["safety"] == []
    assert "safety" not in found.to_frame()
    assert "safety" not in plain.recommend(RECORD).to_frame()


def test_the_model_file_keeps_it(path):
    assert serve.load_model(path).safety_items == ("item9",)
    loaded = ts.load_model(path)
    assert loaded.codebook_["item9"].flag == ">= 1"
    assert loaded.recommend({**RECORD, "item9": 1}).safety["code"].tolist() == ["safety_item"]
    card = model_card(read_manifest(path))
    assert "Safety items" in card
    assert "Thoughts of self-harm" in card


def test_summaries_count_flagged_patients_first_unless_few_are(selector):
    many = pd.DataFrame({"age": 41.0, "severity": 12.0, "item9": [0] * 20 + [2] * 20})
    assert selector.predict(many)._summary().facts[0] == ("patients with a flagged safety item", "20")
    few = selector.predict(many.head(22))._summary().facts[0]
    assert few == ("patients with a flagged safety item", "not shown (small counts)")


def test_a_draft_takes_it_from_the_command_line(frame, tmp_path, capsys):
    frame.to_csv(tmp_path / "c.csv", index=False)
    draft = ["codebook", str(tmp_path / "c.csv"), "--arm", "arm", "--outcome", "recovery=good"]
    assert main([*draft, "--safety-item", "item9=>= 1", "--out", str(tmp_path / "b.yaml")]) == 0
    assert "Safety items, shown first and seen by no model: ['item9']." in capsys.readouterr().err
    book = Codebook.read(tmp_path / "b.yaml")
    assert (book["item9"].role, book["item9"].flag) == ("safety_item", ">= 1")
    assert main([*draft, "--role", "item9=safety_item"]) == 2
    assert "a safety item needs flag" in capsys.readouterr().err


def test_the_commands_print_it_first(path, frame, tmp_path, capsys):
    rows = frame.head(40).drop(columns=["arm", "recovery"])
    rows.loc[0, ["age", "item9"]] = None
    rows.to_csv(tmp_path / "p.csv", index=False)
    n = int((rows["item9"] >= 1).sum())
    expected = [
        f"treatsel: warning: safety_item in column 'item9': {n} patients",
        "treatsel: warning: safety_item_missing in column 'item9': 1 patient",
    ]
    for command in ("recommend", "predict", "explain"):
        more = ["--arm", "CBT"] if command == "explain" else []
        assert main([command, str(path), str(tmp_path / "p.csv"), *more]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines[:2] == expected
