"""What a service does is validated: its rule or its recommendations, on every outcome, with known truth."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel._disclosure import is_small
from treatsel.codebook import Codebook
from treatsel.eligibility import Rules
from treatsel.errors import InputError, TreatselWarning
from treatsel.model_selection import cross_predict_cohort
from treatsel.models import ArmwiseClassifier
from treatsel.validation import ValidationReport, _origin
from treatsel.validation.report import sections

ARMS = ["A", "B", "C"]
FIELDS = [
    {"name": "id", "role": "id"},
    {"name": "x", "type": "number", "role": "covariate"},
    {"name": "z", "type": "number", "role": "covariate"},
    {"name": "arm", "role": "arm"},
    {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
    {"name": "dropout", "type": "integer", "role": "outcome", "event_is_good": False},
]
BOOK = Codebook.from_dict({"fields": FIELDS})
PLAIN = {"assignment": "randomised", "sections": ()}
RULE = {
    "id": "low",
    "arms": ["C"],
    "when": "x < -1",
    "effect": "exclude",
    "reason": "Too low.",
    "source": "A test",
    "version": "1",
    "date": "2026-01-01",
}


class Trial:
    """A cohort with the true probabilities of both outcomes and of the arms."""

    def __init__(self, n, seed, *, confounded=0.0):
        rng = np.random.default_rng(seed)
        x, z = rng.uniform(-2, 2, size=(2, n))
        truth = {
            "remission": {"A": 0.2 + 0 * x, "B": 0.1 + 0.9 * x, "C": -0.2 - 0.9 * x},
            "dropout": {"A": -1 + 0.7 * z, "B": -1.2 - 0.7 * z, "C": -0.8 + 0 * z},
        }
        chance = np.exp(confounded * np.column_stack([0 * x, x, -x]))
        chance /= chance.sum(axis=1, keepdims=True)
        position = (rng.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
        frame = pd.DataFrame(
            {"id": [f"p{i}" for i in range(n)], "x": x, "z": z, "arm": np.take(ARMS, position)}
        )
        tables = {name: expit(pd.DataFrame(table)) for name, table in truth.items()}
        for name, table in tables.items():
            frame[name] = (rng.random(n) < table.to_numpy()[np.arange(n), position]).astype(int)
        self.cohort = ts.Cohort(frame, BOOK)
        ids = self.cohort.frame.index
        self.truth = {name: table.set_axis(ids) for name, table in tables.items()}
        self.chance = pd.DataFrame(chance, index=ids, columns=ARMS)

    def value(self, shares, outcome="remission"):
        return float((self.truth[outcome] * shares).sum(axis=1).mean())


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        yield


def selector(estimator=None):
    estimator = ArmwiseClassifier(LogisticRegression()) if estimator is None else estimator
    return ts.TreatmentSelector(estimator=estimator, assignment="randomised", random_state=0)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        return selector().fit(Trial(500, 1).cohort)


@pytest.fixture(scope="module")
def trial():
    return Trial(400, 2)


def in_scope(fitted, trial):
    keep = fitted.recommend(trial.cohort.X, on_invalid="flag").table["status"] != "out_of_scope"
    return trial.cohort.take(keep.to_numpy())


def rules():
    return Rules.from_dict({"rules": [RULE]})


def error_of(report, measure, truth, group="overall"):
    """Return the error of an estimate in standard errors."""
    found = report.figure(measure, group)
    return (found["value"] - truth) / ((found["upper"] - found["lower"]) / (2 * 1.959964))


def served(fitted, new, **options):
    """Return the shares of what `recommend` gives; a patient without an arm keeps his or hers."""
    shares = fitted.recommend(new.cohort.X, on_invalid="flag", **options).shares()
    none = shares.sum(axis=1) == 0
    shares[none] = new.chance[none]
    return shares


def switch_z(fitted, seed):
    """Return the errors of the values of the rule "switch" on both outcomes, in standard errors."""
    new = Trial(500, seed)
    report = ts.validate(fitted, new.cohort, rule="switch", **PLAIN)
    shares = served(fitted, new, rule="switch")
    return [
        error_of(report, "recommended arm", new.value(shares)),
        error_of(report, "recommended arm", 1 - new.value(shares, "dropout"), "no dropout"),
    ]


def test_the_value_of_switch_agrees_with_the_truth(fitted):
    z = [switch_z(fitted, seed) for seed in (10, 11)]
    assert np.abs(z).max() < 3


@pytest.mark.slow
def test_the_value_of_switch_agrees_with_the_truth_on_average(fitted):
    z = np.array([switch_z(fitted, seed) for seed in range(30, 36)])
    assert np.abs(z).max() < 3.5
    assert np.abs(z.mean(axis=0)).max() < 3 / np.sqrt(len(z))


def given_z(seed, n=600):
    """Return the error of the value of given recommendations, in standard errors: a third have none."""
    new = Trial(n, seed, confounded=0.5)
    rng = np.random.default_rng(seed)
    labels = pd.Series(rng.choice(ARMS, n), index=new.cohort.frame.index, dtype=object)
    labels[rng.random(n) < 1 / 3] = None
    wrong = new.truth["remission"] * 0.5 + 0.2  # a wrong model of the outcome; the probabilities are known
    report = ts.validate(
        wrong,
        new.cohort,
        outcome="remission",
        recommendations=labels,
        assignment=new.chance,
        comparator="A",
        sections=(),
    )
    shares = pd.get_dummies(labels).reindex(columns=ARMS).astype(float)
    shares[labels.isna()] = new.chance[labels.isna()]
    single = pd.DataFrame({"A": 1.0, "B": 0.0, "C": 0.0}, index=shares.index)
    found, gain = report.figure("recommended arm"), report.gain
    se = (found["upper"] - found["lower"]) / (2 * 1.959964)
    return np.array(
        [
            (found["value"] - new.value(shares)) / se,
            (gain.value - new.value(shares) + new.value(single)) / gain.se,
        ]
    )


def test_given_recommendations_have_their_true_value():
    """Also where the arms were not assigned at random, and patients without an arm keep theirs."""
    z = np.array([given_z(seed) for seed in range(5)])
    assert np.abs(z).max() < 3
    assert np.abs(z.mean(axis=0)).max() < 3 / np.sqrt(len(z))


@pytest.mark.slow
def test_intervals_of_given_recommendations_cover():
    """95 % intervals; limits are 3 SE of 60 repeats below. The truth is that of the patients sampled."""
    z = np.array([given_z(seed, 300) for seed in range(100, 160)])
    assert ((np.abs(z) < 1.96).mean(axis=0) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)).all()
    assert np.abs(z.mean(axis=0)).max() < 3 / np.sqrt(60)


def test_default_gains_nothing_over_the_default_arm(fitted, trial):
    cohort = in_scope(fitted, trial)
    report = ts.validate(fitted, cohort, rule="default", **PLAIN)
    assert report.gain.value == 0
    assert report.gain.n_discordant == 0
    assert report.figure("moved from the default arm")["value"] == 0
    assert report.about["policy"]["rule"] == "default"


def test_recommendations_equal_to_argmax_give_the_same_report(fitted, trial):
    cohort = in_scope(fitted, trial)
    options = {"assignment": "randomised", "sections": ("sites", "missing outcomes", "confounding")}
    own = ts.validate(fitted, cohort, **options)
    recommended = fitted.recommend(cohort.X)
    table = recommended.to_frame()["arm"].sample(frac=1, random_state=0)  # in another order
    for given in (recommended, recommended.to_frame(), table, recommended.shares()):
        again = ts.validate(fitted, cohort, recommendations=given, **options)
        pd.testing.assert_frame_equal(again.figures, own.figures, check_exact=True)
        assert again.gain == own.gain
        for name in ("flow", "moved", "overlap"):
            pd.testing.assert_frame_equal(again.tables[name], own.tables[name], check_exact=True)
        assert again.about["policy"]["rule"] == "given recommendations"
        assert any("The recommendations were given" in text for text in again.cautions)


def test_preferences_for_one_outcome_give_the_rule_of_that_outcome(fitted, trial):
    cohort = in_scope(fitted, trial)
    own = ts.validate(fitted, cohort, outcome="dropout", **PLAIN)
    by = ts.validate(fitted, cohort, outcome="dropout", preferences={"dropout": 2.0}, **PLAIN)
    pd.testing.assert_frame_equal(own.figures, by.figures, check_exact=True)
    first = ts.validate(fitted, cohort, outcome="dropout", rule="expected", **PLAIN)
    assert first.about["policy"]["preferences"] == {"remission": 1.0}
    assert first.gain.value != own.gain.value
    other = ts.validate(fitted, cohort, **PLAIN).figure("recommended arm", "no dropout")
    assert first.figure("recommended arm")["value"] == pytest.approx(other["value"], abs=1e-12)


def test_utility_is_the_weighted_sum_of_the_outcomes(fitted, trial):
    weights = {"remission": 0.7, "dropout": 0.3}
    report = ts.validate(fitted, trial.cohort, preferences=weights, **PLAIN)
    for measure in ("recommended arm", "gain over the best single arm", "gain over the received arm"):
        own, other, both = (
            report.figure(measure, group)["value"] for group in ("overall", "no dropout", "utility")
        )
        assert both == pytest.approx(0.7 * own + 0.3 * other, abs=1e-12)
    assert report.about["policy"]["preferences"] == weights
    mixed = ts.validate(fitted, trial.cohort, preferences=ts.Preferences(weights), **PLAIN)
    pd.testing.assert_frame_equal(mixed.figures, report.figures, check_exact=True)


def test_rules_of_eligibility_apply_to_all_patients(fitted):
    new = Trial(600, 20)
    report = ts.validate(fitted, new.cohort, eligibility=rules(), rule="expected", **PLAIN)
    may = (new.cohort.frame["x"] >= -1).to_numpy()
    assert report.about["n"] == may.sum()
    allowed = pd.DataFrame(True, index=new.cohort.frame.index, columns=ARMS)
    allowed.loc[~may, "C"] = False
    shares = served(fitted, new, rule="expected", allowed=allowed)
    assert report.figure("recommended arm, exclusions applied")["n"] == len(may)
    assert abs(error_of(report, "recommended arm, exclusions applied", new.value(shares))) < 3
    free = new.value(served(fitted, new, rule="expected"))  # C is the best arm of those excluded from it
    assert abs(error_of(report, "recommended arm, exclusions applied", free)) > 1
    alone = ts.validate(fitted, new.cohort.take(may), rule="expected", **PLAIN)
    assert report.gain.value == alone.gain.value
    assert report.about["policy"]["eligibility"] == rules().sha256
    assert any("A single arm for all patients is possible only" in p for p in section(report).paragraphs)
    assert (report.tables["moved"]["n"].dropna() % 10 == 0).all()
    assert report.figure("moved from the default arm")["n_events"] % 10 == 0
    default = ts.validate(fitted, new.cohort, eligibility=rules(), **PLAIN)
    measure = "recommended arm, exclusions applied"
    assert default.figure(measure)["value"] == pytest.approx(report.figure(measure)["value"], abs=0.02)


def section(report):
    return sections.rule_in_use(report)


def test_few_excluded_patients_are_not_told_by_subtraction(fitted, trial):
    few = Rules.from_dict({"rules": [RULE | {"when": "x < -1.97"}]})
    assert 0 < (trial.cohort.frame["x"] < -1.97).sum() < 10
    report = ts.validate(fitted, trial.cohort, eligibility=few, **PLAIN)
    assert not report.has("recommended arm, exclusions applied")
    assert any("told by subtraction" in why for _, why in report.not_estimable)


def test_no_small_count_is_told(fitted):
    for seed in range(2):
        new = Trial(70, 50 + seed)
        report = ts.validate(fitted, new.cohort, rule="switch", **PLAIN)
        moved = report.tables["moved"].set_index(["received", "recommended"])["n"]
        moved = moved.unstack("recommended")  # noqa: PD010
        assert not is_small(moved.to_numpy()).any()
        for cells in (moved.to_numpy(), moved.to_numpy().T):
            hidden = np.isnan(cells).sum(axis=1)
            assert (hidden != 1).all()  # one alone would follow from the total
        overlap = report.tables["overlap"]
        assert not is_small(overlap[["n_recommended", "n_concordant"]].to_numpy()).any()


def test_patients_without_an_arm_are_counted(fitted, trial):
    labels = pd.Series("A", index=trial.cohort.frame.index, dtype=object)
    labels.iloc[:30] = None
    report = ts.validate(fitted, trial.cohort, recommendations=labels, **PLAIN)
    assert any("gives no arm to 30 patients" in text for text in report.cautions)
    assert report.about["policy"]["n_without_arm"] == 30
    assert report.flow["n_recommended"].sum() == len(labels) - 30
    labels.iloc[3:30] = "A"
    report = ts.validate(fitted, trial.cohort, recommendations=labels, **PLAIN)
    assert any("gives no arm to fewer than 5 patients" in text for text in report.cautions)
    assert report.about["policy"]["n_without_arm"] is None
    assert report.flow["n_recommended"].isna().any()
    assert np.isnan(report.gain.value)  # it would be the outcome of these patients


def test_report_is_written_and_read(fitted, trial, tmp_path):
    report = ts.validate(fitted, trial.cohort, rule="switch", p_switch=0.7, **PLAIN)
    assert report.about["policy"]["p_switch"] == 0.7
    report.to_json(tmp_path / "r.json")
    again = ValidationReport.from_json(tmp_path / "r.json")
    assert again.about["policy"] == report.about["policy"]
    page = section(again)
    assert "with a probability above 0.7" in page.paragraphs[0]
    assert "Who is moved" in page.tables[0].caption


def test_each_fold_of_a_cross_validation_uses_the_rule(trial, monkeypatch):
    made = []

    def halves(*given, **options):
        made.append(cross_predict_cohort(*given, n_splits=2, **options))
        return made[0]

    monkeypatch.setattr(_origin, "N_PARTITIONS", 1)
    monkeypatch.setattr(_origin, "cross_predict_cohort", halves)
    cohort = trial.cohort.take(np.arange(len(trial.cohort)) < 200)
    report = ts.validate(selector(), cohort, outcome="remission", rule="switch", **PLAIN)
    assert report.kind == "cross-validated"
    leaves = made[0].recommended.to_numpy().argmax(axis=1) != pd.Index(ARMS).get_indexer(made[0].default_arm)
    assert 0 < leaves.mean() < 0.6  # argmax leaves the default arm for two in three
    options = {"outcome": "remission", "recommendations": made[0].recommended, "comparator": "A"}
    again = ts.validate(made[0].by_arm, cohort, **options, **PLAIN)
    value = report.figure("recommended arm")["value"]
    assert value == pytest.approx(again.figure("recommended arm")["value"], abs=1e-12)
    for options in ({"preferences": {"remission": 1, "dropout": 1}}, {"outcome": "dropout", "margin": 0.1}):
        with pytest.raises(InputError, match="fits the model of the validated outcome alone"):
            ts.validate(selector(), cohort, **options, **PLAIN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "switch"}, "Rule 'switch' needs posterior draws, which a by-arm table"),
        ({"rule": "default"}, "Give comparator="),
        ({"rule": "best"}, "rule"),
        ({"p_switch": 0.9}, "Add rule='switch'"),
        ({"preferences": {"remission": 1, "dropout": 1}}, "predicts 'remission' alone"),
        ({"rule": "expected", "recommendations": "labels"}, "leave out"),
        ({"recommendations": "unknown"}, "of arms unknown to this model: .'D'."),
        ({"recommendations": "short"}, "lacks 1 of 400 patients"),
        ({"recommendations": "halves"}, "400 rows of shares whose sum is neither 1 nor 0"),
        ({"recommendations": "another"}, "have the arms .'D'."),
        ({"recommendations": 3}, "by patient id; they are a int"),
    ],
)
def test_what_cannot_be_validated_is_refused(trial, options, message):
    ids = trial.cohort.frame.index
    labels = pd.Series("A", index=ids)
    given = {
        "labels": labels,
        "unknown": labels.where(np.arange(400) > 20, "D"),
        "short": labels.iloc[1:],
        "halves": pd.DataFrame(0.2, index=ids, columns=ARMS),
        "another": pd.DataFrame({"D": 1.0}, index=ids),
    }
    options = {
        key: given.get(value, value) if isinstance(value, str) else value for key, value in options.items()
    }
    with pytest.raises(InputError, match=message):
        ts.validate(trial.truth["remission"], trial.cohort, outcome="remission", **PLAIN, **options)


def test_a_by_arm_table_follows_the_rules_that_need_no_draws(trial):
    table, options = trial.truth["remission"], {"outcome": "remission", "comparator": "A"}
    own = ts.validate(table, trial.cohort, **options, **PLAIN)
    again = ts.validate(table, trial.cohort, rule="expected", **options, **PLAIN)
    pd.testing.assert_frame_equal(own.figures, again.figures, check_exact=True)
    default = ts.validate(table, trial.cohort, rule="default", **options, **PLAIN)
    assert (default.gain.value, default.gain.n_discordant) == (0, 0)


def test_switch_is_refused_without_posterior_draws(trial):
    trees = ArmwiseClassifier(RandomForestClassifier(n_estimators=5, random_state=0))
    book = Codebook.from_dict({"fields": FIELDS[:5]})
    made = Trial(150, 5).cohort.frame.reset_index().drop(columns="dropout")
    fitted = selector(trees).fit(ts.Cohort(made, book))
    with pytest.raises(InputError, match="needs posterior draws, which this model has not"):
        ts.validate(fitted, trial.cohort, rule="switch", **PLAIN)


def test_imputed_tables_take_given_recommendations_but_no_rule(fitted, trial):
    labels = pd.Series("B", index=trial.cohort.frame.index)
    options = {"imputations": [trial.cohort, trial.cohort], "comparator": "A", **PLAIN}
    report = ts.validate(fitted, trial.cohort, recommendations=labels, **options)
    pooled = report.figure("gain over the best single arm, pooled")
    assert pooled["value"] == pytest.approx(report.gain.value, abs=1e-12)
    with pytest.raises(InputError, match="cannot be combined with a rule"):
        ts.validate(fitted, trial.cohort, rule="switch", **options)
