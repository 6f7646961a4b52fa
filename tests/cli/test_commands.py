"""The command line: the complete workflow in files, and one line on bad input."""

import contextlib
import datetime
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel import cli, serve
from treatsel.cli.main import COMMANDS, build_parser, main
from treatsel.datasets import make_cohort
from treatsel.recommendation import STATUSES
from treatsel.table import read_table

TRAIN = ["--out", "x.treatsel"]


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """A simulated cohort, its codebook and a trained model, all made by commands."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("work") / "work")


def output(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def complaint(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("treatsel: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def command_of(module):
    """The name of a command as its module's name gives it."""
    return module.__name__.rpartition("._")[2].replace("_", "-")


@pytest.mark.parametrize("module", COMMANDS, ids=command_of)
def test_every_command_has_help(module, capsys):
    name = command_of(module)
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    assert f"treatsel {name}" in capsys.readouterr().out


def test_modules_are_named_after_their_commands():
    names = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert list(names) == [command_of(module) for module in COMMANDS]
    modules = {path.stem for path in Path(cli.__file__).parent.glob("_*.py")} - {
        "__init__",
        "_io",
        "_ending",
        "_report_files",
    }
    assert modules == {module.__name__.rpartition(".")[2] for module in COMMANDS}


def test_readme_lists_every_command():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `treatsel ([a-z-]+)` \|", readme, re.MULTILINE)
    assert sorted(listed) == sorted(command_of(module) for module in COMMANDS)


def test_simulate_is_reproducible(folder, tmp_path):
    again = tmp_path / "again.csv"
    assert main(["simulate", str(again), "--n", "600", "--missing", "0.05", "--seed", "3"]) == 0
    assert again.read_bytes() == (folder / "cohort.csv").read_bytes()


def test_codebook_drafts_and_merges(folder, capsys, tmp_path):
    text = output(capsys, "codebook", folder / "cohort.csv", "--outcome", "recovery", "--outcome", "dropout")
    drafted = tmp_path / "draft.yaml"
    drafted.write_text(text)
    book = ts.Codebook.read(drafted)
    assert book.arm == "arm"
    assert set(book.outcomes) == {"recovery", "dropout"}
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text("fields:\n- name: age\n  unit: years\n")
    merged = tmp_path / "merged.json"
    output(capsys, "codebook", folder / "cohort.csv", "--overrides", overrides, "--out", merged)
    assert ts.Codebook.read(merged)["age"].unit == "years"


@pytest.fixture(scope="module")
def again(folder):
    """The folder's model trained again: the file, and the output of the command."""
    out, files = folder / "again.treatsel", [folder / "cohort.csv", "--codebook", folder / "codebook.yaml"]
    use = f"@{folder / 'use.yaml'}"
    train = ["train", *files, "--outcome", "dropout", "--out", out, "--intended-use", use]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*map(str, train)]) == 0
    return out, printed.getvalue()


def test_train_prints_a_summary(again):
    out, text = again
    assert "600 patients, 6 arms" in text
    assert "Best single arm" in text
    assert ts.load_model(out).intended_use_["review_date"] == "2027-01-31"


@pytest.mark.slow
def test_the_same_training_gives_the_same_file(folder, again):
    assert again[0].read_bytes() == (folder / "m.treatsel").read_bytes()


def test_train_takes_the_intended_use_as_a_sentence(folder, capsys, tmp_path):
    cohort = ts.Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml")
    few = cohort.frame[cohort.frame["arm"].isin(["cbt", "ipt"])][["age", "phq9_start", "arm", "dropout"]]
    few.to_csv(tmp_path / "few.csv")
    draft = ["codebook", tmp_path / "few.csv", "--outcome", "dropout=bad", "--out", tmp_path / "few.yaml"]
    output(capsys, *draft)
    out = tmp_path / "m.treatsel"
    train = ["train", tmp_path / "few.csv", "--codebook", tmp_path / "few.yaml", "--out", out]
    output(capsys, *train, "--estimator", "hierarchical", "--intended-use", "Tests.")
    assert ts.load_model(out).intended_use_["purpose"] == "Tests."


def test_predict_equals_the_library(folder, capsys, tmp_path):
    text = output(capsys, "predict", folder / "m.treatsel", folder / "cohort.csv")
    (tmp_path / "predictions.csv").write_text(text)
    found = pd.read_csv(tmp_path / "predictions.csv")
    cohort = ts.Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml")
    expected = ts.load_model(folder / "m.treatsel").predict(cohort.frame).to_frame()
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-12)
    assert found["patient"].tolist() == expected["patient"].tolist()


def test_parquet_in_and_out(folder, capsys, tmp_path):
    cohort = ts.Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml")
    patients = tmp_path / "patients.parquet"
    cohort.X.reset_index().to_parquet(patients)
    out = tmp_path / "predictions.parquet"
    output(capsys, "predict", folder / "m.treatsel", patients, "--out", out)
    expected = ts.load_model(folder / "m.treatsel").predict(cohort.X).to_frame()
    np.testing.assert_allclose(pd.read_parquet(out)["probability"], expected["probability"], atol=1e-12)


def test_recommend_with_exclusions(folder, capsys, tmp_path):
    out = tmp_path / "recommendations.csv"
    text = output(
        capsys,
        *("recommend", folder / "m.treatsel", folder / "cohort.csv", "--out", out),
        *("--exclude", "ipt=no therapist", "--weight", "dropout=1", "--margin", "0.02"),
    )
    found = pd.read_csv(out)
    assert len(found) == 600
    counts = [f"{status} {n}" for status, n in found["status"].value_counts().items()]
    assert text == f"Wrote {out}: 600 patients; {', '.join(counts)}.\n"
    assert "ipt" not in set(found["arm"])
    assert json.loads(found["excluded"][0]) == {"ipt": "no therapist"}
    assert set(found["status"]) <= set(STATUSES) - {"no_interval", "only_option"}
    close = found["status"] == "equivalent"
    assert found["status_reasons"][close].str.contains("about_equal: ").all()


def numbers_of(text):
    """Return strict JSON with numbers that are equal up to rounding errors."""
    return json.loads(text, parse_constant=pytest.fail, parse_float=lambda number: round(float(number), 9))


def test_json_is_that_of_the_library(folder, capsys, tmp_path):
    """Options, numbers, reasons and audit record are the same from the shell and from Python."""
    patients, out = tmp_path / "few.csv", tmp_path / "found.json"
    pd.read_csv(folder / "cohort.csv").head(40).to_csv(patients, index=False)
    selector = ts.load_model(folder / "m.treatsel")
    table = read_table(patients, selector.codebook_)
    rule = ["--exclude", "ipt=no therapist", "--weight", "dropout=1", "--margin", "0.02"]
    told = {"excluded": {"ipt": "no therapist"}, "preferences": {"dropout": 1}, "margin": 0.02}
    switch = ["--rule", "switch", "--p-switch", "0.6", "--comparator", "cbt"]
    switched = {"rule": "switch", "p_switch": 0.6, "comparator": "cbt"}
    for command, expected in [
        (["recommend", *rule, *switch], selector.recommend(table, **switched, **told)),
        (["recommend", "--date", "2027-02-01"], selector.recommend(table, date="2027-02-01")),
        (["predict", "--level", "0.8"], selector.predict(table, level=0.8)),
        (["explain", "--arm", "cbt", "--scale", "logit"], ts.explain(selector, table, arm="cbt")),
    ]:
        name, *options = command
        csv = ["--out", tmp_path / "found.csv"]
        output(capsys, name, folder / "m.treatsel", patients, *options, "--json", out, *csv)
        assert numbers_of(out.read_text()) == numbers_of(expected.to_json())


def test_the_served_model_gives_the_json_of_the_command(folder, capsys, tmp_path):
    record = ts.Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml").frame.head(1)
    record.reset_index().to_csv(tmp_path / "one.csv", index=False)
    served, out = serve.load_model(folder / "m.treatsel"), tmp_path / "found.json"
    values = {k: None if v != v else v for k, v in record.reset_index().iloc[0].to_dict().items()}
    for name, method in (("predict", served.predict), ("recommend", served.recommend)):
        csv = ["--out", tmp_path / "found.csv"]
        output(capsys, name, folder / "m.treatsel", tmp_path / "one.csv", "--json", out, *csv)
        assert numbers_of(out.read_text()) == numbers_of(method(values).to_json())


@pytest.mark.parametrize("command", [["predict"], ["recommend"], ["explain", "--arm", "cbt"]])
@pytest.mark.parametrize(("date", "expired"), [("2027-01-31", False), ("2027-02-01", True)])
def test_an_expired_model_is_named_on_stderr(folder, capsys, tmp_path, command, date, expired):
    name, *options = command
    few = pd.read_csv(folder / "cohort.csv").head(20)
    few.to_csv(tmp_path / "few.csv", index=False)
    options += ["--date", date, "--out", tmp_path / "out.csv"]
    assert main([str(each) for each in (name, folder / "m.treatsel", tmp_path / "few.csv", *options)]) == 0
    assert ("treatsel: warning: model_expired: 20 patients" in capsys.readouterr().err) == expired


def test_the_card_says_that_the_model_has_expired(folder, capsys, tmp_path):
    card = output(capsys, "show", folder / "m.treatsel")
    assert "2027-01-31" in card
    assert "has expired" not in card
    late, page = ["--date", "2027-03-01"], tmp_path / "card.html"
    card = output(capsys, "show", folder / "m.treatsel", *late, "--html", page)
    assert "This model has expired: it was to be reviewed by 2027-01-31" in card
    assert "This model has expired" in page.read_text()


def test_today_is_the_day_of_the_clock_and_other_words_are_refused(folder, capsys, monkeypatch):
    class Late(datetime.date):
        @classmethod
        def today(cls):
            return cls(2031, 1, 1)

    monkeypatch.setattr("treatsel.cli._io.datetime.date", Late)
    assert "has expired" in output(capsys, "show", folder / "m.treatsel", "--date", "today")
    assert "has expired" not in output(capsys, "show", folder / "m.treatsel")
    monkeypatch.undo()
    with pytest.raises(SystemExit):
        main(["show", str(folder / "m.treatsel"), "--date", "01.02.2027"])
    assert "neither a date such as 2027-01-31 nor 'today'" in capsys.readouterr().err


@pytest.mark.parametrize("picture", ["why.png", "why.svg"])
def test_explain_writes_values_and_a_plot(folder, capsys, tmp_path, picture):
    out, plot = tmp_path / "why.csv", tmp_path / picture
    arguments = ["explain", folder / "m.treatsel", folder / "cohort.csv", "--contrast", "cbt", "ipt"]
    output(capsys, *arguments, "--out", out, "--plot", plot)
    assert set(pd.read_csv(out).columns) >= {"patient", "covariate", "attribution"}
    assert plot.stat().st_size > 1000


def test_validate_writes_all_forms(folder, capsys, tmp_path):
    names = {kind: tmp_path / f"report.{kind}" for kind in ("html", "json", "md", "csv")}
    text = output(
        capsys,
        *("validate", folder / "m.treatsel", "--assignment", "randomised", folder / "cohort.csv"),
        *("--html", names["html"], "--json", names["json"], "--markdown", names["md"], "--out", names["csv"]),
    )
    assert "within-arm AUC" in text
    assert all(path.stat().st_size > 200 for path in names.values())
    assert json.loads(names["json"].read_text())["about"]["n"] == 600


@pytest.fixture(scope="module")
def predictions(folder):
    """The true probabilities of dropout as a table of predictions."""
    truth = pd.read_csv(folder / "truth.csv", dtype={"patient_id": str})
    columns = {name: name.split(".")[1] for name in truth.columns if name.startswith("dropout.")}
    path = folder / "predictions.csv"
    truth[["patient_id", *columns]].rename(columns=columns).to_csv(path, index=False)
    return path


def test_predictions_alone_can_be_validated(folder, predictions, capsys, tmp_path):
    text = output(
        capsys,
        *(
            "validate",
            folder / "cohort.csv",
            "--predictions",
            predictions,
            "--codebook",
            folder / "codebook.yaml",
        ),
        *("--outcome", "dropout", "--json", tmp_path / "a.json", "--checklists", tmp_path / "lists.md"),
        *("--internal-external-cv", "hierarchical"),
    )
    assert "it was selected in this cohort" in text
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["model_id"] is None
    assert "internal-external" in content["tables"]
    assert "TRIPOD+AI" in (tmp_path / "lists.md").read_text()


def test_the_rule_in_use_can_be_validated(folder, predictions, capsys, tmp_path):
    made, wanted, report = tmp_path / "recommended.csv", tmp_path / "wanted.yaml", tmp_path / "a.json"
    wanted.write_text("weights: {dropout: 1}", encoding="utf-8")
    model, cohort = folder / "m.treatsel", folder / "cohort.csv"
    options = ("--rule", "switch", "--p-switch", "0.5", "--preferences", wanted)
    output(capsys, "recommend", model, cohort, *options, "--out", made)
    output(capsys, "validate", model, cohort, *options, "--margin", "0.1", "--json", report)
    own = json.loads(report.read_text())
    facts = {"rule": "switch", "p_switch": 0.5, "margin": 0.1, "preferences": {"dropout": 1.0}}
    assert own["about"]["policy"].items() >= facts.items()
    table = ("--predictions", predictions, "--codebook", folder / "codebook.yaml", "--outcome", "dropout")
    output(capsys, "validate", cohort, *table, "--recommendations", made, "--json", report)
    given = json.loads(report.read_text())
    assert given["about"]["policy"]["rule"] == "given recommendations"
    counts = [
        dict(zip(*(r["tables"]["flow"][k] for k in ("arm", "n_recommended")), strict=True))
        for r in (given, own)
    ]
    assert counts[0] == counts[1]
    shares = pd.read_csv(predictions, dtype={"patient_id": str}).set_index("patient_id")
    shares.eq(shares.min(axis=1), axis=0).astype(int).to_csv(made)
    output(capsys, "validate", cohort, *table, "--recommendations", made, "--json", report)
    best = json.loads(report.read_text())["gain"]["value"]
    output(capsys, "validate", cohort, *table, "--rule", "expected", "--json", report)
    assert json.loads(report.read_text())["gain"]["value"] == best
    error = complaint(capsys, "validate", cohort, *table, "--rule", "switch")
    assert "needs posterior draws" in error


def imputed(folder, seed):
    """The cohort with missing covariates replaced by values drawn from the observed ones."""
    frame = pd.read_csv(folder / "cohort.csv", dtype=str, keep_default_na=False)
    rng, book = np.random.default_rng(seed), ts.Codebook.read(folder / "codebook.yaml")
    for name in book.covariates:
        lost = frame[name] == ""
        frame.loc[lost, name] = rng.choice(frame.loc[~lost, name].to_numpy(), int(lost.sum()))
    path = folder / f"imputed{seed}.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_a_trial_is_cross_validated_from_the_shell(folder, capsys, tmp_path):
    command = ["crossvalidate", folder / "cohort.csv", "--codebook", folder / "codebook.yaml"]
    command += ["--outcome", "recovery", "--estimator", "hierarchical"]
    text = output(capsys, *command, "--html", tmp_path / "a.html")
    assert text.startswith("Cross-validated: ")
    assert "Cross-validation: " in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_an_outcome_is_made_and_described_from_the_shell(folder, capsys, tmp_path):
    listed = output(capsys, "outcome")
    assert "below_dose: --column sessions=... --option k=..." in listed
    text = output(
        capsys,
        *("outcome", folder / "cohort.csv", "--name", "remission", "--option", "instrument=PHQ-9"),
        *("--column", "last=phq9_start", "--as", "early", "--out", tmp_path / "with.csv"),
    )
    assert "1 is good" in text
    table = pd.read_csv(tmp_path / "with.csv")
    known = table["phq9_start"].notna()
    assert (table["early"][known] == (table["phq9_start"][known] <= 4)).all()
    assert table["early"][~known].isna().all()
    message = complaint(
        capsys, "outcome", folder / "cohort.csv", "--name", "non_start", "--column", "sessions=gender"
    )
    assert "are not numbers" in message


def test_a_draft_says_what_it_guessed_and_train_refuses_what_is_undecided(capsys, tmp_path):
    rng, n = np.random.default_rng(0), 120
    frame = pd.DataFrame({"record_no": np.arange(n) + 1, "age": rng.integers(18, 80, n)})
    frame = frame.assign(arm=rng.choice(["A", "B"], n), Postwt=rng.integers(40, 90, n))
    frame["left"] = rng.choice(["yes", "no"], n)
    frame.to_csv(tmp_path / "t.csv", index=False)
    draft = [
        "codebook",
        tmp_path / "t.csv",
        "--outcome",
        "left=bad",
        "--true",
        "left=yes",
        "--false",
        "left=no",
    ]
    assert main([str(part) for part in [*draft, "--out", tmp_path / "book.yaml"]]) == 0
    summary = capsys.readouterr().err
    assert "Undecided (1): no model is trained" in summary
    assert "Postwt: The name suggests" in summary
    assert (
        "# The name suggests that it was recorded after treatment began."
        in (tmp_path / "book.yaml").read_text()
    )
    train = ["train", tmp_path / "t.csv", "--codebook", tmp_path / "book.yaml", "--intended-use", "Tests."]
    train += ["--estimator", "hierarchical", "--out", tmp_path / "m.treatsel"]
    assert "'Postwt'" in complaint(capsys, *train)
    output(capsys, *train, "--accept-draft")
    selector = ts.load_model(tmp_path / "m.treatsel")
    assert selector.codebook_.covariates == ("age",)
    assert selector.event_is_good_ == {"left": False}


def test_published_estimates_are_read_from_a_file(capsys, tmp_path):
    rng, n = np.random.default_rng(0), 160
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "arm": rng.choice(["A", "B"], n)})
    frame["left"] = rng.choice(["yes", "no"], n)
    frame.to_csv(tmp_path / "t.csv", index=False)
    flags = ["--outcome", "left=bad", "--true", "left=yes", "--false", "left=no"]
    output(capsys, "codebook", tmp_path / "t.csv", *flags, "--out", tmp_path / "book.yaml")
    priors, model = tmp_path / "priors.yaml", tmp_path / "m.treatsel"
    same = [tmp_path / "t.csv", "--codebook", tmp_path / "book.yaml", "--estimator", "hierarchical"]
    train = ["train", *same, "--intended-use", "Tests.", "--out", model, "--priors", priors]
    entry = "{arm: A, against: %s, log_odds_ratio: 0.3, se: 0.1}"
    priors.write_text(f"left:\n  source: Trials of 2020\n  arm_contrasts: [{entry % 'B'}]\n")
    output(capsys, *train)
    found = ts.load_model(model).model_.development.priors["left"]
    assert (found.source, found.columns["prior"]) == ("Trials of 2020", [0.3])
    assert "Trials of 2020" in output(capsys, "show", model)
    check = ["crossvalidate", *same, "--store", model, "--out", tmp_path / "r.html"]
    assert main([str(part) for part in check]) == 2
    assert "such as --estimator, --priors, --missing or --seed" in capsys.readouterr().err
    output(capsys, *check, "--priors", priors)
    priors.write_text(f"left:\n  contrasts: []\n  arm_contrasts: [{entry % 'C'}]\nremission: {{}}\n")
    error = complaint(capsys, *train)
    assert "(3 faults)" in error
    assert "left: unknown key 'contrasts'. Allowed: ['arm_means', " in error
    assert "against is 'C', which no patient received. The arms are ['A', 'B']." in error
    assert "remission: is no outcome here. Allowed: ['left']." in error
    train[-1] = tmp_path / "absent.yaml"
    assert "Cannot read the priors" in complaint(capsys, *train)


def test_a_draft_without_an_outcome_lists_the_columns_of_two_values(capsys, tmp_path):
    rng, n = np.random.default_rng(0), 60
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "well": rng.choice(["yes", "no"], n)})
    frame.assign(arm=rng.choice(["A", "B"], n)).to_csv(tmp_path / "t.csv", index=False)
    assert main(["codebook", str(tmp_path / "t.csv")]) == 0
    summary = capsys.readouterr().err
    assert "No outcome was recognized" in summary
    assert "Columns of two values, which an outcome may be: ['well']" in summary


@pytest.mark.slow
def test_development_and_imputed_cohorts_have_sections(folder, capsys, tmp_path):
    tables = [imputed(folder, seed) for seed in (1, 2)]
    output(
        capsys,
        *("validate", folder / "m.treatsel", folder / "cohort.csv", "--assignment", "randomised"),
        *("--development", folder / "cohort.csv", "--imputations", *tables),
        *("--json", tmp_path / "a.json"),
    )
    content = json.loads((tmp_path / "a.json").read_text())
    assert "were in the development cohort" in content["cautions"][0]
    assert content["tables"]["imputations"]["n_imputations"] == [2] * 9
    assert content["about"]["n_incomplete"] > 0
    assert max(content["tables"]["imputations"]["fmi"]) > 0
    arguments = ["validate", folder / "m.treatsel", folder / "cohort.csv", "--imputations"]
    assert "holds 1 table" in complaint(capsys, *arguments, tables[0])
    assert "input of this command" in complaint(capsys, *arguments, *tables, "--out", tables[1])


def test_tables_of_predictions_are_pooled(folder, predictions, capsys, tmp_path):
    table = pd.read_csv(predictions, dtype={"patient_id": str})
    arms = [name for name in table if name != "patient_id"]
    table.assign(**0.9 * table[arms]).to_csv(tmp_path / "b.csv", index=False)
    options = ["--codebook", folder / "codebook.yaml", "--outcome", "dropout", "--predictions", predictions]
    given = ["--imputations", predictions, "--imputations", tmp_path / "b.csv"]
    output(capsys, "validate", folder / "cohort.csv", *options, *given, "--json", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())["tables"]["imputations"]
    ratio = found["measure"].index("observed / expected")
    assert found["highest"][ratio] == pytest.approx(found["lowest"][ratio] / 0.9)
    table.assign(**{arms[0]: "high"}).to_csv(tmp_path / "b.csv", index=False)
    error = complaint(capsys, "validate", folder / "cohort.csv", *options, *given)
    assert "of b.csv holds 600 cells that are not numbers" in error


def test_two_reports_are_compared(folder, predictions, capsys, tmp_path):
    plain = ["validate", folder / "m.treatsel", folder / "cohort.csv", "--json", tmp_path / "a.json"]
    output(capsys, *plain)
    output(
        capsys,
        *(
            "validate",
            folder / "cohort.csv",
            "--predictions",
            predictions,
            "--codebook",
            folder / "codebook.yaml",
        ),
        *("--outcome", "dropout", "--json", tmp_path / "b.json"),
    )
    text = output(capsys, "compare", tmp_path / "a.json", tmp_path / "b.json", "--out", tmp_path / "c.csv")
    assert "within-arm AUC" in text
    assert "share their patients" in text
    assert {"difference", "lower", "upper"} <= set(pd.read_csv(tmp_path / "c.csv").columns)
    assert "JSON" in complaint(capsys, "compare", tmp_path / "a.json", folder / "cohort.csv")


def test_show_prints_card_manifest_and_check(folder, capsys, tmp_path):
    assert "# Model card: Did not complete treatment" in output(capsys, "show", folder / "m.treatsel")
    manifest = json.loads(output(capsys, "show", folder / "m.treatsel", "--json"))
    assert manifest["format"] == 1
    assert manifest["model_id"] in output(capsys, "show", folder / "m.treatsel", "--check")
    output(capsys, "show", folder / "m.treatsel", "--html", tmp_path / "card.html")
    assert (tmp_path / "card.html").read_text().startswith("<!DOCTYPE html>")


def test_flagged_patients_are_out_of_scope(folder, capsys, tmp_path):
    patients = pd.read_csv(folder / "cohort.csv", dtype=str, keep_default_na=False).head(3)
    patients.loc[0, "age"] = "900"
    patients.to_csv(tmp_path / "patients.csv", index=False)
    error = complaint(capsys, "recommend", folder / "m.treatsel", tmp_path / "patients.csv")
    assert "'age' holds 1 value out of range" in error
    assert "900" not in error
    out = tmp_path / "out.csv"
    arguments = ["recommend", folder / "m.treatsel", tmp_path / "patients.csv", "--on-invalid", "flag"]
    output(capsys, *arguments, "--out", out)
    assert pd.read_csv(out)["status"].tolist()[0] == "out_of_scope"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "m.treatsel", "absent.csv"], "Cannot read"),
        (["predict", "cohort.csv", "cohort.csv"], "not a zip archive"),
        (["predict", "absent.treatsel", "cohort.csv"], "cannot be read"),
        (["recommend", "m.treatsel", "cohort.csv", "--exclude", "yoga=x"], "yoga"),
        (["recommend", "m.treatsel", "cohort.csv", "--weight", "remission=1"], "unknown key 'remission'"),
        (["recommend", "m.treatsel", "cohort.csv", "--level", "95"], "between 0 and 1"),
        (["explain", "m.treatsel", "cohort.csv", "--arm", "CBT"], "Did you mean 'cbt'"),
        (["explain", "m.treatsel", "cohort.csv", "--arm", "cbt", "--plot", "x.gif"], "must end in .png"),
        (["validate", "m.treatsel", "cohort.csv", "--outcome", "relapse"], "relapse"),
        (
            ["train", "cohort.csv", "--codebook", "codebook.yaml", "--out", "x", "--intended-use", ""],
            "purpose",
        ),
        (["train", "cohort.csv", "--codebook", "absent.yaml", "--out", "x", "--intended-use", "y"], "absent"),
        (["simulate", "x.csv", "--n", "3"], "n"),
        (["demo", "--out", "x", "--n", "100"], "must be from 200 to 4,000"),
        (["codebook", "truth.csv", "--arm", "treatment"], "treatment"),
        (["codebook", "cohort.csv", "--out", "./cohort.csv"], "is an input of this command"),
        (["predict", "m.treatsel", "cohort.csv", "--out", "m.treatsel"], "is an input of this command"),
        (["validate", "m.treatsel", "cohort.csv", "--html", "x.html", "--json", "x.html"], "another output"),
        (["simulate", "x.csv", "--truth", "nowhere/t.csv"], "folder 'nowhere' does not exist"),
        (
            ["explain", "m.treatsel", "cohort.csv", "--arm", "cbt", "--patient", "x"],
            "of this result has that id",
        ),
        (["validate", "m.treatsel", "cohort.csv", "--allocation", "cbt=0.5"], "lacks the arms"),
        (["validate", "cohort.csv"], "Give either a model file and a cohort, or --predictions"),
        (["validate", "m.treatsel", "cohort.csv", "--n-jobs", "0"], "--n-jobs is 0"),
        (
            ["validate", "m.treatsel", "cohort.csv", "--html", "x.html", "--checklists", "x.pdf"],
            ".md or .csv",
        ),
        (
            [
                "sample-size",
                "gain",
                "--differs",
                "0.4",
                "--allocation",
                "0.2",
                "--gain",
                "1e-200",
                "--prevalence",
                "0.4",
            ],
            "1e-200",
        ),
        (["validate", "m.treatsel", "cohort.csv", "--predictions", "truth.csv"], "Give either a model file"),
        (["validate", "cohort.csv", "--predictions", "truth.csv"], "--predictions needs --codebook"),
        (
            ["validate", "cohort.csv", "--predictions", "codebook.yaml", "--codebook", "codebook.yaml"],
            "codebook.yaml",
        ),
    ],
)
def test_bad_input_gives_one_line_and_status_2(folder, capsys, arguments, message, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert message in complaint(capsys, *arguments)
    assert sorted(folder.iterdir()) == before


def test_bad_options_end_with_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["recommend", "m", "p", "--weight", "dropout"])
    assert ended.value.code == 2
    assert "name=value" in capsys.readouterr().err


def test_the_console_script_survives_a_closed_pipe(folder):
    command = (
        f"{sys.executable} -m treatsel.cli.main predict {folder}/m.treatsel {folder}/cohort.csv | head -1"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("patient,outcome,arm")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_demo_runs_the_whole_path(tmp_path, capsys):
    text = output(capsys, "demo", "--out", tmp_path / "demo", "--n", "600")
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"model.treatsel", "predictions.csv", "report.html", "card.html", "explanation.png"} <= written
    assert "95% interval of the gain" in text
    manifest = json.loads(output(capsys, "show", tmp_path / "demo" / "model.treatsel", "--json"))
    assert manifest["validation"]["outcome"] == "recovery"


def test_lost_outcomes_are_treated_as_stated(tmp_path, capsys):
    made = make_cohort(260, random_state=2, weekly_scores=True).cohort
    made.frame.reset_index().to_csv(tmp_path / "c.csv", index=False)
    made.codebook.write(tmp_path / "c.yaml")
    same = [tmp_path / "c.csv", "--codebook", tmp_path / "c.yaml", "--estimator", "hierarchical"]
    model, train = tmp_path / "m.treatsel", ["--intended-use", "Tests."]
    missing = ["--missing", "{shift: {recovery: 0.5}, interim: [phq9_w4, phq9_w8]}"]
    output(capsys, "train", *same, *train, *missing, "--out", model)
    checks = {check.code: check.message for check in ts.load_model(model).data_checks_}
    assert "fare worse by 0.5 logits" in checks["lost_outcomes_shifted"]
    unknown = ["--missing", "{delta: 1}", "--out", tmp_path / "r.html"]
    assert "unknown key 'delta'" in complaint(capsys, "crossvalidate", *same, *unknown)
    for given, said in (("{shift: [", "--missing is no valid YAML"), ("{delta: 1}", "unknown key 'delta'")):
        new = ["--missing", given, "--out", tmp_path / "n.treatsel"]
        assert said in complaint(capsys, "train", *same, *train, *new)
