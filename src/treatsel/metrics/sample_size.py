"""Sample size: patients needed to develop a model, to validate one, or to show the gain of a rule.

All answers are computed, none is simulated: the same question gives the same number.
"""

import math
from collections.abc import Mapping

from scipy.special import expit

from treatsel._checks import check_level, check_mapping_keys
from treatsel._stats.intervals import quantile_of
from treatsel.errors import InputError
from treatsel.metrics._gain_size import gain_sample_size
from treatsel.metrics._linear_predictor import LinearPredictor, null_log_likelihood, r2_from_auc
from treatsel.metrics._sample_size import Criterion, SampleSize, check_between, check_count

__all__ = [
    "Criterion",
    "LinearPredictor",
    "SampleSize",
    "development_sample_size",
    "gain_sample_size",
    "validation_sample_size",
]

MARGIN = 0.05  # of the overall risk, of the optimism in R2 and of the mean prediction error
MOST_PARAMETERS = 30  # for which the formula of the prediction error was found
WIDTHS = {"observed / expected": 0.2, "calibration slope": 0.2, "AUC": 0.1, "net benefit": 0.2}


def development_sample_size(
    *,
    prevalence: float,
    parameters: int,
    cox_snell_r2: float | None = None,
    nagelkerke_r2: float | None = None,
    auc: float | None = None,
    arms: int = 1,
    modifiers: int = 0,
    shrinkage: float = 0.9,
    level: float = 0.95,
) -> SampleSize:
    """Patients needed to develop a model that is not much overfitted.

    Four criteria, with P parameters, prevalence f, Cox-Snell R2 and its maximum
    max R2 = 1 - (f^f (1 - f)^(1 - f))^2:

    - "shrinkage": the expected uniform shrinkage S is at least `shrinkage`;
      n = P / ((S - 1) ln(1 - R2 / S));
    - "R2 optimism": apparent less adjusted Nagelkerke R2 at most 0.05; the same with
      S = R2 / (R2 + 0.05 max R2);
    - "overall risk": the prevalence is estimated to within 0.05; n = (z / 0.05)^2 f (1 - f);
    - "prediction error": mean absolute error of the predictions at most 0.05;
      ln n = (-0.508 + 0.259 ln f + 0.504 ln P - ln 0.05) / 0.544, with f the rarer outcome, up to 30
      parameters (beyond them it does not apply).

    **Arms and interactions are parameters.** A model of K arms with m covariates that modify effects needs,
    beside its prognostic parameters, K - 1 parameters for the arms and (K - 1) m for the interactions: P =
    `parameters` + (arms - 1)(1 + modifiers). One model per arm needs (its `parameters`, arms=1) in **each**
    arm. Parameters that are shrunk as a group (random effects) count for less; this is then an upper bound.

    Parameters
    ----------
    prevalence : float
        Share of patients with remission, in (0, 1).
    parameters : int
        Candidate prognostic parameters, without the intercept: a category of k levels has k - 1, a curve
        several. Those looked at and dropped count, too.
    cox_snell_r2, nagelkerke_r2, auc : float, optional
        Exactly one: performance to expect, cautiously, best from an adjusted or external value. An AUC
        is turned into an R2 under two normal distributions of the linear predictor with one variance.
    arms : int, default 1
        Arms that the model distinguishes.
    modifiers : int, default 0
        Parameters, among `parameters`, that interact with the arm.
    shrinkage : float, default 0.9
        Expected uniform shrinkage, in (0, 1); higher is less overfitting and more patients.
    level : float, default 0.95
        Confidence level of the margin of the overall risk.

    Returns
    -------
    SampleSize
        With the number by each criterion; `assumptions` holds P, both R2, max R2 and events per parameter.

    Raises
    ------
    InputError
        If not exactly one of the R2 and the AUC is given, a number is out of range, or R2 is beyond its
        maximum or the shrinkage.

    References
    ----------
    Riley et al. (2020), BMJ 368, m441. doi:10.1136/bmj.m441
    Riley et al. (2019), Statistics in Medicine 38(7), 1276-1296. doi:10.1002/sim.7992
    van Smeden et al. (2019), Statistical Methods in Medical Research 28(8), 2455-2474.
    doi:10.1177/0962280218784726

    Examples
    --------
    >>> print(development_sample_size(prevalence=0.4, parameters=20, cox_snell_r2=0.15))
    1,097 patients are needed for development (about 439 with remission); shrinkage decides.
    """
    check_between("prevalence", prevalence, 0, 1)
    check_between("shrinkage", shrinkage, 0, 1)
    check_count("parameters", parameters, 1)
    check_count("modifiers", modifiers, 0)
    if modifiers > parameters:
        raise InputError(f"modifiers is {modifiers}; it counts some of the {parameters} parameters.")
    total = int(parameters) + (check_count("arms", arms, 1) - 1) * (1 + int(modifiers))
    largest = -math.expm1(2 * null_log_likelihood(prevalence))
    r2 = _r2(prevalence, largest, cox_snell_r2, nagelkerke_r2, auc)
    if r2 >= shrinkage:
        raise InputError(f"The Cox-Snell R2 is {r2:.3f}; it must be below the shrinkage, {shrinkage:g}.")
    criteria = _development_criteria(prevalence, total, r2, largest, shrinkage, check_level(level))
    n = max(criterion.n or 0 for criterion in criteria)
    assumptions = {
        "parameters": float(total),
        "Cox-Snell R2": r2,
        "largest Cox-Snell R2": largest,
        "Nagelkerke R2": r2 / largest,
        "events per parameter": n * prevalence / total,
    }
    return SampleSize(
        purpose="development", criteria=criteria, prevalence=prevalence, assumptions=assumptions
    )


def _r2(
    prevalence: float, largest: float, cox_snell: float | None, nagelkerke: float | None, auc: float | None
) -> float:
    given = {"cox_snell_r2": cox_snell, "nagelkerke_r2": nagelkerke, "auc": auc}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise InputError(f"Give exactly one of {list(given)}; {named or 'none'} was given.")
    if auc is not None:
        return r2_from_auc(prevalence, check_between("auc", auc, 0.5, 1))
    if nagelkerke is not None:
        return largest * check_between("nagelkerke_r2", nagelkerke, 0, 1)
    r2 = check_between("cox_snell_r2", cox_snell, 0, 1)
    if r2 >= largest:
        raise InputError(
            f"cox_snell_r2 is {r2:g}; with a prevalence of {prevalence:g} it must be below {largest:.3f}."
        )
    return r2


def _development_criteria(
    prevalence: float, total: int, r2: float, largest: float, shrinkage: float, level: float
) -> tuple[Criterion, ...]:
    def shrunk_by(factor: float) -> int:
        return math.ceil(total / ((factor - 1) * math.log(1 - r2 / factor)))

    z, optimism = quantile_of(level), MARGIN * largest
    risk = math.ceil((z / MARGIN) ** 2 * prevalence * (1 - prevalence))
    rarer = min(prevalence, 1 - prevalence)
    power = -0.508 + 0.259 * math.log(rarer) + 0.504 * math.log(total) - math.log(MARGIN)
    error = math.ceil(math.exp(power / 0.544)) if total <= MOST_PARAMETERS else None
    about_error = "mean absolute error of the predictions at most the target"
    if error is None:
        about_error = f"does not apply: its formula holds up to {MOST_PARAMETERS} parameters, here {total}"
    about_risk = f"half-width of the {100 * level:g}% interval of the prevalence"
    return (
        Criterion(
            name="shrinkage", n=shrunk_by(shrinkage), target=shrinkage, about="expected uniform shrinkage"
        ),
        Criterion(
            name="R2 optimism",
            n=shrunk_by(r2 / (r2 + optimism)),
            expected=r2 / largest,
            target=MARGIN,
            about="apparent less adjusted Nagelkerke R2 at most the target",
        ),
        Criterion(
            name="overall risk",
            n=risk,
            expected=prevalence,
            target=MARGIN,
            se=MARGIN / z,
            about=about_risk,
        ),
        Criterion(name="prediction error", n=error, target=MARGIN, about=about_error),
    )


def validation_sample_size(
    *,
    prevalence: float,
    auc: float,
    predictor: LinearPredictor | None = None,
    oe: float = 1.0,
    slope: float = 1.0,
    threshold: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    widths: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> SampleSize:
    """Patients needed to validate a model with intervals of given widths.

    With z the normal quantile and SE the standard error that gives the width w (upper less lower limit):

    - "observed / expected": interval on the log scale, w = 2 O/E sinh(z SE); n = (1 - f) / (f SE^2);
    - "calibration slope": SE = w / 2z; n = I00 / (SE^2 (I00 I11 - I01^2)), where I is the expected
      information per patient of a logistic recalibration, integrated over the linear predictor;
    - "AUC": SE = w / 2z, the smallest n with Newcombe's variance below SE^2;
    - "net benefit" (if a `threshold` is given): standardised by the prevalence, SE = w / 2z.

    Parameters
    ----------
    prevalence : float
        Share of patients with remission, in (0, 1).
    auc : float
        AUC to expect, in (0.5, 1).
    predictor : LinearPredictor, optional
        Distribution of the logit of the predictions: `LinearPredictor.normal(mean, sd)`, `.beta(alpha,
        beta)` or, best, `.observed(predictions)` of similar patients. Without it, two normal distributions
        that give the prevalence and the AUC, with one variance.
    oe, slope : float, default 1
        Observed / expected ratio and calibration slope to expect, above 0; the information on the slope is
        taken at `slope` x linear predictor.
    threshold : float, optional
        Probability, in (0, 1), from which on one would act; adds the net benefit.
    sensitivity, specificity : float, optional
        Of "probability >= threshold"; both or neither. Without them, those of `predictor`.
    widths : mapping, optional
        Widths by criterion, where others than {"observed / expected": 0.2, "calibration slope": 0.2,
        "AUC": 0.1, "net benefit": 0.2}.
    level : float, default 0.95
        Confidence level of the intervals.

    Returns
    -------
    SampleSize
        With the number by each criterion. At least 100 events and 100 non-events remain good advice.

    Raises
    ------
    InputError
        If a number is out of range, a width is of no criterion, or sensitivity comes without specificity or
        threshold.

    References
    ----------
    Riley et al. (2021), Statistics in Medicine 40(19), 4230-4251. doi:10.1002/sim.9025
    Archer et al. (2021), Statistics in Medicine 40(1), 133-146. doi:10.1002/sim.8766
    Newcombe (2006), Statistics in Medicine 25(4), 559-573. doi:10.1002/sim.2324
    Marsh, Janes & Pepe (2020), Biometrics 76(3), 843-852. doi:10.1111/biom.13190

    Examples
    --------
    >>> predictor = LinearPredictor.normal(-0.5, 1.0)
    >>> size = validation_sample_size(prevalence=0.4, auc=0.7, predictor=predictor)
    >>> {criterion.name: criterion.n for criterion in size.criteria}
    {'observed / expected': 579, 'calibration slope': 2748, 'AUC': 434}
    """
    check_between("prevalence", prevalence, 0, 1)
    check_between("auc", auc, 0.5, 1)
    check_between("oe", oe, 0, math.inf)
    check_between("slope", slope, 0, math.inf)
    wanted = dict(widths or {})
    check_mapping_keys("widths", wanted, WIDTHS)
    width = {name: check_between(f"The width of {name}", w, 0, math.inf) for name, w in wanted.items()}
    width = WIDTHS | width
    level = check_level(level)
    z = quantile_of(level)
    distribution = LinearPredictor.binormal(prevalence, auc) if predictor is None else predictor
    criteria = [
        _ratio_criterion(prevalence, oe, width["observed / expected"], z),
        _slope_criterion(distribution, slope, width["calibration slope"], z),
        _auc_criterion(prevalence, auc, width["AUC"], z),
    ]
    assumptions = {"AUC": auc, "mean prediction": distribution.mean_prediction, "level": level}
    if threshold is not None:
        check_between("threshold", threshold, 0, 1)
        accuracy = _accuracy(distribution, threshold, sensitivity, specificity)
        criteria.append(_benefit_criterion(prevalence, threshold, accuracy, width["net benefit"], z))
        assumptions |= {"threshold": threshold, "sensitivity": accuracy[0], "specificity": accuracy[1]}
    elif sensitivity is not None or specificity is not None:
        raise InputError("Sensitivity and specificity belong to a threshold; give it, too.")
    return SampleSize(
        purpose="validation", criteria=tuple(criteria), prevalence=prevalence, assumptions=assumptions
    )


def _width_criterion(name: str, n: float, expected: float, width: float, se: float) -> Criterion:
    about = f"width of the interval{' of the log ratio, taken back' if name.startswith('obs') else ''}"
    return Criterion(name=name, n=math.ceil(n), expected=expected, target=width, se=se, about=about)


def _ratio_criterion(prevalence: float, oe: float, width: float, z: float) -> Criterion:
    se = math.asinh(width / (2 * oe)) / z
    n = (1 - prevalence) / (prevalence * se**2)
    return _width_criterion("observed / expected", n, oe, width, se)


def _slope_criterion(predictor: LinearPredictor, slope: float, width: float, z: float) -> Criterion:
    se, x = width / (2 * z), predictor.points
    information = expit(slope * x) * expit(-slope * x)
    i00 = predictor.mean(information)
    centre = predictor.mean(information * x) / i00
    spread = predictor.mean(information * (x - centre) ** 2)  # (I00 I11 - I01^2) / I00
    if not spread > 0:
        raise InputError("All predictions are equal: there is no calibration slope to estimate.")
    return _width_criterion("calibration slope", 1 / (se**2 * spread), slope, width, se)


def _auc_criterion(prevalence: float, auc: float, width: float, z: float) -> Criterion:
    """Return the root of the quadratic that sets Newcombe's variance to that of the width."""
    se = width / (2 * z)
    scale = auc * (1 - auc) / (prevalence * (1 - prevalence))
    pairs = (1 - auc) / (2 - auc) + auc / (1 + auc)
    half = scale * pairs / 4
    n = (half + math.sqrt(half**2 + se**2 * scale * (1 - pairs))) / se**2
    return _width_criterion("AUC", n, auc, width, se)


def _accuracy(
    predictor: LinearPredictor, threshold: float, sensitivity: float | None, specificity: float | None
) -> tuple[float, float]:
    if sensitivity is None and specificity is None:
        return predictor.accuracy_at(threshold)
    if sensitivity is None or specificity is None:
        raise InputError("Give both sensitivity and specificity, or neither.")
    return (
        check_between("sensitivity", sensitivity, 0, 1, closed=True),
        check_between("specificity", specificity, 0, 1, closed=True),
    )


def _benefit_criterion(
    prevalence: float, threshold: float, accuracy: tuple[float, float], width: float, z: float
) -> Criterion:
    (hit, spared), se = accuracy, width / (2 * z)
    odds = (1 - prevalence) / prevalence * threshold / (1 - threshold)
    benefit = hit - odds * (1 - spared)
    variance = hit * (1 - hit) / prevalence + odds**2 * spared * (1 - spared) / (1 - prevalence)
    variance += odds**2 * (1 - spared) ** 2 / (prevalence * (1 - prevalence))
    return _width_criterion("net benefit", max(variance / se**2, 1.0), benefit, width, se)
