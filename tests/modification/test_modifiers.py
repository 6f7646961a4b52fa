"""Modifiers against known truth and against brute force."""

import warnings

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tests.modification.conftest import COVARIATES, fit, simulate

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier
from treatsel.modification._population import Population, contributions_of

pytestmark = pytest.mark.one_version

FEW_PATIENTS = 100  # over which the simulations describe a modification


@pytest.fixture(scope="module")
def found(planted):
    return ts.modifiers(*planted)


def test_a_planted_modifier_is_found_and_apart_from_prognosis(found):
    table = found.table
    assert found.modifying == ["modifier"]
    assert table.index[0] == "modifier"
    assert table.loc["modifier", "p_first"] > 0.99
    assert table.loc["modifier", ["rank_lower", "rank_upper"]].tolist() == [1, 1]
    assert table["prognosis"].idxmax() == "prognostic"
    assert table.loc["prognostic", "prognosis"] > 0.15
    assert table.loc["prognostic", "modification"] < 0.05
    assert table.loc["modifier", "prognosis"] < 0.05
    assert "with probability 1.00 it ranks first" in found.statement


def test_the_interval_holds_the_true_modification(planted, found):
    X = planted[1]
    own = np.array([0.7, -0.7]) * X[["modifier"]].to_numpy()
    logit = np.array([0.2, 0.5]) + X[["prognostic"]].to_numpy()
    with_, without = expit(logit + own), expit(logit)
    true = np.std((with_[:, 0] - with_[:, 1]) - (without[:, 0] - without[:, 1]))
    row = found.table.loc["modifier"]
    assert row["lower"] < true < row["upper"]


def test_the_definition_by_brute_force(planted, found):
    selector, X = planted
    model = selector.additive_["remission"]
    place, matrix = model.encoding.names.index("modifier"), model.encoding.encode(X)
    columns = np.flatnonzero(model.encoding.sources == place)
    comparator = list(model.arms_).index(found.comparator)
    sizes, spreads = [], []
    for terms in model.coefficient_draws[::100].astype(float):
        logit = terms[:, 0] + matrix @ terms[:, 1:].T
        centered = matrix[:, columns] - matrix[:, columns].mean(axis=0)
        own = centered @ terms[:, 1 + columns].T
        shared = own.mean(axis=1, keepdims=True)
        change = expit(logit) - expit(logit - own + shared)
        sizes.append(np.std(change[:, 1 - comparator] - change[:, comparator]))
        spreads.append(np.std((expit(logit) - expit(logit - shared)).mean(axis=1)))
    population = found.population
    departures = population.departures(["modifier"])
    again = contributions_of(population, [departures], [np.zeros((0, len(X)))], comparator)[0]
    assert again.modification[::100] == pytest.approx(sizes, abs=1e-9)
    assert again.prognosis[::100] == pytest.approx(spreads, abs=1e-9)
    assert found.table.loc["modifier", "modification"] == pytest.approx(again.modification.mean())


def test_the_share_of_changed_choices_by_prediction(planted, found):
    selector, X = planted
    for name in COVARIATES[:3]:
        before = selector.predict_by_arm(X)
        after = selector.predict_by_arm(X.assign(**{name: X[name].mean()}))
        changed = before.idxmax(axis=1) != after.idxmax(axis=1)
        assert found.table.loc[name, "share_changed"] == pytest.approx(changed.mean())
    chosen = before.max(axis=1).mean()
    without = selector.predict_by_arm(X.assign(modifier=X["modifier"].mean())).idxmax(axis=1)
    kept = np.mean([before.loc[patient, arm] for patient, arm in without.items()])
    assert found.table.loc["modifier", "gain"] == pytest.approx(chosen - kept)
    assert found.table.loc["modifier", "share_changed"] > 0.25


def test_interactions_have_the_planted_direction(found):
    rows = found.interactions[found.interactions["covariate"] == "modifier"].set_index("level")
    arm = found.arms[0] if found.comparator == found.arms[1] else found.arms[1]
    sign = 1 if arm == "A" else -1
    assert set(rows["arm"]) == {arm}
    low, middle, high = (sign * rows["value"]).tolist()
    assert low < middle < high
    assert high > 0.1
    assert min(rows["p_above"]) < 0.01 < 0.99 < max(rows["p_above"])


def test_order_of_patients_and_their_ids_do_not_matter(planted, found):
    selector, X = planted
    shuffled = X.sample(frac=1, random_state=3)
    again = ts.modifiers(selector, shuffled.set_axis([f"p{i}" for i in range(len(X))]))
    pd.testing.assert_frame_equal(again.table, found.table, rtol=1e-6)


def test_names_of_arms_do_not_matter(refit):
    X, y = simulate(300, seed=5, slope=1.0)
    renamed = X.assign(arm=X["arm"].map({"A": "B", "B": "A"}))
    one, other = (
        ts.modifiers(refit(table, y), table, comparator=arm) for table, arm in ((X, "A"), (renamed, "B"))
    )
    columns = ["modification", "prognosis", "noise"]
    pd.testing.assert_frame_equal(one.table[columns], other.table[columns], atol=5e-3)


def false_claims(refit, seeds, n, n_arms, model=None):
    claims = 0
    for seed in seeds:
        X, y = simulate(n, seed=seed, n_arms=n_arms)
        claims += bool(ts.modifiers(refit(X, y, model and model()), X.head(FEW_PATIENTS)).modifying)
    return claims


def armwise():
    return ArmwiseClassifier(LogisticRegression(max_iter=500))


def test_without_modification_nothing_is_claimed(refit):
    assert false_claims(refit, range(10, 16), 400, 3) == 0


def test_weak_priors_do_not_turn_noise_into_modifiers(refit):
    # separate regressions of the arms: the SD is above 0.02 in almost every draw, by noise alone
    assert false_claims(refit, range(30, 36), 400, 4, armwise) <= 1
    X, y = simulate(400, seed=30, n_arms=4)
    noisy = ts.modifiers(refit(X, y, armwise()), X.head(FEW_PATIENTS)).table
    assert (noisy["p_relevant"] > 0.95).any()


@pytest.mark.slow
@pytest.mark.parametrize(("n_arms", "model"), [(2, armwise), (4, None)])
def test_false_claims_keep_their_level(refit, n_arms, model):
    runs = 20
    claims = false_claims(refit, range(100, 100 + runs), 250 * n_arms, n_arms, model)
    assert claims <= 0.05 * runs + 3 * np.sqrt(0.05 * 0.95 * runs)


def test_covariates_can_be_examined_together(planted, found):
    selector, X = planted
    grouped = ts.modifiers(selector, X, groups={"history": ["modifier", "noise"]})
    assert grouped.modifying == ["history"]
    assert len(grouped.table) == len(found.table) - 1
    assert set(grouped.interactions.loc[grouped.interactions["set"] == "history", "covariate"]) == {
        "modifier",
        "noise",
    }
    alone = ts.modifiers(selector, X, groups={"x": ["modifier"]})
    assert alone.table.loc["x"].tolist() == found.table.loc["modifier"].tolist()


def test_trees_count_as_their_replaced_predictions():
    X, y = simulate(300, seed=2, slope=1.5)
    learner = LGBMClassifier(n_estimators=5, random_state=0, verbose=-1, n_jobs=1)
    model = ArmwiseClassifier(learner).fit(X, y).additive()
    few = Population(model, X[COVARIATES].head(20))
    donors = few.clean["modifier"].sort_values().iloc[1::2]  # at most 10: every second of 20
    replaced = [few.terms_of(model.encoding.encode(few.clean.assign(modifier=value))) for value in donors]
    start = 1 + few.matrix.shape[1]
    departures = few.departures(["modifier"])[:, start:]
    assert np.abs(departures).max() > 0.01
    assert departures == pytest.approx((few.terms - np.mean(replaced, axis=0))[:, start:], abs=1e-9)


def test_predictions_are_those_of_the_average_service():
    cohort = make_cohort(400, sites=4, random_state=2).cohort
    model = HierarchicalClassifier(groups="site").fit(
        cohort.X.assign(site=cohort.frame["service"]), cohort.frame["dropout"]
    )
    additive, X = model.additive(), cohort.X.head(30)
    population = Population(additive, X)
    drawn = expit(population.logits(slice(None)))
    assert drawn.transpose(2, 1, 0) == pytest.approx(additive.predict_draws(X, "average"), abs=1e-6)
    point = expit(population.terms @ population.point.T)
    assert point == pytest.approx(additive.predict_by_arm(X, "average").to_numpy(), abs=1e-9)


@pytest.mark.slow
def test_modifiers_of_a_synthetic_cohort_are_true_ones():
    true = {
        *("age", "living_alone", "wsas_start"),
        *("previous_episodes", "chronicity_months", "comorbidity_count"),
    }
    cohort = make_cohort(2500, heterogeneity="strong", missing=0.1, random_state=1).cohort
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort)
    found = ts.modifiers(selector, cohort.X)
    assert len(found.modifying) >= 3
    assert set(found.modifying) <= true
    assert set(found.table.index[:6]) == true


@pytest.mark.slow
def test_a_modification_by_two_covariates_together_is_shown_by_its_size_and_noise_is_not_claimed():
    random = np.random.default_rng(3)
    X = pd.DataFrame({name: random.normal(size=2000) for name in ("one", "two", "three")})
    X["arm"] = random.choice(["A", "B"], 2000)
    logit = np.where(X["arm"] == "A", 2, -2) * np.sign(X["one"] * X["two"])
    y = pd.Series((random.random(2000) < expit(logit)).astype(int), name="remission")
    found = ts.modifiers(fit(X, y, "stacked"), X)
    assert (found.table.loc[["one", "two"], "lower"] > 0.3).all()
    assert found.table.loc[["one", "two"], "p_first"].sum() > 0.99
    assert found.modifying == []  # each averages out over its own thirds, and the noise in the trees as well


def test_a_bad_outcome_has_the_same_modification():
    X, y = simulate(400, seed=6, slope=1.2)
    good = fit(X, y)
    bad = ts.TreatmentSelector(estimator="hierarchical", event_is_good=False, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad.fit(X, (1 - y).rename("relapsed"))
    one, other = (ts.modifiers(each, X, comparator="A").table for each in (good, bad))
    columns = ["modification", "prognosis", "share_changed", "gain"]
    pd.testing.assert_frame_equal(one[columns], other.loc[one.index, columns], atol=0.01)


def test_what_is_refused(planted, refit):
    selector, X = planted
    with pytest.raises(InputError, match="19 patients; a population is described from 20 on"):
        ts.modifiers(selector, X.head(19))
    with pytest.raises(InputError, match="comparator"):
        ts.modifiers(selector, X, comparator="C")
    with pytest.raises(InputError, match="1 column that the model does not use: \\['site'\\]"):
        ts.modifiers(selector, X, groups={"g": ["site"]})
    with pytest.raises(InputError, match="must map a name to a list"):
        ts.modifiers(selector, X, groups={"g": "noise"})
    with pytest.raises(InputError, match="is empty, or has the name of another covariate"):
        ts.modifiers(selector, X, groups={"noise": ["modifier"]})
    with pytest.raises(InputError, match="smallest is 1"):
        ts.modifiers(selector, X, smallest=1)
    with pytest.raises(InputError, match="A fitted TreatmentSelector is needed, not a dict"):
        ts.modifiers({}, X)
    X, y = simulate(300, seed=7)
    for estimator, reason in (
        (RandomForestClassifier(n_estimators=5, random_state=0), "is not a sum of terms"),
        (LogisticRegression(class_weight="balanced"), "has no posterior draws"),
    ):
        with pytest.raises(UnsupportedModelError, match=reason):
            ts.modifiers(refit(X, y, PooledClassifier(estimator)), X)
