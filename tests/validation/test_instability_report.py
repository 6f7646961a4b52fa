"""Instability in the report, in the JSON file, in the model card and on the command line."""

import json

import numpy as np
import pytest
from tests.validation.test_instability import RIDGE, make

import treatsel as ts
from treatsel.artifact import read_manifest, save_model, store_validation
from treatsel.cli import _validate
from treatsel.cli.main import main
from treatsel.errors import InputError
from treatsel.report import model_card
from treatsel.validation import ValidationReport, instability, parts

N = 230  # patients of the development cohort: no other number in a report


@pytest.fixture(scope="module")
def development():
    return make(n=N)


@pytest.fixture(scope="module")
def selector(development):
    return ts.TreatmentSelector(estimator=RIDGE, random_state=0).fit(development)


@pytest.fixture(scope="module")
def report(selector, development):
    study = instability(selector, development, n_boot=8)
    return ts.validate(selector, make(n=100, seed=5), instability=study, sections=())


def test_report_has_figures_a_picture_and_no_patients(report, tmp_path):
    report.to_html(tmp_path / "report.html")
    report.to_json(tmp_path / "report.json")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Instability: how much would predictions and recommendations differ" in page
    assert "instability-" in page  # the picture
    assert report.figure("MAPE of refits")["n"] == N
    assert 0 < report.figure("unchanged recommendations in refits")["value"] <= 1
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    tables = {name: rows for name, rows in content["tables"].items() if name.startswith("instability")}
    assert len(tables) == 3
    assert all(len(values) < N for rows in tables.values() for values in rows.values())
    assert min(tables["instability: predictions"]["n"]) >= 10
    again = ValidationReport.from_json(tmp_path / "report.json")
    assert again.to_dict() == report.to_dict()


def test_gains_of_refits_are_no_figures_of_the_report(report):
    mine = report.figures[report.figures["section"] == "instability"]
    assert not mine["measure"].str.contains("gain").any()
    assert {"gain", "gain_out_of_bag"} < set(report.tables["instability"]["measure"])


def test_it_is_stored_on_request_and_shown_in_the_card(report, selector, development, tmp_path):
    path = tmp_path / "m.treatsel"
    save_model(selector, path, intended_use="Tests.")
    before = read_manifest(path).model_id
    assert "MAPE of refits" not in model_card(read_manifest(path))
    store_validation(path, [report.summary()])
    card = model_card(read_manifest(path))
    assert "unchanged recommendations in refits" in card
    assert "bootstrap resamples of the development cohort" in card
    assert read_manifest(path).model_id == before
    with pytest.raises(InputError, match="as `treatsel crossvalidate` does"):  # a file holds no parameters
        ts.validate(ts.load_model(path), development, instability=2, sections=())


def test_the_development_cohort_is_resampled_if_it_is_given(selector, development):
    found = parts.instability(selector, make(seed=5), development, 2, random_state=0)
    assert found["instability"].keywords["found"].n == N
    with pytest.raises(InputError, match="on which it was developed"):
        parts.instability(selector, make(seed=5), None, 2)


def test_what_cannot_be_refitted_is_refused(selector, development):
    table = selector.predict_by_arm(development.X)
    with pytest.raises(InputError, match="cannot be refitted"):
        ts.validate(table, development, instability=2)
    with pytest.raises(InputError, match="development as a Cohort"):
        ts.validate(selector, make(seed=5), development=development.frame, instability=2)


def test_commands_ask_for_it(trained, monkeypatch, capsys):
    asked = {}

    def noted(*_, **options):
        asked.update(options)
        raise InputError("noted")

    monkeypatch.setattr(_validate, "validate", noted)
    files = [str(trained / "m.treatsel"), str(trained / "cohort.csv")]
    assert main(["validate", *files, "--instability", "200"]) == 2
    assert asked["instability"] == 200
    assert main(["validate", *files]) == 2
    assert asked["instability"] is None  # never by default
    assert main(["validate", *files, "--instability", "1"]) == 2
    assert "--instability is 1; give a number of refits" in capsys.readouterr().err
    same = [files[1], "--predictions", files[1], "--codebook", str(trained / "codebook.yaml")]
    assert main(["validate", *same, "--instability", "9"]) == 2
    assert "predictions alone cannot be fitted again" in capsys.readouterr().err


@pytest.mark.slow
def test_served_hierarchical_model_is_refitted_in_both_commands(tmp_path, capsys):
    rng, n = np.random.default_rng(0), 160
    cohort = make(n=n, strength=0.5).frame.drop(columns="x1")
    cohort.insert(0, "age", rng.integers(18, 80, n))
    cohort[cohort["arm"] != "IPT"].to_csv(tmp_path / "t.csv")
    files = [tmp_path / "t.csv", "--codebook", tmp_path / "book.yaml"]
    model = tmp_path / "m.treatsel"

    def run(*words):
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    run("codebook", files[0], "--outcome", "remission=good", "--out", files[2])
    run("train", *files, "--accept-draft", "--intended-use", "Tests.", "--out", model)
    options = ["--accept-draft", "--instability", "4", "--store", model]
    run("crossvalidate", *files, *options)
    assert "unchanged recommendations in refits" in run("show", model)
    run("validate", model, files[0], "--instability", "2", "--json", tmp_path / "r.json")
    tables = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["tables"]
    # apparent performance: no gain is shown, not even one of refits
    assert not {"gain", "gain_out_of_bag", "policy_value"} & set(tables["instability"]["measure"])
