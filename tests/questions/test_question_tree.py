"""`question_tree`: numbers are those of `recommend` and `next_question` with each answer filled in."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.errors import CohortError, InputError
from treatsel.models import ArmwiseClassifier
from treatsel.questions import _question_tree, question_tree

FIELDS = [
    {"name": "severity", "type": "number", "role": "covariate", "title": "Severity", "unit": "points"},
    {"name": "earlier", "type": "boolean", "role": "covariate", "title": "Earlier treatment"},
    {
        "name": "job",
        "role": "covariate",
        "constraints": {"enum": ["employed", "retired", "student", "other"]},
    },
    {"name": "hair", "role": "covariate", "constraints": {"enum": ["dark", "fair"]}},
    {"name": "arm", "role": "arm"},
    {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
]
TOLERANCE = 0.003


@pytest.fixture(scope="module")
def selector():
    """CBT is better with a low severity, SSRI after an earlier treatment, TAU for students."""
    rng = np.random.default_rng(0)
    n = 1500
    frame = pd.DataFrame(
        {
            "severity": rng.normal(15, 4, n).round(2),
            "earlier": rng.random(n) < 0.4,
            "job": rng.choice(["employed", "retired", "student"], n, p=[0.5, 0.3, 0.2]),
            "hair": rng.choice(["dark", "fair"], n),
            "arm": rng.choice(["CBT", "SSRI", "TAU"], n),
        }
    )
    cbt = -0.25 * (frame["severity"] - 15)
    ssri = np.where(frame["earlier"], 0.8, -0.8)
    tau = np.where(frame["job"] == "student", 0.8, -0.8)
    logit = np.select([frame["arm"] == "CBT", frame["arm"] == "SSRI"], [cbt, ssri], tau)
    frame["remission"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    model = ArmwiseClassifier(LogisticRegression(solver="newton-cholesky"))
    cohort = ts.Cohort(frame, Codebook.from_dict({"fields": FIELDS}))
    return ts.TreatmentSelector(estimator=model, random_state=0, assignment="randomised").fit(cohort)


def states(tree, record, asked=()):
    """Every state of a tree with its record, the start first."""
    yield tree, record, asked
    for answer in tree.answers:
        answered = {**record, tree.question: answer.value}
        yield from states(answer, answered, (*asked, tree.question))


def whole(selector, record):
    return {**dict.fromkeys(selector.codebook_.covariates), **record}


OUTCOME = ("status", "arm", "top", "best_set")


def outcome(found):
    return [found.columns[name][0] for name in OUTCOME]


@pytest.mark.parametrize("kind", [dict, lambda record: pd.DataFrame([record])])
def test_each_answer_has_the_numbers_of_the_answered_record(selector, kind):
    record = {"hair": "fair"}
    options = {"excluded": {}, "margin": 0.02, "comparator": "TAU"}
    tree = question_tree(selector, kind(record), tolerance=TOLERANCE, **options)
    seen, looked, left = 0, 0, []
    for each, answered, asked in states(tree, record):
        found = selector.recommend(whole(selector, answered), **options)
        np.testing.assert_array_equal(each.recommendation.utilities, found.utilities)
        assert outcome(each.recommendation) == outcome(found)
        if each.worth is not None:
            following = ts.next_question(selector, answered, tolerance=TOLERANCE)
            assert each.question == following.question
            pd.testing.assert_frame_equal(each.worth.table, following.table)
            looked += 1
        else:
            assert each.is_open
            left.append(len(asked))
        assert len(asked) <= 3
        if each.answers:
            assert each.question not in asked
            assert sum(answer.probability for answer in each.answers) == pytest.approx(1)
        seen += 1
    assert seen > 12
    assert looked == 10 or set(left) == {3}
    assert 2 in left  # the limit is reached: the most probable answers were looked at
    assert len({tuple(outcome(each.recommendation)[:2]) for each, *_ in states(tree, record)}) >= 4
    assert "hair" not in {each.question for each, *_ in states(tree, {})}


def test_neighboring_numbers_are_one_answer_if_all_of_them_have_its_outcome(selector):
    record = {"hair": "fair", "earlier": True, "job": "employed"}
    tree = question_tree(selector, record, tolerance=TOLERANCE)
    assert (tree.question, tree.title, tree.unit) == ("severity", "Severity", "points")
    runs = [answer.values for answer in tree.answers]
    values = [value for run in runs for value in run]
    assert values == sorted(values)
    assert len(values) == 7
    assert 1 < len(runs) < 7
    assert all(value == float(f"{value:.3g}") for value in values)
    outcomes = []
    for answer in tree.answers:
        assert answer.value in answer.values
        outcomes.append(outcome(answer.recommendation))
        for value in answer.values:
            assert outcome(selector.recommend({**record, "severity": value})) == outcomes[-1]
    assert all(one != other for one, other in itertools.pairwise(outcomes))
    frame = tree.to_frame()
    assert list(frame["answer"]) == [
        f"{run[0]:g} to {run[-1]:g}" if len(run) > 1 else f"{run[0]:g}" for run in runs
    ]


def test_the_tree_ends_where_no_answer_is_worth_asking_for(selector):
    record = {"hair": "fair", "earlier": True, "job": "employed"}
    tree = question_tree(selector, record, tolerance=TOLERANCE)
    assert not any(answer.question or answer.is_open or answer.answers for answer in tree.answers)
    complete = question_tree(selector, {**record, "severity": 12.0})
    assert (complete.question, complete.answers, complete.is_open) == (None, (), False)
    only = question_tree(selector, {}, excluded={"CBT": "No place.", "SSRI": "No."})
    assert (only.question, only.worth, only.is_open) == (None, None, False)
    nothing = question_tree(selector, {}, ask=["hair"])
    assert nothing.question is None
    assert nothing.worth.table["value"].eq(0).all()


def test_excluded_arms_and_rules_hold_in_every_state(selector, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules:\n- {id: r1, arms: [SSRI], when: earlier = FALSE, effect: exclude, reason: First time., "
        "source: A test, version: '1', date: '2026-01-01'}\n"
    )
    tree = question_tree(
        selector,
        {"severity": 15.0},
        tolerance=0.0,
        excluded={"TAU": "Not offered."},
        eligibility=rules,
    )
    assert tree.question == "earlier"
    first, second = (answer.recommendation.columns["excluded"][0] for answer in tree.answers)
    assert set(first) == {"TAU", "SSRI"}
    assert set(second) == {"TAU"}
    assert [answer.is_open for answer in tree.answers if answer.worth is None] == [False]


def test_depth_and_the_number_of_states_are_limited(selector, monkeypatch):
    one = question_tree(selector, {}, tolerance=0.0, depth=1)
    assert all(answer.is_open and not answer.answers for answer in one.answers)
    assert one.to_frame()["step"].eq(1).all()
    monkeypatch.setattr(_question_tree, "MOST_EXAMINED", 3)
    tree = question_tree(selector, {}, tolerance=0.0)
    looked = [each for each, *_ in states(tree, {}) if each.worth is not None]
    assert len(looked) == 3
    probable = sorted((answer.probability for answer in tree.answers), reverse=True)[:2]
    assert sorted((each.probability for each in looked[1:]), reverse=True) == probable
    monkeypatch.setattr(_question_tree, "MOST_ANSWERS", 2)
    jobs = question_tree(selector, {"hair": "fair"}, ask=["job"], tolerance=0.0)
    assert [answer.value for answer in jobs.answers] == ["employed", "retired"]
    assert not jobs.lists_all


def test_a_category_that_nobody_had_is_not_listed(selector):
    jobs = question_tree(selector, {}, ask="job", tolerance=0.0)
    assert [answer.value for answer in jobs.answers] == ["employed", "retired", "student"]
    assert not jobs.lists_all  # "other" is allowed
    assert question_tree(selector, {}, ask="earlier", tolerance=0.0).lists_all


def test_wrong_input_is_refused(selector):
    with pytest.raises(InputError, match="A fitted TreatmentSelector is needed"):
        question_tree(object(), {})
    with pytest.raises(InputError, match="depth"):
        question_tree(selector, {}, depth=4)
    with pytest.raises(InputError, match="record has 2 rows"):
        question_tree(selector, pd.DataFrame({"severity": [1.0, 2.0]}))
    with pytest.raises(InputError, match="does not use: \\['weight'\\]"):
        question_tree(selector, {}, ["weight"])
    with pytest.raises(CohortError, match="job"):
        question_tree(selector, {"job": "astronaut"})
