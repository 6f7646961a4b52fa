"""Published rates of side effects: reading, refusals, and draws that reproduce the intervals."""

import json

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import InputError
from treatsel.preference import SideEffects

SHARED = {"good": False, "level": 0.95, "source": "Review X, table 2", "date": "2024-05-01"}
RATES = [
    {"effect": "nausea", "arm": "CBT", "probability": 0.05, "lower": 0.02, "upper": 0.12},
    {"effect": "nausea", "arm": "SSRI", "probability": 0.2, "lower": 0.15, "upper": 0.26},
    {"effect": "relapse", "arm": "CBT", "probability": 0.3, "lower": 0.25, "upper": 0.36, "level": 0.8},
    {"effect": "relapse", "arm": "SSRI", "probability": 0.4, "lower": 0.3, "upper": 0.5},
]
ARMS = ["SSRI", "CBT"]


def content(**changes):
    return {**SHARED, "rates": [dict(rate) for rate in RATES], **changes}


@pytest.fixture(scope="module")
def effects():
    return SideEffects.from_dict(content())


def test_probabilities_are_those_of_the_table_in_the_order_of_the_arms(effects):
    found = effects.probabilities(ARMS)
    assert list(found) == list(effects.effects) == ["nausea", "relapse"]
    np.testing.assert_array_equal(found["nausea"], [0.2, 0.05])
    np.testing.assert_array_equal(found["relapse"], [0.4, 0.3])
    assert effects.event_is_good == {"nausea": False, "relapse": False}


def test_draws_reproduce_median_and_interval_at_the_stated_level(effects):
    n = 100_000
    drawn = effects.draws(["CBT", "SSRI"], n)
    for rate in effects.rates:
        values = drawn[rate.effect][:, ["CBT", "SSRI"].index(rate.arm)]
        for bound, share in ((rate.lower, (1 - rate.level) / 2), (rate.probability, 0.5)):
            se = np.sqrt(share * (1 - share) / n)
            assert np.mean(values < bound) == pytest.approx(share, abs=4 * se)
        tail = (1 - rate.level) / 2
        assert np.mean(values > rate.upper) == pytest.approx(tail, abs=4 * np.sqrt(tail * (1 - tail) / n))
    assert ((drawn["nausea"] > 0) & (drawn["nausea"] < 1)).all()


def test_a_symmetric_interval_gives_a_logit_normal_distribution():
    p, half = 0.3, 0.5
    lower, upper = (1 / (1 + np.exp(-(np.log(p / (1 - p)) + sign * half))) for sign in (-1, 1))
    rate = {"effect": "nausea", "arm": "CBT", "probability": p, "lower": lower, "upper": upper}
    values = SideEffects.from_dict(content(rates=[rate])).draws(["CBT"], 100_000)["nausea"][:, 0]
    logits = np.log(values / (1 - values))
    assert logits.mean() == pytest.approx(np.log(p / (1 - p)), abs=0.004)
    assert logits.std() == pytest.approx(half / 1.959964, rel=0.01)


def test_draws_are_seeded_independent_and_do_not_depend_on_other_arms(effects):
    one, other = effects.draws(ARMS, 4000), effects.draws(ARMS[::-1], 4000)
    for effect in effects.effects:
        np.testing.assert_array_equal(one[effect], other[effect][:, ::-1])
        np.testing.assert_array_equal(one[effect][:, [0]], effects.draws(["SSRI"], 4000)[effect])
    assert (effects.draws(ARMS, 50, random_state=1)["nausea"] != one["nausea"][:50]).all()
    together = np.column_stack(list(one.values()))
    assert np.abs(np.corrcoef(together.T) - np.eye(4)).max() < 4.5 / np.sqrt(4000)


def test_an_arm_without_a_rate_is_refused_by_name(effects):
    for method in (effects.probabilities, lambda arms: effects.draws(arms, 10)):
        with pytest.raises(
            InputError, match=r"no rate for 'nausea' of the arms \['CBTT'\].*Did you mean 'CBT'"
        ):
            method(["CBTT", "SSRI"])


def test_arms_are_matched_by_their_text():
    rates = [{"effect": "nausea", "arm": 1, "probability": 0.2, "lower": 0.1, "upper": 0.3}]
    found = SideEffects.from_dict(content(rates=rates))
    assert found.probabilities([1])["nausea"] == found.probabilities(["1"])["nausea"] == 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"good": None}, r"good is missing.*not guessed"),
        ({"good": "maybe"}, "must be true or false"),
        ({"level": ""}, "level is missing"),
        ({"level": 95}, "above 0 and below 1"),
        ({"lower": 0.0}, "lower: it must be a number above 0"),
        ({"upper": 0.01}, "does not lie between"),
        ({"source": " "}, "source"),
        ({"source": "a\u202eb"}, "all of them visible"),
        ({"date": "2024-13-01"}, "date must be a date"),
        ({"probabilty": 0.3}, "unknown key 'probabilty'.*Did you mean 'probability'"),
        ({"probability": True}, "above 0 and below 1"),
    ],
)
def test_faults_of_a_rate_are_refused(change, message):
    rates = [{**SHARED, **RATES[0], **change}, {**SHARED, **RATES[1]}]
    with pytest.raises(InputError, match=message) as caught:
        SideEffects.from_dict({"rates": rates})
    assert all("rate 1" in fault.problem for fault in caught.value.faults)


def test_all_faults_are_reported_at_once():
    rates = [dict(RATES[0]), {**RATES[1], "good": True}, dict(RATES[0]), {"effect": "x"}, 7]
    with pytest.raises(InputError) as caught:
        SideEffects.from_dict(content(rates=rates))
    problems = " ".join(fault.problem for fault in caught.value.faults)
    for part in (
        "'nausea' under 'CBT' has 2 rates",
        "good in some rates",
        "rate 4: arm is missing",
        "rate 5",
    ):
        assert part in problems


@pytest.mark.parametrize("bad", [{}, {"rates": []}, {"rates": "x"}, [], {"rates": [{}] * 1001}])
def test_content_of_another_form_is_refused(bad):
    with pytest.raises(InputError, match="faults"):
        SideEffects.from_dict(bad)


@pytest.mark.parametrize("options", [{"n_draws": 0}, {"n_draws": 2.5}, {"n_draws": 5, "random_state": -1}])
def test_numbers_of_draws_are_checked(effects, options):
    with pytest.raises(InputError, match="whole number"):
        effects.draws(ARMS, options.pop("n_draws"), **options)


def test_files_tables_and_mappings_give_the_same(effects, tmp_path):
    whole = effects.to_dict()
    assert (
        whole
        == SideEffects.from_dict(whole).to_dict()
        == SideEffects.from_frame(effects.to_frame()).to_dict()
    )
    (tmp_path / "effects.json").write_text(json.dumps(whole))
    lines = [f"{key}: {value}" for key, value in SHARED.items()]
    lines += ["rates:", *(f"  - {json.dumps(rate)}" for rate in RATES)]
    (tmp_path / "effects.yaml").write_text("\n".join(lines))
    effects.to_frame().to_csv(tmp_path / "effects.csv", index=False)
    for name in ("effects.json", "effects.yaml", "effects.csv"):
        assert SideEffects.read(tmp_path / name).to_dict() == whole, name


def test_sources_and_dates_are_printed(effects):
    assert "Review X, table 2 (2024-05-01)" in repr(effects)
    html = effects._repr_html_()
    assert "2.0 % to 12.0 % (level 0.95)" in html
    assert isinstance(effects.to_frame(), pd.DataFrame)
    assert list(effects.to_frame()["date"].astype(str).unique()) == ["2024-05-01"]
