"""Published estimates: the Gaussian factor, its exactness, and what it gains and costs."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.artifact import read_manifest
from treatsel.datasets import make_cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.models import (
    ArmwiseClassifier,
    DropoutMixture,
    Encoding,
    HierarchicalClassifier,
    Priors,
    StackedClassifier,
)
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Prior, State, find_mode
from treatsel.models.hierarchical._outside import outside_of
from treatsel.report import model_card

pytestmark = pytest.mark.one_version

ARMS = list("ABCD")


def process(seed, *, arm_sd=0.35, strength=0.5):
    """Return a function that draws X, y and the true probabilities."""
    rng = np.random.default_rng([seed, 17])
    arms, modifiers = arm_sd * rng.normal(size=4), 0.2 * rng.normal(size=(4, 3))

    def draw(n):
        z, arm = rng.normal(size=(n, 3)), rng.integers(0, 4, n)
        truth = expit(-0.3 + strength * (z @ [1.0, -0.8, 0.4])[:, None] + arms + z @ modifiers.T)
        X = pd.DataFrame(z, columns=list("abc")).assign(arm=np.array(ARMS)[arm])
        X["job"] = rng.choice(["p", "q"], n)
        return X, (rng.random(n) < truth[np.arange(n), arm]).astype(int), truth

    return draw, rng


def small(n=300, seed=0):
    X, y, _ = process(seed)[0](n)
    covariates = X.drop(columns="arm")
    encoding = Encoding.learn(covariates, np.ones(n), native_missing=False, knots=True)
    codes = pd.Index(ARMS).get_indexer(X["arm"])
    return Patients(
        covariates, encoding, arms=codes, y=y.astype(float), weights=np.ones(n), n_arms=4
    ), encoding


EVERY = Priors(
    arm_means={"A": (0.4, 0.05), "C": (0.5, 0.04), "D": (0.3, 0.06)},
    arm_contrasts={("B", "A"): (0.3, 0.2), ("C", "A"): (0.1, 0.3)},
    contrast_correlation=[[1.0, 0.5], [0.5, 1.0]],
    modifiers={("B", "A", "a"): (0.2, 0.1), ("D", "C", "job=p"): (-0.3, 0.2)},
    prognosis={"b": (-0.4, 0.1)},
)


def test_the_derivative_is_that_of_the_functions():
    patients, encoding = small()
    outside = outside_of(EVERY, encoding, ARMS, *patients.sample(200))
    by_arm = np.random.default_rng(0).normal(0, 0.5, (4, patients.n_terms))
    value, derivative = outside.functions(by_arm)
    assert value.shape == (7,)
    for number in range(7):
        one = partial(lambda i, v: outside.functions(v.reshape(4, -1))[0][i], number)
        numeric = approx_fprime(by_arm.ravel(), one, 1e-7)
        np.testing.assert_allclose(derivative[number].ravel(), numeric, atol=1e-5)
    gradient, curvature = outside.quadratic(by_arm)
    numeric = approx_fprime(by_arm.ravel(), lambda v: -outside.energy(v.reshape(4, -1)), 1e-7)
    np.testing.assert_allclose(gradient.ravel(), numeric, atol=2e-3)
    wide = curvature.reshape(4 * patients.n_terms, -1)
    np.testing.assert_allclose(wide, wide.T, atol=1e-8)


def test_the_mode_is_the_optimum_that_scipy_finds():
    patients, encoding = small()
    outside = outside_of(EVERY, encoding, ARMS, *patients.sample(2000))
    terms = np.full((5, patients.n_terms), 0.3)
    terms[0], terms[1:, 0] = 2.0, 5.0
    prior = Prior(terms, outside=outside)
    mode = find_mode(patients, State(np.zeros_like(terms), np.zeros((0, 4))), prior)
    assert mode.converged
    design = next(patients.blocks())[0]

    def energy(v):
        layers = v.reshape(terms.shape)
        eta = np.einsum("np,np->n", design, (layers[0] + layers[1:])[patients.arms])
        fit = (np.logaddexp(0, eta) - patients.y * eta).sum()
        return fit + 0.5 * ((layers / terms) ** 2).sum() + outside.energy(layers[0] + layers[1:])

    options = {"maxiter": 5000, "maxfun": 10**6}
    found = minimize(energy, np.zeros(terms.size), method="L-BFGS-B", options=options)
    by_arm = found.x.reshape(terms.shape)
    np.testing.assert_allclose(mode.state.by_arm, by_arm[0] + by_arm[1:], atol=5e-3)
    assert energy(mode.state.terms.ravel()) <= found.fun + 1e-4


def test_means_are_contrasts_and_no_arm_is_the_reference():
    patients, encoding = small()
    rates = {"A": (0.4, 0.05), "C": (0.5, 0.04), "D": (0.3, 0.06)}
    means = [Priors(arm_means={arm: rates[arm] for arm in order}) for order in ("ACD", "DCA", "CAD")]
    se = {arm: s / (p * (1 - p)) for arm, (p, s) in rates.items()}
    size = {arm: np.hypot(se[arm], se["A"]) for arm in "CD"}
    contrasts = Priors(
        arm_contrasts={(arm, "A"): (logit(rates[arm][0]) - logit(0.4), size[arm]) for arm in "CD"},
        contrast_correlation=[[1, r := se["A"] ** 2 / (size["C"] * size["D"])], [r, 1]],
    )
    by_arm = np.random.default_rng(1).normal(0, 0.5, (4, patients.n_terms))
    found = [outside_of(each, encoding, ARMS, *patients.sample(200)) for each in (*means, contrasts)]
    energies = [each.energy(by_arm) for each in found]
    np.testing.assert_allclose(energies, energies[0], rtol=1e-9)
    shifted = by_arm.copy()
    shifted[:, 0] += 0.001  # (nearly) the same differences at another level
    assert found[0].energy(shifted) == pytest.approx(energies[0], abs=1e-3)


def test_a_published_contrast_is_marginal():
    X, y, _ = process(1)[0](800)
    covariates = X.drop(columns="arm")
    encoding = Encoding.learn(covariates, np.ones(800), native_missing=False)
    design = np.column_stack([np.ones(800), encoding.encode(covariates)])
    outside = outside_of(Priors(arm_contrasts={("B", "A"): (0.8, 0.1)}), encoding, ARMS, design, np.ones(800))
    by_arm = np.tile([-0.3, 1.5, -1.5, *np.zeros(design.shape[1] - 3)], (4, 1))
    by_arm[1, 0] += 1.0
    p = expit(design @ by_arm.T).mean(axis=0)
    (found,), _ = outside.functions(by_arm)
    assert found == pytest.approx(logit(p[1]) - logit(p[0]))
    assert 0.5 < found < 0.8  # of a coefficient of 1: odds ratios are not collapsible
    precise = Priors(arm_contrasts={("B", "A"): (0.8, 0.001)})
    with pytest.warns(TreatselWarning, match="prior_conflict"):
        model = HierarchicalClassifier(priors=precise).fit(X, y)
    row = model.priors_.iloc[0]
    assert row["used_se"] > 0.1  # this population may differ from that of the trials
    mean = model.predict_by_arm(X).mean()
    assert row["patients"] < logit(mean["B"]) - logit(mean["A"]) < 0.8


def test_slopes_are_per_unit_of_the_covariate():
    draw, rng = process(2)
    X, y, _ = draw(600)
    X["a"] = 40 + 12 * X["a"]
    X["income"] = np.exp(rng.normal(7, 1, 600))  # enters on a logarithmic scale
    known = Priors(
        modifiers={("B", "A", "a"): (0.05, 1e-4), ("C", "A", "job=p"): (0.7, 1e-3)},
        prognosis={"income": (0.0004, 1e-6)},
    )
    with pytest.warns(TreatselWarning, match="prior_conflict"):
        model = HierarchicalClassifier(priors=known).fit(X, y)
    covariates = X.drop(columns="arm")
    logits = pd.DataFrame(model.additive().logit(model.additive().encoding.encode(covariates)), columns=ARMS)
    difference = logits["B"] - logits["A"]
    assert np.polyfit(X["a"], difference, 1)[0] == pytest.approx(0.05, rel=0.1)
    by_job = (logits["C"] - logits["A"]).groupby(X["job"]).mean()
    assert by_job["p"] - by_job["q"] == pytest.approx(0.7, rel=0.1)
    assert np.polyfit(X["income"], logits.mean(axis=1), 1)[0] == pytest.approx(0.0004, rel=0.1)


def published(truth, rng, off=0.0):
    """Return contrasts of four arms as a network of trials would give them."""
    estimate = logit(truth.mean(axis=0)) + off * rng.normal(size=4) + 0.15 * rng.normal(size=4)
    se = 0.15 * 2**0.5
    return Priors(
        arm_contrasts={(arm, "A"): (estimate[k] - estimate[0], se) for k, arm in enumerate("BCD", 1)},
        contrast_correlation=0.5 * np.ones((3, 3)) + 0.5 * np.eye(3),
    )


@pytest.mark.filterwarnings("ignore:prior_conflict")
def test_right_priors_help_and_wrong_ones_do_little_harm():
    errors = {"none": [], "right": [], "wrong": []}
    gains = {name: [] for name in errors}
    for seed in range(16):
        draw, rng = process(seed, arm_sd=0.25)
        X, y, _ = draw(400)
        new, _, truth = draw(4000)
        given = {"none": None, "right": published(truth, rng), "wrong": published(truth, rng, off=0.5)}
        for name, priors in given.items():
            p = HierarchicalClassifier(priors=priors).fit(X, y).predict_by_arm(new).to_numpy()
            away = logit(p.mean(axis=0)) - logit(truth.mean(axis=0))
            errors[name].append(np.mean((away - away.mean()) ** 2))
            gains[name].append(truth[np.arange(4000), p.argmax(axis=1)].mean())
    rmse = {name: np.sqrt(np.mean(each)) for name, each in errors.items()}
    assert rmse["right"] < 0.8 * rmse["none"]
    assert rmse["wrong"] < 1.2 * rmse["none"]
    gain = {name: np.mean(each) for name, each in gains.items()}
    assert gain["right"] > gain["none"]
    assert gain["wrong"] > gain["none"] - 0.01  # at most 1 point


@pytest.mark.parametrize("kind", [HierarchicalClassifier, StackedClassifier])
def test_without_estimates_nothing_changes(kind):
    X, y, _ = process(3)[0](300)
    plain, empty = kind().fit(X, y), kind(priors=Priors()).fit(X, y)
    pd.testing.assert_frame_equal(plain.predict_by_arm(X), empty.predict_by_arm(X))
    np.testing.assert_array_equal(plain.predict_draws(X.head(5)), empty.predict_draws(X.head(5)))
    assert not len(empty.priors_)
    cautious = kind(priors=Priors(null=0.9)).fit(X, y)
    assert cautious.modification_weight_ < plain.modification_weight_


def test_right_modifiers_are_no_conflict():
    """Estimates of the patients alone are not shrunken: a right published slope agrees with them."""
    conflicts, estimates = [], []
    for seed in range(12):
        rng = np.random.default_rng([seed, 23])
        X = pd.DataFrame(rng.normal(size=(250, 3)), columns=list("abc")).assign(
            arm=rng.choice(["A", "B"], 250)
        )
        y = (rng.random(250) < expit(0.4 * X["a"] + 0.5 * X["a"] * (X["arm"] == "B"))).astype(int)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = HierarchicalClassifier(priors=Priors(modifiers={("B", "A", "a"): (0.5, 0.05)})).fit(X, y)
        conflicts.append(model.prior_conflict_ is not None)
        estimates.append(model.priors_["patients"].iloc[0])
    assert sum(conflicts) <= 2
    assert abs(np.mean(estimates) - 0.5) < 3 * np.std(estimates, ddof=1) / np.sqrt(12)


def test_a_published_contrast_includes_what_an_arm_does_through_dropout():
    rng, n = np.random.default_rng(1), 900
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"]).assign(arm=rng.choice(["A", "B"], n))
    chance = np.where(X["arm"] == "A", 0.15, 0.55)
    X["dropout"] = (rng.random(n) < chance).astype(float)
    y = (rng.random(n) < expit(0.4 + 0.3 * X["a"] - 2 * X["dropout"])).astype(float)
    lost = (X["dropout"] == 1) & (rng.random(n) < 0.7)
    rates = [(1 - d) * expit(0.4) + d * expit(-1.6) for d in (0.15, 0.55)]
    total = logit(rates[1]) - logit(rates[0])  # no direct effect: all of it through dropout
    priors = Priors(arm_contrasts={("B", "A"): (total, 0.08)})
    model = DropoutMixture(HierarchicalClassifier(priors=priors)).fit(X, y.mask(lost))
    assert model.prior_conflict_ is None
    row = model.priors_.iloc[0]
    assert abs(row["patients"] - total) < 3 * row["patients_se"]
    mean = model.predict_by_arm(X).mean()
    assert abs(logit(mean["B"]) - logit(mean["A"]) - total) < abs(row["patients"] - total) + 0.05


@pytest.mark.filterwarnings("ignore:prior_conflict")
def test_names_and_order_of_arms_do_not_matter():
    X, y, _ = process(4)[0](400)
    priors = Priors(arm_contrasts={("B", "A"): (0.3, 0.2)}, modifiers={("C", "A", "a"): (0.1, 0.1)})
    names = {"A": "z", "B": "y", "C": "x", "D": "w"}
    renamed = Priors(arm_contrasts={("y", "z"): (0.3, 0.2)}, modifiers={("x", "z", "a"): (0.1, 0.1)})
    one = HierarchicalClassifier(priors=priors).fit(X, y).predict_by_arm(X)
    other = HierarchicalClassifier(priors=renamed).fit(X.assign(arm=X["arm"].map(names)), y).predict_by_arm(X)
    np.testing.assert_allclose(other[list("zyxw")].to_numpy(), one.to_numpy(), rtol=1e-8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arm_means": {"A": (1.2, 0.1), "B": (0.3, 0.1)}}, "must be above 0 and below 1"),
        ({"arm_means": {"A": (0.2, 0.1)}}, "at least two"),
        ({"arm_means": {"A": 0.2}}, "must be a pair"),
        ({"arm_means": [0.2]}, "must be a mapping"),
        ({"arm_contrasts": {("A", "B"): (0.2, 0.0)}}, "standard error between"),
        ({"arm_contrasts": {("A", "B"): (0.2, 1e-170)}}, "standard error between"),
        ({"arm_contrasts": {("A", "B"): (50.0, 1.0)}}, "Give the logarithm"),
        ({"modifiers": {("A", "B", "a"): (1e300, 1.0)}}, "at most 1e.06 in size"),
        ({"arm_contrasts": {("A", "B"): (np.nan, 0.1)}}, "must be"),
        ({"arm_contrasts": {("A", "A"): (0.2, 0.1)}}, "the same arm twice"),
        ({"arm_contrasts": {"A": (0.2, 0.1)}}, "must have the form"),
        ({"contrast_correlation": [[1.0]]}, "no correlation matrix of 0 contrasts"),
        ({"contrast_correlation": "x"}, "not a square array"),
        ({"contrast_correlation": [[1.0], [1.0, 2.0]]}, "not a square array"),
        ({"modifiers": {("A", "B"): (0.2, 0.1)}}, "must have the form"),
        ({"null": 1.0}, "above 0 and below 1"),
        ({"source": 3}, "must be a text"),
        ({"source": "a\u200bb"}, "all of them visible"),
    ],
)
def test_bad_priors_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Priors(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arm_contrasts": {("A", "yoga"): (0.2, 0.1)}}, "the arm 'yoga'. The arms are"),
        ({"modifiers": {("A", "B", "age"): (0.2, 0.1)}}, "the covariate 'age'. Numbers are"),
        ({"prognosis": {"job": (0.2, 0.1)}}, "categories are .*job=p"),
    ],
)
def test_unknown_arms_and_covariates_are_refused(given, message):
    X, y, _ = process(5)[0](200)
    with pytest.raises(InputError, match=message):
        HierarchicalClassifier(priors=Priors(**given)).fit(X, y)
    with pytest.raises(InputError, match=r"give a treatsel\.models\.Priors"):
        HierarchicalClassifier(priors=given).fit(X, y)


@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_a_conflict_is_a_data_check_of_the_selector():
    cohort = make_cohort(500, random_state=4).cohort
    options = {"event_is_good": False, "random_state": 0, "estimator": "hierarchical"}
    for size, conflict in ((3.0, True), (0.0, False)):
        priors = Priors(arm_contrasts={("cbt", "counselling"): (size, 0.1)})
        fitted = ts.TreatmentSelector(priors=priors, **options).fit(cohort.X, cohort.y["dropout"])
        found = [check.message for check in fitted.data_checks_ if check.code == "prior_conflict"]
        assert bool(found) == conflict
    assert fitted.arm_means_["p_best"].sum() == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_an_arm_is_not_named_twice():
    X, y, _ = process(5)[0](200)
    X["arm"] = X["arm"].map({"A": 1, "B": 2, "C": 3, "D": 4})
    priors = Priors(arm_means={1: (0.4, 0.05), "1": (0.5, 0.05)})
    with pytest.raises(InputError, match="name an arm twice"):
        HierarchicalClassifier(priors=priors).fit(X, y)
    assert Priors() != Priors()  # by identity: arrays have no truth value


@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_a_selector_keeps_what_was_published_in_the_file_and_on_the_card(tmp_path):
    cohort = make_cohort(500, random_state=4).cohort
    priors = Priors(arm_contrasts={("cbt", "counselling"): (-0.3, 0.1)}, source="Trials of 2020")
    options = {"event_is_good": False, "random_state": 0, "estimator": "hierarchical"}
    fitted = ts.TreatmentSelector(priors={"dropout": priors}, **options).fit(cohort.X, cohort.y["dropout"])
    ts.save_model(fitted, tmp_path / "m.treatsel", intended_use="Tests.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    for each in (fitted, loaded):
        source, columns = each.model_.development.priors["dropout"]
        assert source == "Trials of 2020"
        assert columns["prior"] == [-0.3]
        assert columns["what"] == ["log odds ratio of cbt against counselling"]
    card = model_card(read_manifest(tmp_path / "m.treatsel"))
    assert "Source: Trials of 2020." in card
    assert "-0.30 (0.10)" in card
    plain = ts.TreatmentSelector(**options).fit(cohort.X, cohort.y["dropout"])
    assert (plain.predict_by_arm(cohort.X) - fitted.predict_by_arm(cohort.X)).abs().to_numpy().max() > 0.005
    for wrong, message in (
        ({"remission": priors}, "An outcome of priors"),
        ([priors], r"treatsel\.models\.Priors"),
    ):
        with pytest.raises(InputError, match=message):
            ts.TreatmentSelector(priors=wrong, **options).fit(cohort.X, cohort.y["dropout"])
    own = options | {"estimator": ArmwiseClassifier(LogisticRegression())}
    with pytest.raises(InputError, match="priors need estimator="):
        ts.TreatmentSelector(priors=priors, **own).fit(cohort.X, cohort.y["dropout"])
