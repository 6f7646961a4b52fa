"""A plan fixes outcome, comparator and primary figure; without one, every figure is exploratory."""

import json

import pytest
from sklearn.linear_model import LogisticRegression

from treatsel.artifact import read_manifest, save_model
from treatsel.cli.main import main
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.models import PooledClassifier
from treatsel.report import write_markdown
from treatsel.selector import TreatmentSelector
from treatsel.validation import ValidationPlan, ValidationReport, validate
from treatsel.validation.report import page_of

PLAN = {
    "population": "Adults who start treatment for depression",
    "outcome": "dropout",
    "horizon": "end of treatment",
    "primary": "gain over the received arm",
    "dropout": "treatment policy",
    "switching": "hypothetical",
    "comparator": "cbt",
    "date": "2026-05-01",
}


@pytest.fixture(scope="module")
def simulated():
    return make_cohort(400, random_state=3, assignment="randomised")


@pytest.fixture(scope="module")
def report(simulated):
    return validate(simulated.truth["dropout"], simulated.cohort, plan=PLAN, sections=())


def words(report):
    section = next(one for one in page_of(report).sections if one.heading.startswith("Estimand"))
    return " ".join(section.paragraphs), section.tables[0].frame.set_index("Attribute")


def test_the_report_is_that_of_the_plan(report):
    assert (report.outcome, report.gain.comparator_arm) == ("dropout", "cbt")
    text, table = words(report)
    value = report.figure("gain over the received arm")["value"]
    assert f"Primary figure: gain over the received arm, {value:.3f}" in text
    assert ValidationPlan.from_dict(PLAN).sha256[:16] in text
    assert "exploratory" in text
    assert table.loc["population", "In this report"] == PLAN["population"]
    assert table.loc["dropout", "Fixed in the plan"] == "yes"
    assert table.loc["switching", "Fixed in the plan"] != "yes"


def test_a_strategy_that_the_report_does_not_follow_is_a_caution(report):
    assert any("'hypothetical' for switching" in caution for caution in report.cautions)
    assert not any("for dropout" in caution for caution in report.cautions)


def test_without_a_plan_the_report_says_so(simulated):
    found = validate(simulated.truth["dropout"], simulated.cohort, outcome="dropout", sections=())
    text, table = words(found)
    assert "No plan was given" in text
    assert table.loc["horizon", "In this report"] == "not stated"
    assert found.about["plan"] is None


def test_the_digest_depends_on_content_alone():
    same = ValidationPlan.from_dict(dict(reversed(PLAN.items())))
    other = ValidationPlan.from_dict(PLAN | {"margin": 0.05})
    assert same.sha256 == ValidationPlan.from_dict(PLAN).sha256 != other.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"primary": None}, "lacks"),
        ({"primary": "p value"}, "primary"),
        ({"dropout": "ignore"}, "treatment policy"),
        ({"margin": 5}, "between 0 and 1"),
        ({"arms": "cbt"}, "list"),
        ({"date": "soon"}, "date"),
        ({"comparater": "cbt"}, "Did you mean 'comparator'"),
        ({"population": 7}, "text"),
    ],
)
def test_an_incomplete_plan_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        ValidationPlan.from_dict(PLAN | change)


def test_what_differs_from_the_plan_is_refused(simulated):
    for given in ({"outcome": "recovery"}, {"comparator": "ipt"}):
        with pytest.raises(InputError, match="the plan states"):
            validate(simulated.truth["dropout"], simulated.cohort, plan=PLAN, sections=(), **given)


def test_the_command_reads_a_plan(simulated, tmp_path, capsys):
    cohort = simulated.cohort
    cohort.frame.to_csv(tmp_path / "c.csv")
    (tmp_path / "book.yaml").write_text(cohort.codebook.to_yaml())
    simulated.truth["dropout"].to_csv(tmp_path / "p.csv")
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    options = ["--codebook", str(tmp_path / "book.yaml"), "--plan", str(tmp_path / "plan.json")]
    files = ["--predictions", str(tmp_path / "p.csv"), "--json", str(tmp_path / "r.json")]
    assert main(["validate", str(tmp_path / "c.csv"), *options, *files]) == 0
    again = ValidationReport.from_json(tmp_path / "r.json")
    assert again.about["plan"]["sha256"] == ValidationPlan.from_dict(PLAN).sha256
    assert "Primary figure" in words(again)[0]
    assert main(["validate", str(tmp_path / "c.csv"), *options, *files, "--comparator", "ipt"]) == 2
    assert "the plan states" in capsys.readouterr().err


def test_the_model_file_holds_the_estimand(simulated, report, tmp_path):
    path = tmp_path / "m.treatsel"
    model = PooledClassifier(LogisticRegression())
    book = simulated.cohort.codebook.subset(["patient_id", "age", "arm", "dropout"])
    selector = TreatmentSelector(estimator=model, codebook=book, random_state=0)
    cohort = simulated.cohort.frame[["age", "arm"]], simulated.cohort.frame["dropout"]
    save_model(selector.fit(*cohort), path, intended_use="Tests.", validation=report.summary())
    stated = read_manifest(path).validations[0]["estimand"]
    assert stated["population"] == PLAN["population"]
    assert ValidationPlan.from_dict(PLAN).sha256 in stated["primary figure"]
    write_markdown(read_manifest(path), tmp_path / "card.md")
    assert PLAN["population"] in (tmp_path / "card.md").read_text()
    damaged = report.summary() | {"estimand": {"population": 7}}
    with pytest.raises(InputError, match="summary of a report"):
        save_model(selector, path, intended_use="Tests.", validation=damaged)
