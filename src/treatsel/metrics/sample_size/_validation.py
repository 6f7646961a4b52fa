"""Sample size for an external validation (Riley et al.; Archer et al.)."""

import math
from collections.abc import Mapping

from scipy.special import expit

from treatsel._checks import check_level, check_mapping_keys
from treatsel._measures import MEASURES
from treatsel._stats.intervals import quantile_of
from treatsel.errors import InputError
from treatsel.metrics.sample_size._linear_predictor import LinearPredictorDistribution
from treatsel.metrics.sample_size._result import Criterion, SampleSize, check_between

RATIO, SLOPE, AUC, NET_BENEFIT = (
    MEASURES[key].label for key in ("observed_expected", "calibration_slope", "auc", "net_benefit")
)
WIDTHS = {RATIO: 0.2, SLOPE: 0.2, AUC: 0.1, NET_BENEFIT: 0.2}


def validation_sample_size(
    *,
    prevalence: float,
    auc: float,
    predictor: LinearPredictorDistribution | None = None,
    oe: float = 1.0,
    slope: float = 1.0,
    threshold: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    widths: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> SampleSize:
    """Sample size to validate a model with confidence intervals of given widths.

    With z the normal quantile and SE the standard error that gives the width w (upper minus lower limit):

    - "observed / expected": interval on the log scale, w = 2 O/E sinh(z SE); n = (1 - f) / (f SE^2);
    - "calibration slope": SE = w / 2z; n = I00 / (SE^2 (I00 I11 - I01^2)), where I is the expected
      information per patient of a logistic recalibration, integrated over the linear predictor;
    - "AUC": SE = w / 2z, the smallest n with Newcombe's variance below SE^2;
    - "net benefit" (if a `threshold` is given): standardized by the prevalence, SE = w / 2z.

    Parameters
    ----------
    prevalence : float
        Share of patients with the outcome, in (0, 1).
    auc : float
        Anticipated AUC, in (0.5, 1).
    predictor : LinearPredictorDistribution, optional
        Distribution of the logit of the predictions: `.normal(mean, sd)`, `.beta(alpha, beta)` or, best,
        `.observed(predictions)` of similar patients. Without it, two normal distributions of equal
        variance, one per outcome, that give the prevalence and the AUC.
    oe, slope : float, default 1
        Anticipated observed / expected ratio and calibration slope, above 0; the information on the slope is
        evaluated at `slope` x linear predictor.
    threshold : float, optional
        Decision threshold, a probability in (0, 1); adds the net benefit.
    sensitivity, specificity : float, optional
        Of "probability >= threshold"; both or neither. Without them, those implied by `predictor`.
    widths : mapping, optional
        Widths by criterion, where they differ from {"observed / expected": 0.2, "calibration slope": 0.2,
        "AUC": 0.1, "net benefit": 0.2}.
    level : float, default 0.95
        Confidence level of the intervals.

    Returns
    -------
    SampleSize
        Number of patients by criterion. At least 100 events and 100 non-events remain advisable.

    Raises
    ------
    InputError
        If a number is out of range, a width names an unknown criterion, or sensitivity is given without
        specificity or threshold.

    References
    ----------
    Riley et al. (2021), Statistics in Medicine 40(19), 4230-4251. doi:10.1002/sim.9025
    Archer et al. (2021), Statistics in Medicine 40(1), 133-146. doi:10.1002/sim.8766
    Newcombe (2006), Statistics in Medicine 25(4), 559-573. doi:10.1002/sim.2324
    Marsh, Janes & Pepe (2020), Biometrics 76(3), 843-852. doi:10.1111/biom.13190

    Examples
    --------
    >>> predictor = LinearPredictorDistribution.normal(-0.5, 1.0)
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
    distribution = LinearPredictorDistribution.binormal(prevalence, auc) if predictor is None else predictor
    criteria = [
        _ratio_criterion(prevalence, oe, width[RATIO], z),
        _slope_criterion(distribution, slope, width[SLOPE], z),
        _auc_criterion(prevalence, auc, width[AUC], z),
    ]
    assumptions = {AUC: auc, "mean prediction": distribution.mean_prediction, "level": level}
    if threshold is not None:
        check_between("threshold", threshold, 0, 1)
        accuracy = _accuracy(distribution, threshold, sensitivity, specificity)
        criteria.append(_benefit_criterion(prevalence, threshold, accuracy, width[NET_BENEFIT], z))
        assumptions |= {"threshold": threshold, "sensitivity": accuracy[0], "specificity": accuracy[1]}
    elif sensitivity is not None or specificity is not None:
        raise InputError("Sensitivity and specificity belong to a threshold. Give `threshold` as well.")
    return SampleSize(
        purpose="validation", criteria=tuple(criteria), prevalence=prevalence, assumptions=assumptions
    )


def _width_criterion(name: str, n: float, expected: float, width: float, se: float) -> Criterion:
    about = f"width of the interval{' of the ratio, computed on the log scale' if name == RATIO else ''}"
    return Criterion(name=name, n=math.ceil(n), expected=expected, target=width, se=se, about=about)


def _ratio_criterion(prevalence: float, oe: float, width: float, z: float) -> Criterion:
    se = math.asinh(width / (2 * oe)) / z
    n = (1 - prevalence) / (prevalence * se**2)
    return _width_criterion(RATIO, n, oe, width, se)


def _slope_criterion(
    predictor: LinearPredictorDistribution, slope: float, width: float, z: float
) -> Criterion:
    se, x = width / (2 * z), predictor.points
    information = expit(slope * x) * expit(-slope * x)
    i00 = predictor.mean(information)
    center = predictor.mean(information * x) / i00
    spread = predictor.mean(information * (x - center) ** 2)  # (I00 I11 - I01^2) / I00
    if not spread > 0:
        raise InputError("All predictions are equal: there is no calibration slope to estimate.")
    return _width_criterion(SLOPE, 1 / (se**2 * spread), slope, width, se)


def _auc_criterion(prevalence: float, auc: float, width: float, z: float) -> Criterion:
    """Return the criterion whose n, the root of a quadratic, gives Newcombe's variance for the width."""
    se = width / (2 * z)
    scale = auc * (1 - auc) / (prevalence * (1 - prevalence))
    pairs = (1 - auc) / (2 - auc) + auc / (1 + auc)
    half = scale * pairs / 4
    n = (half + math.sqrt(half**2 + se**2 * scale * (1 - pairs))) / se**2
    return _width_criterion(AUC, n, auc, width, se)


def _accuracy(
    predictor: LinearPredictorDistribution,
    threshold: float,
    sensitivity: float | None,
    specificity: float | None,
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
    return _width_criterion(NET_BENEFIT, max(variance / se**2, 1.0), benefit, width, se)
