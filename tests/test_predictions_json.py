"""The reference page of the JSON of predictions lists exactly the keys that the code writes."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from treatsel import explain, recommend, serve
from treatsel.predictions import SCHEMA
from treatsel.recommendation import RULES, STATUS_REASONS, STATUSES

STORED = Path(__file__).parent / "artifacts" / "format_1.treatsel"
PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "predictions-json.md").read_text(encoding="utf-8")


def tables():
    """The first column of each table by the line that introduces it: the last heading or sentence."""
    found, title = {}, ""
    for line in PAGE.splitlines():
        if line.startswith(("#", "Each", "Further", "Codes", "`status` is")):
            title = line
        elif line.startswith("| `"):
            found.setdefault(title, []).extend(re.findall(r"`(\w+)`", line.split(" | ")[0]))
    return found


def keys_of(start):
    (title,) = [title for title in tables() if title.startswith(start)]
    return set(tables()[title])


@pytest.fixture(scope="module")
def model():
    return serve.load_model(STORED)


@pytest.fixture(scope="module")
def results(model):
    record = {**dict.fromkeys(model.codebook.covariates), "strange": 1}
    options = {"on_invalid": "flag", "date": "2030-01-31"}
    one, other = model.arms[:2]
    found = (
        model.predict(record, **options),
        model.recommend(record, excluded={one: "not offered"}, **options),
        model.explain(record, arm=one, **options),
        model.explain([record], contrast=(one, other), scale="probability", on_invalid="flag"),
        model.predict([record, record], on_invalid="flag"),
        model.recommend([record, record], on_invalid="flag", preferences={model.outcomes[0]: 1}),
        model.without_draws().predict(record, on_invalid="flag"),
        model.without_draws().recommend(record, on_invalid="flag"),
    )
    return [json.loads(each.to_json(), parse_constant=pytest.fail) for each in found]


TOP = {"predictions": "## Predictions", "recommendations": "## Recommendations", "explanation": "## Expl"}
ROWS = {
    "predictions": ("predictions", "Each entry of `predictions`"),
    "recommendations": ("recommendations", "Each entry of `recommendations`"),
    "explanation": ("explanations", "Each entry of `explanations`"),
}
AUDIT = {
    "predictions": "Further keys of the audit record of predictions",
    "recommendations": "Further keys of the audit record of recommendations",
    "explanation": "Further keys of the audit record of an explanation",
}


def test_the_page_lists_every_key(results):
    kinds = set()
    for content in results:
        kind = content["kind"].removeprefix("treatsel ")
        kinds.add(kind)
        assert set(content) == keys_of(TOP[kind])
        rows, title = ROWS[kind]
        assert content[rows]
        for row in content[rows]:
            assert set(row) == keys_of(title)
        for warning in content["warnings"]:
            assert set(warning) == keys_of("Each entry of `warnings`")
        assert set(content["audit"]) == keys_of("## Audit record") | keys_of(AUDIT[kind])
        assert content["audit"]["kind"] == kind
        assert content["schema"] == SCHEMA
    assert kinds == set(TOP)


def test_the_page_names_schema_statuses_reasons_and_rules(results):
    assert f"`schema` is currently {SCHEMA}." in PAGE
    assert PAGE.count(f"| `schema` | integer, currently {SCHEMA} |") == 4
    assert keys_of("`status` is the first of these") == set(STATUSES)
    codes = PAGE.partition("Codes of `status_reasons`")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", codes, re.MULTILINE)
    assert {code: words for code, words in rows if code in STATUS_REASONS} == STATUS_REASONS
    assert keys_of("Codes of `status_reasons`") == set(STATUS_REASONS)
    assert all(f'`"{rule}"`' in PAGE for rule in RULES)
    for reason in results[1]["recommendations"][0]["status_reasons"]:
        assert set(reason) == {"code", "about"}
    (decision,) = results[1]["audit"]["decisions"]
    assert set(decision) == {"arm", "status", "status_reasons"}


def test_the_page_lists_the_keys_of_reasons_for_a_recommendation(model):
    record = {name: rows[0] for name, rows in model.development.background.items()}
    record = {name: round(value) if isinstance(value, float) else value for name, value in record.items()}
    content = json.loads(model.explain_recommendation(record).to_json(), parse_constant=pytest.fail)
    assert set(content) == keys_of("## Reasons for a recommendation")
    for rows in ("attributions", "changes"):
        assert content[rows]
        assert all(set(row) == keys_of(f"Each entry of `{rows}`") for row in content[rows])


def test_results_without_a_model_have_the_same_keys(results):
    table = pd.DataFrame({"CBT": [0.5, 0.4], "SSRI": [0.3, 0.4]})
    content = json.loads(recommend(table).to_json(), parse_constant=pytest.fail)
    assert set(content) == set(results[1])
    assert all(set(row) == keys_of("Each entry of `recommendations`") for row in content["recommendations"])
    assert (content["preferences"], content["audit"], content["warnings"]) == (None, None, [])


def test_an_explanation_of_a_bare_model_has_the_same_keys(results):
    from sklearn.linear_model import LogisticRegression

    from treatsel.models import ArmwiseClassifier

    X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    bare = ArmwiseClassifier(LogisticRegression()).fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    content = json.loads(explain(bare, X, arm="CBT", background=X).to_json(), parse_constant=pytest.fail)
    assert set(content) == set(results[2])
    assert (content["audit"], content["warnings"]) == (None, [])


def test_the_order_of_keys_is_stable(results):
    by_kind = {}
    for content in results:
        by_kind.setdefault(content["kind"], []).append(list(content))
    assert all(len({tuple(keys) for keys in orders}) == 1 for orders in by_kind.values())
