"""`treatsel sample-size`: the numbers of the functions, as text and as a table; one line on bad input."""

import pandas as pd
import pytest

from treatsel.cli.main import main
from treatsel.metrics.sample_size import (
    LinearPredictorDistribution,
    development_sample_size,
    gain_sample_size,
    validation_sample_size,
)

DEVELOPMENT = ["development", "--prevalence", "0.4", "--parameters", "20", "--cox-snell-r2", "0.15"]
VALIDATION = ["validation", "--prevalence", "0.4", "--auc", "0.7"]
GAIN = ["gain", "--prevalence", "0.45", "--differs", "0.3", "--gain", "0.03"]


def sample_size(capsys, *arguments):
    assert main(["sample-size", *arguments]) == 0
    return capsys.readouterr().out


def complaint(capsys, *arguments):
    assert main(["sample-size", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("treatsel: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_development_prints_the_number_and_the_deciding_criterion(capsys):
    text = sample_size(capsys, *DEVELOPMENT)
    size = development_sample_size(prevalence=0.4, parameters=20, cox_snell_r2=0.15)
    assert text.splitlines()[0] == str(size)
    assert "1,097" in text
    more = sample_size(capsys, *DEVELOPMENT, "--arms", "3", "--modifiers", "5", "--shrinkage", "0.95")
    expected = development_sample_size(
        prevalence=0.4, parameters=20, cox_snell_r2=0.15, arms=3, modifiers=5, shrinkage=0.95
    )
    assert more.splitlines()[0] == str(expected)
    assert "does not apply" in more


@pytest.mark.parametrize(
    ("options", "predictor"),
    [
        (["--lp-normal", "-0.5", "1"], LinearPredictorDistribution.normal(-0.5, 1)),
        (["--lp-beta", "2", "3"], LinearPredictorDistribution.beta(2, 3)),
        ([], None),
    ],
)
def test_validation_writes_a_table(capsys, tmp_path, options, predictor):
    out = tmp_path / "size.csv"
    more = ["--threshold", "0.35", "--sensitivity", "0.7", "--specificity", "0.55", "--slope-width", "0.3"]
    sample_size(capsys, *VALIDATION, *options, *more, "--out", str(out))
    expected = validation_sample_size(
        prevalence=0.4,
        auc=0.7,
        predictor=predictor,
        threshold=0.35,
        sensitivity=0.7,
        specificity=0.55,
        widths={"calibration slope": 0.3},
    )
    table = pd.read_csv(out)
    assert table["n"].tolist() == [criterion.n for criterion in expected.criteria]
    assert table["decides"].sum() == 1


@pytest.mark.parametrize(("given", "allocation"), [(["0.5"], 0.5), (["0.3", "0.4"], (0.3, 0.4))])
def test_gain_takes_one_or_two_allocations(capsys, given, allocation):
    text = sample_size(capsys, *GAIN, "--allocation", *given, "--half-width", "0.02", "--r2", "0.1")
    expected = gain_sample_size(
        differs=0.3, prevalence=0.45, allocation=allocation, gain=0.03, half_width=0.02, r2=0.1
    )
    assert text.splitlines()[0] == str(expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*VALIDATION, "--specificity", "0.5"], "belong to a threshold"),
        ([*VALIDATION, "--level", "95"], "between 0 and 1"),
        ([*DEVELOPMENT, "--shrinkage", "1.2"], "shrinkage is 1.2"),
        ([*DEVELOPMENT, "--out", "nowhere/at/all.csv"], "does not exist"),
        ([*GAIN, "--allocation", "0.5", "0.3", "0.2"], "holds 3 numbers"),
        (["gain", "--prevalence", "0.4", "--differs", "0.2", "--allocation", "0.5"], "half-width"),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, words):
    assert words in complaint(capsys, *arguments)


def test_an_r2_or_an_auc_is_required(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sample-size", "development", "--prevalence", "0.4", "--parameters", "20"])
    assert ended.value.code == 2
    assert "--auc" in capsys.readouterr().err
