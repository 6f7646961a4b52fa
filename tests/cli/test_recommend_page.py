"""`treatsel recommend --html`: the page of one patient."""

import html

import pandas as pd
import pytest

import treatsel as ts
from treatsel.cli.main import main
from treatsel.questions import question_tree
from treatsel.table import read_table


@pytest.fixture
def one(trained, tmp_path):
    """A table of one patient, from the cohort of the model."""
    cohort = pd.read_csv(trained / "cohort.csv", dtype=str)
    cohort.head(1).to_csv(tmp_path / "one.csv", index=False)
    cohort.head(2).to_csv(tmp_path / "two.csv", index=False)
    return tmp_path


def test_the_page_is_that_of_the_library(trained, one, capsys):
    page, model = one / "page.html", trained / "m.treatsel"
    strings = one / "strings.yaml"
    strings.write_text("title: Our options\narms: {cbt: {title: Talking (CBT)}}\n", encoding="utf-8")
    command = ["recommend", str(model), str(one / "one.csv"), "--html", str(page), "--strings", str(strings)]
    assert main(command) == 0
    text = page.read_text(encoding="utf-8")
    assert "<h1>Our options</h1>" in text
    assert "<h3>Talking (CBT)</h3>" in text
    selector = ts.load_model(model)
    patient = read_table(one / "one.csv", selector.codebook_)
    why = selector.explain_recommendation(patient).sentences()
    questions = question_tree(selector, patient)
    expected = selector.recommend(patient).to_html(strings=strings, explanation=why, next_question=questions)
    assert text == expected
    assert html.escape(why[1], quote=False) in text
    assert pd.read_csv(one / "one.csv")["patient_id"].item() not in text
    assert capsys.readouterr().out.startswith("patient,")


def test_a_page_is_for_one_patient(trained, one, capsys):
    page = one / "page.html"
    assert main(["recommend", str(trained / "m.treatsel"), str(one / "two.csv"), "--html", str(page)]) == 2
    assert "about one patient; these recommendations are for 2" in capsys.readouterr().err
    assert not page.exists()


def test_words_need_a_page(trained, one, capsys):
    (one / "s.yaml").write_text("title: x\n", encoding="utf-8")
    command = [
        "recommend",
        str(trained / "m.treatsel"),
        str(one / "one.csv"),
        "--strings",
        str(one / "s.yaml"),
    ]
    assert main(command) == 2
    assert "Add --html FILE" in capsys.readouterr().err
