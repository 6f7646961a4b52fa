"""Truth values and verdicts computed by SQLite and R; other data of the same form run through the checks."""

import csv
import json
import os
import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from treatsel.codebook import Codebook, Field
from treatsel.eligibility import Rules
from treatsel.eligibility._grammar import Comparison, parse
from treatsel.eligibility._logic import record_test
from treatsel.errors import InputError

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "reference" / "eligibility"
GIVEN = Path(
    os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", ROOT.parent / "shared" / "reference" / "synthesis")
)
SHARED = {"source": "A test", "version": 1, "date": "2026-11-01"}
TRUTH = {True: "true", False: "false", None: "unknown"}
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
VALUE = {"true": 1.0, "false": 0.0, "unknown": None}


def checks_of(folder):
    path = folder / "expected.json"
    found = json.loads(path.read_text(encoding="utf-8"))["checks"] if path.exists() else []
    return {check["id"]: check for check in found if check["id"].startswith("logic.")}


@cache
def data_of(folder):
    """The settings, the patients and their codebook."""
    spec = json.loads((folder / "data" / "logic.json").read_text(encoding="utf-8"))
    with (folder / "data" / "logic_patients.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = [name for name in rows[0] if name != "id"]
    fields = [
        Field(name=name, type="number" if name in spec["numeric"] else "string", role="covariate")
        for name in columns
    ]
    codebook = Codebook((*fields, Field(name="arm", role="arm", enum=tuple(spec["arms"]))))
    records = {row["id"]: {name: row[name] or None for name in columns} for row in rows}
    return spec, codebook, records


def rules_of(folder, conditions):
    """Rules with one condition each, for all arms."""
    spec, codebook, _ = data_of(folder)
    entries = [
        {"id": name, "arms": spec["arms"], "when": when, "effect": "exclude", "reason": name}
        for name, when in conditions.items()
    ]
    return Rules.from_dict({**SHARED, "rules": entries}, codebook=codebook)


def table_of(records):
    return pd.DataFrame.from_dict(records, orient="index")


def check_expression(folder, check, name):
    when = data_of(folder)[0]["expressions"][name]
    rules, records = rules_of(folder, {name: when}), data_of(folder)[2]
    assert when == check["quantity"]
    found = {patient: TRUTH[rules.apply_record(row).truths[0]] for patient, row in records.items()}
    assert found == check["value"]
    table = rules.apply(table_of(records)).truths[0]
    assert dict(zip(records, (("false", "unknown", "true")[t] for t in table), strict=True)) == check["value"]


def truth_of(when, **record):
    codebook = Codebook(tuple(Field(name=name, type="number", role="covariate") for name in record))
    entry = {"id": "a", "arms": ["cbt"], "when": when, "effect": "warn", "reason": "a"}
    rules = Rules.from_dict({**SHARED, "rules": [entry]}, codebook=codebook)
    found = rules.apply_record(record).truths[0]
    table = rules.apply(pd.DataFrame([record], dtype="float64")).truths[0, 0]
    assert TRUTH[found] == ("false", "unknown", "true")[table]
    return TRUTH[found]


def check_table(check, name):
    if name in ("and", "or"):
        for first, row in check["value"].items():
            for second, truth in row.items():
                record = {"a": VALUE[first], "b": VALUE[second]}
                assert truth_of(f"a = 1 {name.upper()} b = 1", **record) == truth
    elif name == "not":
        for first, truth in check["value"].items():
            assert truth_of("NOT a = 1", a=VALUE[first]) == truth
    else:
        for text, truth in check["value"].items():
            assert truth_of_comparison(text) == truth, text


def truth_of_comparison(text):
    """The truth of a comparison of a number, or of "unknown"; the grammar has a column on the left."""
    left, rest = text.split(maxsplit=1)
    x = None if left == "unknown" else float(left)
    if found := re.fullmatch(r"(=|<>|<=?|>=?) unknown", rest):  # never known: the grammar refuses NULL there
        with pytest.raises(InputError, match="IS NULL"):
            parse(f"x {found[1]} NULL")
        if x is None:
            return TRUTH[record_test(Comparison("x", found[1], None), {"x": 0})([x])]
        return truth_of(f"x {MIRRORED[found[1]]} {left}", x=None)
    return truth_of(f"x {rest.replace('unknown', 'NULL')}", x=x)


def check_verdict(folder, check):
    spec, codebook, records = data_of(folder)
    entries = [
        {**rule, "when": spec["expressions"][rule["when"]], "reason": rule["id"]} for rule in spec["rules"]
    ]
    rules = Rules.from_dict({**SHARED, "rules": entries}, codebook=codebook)
    table = rules.apply(table_of(records))
    for patient, by_arm in check["value"].items():
        one = rules.apply_record(records[patient])
        rows = table.reasons[table.reasons["patient"] == patient]
        for arm, expected in by_arm.items():
            assert one.allowed[arm] is expected["allowed"]
            assert bool(table.allowed.loc[patient, arm]) is expected["allowed"]
            for effect, key in (("exclude", "excluded_by"), ("warn", "warned_by")):
                found = [r.rule for r in one.reasons if r.arm == arm and r.effect == effect]
                assert found == expected[key]
                of_table = rows[(rows["arm"] == arm) & (rows["effect"] == effect)]
                assert list(of_table["rule"]) == expected[key]


def check_refused(folder, check):
    assert check["value"]
    for text in check["value"]:
        with pytest.raises(InputError):
            rules_of(folder, {"a": text})


def run(folder, check):
    _, kind, *name = check["id"].split(".")
    if kind == "expression":
        check_expression(folder, check, ".".join(name))
    elif kind == "table" and name[0] in ("and", "or", "not", "compare"):
        check_table(check, name[0])
    elif kind == "rules" and name == ["verdict"]:
        check_verdict(folder, check)
    elif kind == "refused":
        check_refused(folder, check)
    else:
        pytest.fail(f"{check['id']} has no check")


@pytest.mark.parametrize("name", checks_of(STORED))
def test_stored_reference(name):
    run(STORED, checks_of(STORED)[name])


@pytest.mark.real_data
@pytest.mark.skipif(not checks_of(GIVEN), reason="the reference does not lie beside the project")
@pytest.mark.parametrize("name", checks_of(GIVEN))
def test_given_reference(name):
    run(GIVEN, checks_of(GIVEN)[name])


def test_every_stored_check_is_run():
    names = [name.split(".")[1] for name in checks_of(STORED)]
    assert names.count("expression") == 17
    assert len(checks_of(STORED)["logic.refused"]["value"]) == 18
