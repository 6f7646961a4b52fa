"""`Priors`: what is known from elsewhere, such as published trials, for the hierarchical model.

References
----------
Phillippo et al. (2020), J Royal Statistical Society A 183(3), 1189-1210. doi:10.1111/rssa.12579 (a marginal
odds ratio is not a coefficient)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_number, count_of
from treatsel._reporting.summary import Summarized, Summary
from treatsel._reporting.text import hidden_in
from treatsel.errors import InputError

Known = tuple[float, float]
LARGEST, SMALLEST_SE = 1e6, 1e-9  # of an estimate, and of a standard error, per unit of any covariate
LARGEST_LOG_ODDS = 10.0  # an odds ratio of 22,000
LONGEST = 2000  # characters of a source
FORMS = {"arm_contrasts": "(arm, other arm)", "modifiers": "(arm, other arm, covariate)"}  # of keys


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Priors(Summarized):
    """Published knowledge of an outcome: estimates with their standard errors.

    Means and contrasts of arms are **marginal**: averages over the patients of a trial. They are compared
    with the model's averages over the development cohort, and are no prior of coefficients. Only the
    differences between arms are used, since the level of another population is not that of this one.
    How much they count adapts: the cohort may differ from the trials, by an SD that is estimated from how
    well they agree (half-normal prior with scale 0.5 on the log odds ratio).

    Parameters
    ----------
    arm_means : mapping of arm to (rate, standard error)
        Rate of the outcome (of 1, as in y), 0 to 1, from at least two arms.
    arm_contrasts : mapping of (arm, other arm) to (log odds ratio, standard error)
        Log odds ratio of the outcome, first arm against second.
    contrast_correlation : array-like of shape (n_contrasts, n_contrasts), optional
        Correlation of the contrasts, in their order, such as 0.5 of two contrasts of a three-arm trial with
        the same second arm. None: independent.
    modifiers : mapping of (arm, other arm, covariate) to (slope, standard error)
        Change of the log odds ratio between two arms per unit of a number; for a category, given as
        "column=category", the difference between patients in the category and all others.
    prognosis : mapping of covariate to (slope, standard error)
        Change of the log odds of the outcome per unit, mean over the arms.
    null : float, optional
        Prior probability that effects do not differ between patients; None: 0.5 from 600 patients on, and
        proportionally less with fewer.
    source : str
        Where all this comes from, for the model card.

    Raises
    ------
    InputError
        If a number is not finite, a standard error is not positive, a rate is not between 0 and 1, or the
        correlation is not one of as many contrasts.

    Examples
    --------
    >>> priors = Priors(arm_contrasts={("CBT", "TAU"): (0.5, 0.1)}, source="a network meta-analysis")
    >>> priors.arm_contrasts["CBT", "TAU"]
    (0.5, 0.1)
    """

    arm_means: Mapping[Any, Known] = field(default_factory=dict)
    arm_contrasts: Mapping[tuple[Any, Any], Known] = field(default_factory=dict)
    contrast_correlation: npt.ArrayLike | None = None
    modifiers: Mapping[tuple[Any, Any, str], Known] = field(default_factory=dict)
    prognosis: Mapping[str, Known] = field(default_factory=dict)
    null: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        """Check the numbers; arms and covariates are checked when a model is fitted."""
        for name in ("arm_means", "arm_contrasts", "modifiers", "prognosis"):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise InputError(f"{name} must be a mapping; it is a {type(given).__name__}.")
            for key, value in given.items():
                check_estimate(name, key, value)
        if len(self.arm_means) == 1:
            raise InputError("arm_means has one arm; differences between arms need at least two.")
        if self.null is not None and not 0 < check_number("null", self.null) < 1:
            raise InputError(f"null is {self.null}; a probability must be above 0 and below 1.")
        if not isinstance(self.source, str) or hidden_in(self.source) or len(self.source) > LONGEST:
            raise InputError(f"source must be a text of at most {LONGEST:,} characters, all of them visible.")
        self.correlation()

    def _summary(self) -> Summary:
        parts = [
            ((f"rate under {arm}", value) for arm, value in self.arm_means.items()),
            ((f"log odds ratio, {one} against {other}", v) for (one, other), v in self.arm_contrasts.items()),
            (
                (f"log odds ratio, {one} against {other}, per unit of {name}", value)
                for (one, other, name), value in self.modifiers.items()
            ),
            ((f"log odds per unit of {name}", value) for name, value in self.prognosis.items()),
        ]
        rows = [(what, f"{mean:.3g}", f"{se:.2g}") for part in parts for what, (mean, se) in part]
        facts = [("source", self.source or "not stated")]
        if self.null is not None:
            facts.append(("probability that effects do not differ", f"{self.null:g}"))
        return Summary(
            title="Priors",
            headline=count_of(len(rows), "published estimate"),
            facts=facts,
            columns=("Estimate", "Value", "Standard error"),
            rows=rows,
            note="How much they count depends on how well they agree with the patients; see priors_.",
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no estimate (there may be `null`)."""
        return not (self.arm_means or self.arm_contrasts or self.modifiers or self.prognosis)

    def correlation(self) -> np.ndarray:
        """Return the correlation matrix of the contrasts."""
        n = len(self.arm_contrasts)
        if self.contrast_correlation is None:
            return np.eye(n)
        try:
            found = np.asarray(self.contrast_correlation, dtype=float)
        except (TypeError, ValueError):
            raise InputError("contrast_correlation is not a square array of numbers.") from None
        fits = found.shape == (n, n) and bool(np.isfinite(found).all())
        fits = fits and np.allclose(found, found.T) and np.allclose(np.diag(found), 1)
        if not fits or np.linalg.eigvalsh(found)[0] < 1e-8:
            raise InputError(
                f"contrast_correlation is no correlation matrix of {n} contrasts: it must be symmetric, "
                "positive definite, with ones on the diagonal."
            )
        return found


def check_estimate(name: str, key: Any, value: Any) -> None:
    """Raise if an estimate of one of the mappings of `Priors`, or its key, is not what `name` needs."""
    where = f"{name}[{key!r}]"
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise InputError(f"{where} must be a pair: estimate and standard error.")
    estimate, se = (check_number(where, each) for each in value)
    if not abs(estimate) <= LARGEST or not SMALLEST_SE <= se <= LARGEST:
        raise InputError(
            f"{where}: the estimate must be at most {LARGEST:g} in size, and the standard error between "
            f"{SMALLEST_SE:g} and {LARGEST:g}."
        )
    if name in FORMS and not (isinstance(key, tuple) and len(key) == FORMS[name].count(",") + 1):
        raise InputError(f"{name}: {key!r} must have the form {FORMS[name]}.")
    if name in FORMS and key[0] == key[1]:
        raise InputError(f"{name}: {key!r} names the same arm twice.")
    if name == "arm_means" and not 0 < estimate < 1:
        raise InputError(f"{where}: the rate is {estimate:g}; it must be above 0 and below 1.")
    if name == "arm_contrasts" and abs(estimate) > LARGEST_LOG_ODDS:
        raise InputError(
            f"{where}: the log odds ratio is {estimate:g}; at most {LARGEST_LOG_ODDS:g} is plausible. Give "
            "the logarithm of the odds ratio."
        )
