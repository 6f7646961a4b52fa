"""Assignment, dropout and symptom change of simulated patients, and the true probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr

from treatsel._checks import FloatArray
from treatsel.datasets._population import IntArray, Services, softmax, standardize_scores, whole_score

# Fraction of symptoms left = CEILING / (1 + exp(-(m + SPREAD z))); m of each arm in those who complete.
# No m is published for medication: it is assumed to equal CBT's.
CEILING, SPREAD = 3.32, 0.74
LEFT = {
    "guided_self_help": -1.41,  # by book -1.43, by computer -1.38, in a ratio of about 12 to 1
    "cbt": -1.50,
    "counselling": -1.56,
    "ipt": -1.62,
    "psychodynamic": -1.53,
    "medication": -1.50,
}
ARMS = tuple(LEFT)
TALKING = ("cbt", "counselling", "ipt", "psychodynamic")
HETEROGENEITY = {"none": 0.0, "realistic": 0.10, "strong": 0.25}  # SD of effect modification, on m
MATCH = {
    "none": 0.0,
    "realistic": 0.25,
    "strong": 0.50,
}  # reduction of dropout by the preferred format, logit

SITE_SD, SITE_ARM_SD, THERAPIST_SD, SCORE_CORRELATION = 0.10, 0.10, 0.17, 0.85
PROGNOSIS_MEAN, PROGNOSIS_SD = 0.123, 0.175  # of `_prognosis` in the reference population
MODIFIER_RMS = 0.914  # of `_modifiers` in the reference population
WORSE_AFTER_DROPOUT = 0.40  # on m
PHQ9_RECOVERED, GAD7_RECOVERED = 9.5, 7.5  # a score is rounded, so 9.49 is still below 10

DROPOUT_INTERCEPT = -0.41
DROPOUT_BY_ARM = {
    "guided_self_help": 0.15,
    "cbt": 0.05,
    "counselling": -0.15,
    "ipt": -0.10,
    "psychodynamic": 0.0,
    "medication": 0.05,
}
ROUTINE_BY_ARM = {
    "guided_self_help": 0.9,
    "cbt": 0.9,
    "counselling": 0.1,
    "ipt": -0.8,
    "psychodynamic": -1.1,
    "medication": -0.6,
}
CASELOAD = 30  # patients per therapist
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, kw_only=True, repr=False)
class Mechanism:
    """Parameters of assignment and outcomes: arrays of shape (n_patients, n_arms).

    `left`: mean of the logit of symptoms left, given that the patient completes; `dropout`: probability of
    dropout; `propensity`: probability of each arm; `residual`: SD around `left`.
    """

    arms: tuple[str, ...]
    left: FloatArray
    dropout: FloatArray
    propensity: FloatArray
    residual: float

    def only(self, arms: tuple[str, ...]) -> "Mechanism":
        """Return the mechanism of some of the arms."""
        keep = [self.arms.index(arm) for arm in arms]
        tables = {name: getattr(self, name)[:, keep] for name in ("left", "dropout", "propensity")}
        return replace(self, arms=arms, **tables)


def make_mechanism(
    rng: np.random.Generator,
    patients: pd.DataFrame,
    services: Services,
    *,
    assignment: str | Mapping[str, float],
    heterogeneity: str,
) -> Mechanism:
    """Draw the effects of services and compute each patient's parameters under every arm."""
    sites, k = len(services), len(ARMS)
    site = SITE_SD * rng.standard_normal((sites, 1))
    site_arm = rng.standard_normal((sites, k))
    site_arm = SITE_ARM_SD * np.sqrt(k / (k - 1)) * (site_arm - site_arm.mean(axis=1, keepdims=True))
    stay = 0.15 * rng.standard_normal((sites, 1))
    offer = 0.3 * rng.standard_normal((sites, k))
    where, size = services.of_patient, HETEROGENEITY[heterogeneity]
    prognosis = (_prognosis(patients) - PROGNOSIS_MEAN)[:, np.newaxis]
    left = np.array(list(LEFT.values())) + prognosis + (site + site_arm)[where]
    left += size / MODIFIER_RMS * _modifiers(patients)
    explained = PROGNOSIS_SD**2 + SITE_SD**2 + SITE_ARM_SD**2 + size**2
    matched = _matches(patients)
    leave = _dropout(patients)[:, np.newaxis] + np.array(list(DROPOUT_BY_ARM.values()))
    leave += stay[where] - MATCH[heterogeneity] * matched
    if assignment == "routine":
        chance = 0.94 * softmax(_routine(patients) + offer[where] + 0.6 * matched) + 0.06 / k
    else:
        shares = assignment if isinstance(assignment, Mapping) else dict.fromkeys(ARMS, 1.0)
        total = sum(shares.values())
        row = np.array([shares.get(arm, 0.0) / total for arm in ARMS])
        chance = np.broadcast_to(row, left.shape)
    return Mechanism(
        arms=ARMS,
        left=left,
        dropout=expit(leave),
        propensity=chance,
        residual=float(np.sqrt(SPREAD**2 - explained)),
    )


def true_recovery(mechanism: Mechanism, phq: FloatArray, gad: FloatArray) -> FloatArray:
    """Return the probability that both last scores are below their cut-offs, by arm."""
    below_phq, below_gad = _threshold(PHQ9_RECOVERED, phq), _threshold(GAD7_RECOVERED, gad)
    recovery = np.zeros_like(mechanism.left)
    for column in range(recovery.shape[1]):
        leave, mean = mechanism.dropout[:, column], mechanism.left[:, column]
        for weight, m in ((1 - leave, mean), (leave, mean + WORSE_AFTER_DROPOUT)):
            recovery[:, column] += weight * bivariate_normal_cdf(
                (below_phq - m) / mechanism.residual, (below_gad - m) / mechanism.residual
            )
    return recovery


def draw_last_scores(
    rng: np.random.Generator,
    mechanism: Mechanism,
    patients: pd.DataFrame,
    therapist: IntArray,
    received: IntArray,
    dropped: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Draw the last PHQ-9 and GAD-7 under the received arm."""
    n, total = len(patients), mechanism.residual**2
    own = total - THERAPIST_SD**2
    shared = (SCORE_CORRELATION * total - THERAPIST_SD**2) / own
    z = rng.standard_normal((2, n))
    z[1] = shared * z[0] + np.sqrt(1 - shared**2) * z[1]
    mean = mechanism.left[np.arange(n), received] + WORSE_AFTER_DROPOUT * dropped
    mean = mean + THERAPIST_SD * rng.standard_normal(int(therapist.max()) + 1)[therapist]
    fraction = CEILING * expit(mean + np.sqrt(own) * z)
    phq, gad = patients["phq9_start"].to_numpy(), patients["gad7_start"].to_numpy()
    return whole_score(fraction[0] * phq, 27), whole_score(fraction[1] * gad, 21)


def draw_therapists(
    rng: np.random.Generator, services: Services, received: IntArray, n_arms: int
) -> IntArray:
    """Assign each patient to a therapist, who works in one service and provides one arm."""
    team = services.of_patient * n_arms + received
    size = np.maximum(1, np.bincount(team, minlength=len(services) * n_arms) // CASELOAD)
    first = size.cumsum() - size
    within = np.floor(rng.random(len(team)) * size[team])
    return np.asarray(first[team] + within, dtype=np.int64)


def bivariate_normal_cdf(a: FloatArray, b: FloatArray, rho: float = SCORE_CORRELATION) -> FloatArray:
    """Return P(Z1 < a, Z2 < b) for standard normals with correlation `rho`, by Plackett's integral.

    References
    ----------
    Drezner & Wesolowsky (1990), Journal of Statistical Computation and Simulation 35, 101-107.
    """
    a, b = np.clip(a, -9, 9), np.clip(b, -9, 9)
    half = np.arcsin(rho) / 2
    squares, product = (a * a + b * b) / 2, a * b
    integral = np.zeros_like(a)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        sine = np.sin(half * (node + 1))
        integral += weight * np.exp((product * sine - squares) / (1 - sine * sine))
    cdf = ndtr(a) * ndtr(b) + half * integral / (2 * np.pi)
    return np.asarray(np.clip(cdf, 0.0, 1.0))  # rounding error in the tails only


def _threshold(bound: float, first: FloatArray) -> FloatArray:
    """Return the logit of the fraction left at which the last score equals `bound`; infinite if it cannot."""
    return np.asarray(logit(np.minimum(bound / (CEILING * np.maximum(first, 1e-9)), 1.0)))


def _prognosis(patients: pd.DataFrame) -> FloatArray:
    """Return the prognostic effect on m, the same for all arms (not centered)."""
    severity, anxiety = standardize_scores(patients["phq9_start"], patients["gad7_start"])
    work = {"unemployed": 0.18, "long_term_sick": 0.30, "student": 0.05, "home_or_carer": 0.08}
    terms = (
        -0.065 * (severity + anxiety),  # a larger fraction of severe symptoms remits
        0.023 * (5.5 - patients["deprivation_decile"]),  # odds ratio .94 per decile
        patients["employment"].map(work).astype(float).fillna(0.0),
        0.06 * np.log(patients["chronicity_months"] / 18),
        0.06 * patients["comorbidity_count"],
        0.06 * patients["long_term_condition"],
        0.04 * patients["living_alone"],
        0.04 * patients["prior_treatment"],
        0.05 * (patients["wsas_start"] - 20.3) / 9,
        -0.005 * (patients["age"] - 40),
    )
    return np.asarray(sum(np.asarray(term, dtype=float) for term in terms))


def _modifiers(patients: pd.DataFrame) -> FloatArray:
    """Return effect modification, summing to zero over arms: each arm has one modifying covariate."""
    suits = {
        "guided_self_help": -(patients["wsas_start"] - 21.2) / 8.45,
        "cbt": -(np.log(patients["chronicity_months"] / 18) - 0.04) / 1.11,
        "counselling": (patients["age"] - 42.2) / 17,
        "ipt": (patients["living_alone"] - 0.242) / 0.428,
        "psychodynamic": ((patients["comorbidity_count"] >= 2) - 0.163) / 0.37,
        "medication": (patients["previous_episodes"].clip(upper=5) - 1.156) / 1.45,
    }
    table = np.column_stack([np.asarray(suits[arm], dtype=float) for arm in ARMS])
    return np.asarray(table.mean(axis=1, keepdims=True) - table)


def _dropout(patients: pd.DataFrame) -> FloatArray:
    severity, _ = standardize_scores(patients["phq9_start"], patients["gad7_start"])
    work = {"unemployed": 0.30, "long_term_sick": 0.15, "student": 0.10, "retired": -0.30}
    return np.asarray(
        DROPOUT_INTERCEPT
        + 0.55 * (patients["age"] <= 30)
        + patients["employment"].map(work).astype(float).fillna(0.0)
        + 0.05 * (5.5 - patients["deprivation_decile"])
        + 0.10 * severity
        + 0.08 * patients["comorbidity_count"]
    )


def _routine(patients: pd.DataFrame) -> FloatArray:
    """Return logits of assignment in routine care: stepped care, referral habits and history."""
    severity, anxiety = standardize_scores(patients["phq9_start"], patients["gad7_start"])
    chronic = np.log(patients["chronicity_months"] / 18)
    prior, episodes = patients["prior_treatment"], patients["previous_episodes"].clip(upper=4)
    history = {
        "guided_self_help": -0.40 * severity - 0.10 * anxiety - 0.30 * prior,
        "cbt": 0.15 * severity + 0.25 * anxiety,
        "counselling": -0.15 * severity
        + 0.30 * (patients["gender"] == "female")
        + 0.01 * (patients["age"] - 40),
        "ipt": 0.15 * severity + 0.20 * prior,
        "psychodynamic": 0.20 * chronic + 0.30 * prior,
        "medication": 0.40 * severity + 0.40 * patients["medication_at_start"] + 0.10 * episodes,
    }
    return np.column_stack([np.asarray(history[arm] + ROUTINE_BY_ARM[arm], dtype=float) for arm in ARMS])


def _matches(patients: pd.DataFrame) -> FloatArray:
    """Return 1 if the arm has the patient's preferred format, else 0."""
    kind = dict.fromkeys(TALKING, "talking_therapy")
    kind |= {"guided_self_help": "self_help", "medication": "medication"}
    wish = patients["preferred_format"].to_numpy()
    return np.column_stack([wish == kind[arm] for arm in ARMS]).astype(float)
