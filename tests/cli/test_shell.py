"""The command line as a trialist uses it: files of any kind, several outcomes, stored validations."""

import argparse
import gzip
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel._reporting.format import points
from treatsel.artifact import load_model, new_keys, read_manifest, save_model
from treatsel.cli._io import grouped
from treatsel.cli.main import build_parser, main
from treatsel.errors import InputError
from treatsel.report import model_card
from treatsel.table import read_table

pytestmark = pytest.mark.one_version

READERS = {
    *("outcome", "codebook", "train", "predict", "recommend", "explain", "crossvalidate", "validate"),
    "monitor",
    "allocate",
    "update",
}
FIGURES = ("gain over the best single arm", "calibration slope")


def run(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    return capsys.readouterr()


def trial(n, seed):
    """A small trial with two outcomes, as texts of a German table would hold it."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"pid": [f"p{seed}-{i}" for i in range(n)], "alter": rng.integers(18, 80, n)})
    frame["größe"] = np.round(rng.normal(1.7, 0.1, n), 2)
    frame["arm"] = rng.choice(["KVT", "Übung"], n)
    logit = 0.08 * (frame["alter"] - 49) * np.where(frame["arm"] == "KVT", 1, -1)
    frame["genesen"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    frame["abbruch"] = (rng.random(n) < 1 / (1 + np.exp(logit + 1))).astype(int)
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trial, a second one, a codebook and a model of both outcomes."""
    made = tmp_path_factory.mktemp("shell")
    trial(240, 1).to_csv(made / "a.csv", index=False)
    trial(300, 2).to_csv(made / "b.csv", index=False)
    draft = ["codebook", made / "a.csv", "--outcome", "genesen=good", "--outcome", "abbruch=bad"]
    assert main([*map(str, draft), "--out", str(made / "book.yaml")]) == 0
    book = ts.Codebook.read(made / "book.yaml")  # wider ranges than those seen
    wide = {"fields": [{"name": "größe", "constraints": {"minimum": 1, "maximum": 3}}]}
    wide["fields"].append({"name": "alter", "constraints": {"minimum": 0, "maximum": 120}})
    book.merge(wide).write(made / "book.yaml")
    train = ["train", made / "a.csv", "--codebook", made / "book.yaml", "--estimator", "hierarchical"]
    train += ["--assignment", "randomised", "--intended-use", "Tests.", "--out", made / "m.treatsel"]
    assert main([*map(str, train)]) == 0
    return made


# --- how tables are written


def test_every_command_that_reads_a_table_takes_how_it_is_written():
    commands = next(action for action in build_parser()._actions if action.dest == "command").choices
    for name, parser in commands.items():
        options = {option for action in parser._actions for option in action.option_strings}
        assert ({"--sep", "--decimal", "--encoding"} <= options) == (name in READERS), name


COMMANDS = {
    "predict": ["predict", "{model}", "{table}"],
    "recommend": ["recommend", "{model}", "{table}"],
    "explain": ["explain", "{model}", "{table}", "--arm", "KVT"],
    "outcome": ["outcome", "{table}", "--name", "one_session", "--column", "sessions=alter"],
    "codebook": ["codebook", "{table}", "--outcome", "genesen=good"],
}


def text_of(capsys, name, folder, table, *more):
    arguments = [part.format(model=folder / "m.treatsel", table=table) for part in COMMANDS[name]]
    return run(capsys, *arguments, *more)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stated_layout_is_read_as_the_plain_table(folder, tmp_path, capsys, name):
    plain = text_of(capsys, name, folder, folder / "b.csv").out
    frame = pd.read_csv(folder / "b.csv")
    frame.to_csv(tmp_path / "t.txt", sep="|", decimal=",", encoding="cp1252", index=False)
    stated = ["--sep", "bar", "--decimal", ",", "--encoding", "cp1252"]
    found = text_of(capsys, name, folder, tmp_path / "t.txt", *stated)
    assert found.out == plain
    assert "is read as" not in found.err
    recognized = text_of(capsys, name, folder, tmp_path / "t.txt")
    assert recognized.out == plain
    assert recognized.err.count("is read as cp1252, separated by bars, decimal sign ','") == 1
    assert "(--sep, --decimal, --encoding)" in recognized.err


@pytest.mark.parametrize("ending", [".tsv", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_kind_of_file_is_taken_without_a_word(folder, tmp_path, capsys, name, ending):
    frame, path = pd.read_csv(folder / "b.csv"), tmp_path / f"t{ending}"
    if ending == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    plain = text_of(capsys, name, folder, folder / "b.csv").out
    found = text_of(capsys, name, folder, path)
    assert "is read as" not in found.err
    if name == "codebook":
        assert found.out.replace("type: number", "") == plain.replace("type: number", "")
    else:
        columns = pd.read_csv(io.StringIO(plain))
        pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(found.out)), columns)


def test_a_wrong_statement_is_named_with_its_option(folder, tmp_path, capsys):
    pd.read_csv(folder / "b.csv").to_csv(tmp_path / "t.csv", encoding="cp1252", index=False)
    predict = ["predict", folder / "m.treatsel", tmp_path / "t.csv"]
    message = run(capsys, *predict, "--encoding", "ascii", status=2).err
    assert "is not text in ascii" in message
    assert "--encoding" in message
    assert "the separator is" in run(capsys, *predict, "--sep", "x", status=2).err.lower()
    message = run(capsys, "predict", folder / "m.treatsel", folder / "b.csv", "--sep", ";", status=2).err
    assert "no recognizable column" in message
    assert "--sep" in message


def test_a_stated_decimal_comma_is_read_in_chunks(folder, tmp_path, capsys):
    frame = pd.read_csv(folder / "b.csv")
    frame["größe"] = frame["größe"].astype(str).str.replace(".", ",")
    frame.to_csv(tmp_path / "t.csv", index=False)  # comma between cells as well: cells are quoted
    plain = text_of(capsys, "predict", folder, folder / "b.csv").out
    assert text_of(capsys, "predict", folder, tmp_path / "t.csv", "--decimal", ",").out == plain


@pytest.mark.parametrize("name", ["o.xlsx", "o.tsv"])
def test_no_table_is_written_under_a_name_that_promises_another_kind(folder, tmp_path, capsys, name):
    predict = ["predict", folder / "m.treatsel", folder / "b.csv", "--out", tmp_path / name]
    assert "are not written" in run(capsys, *predict, status=2).err or not (tmp_path / name).exists()
    assert not (tmp_path / name).exists()


# --- explanations


def test_an_explanation_file_says_what_it_holds(folder, tmp_path, capsys):
    explain = ["explain", folder / "m.treatsel", folder / "b.csv", "--outcome", "abbruch"]
    run(capsys, *explain, "--arm", "KVT", "--out", tmp_path / "why.csv")
    table = pd.read_csv(tmp_path / "why.csv")
    assert set(table["outcome"]) == {"abbruch"}
    assert set(table["arm"]) == {"KVT"}
    assert set(table["scale"]) == {"probability"}
    assert table["contrast"].isna().all()
    values = pd.read_csv(folder / "b.csv")["alter"]
    assert table[table["covariate"] == "alter"]["value"].tolist() == values.tolist()
    selector, patients = load_model(folder / "m.treatsel"), read_table(folder / "b.csv")
    expected = selector.predict_by_arm(patients, outcome="abbruch")["KVT"].to_numpy()
    sums = table.groupby("patient", sort=False)["attribution"].sum() + table["base_value"].iloc[0]
    np.testing.assert_allclose(sums, expected, atol=1e-9)
    run(capsys, *explain, "--contrast", "KVT", "Übung", "--scale", "logit", "--out", tmp_path / "d.parquet")
    table = read_table(tmp_path / "d.parquet")
    assert set(table["contrast"]) == {"KVT minus Übung"}
    assert set(table["scale"]) == {"logit"}


# --- warnings and progress


def test_warnings_are_grouped_and_follow_the_result(folder, tmp_path, capsys, monkeypatch):
    lost = "Outcome 'x_6m' was not observed in 5 of 80 patients (6%)."
    other = lost.replace("5 of 80", "7 of 81")
    twelve = lost.replace("6m", "12m")
    checks = "Checks:\n- one arm.\n- 3 of 'a'."
    found = grouped([lost, other, twelve, checks, checks])
    assert found == [
        f"{lost} [2 times, with different numbers]",
        twelve,
        "Checks: one arm. [2 times]",
        "Checks: 3 of 'a'. [2 times]",
    ]
    cross = ["crossvalidate", folder / "a.csv", "--codebook", folder / "book.yaml", "--outcome", "genesen"]
    both = io.StringIO()
    monkeypatch.setattr(sys, "stderr", both)
    monkeypatch.setattr(sys, "stdout", both)
    assert main([*map(str, cross), "--estimator", "hierarchical", "--assignment", "randomised"]) == 0
    lines = [line for line in both.getvalue().splitlines() if "fewer than 300 patients" in line]
    assert len(lines) == 1
    assert lines[0].endswith("[15 times, with different numbers]")
    assert both.getvalue().startswith("Cross-validated: ")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def test_training_shows_one_line_of_progress_on_a_terminal(folder, tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train = ["train", folder / "a.csv", "--codebook", folder / "book.yaml", "--estimator", "hierarchical"]
    assert main([*map(str, train), "--intended-use", "Tests.", "--out", str(tmp_path / "m.treatsel")]) == 0
    shown = terminal.getvalue()
    assert "Maximizing the evidence: round 2" in shown
    lines = [line.rpartition("\r\x1b[K")[2] for line in shown.split("\n")]
    assert len(lines) <= 4
    assert not any("Maximizing" in line for line in lines)  # erased before anything else is printed


# --- several outcomes, and stored validations


@pytest.fixture(scope="module")
def validated(folder, tmp_path_factory):
    """The model with its external validation stored, and the reports of both outcomes."""
    made = tmp_path_factory.mktemp("validated")
    (made / "m.treatsel").write_bytes((folder / "m.treatsel").read_bytes())
    command = ["validate", made / "m.treatsel", folder / "b.csv", "--assignment", "randomised", "--store"]
    files = ["--html", made / "r.html", "--json", made / "r.json", "--out", made / "r.csv"]
    assert main([*map(str, [*command, *files])]) == 0
    return made


def test_every_outcome_has_its_report(validated):
    for name, outcome in (("r", "genesen"), ("r-abbruch", "abbruch")):
        assert f"External validation: {outcome}" in (validated / f"{name}.html").read_text(encoding="utf-8")
        assert json.loads((validated / f"{name}.json").read_text(encoding="utf-8"))["outcome"] == outcome
        assert len(pd.read_csv(validated / f"{name}.csv")) > 20


def test_validate_prints_every_outcome_unless_one_is_named(folder, capsys, tmp_path):
    command = ["validate", folder / "m.treatsel", folder / "b.csv", "--assignment", "randomised"]
    text = run(capsys, *command).out
    assert text.count("calibration slope") == 2
    assert text.index("outcome              genesen") < text.index("outcome              abbruch")
    text = run(capsys, *command, "--outcome", "abbruch", "--html", tmp_path / "one.html").out
    assert text.count("calibration slope") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html"]
    twice = ["--outcome", "abbruch", "--outcome", "abbruch"]
    assert "names 'abbruch' twice" in run(capsys, *command, *twice, status=2).err
    (tmp_path / "r-abbruch.html").mkdir()
    error = run(capsys, *command, "--html", tmp_path / "r.html", status=2).err
    assert "r-abbruch.html: it is a folder" in error
    assert not (tmp_path / "r.html").exists()


def test_predictions_of_one_of_two_outcomes_need_its_name(folder, tmp_path, capsys):
    frame = trial(300, 2)
    table = frame[["pid"]].assign(KVT=0.6, Übung=0.5)
    table.to_csv(tmp_path / "p.csv", index=False)
    command = ["validate", folder / "b.csv", "--predictions", tmp_path / "p.csv"]
    command += ["--codebook", folder / "book.yaml", "--assignment", "randomised"]
    assert "Name the one outcome" in run(capsys, *command, status=2).err
    assert "calibration slope" in run(capsys, *command, "--outcome", "genesen").out


def test_a_stored_validation_is_on_the_card_and_keeps_the_model_id(folder, validated, capsys):
    before, after = (read_manifest(place / "m.treatsel") for place in (folder, validated))
    assert before.validations == []
    assert after.model_id == before.model_id
    assert [(one["outcome"], one["kind"]) for one in after.validations] == [
        ("genesen", "external"),
        ("abbruch", "external"),
    ]
    card = run(capsys, "show", validated / "m.treatsel").out
    assert "- Gain over the best single arm: not validated\n" in model_card(before)
    assert "- Calibration slope: not validated\n" in model_card(before)
    content = json.loads((validated / "r.json").read_text(encoding="utf-8"))["figures"]
    rows = pd.DataFrame(content).query("group == 'overall'").set_index("measure")
    slope, gain = rows.loc[FIGURES[1]], rows.loc[FIGURES[0]]
    numbers = f"{slope['value']:.2f} ({slope['lower']:.2f} to {slope['upper']:.2f})"
    assert f"- Calibration slope: genesen {numbers}, 95% interval, external validation, n = 300; abb" in card
    wide = rows.loc[f"{FIGURES[0]}, selected in these data, selection-adjusted interval"]
    ends = f"{points(wide['lower'])} to {points(wide['upper'])}"
    assert f"- Gain over the best single arm: genesen {ends}, 95% interval" in card
    assert "n = 300; no abbruch " in card  # the gain is one of the good outcome, the slope is not
    assert "n = 300; abbruch " in card
    assert gain["lower"] > 0
    selector = load_model(validated / "m.treatsel")
    table = read_table(folder / "b.csv")
    old = load_model(folder / "m.treatsel").predict_by_arm(table)
    pd.testing.assert_frame_equal(selector.predict_by_arm(table), old)


def test_a_cross_validation_is_stored_in_the_model_of_the_same_procedure(folder, validated, tmp_path, capsys):
    model = tmp_path / "m.treatsel"
    model.write_bytes((validated / "m.treatsel").read_bytes())
    cross = ["crossvalidate", folder / "a.csv", "--codebook", folder / "book.yaml", "--store", model]
    cross += ["--assignment", "randomised", "--outcome", "genesen"]
    assert "trained with other options" in run(capsys, *cross, status=2).err
    other = [folder / "b.csv" if part == folder / "a.csv" else part for part in cross]
    error = run(capsys, *other, "--estimator", "hierarchical", status=2).err
    assert "was trained on other patients" in error
    assert model.read_bytes() == (validated / "m.treatsel").read_bytes()
    text = run(capsys, *cross, "--estimator", "hierarchical").out
    assert f"Stored in {model}: cross-validation of ['genesen']." in text
    stored = [(one["outcome"], one["kind"]) for one in read_manifest(model).validations]
    assert stored == [("genesen", "cross-validated"), ("genesen", "external"), ("abbruch", "external")]
    assert "interval, cross-validation, n = 240; genesen" in run(capsys, "show", model).out


def test_apparent_performance_has_no_gain_and_is_not_stored(folder, tmp_path, capsys):
    frame = pd.read_csv(folder / "a.csv")
    frame["genesen"] = frame["genesen"].astype("Int64").mask(np.arange(len(frame)) % 9 == 0)
    frame.to_csv(tmp_path / "a.csv", index=False)
    model = tmp_path / "m.treatsel"
    model.write_bytes((folder / "m.treatsel").read_bytes())
    command = ["validate", model, tmp_path / "a.csv", "--assignment", "randomised", "--outcome", "genesen"]
    text = run(capsys, *command, "--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md").out
    assert text.startswith("Apparent performance")
    assert "the gain would be" not in text
    content = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert not {"missing outcomes", "choice curve", "toc", "benefit groups"} & set(content["tables"])
    figures = pd.DataFrame(content["figures"])
    gains = figures[figures["section"].isin(["gain", "policy", "benefit", "utility", "missing outcomes"])]
    assert len(gains) == 1
    assert gains["value"].isna().all()
    page = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "Missing outcomes | withheld" in page
    assert "than with the best single arm? | withheld | unknown |" in page
    assert "Effective sample size (policy value): withheld" in page
    before = model.read_bytes()
    assert "This is apparent performance" in run(capsys, *command, "--store", status=2).err
    assert model.read_bytes() == before
    summary = read_manifest(folder / "m.treatsel").validations
    assert summary == []


def test_a_signed_file_is_not_changed(folder, tmp_path, capsys):
    pytest.importorskip("cryptography")
    model = tmp_path / "m.treatsel"
    model.write_bytes((folder / "m.treatsel").read_bytes())
    new_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    run(capsys, "sign", model, "--private-key", tmp_path / "private.pem")
    before = model.read_bytes()
    error = run(capsys, "validate", model, folder / "b.csv", "--store", status=2).err
    assert "sign that file again" in error
    assert model.read_bytes() == before


def test_a_model_file_refuses_summaries_that_are_no_validation(folder, tmp_path, validated):
    selector = load_model(folder / "m.treatsel")
    good = read_manifest(validated / "m.treatsel").validations
    out = tmp_path / "m.treatsel"
    assert save_model(selector, out, intended_use="Tests.", validation=good).validations == good
    for wrong, message in (
        ({**good[0], "kind": "apparent"}, "apparent performance"),
        ({**good[0], "kind": "internal"}, "summary of a report"),
        ([good[0], good[0]], "same outcome and kind"),
        ([], "list of them"),
    ):
        with pytest.raises(InputError, match=message):
            save_model(selector, out, intended_use="Tests.", validation=wrong)


# --- drafts


def test_a_draft_asks_about_later_measurements_by_their_time(tmp_path, capsys):
    rng, n = np.random.default_rng(0), 200
    frame = pd.DataFrame({"id": range(n), "cd40": rng.normal(400, 90, n).round(), "x1": rng.normal(size=n)})
    frame = frame.assign(cd420=(frame["cd40"] + rng.normal(20, 60, n)).round(), arm=rng.choice(["A", "B"], n))
    frame["cd496"] = (frame["cd40"] + rng.normal(20, 60, n)).round().mask(rng.random(n) < 0.3)
    frame["r"] = frame["cd496"].notna().astype(int)
    for number in (2, 10, 11, 20):
        frame[f"x{number}"] = frame["x1"] + rng.normal(size=n)
    frame = frame.assign(hospital=rng.integers(1, 60, n), country=rng.choice(["UK", "NL"], n))
    frame = frame.assign(dead=rng.integers(0, 2, n), alive=rng.integers(0, 2, n))
    frame.to_csv(tmp_path / "t.csv", index=False)
    draft = ["codebook", tmp_path / "t.csv", "--site", "country", "--out", tmp_path / "b.yaml"]
    draft += ["--outcome", "alive=good", "--outcome", "dead=bad"]
    text = run(capsys, *draft).err
    book = ts.Codebook.read(tmp_path / "b.yaml")
    assert set(book.names("undecided")) == {"cd420", "cd496", "r", "hospital"}
    assert book["cd420"].note.startswith("May repeat 'cd40' at another time")
    assert book["r"].note.startswith("States in which rows 'cd496' is missing.")
    assert book["hospital"].note.startswith("The name suggests a site")
    assert book.outcomes == ("alive", "dead")  # as stated, not as in the table
    assert "Main outcome: 'alive'" in text
    assert "site ['country']" in text
    assert "--role cd420=covariate" in text
    roles = ["--role", "cd420=session_score", "--role", "cd496=session_score", "--role", "r=none"]
    roles += ["--role", "hospital=none"]
    assert "Undecided" not in run(capsys, *draft, *roles).err
    book = ts.Codebook.read(tmp_path / "b.yaml")
    assert (book["cd420"].role, book["r"].role) == ("session_score", None)
    assert "which is not a column" in run(capsys, *draft, "--role", "q=none", status=2).err


def test_the_namespace_of_options_is_plain():
    args = build_parser().parse_args(["codebook", "x.csv", "--sep", r"\t"])
    assert isinstance(args, argparse.Namespace)
    assert args.sep == "\t"


def test_a_compressed_table_is_compressed(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt", encoding="utf-8") as stream:
        stream.write("a;b\n1,5;2\n")
    with pytest.warns(UserWarning, match="separated by semicolons"):
        table = read_table(tmp_path / "t.csv.gz")
    assert table.values.tolist() == [["1.5", "2"]]
