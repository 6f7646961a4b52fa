"""Sample size for developing a prediction model (Riley et al.)."""

import math

from treatsel._checks import check_level
from treatsel._stats.intervals import quantile_of
from treatsel.errors import InputError
from treatsel.metrics.sample_size._linear_predictor import null_log_likelihood, r2_from_auc
from treatsel.metrics.sample_size._result import Criterion, SampleSize, check_between, check_count

MARGIN = 0.05  # for overall risk, optimism in R2 and mean absolute prediction error
MOST_PARAMETERS = 30  # for which the formula of the prediction error was derived


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
    """Sample size for developing a prediction model with little overfitting.

    Four criteria, with P parameters, prevalence f, Cox-Snell R2 and its maximum
    max R2 = 1 - (f^f (1 - f)^(1 - f))^2:

    - "shrinkage": the expected uniform shrinkage S is at least `shrinkage`;
      n = P / ((S - 1) ln(1 - R2 / S));
    - "R2 optimism": apparent minus adjusted Nagelkerke R2 at most 0.05; the same with
      S = R2 / (R2 + 0.05 max R2);
    - "overall risk": the prevalence is estimated to within 0.05; n = (z / 0.05)^2 f (1 - f);
    - "prediction error": mean absolute error of the predictions at most 0.05;
      ln n = (-0.508 + 0.259 ln f + 0.504 ln P - ln 0.05) / 0.544, with f the prevalence of
      the rarer outcome, up to 30 parameters (beyond that it does not apply).

    **Arms and interactions are parameters.** A model of K arms with m effect modifiers needs,
    in addition to its prognostic parameters, K - 1 parameters for the arms and (K - 1) m for the
    interactions: P = `parameters` + (arms - 1)(1 + modifiers). With a separate model for
    each arm, the number for arms=1 is needed in **each** arm. Parameters that are shrunk as a group (random
    effects) count for less; the result is then an upper bound.

    Parameters
    ----------
    prevalence : float
        Share of patients with the outcome, in (0, 1).
    parameters : int
        Number of candidate prognostic parameters, without the intercept: a categorical variable with k levels
        has k - 1, a nonlinear term several. Candidates that were examined and dropped count as well.
    cox_snell_r2, nagelkerke_r2, auc : float, optional
        Exactly one: anticipated performance, a conservative value, preferably adjusted for optimism or from
        an external validation. An AUC is converted to an R2 for a linear predictor that is normal in events
        and in non-events, with equal variance.
    arms : int, default 1
        Number of arms that the model distinguishes.
    modifiers : int, default 0
        Number of parameters, among `parameters`, that interact with the arm.
    shrinkage : float, default 0.9
        Expected uniform shrinkage, in (0, 1); higher means less overfitting and more patients.
    level : float, default 0.95
        Confidence level for the overall risk.

    Returns
    -------
    SampleSize
        Number of patients by criterion; `assumptions` holds P, both R2, max R2 and events per parameter.

    Raises
    ------
    InputError
        If not exactly one of the R2 and the AUC is given, a number is out of range, or R2 is not below
        its maximum and the shrinkage.

    References
    ----------
    Riley et al. (2020), BMJ 368, m441. doi:10.1136/bmj.m441
    Riley et al. (2019), Statistics in Medicine 38(7), 1276-1296. doi:10.1002/sim.7992
    van Smeden et al. (2019), Statistical Methods in Medical Research 28(8), 2455-2474.
    doi:10.1177/0962280218784726

    Examples
    --------
    >>> print(development_sample_size(prevalence=0.4, parameters=20, cox_snell_r2=0.15))
    1,097 patients are needed for development (about 439 with the outcome); binding criterion: shrinkage.
    """
    check_between("prevalence", prevalence, 0, 1)
    check_between("shrinkage", shrinkage, 0, 1)
    check_count("parameters", parameters, 1)
    check_count("modifiers", modifiers, 0)
    if modifiers > parameters:
        raise InputError(f"modifiers is {modifiers}; it must not exceed the {parameters} parameters.")
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
            about="apparent minus adjusted Nagelkerke R2 at most the target",
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
