"""Questions worth asking: value of information on tables, and for a selector with a partly filled record."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.errors import CohortError, InputError
from treatsel.questions import (
    evpi_of_arms,
    evpi_of_difference,
    evsi_of_difference,
    next_question,
    p_best_of_arms,
    value_of_answers,
)

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
N = 240


def field(name, kind="number", **constraints):
    return {"name": name, "type": kind, "role": "covariate", "constraints": constraints}


BOOK = Codebook.from_dict(
    {
        "fields": [
            {"name": "arm", "role": "arm", "constraints": {"enum": ["cbt", "ssri"]}},
            {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
            field("phq9", "integer", minimum=0, maximum=27),
            field("prior", "boolean"),
            field("job", "string", enum=["employed", "retired", "student"]),
            field("hair", "string", enum=["dark", "fair"]),
            field("group", "integer", enum=[1, 2, 3]),
        ]
    }
)


class Selector:
    """What `next_question` uses of a selector, with probabilities by a formula."""

    codebook_, arms_, outcomes_ = BOOK, ["cbt", "ssri"], ["remission"]

    def __init__(self, formula, good=True):
        random = np.random.default_rng(0)
        self._formula, self.event_is_good_ = formula, {"remission": good}
        self.ranges_ = pd.DataFrame({"lower": [-5.0], "upper": [35.0]}, index=["phq9"])
        self.background_ = pd.DataFrame(
            {
                "phq9": random.normal(15, 3, N),
                "prior": random.choice([0.0, 0.25, 0.5], N),
                "job": random.choice(["employed", "retired", "student"], N, p=[0.5, 0.3, 0.2]),
                "hair": random.choice(["dark", "fair"], N),
                "group": random.choice(["1", "2", "3"], N),
            }
        )

    def predict_by_arm(self, X, outcome=None):
        clean, faults = BOOK.parse(X, names=BOOK.covariates)
        assert not faults
        assert not clean.isna().any(axis=None)
        return self._formula(clean)[self.arms_]


def by_prior(clean):
    return pd.DataFrame({"cbt": 0.5, "ssri": 0.44 + 0.2 * clean["prior"]}, index=clean.index)


def test_value_is_exact_and_zero_for_irrelevant_columns():
    selector = Selector(by_prior)
    found = next_question(selector, {"phq9": 14})
    share = found.table.loc["prior", "p_change"]
    assert found.question == "prior"
    assert share == pytest.approx(0.25, abs=0.07)  # mean of the background
    # without an answer 0.44 + 0.2 share < 0.5: CBT is the top arm, and SSRI gains 0.14 where prior is true
    assert found.table.loc["prior", "value"] == pytest.approx(share * 0.14, abs=1e-12)
    assert (found.table.drop(index="prior")[["value", "p_change"]] == 0).all(axis=None)
    assert list(found.table.index) == ["prior", "group", "hair", "job"]
    assert found.top_arms == ("cbt",)


def test_cost_and_tolerance_stop_the_questions():
    selector = Selector(by_prior)
    assert next_question(selector, {}, cost={"prior": 0.5}).question is None
    assert next_question(selector, {}, tolerance=0.2).question is None
    assert next_question(selector, {}, ["job", "hair"]).question is None
    done = next_question(selector, {"prior": True})
    assert done.question is None
    assert done.top_arms == ("ssri",)
    assert "No single answer" in done.reason


def test_a_complete_record_has_no_question():
    record = {"phq9": 14, "prior": False, "job": "student", "hair": "fair", "group": 2}
    found = next_question(Selector(by_prior), record)
    assert found.question is None
    assert len(found.table) == 0
    assert found.current == pytest.approx({"cbt": 0.5, "ssri": 0.44})
    assert found.reason == "There is no question left to ask."
    assert json.loads(json.dumps(found.to_dict()))["questions"] == {}


def test_pairs_are_offered_when_single_answers_are_worth_nothing():
    def rare(clean):
        both = clean["prior"] * (clean["hair"] == "fair") * (clean["job"] == "retired")
        return pd.DataFrame({"cbt": 0.62, "ssri": 0.5 + 0.3 * both}, index=clean.index)

    found = next_question(Selector(rare), {"phq9": 12, "hair": "fair", "group": 1})
    assert (found.table["value"] == 0).all()
    assert found.question is None
    assert found.pair == ("job", "prior")
    assert found.pairs["value"].iloc[0] > 0.005
    assert "together" in found.reason
    assert json.loads(json.dumps(found.to_dict()))["pairs"][0]["pair"] == ["job", "prior"]


def test_numbers_have_seven_values_within_the_limits():
    seen = []

    def by_score(clean):
        seen.append(clean["phq9"].iloc[32:].unique())  # after the records without another answer
        return pd.DataFrame({"cbt": 0.5, "ssri": 0.5 + 0.01 * (clean["phq9"] - 16)}, index=clean.index)

    found = next_question(Selector(by_score), {"job": "student", "hair": "dark", "group": 1, "prior": 1})
    assert found.question == "phq9"
    values = seen[0]
    assert len(values) == 7
    assert values.min() >= 5
    assert values.max() <= 25
    assert np.ptp(values) > 11  # wider than the means of groups, whose deviations are stretched
    assert found.table.loc["phq9", "value"] > 0


def test_answers_follow_the_known_ones():
    selector = Selector(by_prior)
    background = selector.background_
    background["prior"] = np.where(background["job"] == "retired", 0.5, 0.0)
    retired, student = (next_question(selector, {"job": job}) for job in ("retired", "student"))
    assert retired.table.loc["prior", "p_change"] > student.table.loc["prior", "p_change"] + 0.2


def test_a_bad_outcome_and_allowed_arms():
    found = next_question(Selector(by_prior, good=False), {})
    assert found.top_arms == ("ssri",)
    alone = next_question(Selector(by_prior), {}, allowed=["ssri"])
    assert alone.question is None
    assert set(alone.current) == {"ssri"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ask": ["phq"]}, InputError, "does not use"),
        ({"cost": {"phq9": -1}}, InputError, "cost of 'phq9' is -1"),
        ({"cost": {"other": 1}}, InputError, "unknown question"),
        ({"tolerance": -1}, InputError, "tolerance is -1"),
        ({"record": {"phq9": 99}}, CohortError, "out of range|between|0 to 27"),
        ({"selector": object()}, InputError, "TreatmentSelector is needed"),
        ({"allowed": []}, InputError, "no arms"),
        ({"record": pd.DataFrame({"phq9": [1, 2]})}, InputError, "2 rows"),
    ],
)
def test_wrong_input_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        next_question(**({"selector": Selector(by_prior), "record": {"phq9": 14}} | options))


def test_with_a_model_from_a_file():
    selector = ts.load_model(ARTIFACTS / "format_1.treatsel")
    row = pd.read_csv(ARTIFACTS / "format_1.patients.csv").iloc[0]
    names = list(selector.codebook_.covariates)
    record = {name: row[name] for name in names[: len(names) // 2] if not pd.isna(row[name])}
    found = ts.next_question(selector, record, tolerance=0)
    assert set(found.table.index) <= set(names) - set(record)
    assert (found.table["value"] >= 0).all()
    assert found.table["p_change"].between(0, 1).all()
    assert sum(found.current.values()) > 0
    assert found.plot().get_xlabel().startswith("Expected gain")
    assert "P(change)" in found._repr_html_()


class TestTables:
    utilities = pd.DataFrame({"a": [0.5, 0.5, 0.4, 0.4], "b": [0.45, 0.45, 0.5, 0.5]})
    answers = pd.DataFrame({"x": [0, 0, 1, 1], "y": [0, 1, 0, 1]})

    def test_value_is_not_negative_and_bounded_by_all_answers(self):
        random = np.random.default_rng(3)
        for _ in range(20):
            utilities = pd.DataFrame(random.random((4, 3)))
            found = value_of_answers(utilities, self.answers, random.dirichlet(np.ones(4)))
            assert (found.table["value"] >= 0).all()
            assert (found.table["value"] <= found.all_answers + 1e-12).all()

    def test_irrelevant_answers_are_worth_exactly_nothing(self):
        found = value_of_answers(self.utilities, self.answers, [0.35, 0.35, 0.15, 0.15])
        assert found.table.loc["y", ["value", "p_change"]].tolist() == [0.0, 0.0]
        assert found.table.loc["x", "value"] == pytest.approx(0.03, abs=1e-12)

    def test_a_tie_is_no_change(self):
        tied = pd.DataFrame({"a": [0.5, 0.5], "b": [0.5, 0.4]})
        found = value_of_answers(tied, pd.DataFrame({"x": [0, 1]}), [0.5, 0.5])
        assert found.table.loc["x", ["value", "p_change"]].tolist() == [0.0, 0.0]

    def test_wrong_probabilities_are_refused(self):
        with pytest.raises(InputError, match=r"sum 0\.9"):
            value_of_answers(self.utilities, self.answers, [0.3, 0.2, 0.2, 0.2])


class TestNormal:
    def test_information_is_bounded(self):
        trial = evsi_of_difference(0.01, 0.05, n=100, outcome_sd=0.5)
        assert 0 < trial < evpi_of_difference(0.01, 0.05)
        assert evpi_of_difference(0.3, 0.0) == 0

    def test_two_arms_equal_their_difference(self):
        several = evpi_of_arms([0.5, 0.48], [0.03, 0.04])
        assert several == pytest.approx(evpi_of_difference(0.02, 0.05), abs=1e-9)
        assert p_best_of_arms([0.5, 0.4, 0.3], [0.1, 0.2, 0.1]).sum() == pytest.approx(1, abs=1e-9)

    def test_wrong_input_is_refused(self):
        with pytest.raises(InputError, match="above 0"):
            evpi_of_arms([0.5], [0.0])
        with pytest.raises(InputError, match="sd is -1"):
            evpi_of_difference(0, -1)
