import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics.benefit import (
    MatchedPairs,
    average_benefit,
    benefit_calibration,
    brier_for_benefit,
    c_for_benefit,
    cross_entropy_for_benefit,
    e_for_benefit,
    logit_benefit_recalibration,
    logit_benefit_slope,
    match_pairs,
    model_based_c_for_benefit,
    population_average_prescriptive_effect,
    population_average_value,
    population_benefit,
)

ARMS = {"control": "a_1", "treated": "b"}  # labels may hold underscores
SEEDS = st.integers(0, 2**32 - 1)
RULE = (population_average_value, population_average_prescriptive_effect, population_benefit)
LOGIT = (logit_benefit_slope, logit_benefit_recalibration)
SCORED = (average_benefit, benefit_calibration)


def cohort(seed, n=60, *, digits=2, others=True):
    """Vectors of a trial with three arms (or two) whose predictions are the truth, rounded."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    high, low = expit(x @ [0.5, 0.8, 0.0]), expit(x @ [0.5, 0.0, 0.4])
    by_arm = pd.DataFrame({"b": high, "c": (high + low) / 2, "a_1": low}).round(digits)
    names = by_arm.columns.to_list() if others else ["b", "a_1"]
    arm = np.array([*names, *rng.choice(names, n - len(names))], dtype=object)
    y = rng.binomial(1, by_arm.to_numpy()[np.arange(n), by_arm.columns.get_indexer(arm)])
    chances = pd.DataFrame(0.0, index=by_arm.index, columns=by_arm.columns)
    chances[names] = 1 / len(names)
    vectors = {"y_true": y, "received": arm, "by_arm": by_arm}
    return vectors, {"propensity": chances}, x


def rows_of(table, rows):
    return {k: v.iloc[rows] if isinstance(v, pd.DataFrame) else v[rows] for k, v in table.items()}


def numbers(result):
    """Every number of a result, by name."""
    if isinstance(result, pd.DataFrame):
        return {f"{name}.{i}": v for name in result for i, v in enumerate(result[name])}
    if hasattr(result, "to_dict"):
        return {k: v for k, v in result.to_dict().items() if isinstance(v, int | float)}
    if not hasattr(result, "__dataclass_fields__"):
        return {"": result}
    return {
        f"{field}.{name}": value
        for field in result.__dataclass_fields__
        for name, value in numbers(getattr(result, field)).items()
    }


def everything(vectors, chances, **options):
    with_chances = {f.__name__: f(**vectors, **chances, **ARMS, **options) for f in SCORED}
    without = {f.__name__: f(**vectors, **ARMS, **options) for f in (*RULE, *LOGIT)}
    model = {"sample_weight": options["sample_weight"]} if "sample_weight" in options else {}
    found = model_based_c_for_benefit(vectors["by_arm"], **ARMS, **model)
    results = with_chances | without | {"model": found}
    return {f"{name} {k}": v for name, r in results.items() for k, v in numbers(r).items()}


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_weights_are_repeated_rows(seed):
    vectors, chances, _ = cohort(seed, 90)
    weight = np.random.default_rng(seed).integers(0, 4, 90)
    weight[:3] = 1
    again = np.repeat(np.arange(90), weight)
    found = everything(vectors, chances, sample_weight=weight)
    expected = everything(rows_of(vectors, again), rows_of(chances, again))
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-6, abs=1e-9)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_order_of_rows_and_columns_does_not_matter_without_matching(seed):
    vectors, chances, _ = cohort(seed, 90)
    order = np.random.default_rng(seed).permutation(90)
    moved = rows_of(vectors, order)
    moved["by_arm"] = moved["by_arm"][["a_1", "b", "c"]]
    expected = everything(vectors, chances)
    assert everything(moved, rows_of(chances, order)) == pytest.approx(expected, nan_ok=True, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_swapping_the_arms_turns_the_sign(seed):
    vectors, chances, x = cohort(seed, 90)
    swapped = {"control": "b", "treated": "a_1"}
    one = benefit_calibration(**vectors, **chances, **ARMS)
    two = benefit_calibration(**vectors, **chances, **swapped)
    assert two.slope.value == pytest.approx(one.slope.value)
    assert two.intercept.value == pytest.approx(-one.intercept.value)
    assert two.in_the_large.value == pytest.approx(-one.in_the_large.value)
    assert two.p_value_calibration == pytest.approx(one.p_value_calibration)
    c = [model_based_c_for_benefit(vectors["by_arm"], **arms).value for arms in (ARMS, swapped)]
    assert c[0] == pytest.approx(c[1])
    if (vectors["received"] == "b").sum() == (vectors["received"] == "a_1").sum():
        return  # which arm is matched completely then depends on the names of the arms
    pairs = [match_pairs(**vectors, **arms, covariates=x) for arms in (ARMS, swapped)]
    assert c_for_benefit(pairs[0]).value == pytest.approx(c_for_benefit(pairs[1]).value, nan_ok=True)


def test_clusters_of_one_are_patients_with_students_t():
    vectors, chances, _ = cohort(3, 120)
    for metric, more in ((benefit_calibration, chances), (average_benefit, chances)):
        alone = metric(**vectors, **more, **ARMS)
        grouped = metric(**vectors, **more, **ARMS, clusters=np.arange(120))
        if metric is benefit_calibration:
            alone, grouped = alone.slope, grouped.slope
        assert grouped.se == pytest.approx(alone.se)
        assert grouped.upper > alone.upper
        assert "df" in grouped.method
    line = logit_benefit_recalibration(**vectors, **ARMS, clusters=np.arange(120) // 4)
    assert "cluster-robust" in line.slope.method
    assert line.slope.se != logit_benefit_recalibration(**vectors, **ARMS).slope.se


def test_line_through_doubly_robust_scores_by_statsmodels():
    from statsmodels.regression.linear_model import OLS

    vectors, chances, _ = cohort(5, 200, others=False)
    found = benefit_calibration(**vectors, **chances, **ARMS)
    low, high = vectors["by_arm"]["a_1"], vectors["by_arm"]["b"]
    y, treated = vectors["y_true"], vectors["received"] == "b"
    score = high - low + np.where(treated, (y - high) / 0.5, -(y - low) / 0.5)
    fit = OLS(score, np.column_stack([np.ones(200), high - low])).fit(cov_type="HC1")
    assert [found.intercept.value, found.slope.value] == pytest.approx(list(fit.params))
    assert [found.intercept.se, found.slope.se] == pytest.approx(list(fit.bse))
    test = fit.wald_test((np.eye(2), [0, 1]), use_f=False, scalar=True)
    assert found.p_value_calibration == pytest.approx(float(test.pvalue))
    assert found.to_frame()["n"].sum() == 200


@pytest.mark.slow
def test_line_of_the_true_benefit_covers_the_diagonal():
    """Where the predictions are true the slope is 1 and the intercept 0: in 95 % of the intervals."""
    slope, intercept, p_values = [], [], []
    for seed in range(150):
        vectors, chances, _ = cohort(seed, 300, others=False)
        found = benefit_calibration(**vectors, **chances, **ARMS, n_bins=1)
        slope.append((found.slope.value, found.slope.lower <= 1 <= found.slope.upper))
        intercept.append((found.intercept.value, found.intercept.lower <= 0 <= found.intercept.upper))
        p_values.append(found.p_value_calibration)
    (mean_slope, covers_slope), (mean_intercept, covers) = np.mean(slope, axis=0), np.mean(intercept, axis=0)
    assert mean_slope == pytest.approx(1, abs=0.1)
    assert mean_intercept == pytest.approx(0, abs=0.015)
    assert 0.91 <= covers_slope <= 0.99
    assert 0.91 <= covers <= 0.99
    assert np.mean(np.array(p_values) < 0.05) <= 0.09


def test_exaggerated_benefits_have_a_small_slope():
    vectors, chances, _ = cohort(1, 20_000, digits=9, others=False)
    by_arm = vectors["by_arm"]
    middle = (by_arm["a_1"] + by_arm["b"]) / 2
    logit = np.log(by_arm / (1 - by_arm))
    wide = by_arm.assign(b=expit(2 * logit["b"] - logit["a_1"]))  # twice the difference of the logits
    assert logit_benefit_recalibration(**vectors, **ARMS).slope.value == pytest.approx(1, abs=0.1)
    assert logit_benefit_slope(**vectors, **ARMS).value == pytest.approx(1, abs=0.1)
    worse = vectors | {"by_arm": wide}
    assert logit_benefit_slope(**worse, **ARMS).value == pytest.approx(0.5, abs=0.1)
    assert benefit_calibration(**worse, **chances, **ARMS).slope.upper < 0.8
    flat = vectors | {"by_arm": by_arm.assign(a_1=middle, b=middle)}
    assert math.isnan(benefit_calibration(**flat, **chances, **ARMS).slope.value)


def test_lines_within_each_arm():
    vectors, _, _ = cohort(2, 400, others=False)
    both = logit_benefit_recalibration(**vectors, **ARMS).slope
    parts = [logit_benefit_recalibration(**vectors, **ARMS, among=among).slope for among in ARMS]
    assert sum(part.n for part in parts) == both.n == 400
    assert min(p.value for p in parts) < both.value < max(p.value for p in parts)


@pytest.mark.parametrize("metric", LOGIT)
def test_predictions_of_one_are_counted_in_a_warning(metric):
    vectors, _, _ = cohort(4, 200)
    vectors["by_arm"].iloc[0, 0] = 1.0
    with pytest.warns(TreatselWarning, match="1 of"):
        metric(**vectors, **ARMS)


def test_lines_that_cannot_be_estimated():
    vectors, _, _ = cohort(4, 50)
    vectors["y_true"] = np.zeros(50)
    assert math.isnan(logit_benefit_slope(**vectors, **ARMS).value)
    assert "one class" in logit_benefit_recalibration(**vectors, **ARMS).slope.method


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_model_based_concordance_by_comparing_all_patients(seed):
    vectors, _, _ = cohort(seed, 25, digits=1)
    high, low = (vectors["by_arm"][arm].to_numpy() for arm in ("b", "a_1"))
    chance = {-1: (1 - high) * low, 0: high * low + (1 - high) * (1 - low), 1: high * (1 - low)}
    right = total = 0.0
    for i in range(25):
        for j in range(25):
            if i != j:
                p = sum(chance[a][i] * chance[b][j] for a in chance for b in chance if a < b)
                di, dj = high[i] - low[i], high[j] - low[j]
                right, total = right + p * ((di < dj) + 0.5 * (di == dj)), total + p
    found = model_based_c_for_benefit(vectors["by_arm"], **ARMS)
    assert found.value == pytest.approx(right / total)
    same = model_based_c_for_benefit(vectors["by_arm"], **ARMS, truth=vectors["by_arm"])
    assert same.value == pytest.approx(found.value)


def test_model_based_concordance_is_chance_for_an_unrelated_truth():
    rng = np.random.default_rng(0)
    predicted, truth = (pd.DataFrame(rng.uniform(size=(4000, 2)), columns=["a_1", "b"]) for _ in range(2))
    found = model_based_c_for_benefit(predicted, **ARMS, truth=truth)
    assert found.value == pytest.approx(0.5, abs=0.02)
    certain = pd.DataFrame({"a_1": [0.0, 0.0], "b": [0.0, 0.0]})
    assert math.isnan(model_based_c_for_benefit(certain, **ARMS).value)


def test_a_rule_that_treats_all_patients_has_the_value_of_that_arm():
    vectors, _, _ = cohort(6, 100)
    vectors["by_arm"] = vectors["by_arm"].assign(a_1=0.1, b=0.2)
    treated = vectors["y_true"][vectors["received"] == "b"].mean()
    control = vectors["y_true"][vectors["received"] == "a_1"].mean()
    assert population_average_value(**vectors, **ARMS).value == pytest.approx(treated)
    assert population_average_prescriptive_effect(**vectors, **ARMS).value == pytest.approx(0)
    assert population_benefit(**vectors, **ARMS).value == pytest.approx(treated - control)
    over_itself = population_benefit(**vectors, **ARMS, over="treated")
    assert (over_itself.value, over_itself.se) == (0, 0)
    y, t = vectors["y_true"], vectors["received"]
    usual = sum(np.var(y[t == arm], ddof=1) / (t == arm).sum() for arm in ("a_1", "b"))
    assert population_benefit(**vectors, **ARMS).se == pytest.approx(math.sqrt(usual))


def test_intervals_of_the_rule_cover():
    hits = {metric: [] for metric in RULE}
    big, _, _ = cohort(10_000, 200_000, others=False)
    low, high = (big["by_arm"][arm] for arm in ("a_1", "b"))
    value, share = np.maximum(low, high).mean(), (high > low).mean()
    truth = dict(
        zip(RULE, (value, value - share * high.mean() - (1 - share) * low.mean(), None), strict=True)
    )
    truth[population_benefit] = value - low.mean()
    for seed in range(120):
        vectors, _, _ = cohort(seed, 300, others=False)
        for metric in RULE:
            found = metric(**vectors, **ARMS)
            hits[metric].append(found.lower <= truth[metric] <= found.upper)
    assert all(0.89 <= np.mean(hit) <= 0.99 for hit in hits.values()), {
        m.__name__: np.mean(h) for m, h in hits.items()
    }


def test_average_benefit_is_the_difference_of_the_arms_without_a_model():
    vectors, chances, _ = cohort(7, 300, others=False)
    vectors["by_arm"] = vectors["by_arm"] * 0
    y, treated = vectors["y_true"], vectors["received"] == "b"
    expected = (y * treated).mean() * 2 - (y * ~treated).mean() * 2
    assert average_benefit(**vectors, **chances, **ARMS).value == pytest.approx(expected)


def test_two_arms_need_only_the_propensity_of_the_received_one():
    vectors, _, _ = cohort(0)
    pair = np.isin(vectors["received"], [ARMS["control"], ARMS["treated"]])
    by_arm = vectors["by_arm"].loc[pair, [ARMS["control"], ARMS["treated"]]]
    patients = np.asarray(vectors["y_true"])[pair], np.asarray(vectors["received"])[pair]
    table = pd.DataFrame({ARMS["control"]: 0.3, ARMS["treated"]: 0.7}, index=by_arm.index)
    own = np.where(patients[1] == ARMS["treated"], 0.7, 0.3)
    found = [average_benefit(*patients, by_arm, given, **ARMS) for given in (table, own)]
    assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    with pytest.raises(InputError, match="by_arm has 3 arms"):
        average_benefit(**vectors, propensity=np.full(len(pair), 0.5), **ARMS)


def test_propensities_are_renormalized_to_the_two_arms():
    vectors, chances, _ = cohort(8, 200)
    uneven = chances["propensity"].assign(a_1=0.4, b=0.4, c=0.2)
    first = average_benefit(**vectors, **chances, **ARMS)
    second = average_benefit(**vectors, propensity=uneven, **ARMS)
    assert second.value == pytest.approx(first.value)
    uneven.loc[vectors["received"] == "b", ["b", "c"]] = [0.0, 0.6]
    with pytest.raises(InputError, match="is 0 for the received arm"):
        average_benefit(**vectors, propensity=uneven, **ARMS)


def nearest_by_hand(points, treated):
    free = set(np.flatnonzero(~treated))
    pairs = []
    for i in np.flatnonzero(treated):
        best = min(sorted(free), key=lambda j, i=i: round(((points[i] - points[j]) ** 2).sum(), 12))
        free.remove(best)
        pairs.append((i, best))
    return pairs


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_matching_takes_the_nearest_free_patient(seed):
    rng = np.random.default_rng(seed)
    treated = np.arange(60) % 3 == 0
    by_arm = pd.DataFrame({"a_1": rng.uniform(size=60), "b": rng.uniform(size=60)})
    vectors = {"y_true": rng.integers(0, 2, 60), "received": np.where(treated, "b", "a_1"), "by_arm": by_arm}
    benefit = (by_arm["b"] - by_arm["a_1"]).to_numpy()[:, None]
    found = match_pairs(**vectors, **ARMS).patients
    assert list(zip(found["treated"], found["control"], strict=True)) == nearest_by_hand(benefit, treated)
    x = rng.integers(0, 4, (60, 2)).astype(float)  # many ties
    centered = x - np.where(treated[:, None], x[treated].mean(axis=0), x[~treated].mean(axis=0))
    root = np.linalg.cholesky(np.linalg.inv(centered.T @ centered / 58))
    found = match_pairs(**vectors, **ARMS, covariates=x).patients
    apart = [((x[i] - x[j]) @ root for i, j in nearest_by_hand(x @ root, treated))]
    ours = [(x[i] - x[j]) @ root for i, j in zip(found["treated"], found["control"], strict=True)]
    assert found["control"].is_unique
    assert np.linalg.norm(ours, axis=1)[0] == pytest.approx(np.linalg.norm(next(iter(apart[0]))))


def above_by_hand(benefit, treated):
    order = np.lexsort((np.arange(len(benefit)), -benefit))  # from the highest benefit down
    free = [j for j in order if not treated[j]]
    pairs = []
    for i in sorted(np.flatnonzero(treated), key=lambda i: benefit[i]):
        place = list(order).index(i)
        before = [j for j in free if list(order).index(j) < place]
        best = before[-1] if before else free[0]
        free.remove(best)
        pairs.append((i, best))
    return pairs


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_matching_above_takes_the_closest_of_higher_benefit(seed):
    rng = np.random.default_rng(seed)
    treated = rng.permutation(40) % 2 == 0
    by_arm = pd.DataFrame({"a_1": 0.0, "b": rng.integers(0, 12, 40) / 12})
    vectors = {"y_true": rng.integers(0, 2, 40), "received": np.where(treated, "b", "a_1"), "by_arm": by_arm}
    found = match_pairs(**vectors, **ARMS, neighbor="above").patients
    expected = above_by_hand(by_arm["b"].to_numpy(), treated)
    assert list(zip(found["treated"], found["control"], strict=True)) == expected


def test_matching_of_identical_patients_and_of_weights():
    vectors = {
        "y_true": [1, 0, 1, 0, 1],
        "received": ["b", "a_1", "a_1", "b", "a_1"],
        "by_arm": pd.DataFrame({"a_1": [0.5] * 5, "b": [0.5] * 5}, index=list("vwxyz")),
    }
    found = match_pairs(**vectors, **ARMS, covariates=np.ones((5, 2))).patients
    assert found.to_numpy().tolist() == [["v", "w"], ["y", "x"]]
    heavy = match_pairs(**vectors, **ARMS, sample_weight=[2, 2, 0, 0, 1]).patients
    assert heavy.to_numpy().tolist() == [["v", "w"], ["v", "w"]]


def test_smaller_control_arm_is_matched_whole():
    vectors, _, x = cohort(9, 80, others=False)
    mine = np.concatenate(
        [np.flatnonzero(vectors["received"] == "b"), np.flatnonzero(vectors["received"] == "a_1")[:9]]
    )
    few = rows_of(vectors, mine)
    for options in ({"covariates": x[mine]}, {}, {"neighbor": "above"}):
        pairs = match_pairs(**few, **ARMS, **options)
        assert len(pairs) == 9
        assert pairs.patients["treated"].is_unique
        assert set(few["received"][few["by_arm"].index.get_indexer(pairs.patients["control"])]) == {"a_1"}


def concordance_by_hand(predicted, observed):
    won = compared = 0.0
    for p, o in zip(predicted, observed, strict=True):
        for q, r in zip(predicted, observed, strict=True):
            if o < r:
                won, compared = won + (p < q) + 0.5 * (p == q), compared + 1
    return won / compared


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_concordance_by_comparing_all_pairs(seed):
    rng = np.random.default_rng(seed)
    observed, predicted = rng.integers(-1, 2, 30), rng.integers(-4, 5, 30) / 10
    observed[:2] = [0, 1]
    pairs = MatchedPairs.of(observed, np.full(30, 0.5), np.full(30, 0.5), mean_benefit=predicted)
    found = c_for_benefit(pairs)
    assert found.value == pytest.approx(concordance_by_hand(predicted, observed))
    turned = MatchedPairs.of(-observed, np.full(30, 0.5), np.full(30, 0.5), mean_benefit=-predicted)
    assert c_for_benefit(turned).value == pytest.approx(found.value)
    cubed = MatchedPairs.of(observed, np.full(30, 0.5), np.full(30, 0.5), mean_benefit=predicted**3)
    assert c_for_benefit(cubed).value == pytest.approx(found.value)


def test_noether_error_is_that_of_simulated_pairs():
    values, errors, covers = [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        high, low = rng.uniform(0.2, 0.9, 150), rng.uniform(0.1, 0.8, 150)
        observed = rng.binomial(1, high) - rng.binomial(1, low)
        found = c_for_benefit(MatchedPairs.of(observed, high, low), predicted="own_arm")
        values.append(found.value)
        errors.append(found.se)
        covers.append((found.lower, found.upper))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)
    lower, upper = np.transpose(covers)
    assert 0.91 <= np.mean((lower <= np.mean(values)) & (np.mean(values) <= upper)) <= 0.985


def test_perfect_predictions_reach_the_ideal():
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 2, (2, 200))
    pairs = MatchedPairs.of(high - low, high, low)
    found = c_for_benefit(pairs, predicted="own_arm")
    assert (found.value, found.se) == (1, 0)
    assert math.isnan(found.lower)
    assert "no two pairs disagree" in found.method
    assert brier_for_benefit(pairs).value == 0
    with pytest.warns(TreatselWarning, match="400 of 400"):
        assert cross_entropy_for_benefit(pairs).value == pytest.approx(0, abs=1e-7)
    errors = e_for_benefit(pairs, predicted="own_arm", n_resamples=20)  # three distinct predictions
    assert errors.eavg.value == pytest.approx(0, abs=1e-9)
    assert errors.e90.upper == pytest.approx(0, abs=1e-9)


def test_true_probabilities_have_the_smallest_loss():
    rng = np.random.default_rng(1)
    high, low = rng.uniform(0.1, 0.9, (2, 4000))
    observed = rng.binomial(1, high) - rng.binomial(1, low)
    true, wrong = MatchedPairs.of(observed, high, low), MatchedPairs.of(observed, high**2, low)
    for loss in (brier_for_benefit, cross_entropy_for_benefit):
        assert loss(true).upper < loss(wrong).value
    shares = np.array([high * (1 - low), high * low + (1 - high) * (1 - low), (1 - high) * low])
    seen = np.array([observed == 1, observed == 0, observed == -1])
    assert brier_for_benefit(true).value == pytest.approx(((shares - seen) ** 2).sum() / 2 / 4000)
    assert cross_entropy_for_benefit(true).value == pytest.approx(-np.log(shares[seen]).mean(), rel=1e-9)


def test_distance_shrinks_with_the_number_of_pairs_and_grows_with_error():
    rng = np.random.default_rng(2)
    high, low = rng.uniform(0.1, 0.9, (2, 5000))
    observed = rng.binomial(1, high) - rng.binomial(1, low)
    few = MatchedPairs.of(observed[:100], high[:100], low[:100])
    many, wrong = MatchedPairs.of(observed, high, low), MatchedPairs.of(observed, high / 2, low / 2)
    e = [e_for_benefit(p, predicted="own_arm", n_resamples=None).eavg.value for p in (many, few, wrong)]
    assert e[0] < 0.03 < e[1]
    assert e[2] > 0.1
    small = MatchedPairs.of(observed[:300], high[:300], low[:300])
    interval = e_for_benefit(small, predicted="own_arm", n_resamples=50)
    assert interval.eavg.lower < interval.eavg.upper
    assert interval.e50.value <= interval.e90.value
    assert interval.to_frame().index.to_list() == ["eavg", "e50", "e90"]
    direct = e_for_benefit(small, predicted="own_arm", surface="direct", n_resamples=None)
    assert direct.eavg.value == pytest.approx(interval.eavg.value, abs=0.01)
    hopeless = e_for_benefit(MatchedPairs.of([0, 1, 0], [0.5] * 3, [0.5] * 3), predicted="own_arm")
    assert "not estimable" in hopeless.eavg.method


def test_no_distance_from_a_diverging_curve():
    """Seven distinct benefits, some a rounding error apart: R's interpolation gives an error of 1e13."""
    random, grid = np.random.default_rng(249), [0.2, 0.4, 0.6, 0.8]
    high = random.choice(grid, 40, p=[0.1, 0.2, 0.3, 0.4])
    low = random.choice(grid, 40, p=[0.4, 0.3, 0.2, 0.1])
    pairs = MatchedPairs.of(random.binomial(1, high) - random.binomial(1, low), high, low)
    assert math.isnan(e_for_benefit(pairs, predicted="own_arm", n_resamples=None).eavg.value)
    direct = e_for_benefit(pairs, predicted="own_arm", surface="direct", n_resamples=None)
    assert 0 < direct.eavg.value < 1


def test_bootstrap_repeats_the_matching():
    vectors, _, x = cohort(11, 150, digits=9)
    pairs = match_pairs(**vectors, **ARMS, covariates=x)
    found = c_for_benefit(pairs, n_resamples=40, random_state=1)
    assert found.lower < found.value < found.upper
    assert "matched again" in found.method
    assert repr(found) == repr(c_for_benefit(pairs, n_resamples=40, random_state=1))  # its p-value is NaN
    assert found.lower != c_for_benefit(pairs, n_resamples=40, random_state=2).lower
    redrawn = MatchedPairs.of(
        pairs.observed, pairs.p_treated, pairs.p_control, mean_benefit=pairs.mean_benefit
    )
    assert "pairs resampled" in c_for_benefit(redrawn, n_resamples=40).method
    sites = match_pairs(**vectors, **ARMS, covariates=x, clusters=np.arange(150) % 10)
    assert c_for_benefit(sites, n_resamples=40, random_state=1).lower != found.lower


def test_own_arm_definition_includes_prognosis():
    """Pairs matched on benefit differ in prognosis; with no heterogeneity only the mean is at chance."""
    rng = np.random.default_rng(3)
    low = rng.uniform(0.1, 0.7, 6000)
    by_arm = pd.DataFrame({"a_1": low, "b": low + rng.uniform(0.1, 0.1001, 6000)})
    arm = rng.choice(["a_1", "b"], 6000)
    y = rng.binomial(1, np.where(arm == "b", by_arm["b"], by_arm["a_1"]))
    pairs = match_pairs(y, arm, by_arm, **ARMS)
    assert c_for_benefit(pairs).value == pytest.approx(0.5, abs=0.02)
    assert c_for_benefit(pairs, predicted="own_arm").value > 0.6


def test_plots_show_the_frames():
    vectors, chances, _ = cohort(12, 200)
    found = benefit_calibration(**vectors, **chances, **ARMS)
    ax = found.plot()
    drawn = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert drawn[0].get_ydata().tolist() == found.to_frame()["observed"].to_list()
    assert ax.get_xlabel() == "Predicted benefit"
    pairs = match_pairs(**vectors, **ARMS)
    assert "benefit" in e_for_benefit(pairs, n_resamples=None).plot().get_xlabel()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "x"}, "control is 'x'"),
        ({"control": "b"}, "two different arms"),
        ({"y_true": [2] * 60}, "neither 0 nor 1"),
        ({"y_true": [1] * 59}, "Lengths differ"),
        ({"received": ["c"] * 60}, "No patient received"),
        ({"sample_weight": [0.5] * 60}, "whole numbers"),
        ({"covariates": np.full((60, 2), np.nan)}, "missing values"),
        ({"covariates": np.ones((60, 2)), "neighbor": "above"}, "an order"),
        ({"covariates": np.ones((60, 0))}, "no columns"),
        ({"neighbor": "farthest"}, "neighbor"),
    ],
)
def test_bad_input_of_matching(change, message):
    with pytest.raises(InputError, match=message):
        match_pairs(**(cohort(0)[0] | ARMS | change))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pairs: c_for_benefit(pairs), "no mean_benefit"),
        (lambda pairs: c_for_benefit(pairs, predicted="x"), "predicted"),
        (lambda pairs: c_for_benefit(pairs, predicted="own_arm", n_resamples=1), "n_resamples"),
        (lambda pairs: e_for_benefit(pairs, predicted="own_arm", random_state="x"), "random_state"),
        (lambda pairs: e_for_benefit(pairs, surface="x"), "surface"),
        (lambda pairs: MatchedPairs.of([2], [0.5], [0.5]), "other than -1, 0 and 1"),
        (lambda pairs: MatchedPairs.of([1, 0], [0.5], [0.5]), "Lengths differ"),
        (lambda pairs: MatchedPairs.of([], [], []), "no pairs"),
    ],
)
def test_bad_input_of_pairs(call, message):
    pairs = MatchedPairs.of([1, 0, 1, -1, 0], [0.5, 0.6, 0.4, 0.3, 0.2], [0.5, 0.6, 0.3, 0.2, 0.1])
    with pytest.raises(InputError, match=message):
        call(pairs)


def test_bad_options_of_the_rest():
    vectors, chances, _ = cohort(0)
    with pytest.raises(InputError, match="n_bins"):
        benefit_calibration(**vectors, **chances, **ARMS, n_bins=0)
    with pytest.raises(InputError, match="among"):
        logit_benefit_recalibration(**vectors, **ARMS, among="all")
    with pytest.raises(InputError, match="over"):
        population_benefit(**vectors, **ARMS, over="all")
    with pytest.raises(InputError, match="has no column"):
        model_based_c_for_benefit(vectors["by_arm"], control="a_1", treated="x")
