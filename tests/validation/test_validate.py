"""External validation: known truths, agreement with R, and correct wording."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from tests.metrics.rules._reference import FOLDER

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.models import PooledClassifier
from treatsel.validation import validate

QUICK = PooledClassifier(LogisticRegression())  # for tests that can use any selector


def simulate(n, *, modifier, random_state=0, confounded=False, n_sites=None):
    """Two arms; the effect of SSRI has slope `modifier` in x. Returns cohort and true by-arm table."""
    rng = np.random.default_rng(random_state)
    x = rng.normal(size=n)
    chance = expit(1.5 * x) if confounded else np.full(n, 0.5)
    arm = np.where(rng.random(n) < chance, "SSRI", "CBT")
    truth = pd.DataFrame({"CBT": expit(0.5 * x), "SSRI": expit(0.5 * x + modifier * x)})
    own = np.where(arm == "SSRI", truth["SSRI"], truth["CBT"])
    frame = pd.DataFrame({"x": x, "arm": arm, "remission": (rng.random(n) < own).astype(int)})
    if n_sites:
        frame["site"] = rng.integers(0, n_sites, n).astype(str)
    return Cohort(frame), truth


@pytest.fixture(scope="module")
def example():
    cohort, truth = simulate(3000, modifier=1.0)
    return validate(truth, cohort, assignment="randomised"), cohort, truth


def test_every_figure_has_interval_n_and_method(example):
    figures = example[0].to_frame()
    assert list(figures.columns) == [
        *("section", "measure", "group", "value", "lower", "upper", "n", "n_events", "method")
    ]
    tests = figures["section"] == "calibration tests"
    assert figures.loc[tests, "method"].str.contains("a test statistic has no interval").all()
    bounded = figures[~tests & (figures["measure"] != "gain over the best single arm, named in advance")]
    assert bounded[["value", "lower", "upper", "n"]].notna().all().all()
    bounded = bounded[~bounded["measure"].str.startswith("E-for-benefit")]  # resamples are biased upwards
    assert (bounded["lower"] <= bounded["value"]).all()
    assert (bounded["value"] <= bounded["upper"]).all()
    assert (figures["method"] != "").all()
    assert {"overall", "CBT", "SSRI", "CBT v SSRI"} == set(figures["group"])


def test_the_truth_is_calibrated_and_its_gain_is_found(example):
    report, _, truth = example
    slope, large = report.figure("calibration slope"), report.figure("calibration in the large")
    assert slope["lower"] < 1 < slope["upper"]
    assert large["lower"] < 0 < large["upper"]
    gain = truth.max(axis=1).mean() - truth.mean().max()
    assert report.gain.lower < gain < report.gain.upper
    assert report.gain.lower > 0
    assert "associated with a higher rate of remission" in report.headline


def test_reversed_predictions_show_a_loss():
    cohort, truth = simulate(3000, modifier=1.0)
    report = validate(
        truth[["SSRI", "CBT"]].set_axis(["CBT", "SSRI"], axis=1), cohort, comparator="CBT", sections=()
    )
    assert report.gain.upper < 0
    assert "lower rate" in report.headline


@pytest.mark.slow
def test_without_a_true_gain_none_is_shown_in_most_cohorts():
    excluded = 0
    for seed in range(40):
        cohort, truth = simulate(400, modifier=0.0, random_state=seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 0.05, truth.shape)
        report = validate(
            (truth + noise).clip(0.01, 0.99), cohort, comparator="CBT", assignment="randomised", sections=()
        )
        excluded += report.gain.lower > 0 or report.gain.upper < 0
    assert excluded <= 6  # 5 % of 40 is 2; more than 6 has probability below .01


@pytest.mark.slow
def test_the_interval_of_the_gain_covers_the_truth():
    covered = 0
    for seed in range(40):
        cohort, truth = simulate(400, modifier=1.0, random_state=seed)
        report = validate(truth, cohort, comparator="CBT", assignment="randomised", sections=())
        gain = 0.0691  # mean of max(p) minus mean p(CBT), by integration over x
        covered += report.gain.lower <= gain <= report.gain.upper
    assert covered >= 34


def test_the_true_gain_used_above():
    x = np.linspace(-8, 8, 200_001)
    density = np.exp(-(x**2) / 2)
    cbt, ssri = expit(0.5 * x), expit(1.5 * x)
    gain = ((np.maximum(cbt, ssri) - cbt) * density).sum() / density.sum()
    assert gain == pytest.approx(0.0691, abs=5e-5)


def test_confounded_assignment_is_corrected_by_the_estimated_probabilities():
    cohort, truth = simulate(6000, modifier=0.0, confounded=True)
    blunt = pd.DataFrame(0.5, index=truth.index, columns=truth.columns)  # an uninformative outcome model
    corrected = validate(blunt, cohort, assignment="estimated", sections=()).figures.set_index("measure")
    naive = validate(blunt, cohort, assignment="randomised", sections=()).figures.set_index("measure")
    row = corrected.loc["all patients receive SSRI"]
    assert row["lower"] < truth["SSRI"].mean() < row["upper"]
    assert naive.loc["all patients receive SSRI", "lower"] > truth["SSRI"].mean()


def test_the_model_may_be_a_selector_or_its_table():
    simulated = make_cohort(800, random_state=2).cohort
    selector = ts.TreatmentSelector(estimator=QUICK, codebook=simulated.codebook, random_state=0)
    selector.fit(simulated.X.join(simulated.frame[["service", "therapist"]]), simulated.y["dropout"])
    external = make_cohort(700, random_state=3, sites=["A", "B"]).cohort
    by_model = validate(selector, external, sections=())
    table = selector.predict_by_arm(external.X)
    shuffled = table.sample(frac=1, random_state=0)
    by_table = validate(shuffled, external, outcome="dropout", comparator=selector.default_arm_, sections=())
    pd.testing.assert_frame_equal(by_model.figures, by_table.figures)
    assert by_model.outcome == "dropout"
    assert not by_model.event_is_good
    assert "no dropout" in by_model.headline or "recommends" in by_model.headline


def test_a_bad_outcome_is_judged_by_its_absence():
    cohort, truth = simulate(2000, modifier=1.0)
    bad = Codebook.from_dict(
        {
            "fields": [
                {"name": "x", "type": "number", "role": "covariate"},
                {"name": "arm", "role": "arm"},
                {"name": "relapse", "type": "integer", "role": "outcome", "event_is_good": False},
            ]
        }
    )
    frame = cohort.frame.rename(columns={"remission": "relapse"})
    frame["relapse"] = 1 - frame["relapse"]
    mirrored = validate(1 - truth, Cohort(frame, bad), comparator="CBT", assignment="randomised", sections=())
    direct = validate(truth, cohort, comparator="CBT", assignment="randomised", sections=())
    assert mirrored.gain.value == pytest.approx(direct.gain.value)
    assert mirrored.figure("AUC")["value"] == pytest.approx(direct.figure("AUC")["value"])


def test_patients_without_outcome_are_counted_and_named(example):
    _, cohort, truth = example
    frame = cohort.frame.copy()
    frame.loc[frame.index[:300], "remission"] = np.nan
    report = validate(truth, Cohort(frame, cohort.codebook), sections=())
    assert report.flow["n"].sum() == 3000
    assert report.flow["n_observed"].sum() == 2700
    assert any("300 of 3,000 patients (10%)" in caution for caution in report.cautions)


def test_many_sites_give_a_cluster_robust_interval_and_few_do_not():
    many, truth = simulate(2000, modifier=0.5, n_sites=20)
    few, _ = simulate(2000, modifier=0.5, n_sites=4)
    assert validate(truth, many, sections=()).gain.n_clusters == 20
    assert validate(truth, few, sections=()).gain.n_clusters is None


def test_known_probabilities_may_be_given_per_arm_or_per_patient(example):
    _, cohort, truth = example
    by_mapping = validate(truth, cohort, assignment={"CBT": 0.5, "SSRI": 0.5}, sections=())
    table = pd.DataFrame(0.5, index=truth.index, columns=truth.columns)
    by_table = validate(truth, cohort, assignment=table, sections=())
    pd.testing.assert_frame_equal(by_mapping.figures, by_table.figures)
    assert by_mapping.assignment == "known by design"
    assert not any("estimated" in caution for caution in by_mapping.cautions)


def test_the_default_arm_applies_to_the_first_outcome_only():
    """One arm is best for remission, the other for harm: harm is not judged against the first."""
    rng = np.random.default_rng(0)
    n = 4000
    frame = pd.DataFrame({"x": rng.normal(size=n), "arm": rng.choice(["A", "B"], n)})
    is_a = (frame["arm"] == "A").to_numpy()
    frame["remission"] = (rng.random(n) < np.where(is_a, 0.7, 0.4)).astype(int)
    frame["harm"] = (rng.random(n) < np.where(is_a, 0.5, 0.2)).astype(int)
    book = Codebook.infer(frame, outcomes=["remission", "harm"]).merge(
        {"fields": [{"name": "harm", "event_is_good": False}]}
    )
    cohort = Cohort(frame, book)
    selector = ts.TreatmentSelector(estimator=QUICK, codebook=book, random_state=0)
    selector.fit(cohort.X, cohort.y)
    assert selector.default_arm_ == "A"
    report = validate(selector, cohort, outcome="harm", sections=())
    assert report.gain.comparator_arm == "B"
    assert abs(report.gain.value) < 0.01
    assert report.gain.comparator_source == "selected in the other folds"


def test_an_outcome_of_unknown_direction_is_refused(example):
    _, cohort, truth = example
    fields = [{"name": "x", "type": "number", "role": "covariate"}, {"name": "arm", "role": "arm"}]
    fields.append({"name": "y", "type": "integer", "role": "outcome"})
    renamed = Cohort(cohort.frame.rename(columns={"remission": "y"}), Codebook.from_dict({"fields": fields}))
    with pytest.raises(InputError, match="The direction of 'y' is not specified"):
        validate(truth, renamed, sections=())
    assert not validate(truth, renamed, event_is_good=False, sections=()).event_is_good


def test_a_recommended_arm_that_no_patient_received_is_named():
    cohort, truth = simulate(600, modifier=0.3)
    report = validate(
        truth.assign(yoga=0.99), cohort, comparator="yoga", assignment="randomised", sections=()
    )
    assert any("recommended arm of 600 patients" in caution for caution in report.cautions)
    assert report.gain.comparator_source == "selected in these data"


def test_few_sites_are_named():
    cohort, truth = simulate(600, modifier=0.3, n_sites=4)
    assert any(
        "There are 4 sites, fewer than the" in caution
        for caution in validate(truth, cohort, sections=()).cautions
    )


def test_an_arm_that_no_patient_received_is_left_out_of_policies():
    cohort, truth = simulate(600, modifier=0.3)
    report = validate(truth.assign(yoga=0.1), cohort, assignment="randomised", sections=())
    assert "all patients receive yoga" not in set(report.figures["measure"])
    assert report.flow.set_index("arm").loc["yoga", "n"] == 0


def test_recommending_one_arm_to_all_is_stated():
    cohort, truth = simulate(600, modifier=0.0)
    report = validate(truth.assign(CBT=0.9), cohort, comparator="CBT", sections=())
    assert report.gain.value == 0
    assert "recommends CBT, the best single arm, for all patients" in report.headline


def test_an_arm_with_few_events_is_named(example):
    _, cohort, truth = example
    frame = cohort.frame.copy()
    ssri = frame.index[frame["arm"] == "SSRI"]
    frame.loc[ssri, "remission"] = 0.0
    frame.loc[ssri[:4], "remission"] = 1.0
    report = validate(truth, Cohort(frame, cohort.codebook), sections=())
    assert any("['SSRI'] have fewer than 10" in caution for caution in report.cautions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, t: (t.head(5), c, {}), "lacks 2,995 of 3,000 patients"),
        (lambda c, t: (t * 100, c, {}), "outside 0 to 1"),
        (lambda c, t: (t[["CBT"]], c, {}), "arms unknown"),
        (lambda c, t: (t, c, {"outcome": "relapse"}), "outcome is 'relapse'"),
        (lambda c, t: (t, c, {"comparator": "cbt"}), "Did you mean 'CBT'"),
        (lambda c, t: (t, c, {"assignment": "guessed"}), "'estimated' or 'randomised'"),
        (lambda c, t: (t, c, {"assignment": {"CBT": 1.0}}), "lacks the arms"),
        (lambda c, t: (t, c, {"assignment": {"CBT": 70, "SSRI": 30}}), "add up to 1"),
        (lambda c, t: (t, c, {"assignment": {"CBT": 0.5, "SSRI": 0.3, "yoga": 0.2}}), "'yoga'"),
        (lambda c, t: (pd.concat([t, t]), c, {}), "3,000 duplicates"),
        (lambda c, t: (t, c, {"level": 95}), "between 0 and 1"),
        (lambda c, t: ("model", c, {}), "give a selector, a model or a by-arm table"),
        (
            lambda c, t: (t, Cohort(c.frame.assign(remission=np.nan), c.codebook), {}),
            "not observed in any patient",
        ),
    ],
)
def test_bad_input_is_refused(example, change, message):
    model, cohort, options = change(*example[1:])
    with pytest.raises(InputError, match=message):
        validate(model, cohort, **options)


def test_summary_is_plain_json(example):
    text = json.dumps(example[0].summary(), allow_nan=False)
    summary = json.loads(text)
    assert summary["n"] == 3000
    assert summary["figures"]["within-arm AUC"]["lower"] < summary["figures"]["within-arm AUC"]["value"]


def test_plots_return_axes(example):
    report = example[0]
    assert report.plot().get_ylabel() == "Observed proportion"
    assert "remission" in report.plot_policies().get_xlabel()


@pytest.mark.parametrize("name", ["ref1", "ref2"])
def test_a_by_arm_table_gives_the_numbers_of_r(name):
    path = FOLDER / f"{name}_expected.json"
    if not path.is_file():
        pytest.skip(f"the folder that TREATSEL_REFERENCE names has no {path.name}")
    content = json.loads(path.read_text())
    expected = {check["id"]: check["value"] for check in content["checks"]}
    frame = pd.read_csv(FOLDER / content["file"])
    arms = sorted(frame["arm"].unique())
    fields = [
        {"name": column, "type": "number", "role": "covariate"} for column in frame if column[1:].isdigit()
    ]
    fields += [{"name": "arm", "role": "arm"}, {"name": "y", "type": "integer", "role": "outcome"}]
    cohort = Cohort(frame[[field["name"] for field in fields]], Codebook.from_dict({"fields": fields}))
    table = frame[[f"p_{arm}" for arm in arms]].set_axis(arms, axis=1)
    chances = frame[[f"e_{arm}" for arm in arms]].set_axis(arms, axis=1)
    tied = bool((table.sub(table.iloc[:, 0], axis=0) == 0).all(axis=1).any())
    report = validate(table, cohort, assignment=chances, event_is_good=True, sections=())
    pairs = {
        "AUC": ("auc", None),
        "Brier score": ("brier", None),
        "calibration in the large": ("cal_intercept", "est"),
        "calibration slope": ("cal_slope", "est"),
        "observed / expected": ("oe", "oe"),
        "recommended arm": ("policy.aipw_value_rec", "est"),
        "gain over the best single arm": ("policy.aipw_rec_minus_best_single", "est"),
        "gain over the received arm": ("policy.aipw_rec_minus_observed", "est"),
    }
    if tied:  # R gives tied patients the first arm in the order of columns; here they are shared
        pairs = {measure: pair for measure, pair in pairs.items() if not pair[0].startswith("policy.")}
    for measure, (check, key) in pairs.items():
        value = expected[check] if key is None else expected[check][key]
        assert report.figure(measure)["value"] == pytest.approx(value, abs=1e-6), measure
    if tied:
        return
    gain = expected["policy.aipw_rec_minus_best_single"]
    assert report.gain.comparator_arm == gain["best"]
    assert (report.gain.lower, report.gain.upper) == pytest.approx((gain["lower"], gain["upper"]), abs=1e-9)
