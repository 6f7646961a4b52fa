"""Posterior mode and evidence of the hierarchical logistic model at a given prior (Laplace approximation).

Terms have two layers: effects shared by all arms (row 0) and deviations of each arm (rows 1 to K). Both are
standardized, z = term / prior standard deviation, which keeps the system well conditioned for any prior: a
term with standard deviation zero is left out. Site effects are integrated out exactly within the quadratic
approximation.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from treatsel._checks import FloatArray
from treatsel.errors import TreatselError
from treatsel.models.hierarchical._curvature import NO_EFFECTS, Curvature, Patients
from treatsel.models.hierarchical._outside import Outside
from treatsel.models.hierarchical._therapists import therapist_step, without_therapists

MAX_STEPS = 50  # never reached in practice: Newton's method converges quadratically
# A step this short still increases a concave function unless only rounding is left.
SHORTEST_STEP = 1e-4
# Gradient with respect to z at a mode. The posterior precision of z is at least 1, so that a mode is then
# within 1e-4 prior standard deviations, far below a posterior standard deviation.
CONVERGED = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Prior:
    """Prior standard deviations, and estimates from elsewhere.

    `terms`: shape (K + 1, q); row 0 of the shared effects, row k + 1 of the deviations of arm k. `site`,
    `site_by_arm`: of a site's intercept, and of its deviation under each arm; `therapist`: of a therapist's
    effect.
    """

    terms: FloatArray
    site: float = 0.0
    site_by_arm: float = 0.0
    outside: Outside | None = None
    therapist: float = 0.0

    def site_covariance(self) -> FloatArray:
        """Return the prior covariance of a site's intercepts under the arms, shape (K, K)."""
        n_arms = len(self.terms) - 1
        return self.site**2 + self.site_by_arm**2 * np.eye(n_arms)


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """A parameter value: shared and deviating terms, (K + 1, q); effects of sites, (S, K), and caseloads."""

    terms: FloatArray
    sites: FloatArray
    therapists: FloatArray = field(default_factory=lambda: NO_EFFECTS)

    @property
    def by_arm(self) -> FloatArray:
        """Intercept and coefficients of each arm, shape (K, q)."""
        return np.asarray(self.terms[0] + self.terms[1:])


@dataclass(frozen=True, eq=False, repr=False)
class System:
    """The quadratic approximation at a state, with sites and therapists integrated out.

    `factor` is the Cholesky factor L of the precision L L' of z (active terms only), and `linear` the
    right-hand side, so that the optimum is z = (L L')^-1 linear. `cross`: second derivatives between effects
    of sites and terms, without the therapists. `information`: curvature of the log-likelihood of the patients
    in the arms' terms, (K, q, K, q); `published`: that of published estimates, None without any.
    """

    active: np.ndarray
    scale: FloatArray
    factor: FloatArray
    linear: FloatArray
    site_cov: FloatArray
    site_linear: FloatArray
    cross: FloatArray
    log_det: float
    information: FloatArray
    published: FloatArray | None

    @classmethod
    def build(cls, curvature: Curvature, state: State, prior: Prior) -> "System":
        """Build the system from the sums at `state`."""
        curvature, of_therapists = without_therapists(curvature, state.therapists, prior.therapist)
        information, gradient, site_cov, site_linear, log_det = _without_sites(curvature, state, prior)
        hessian, own = information, None
        if prior.outside is not None:
            own_gradient, own = prior.outside.quadratic(state.by_arm)
            gradient, hessian = gradient + own_gradient, hessian + own
        linear = gradient + np.einsum("kplq,lq->kp", hessian, state.by_arm)
        layers = np.concatenate([linear.sum(axis=0)[None], linear])
        active = prior.terms.ravel() > 0
        scale = prior.terms.ravel()[active]
        matrix = _two_layers(hessian)[np.ix_(active, active)] * np.outer(scale, scale)
        matrix[np.diag_indices_from(matrix)] += 1.0
        factor = _factor(matrix)
        log_det += of_therapists + 2 * float(np.log(np.diag(factor)).sum())
        linear = layers.ravel()[active] * scale
        return cls(
            active, scale, factor, linear, site_cov, site_linear, curvature.cross, log_det, information, own
        )

    def optimum(self) -> FloatArray:
        """Return z at the optimum, active terms only."""
        return np.asarray(cho_solve((self.factor, True), self.linear, check_finite=False))

    def gradient(self, state: State) -> float:
        """Return the largest absolute derivative of the log joint density at `state` with respect to z."""
        z = state.terms.ravel()[self.active] / self.scale
        return float(np.abs(self.linear - self.factor @ (self.factor.T @ z)).max(initial=0.0))

    def terms(self, z: FloatArray, shape: tuple[int, int]) -> FloatArray:
        """Return terms, shape (K + 1, q), of active z."""
        full = np.zeros(shape[0] * shape[1])
        full[self.active] = self.scale * z
        return full.reshape(shape)

    def moved(self, data: FloatArray, prior: FloatArray) -> FloatArray:
        """Return draws of z around the optimum, (n_active, n), for given noise in the data and in the prior.

        The optimum is linear in the scores of the patients and in the centers of the priors. Noise in both,
        with their precisions as covariance, gives z the posterior covariance. The scores of outcomes that
        were fitted to the same patients are correlated as their residuals are, however strong the priors.

        `data`: standard normal numbers, (K q, n); `prior`: of all terms, ((K + 1) q, n).

        References
        ----------
        Papandreou & Yuille (2010), NeurIPS 23, 1858-1866. (perturb and solve)
        """
        n_arms, q = self.information.shape[:2]
        root = _factor(self.information.reshape(n_arms * q, -1))
        scores = (root @ data).reshape(n_arms, q, -1)
        layers = np.concatenate([scores.sum(axis=0)[None], scores]).reshape((n_arms + 1) * q, -1)
        own = prior[self.active]
        if self.published is not None:
            matrix = _two_layers(self.published)[np.ix_(self.active, self.active)]
            own = _factor(np.eye(len(own)) + matrix * np.outer(self.scale, self.scale)) @ own
        noise = self.scale[:, None] * layers[self.active] + own
        return np.asarray(cho_solve((self.factor, True), noise, check_finite=False))

    def variance(self) -> FloatArray:
        """Return the posterior variance of each active z."""
        inverse = solve_triangular(self.factor, np.eye(len(self.factor)), lower=True, check_finite=False)
        return np.asarray((inverse**2).sum(axis=0))

    def _covariance(self, shape: tuple[int, int]) -> FloatArray:
        """Return the posterior covariance of shared and deviating terms, shape (K + 1, q, K + 1, q)."""
        white = cho_solve((self.factor, True), np.diag(self.scale), check_finite=False)
        full = np.zeros((shape[0] * shape[1],) * 2)
        full[np.ix_(self.active, self.active)] = white * self.scale[:, None]
        return full.reshape(*shape, *shape)

    def joint(self, shape: tuple[int, int]) -> FloatArray:
        """Return the posterior covariance of all arms' terms, shape (K, q, K, q)."""
        wide = self._covariance(shape)
        return np.asarray(wide[1:, :, 1:] + wide[:1, :, 1:] + wide[1:, :, :1] + wide[:1, :, :1])

    def by_arm(self, shape: tuple[int, int]) -> FloatArray:
        """Return the posterior covariance of each arm's terms, shape (K, q, q)."""
        n_arms, wide = shape[0] - 1, self._covariance(shape)
        own = np.array([wide[k + 1, :, k + 1] + wide[0, :, k + 1] + wide[k + 1, :, 0] for k in range(n_arms)])
        return np.asarray(own + wide[0, :, 0])

    def log_evidence(self) -> float:
        """Return the log evidence of the quadratic approximation, up to a constant.

        The constant does not depend on the prior of the terms, so that such priors can be compared at the
        same prior of sites.
        """
        half = solve_triangular(self.factor, self.linear, lower=True, check_finite=False)
        return 0.5 * float(half @ half) - 0.5 * self.log_det


def _factor(matrix: FloatArray) -> FloatArray:
    """Return the Cholesky factor of a precision matrix, whose eigenvalues are 1 or more but for rounding.

    Next to separation, large curvatures of some terms and vanishing ones of others may leave eigenvalues
    below 0 by rounding; a ridge of that size restores them.
    """
    ridge = 0.0
    while not ridge > np.trace(matrix):
        shifted = matrix + ridge * np.eye(len(matrix)) if ridge else matrix
        try:
            return np.asarray(cholesky(shifted, lower=True, check_finite=False))
        except LinAlgError:
            ridge = max(100 * ridge, 1e-15 * float(np.trace(matrix)))
    raise TreatselError("The curvature of the likelihood is not finite. Check covariates and weights.")


def _without_sites(
    curvature: Curvature, state: State, prior: Prior
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
    """Integrate out the sites: return curvature (K, q, K, q) and gradient (K, q) of the arms' terms.

    Also returned: the posterior covariance of each site's intercepts given the terms, their linear part, and
    their contribution to the log determinant.
    """
    n_arms, q = curvature.gradient.shape
    hessian = np.zeros((n_arms, q, n_arms, q))
    for k in range(n_arms):
        hessian[k, :, k, :] = curvature.hessian[k]
    gradient = curvature.gradient
    if not len(curvature.site_hessian):
        return hessian, gradient, np.zeros((0, n_arms, n_arms)), state.sites, 0.0
    sigma, eye = prior.site_covariance(), np.eye(n_arms)
    # (Sigma^-1 + D)^-1 = Sigma (I + D Sigma)^-1 avoids the inverse of Sigma, singular if a site SD is 0
    inner = eye + curvature.site_hessian[:, :, None] * sigma
    cov = sigma @ np.linalg.inv(inner)
    linear = curvature.site_hessian * state.sites + curvature.site_gradient
    center = np.einsum("skl,sl->sk", cov, linear) - state.sites
    for k in range(n_arms):
        for m in range(n_arms):
            left = curvature.cross[:, k] * cov[:, k, m, None]
            hessian[k, :, m, :] -= left.T @ curvature.cross[:, m]
    gradient = gradient - np.einsum("skq,sk->kq", curvature.cross, center)
    log_det = float(np.linalg.slogdet(inner)[1].sum())
    return hessian, gradient, cov, linear, log_det


def _two_layers(hessian: FloatArray) -> FloatArray:
    """Return the curvature of (shared, deviating) terms: ((K + 1) q, (K + 1) q)."""
    n_arms, q = hessian.shape[:2]
    wide = np.zeros((n_arms + 1, q, n_arms + 1, q))
    wide[1:, :, 1:, :] = hessian
    wide[0, :, 1:, :] = hessian.sum(axis=0)
    wide[1:, :, 0, :] = hessian.sum(axis=2)
    wide[0, :, 0, :] = hessian.sum(axis=(0, 2))
    return wide.reshape((n_arms + 1) * q, (n_arms + 1) * q)


def log_joint(curvature: Curvature, state: State, prior: Prior) -> float:
    """Return log-likelihood plus log prior density, without constants, at a state."""
    active = prior.terms > 0
    total = curvature.loglik - 0.5 * float(((state.terms[active] / prior.terms[active]) ** 2).sum())
    if prior.outside is not None:
        total -= prior.outside.energy(state.by_arm)
    if len(state.sites):
        inverse = np.linalg.pinv(prior.site_covariance(), hermitian=True)  # singular if a site SD is 0
        total -= 0.5 * float(np.einsum("sk,kl,sl->", state.sites, inverse, state.sites))
    if prior.therapist:
        total -= 0.5 * float(((state.therapists / prior.therapist) ** 2).sum())
    return total


def newton_step(curvature: Curvature, state: State, prior: Prior) -> State:
    """Return the optimum of the quadratic approximation at a state."""
    system = System.build(curvature, state, prior)
    terms = system.terms(system.optimum(), state.terms.shape)
    moved, sites = (terms[0] + terms[1:]) - state.by_arm, state.sites
    if len(sites):
        pull = system.site_linear - np.einsum("skq,kq->sk", system.cross, moved)
        sites = np.einsum("skl,sl->sk", system.site_cov, pull)
    effects = therapist_step(curvature, state.therapists, prior.therapist, moved, sites - state.sites)
    return State(terms, sites, effects)


def blend(old: State, new: State, share: float) -> State:
    """Return the state at a share of the way from one state to another."""
    return State(
        old.terms + share * (new.terms - old.terms),
        old.sites + share * (new.sites - old.sites),
        old.therapists + share * (new.therapists - old.therapists),
    )


def curvature_at(patients: Patients, state: State) -> Curvature:
    """Return the sums over patients at a state."""
    return patients.curvature(state.by_arm, state.sites, state.therapists)


def advance(
    patients: Patients, curvature: Curvature, state: State, prior: Prior
) -> tuple[State, Curvature, float]:
    """Take one Newton step, halved until the joint density does not fall; return its log density as well.

    Without halving, a step overshoots where the covariates (nearly) separate the outcomes, and Newton's
    method diverges.
    """
    target, previous = newton_step(curvature, state, prior), log_joint(curvature, state, prior)
    share = 1.0
    while True:
        candidate = blend(state, target, share)
        at = curvature_at(patients, candidate)
        value = log_joint(at, candidate, prior)
        # The joint density is log-concave, so a full step rarely overshoots. Near the mode, changes are
        # below the rounding error of a sum over patients, hence the relative tolerance.
        if value >= previous - 1e-10 * abs(previous) or share < SHORTEST_STEP:
            return candidate, at, value
        share /= 2


@dataclass(frozen=True, eq=False)
class Mode:
    """The posterior mode under a prior: state, curvature and system at the mode, and Laplace log evidence.

    `converged`: whether the gradient vanishes there.
    """

    state: State
    curvature: Curvature
    system: System
    log_evidence: float
    converged: bool


def find_mode(patients: Patients, start: State, prior: Prior, *, tol: float = 1e-8) -> Mode:
    """Find the posterior mode by Newton's method with step halving.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447 (Laplace evidence). doi:10.1162/neco.1992.4.3.415
    """
    state = _without_inactive(start, prior)
    curvature = curvature_at(patients, state)
    value = log_joint(curvature, state, prior)
    for _ in range(MAX_STEPS):
        previous = value
        state, curvature, value = advance(patients, curvature, state, prior)
        if value - previous < tol:  # in nats: the evidences of priors are compared to about 0.01
            system = System.build(curvature, state, prior)
            if (gradient := system.gradient(state)) < CONVERGED:
                break
    else:
        system = System.build(curvature, state, prior)
        gradient = system.gradient(state)
    return Mode(state, curvature, system, value - 0.5 * system.log_det, gradient < CONVERGED)


def _without_inactive(state: State, prior: Prior) -> State:
    """Set terms and effects of sites and therapists to zero where their prior standard deviation is zero."""
    sites = state.sites if prior.site_covariance().any() else np.zeros_like(state.sites)
    effects = state.therapists if prior.therapist else np.zeros_like(state.therapists)
    return State(np.where(prior.terms > 0, state.terms, 0.0), sites, effects)
