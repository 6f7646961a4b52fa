"""What a selector reports about its development cohort: assignment, missing outcomes, data quality."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel.artifact import read_manifest
from treatsel.codebook import Codebook
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, DataQualityWarning, InputError, TreatselWarning
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, StackedClassifier
from treatsel.report import model_card
from treatsel.selector._default_arm import learn_assignment

pytestmark = pytest.mark.one_version


def routine(n, seed, *, confounding=0.0, lost=0.0):
    """Two covariates, two arms, a site; severe patients receive B and drop out more often, mostly under A."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    truth = expit(np.column_stack([0.3 - 0.8 * z[:, 0], 0.1 - 0.8 * z[:, 0]]))
    arm = (rng.random(n) < expit(confounding * z[:, 0])).astype(int)
    y = (rng.random(n) < truth[np.arange(n), arm]).astype(float)
    seen = rng.random(n) > expit(np.log(lost / (1 - lost)) + 1.2 * z[:, 0] - 0.6 * arm) if lost else True
    X = pd.DataFrame({"severity": z[:, 0], "age": z[:, 1], "site": rng.choice(list("abcdefgh"), n)})
    X["arm"] = np.array(["A", "B"])[arm]
    return X, pd.Series(np.where(seen, y, np.nan), name="remission"), truth.mean(axis=0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("auto", StackedClassifier), ("stacked", StackedClassifier), ("hierarchical", HierarchicalClassifier)],
)
def test_an_estimator_has_a_name(name, kind):
    X, y, _ = routine(300, 0)
    selector = ts.TreatmentSelector(estimator=name, groups="site").fit(X, y)
    assert type(selector.models_["remission"]) is kind
    assert selector.models_["remission"].groups == "site"
    assert selector.has_posterior_draws()
    assert selector.predict_by_arm(X.drop(columns=["site", "arm"])).shape == (300, 2)


def test_an_unknown_estimator_or_assignment_is_refused():
    X, y, _ = routine(100, 0)
    X = X.drop(columns="site")
    with pytest.raises(InputError, match="'forest'"):
        ts.TreatmentSelector(estimator="forest").fit(X, y)
    with pytest.raises(InputError, match="'by hand'"):
        ts.TreatmentSelector(assignment="by hand").fit(X, y)


def test_dropout_that_depends_on_arm_and_severity_leaves_no_bias():
    X, y, truth = routine(6000, 1, lost=0.45)
    X = X.drop(columns="site")
    naive = y.groupby(X["arm"]).mean().to_numpy()
    with pytest.warns(TreatselWarning, match="was not observed in"):
        selector = ts.TreatmentSelector(estimator="hierarchical", assignment="randomised").fit(X, y)
    means = selector.arm_means_
    assert (np.abs(naive - truth) > 0.04).all()
    assert (np.abs(means["value"].to_numpy() - truth) < 0.025).all()
    assert (means["lower"] < truth).all()
    assert (truth < means["upper"]).all()
    table = selector.observation_["remission"].to_frame()
    assert (table["effective_n"] < table["n_observed"]).all()


def test_confounding_is_seen_and_rare_arms_are_flagged():
    X, y, truth = routine(3000, 2, confounding=2.5)
    X = X.drop(columns="site")
    with pytest.warns(DataQualityWarning, match="have a propensity below 2 %"):
        selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(X, y)
    assert (selector.assignment_.table["auc"] > 0.8).all()
    assert (selector.assignment_.table["share_low_propensity"] > 0.02).all()
    assert (np.abs(selector.arm_means_["value"].to_numpy() - truth) < 0.06).all()
    warnings = selector.predict({"severity": -2.5, "age": 0.0}).warnings
    assert ("low_propensity", "B") in set(zip(warnings["code"], warnings["column"], strict=True))
    trial = ts.TreatmentSelector(estimator="hierarchical", assignment="randomised").fit(X, y)
    assert "low_propensity" not in set(trial.predict({"severity": -2.5, "age": 0.0}).warnings["code"])
    assert trial.predict({"severity": -2.5, "age": 0.0}).audit["assignment"] == "randomised"


def test_the_baseline_is_reported_with_the_model():
    X, y, _ = routine(800, 3)
    X = X.drop(columns="site")
    selector = ts.TreatmentSelector(random_state=0).fit(X, y)
    table = selector.performance_["remission"].set_index(["metric", "predictor"])
    assert set(table.index.get_level_values("predictor")) == {"model", "baseline"}
    assert (table["lower"] < table["value"]).all()
    assert (table["value"] < table["upper"]).all()
    auc = table.loc["within_arm_auc", "value"]
    assert 0.6 < auc["model"] < 0.8
    assert abs(auc["model"] - auc["baseline"]) < 0.02
    assert table.loc[("log_loss", "model"), "value"] < np.log(2)


def test_one_warning_lists_all_checks_without_values():
    X, y, _ = routine(120, 4)
    X = X.drop(columns="site").assign(constant=1.0, copy=X["severity"] * 2 + 1)
    with pytest.warns(DataQualityWarning) as caught:
        selector = ts.TreatmentSelector(estimator="hierarchical").fit(X, y)
    assert len([w for w in caught if w.category is DataQualityWarning]) == 1
    codes = {check.code for check in selector.data_checks_}
    assert {"small_arms", "constant_column", "collinear_columns"} <= codes
    assert all(check.message in str(caught[0].message) for check in selector.data_checks_)


def test_a_leak_is_suspected():
    X, y, _ = routine(1500, 5)
    X = X.drop(columns="site").assign(leak=y + np.random.default_rng(0).normal(0, 0.4, len(y)))
    selector = ts.TreatmentSelector(estimator="hierarchical").fit(X, y)
    assert "suspected_leakage" in {check.code for check in selector.data_checks_}


def test_a_model_without_weights_learns_from_the_observed_patients():
    X, y, _ = routine(200, 6, lost=0.3)

    class Stubborn(ArmwiseClassifier):
        def fit(self, X, y):
            return super().fit(X, y)

    from sklearn.linear_model import LogisticRegression

    with pytest.warns(TreatselWarning, match="depends on arm and covariates alone"):
        selector = ts.TreatmentSelector(estimator=Stubborn(LogisticRegression())).fit(
            X.drop(columns="site"), y
        )
    seen = y.notna()
    alone = Stubborn(LogisticRegression()).fit(X[seen].drop(columns="site"), y[seen])
    pd.testing.assert_frame_equal(selector.predict_by_arm(X), alone.predict_by_arm(X))


def test_descriptions_of_the_cohort_survive_the_file(tmp_path):
    X, y, _ = routine(600, 7, confounding=1.5)
    selector = ts.TreatmentSelector(groups="site", random_state=0, assignment="routine").fit(X, y)
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    assert loaded.assignment == "routine"
    pd.testing.assert_frame_equal(loaded.performance_["remission"], selector.performance_["remission"])
    known, told = selector.assignment_.table, loaded.assignment_.table
    few = (known["share_low_propensity"] * len(X)).round().between(1, 4)
    assert few.any()  # their share is not stored in the file
    expected = known[list(told.columns)].assign(share_low_propensity=known["share_low_propensity"].mask(few))
    pd.testing.assert_frame_equal(told, expected)
    new = X.head(50).assign(severity=np.linspace(-4, 4, 50))
    pd.testing.assert_frame_equal(loaded.predict(new).warnings, selector.predict(new).warnings)
    pd.testing.assert_frame_equal(
        loaded.recommend(new).table.drop(columns="excluded"),
        selector.recommend(new).table.drop(columns="excluded"),
        rtol=1e-9,
    )
    card = model_card(read_manifest(tmp_path / "m.treatsel"))
    assert "associations: arms were chosen in routine care" in card
    assert "Penalized logistic regression" in card


def test_an_arm_without_enough_events_is_stored_as_such_and_is_not_the_default(tmp_path):
    X, y, _ = routine(900, 8)
    X, y = X.drop(columns="site"), y.copy()
    in_a = np.flatnonzero(X["arm"] == "A")
    y.iloc[in_a] = 1.0
    y.iloc[in_a[:6]] = 0.0  # six non-events
    y.iloc[in_a[-2:]] = np.nan  # two missing: a cell too small to be stored
    with pytest.warns(TreatselWarning, match="was not observed in fewer than 5 of 900"):
        selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(X, y)
    assert selector.default_arm_ == "B"
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
    for each in (selector, ts.load_model(tmp_path / "m.treatsel")):
        status = each.recommend(X.head(50), on_invalid="flag").table["status"]
        assert set(status) <= {"insufficient_evidence", "out_of_scope"}


@pytest.mark.parametrize("seed", range(4))
def test_assignment_is_learned_although_a_column_is_known_at_one_site_only(seed):
    X, _, _ = routine(400, 9)
    X["lab"] = np.where(X["site"] == "a", X["age"] + 1, np.nan)
    found = learn_assignment(X.drop(columns="site"), "arm", groups=X["site"], random_state=seed)
    assert np.isfinite(found.raw.to_numpy()).all()


def test_a_rare_arm_among_very_many_patients_is_compared_too():
    X, y, _ = routine(21_000, 10)
    X = X.drop(columns="site")
    X.loc[X.index[:40], "arm"] = "C"
    selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(X, y)
    assert set(selector.performance_["remission"]["predictor"]) == {"model", "baseline"}


class TestFitOnACohort:
    """`fit(cohort)` reads covariates, arm, outcomes, site and persons by their roles."""

    @pytest.fixture
    def synthetic(self):
        return make_cohort(600, random_state=5).cohort

    def test_it_is_the_fit_by_hand(self, synthetic):
        options = {"estimator": "hierarchical", "random_state": 0}
        with pytest.warns(TreatselWarning):
            one = ts.TreatmentSelector(**options).fit(synthetic)
        book = synthetic.codebook
        by_hand = ts.TreatmentSelector(codebook=book, groups="service", **options)
        others = [name for name in synthetic.frame if name not in (*synthetic.X, *book.outcomes)]
        with pytest.warns(TreatselWarning):
            by_hand.fit(synthetic.X, synthetic.y, extra=synthetic.frame[others])
        assert by_hand.models_["recovery"].levels_ > 2
        for name in one.outcomes_:
            pd.testing.assert_frame_equal(
                one.predict_by_arm(synthetic.X, name), by_hand.predict_by_arm(synthetic.X, name)
            )
        pd.testing.assert_frame_equal(one.arm_means_, by_hand.arm_means_)

    def test_outcomes_are_learned_from_their_scores_where_the_cohort_has_them(self, synthetic):
        options = {"estimator": "hierarchical", "random_state": 0}
        plain = ts.TreatmentSelector(codebook=synthetic.codebook, groups="service", **options)
        with pytest.warns(TreatselWarning):
            one = ts.TreatmentSelector(**options).fit(synthetic)
        with pytest.warns(TreatselWarning):
            plain.fit(synthetic.X.join([synthetic.groups, synthetic.therapists]), synthetic.y)
        assert {name: model.levels_ > 2 for name, model in one.models_.items()} == {
            "recovery": True,
            "dropout": False,
        }
        assert plain.models_["recovery"].levels_ == 2
        dropout = [s.predict_by_arm(synthetic.X, "dropout") for s in (one, plain)]
        pd.testing.assert_frame_equal(*dropout)
        draws = [s.predict_draws(synthetic.X.head(50)) for s in (one, plain)]
        apart = [np.quantile(d[:, :, 0] - d[:, :, 1], [0.025, 0.975], axis=0) for d in draws]
        assert np.diff(apart[0], axis=0).mean() < np.diff(apart[1], axis=0).mean()

    def test_extra_columns_need_a_codebook_and_the_order_of_x(self, synthetic):
        X, extra = synthetic.X, synthetic.frame[["service"]]
        with pytest.raises(InputError, match="extra needs a codebook"):
            ts.TreatmentSelector().fit(X, synthetic.y, extra=extra)
        selector = ts.TreatmentSelector(codebook=synthetic.codebook)
        with pytest.raises(InputError, match="already has all columns"):
            selector.fit(synthetic, extra=extra)
        with pytest.raises(InputError, match="order"):
            selector.fit(X, synthetic.y, extra=extra[::-1])
        with pytest.raises(InputError, match="must be a DataFrame"):
            selector.fit(X, synthetic.y, extra=extra["service"])
        with pytest.raises(CohortError, match="'unheard'"):
            selector.fit(X, synthetic.y, extra=extra.assign(unheard=1))

    def test_outcomes_may_be_chosen(self, synthetic):
        selector = ts.TreatmentSelector(estimator="hierarchical", event_is_good=False, random_state=0)
        assert selector.fit(synthetic, synthetic.y["dropout"]).outcomes_ == ["dropout"]

    def test_what_contradicts_the_cohort_is_refused(self, synthetic):
        with pytest.raises(InputError, match="own codebook"):
            ts.TreatmentSelector(codebook="other.yaml").fit(synthetic)
        with pytest.raises(InputError, match="arm column is 'arm'"):
            ts.TreatmentSelector(arm="treatment").fit(synthetic)
        with pytest.raises(InputError, match="no column 'clinic'"):
            ts.TreatmentSelector(groups="clinic").fit(synthetic)
        with pytest.raises(InputError, match="y is None"):
            ts.TreatmentSelector().fit(synthetic.X)

    def test_persons_with_several_rows_are_groups_where_there_is_no_site(self):
        random = np.random.default_rng(3)
        frame = pd.DataFrame(
            {
                "age": random.integers(18, 80, 200),
                "arm": random.choice(["cbt", "ssri"], 200),
                "remission": random.integers(0, 2, 200),
                "person": np.repeat(np.arange(100), 2),
            }
        )
        roles = {"age": "covariate", "arm": "arm", "remission": "outcome", "person": "person"}
        kinds = {"arm": "string"}
        book = Codebook.from_dict(
            {"fields": [{"name": n, "type": kinds.get(n, "integer"), "role": r} for n, r in roles.items()]}
        )
        options = {"estimator": "hierarchical", "random_state": 0}
        one = ts.TreatmentSelector(**options).fit(ts.Cohort(frame, book))
        by_hand = ts.TreatmentSelector(codebook=book, groups="person", **options)
        by_hand.fit(frame.drop(columns="remission"), frame["remission"])
        pd.testing.assert_frame_equal(one.predict_by_arm(frame), by_hand.predict_by_arm(frame))


def test_sites_that_differ_only_in_type_are_one():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(40, 10, 120), "arm": np.tile(["CBT", "SSRI"], 60)})
    X["site"] = pd.Series([3, "3", 4.0, "5"] * 30, dtype=object)
    y = pd.Series(rng.random(120) < 0.5, name="remission").astype(float)
    selector = ts.TreatmentSelector(
        groups="site", event_is_good=True, estimator="hierarchical", random_state=0
    )
    with pytest.warns(TreatselWarning):
        selector.fit(X, y)
    assert selector.model_.known_sites == {"3", "4", "5"}
