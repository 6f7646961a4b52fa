"""The hierarchical model: exact where this is possible, and recovery of simulated truths."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from treatsel.errors import InputError, UnsupportedModelError
from treatsel.metrics import calibration_slope
from treatsel.models import ArmwiseClassifier, Encoding, HierarchicalClassifier
from treatsel.models.hierarchical import _curvature
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Prior, System, curvature_at, find_mode, newton_step
from treatsel.models.hierarchical._hierarchy import Hierarchy
from treatsel.models.hierarchical._known_sites import KnownSites
from treatsel.models.hierarchical._levels import APART, Levels
from treatsel.models.hierarchical._variances import Layout, maximize_evidence, no_effects

ARMS = np.array(list("ABCDEF"))


def simulate(
    n, seed, *, n_covariates=6, prognosis=(0.6, -0.4), modifiers=None, effects=(0.3, 0.0, -0.3), **options
):
    """Return X, y and the true probabilities of a linear truth.

    Options: `shares` of the arms, `missing` share of each covariate, `site_sd` of 40 sites.
    """
    rng = np.random.default_rng([seed, 11])
    n_arms = len(effects)
    z = rng.standard_normal((n, n_covariates))
    logits = -0.2 + (z[:, : len(prognosis)] @ prognosis)[:, None] + np.array(effects)
    if modifiers is not None:
        logits = logits + z @ modifiers.T
    arm = rng.choice(n_arms, n, p=options.get("shares"))
    X = pd.DataFrame(z, columns=[f"x{j}" for j in range(n_covariates)])
    X = X.mask(rng.random(X.shape) < options.get("missing", 0.0)).assign(arm=ARMS[arm])
    if "site_sd" in options:
        X["site"] = rng.integers(0, 40, n)
        logits = logits + rng.normal(0, options["site_sd"], 40)[X["site"], None]
    truth = pd.DataFrame(expit(logits), columns=ARMS[:n_arms])
    return X, (rng.random(n) < truth.to_numpy()[np.arange(n), arm]).astype(int), truth


def drawn_modifiers(sd, n_covariates, seed=7):
    return np.random.default_rng(seed).normal(0, sd, (3, n_covariates))


def slope(model, X, y):
    """Return the calibration slope on new patients."""
    return calibration_slope(y, model.predict_proba(X)[:, 1]).value


def width(draws):
    """Return the mean width of 95 % intervals."""
    return np.diff(np.quantile(draws, [0.025, 0.975], axis=0), axis=0).mean()


# -- exactness ---------------------------------------------------------------------------------------------


def small_problem(n=300, n_arms=3, n_sites=7, seed=0, n_therapists=None):
    rng = np.random.default_rng(seed)
    covariates = pd.DataFrame({"x": rng.normal(5, 2, n), "job": rng.choice(["p", "q"], n)})
    arms = rng.permutation(np.arange(n) % n_arms)
    y = (rng.random(n) < expit(0.4 * (covariates["x"].to_numpy() - 5) * (arms - 0.5))).astype(float)
    weights = rng.choice([0.5, 1.0, 2.0], n)
    encoding = Encoding.learn(covariates, weights, native_missing=False)
    sites = None if n_sites is None else np.append(np.arange(n_sites), rng.integers(0, n_sites, n - n_sites))
    therapists = None
    if n_therapists is not None:  # nested in sites; every fifth patient has none
        own = rng.integers(0, n_therapists, n) + (0 if sites is None else n_therapists * sites)
        therapists = np.where(rng.random(n) < 0.2, -1, np.unique(own, return_inverse=True)[1])
    columns = {"arms": arms, "y": y, "weights": weights, "sites": sites, "therapists": therapists}
    return Patients(covariates, encoding, n_arms=n_arms, **columns), encoding


def some_prior(n_arms, n_terms, site=0.6, site_by_arm=0.3):
    terms = np.full((n_arms + 1, n_terms), 0.4)
    terms[0] = np.append(3.0, np.full(n_terms - 1, 0.7))
    terms[1:, -1] = 0.0  # the last term has no deviations by arm
    return Prior(terms, site, site_by_arm, therapist=0.5)


def start(patients):
    return no_effects(patients, np.zeros((patients.n_arms + 1, patients.n_terms)))


class Dense:
    """The same posterior in dense form: one column per term, per site, site x arm and therapist x arm."""

    def __init__(self, patients, prior):
        design = np.concatenate([block for block, _ in patients.blocks()])
        own = np.eye(patients.n_arms)[patients.arms]
        parts = [design] + [design * own[:, [k]] for k in range(patients.n_arms)]
        sd = [prior.terms.ravel()]
        if patients.n_sites:
            at = np.eye(patients.n_sites)[patients.sites]
            parts += [at] + [at * own[:, [k]] for k in range(patients.n_arms)]
            sd += [np.full(patients.n_sites, prior.site)]
            sd += [np.full(patients.n_sites * patients.n_arms, prior.site_by_arm)]
        if patients.therapists is not None:
            pairs = pd.Series(patients.therapists * patients.n_arms + patients.arms)
            own = pd.get_dummies(pairs.where(patients.therapists >= 0), dtype=float)
            parts += [own.to_numpy()]
            sd += [np.full(own.shape[1], prior.therapist)]
        self.sd = np.concatenate(sd)
        self.active = self.sd > 0
        self.columns = np.column_stack(parts)[:, self.active]
        self.precision = np.diag(self.sd[self.active] ** -2)
        self.patients, self.prior = patients, prior

    def value(self, v):
        """Return minus log posterior (without constants) and its gradient."""
        y, w = self.patients.y, self.patients.weights
        eta = self.columns @ v
        value = w @ (np.logaddexp(0, eta) - y * eta) + 0.5 * v @ self.precision @ v
        return value, self.columns.T @ (w * (expit(eta) - y)) + self.precision @ v

    def hessian(self, v):
        p = expit(self.columns @ v)
        return (self.columns.T * (self.patients.weights * p * (1 - p))) @ self.columns + self.precision

    def optimum(self):
        first = np.zeros(self.columns.shape[1])
        found = minimize(self.value, first, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000})
        assert np.abs(self.value(found.x)[1]).max() < 1e-4
        return found.x

    def split(self, v):
        """Return terms, shape (K + 1, q), and site effects, shape (S, K), without therapists."""
        full = np.zeros(len(self.sd))
        full[self.active] = v
        n_arms, n_sites = self.patients.n_arms, self.patients.n_sites
        terms, sites = np.split(full, [self.prior.terms.size])
        common, own, _ = np.split(sites, [n_sites, n_sites * (1 + n_arms)])
        return terms.reshape(self.prior.terms.shape), common[:, None] + own.reshape(n_arms, n_sites).T

    def log_evidence(self):
        """Return the Laplace log evidence, with every constant; the Hessian by differences."""
        v, step = self.optimum(), 1e-4
        hessian = np.array(
            [(self.value(v + h)[1] - self.value(v - h)[1]) / (2 * step) for h in step * np.eye(len(v))]
        )
        return -self.value(v)[0] - np.log(self.sd[self.active]).sum() - np.linalg.slogdet(hessian)[1] / 2


@pytest.mark.parametrize("n_therapists", [None, 3])
@pytest.mark.parametrize("n_sites", [None, 7])
@pytest.mark.parametrize("n_arms", [1, 2, 3])
def test_the_mode_is_the_optimum_that_scipy_finds(n_arms, n_sites, n_therapists):
    patients, _ = small_problem(n_arms=n_arms, n_sites=n_sites, n_therapists=n_therapists)
    prior = some_prior(n_arms, patients.n_terms)
    mode = find_mode(patients, start(patients), prior)
    dense = Dense(patients, prior)
    terms, sites = dense.split(dense.optimum())
    np.testing.assert_allclose(mode.state.terms, terms, atol=1e-5)
    if n_sites:
        np.testing.assert_allclose(mode.state.sites, sites, atol=1e-5)


@pytest.mark.parametrize("n_therapists", [None, 2])
@pytest.mark.parametrize("n_sites", [None, 7])
def test_the_laplace_evidence_has_no_constant_left_out(n_sites, n_therapists):
    patients, _ = small_problem(n_sites=n_sites, n_therapists=n_therapists)
    one = some_prior(3, patients.n_terms)
    other = Prior(one.terms * np.array([[1.0], [0.3], [0.3], [0.3]]), 0.2, 0.0, therapist=0.9)
    ours = [find_mode(patients, start(patients), prior).log_evidence for prior in (one, other)]
    reference = [Dense(patients, prior).log_evidence() for prior in (one, other)]
    assert abs(ours[0] - ours[1]) > 1
    np.testing.assert_allclose(ours, reference, atol=1e-5)


@pytest.mark.parametrize("n_therapists", [None, 3])
def test_sites_integrated_out_leave_what_the_dense_system_leaves(n_therapists):
    patients, _ = small_problem(n_therapists=n_therapists)
    prior = some_prior(3, patients.n_terms)
    state = find_mode(patients, start(patients), prior).state
    curvature = curvature_at(patients, state)
    system, dense = System.build(curvature, state, prior), Dense(patients, prior)
    site_columns = dense.optimum()  # any point of the same logits has the same curvature
    precision = dense.hessian(site_columns)
    covariance = np.linalg.inv(precision)
    n_terms = int((prior.terms > 0).sum())
    ours = np.outer(system.scale, system.scale) * np.linalg.inv(system.factor @ system.factor.T)
    np.testing.assert_allclose(ours, covariance[:n_terms, :n_terms], atol=1e-6)
    sd = dense.sd[dense.active]
    assert system.log_det == pytest.approx(np.linalg.slogdet(precision * np.outer(sd, sd))[1], abs=1e-5)
    np.testing.assert_allclose(system.terms(system.optimum(), prior.terms.shape), state.terms, atol=1e-6)
    step = newton_step(curvature, state, prior)
    np.testing.assert_allclose(step.sites, state.sites, atol=1e-6)
    np.testing.assert_allclose(step.therapists, state.therapists, atol=1e-6)


def test_the_covariance_of_each_arm_adds_up_its_layers():
    patients, _ = small_problem(n_sites=None)
    prior = some_prior(3, patients.n_terms)
    mode, dense = find_mode(patients, start(patients), prior), Dense(patients, prior)
    q = patients.n_terms
    full = np.zeros((prior.terms.size,) * 2)
    full[np.ix_(dense.active, dense.active)] = np.linalg.inv(dense.hessian(dense.optimum()))
    for k, covariance in enumerate(mode.system.by_arm(prior.terms.shape)):
        sums = np.zeros((q, prior.terms.size))
        sums[:, :q] = sums[:, (k + 1) * q : (k + 2) * q] = np.eye(q)
        np.testing.assert_allclose(covariance, sums @ full @ sums.T, atol=1e-6)


def by_arm_and_site(patients, prior):
    """Return the matrix that maps the columns of `Dense` to each arm's terms, then site effects under it."""
    K, S, q = patients.n_arms, patients.n_sites, patients.n_terms
    layers = np.kron(np.column_stack([np.ones(K), np.eye(K)]), np.eye(q))
    common = np.kron(np.eye(S), np.ones((K, 1)))  # rows: site, then arm
    own = np.zeros((S * K, K * S))
    for s in range(S):
        for k in range(K):
            own[s * K + k, k * S + s] = 1.0
    whole = np.zeros((K * q + S * K, layers.shape[1] + S + K * S))
    whole[: K * q, : layers.shape[1]] = layers
    whole[K * q :, layers.shape[1] :] = np.column_stack([common, own])
    return whole[:, np.concatenate([prior.terms.ravel(), np.ones(S + K * S)]) > 0]


def test_moments_of_known_sites_are_those_of_the_dense_posterior():
    patients, _ = small_problem()
    K, q, S = 3, patients.n_terms, 7
    prior = some_prior(K, q)
    mode, dense = find_mode(patients, start(patients), prior), Dense(patients, prior)
    known = KnownSites(np.array([1, 2, 5]), np.zeros((3, K), dtype=bool))
    found = known.moments(mode, prior)
    to_arms = by_arm_and_site(patients, prior)
    covariance = to_arms @ np.linalg.inv(dense.hessian(dense.optimum())) @ to_arms.T
    terms, sites = covariance[: K * q, : K * q], covariance[K * q :, K * q :]
    mixed = covariance[K * q :, : K * q].reshape(S, K, K, q)
    for k in range(K):
        at = slice(k * q, (k + 1) * q)
        np.testing.assert_allclose(found.of_terms[k], terms[at, at], atol=1e-6)
        np.testing.assert_allclose(found.with_terms[:, k], mixed[known.numbers, k, k], atol=1e-6)
    variance = np.diag(sites).reshape(S, K)[known.numbers]
    np.testing.assert_allclose(found.variance, variance, atol=1e-6)
    assert (np.abs(found.with_terms) > 1e-3).any()
    np.testing.assert_array_equal(found.mean, mode.state.sites[known.numbers])


def test_under_a_rare_arm_the_effect_of_a_site_is_drawn_from_its_effect_under_all():
    patients, _ = small_problem()
    prior = some_prior(3, patients.n_terms)
    mode, dense = find_mode(patients, start(patients), prior), Dense(patients, prior)
    rare = np.array([[False, False, True]])
    found = KnownSites(np.array([4]), rare).moments(mode, prior)
    # the deviation under the arm has its prior; the rest is the posterior mean of the site given its effects
    common, own = prior.site**2, prior.site_by_arm**2
    share = common / (own + 3 * common)
    assert found.mean[0, 2] == pytest.approx(share * mode.state.sites[4].sum())
    to_arms = by_arm_and_site(patients, prior)[3 * patients.n_terms :]
    effects = (to_arms @ np.linalg.inv(dense.hessian(dense.optimum())) @ to_arms.T)[12:15, 12:15]
    expected = share**2 * effects.sum() + common - 3 * share * common + own
    assert found.variance[0, 2] == pytest.approx(expected, abs=1e-6)


def test_draws_of_known_sites_have_their_moments():
    patients, encoding = small_problem(n=900, n_sites=5)
    hierarchy = Hierarchy.learn(patients, encoding)
    drawn, known = hierarchy.draw(1000), hierarchy.known
    assert drawn.sites.shape == (1000, 5, 3)
    mean = sum(c.weight * known.moments(c.mode, c.prior).mean for c in hierarchy.components)
    np.testing.assert_allclose(drawn.sites.mean(axis=0)[:, np.argsort(hierarchy.rank)], mean, atol=0.05)
    # probabilities at a site: the mean of the draws, and those of the shifted logits
    design = next(patients.blocks())[0]
    logits = np.einsum("np,dkp->dnk", design, drawn.terms)[:, :, None] + drawn.sites[:, None]
    shifted = patients.logits(hierarchy.within)[:, None] + hierarchy.shifts(patients)
    np.testing.assert_allclose(expit(shifted).mean(axis=0), expit(logits).mean(axis=(0, 1)), atol=0.01)


def by_importance(patients, prior, mode, n=40_000):
    """Return log evidence, and mean and SD of each arm's terms, by importance sampling."""
    active = prior.terms.ravel() > 0
    sd = prior.terms.ravel()[active]
    covariance = np.linalg.inv(mode.system.factor @ mode.system.factor.T)
    factor = 1.1 * np.linalg.cholesky(covariance)
    white = np.random.default_rng(0).standard_t(7, (n, len(sd)))
    z = mode.system.optimum() + white @ factor.T
    log_proposal = student.logpdf(white, 7).sum(axis=1) - np.log(np.diag(factor)).sum()
    terms = np.zeros((n, prior.terms.size))
    terms[:, active] = z * sd
    terms = terms.reshape(n, *prior.terms.shape)
    by_arm = terms[:, :1] + terms[:, 1:]
    log_target = -0.5 * (z**2).sum(axis=1) - 0.5 * len(sd) * np.log(2 * np.pi)
    for design, rows in patients.blocks():
        for k in range(patients.n_arms):
            mine = patients.arms[rows] == k
            eta = design[mine] @ by_arm[:, k].T
            log_target += patients.weights[mine] @ (patients.y[mine, None] * eta - np.logaddexp(0, eta))
    log_weights = log_target - log_proposal
    share = np.exp(log_weights - logsumexp(log_weights))
    assert 1 / (share**2).sum() > 2000
    mean = np.einsum("n,nkq->kq", share, by_arm)
    sd = np.sqrt(np.einsum("n,nkq->kq", share, (by_arm - mean) ** 2))
    return logsumexp(log_weights) - np.log(n), mean, sd


def tiny_problem(n=150, effect=0.8, seed=1):
    rng = np.random.default_rng(seed)
    covariates, arms = pd.DataFrame({"x": rng.standard_normal(n)}), np.arange(n) % 2
    y = (rng.random(n) < expit(effect * covariates["x"].to_numpy() * (2 * arms - 1))).astype(float)
    encoding = Encoding.learn(covariates, np.ones(n), native_missing=False)
    return Patients(covariates, encoding, arms=arms, y=y, weights=np.ones(n), n_arms=2), encoding


def test_the_posterior_agrees_with_integration_by_brute_force():
    patients, _ = tiny_problem()
    found = []
    for size in (0.2, 1.0):
        prior = Prior(np.array([[5.0, 0.5], [0.4, size], [0.4, size]]))
        mode = find_mode(patients, start(patients), prior)
        evidence, mean, sd = by_importance(patients, prior, mode)
        ours = np.sqrt(np.array([np.diag(c) for c in mode.system.by_arm(prior.terms.shape)]))
        np.testing.assert_allclose(mode.state.by_arm, mean, atol=0.25 * sd.min())  # the mode is not the mean
        np.testing.assert_allclose(ours, sd, rtol=0.06)
        assert mode.log_evidence == pytest.approx(evidence, abs=0.06)
        found.append((mode.log_evidence, evidence))
    ratio, reference = np.subtract(*found)
    assert abs(reference) > 0.5
    assert ratio == pytest.approx(reference, abs=0.03)


def test_the_left_out_likelihood_is_that_of_refits():
    patients, _ = tiny_problem()
    prior = Prior(np.array([[5.0, 0.5], [0.4, 1.0], [0.4, 1.0]]))
    mode = find_mode(patients, start(patients), prior)
    covariance = mode.system.by_arm(prior.terms.shape)
    ours = patients.left_out_loglik(mode.state.by_arm, mode.state.sites, covariance)
    reference = 0.0
    for i in range(len(patients.y)):
        rest = patients.subset(np.delete(np.arange(len(patients.y)), i))
        terms = find_mode(rest, mode.state, prior).state.by_arm
        eta = patients.subset(np.array([i])).logits(terms)[0, patients.arms[i]]
        reference += patients.y[i] * eta - np.logaddexp(0, eta)
    assert mode.curvature.loglik - reference > 1  # what is gained by seeing the patient
    assert ours == pytest.approx(reference, abs=0.1)


def test_the_variances_are_where_the_evidence_is_largest():
    """With flat priors of the scales, the fixed point is (nearly) a maximum of the Laplace evidence."""
    patients, encoding = small_problem(n_sites=None)
    layout = Layout(encoding.kinds, patients.moments()[1], 3)
    layout.freedom[:] = 0.0  # each column has its own variance
    scales, state = maximize_evidence(patients, layout, layout.guessed())

    def evidence(groups):
        return find_mode(patients, state, layout.prior(replace(scales, groups=groups))).log_evidence

    best = evidence(scales.groups)
    for j in np.flatnonzero(scales.groups > 0.02):  # a variance that vanishes has no inner maximum
        for factor in (0.5, 2.0):
            assert evidence(np.where(np.arange(len(scales.groups)) == j, factor, 1.0) * scales.groups) < best


def test_a_handful_of_patients_of_an_arm_with_a_category_get_no_term_of_their_own():
    """Such a coefficient would tell the outcome of a patient whose category and arm are known."""
    rng = np.random.default_rng(0)
    X, y, _ = simulate(600, 0)
    X["job"] = rng.choice(["p", "q", "r"], 600)
    X.loc[X.index[:8], "job"] = "s"
    X.loc[X.index[:8], "arm"] = ["A"] + ["B"] * 7
    tables = []
    for outcome in (0, 1):
        y[0] = outcome
        model = HierarchicalClassifier().fit(X, y)
        features = list(model.encoding_.features)
        tables.append(model.additive().coefficients[:, features.index("job=s")])
    own = [table[0] - table[2] for table in tables]  # arm C has nobody with this category
    np.testing.assert_allclose(own, 0.0, atol=1e-3)  # only the projection moves them
    assert np.ptp(own) < 2e-3
    frequent = model.additive().coefficients[:, features.index("job=p")]
    assert np.ptp(frequent) > 0.005


# -- levels of a score -------------------------------------------------------------------------------------


def scored_problem(n=500, seed=3, n_sites=None):
    """Return patients whose score is logistic around a linear truth, and the score."""
    rng = np.random.default_rng(seed)
    covariates = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.standard_normal(n)})
    arms, weights = np.arange(n) % 2, rng.choice([0.5, 1.0, 2.0], n)
    score = 0.8 * covariates["x"].to_numpy() * (arms + 0.5) + rng.logistic(size=n)
    y = (score > 0).astype(float)
    score[rng.random(n) < 0.1] = np.nan  # of these patients only the outcome is known
    encoding = Encoding.learn(covariates, weights, native_missing=False)
    sites = None if n_sites is None else rng.integers(0, n_sites, n)
    levels = Levels.of_score(score, y, weights)
    return (
        Patients(covariates, encoding, arms=arms, y=y, weights=weights, n_arms=2, sites=sites, levels=levels),
        score,
    )


def cumulative_loglik(patients, terms, sites):
    """Return the textbook log-likelihood: log of the difference of two cumulative probabilities."""
    design, levels = next(patients.blocks())[0], patients.levels
    thresholds = levels.thresholds(terms[0, patients.n_columns :])
    eta = (design * terms[patients.arms, : patients.n_columns]).sum(axis=1)
    if patients.n_sites:
        eta = eta + sites[patients.sites, patients.arms]
    reached, missed = (expit(eta + thresholds[which]) for which in (levels.reached, levels.missed))
    apart = np.log(-np.expm1(np.diff(thresholds[1:-1]))).sum() * APART * patients.weights.sum()
    return patients.weights @ np.log(reached - missed) + apart


@pytest.mark.parametrize("n_sites", [None, 6])
def test_the_likelihood_of_a_score_is_the_cumulative_logit(n_sites):
    patients, _ = scored_problem(n_sites=n_sites)
    rng, levels = np.random.default_rng(1), patients.levels
    assert (levels.n, levels.n_free) == (12, 10)
    terms, sites = rng.normal(0, 0.3, (2, patients.n_terms)), rng.normal(0, 0.3, (patients.n_sites, 2))
    terms[:, patients.n_columns :] = levels.start(patients.weights)
    found, step = patients.curvature(terms, sites), 1e-5
    n_blocks = 2  # the weight that keeps thresholds apart is counted once, not by arm
    assert n_blocks == patients.n_arms
    assert found.loglik == pytest.approx(cumulative_loglik(patients, terms, sites), rel=1e-10)
    for j in range(patients.n_terms):
        shared = j >= patients.n_columns  # thresholds are the same in all arms
        for k in (0,) if shared else (0, 1):
            moved = np.zeros_like(terms)
            moved[slice(None) if shared else k, j] = step
            up, down = (patients.curvature(terms + sign * moved, sites) for sign in (1, -1))
            slope = (up.loglik - down.loglik) / (2 * step)
            own = found.gradient[:, j].sum() if shared else found.gradient[k, j]
            assert slope == pytest.approx(own, abs=1e-5)
            change = (up.gradient - down.gradient) / (2 * step)
            expected = found.hessian[:, :, j] if shared else found.hessian[k, :, j]
            np.testing.assert_allclose(change if shared else change[k], -expected, atol=2e-5)
            change = (up.site_gradient - down.site_gradient) / (2 * step)
            expected = found.cross[:, :, j] if shared else found.cross[:, k, j]
            np.testing.assert_allclose(change if shared else change[:, k], -expected, atol=2e-5)


def test_a_score_of_two_levels_is_the_binary_outcome():
    X, y, _ = simulate(400, 1)
    plain = HierarchicalClassifier().fit(X, y)
    scored = HierarchicalClassifier().fit(X, y, score=np.where(y == 1, 3.0, -3.0))
    assert (plain.levels_, scored.levels_) == (2, 2)
    pd.testing.assert_frame_equal(scored.predict_by_arm(X), plain.predict_by_arm(X))
    unknown = HierarchicalClassifier().fit(X, y, score=np.full(400, np.nan))
    pd.testing.assert_frame_equal(unknown.predict_by_arm(X), plain.predict_by_arm(X))


def test_the_mode_of_a_score_is_the_optimum_that_scipy_finds():
    patients, _ = scored_problem()
    prior = Prior(np.full((3, patients.n_terms), 0.4))
    prior.terms[0, 0], prior.terms[0, patients.n_columns :] = 5.0, 20.0
    prior.terms[1:, patients.n_columns :] = 0.0
    first = start(patients)
    first.terms[0, patients.n_columns :] = patients.levels.start(patients.weights)
    mode = find_mode(patients, first, prior)
    active = prior.terms > 0

    def value(v):
        terms = np.zeros(prior.terms.shape)
        terms[active] = v
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = cumulative_loglik(patients, terms[0] + terms[1:], None)
        return -fit + 0.5 * ((v / prior.terms[active]) ** 2).sum() if np.isfinite(fit) else 1e10

    reference = minimize(value, first.terms[active], method="BFGS", options={"gtol": 1e-6})
    np.testing.assert_allclose(mode.state.terms[active], reference.x, atol=2e-3)
    assert -value(mode.state.terms[active]) >= -reference.fun - 1e-6


def test_with_flat_priors_the_mode_is_that_of_another_package():
    """The maximum likelihood of statsmodels' OrderedModel, with one slope for all arms."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    rng = np.random.default_rng(4)
    covariates = pd.DataFrame(rng.standard_normal((600, 2)), columns=["x", "z"])
    score = covariates.to_numpy() @ [0.8, -0.5] + rng.logistic(size=600)
    y, ones = (score > 0).astype(float), np.ones(600)
    encoding = Encoding.learn(covariates, ones, native_missing=False)
    levels = Levels.of_score(score, y, ones)
    patients = Patients(
        covariates, encoding, arms=np.zeros(600, int), y=y, weights=ones, n_arms=1, levels=levels
    )
    prior = Prior(np.full((2, patients.n_terms), 1e3))
    prior.terms[1] = 0.0
    first = start(patients)
    first.terms[0, patients.n_columns :] = levels.start(ones)
    ours = find_mode(patients, first, prior).state.terms[0]
    design = encoding.encode(covariates)
    reference = OrderedModel(levels.reached, design, distr="logit").fit(
        method="bfgs", disp=False, maxiter=500
    )
    slopes, cuts = (
        np.asarray(reference.params[:2]),
        reference.model.transform_threshold_params(reference.params),
    )
    np.testing.assert_allclose(ours[1:3], slopes, atol=3e-3)
    # P(level >= m) = expit(slopes - cut): the intercept is that of the target, thresholds are relative to it
    at = -cuts[1:-1]
    np.testing.assert_allclose(ours[0], at[levels.target - 1], atol=6e-3)
    np.testing.assert_allclose(levels.thresholds(ours[3:])[1:-1], at - at[levels.target - 1], atol=2e-2)


@pytest.mark.parametrize("seed", range(2))
def test_a_score_needs_fewer_patients_than_its_outcome(seed):
    """The efficiency is the ratio of the squared errors of the effects, over several samples."""
    errors = {"outcome": [], "score": []}
    for repeat in range(12):
        rng = np.random.default_rng([seed, repeat])
        z, arm = rng.standard_normal((400, 2)), rng.integers(0, 2, 400)
        # PHQ-9 from 0 to 27, cut-off 10, about 40 % below it
        phq = 12 - 4.5 * (0.7 * z[:, 0] * (arm - 0.5) + 0.5 * z[:, 1]) + 4.5 * rng.logistic(size=400) * 0.6
        phq = phq.round().clip(0, 27)
        X = pd.DataFrame(z, columns=["x", "z"]).assign(arm=np.array(["A", "B"])[arm])
        y = (phq < 10).astype(int)
        for name, score in (("outcome", None), ("score", -phq)):
            model = HierarchicalClassifier().fit(X, y, score=score)
            modifier = np.diff(model.additive().coefficients[:, 0])[0]
            errors[name].append((modifier - 0.7 / 0.6) ** 2)
    assert np.mean(errors["outcome"]) > 1.4 * np.mean(errors["score"])


def test_a_score_that_contradicts_the_outcome_is_refused():
    X, y, _ = simulate(100, 0)
    score = np.where(y == 1, 5.0, 3.0)
    with pytest.raises(InputError, match=r"score contradicts y in .* their score is not below"):
        HierarchicalClassifier().fit(X, y, score=-score)
    score[np.flatnonzero(y == 0)[:3]] = 5.0
    with pytest.raises(InputError, match="score contradicts y in 3 patients with y = 0"):
        HierarchicalClassifier().fit(X, y, score=score)
    with pytest.raises(InputError, match="Lengths differ: X 100, score 99"):
        HierarchicalClassifier().fit(X, y, score=score[:-1])
    with pytest.raises(InputError, match="score"):
        HierarchicalClassifier().fit(X, y, score=np.array(["many"] * 100))
    shuffled = pd.Series(np.where(y == 1, 5.0, 3.0), X.index[::-1])
    with pytest.raises(InputError, match="order"):
        HierarchicalClassifier().fit(X, pd.Series(y, X.index), score=shuffled)


def test_patients_of_weight_zero_and_their_scores_are_ignored():
    X, y, _ = simulate(300, 2)
    score = np.where(y == 1, 1.0, -1.0) * (1 + np.arange(300) % 7)
    weights = (np.arange(300) % 3 > 0).astype(float)
    model = HierarchicalClassifier().fit(X, y, sample_weight=weights, score=score)
    used = weights > 0
    kept = HierarchicalClassifier().fit(X[used], y[used], score=score[used])
    pd.testing.assert_frame_equal(model.predict_by_arm(X), kept.predict_by_arm(X), rtol=1e-8)


def test_several_blocks_give_the_same_sums_as_one(monkeypatch):
    one, _ = small_problem(2500, n_therapists=4)
    monkeypatch.setattr(_curvature, "BLOCK_CELLS", 1)
    many, _ = small_problem(2500, n_therapists=4)
    assert (len(list(one.blocks())), len(list(many.blocks()))) == (1, 3)
    rng = np.random.default_rng(0)
    terms, sites = rng.normal(size=(3, one.n_terms)), rng.normal(size=(one.n_sites, 3))
    effects = rng.normal(size=one.n_caseloads)
    expected, found = (dict(vars(each.curvature(terms, sites, effects))) for each in (one, many))
    for sums in (expected, found):
        sums.update({f"caseloads, {name}": value for name, value in vars(sums.pop("caseloads")).items()})
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(many.logits(terms), one.logits(terms), rtol=1e-12)
    np.testing.assert_array_equal(many.columns(np.array([1])), one.columns(np.array([1])))
    summaries = [(*patients.moments(), *patients.sample(100)) for patients in (one, many)]
    for expected, found in zip(*summaries, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_curvature_is_that_of_the_log_likelihood():
    patients, _ = small_problem(200)
    rng = np.random.default_rng(0)
    terms, sites = rng.normal(size=(3, patients.n_terms)), rng.normal(size=(patients.n_sites, 3))
    found, step = patients.curvature(terms, sites), 1e-5
    for k, j in [(0, 0), (1, 1), (2, 3)]:
        moved = np.zeros_like(terms)
        moved[k, j] = step
        up, down = (patients.curvature(terms + sign * moved, sites) for sign in (1, -1))
        assert (up.loglik - down.loglik) / (2 * step) == pytest.approx(found.gradient[k, j], abs=1e-5)
        change = (up.gradient[k] - down.gradient[k]) / (2 * step)
        np.testing.assert_allclose(change, -found.hessian[k, j], atol=1e-5)
        change = (up.site_gradient[:, k] - down.site_gradient[:, k]) / (2 * step)
        np.testing.assert_allclose(change, -found.cross[:, k, j], atol=1e-5)


def test_weights_equal_repeated_rows_exactly(patients):
    X, y = patients
    X = X.assign(site=np.arange(len(X)) % 7)
    weights = np.tile([1, 2, 0, 3], len(X))[: len(X)]
    repeated = np.repeat(np.arange(len(X)), weights)
    weighted = HierarchicalClassifier(groups="site").fit(X, y, sample_weight=weights)
    written_out = HierarchicalClassifier(groups="site").fit(X.iloc[repeated], y.iloc[repeated])
    tables = [model.predict_by_arm(X) for model in (weighted, written_out)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)
    pd.testing.assert_series_equal(weighted.prior_, written_out.prior_, rtol=1e-6)
    draws = [model.predict_draws(X.head(20)) for model in (weighted, written_out)]
    np.testing.assert_allclose(*draws, rtol=1e-4)  # they are kept in single precision


# -- recovery ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    modifiers = np.zeros((3, 31))
    modifiers[:, 5] = [0.7, -0.7, 0.0]
    X, y, truth = simulate(1500, 0, n_covariates=31, modifiers=modifiers)
    return X, truth, HierarchicalClassifier().fit(X, y)


def test_a_strong_modifier_among_noise_is_found(planted):
    _, _, model = planted
    additive = model.additive()
    features = list(additive.encoding.features)
    contrast = additive.coefficients[0] - additive.coefficients[1]
    contrast = contrast[[features.index(f"x{j}") for j in range(31)]]
    assert contrast[5] > 1.0  # truth: 1.4
    assert np.abs(np.delete(contrast, 5)).max() < 0.3 * contrast[5]
    assert model.modification_weight_ > 0.99
    sizes = model.modification_["modification"]
    assert sizes.idxmax() == "x5"
    assert sizes["x5"] > 3 * sizes.drop("x5").max()
    hinges = [feature for feature in sizes.index if "above" in feature]
    assert not sizes[hinges].any()


def test_constant_arm_differences_show_little_modification():
    shares, spread = [], []
    for seed in range(3):
        X, y, _ = simulate(4000, seed, n_covariates=10)
        model = HierarchicalClassifier().fit(X, y)
        shares.append(model.modification_weight_)
        table = logit(model.predict_by_arm(X))
        spread.append((table["A"] - table["C"]).std())
    assert np.mean(shares) < 0.8  # prior: 0.9
    assert max(spread) < 0.1  # the benefit itself is 0.6


def test_a_rare_arm_borrows_from_the_others():
    options = {"n_covariates": 8, "prognosis": (0.8, -0.6, 0.4, 0.3), "modifiers": drawn_modifiers(0.1, 8)}
    options["shares"], errors = [0.6, 0.37, 0.03], []
    for seed in range(3):
        X, y, truth = simulate(1500, seed, **options)
        model = HierarchicalClassifier().fit(X, y)
        alone = ArmwiseClassifier(LogisticRegression(max_iter=1000)).fit(X, y)
        errors.append([np.sqrt(((m.predict_by_arm(X) - truth)["C"] ** 2).mean()) for m in (model, alone)])
        logits = logit(model.predict_by_arm(X))
        assert np.corrcoef(logits["A"], logits["C"])[0, 1] > 0.9
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 0.6 * theirs


def test_calibration_and_coverage_on_a_linear_truth():
    options = {"n_covariates": 8, "prognosis": (0.6, -0.4, 0.3), "modifiers": drawn_modifiers(0.2, 8)}
    slopes, covered = [], []
    for seed in range(5):
        X, y, _ = simulate(1500, seed, **options)
        new, new_y, truth = simulate(8000, 100 + seed, **options)
        model = HierarchicalClassifier().fit(X, y)
        slopes.append(slope(model, new, new_y))
        draws = model.predict_draws(new.head(300))
        for first, second in ((0, 1), (0, 2), (1, 2)):
            low, high = np.quantile(draws[:, :, first] - draws[:, :, second], [0.025, 0.975], axis=0)
            target = (truth.iloc[:300, first] - truth.iloc[:300, second]).to_numpy()
            covered.append(((low < target) & (target < high)).mean())
    assert 0.9 < np.mean(slopes) < 1.1
    assert min(slopes) > 0.85
    assert max(slopes) < 1.25
    assert np.mean(covered) > 0.88


def test_probabilities_are_the_mean_of_the_draws(planted):
    X, _, model = planted
    new = X.head(200)
    point = model.predict_by_arm(new).to_numpy()
    difference = np.abs(model.predict_draws(new).mean(axis=0) - point)
    # one logit per arm stands for a mixture of posteriors, and 1,000 draws for their mean
    assert difference.max() < 0.04
    assert difference.mean() < 0.01


def test_with_few_patients_probabilities_are_averaged_over_the_posterior():
    X, y, _ = simulate(40, 3, n_covariates=4, prognosis=(1.5, -1.0))
    covariates = X.drop(columns="arm")
    encoding = Encoding.learn(covariates, np.ones(40), native_missing=False)
    codes = pd.Index(["A", "B", "C"]).get_indexer(X["arm"])
    patients = Patients(covariates, encoding, arms=codes, y=y.astype(float), weights=np.ones(40), n_arms=3)
    hierarchy = Hierarchy.learn(patients, encoding)
    plug_in = sum(c.weight * patients.logits(c.mode.state.by_arm) for c in hierarchy.components)
    averaged, draws = patients.logits(hierarchy.terms), hierarchy.draw(1000).terms
    design = next(patients.blocks())[0]
    mean = expit(np.einsum("np,dkp->dnk", design, draws)).mean(axis=0)
    np.testing.assert_allclose(expit(averaged), mean, atol=0.04)
    assert np.abs(averaged).mean() < 0.97 * np.abs(plug_in).mean()
    assert np.abs(expit(averaged) - mean).mean() < 0.5 * np.abs(expit(plug_in) - mean).mean()


# -- symmetry ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort():
    """A table with sites, missing values and a category; arms of different size."""
    X, y, _ = simulate(
        600,
        4,
        n_covariates=4,
        modifiers=drawn_modifiers(0.4, 4),
        missing=0.1,
        site_sd=0.5,
        shares=[0.5, 0.3, 0.2],
    )
    X["job"] = np.random.default_rng(0).choice(["p", "q", "r"], 600)
    return X, y, HierarchicalClassifier(groups="site").fit(X, y)


def test_names_and_order_of_arms_change_neither_probabilities_nor_draws(cohort):
    X, y, model = cohort
    renamed = X.assign(arm=X["arm"].map({"A": "z", "B": "y", "C": "x"}))
    other = HierarchicalClassifier(groups="site").fit(renamed, y)
    expected = model.predict_by_arm(X).to_numpy()
    np.testing.assert_allclose(other.predict_by_arm(X)[["z", "y", "x"]].to_numpy(), expected, rtol=1e-8)
    head = X.head(30)
    draws, of_other = model.predict_draws(head), other.predict_draws(head)[:, :, ::-1]
    np.testing.assert_allclose(of_other, draws, rtol=1e-4)  # they are kept in single precision


def test_permuted_rows_change_nothing(cohort):
    X, y, model = cohort
    order = np.random.default_rng(1).permutation(len(X))
    other = HierarchicalClassifier(groups="site").fit(X.iloc[order], y[order])
    pd.testing.assert_frame_equal(other.predict_by_arm(X), model.predict_by_arm(X), rtol=1e-8)
    np.testing.assert_allclose(other.predict_draws(X.head(9)), model.predict_draws(X.head(9)), rtol=1e-4)


def test_the_order_of_covariates_does_not_matter(cohort):
    X, y, model = cohort
    other = HierarchicalClassifier(groups="site").fit(X[list(X.columns[::-1])], y)
    pd.testing.assert_frame_equal(other.predict_by_arm(X), model.predict_by_arm(X), rtol=1e-6)


def test_units_do_not_matter(cohort):
    X, y, model = cohort
    scaled = X.assign(x0=1e6 * X["x0"] + 3e6, x1=1e-6 * X["x1"])
    other = HierarchicalClassifier(groups="site").fit(scaled, y)
    pd.testing.assert_frame_equal(other.predict_by_arm(scaled), model.predict_by_arm(X), rtol=1e-6)


# -- sites -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_spread_of_sites_is_found_and_widens_intervals(seed):
    X, y, _ = simulate(2000, seed, site_sd=0.7)
    model = HierarchicalClassifier(groups="site").fit(X, y)
    assert 0.35 < model.prior_["site"] < 1.4
    assert model.prior_["site x arm"] < 0.2
    assert list(model.feature_names_in_) == [f"x{j}" for j in range(6)]
    assert not any("site" in feature for feature in model.encoding_.features)
    without = HierarchicalClassifier().fit(X.drop(columns="site"), y)
    new = X.drop(columns="site").head(50)
    assert width(model.predict_draws(new)) > 2 * width(without.predict_draws(new))
    unseen = model.predict_by_arm(new.assign(site="a new site"))
    pd.testing.assert_frame_equal(unseen, model.predict_by_arm(new))


def test_effects_that_differ_between_sites_are_found():
    X, y, truth = simulate(2000, 5, site_sd=0.0)
    rng = np.random.default_rng(0)
    logits = logit(truth.to_numpy()) + rng.normal(0, 0.8, (40, 3))[X["site"]]
    arm = pd.Index(truth.columns).get_indexer(X["arm"])
    y = (rng.random(2000) < expit(logits[np.arange(2000), arm])).astype(int)
    model = HierarchicalClassifier(groups="site").fit(X, y)
    assert 0.4 < model.prior_["site x arm"] < 1.2
    draws = model.predict_draws(X.head(30))
    without = HierarchicalClassifier().fit(X.drop(columns="site"), y).predict_draws(X.head(30))
    assert width(draws[:, :, 0] - draws[:, :, 1]) > 2 * width(without[:, :, 0] - without[:, :, 1])


def test_one_site_and_a_site_per_patient_are_accepted():
    X, y, _ = simulate(120, 0)
    plain = HierarchicalClassifier().fit(X, y).predict_by_arm(X)
    for site in ("only", np.arange(120)):
        model = HierarchicalClassifier(groups="site").fit(X.assign(site=site), y)
        assert np.abs(model.predict_by_arm(X) - plain).to_numpy().max() < 0.1


def test_missing_sites_and_a_missing_column_of_sites_are_refused():
    X, y, _ = simulate(100, 0, site_sd=0.3)
    model = HierarchicalClassifier(groups="site")
    with pytest.raises(InputError, match="'site' holds 3 missing sites"):
        model.fit(X.assign(site=X["site"].where(X.index > 2)), y)
    with pytest.raises(InputError, match="no column 'site', which was given as groups"):
        model.fit(X.drop(columns="site"), y)
    with pytest.raises(InputError, match="no column 'site', which was given as groups"):
        model.fit(X.to_numpy(), y)


# -- missing covariates ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gaps():
    """x0 and job matter and have gaps; x1 and region matter and have none."""
    X, _, truth = simulate(1500, 0, prognosis=(1.0, -0.8))
    rng = np.random.default_rng(0)
    X["job"], X["region"] = rng.choice(["work", "none"], 1500), rng.choice(["north", "south"], 1500)
    logits = logit(truth.to_numpy())
    logits += 1.2 * (X[["job"]] == "work").to_numpy() - 1.2 * (X[["region"]] == "north").to_numpy()
    arm = pd.Index(truth.columns).get_indexer(X["arm"])
    y = (rng.random(1500) < expit(logits[np.arange(1500), arm])).astype(int)
    for name in ("x0", "job"):
        X[name] = X[name].where(rng.random(1500) > 0.2, None)
    X["x0"] = X["x0"].astype(float)
    return X.dropna().head(100), HierarchicalClassifier().fit(X, y)


@pytest.mark.parametrize("name", ["x0", "job", "x1", "region"])
def test_intervals_widen_where_an_important_covariate_is_missing(gaps, name):
    X, model = gaps
    known = width(model.predict_draws(X))
    missing = np.nan if name.startswith("x") else None
    draws = model.predict_draws(X.assign(**{name: missing}))
    assert width(draws) > 1.5 * known
    assert np.isfinite(draws).all()
    some = X.assign(**{name: X[name].where(np.arange(len(X)) >= 10, missing)})
    mixed = model.predict_draws(some)
    np.testing.assert_allclose(mixed[:, :10], draws[:, :10], rtol=1e-10)
    np.testing.assert_allclose(mixed[:, 10:], model.predict_draws(X)[:, 10:], rtol=1e-10)


def test_intervals_hardly_widen_where_noise_is_missing(gaps):
    X, model = gaps
    assert width(model.predict_draws(X.assign(x5=np.nan))) < 1.25 * width(model.predict_draws(X))


@pytest.mark.parametrize("missing", [0.1, 0.3, 0.5])
def test_missing_values_leave_calibration_intact(missing):
    options = {"prognosis": (0.6, -0.4, 0.3), "modifiers": drawn_modifiers(0.2, 6), "missing": missing}
    slopes = []
    for seed in range(2):
        X, y, _ = simulate(2000, seed, **options)
        new, new_y, _ = simulate(8000, 100 + seed, **options)
        slopes.append(slope(HierarchicalClassifier().fit(X, y), new, new_y))
    assert min(slopes) > 0.85
    assert max(slopes) < 1.15


# -- edges -------------------------------------------------------------------------------------------------

TABLES = {
    "a constant column": lambda X: X.assign(constant=3.0),
    "two identical columns": lambda X: X.assign(twin=X["x0"]),
    "a column of size 1e6": lambda X: X.assign(x0=1e6 * X["x0"]),
    "whole numbers": lambda X: X.assign(**{f"x{j}": (3 * X[f"x{j}"]).round().astype(int) for j in range(6)}),
    "one covariate": lambda X: X[["x0", "arm"]],
    "one constant covariate": lambda X: X[["arm"]].assign(constant=1),
    "a category of one level": lambda X: X.assign(country="here"),
    "a yes/no covariate": lambda X: X[["arm"]].assign(yes=X["x0"] > 0),
}


@pytest.mark.parametrize("change", TABLES.values(), ids=TABLES.keys())
def test_odd_tables_are_fitted(change):
    X, y, _ = simulate(200, 2)
    X = change(X)
    model = HierarchicalClassifier().fit(X, y)
    table, draws = model.predict_by_arm(X).to_numpy(), model.predict_draws(X)
    assert draws.shape == (1000, 200, 3)
    assert np.isfinite(draws).all()
    assert table.min() > 0.01
    assert table.max() < 0.99
    np.testing.assert_allclose(draws.mean(axis=0), table, atol=0.04)


@pytest.mark.parametrize("change", ["a constant column", "a category of one level"])
def test_an_uninformative_column_changes_nothing(change):
    X, y, _ = simulate(400, 2)
    plain = HierarchicalClassifier().fit(X, y).predict_by_arm(X)
    added = TABLES[change](X)
    with_it = HierarchicalClassifier().fit(added, y).predict_by_arm(added)
    assert np.abs(with_it - plain).to_numpy().max() < 0.01


def test_a_duplicated_column_changes_little():
    X, y, _ = simulate(800, 2)
    plain = HierarchicalClassifier().fit(X, y).predict_by_arm(X)
    twins = X.assign(twin=X["x0"])
    table = HierarchicalClassifier().fit(twins, y).predict_by_arm(twins)
    assert np.abs(table - plain).to_numpy().max() < 0.05


def test_outcomes_may_be_booleans():
    X, y, _ = simulate(100, 2)
    tables = [HierarchicalClassifier().fit(X, given).predict_by_arm(X) for given in (y, y == 1)]
    pd.testing.assert_frame_equal(*tables)


def test_patients_of_zero_weight_are_ignored():
    X, y, _ = simulate(300, 2, site_sd=0.3)
    weights = (np.arange(300) % 3 > 0).astype(float)
    model = HierarchicalClassifier(groups="site").fit(X, y, sample_weight=weights)
    kept = HierarchicalClassifier(groups="site").fit(X[weights > 0], y[weights > 0])
    pd.testing.assert_frame_equal(model.predict_by_arm(X), kept.predict_by_arm(X), rtol=1e-8)
    with pytest.raises(InputError, match=r"sample_weight must not .* all be zero"):
        HierarchicalClassifier(groups="site").fit(X, y, sample_weight=np.zeros(300))


@pytest.mark.parametrize("n_arms", [1, 2, 6])
def test_any_number_of_arms(n_arms):
    X, y, _ = simulate(400, 2, effects=np.linspace(0.5, -0.5, n_arms))
    model = HierarchicalClassifier().fit(X, y)
    assert list(model.predict_by_arm(X).columns) == list(ARMS[:n_arms])
    assert model.predict_draws(X.head(5)).shape == (1000, 5, n_arms)
    assert np.isnan(model.modification_weight_) == (n_arms == 1)


def test_no_arm_column_is_the_same_as_a_single_arm():
    X, y, _ = simulate(300, 2, effects=(0.0,))
    with_arm = HierarchicalClassifier().fit(X, y)
    without = HierarchicalClassifier(arm=None).fit(X.drop(columns="arm"), y)
    one, other = with_arm.predict_by_arm(X), without.predict_by_arm(X)
    np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), rtol=1e-10)
    assert list(other.columns) == ["all"]


@pytest.mark.parametrize("n", [12, 25])
def test_a_handful_of_patients_is_fitted_with_wide_intervals(n):
    X, _, _ = simulate(n, 0)
    X["arm"] = np.array(["A", "A", "B", "B", "C"])[np.arange(n) % 5]
    y = np.arange(n) // 5 % 2
    model = HierarchicalClassifier().fit(X, y)
    table = model.predict_by_arm(X).to_numpy()
    assert table.min() > 0.05
    assert table.max() < 0.95
    assert width(model.predict_draws(X)) > 0.4


def test_a_covariate_that_determines_the_outcome_does_not_diverge():
    X, y, _ = simulate(200, 2)
    model = HierarchicalClassifier().fit(X.assign(leak=y), y)
    assert np.isfinite(model.additive().coefficients).all()
    assert np.isfinite(model.predict_draws(X.assign(leak=y))).all()


def test_draws_need_a_model_that_gives_them(planted):
    X, _, model = planted
    without = replace(model.additive(), coefficient_draws=None)
    with pytest.raises(UnsupportedModelError, match="no posterior draws"):
        without.predict_draws(X)
