"""Why this arm, why not clearer, what would change it: laws, and models with planted uncertainty."""

import json
from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

import treatsel as ts
from treatsel.additive import SiteEffects, additive_of, draws_by_source, score_trees
from treatsel.codebook import Codebook
from treatsel.errors import InputError, TreatselWarning
from treatsel.explanation import RecommendationExplanation, nearest_number, variance_shares
from treatsel.models import ArmwiseClassifier

ARMS = ("cbt", "ipt", "ssri")
FIELDS = [
    {"name": "severity", "type": "number", "role": "covariate", "title": "Severity", "unit": "points"},
    {"name": "episodes", "type": "integer", "role": "covariate", "constraints": {"minimum": 0}},
    {"name": "prior", "type": "boolean", "role": "covariate"},
    {"name": "job", "type": "string", "role": "covariate"},
    {"name": "code", "type": "integer", "role": "covariate", "constraints": {"enum": [1, 2, 3]}},
    {"name": "noise", "type": "number", "role": "covariate"},
    {"name": "arm", "type": "string", "role": "arm"},
]
PATIENT = {"severity": 12.5, "episodes": 2, "prior": False, "job": "student", "code": 1, "noise": 0.3}


def make_table(n=600):
    rng = np.random.default_rng(4)
    X = pd.DataFrame(
        {
            "severity": rng.uniform(0, 27, n).round(2),
            "episodes": rng.integers(0, 7, n),
            "prior": rng.random(n) < 0.4,
            "job": rng.choice(["employed", "retired", "student"], n),
            "code": rng.choice([1, 2, 3], n),
            "noise": rng.normal(size=n).round(3),
            "arm": rng.choice(ARMS, n),
        }
    )
    X.loc[rng.random(n) < 0.1, "episodes"] = np.nan
    y = pd.DataFrame(
        {"remission": (rng.random(n) < 0.45).astype(int), "dropout": (rng.random(n) < 0.3).astype(int)}
    )
    return X, y


@pytest.fixture(scope="module")
def selector():
    X, y = make_table()
    with pytest.warns(TreatselWarning):
        return ts.TreatmentSelector(
            estimator="hierarchical",
            codebook=Codebook.from_dict({"fields": FIELDS}),
            event_is_good={"remission": True, "dropout": False},
            random_state=0,
        ).fit(X, y)


def planted(selector, coefficients, sd=None, *, intercept=(0.0, -0.3, -0.2), n_draws=4000):
    """The same fitted model with other coefficients, and independent draws with these SDs, by arm and column.

    Coefficients are given by name of a column of the matrix; the intercept is "intercept" among the SDs.
    """
    model = selector.model_.models["remission"]
    features, rng = model.encoding.features, np.random.default_rng(0)
    values, spread = np.zeros((3, len(features))), np.zeros((3, 1 + len(features)))
    for name, by_arm in coefficients.items():
        values[:, features.index(name)] = by_arm
    for name, by_arm in (sd or {}).items():
        spread[:, 0 if name == "intercept" else 1 + features.index(name)] = by_arm
    mean = np.column_stack([np.array(intercept), values])
    half = rng.standard_normal((n_draws // 2, *mean.shape))
    draws = mean + spread * np.concatenate([half, -half])
    changed = replace(
        model,
        intercept=np.array(intercept),
        coefficients=values,
        coefficient_draws=draws.astype(np.float32),
        sites=None,
    )
    models = {**selector.model_.models, "remission": changed}
    return replace(selector.model_, models=models, default_arm="cbt")


MIXED = {"severity": (0.5, -0.6, 0.1), "episodes": (-0.2, 0.3, 0.0), "job=student": (0.0, 0.4, -0.1)}
MIXED_SD = {"intercept": 0.2, "severity": 0.15, "job=student": 0.1}


@pytest.fixture(scope="module")
def mixed(selector):
    return planted(selector, MIXED, MIXED_SD, n_draws=1000)  # as many as of the other outcome


# --- why this arm


@pytest.mark.parametrize("comparator", [None, "ssri"])
def test_attributions_add_up_to_the_printed_difference(mixed, comparator):
    found = mixed.explain_recommendation(PATIENT, comparator=comparator)
    printed = mixed.predict_by_arm(PATIENT)
    assert found.arm == max(printed, key=printed.get)
    difference = printed[found.arm] - printed[found.comparator]
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.base_value + sum(found.attributions.values()) == pytest.approx(difference, abs=1e-9)
    sizes = [abs(amount) for amount in found.attributions.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert found.attributions["noise"] == 0
    assert found.titles["severity"] == "Severity"
    assert found.values == PATIENT


def test_of_several_outcomes_the_utility_is_explained(mixed):
    found = mixed.explain_recommendation(PATIENT, preferences={"remission": 3, "dropout": 1})
    told = mixed.recommend(PATIENT, preferences={"remission": 3, "dropout": 1})
    utility = dict(zip(mixed.arms, told.utilities[0], strict=True))
    assert found.arm == told.columns["top"][0]
    assert found.target == "utility"
    difference = utility[found.arm] - utility[found.comparator]
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.base_value + sum(found.attributions.values()) == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("preferences", [None, {"remission": 1, "dropout": 1}])
def test_the_interval_is_that_of_the_recommendation(mixed, preferences):
    found = mixed.explain_recommendation(PATIENT, preferences=preferences)
    told = mixed.recommend(PATIENT, preferences=preferences, comparator=found.comparator)
    at = (0, mixed.arms.index(found.arm))
    for name, theirs in [
        ("lower", "difference_lower"),
        ("upper", "difference_upper"),
        ("p_better", "p_better"),
    ]:
        assert getattr(found, name) == pytest.approx(told.comparisons[theirs][at], abs=1e-9)


def test_the_comparator_is_the_default_arm_or_the_next_best(selector):
    model = planted(selector, {}, intercept=(0.0, -0.3, -0.2))
    assert model.explain_recommendation(PATIENT).arm == "cbt"  # the default arm itself
    assert model.explain_recommendation(PATIENT).comparator == "ssri"
    assert model.explain_recommendation(PATIENT, excluded={"ssri": "refused"}).comparator == "ipt"
    other = planted(selector, {}, intercept=(-0.3, 0.0, -0.2))
    assert other.explain_recommendation(PATIENT).comparator == "cbt"


# --- why not clearer


def test_the_parts_of_the_draws_sum_to_the_draws(selector):
    model = planted(selector, MIXED, MIXED_SD).models["remission"]
    rng = np.random.default_rng(9)
    sites = SiteEffects(
        column="site",
        labels=("north", "south"),
        intercept=rng.normal(size=(3, 3)),
        coefficients=model.coefficients,
        draws=rng.normal(size=(4000, 3, 3)),
    )
    model = replace(model, sites=sites)
    reference = selector.model_.references["remission"]
    row = pd.DataFrame([PATIENT | {"prior": 0.0, "code": "1", "episodes": np.nan, "site": "south"}])
    for service in ("known", "average", "new"):
        parts = draws_by_source(model, row, reference, service)
        np.testing.assert_allclose(sum(parts.values()), model.logit_draws(row, service)[0].T, atol=1e-9)
        assert (parts["service"].std() > 0) == (service != "average")
        assert parts["missing_answers"].std() > 0


def test_the_parts_sum_to_the_draws_also_with_trees():
    X, y = make_table()
    X = X[["severity", "noise", "arm"]]
    boosted = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)).fit(X, y["remission"])
    model = additive_of(boosted)
    n_terms = 1 + len(model.encoding.features) + model.mixing.shape[1]
    draws = np.random.default_rng(2).normal(size=(500, 3, n_terms))
    model, row = replace(model, coefficient_draws=draws), X.drop(columns="arm").head(1)
    reference = model.encoding.encode(X.head(60))
    parts = draws_by_source(model, row, reference, "known")
    np.testing.assert_allclose(sum(parts.values()), model.logit_draws(row)[0].T, atol=1e-9)
    background = np.column_stack([reference, score_trees(model.trees, reference)])
    averages = draws[:, :, 0] + draws[:, :, 1:] @ background.mean(axis=0)
    np.testing.assert_allclose(parts["arm_averages"], averages, atol=1e-9)


@pytest.mark.parametrize(
    ("sd", "patient", "source"),
    [
        ({"severity": (0.5, 0.5, 0.5), "intercept": 0.05}, {"severity": 25.0}, "modifiers"),
        ({"severity": (0.05, 0.05, 0.05), "intercept": 0.5}, {"severity": 25.0}, "arm_averages"),
        ({"severity": (0.5, 0.5, 0.5), "intercept": 0.2}, {"severity": 13.6}, "arm_averages"),
    ],
)
def test_planted_uncertainty_is_named(selector, sd, patient, source):
    model = planted(selector, {}, sd)
    found = model.explain_recommendation(PATIENT | patient)
    assert max(found.shares, key=found.shares.get) == source
    assert found.shares[source] > 0.8
    assert sum(found.shares.values()) == pytest.approx(1, abs=1e-12)
    assert min(found.shares.values()) >= 0
    assert found.shares["service"] == found.shares["missing_answers"] == 0


def test_shares_equal_the_known_variances(selector):
    """With small independent SDs, the variance of the difference is a sum of variances of the logits."""
    model = planted(selector, {}, {"intercept": 0.02, "severity": 0.03})
    encoding = model.models["remission"].encoding
    place = encoding.features.index("severity")
    center = model.references["remission"].mean(axis=0)[place]
    z = encoding.encode_one(PATIENT | {"severity": 24.0, "prior": 0.0, "code": "1"})[0, place]
    assert abs(center) < 0.05  # the two sources are nearly independent
    averages, slopes = 0.02**2 + (0.03 * center) ** 2, (0.03 * (z - center)) ** 2
    found = model.explain_recommendation(PATIENT | {"severity": 24.0}).shares
    assert found["arm_averages"] == pytest.approx(averages / (averages + slopes), abs=0.03)
    assert found["modifiers"] == pytest.approx(slopes / (averages + slopes), abs=0.03)
    assert found["prognosis"] < 0.02  # what two arms have in common hardly moves their difference


def test_missing_answers_have_a_share_where_a_modifier_is_missing(selector):
    model = planted(selector, {"episodes": (1.0, -1.0, 0.0)}, {"intercept": 0.1})
    known = model.explain_recommendation(PATIENT)
    unknown = model.explain_recommendation(PATIENT | {"episodes": None, "noise": None})
    assert known.shares["missing_answers"] == 0
    assert unknown.shares["missing_answers"] > 0.9
    assert unknown.values["episodes"] is None


def test_a_known_service_and_a_new_one_have_a_share(selector):
    model = planted(selector, {}, {"intercept": 0.1})
    additive, rng = model.models["remission"], np.random.default_rng(1)
    new = 0.4 * rng.standard_normal((4000, 3))
    draws = additive.coefficient_draws.astype(float)
    draws[:, :, 0] += new
    own = 0.1 * rng.standard_normal((4000, 3))
    sites = SiteEffects(
        column="site",
        labels=("north",),
        intercept=np.tile(additive.intercept, (2, 1)),
        coefficients=additive.coefficients,
        draws=np.stack([own - new, -new], axis=1),
    )
    sited = replace(additive, coefficient_draws=draws, sites=sites)
    model = replace(model, models={"remission": sited})
    shares = {
        service: model.explain_recommendation(PATIENT | {"site": "north"}, service=service).shares["service"]
        for service in ("known", "average", "new")
    }
    assert shares["new"] == pytest.approx(0.4**2 / (0.4**2 + 0.1**2), abs=0.04)
    assert shares["known"] == pytest.approx(0.5, abs=0.05)
    assert shares["average"] == 0


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.9])
def test_shares_of_correlated_sources_are_never_negative(correlation):
    rng = np.random.default_rng(3)
    x, e = rng.standard_normal((2, 20_000))
    z = correlation * x + np.sqrt(1 - correlation**2) * e
    shares = variance_shares(3 * x + z, {"x": x[:, None], "z": z[:, None], "none": np.zeros((20_000, 2))})
    # Shapley effects of two correlated normal sources, Owen & Prieur (2017), SIAM/ASA JUQ 5, 986-1002
    total = 9 + 1 + 6 * correlation
    expected = (9 * (1 - correlation**2 / 2) + 3 * correlation + correlation**2 / 2) / total
    assert shares["x"] == pytest.approx(expected, abs=0.02)
    assert shares["none"] == 0
    assert min(shares.values()) >= 0
    assert sum(shares.values()) == pytest.approx(1)


def test_a_certain_difference_has_no_shares(selector):
    assert planted(selector, MIXED).explain_recommendation(PATIENT).shares == {}
    bare = planted(selector, MIXED).without_draws().explain_recommendation(PATIENT)
    assert bare.shares == {}
    assert np.isnan(bare.lower)
    assert np.isnan(bare.p_better)


# --- what would change it


def top_of(model, record):
    return model.recommend(record).columns["top"][0]


def test_a_change_really_changes_the_top_arm_and_a_smaller_one_does_not(mixed):
    for severity in (5.0, 12.5, 14.5, 22.0):
        record = PATIENT | {"severity": severity}
        found = mixed.explain_recommendation(record)
        changes = [each for each in found.changes if each.arms]
        assert changes
        for each in changes:
            assert top_of(mixed, record | {each.covariate: each.value}) in each.arms
            assert found.arm not in each.arms
            if each.covariate == "severity":
                smaller = severity + (each.value - severity) * (1 - 1e-4)
            elif each.covariate == "episodes":
                smaller = each.value - int(np.sign(each.value - 2))
            else:
                continue
            assert top_of(mixed, record | {each.covariate: smaller}) == found.arm


def test_the_boundary_is_the_root_of_the_difference(selector):
    """Two logits that cross at a known value, and no other covariate that matters."""
    model = planted(selector, {"severity": (0.0, 0.5, 0.0)}, intercept=(0.0, -0.4, -9.0))
    column = next(each for each in model.models["remission"].encoding.columns if each.name == "severity")
    root = float(column.values(0.8))  # -0.4 + 0.5 z = 0
    found = {each.covariate: each for each in model.explain_recommendation(PATIENT).changes}
    assert found["severity"].value == pytest.approx(root, abs=1e-4)
    assert found["severity"].value >= root
    assert found["severity"].arms == ("ipt",)
    for name in ("noise", "episodes", "prior", "job"):
        assert found[name].arms == ()
        assert found[name].value is None
        assert "no value" in found[name].note


def test_categories_are_enumerated_and_whole_numbers_stay_whole(selector):
    coefficients = {
        "job=retired": (0.0, 2.0, 0.0),
        "job=employed": (0.0, 0.0, 3.0),
        "prior": (0.0, 0.0, 1.0),
        "episodes": (0.0, 1.0, 0.0),
        "code=3": (0.0, 0.0, 2.0),
    }
    model = planted(selector, coefficients, intercept=(0.0, -0.5, -0.6))
    changes = model.explain_recommendation(PATIENT).changes
    by_name = {}
    for each in changes:
        by_name.setdefault(each.covariate, []).append((each.value, each.arms))
    assert by_name["job"] == [("employed", ("ssri",)), ("retired", ("ipt",))]
    assert by_name["prior"] == [(True, ("ssri",))]
    assert by_name["code"] == [(3, ("ssri",))]
    value = by_name["episodes"][0][0]
    assert type(value) is int
    assert value > 2


def test_values_stay_within_the_range_of_the_cohort(selector):
    """The logits cross only far outside the range: no change may be proposed."""
    model = planted(selector, {"severity": (0.0, 0.1, 0.0), "episodes": (0.0, -0.1, 0.0)})
    assert all(not each.arms for each in model.explain_recommendation(PATIENT).changes)


def test_fixed_and_missing_covariates_are_not_changed(mixed):
    found = mixed.explain_recommendation(PATIENT | {"episodes": None}, fixed=["severity"])
    notes = {each.covariate: each.note for each in found.changes}
    assert notes["severity"] == "held fixed"
    assert notes["episodes"] == "missing: see next_question"
    assert not any(each.arms for each in found.changes if each.covariate in ("severity", "episodes"))
    with pytest.raises(InputError, match="fixed names 1 column that the model does not use"):
        mixed.explain_recommendation(PATIENT, fixed=["height"])


@pytest.mark.parametrize("whole", [False, True])
def test_the_nearest_value_is_found_on_either_side(whole):
    def outside(values):
        values = np.asarray(values)
        return (values <= -3000) | (values >= 4000.2)

    now = 10.0
    found = nearest_number(now, -9000.0, 9000.0, outside, whole=whole)
    assert found == (-3000 if whole else pytest.approx(-3000, abs=0.02))
    assert outside([found])[0]
    near = nearest_number(1500.0, -9000.0, 9000.0, outside, whole=whole)
    assert near == (4001 if whole else pytest.approx(4000.2, abs=0.02))
    assert nearest_number(now, 0.0, 4000.0, outside, whole=whole) is None
    assert nearest_number(now, now, now, outside, whole=whole) is None


# --- the result


def test_records_tables_and_selectors_agree(selector, mixed):
    one, row = mixed.explain_recommendation(PATIENT), pd.DataFrame([PATIENT])
    other = mixed.explain_recommendation(row)
    assert one.attributions == pytest.approx(dict(other.attributions))
    assert one.changes == other.changes
    assert one.shares == pytest.approx(other.shares)
    told = selector.explain_recommendation(PATIENT, fixed=["severity"])
    assert isinstance(told, RecommendationExplanation)
    assert told.arm == selector.recommend(PATIENT).columns["top"][0]


def test_frame_dictionary_sentences_and_plot_say_the_same(mixed):
    found = mixed.explain_recommendation(PATIENT)
    frame = found.to_frame()
    parts = dict(list(frame.groupby("part")))
    assert parts["attribution"]["amount"].tolist() == list(found.attributions.values())
    assert parts["uncertainty"]["amount"].sum() == pytest.approx(1)
    assert parts["change"]["name"].tolist() == [each.covariate for each in found.changes]
    told = json.loads(found.to_json())
    assert told["kind"] == "treatsel recommendation_explanation"
    assert [each["attribution"] for each in told["attributions"]] == list(found.attributions.values())
    assert told["audit"]["kind"] == "recommendations"
    text = " ".join(found.sentences())
    assert f"under {found.arm} than under {found.comparator}" in text
    assert "Severity = 12.5 points" in text
    assert len(found.plot().patches) >= len(found.attributions)
    assert "12.5" not in repr(found)


def test_a_model_that_is_not_a_sum_of_terms_is_explained_too():
    X, y = make_table(300)
    X, y = X[["severity", "prior", "arm"]], y["remission"]
    with pytest.warns(TreatselWarning):
        forest = ts.TreatmentSelector(
            estimator=ArmwiseClassifier(RandomForestClassifier(20, random_state=0)),
            event_is_good=True,
            random_state=0,
        ).fit(X, y)
    found = forest.explain_recommendation(X.drop(columns="arm").iloc[:1])
    assert found.method == "enumeration"
    assert found.base_value + sum(found.attributions.values()) == pytest.approx(found.difference, abs=1e-9)
    assert found.shares == {}
    for each in found.changes:
        if each.arms:
            record = X.drop(columns="arm").iloc[:1].assign(**{each.covariate: each.value})
            assert forest.recommend(record).columns["top"][0] in each.arms


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        ([PATIENT, PATIENT], {}, "X has 2 patients; give one"),
        (PATIENT | {"severity": 900.0}, {}, "no top arm to explain: the status is 'out_of_scope'"),
        (PATIENT, {"excluded": {"ipt": "x", "ssri": "x"}}, "One arm is permitted"),
        (PATIENT, {"comparator": "CBT"}, "Did you mean 'cbt'"),
    ],
)
def test_what_cannot_be_explained_is_refused(selector, record, options, message):
    model = planted(selector, {})
    with pytest.raises(InputError, match=message):
        model.explain_recommendation(record, **options)


def test_the_top_arm_is_no_comparator_and_a_tie_has_none(selector):
    model = planted(selector, {})
    with pytest.raises(InputError, match="comparator is 'cbt', which is the top arm"):
        model.explain_recommendation(PATIENT, comparator="cbt")
    tied = planted(selector, {}, intercept=(-1.0, 0.0, 0.0))
    with pytest.raises(InputError, match="no top arm to explain"):
        tied.explain_recommendation(PATIENT)
