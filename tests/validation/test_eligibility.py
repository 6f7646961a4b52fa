"""Rules of eligibility in validation: arms are compared in patients who may receive all of them."""

import pytest

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import InputError

RULE = {
    "id": "severe",
    "arms": ["guided_self_help"],
    "when": "phq9_start >= 20",
    "effect": "exclude",
    "reason": "Severe depression.",
    "source": "A test",
    "version": "1",
    "date": "2026-01-01",
}


def rules(**change):
    return ts.eligibility.Rules.from_dict({"rules": [RULE | change]})


def test_the_report_is_that_of_the_patients_who_may_receive_every_arm():
    made = make_cohort(900, random_state=3)
    table = made.truth["recovery"]
    options = {"outcome": "recovery", "sections": [], "assignment": "randomised"}
    found = ts.validate(table, made.cohort, eligibility=rules(), **options)
    mild = (made.cohort.frame["phq9_start"] < 20).to_numpy()
    alone = ts.validate(table[mild], made.cohort.take(mild), **options)
    assert found.gain.value == pytest.approx(alone.gain.value)
    assert found.about["n"] == mild.sum()
    assert any(f"exclude an arm for {(~mild).sum()} patients of 900" in text for text in found.cautions)


def test_rules_that_exclude_all_or_none():
    made = make_cohort(300, random_state=3)
    options = {"outcome": "recovery", "sections": [], "assignment": "randomised"}
    with pytest.raises(InputError, match="exclude an arm for all 300 patients"):
        ts.validate(made.truth["recovery"], made.cohort, eligibility=rules(when="phq9_start >= 0"), **options)
    found = ts.validate(made.truth["recovery"], made.cohort, eligibility=rules(when="age > 200"), **options)
    assert found.about["n"] == 300
    assert not any("rules of eligibility" in text for text in found.cautions)
