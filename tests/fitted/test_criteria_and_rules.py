"""Recommendations with preferences over further criteria, and with rules of eligibility."""

import json

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel import serve
from treatsel.datasets import make_cohort
from treatsel.eligibility import Rules
from treatsel.errors import CohortError, InputError
from treatsel.preference import Criterion, SideEffects, partial_values

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
OTHER = RULE | {
    "id": "long",
    "arms": ["cbt", "ipt"],
    "when": "long_term_condition = true",
    "effect": "warn",
    "reason": "Speak with the doctor.",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    cohort = make_cohort(700, random_state=3).cohort
    selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0)
    with pytest.warns(ts.errors.TreatselWarning):
        selector.fit(cohort)
    path = tmp_path_factory.mktemp("model") / "m.treatsel"
    ts.save_model(selector, path, intended_use="A test.")
    return serve.load_model(path)


@pytest.fixture(scope="module")
def records():
    rows = make_cohort(60, random_state=4).cohort.X.drop(columns="arm").to_dict(orient="records")
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


@pytest.fixture(scope="module")
def wait(model):
    return {arm: weeks for weeks, arm in enumerate(model.arms, start=2)}


WAIT = Criterion("wait", worst=20, best=0, unit="weeks")


def rules_for(model, *rules):
    return Rules.from_dict({"rules": list(rules)}, codebook=model.codebook, arms=model.arms)


def test_weights_of_outcomes_alone_are_those_of_a_mapping(model, records):
    weights = {"recovery": 0.7, "dropout": 0.3}
    one = model.recommend(records[0], preferences=weights)
    other = model.recommend(records[0], preferences=ts.Preferences(weights))
    np.testing.assert_allclose(one.utilities, other.utilities, atol=1e-12)
    for name, table in one.comparisons.items():
        np.testing.assert_allclose(table, other.comparisons[name], atol=1e-9, err_msg=name)
    assert one.columns["status"].tolist() == other.columns["status"].tolist()


def test_utility_is_the_weighted_sum_of_the_scales(model, records, wait):
    wanted = ts.Preferences({"recovery": 0.5, "wait": 0.3, "dropout": 0.2})
    criteria = [WAIT, Criterion("recovery", worst=0.2, best=0.6)]
    found = model.recommend(records[0], preferences=wanted, criteria=criteria, measurements={"wait": wait})
    by_arm = {name: model.predict_by_arm(records[0], name) for name in ("recovery", "dropout")}
    expected = [
        0.5 * (by_arm["recovery"][arm] - 0.2) / 0.4
        + 0.3 * (20 - wait[arm]) / 20
        + 0.2 * (1 - by_arm["dropout"][arm])
        for arm in model.arms
    ]
    np.testing.assert_allclose(found.utilities[0], expected, atol=1e-12)
    assert found.preferences == wanted.mean_weights


@pytest.mark.parametrize(
    "wanted",
    [ts.Preferences({"recovery": 0.5, "wait": 0.5}), ts.Preferences.ranked(["recovery", "wait", "dropout"])],
)
def test_a_record_and_a_table_agree(model, records, wait, wanted):
    options = {
        "preferences": wanted,
        "criteria": [WAIT],
        "measurements": {"wait": wait},
        "eligibility": rules_for(model, RULE, OTHER),
    }
    many = model.recommend(pd.DataFrame(records[:12]), **options)
    for i, record in enumerate(records[:12]):
        one = model.recommend(record, **options)
        for name in ("arm", "status", "best_set", "excluded", "warned"):
            assert one.columns[name][0] == many.columns[name][i]
        for name, table in one.comparisons.items():
            np.testing.assert_allclose(table[0], many.comparisons[name][i], atol=1e-9, err_msg=name)


def test_partial_weights_add_their_uncertainty(model, records, wait):
    """P(best) is the rank acceptability of SMAA over weights and draws."""
    wanted = ts.Preferences.ranked(["wait", "recovery"])
    options = {"criteria": [WAIT], "measurements": {"wait": wait}}
    found = model.recommend(records[1], preferences=wanted, **options)
    known = model.recommend(records[1], preferences=ts.Preferences(wanted.mean_weights), **options)
    np.testing.assert_allclose(found.utilities, known.utilities, atol=1e-12)
    values = partial_values(
        {"recovery": model.predict_draws(pd.DataFrame([records[1]]))[:, 0], "wait": wait},
        [Criterion.of_event("recovery", good=True), WAIT],
        arms=model.arms,
    )
    by_smaa = ts.preference.smaa(values, wanted, random_state=1)
    np.testing.assert_allclose(
        found.comparisons["p_best"][0], by_smaa.rank_acceptability[:, 0], atol=0.06
    )  # 1,000 draws: 4 SE
    assert np.abs(found.comparisons["p_best"] - known.comparisons["p_best"]).max() > 0.03


def test_one_criterion_with_all_the_weight_ranks_alone(model, records, wait):
    nearly = ts.Preferences({"wait": 1, "recovery": 1e-9})
    found = model.recommend(records[2], preferences=nearly, criteria=[WAIT], measurements={"wait": wait})
    assert np.argsort(-found.utilities[0]).tolist() == list(range(len(model.arms)))
    assert found.columns["arm"][0] == model.arms[0]


def published(model, **change):
    row = {"effect": "nausea", "good": False, "level": 0.95, "source": "Trial X", "date": "2024-05-01"}
    rate = {"probability": 0.2, "lower": 0.05, "upper": 0.5} | change
    return SideEffects.from_dict({"rates": [row | rate | {"arm": arm} for arm in model.arms]})


def test_side_effects_enter_with_their_uncertainty(model, records):
    options = {"preferences": ts.Preferences({"recovery": 0.6, "nausea": 0.4})}
    found = model.recommend(records[0], side_effects=published(model), **options)
    sure = model.recommend(records[0], side_effects=published(model, lower=0.199, upper=0.201), **options)
    bare = model.recommend(records[0])
    np.testing.assert_allclose(sure.utilities[0], 0.6 * bare.utilities[0] + 0.4 * 0.8, atol=1e-3)

    def width(each):
        return each.columns["advantage_upper"] - each.columns["advantage_lower"]

    assert width(sure) == pytest.approx(0.6 * width(bare), rel=0.02)
    assert width(found) > 1.2 * width(sure)
    many = model.recommend(pd.DataFrame(records[:2]), side_effects=published(model), **options)
    np.testing.assert_allclose(many.comparisons["p_best"][0], found.comparisons["p_best"][0], atol=1e-9)
    audit = json.loads(found.to_json())["audit"]
    again = model.reproduce(audit, records[0], side_effects=published(model), **options)
    assert again.to_json() == found.to_json()
    with pytest.raises(InputError, match="preferences is not the set of criteria"):
        model.reproduce(audit, records[0], side_effects=published(model, upper=0.4), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preferences": {"recovery": 1}, "criteria": [WAIT]}, "need treatsel.Preferences"),
        ({"preferences": [0.5, 0.5]}, "must be a mapping of outcomes to weights, or treatsel.Preferences"),
        ({"preferences": ts.Preferences({"wait": 1})}, "give no weight to an outcome of the model"),
        ({"criteria": []}, "'wait' has no range"),
        ({"measurements": None}, "'wait' is neither an outcome of the model"),
        ({"measurements": {"wait": {"cbt": 3}}}, "lack the arms"),
        ({"criteria": ["wait"]}, "list of treatsel.preference.Criterion"),
        ({"criteria": [WAIT, WAIT]}, "different names"),
        ({"side_effects": {"nausea": 0.1}}, "SideEffects.read"),
        ({"eligibility": {"rules": []}}, "Rules or the path of a file"),
    ],
)
def test_bad_input_is_refused(model, records, wait, change, message):
    options = {
        "preferences": ts.Preferences({"recovery": 0.5, "wait": 0.5}),
        "criteria": [WAIT],
        "measurements": {"wait": wait},
    }
    with pytest.raises(InputError, match=message):
        model.recommend(records[0], **options | change)


def test_measurements_must_be_finite_numbers(model, records, wait):
    options = {"preferences": ts.Preferences({"recovery": 0.5, "wait": 0.5}), "criteria": [WAIT]}
    for bad in (float("nan"), "soon"):
        with pytest.raises(InputError, match="wait"):
            model.recommend(records[0], **options, measurements={"wait": wait | {"cbt": bad}})


# --- eligibility


def test_rules_exclude_with_their_reason_and_never_by_what_is_unknown(model, records):
    rules = rules_for(model, RULE, OTHER)
    record = records[0] | {"phq9_start": 24, "long_term_condition": None}
    found = model.recommend(record, eligibility=rules)
    assert found.columns["excluded"][0] == {"guided_self_help": "Severe depression."}
    assert found.columns["warned"][0] == dict.fromkeys(("cbt", "ipt"), "Speak with the doctor.")
    assert found.columns["arm"][0] != "guided_self_help"
    shown = found.to_dict()["recommendations"][0]
    assert shown["excluded"] == {"guided_self_help": "Severe depression."}
    assert shown["compared"]["guided_self_help"]["p_best"] is None
    mild = model.recommend(records[0] | {"phq9_start": 12, "long_term_condition": False}, eligibility=rules)
    assert mild.columns["excluded"][0] == mild.columns["warned"][0] == {}


def test_no_arm_left_is_out_of_scope_with_the_reasons(model, records):
    rules = rules_for(model, RULE | {"arms": list(model.arms), "when": "age >= 18"})
    found = model.recommend(records[0], eligibility=rules)
    assert found.columns["status"][0] == "out_of_scope"
    assert found.columns["arm"][0] is None
    assert set(found.columns["excluded"][0]) == set(model.arms)


def test_rules_join_exclusions_and_permissions(model, records):
    table = pd.DataFrame(records[:3]).assign(phq9_start=24.0)
    allowed = pd.DataFrame(True, index=table.index, columns=list(model.arms))
    allowed.loc[1, "cbt"] = False
    found = model.recommend(
        table, eligibility=rules_for(model, RULE), allowed=allowed, excluded={"ipt": "no therapist"}
    )
    assert found.columns["excluded"][1] == {
        "guided_self_help": "Severe depression.",
        "cbt": "not permitted for this patient",
        "ipt": "no therapist",
    }


def test_a_value_that_cannot_be_read_is_unknown_to_rules(model, records):
    rules = rules_for(model, RULE)
    record = records[0] | {"phq9_start": "severe"}
    with pytest.raises(CohortError):
        model.recommend(record, eligibility=rules)
    for X in (record, [record]):
        found = model.recommend(X, eligibility=rules, on_invalid="flag")
        assert found.columns["status"][0] == "out_of_scope"
        assert set(found.columns["warned"][0]) == {"guided_self_help"}
        assert found.columns["excluded"][0] == {}


def test_rules_may_be_a_file(model, records, tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"rules": [RULE]}))
    severe = records[0] | {"phq9_start": 24}
    found = model.recommend(severe, eligibility=path)
    assert set(found.columns["excluded"][0]) == {"guided_self_help"}
    path.write_text(json.dumps({"rules": [RULE | {"arms": ["yoga"]}]}))
    with pytest.raises(InputError, match="yoga"):
        model.recommend(severe, eligibility=path)


def test_a_recommendation_with_criteria_and_rules_is_reproduced(model, records, wait):
    given = {
        "preferences": ts.Preferences.ranked(["recovery", "wait"]),
        "criteria": [WAIT],
        "measurements": {"wait": wait},
        "eligibility": rules_for(model, RULE),
    }
    found = model.recommend(records[3], **given)
    audit = json.loads(found.to_json())["audit"]
    assert model.reproduce(audit, records[3], **given).to_json() == found.to_json()
    for name, what in [("preferences", "a set of criteria"), ("eligibility", "a set of rules")]:
        with pytest.raises(InputError, match=f"was made with {what}"):
            model.reproduce(audit, records[3], **{key: each for key, each in given.items() if key != name})
    with pytest.raises(InputError, match="eligibility is not the set of rules that was used"):
        model.reproduce(audit, records[3], **given | {"eligibility": rules_for(model, OTHER)})
    with pytest.raises(InputError, match="preferences is not the set of criteria that was used"):
        model.reproduce(
            audit, records[3], **given | {"preferences": ts.Preferences.ranked(["wait", "recovery"])}
        )
    with pytest.raises(InputError, match="must be 'allowed'"):
        model.reproduce(audit, records[3], **given, rule="expected")


# --- ranks and flips


def test_acceptability_and_flips_of_a_patient(model, records, wait):
    options = {"criteria": [WAIT], "measurements": {"wait": wait}}
    wanted = ts.Preferences.ranked(["wait", "recovery"])
    found = model.recommend(records[1], preferences=wanted, excluded={"cbt": "no therapist"}, **options)
    ranks = found.acceptability()
    assert ranks.arms == tuple(arm for arm in model.arms if arm != "cbt")
    np.testing.assert_allclose(ranks.rank_acceptability.sum(axis=0), 1)
    np.testing.assert_allclose(ranks.rank_acceptability.sum(axis=1), 1)
    first = dict(zip(ranks.arms, ranks.rank_acceptability[:, 0], strict=True))
    p_best = dict(zip(model.arms, found.comparisons["p_best"][0], strict=True))
    for arm, share in first.items():
        assert share == pytest.approx(p_best[arm], abs=0.06)
    change = found.flips().to_frame()
    assert set(change.index) == {"wait", "recovery"}
    weight = change["at"].dropna().iloc[0]
    name = change["at"].dropna().index[0]
    other = next(each for each in change.index if each != name)
    beyond = weight + np.sign(change.loc[name, "change"]) * 0.01
    moved = model.recommend(
        records[1],
        preferences=ts.Preferences({name: beyond, other: 1 - beyond}),
        excluded={"cbt": "no therapist"},
        **options,
    )
    assert moved.columns["top"][0] != found.columns["top"][0]


def test_ranks_of_weights_of_outcomes(model, records):
    found = model.recommend(records[0], preferences={"recovery": 2, "dropout": 1})
    ranks = found.acceptability()
    np.testing.assert_allclose(ranks.rank_acceptability[:, 0], found.comparisons["p_best"][0], atol=1e-9)
    with pytest.raises(InputError, match="needs the recommendation for one patient by a model: 2 patients"):
        model.recommend(records[:2]).flips()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measurements": {"wait": 5}}, "must map arms to values"),
        (
            {"criteria": [WAIT, Criterion("recovery", worst=0.6, best=0.2)]},
            "states that this outcome is good",
        ),
        ({"criteria": [WAIT, Criterion("distance", worst=20, best=0)]}, r"do not name \['distance'\]"),
        ({"preferences": ts.Preferences({"recovery": 1})}, r"do not name \['wait', 'wait'\]|do not name"),
    ],
)
def test_contradictions_are_refused(model, records, wait, change, message):
    options = {
        "preferences": ts.Preferences({"recovery": 0.5, "wait": 0.5}),
        "criteria": [WAIT],
        "measurements": {"wait": wait},
    }
    with pytest.raises(InputError, match=message):
        model.recommend(records[0], **options | change)
