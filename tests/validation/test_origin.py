"""Patients of the development cohort are recognized, and never give an external validation."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

import treatsel as ts
from treatsel._stats.row_hashes import row_keys
from treatsel.codebook import Codebook
from treatsel.errors import InputError, TreatselWarning
from treatsel.fitted import MOST_SAMPLED, RowDigests, shared_patients
from treatsel.model_selection import cross_predict, cross_predict_cohort
from treatsel.models import HierarchicalClassifier
from treatsel.validation._origin import Origin, cautions_of_folds

pytestmark = pytest.mark.one_version

FIELDS = [
    {"name": "pid", "role": "id"},
    {"name": "age", "type": "number", "role": "covariate"},
    {"name": "x", "type": "number", "role": "covariate"},
    {"name": "arm", "role": "arm"},
    {"name": "remission", "type": "integer", "role": "outcome"},
]
BOOK = Codebook.from_dict({"fields": FIELDS})
OPTIONS = {"assignment": "randomised", "sections": ()}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        yield


def patients(n, seed, start=0, effect=0.0):
    """Patients of a trial; `effect`: how much x modifies the difference of the arms, in logits."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"pid": [f"p{start + i}" for i in range(n)], "age": rng.normal(45, 12, n)})
    frame = frame.assign(x=rng.normal(size=n), arm=rng.choice(["A", "B", "C"], n))
    sign = frame["arm"].map({"A": 1.0, "B": -1.0, "C": 0.0})
    return frame.assign(remission=rng.binomial(1, expit(-0.4 + effect * sign * frame["x"])))


def selector():
    return ts.TreatmentSelector(estimator="hierarchical", random_state=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    frame = patients(400, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        fitted = selector().fit(ts.Cohort(frame, BOOK))
    path = tmp_path_factory.mktemp("model") / "m.treatsel"
    ts.save_model(fitted, path, intended_use="Tests.")
    return frame, fitted, ts.load_model(path)


@pytest.mark.parametrize("lost", [0, 100])
def test_the_development_cohort_or_most_of_it_is_cross_validated(trained, lost):
    frame, fitted, _ = trained
    cohort = ts.Cohort(frame.sample(frac=1, random_state=lost).iloc[lost:], BOOK)
    report = ts.validate(fitted, cohort, **OPTIONS)
    assert report.kind == "cross-validated"
    assert report.headline.startswith("Cross-validated: ")
    assert any("not an external validation" in caution for caution in report.cautions)
    # the partition into folds with the median gain, in an interval that includes how the gains vary
    partitions = [cross_predict_cohort(selector(), cohort, "remission", random_state=i) for i in range(3)]
    gains = [gain_by_hand(cohort, each) for each in partitions]
    middle = int(np.argsort([value for value, _ in gains])[1])
    direct = ts.validate(partitions[middle].by_arm, cohort, **OPTIONS)
    assert report.figure("calibration slope")["value"] == direct.figure("calibration slope")["value"]
    assert report.gain.comparator_source == "selected in the other folds"
    value, se = gains[middle]
    assert report.gain.value == pytest.approx(value, abs=1e-12)
    wider = np.sqrt(se**2 + np.mean([(other - value) ** 2 for other, _ in gains]))
    assert report.gain.se == pytest.approx(wider, rel=1e-9)
    assert report.gain.upper - report.gain.value == pytest.approx(1.959964 * wider, rel=1e-6)
    assert report.gain.p_value == pytest.approx(2 * norm.sf(abs(value) / wider), rel=1e-6)
    assert report.gain.method.endswith("variation between 3 partitions into folds included")
    figures = report.figures.set_index(["measure", "group"])
    headline = figures.loc[("gain over the best single arm", "overall")]
    assert headline["upper"] == pytest.approx(report.gain.upper)
    for measure in ("gain over the received arm", "recommended arm"):
        assert "3 partitions" in figures.loc[(measure, "overall"), "method"]


def gain_by_hand(cohort, found):
    """Return the gain and its SE: scores under the best prediction minus under the best arm of the others."""
    y, received = cohort.frame["remission"], cohort.received
    shares = received.value_counts(normalize=True)
    scores = found.by_arm.copy()
    for arm in scores:
        scores[arm] += (received == arm) * (y - found.by_arm[arm]) / shares[arm]
    under = [
        np.array([scores.loc[pid, arm] for pid, arm in arms.items()])
        for arms in (found.by_arm.idxmax(axis=1), found.default_arm)
    ]
    gain = under[0] - under[1]
    return gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))


def test_new_patients_are_an_external_validation(trained):
    _, fitted, loaded = trained
    for seed in range(5):
        new = ts.Cohort(patients(300, 50 + seed, start=1000), BOOK)
        for model in (fitted, loaded):
            assert ts.validate(model, new, **OPTIONS).kind == "external"


def test_few_shared_patients_are_left_out(trained):
    frame, fitted, _ = trained
    new = patients(300, 7, start=1000)
    mixed = ts.Cohort(pd.concat([new, frame.head(9)]), BOOK)
    report = ts.validate(fitted, mixed, **OPTIONS)
    assert report.kind == "external"
    assert report.about["n"] == 300
    assert report.gain == ts.validate(fitted, ts.Cohort(new, BOOK), **OPTIONS).gain
    assert any("9 patients of the development cohort were left out" in text for text in report.cautions)


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_file_that_knows_the_patients_gives_no_verdict(trained, share, tmp_path):
    frame, _, loaded = trained
    known = frame.sample(frac=share, random_state=0)
    mixed = known if share == 1 else pd.concat([known, patients(400 - len(known), 3, start=1000)])
    report = ts.validate(loaded, ts.Cohort(mixed, BOOK), **OPTIONS)
    assert report.kind == "apparent"
    assert report.headline.startswith("Apparent performance")
    assert report.about["share_in_development"] == pytest.approx(share, abs=0.1)
    assert np.isnan(report.gain.value)
    gains = report.figures[report.figures["measure"].str.startswith("gain")]
    assert gains["value"].isna().all()
    report.to_markdown(tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Apparent performance: remission" in page
    assert "good if the interval" not in page


def test_an_unfitted_selector_is_cross_validated():
    cohort = ts.Cohort(patients(300, 5, effect=1.5), BOOK)
    report = ts.validate(selector(), cohort, **OPTIONS | {"sections": ["updating"]})
    assert report.kind == "cross-validated"
    assert "other than those it was developed on" in dict(report.not_estimable)["Update of the model"]
    assert report.gain.comparator_source == "selected in the other folds"


@pytest.mark.parametrize("seed", [7, 9])
def test_bounds_of_a_cross_validation_compare_with_the_arms_of_the_folds(seed):
    frame = patients(300, seed).astype({"remission": float})
    frame.loc[frame.index[:6], "remission"] = np.nan
    report = ts.validate(selector(), ts.Cohort(frame, BOOK), **OPTIONS | {"sections": ["missing outcomes"]})
    assert report.gain.comparator_source == "selected in the other folds"
    bounds = report.tables["missing outcomes"].query("measure == 'gain'").set_index("scenario")["value"]
    assert bounds["observed"] == pytest.approx(report.gain.value, abs=0.002)  # six patients differ
    assert bounds["lowest"] - 0.002 <= report.gain.value <= bounds["highest"] + 0.002


@pytest.mark.slow
def test_cross_validation_is_unbiased_where_apparent_performance_is_not():
    """Where arms do not differ, the true gain is 0: apparent gains are positive, cross-validated are not."""
    apparent, crossed = [], []
    for seed in range(15):
        frame = patients(300, 1000 + seed)
        cohort = ts.Cohort(frame, BOOK)
        fitted = selector().fit(cohort)
        table = fitted.predict_by_arm(cohort.X)
        apparent.append(ts.validate(table, cohort, **OPTIONS).gain.value)
        crossed.append(ts.validate(fitted, cohort, **OPTIONS).gain.value)
    known = np.array(crossed)[np.isfinite(crossed)]  # a gain that rests on fewer than 5 patients is withheld
    assert len(known) >= 11
    error = np.std(known, ddof=1) / np.sqrt(len(known))
    assert abs(np.mean(known)) < 3 * error + 0.005
    assert np.nanmean(apparent) > np.mean(known) + 0.01


@pytest.mark.slow
def test_the_interval_of_a_cross_validated_gain_covers_0_where_arms_do_not_differ():
    gains = []
    for seed in range(18):
        rng = np.random.default_rng([seed, 99])
        frame = pd.DataFrame(rng.normal(size=(900, 2)), columns=["age", "x"])
        frame["arm"] = rng.choice(list("abcdef"), 900)
        frame["remission"] = rng.binomial(1, expit(-0.3 + 0.6 * frame["age"] - 0.4 * frame["x"]))
        frame["pid"] = [f"p{i}" for i in range(900)]
        gains.append(ts.validate(selector(), ts.Cohort(frame, BOOK), **OPTIONS).gain)
    # the model sometimes gives (almost) everybody the same arm: then, no gain is estimated
    unmoved = [each for each in gains if "in fewer than 5 patients" in each.method]
    gains = [each for each in gains if each not in unmoved]
    assert len(unmoved) <= 5
    values, se = np.array([each.value for each in gains]), np.array([each.se for each in gains])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(gains))
    assert sum(not each.lower <= 0 <= each.upper for each in gains) <= 3  # 1 % chance of more, at 5 %
    assert 0.6 < values.std(ddof=1) / np.sqrt(np.mean(se**2)) < 1.4  # twice its sampling error around 1


# --- out-of-fold predictions


def test_out_of_fold_predictions_know_nothing_of_their_patient():
    rng, n = np.random.default_rng(0), 300
    X = pd.DataFrame(rng.normal(size=(n, 20)), columns=[f"x{j}" for j in range(20)])
    X["arm"] = rng.choice(["A", "B"], n)
    y = pd.Series(rng.binomial(1, 0.5, n), X.index, name="remission")
    table = cross_predict(HierarchicalClassifier(), X, y)
    own = np.where(X["arm"] == "A", table["A"], table["B"])
    assert abs(np.corrcoef(own, y)[0, 1]) < 0.15
    assert table.index.equals(X.index)
    pd.testing.assert_frame_equal(table, cross_predict(HierarchicalClassifier(), X, y))


def test_groups_stay_in_one_fold():
    frame = patients(200, 2)
    sites = np.arange(200) % 10
    table = cross_predict(
        HierarchicalClassifier(), frame[["age", "x", "arm"]], frame["remission"], groups=sites
    )
    assert table.shape == (200, 3)


def test_bad_input_to_cross_validation_is_refused():
    frame = patients(60, 2)
    X, y = frame[["age", "x", "arm"]], frame["remission"]
    with pytest.raises(InputError, match="another order"):
        cross_predict(HierarchicalClassifier(), X, y[::-1])
    with pytest.raises(InputError, match="arm column 'treatment'"):
        cross_predict(HierarchicalClassifier(), X, y, arm="treatment")


# --- digests


def keys_of(frame):
    return row_keys(frame[["age", "x", "arm"]])


@pytest.mark.parametrize("n", [60, 1000, 20_000])
def test_a_match_is_little_evidence_about_a_single_patient(n):
    members, strangers = patients(n, 1), patients(20_000, 2)
    digests = RowDigests.of(keys_of(members), 12345)
    inside, outside = digests.matches(keys_of(members)).mean(), digests.matches(keys_of(strangers)).mean()
    assert len(digests.places) <= min(n, MOST_SAMPLED)
    assert inside / outside < 5 + 4 * np.sqrt(25 / (outside * 20_000))  # at most 5, but for simulation error
    assert digests.expected == pytest.approx(outside, abs=4 * np.sqrt(outside / min(n, 20_000)))


def test_estimated_shares_are_right_on_average():
    members = patients(1000, 1)
    digests = RowDigests.of(keys_of(members), 12345)
    for share in (0.2, 0.5):
        found = []
        for seed in range(20):
            mixed = pd.concat(
                [members.sample(frac=share, random_state=seed), patients(int(1000 * (1 - share)), seed + 9)]
            )
            found.append(shared_patients(digests, None, mixed[["age", "x", "arm"]]).share)
        assert np.mean(found) == pytest.approx(share, abs=0.02)


def test_coarse_covariates_that_coincide_are_no_shared_patients():
    rng = np.random.default_rng(0)
    coarse = [
        pd.DataFrame(
            {
                "sex": rng.choice(["f", "m"], n),
                "band": rng.integers(0, 4, n),
                "arm": rng.choice(["A", "B"], n),
            }
        )
        for n in (500, 300)
    ]
    digests = RowDigests.of(row_keys(coarse[0]), 1)
    assert not shared_patients(digests, None, coarse[1]).too_many
    assert not shared_patients(None, row_keys(coarse[0]), coarse[1]).too_many


def test_a_narrower_case_mix_is_not_taken_for_shared_patients():
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"age": rng.integers(18, 80, 1000), "phq": rng.integers(0, 27, 1000)})
    narrow = pd.DataFrame({"age": rng.integers(30, 34, 500), "phq": rng.integers(10, 14, 500)})
    digests = RowDigests.of(row_keys(wide), 1)
    for found in (shared_patients(digests, None, narrow), shared_patients(None, row_keys(wide), narrow)):
        assert not found.too_many
        assert not found.is_known


def test_the_very_same_table_is_recognized_however_coarse(tmp_path):
    rng, n = np.random.default_rng(0), 300
    frame = pd.DataFrame({"pid": [f"p{i}" for i in range(n)], "x": rng.integers(0, 3, n)})
    frame = frame.assign(age=1.0, arm=rng.choice(["A", "B"], n), remission=rng.binomial(1, 0.4, n))
    cohort = ts.Cohort(frame, BOOK)
    fitted = selector().fit(cohort)
    assert ts.validate(fitted, cohort, **OPTIONS).kind == "cross-validated"
    ts.save_model(fitted, tmp_path / "m.treatsel", intended_use="Tests.")
    assert ts.validate(ts.load_model(tmp_path / "m.treatsel"), cohort, **OPTIONS).kind == "apparent"
    new = frame.assign(x=rng.integers(0, 3, n), pid=[f"q{i}" for i in range(n)])
    report = ts.validate(fitted, ts.Cohort(new, BOOK), **OPTIONS)
    assert report.kind == "external"
    assert any("could not be checked" in text for text in report.cautions)


def test_truth_values_are_read_once(tmp_path):
    fields = [dict(field) for field in FIELDS]
    fields[-1] |= {"type": "boolean", "trueValues": ["yes"], "falseValues": ["no"]}
    fields.append({"name": "smoker", "type": "boolean", "role": "covariate"})
    fields[-1] |= {"trueValues": ["1"], "falseValues": ["2"]}
    frame = patients(300, 4, effect=1.0).assign(smoker=lambda t: np.where(t["x"] > 0, 1, 2))
    frame["remission"] = frame["remission"].map({0: "no", 1: "yes"})
    book = Codebook.from_dict({"fields": fields})
    cohort = ts.Cohort(frame, book)
    assert set(cohort.frame["smoker"]) == {0.0, 1.0}
    fitted = selector().fit(cohort)
    raw = frame.drop(columns=["remission"])
    np.testing.assert_array_equal(fitted.predict_by_arm(raw), fitted.predict_by_arm(cohort.X))
    ts.save_model(fitted, tmp_path / "m.treatsel", intended_use="Tests.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    assert loaded.codebook_["remission"].true_values == ("yes",)
    fresh = patients(300, 5, start=900).assign(smoker=lambda t: np.where(t["x"] > 0, 1, 2))
    fresh["remission"] = fresh["remission"].map({0: "no", 1: "yes"})
    one, other = (
        ts.validate(loaded, ts.Cohort(fresh, codebook), **OPTIONS).figure("within-arm AUC")["value"]
        for codebook in (book, loaded.codebook_)
    )
    assert one == other


def test_keys_do_not_depend_on_order_of_columns_or_storage():
    frame = pd.DataFrame({"n": [1, 2], "t": ["a", None]})
    again = frame[["t", "n"]].astype({"n": "Int64", "t": "string"})
    np.testing.assert_array_equal(row_keys(frame), row_keys(again))


def test_out_of_fold_predictions_that_look_reversed_are_explained():
    row = {"measure": "within-arm AUC", "group": "overall", "value": 0.34, "lower": 0.25, "upper": 0.44}
    folds = Origin(model=None, cohort=None, kind="cross-validated")
    found = cautions_of_folds(folds, [row | {"group": "A"}, row])
    assert [caution.text.startswith("The within-arm AUC lies below 0.5.") for caution in found] == [True]
    assert cautions_of_folds(folds, [row | {"upper": 0.51}]) == []
    assert cautions_of_folds(Origin(model=None, cohort=None, kind="external"), [row]) == []
