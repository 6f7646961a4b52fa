"""`treatsel ask`: questions in the order of their worth, answers checked, and then the recommendation."""

import copy
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.cli.main import main
from treatsel.codebook import Codebook
from treatsel.models import ArmwiseClassifier

FIELDS = [
    {"name": "age", "type": "integer", "role": "covariate", "title": "Age", "unit": "years"},
    {"name": "format", "role": "covariate", "constraints": {"enum": ["group", "single"]}},
    {
        **{"name": "earlier", "type": "boolean", "role": "covariate", "title": "Earlier treatment"},
        **{"trueValues": ["yes"], "falseValues": ["no"]},
    },
    {"name": "arm", "role": "arm"},
    {
        **{"name": "item9", "type": "integer", "role": "safety_item", "title": "Thoughts of self-harm"},
        **{"flag": ">= 1", "constraints": {"minimum": 0, "maximum": 3}},
    },
    {"name": "recovery", "type": "integer", "role": "outcome", "event_is_good": True},
]
FIELDS[0]["constraints"] = {"minimum": 18, "maximum": 99}
KNOWN = {"item9": 0, "age": 40, "format": "group"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A model in which `earlier` decides which arm is better, and the other covariates do not matter."""
    rng = np.random.default_rng(0)
    n = 1200
    earlier, arm = rng.random(n) < 0.5, rng.choice(["CBT", "SSRI"], n)
    chance = 0.4 + 0.3 * np.where(earlier == (arm == "SSRI"), 1, -1)
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 70, n),
            "format": rng.choice(["group", "single"], n),
            "earlier": np.where(earlier, "yes", "no"),
            "arm": arm,
            "recovery": (rng.random(n) < chance).astype(int),
        }
    )
    model = ArmwiseClassifier(LogisticRegression(solver="newton-cholesky"))
    cohort = ts.Cohort(frame, Codebook.from_dict({"fields": FIELDS}))
    fitted = ts.TreatmentSelector(estimator=model, random_state=0, assignment="randomised").fit(cohort)
    file = tmp_path_factory.mktemp("ask") / "m.treatsel"
    ts.save_model(fitted, file, intended_use="Tests.")
    return file


@pytest.fixture
def ask(path, tmp_path, capsys, monkeypatch):
    """Run the command with lines of answers; return exit status, standard output and standard error."""

    def run(lines, *options, record=None):
        if record is not None:
            (tmp_path / "known.json").write_text(json.dumps(record), encoding="utf-8")
            options = ("--record", str(tmp_path / "known.json"), *options)
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status = main(["ask", str(path), *map(str, options)])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("answer", "arm"), [("yes", "SSRI"), ("no", "CBT")])
def test_the_question_that_decides_is_asked_and_no_other(ask, path, answer, arm, tmp_path):
    status, out, err = ask([0, answer], "--output", tmp_path / "r.json", "--json", tmp_path / "r2.json")
    assert status == 0
    assert "Question 1: Thoughts of self-harm (item9). Give an integer from 0 to 3" in err
    assert "Question 2: Earlier treatment (earlier). Give yes (true), no (false)" in err
    assert "Question 3" not in err
    assert out.startswith(f"Recommended arm: {arm} (")
    assert f"\n  {arm}" in out
    assert "Not known: Age, format." in out
    record = json.loads((tmp_path / "r.json").read_text())
    assert record == {"item9": 0, "earlier": int(answer == "yes")}
    content = json.loads((tmp_path / "r2.json").read_text())
    again = ts.load_model(path).recommend({"age": None, "format": None, **record}, on_invalid="flag")
    assert content == json.loads(again.to_json())
    assert content["recommendations"][0]["arm"] == arm


def test_the_page_asks_what_the_terminal_asks(ask, path, tmp_path, capsys):
    (tmp_path / "one.csv").write_text("item9,age,format,earlier\n0,40,group,\n")
    page, one, out = tmp_path / "page.html", str(tmp_path / "one.csv"), str(tmp_path / "out.csv")
    assert main(["recommend", str(path), one, "--html", str(page), "--out", out]) == 0
    capsys.readouterr()
    part = page.read_text(encoding="utf-8").split('<section class="questions"')[1].split("</section>")[0]
    assert "<h3>Earlier treatment</h3>" in part
    shown = dict(re.findall(r"<strong>(.*?):</strong>(.*?)</p>", part))
    assert set(shown) == {"yes", "no"}
    for answer, text in shown.items():
        _, out, err = ask([answer], record=KNOWN)
        assert f"This comes out first: {out.splitlines()[0].split(': ')[1].split(' (')[0]}." in text
        assert err.count("Question") == 1
    assert part.count("No other answer is likely to change this") == 2


def test_what_is_known_is_not_asked(ask):
    status, out, err = ask([], record=KNOWN | {"earlier": "yes"})
    assert (status, out.splitlines()[0].split(" (")[0]) == (0, "Recommended arm: SSRI")
    assert "Question" not in err


def test_an_answer_that_does_not_fit_is_asked_for_again_and_never_shown(ask, tmp_path):
    status, _, err = ask([0, "perhaps", "yes"], "--output", tmp_path / "r.json", record=None)
    assert status == 0
    assert err.count("This answer is not allowed. Give yes (true), no (false), or an empty line") == 1
    assert "perhaps" not in err
    status, _, err = ask(["9", "often", "0", "no"], "--output", tmp_path / "r.json")
    assert status == 0
    assert err.count("This answer is not allowed. Give an integer from 0 to 3, or an empty line") == 2
    assert json.loads((tmp_path / "r.json").read_text())["item9"] == 0


def test_an_empty_line_means_not_known_and_is_not_asked_again(ask, tmp_path):
    status, out, err = ask(["", ""], "--output", tmp_path / "r.json")
    assert status == 0
    assert json.loads((tmp_path / "r.json").read_text()) == {"item9": None, "earlier": None}
    assert err.count("Earlier treatment") == 1
    assert out.startswith("SAFETY ITEM Thoughts of self-harm: not answered\n")


def test_the_end_of_the_input_ends_the_questions(ask):
    status, out, err = ask([0])
    assert status == 0
    assert "Standard input has ended: the questions that are left were not asked." in err
    assert "Recommended arm: " in out


def test_a_flagged_safety_item_comes_first_and_changes_nothing(ask):
    _, plain, _ = ask([0, "yes"])
    status, out, err = ask([3, "yes"])
    assert status == 0
    assert "SAFETY ITEM: the answer to Thoughts of self-harm needs attention now." in err
    assert err.index("SAFETY ITEM") < err.index("Question 2")
    first, rest = out.split("\n", 1)
    assert first == "SAFETY ITEM Thoughts of self-harm: needs attention"
    assert rest == plain


def test_excluded_arms_and_costs_count(ask):
    status, out, err = ask([0], "--exclude", "CBT=No place")
    assert status == 0
    assert "Question 2" not in err  # with one arm left, nothing can change
    assert "Not available: CBT (No place)" in out
    costs = [f"--cost={name}=0.9" for name in ("age", "format", "earlier")]
    _, _, err = ask([0], *costs)
    assert "Question 2" not in err


def test_out_of_scope_no_number_is_printed(ask):
    status, out, _ = ask(
        [],
        record=KNOWN | {"earlier": "yes", "age": 99},
    )
    assert status == 0
    assert out.startswith("Recommended arm: none (out of scope)\n  outside training range: age\n")
    assert "Utility" not in out
    assert "do not use its probabilities" in out


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "must hold one patient"),
        ({"age": [40]}, "must hold one patient"),
        ({"age": 17}, "Column 'age' holds 1 value out of range"),
    ],
)
def test_a_record_that_cannot_be_used_is_one_line(ask, record, message):
    status, out, err = ask([0], record=record)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "17" not in err


def test_a_question_that_the_model_does_not_know(ask):
    status, _, err = ask([0], "--question", "income")
    assert status == 2
    assert err.startswith("treatsel: error: --question")
    assert "income" in err


def test_a_text_for_missing_is_no_answer_to_a_safety_item(ask):
    status, out, err = ask([1], record=KNOWN | {"earlier": "no", "item9": ""})
    assert status == 0
    assert "Question 1: Thoughts of self-harm" in err
    assert out.startswith("SAFETY ITEM Thoughts of self-harm: needs attention")
    status, out, err = ask([], record=KNOWN | {"earlier": "no", "item9": 7})
    assert status == 0
    assert "Question" not in err
    assert "SAFETY ITEM Thoughts of self-harm: violates the codebook" in out


def test_required_covariates_are_asked_although_they_change_nothing(path, tmp_path, capsys, monkeypatch):
    selector = ts.load_model(path)
    fields = [
        field | {"constraints": {**field.get("constraints", {}), "required": True}}
        for field in FIELDS
        if field["name"] == "age"
    ]
    book = selector.codebook_.merge({"fields": fields})
    monkeypatch.setattr("treatsel.cli._ask.load_model", lambda _: _with_codebook(selector, book))
    for lines, expected in (("0\nyes\n40\n", "SSRI ("), ("0\nyes\n\n", "none (out of scope)")):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert main(["ask", str(path)]) == 0
        captured = capsys.readouterr()
        assert "Question 3: Age (age), in years" in captured.err
        assert f"Recommended arm: {expected}" in captured.out


def _with_codebook(selector, book):
    changed = copy.copy(selector)
    changed.model_ = dataclasses.replace(selector.model_, codebook=book)
    return changed
