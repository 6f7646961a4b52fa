"""`modifiers`: which covariates modify the choice of an arm, apart from those that only predict prognosis."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from treatsel._checks import (
    ROUNDING,
    FloatArray,
    check_arm,
    check_level,
    check_number,
    check_unique,
    count_of,
    listed,
)
from treatsel._stats.multiplicity import holm
from treatsel.additive import logistic
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.modification._evidence import contour_probability, findings, ranks_of
from treatsel.modification._levels import levels_of, weights_of
from treatsel.modification._population import Contribution, Population, contributions_of
from treatsel.modification._result import Modification
from treatsel.preference import check_preferences

if TYPE_CHECKING:
    import pandas as pd

# Risk differences that vary with an SD of 2 points: in two groups of equal size, they differ by 4 points, a
# little less than the default margin of a recommendation.
SMALLEST = 0.02
MOST_PATIENTS = 1000  # with 1,000, the sampling error of an SD over patients is about 2 %
FEWEST_PATIENTS = 20
_NEEDED = ("models", "codebook", "arms", "default_arm", "event_is_good", "outcome_named", "covariates")


def modifiers(
    selector: Any,
    X: Any,
    outcome: str | None = None,
    level: float = 0.95,
    comparator: Any = None,
    *,
    smallest: float = SMALLEST,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Modification:
    """Find the covariates that modify the differences between arms, apart from prognosis.

    The logit of each arm is the mean over arms plus a deviation. A covariate that acts on the mean alone
    predicts the prognosis and never changes the order of the arms; one that acts on the deviations modifies
    the choice. Both contributions are measured on the scale of probabilities, over the patients X.

    Parameters
    ----------
    selector : TreatmentSelector or FittedModel
        A fitted selector whose model is a sum of terms with posterior draws.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that represent the population, at least 20. Of more than 1,000 patients, a fixed random
        sample of 1,000 is examined.
    outcome : str, optional
        Outcome; None: the first.
    level : float, default 0.95
        Level of the intervals, and of the evidence that a finding needs.
    comparator : label, optional
        Arm with which each other arm is compared; None: the best single arm.
    smallest : float, default 0.02
        Smallest relevant modification, in probability: risk differences that vary by this SD.
    groups : mapping of str to sequence of covariates, optional
        Covariates that are examined together, under a name, such as several descriptions of earlier
        treatment, which share the evidence.

    Returns
    -------
    Modification

    Raises
    ------
    UnsupportedModelError
        If the model is not a sum of terms, or has no posterior draws.
    InputError
        If there are fewer than two arms or 20 patients, an option is out of range, or a name is unknown.
    CohortError
        If X violates the codebook.

    Notes
    -----
    With and without a covariate's contribution to the deviations (its value minus the mean over its values
    in X), a patient's difference between an arm and the comparator differs by c. The modification is the SD
    of c over patients, root mean square over arms. Prognosis is the SD of the same change in the mean
    probability over arms, from the contribution to the mean logit. Both have posterior distributions from
    the draws of the coefficients.

    A finding is "modifies" if two conditions hold: the posterior probability of a modification above
    `smallest` is at least `level`; and the contour probability of no modification, adjusted by Holm's method
    for the number of covariates, is at most 1 - `level`. The first alone is not enough: an SD is above 0 by
    noise, the more so the more arms and categories there are. It is "negligible" if the posterior
    probability of a modification above `smallest` is at most 1 - `level`; otherwise "uncertain".

    The contour probability rests on the mean contributions by level (a category, or a third of a number). A
    modification by two covariates together that averages out over the levels of each is therefore shown by
    its size, and not claimed.

    Terms are those of the average service; a missing value counts as the model encodes it. What is described
    is the model: a modifier in data from routine care may stand for something else that was not measured.

    References
    ----------
    Held (2004), Journal of Computational and Graphical Statistics 13(1), 20-35. (contour probability)
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70. https://www.jstor.org/stable/4615733
    Kent et al. (2020), Annals of Internal Medicine 172(1), 35-45. doi:10.7326/M18-3667 (heterogeneity)

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from treatsel.selector import TreatmentSelector
    >>> random = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": random.normal(40, 10, 400), "severity": random.normal(15, 4, 400)})
    >>> X["arm"] = random.choice(["CBT", "SSRI"], 400)
    >>> logit = (X["severity"] - 15) / 4 * np.where(X["arm"] == "CBT", 1.0, -1.0)
    >>> y = pd.Series(random.random(400) < 1 / (1 + np.exp(-logit)), name="remission").astype(int)
    >>> selector = TreatmentSelector(estimator="hierarchical", event_is_good=True, random_state=0)
    >>> found = modifiers(selector.fit(X, y), X)
    >>> found.table["finding"].to_dict()["severity"]
    'modifies'
    """
    model, name = _model_of(selector, outcome)
    comparator = model.default_arm if comparator is None else check_arm("comparator", comparator, model.arms)
    clean = model.covariates(X)
    if len(clean) < FEWEST_PATIENTS:
        raise InputError(
            f"X has {count_of(len(clean), 'patient')}; a population is described from {FEWEST_PATIENTS} on."
        )
    sets = _sets_of(list(model.codebook.covariates), groups)
    everyone = Population(model.models[name], clean)
    population = everyone if len(clean) <= MOST_PATIENTS else Population(everyone.model, _sample(clean))
    position = list(model.arms).index(comparator)
    levels = {row: _levels_of(population.clean, members) for row, members in sets.items()}
    weights = [weights_of([mask for *_, mask in each], len(population.clean)) for each in levels.values()]
    level, sign = check_level(level), 1.0 if model.event_is_good[name] else -1.0
    smallest = _smallest(smallest)
    # one BLAS thread: more do not speed up small matrices, and slow them down on a busy machine
    with threadpool_limits(limits=1, user_api="blas"):
        departures = [population.departures(members) for members in sets.values()]
        by_set = dict(zip(sets, contributions_of(population, departures, weights, position), strict=True))
        table = _table(by_set, level, smallest)
    for row, departure in zip(sets, departures, strict=True):
        table.loc[row, ["share_changed", "gain"]] = _change_of_choice(population, departure, position, sign)
    others = [arm for arm in model.arms if arm != comparator]
    return Modification(
        table=table.sort_values("modification", ascending=False, kind="stable"),
        interactions=_interactions(by_set, levels, others, level),
        outcome=name,
        arms=tuple(model.arms),
        comparator=comparator,
        level=level,
        smallest=smallest,
        n=len(clean),
        assignment=model.assignment,
        titles=model.codebook.titles,
        units={field.name: field.unit for field in model.codebook.fields if field.unit},
        population=everyone,
    )


def _model_of(selector: Any, outcome: str | None) -> tuple[Any, str]:
    """Return the fitted model and the outcome, checked."""
    if hasattr(selector, "recommend") and hasattr(selector, "get_params"):  # a selector
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(selector)
        selector = selector.model_
    if not all(hasattr(selector, each) for each in _NEEDED):
        raise InputError(f"A fitted TreatmentSelector is needed, not a {type(selector).__name__}.")
    name = selector.outcome_named(outcome)
    model = selector.models[name]
    if model is None or model.coefficient_draws is None:
        lacking = "is not a sum of terms" if model is None else "has no posterior draws"
        raise UnsupportedModelError(
            f"The model of {name!r} {lacking}, so that modification cannot be told from noise. Fit "
            'TreatmentSelector(estimator="hierarchical"), "stacked", or a logistic regression with a ridge '
            "penalty."
        )
    if len(selector.arms) < 2:
        raise InputError(f"The model has one arm, {selector.arms[0]!r}; modification needs two or more.")
    check_preferences({name: 1.0}, selector.outcomes, selector.event_is_good)
    return selector, name


def _smallest(value: Any) -> float:
    if not 0 <= check_number("smallest", value) < 1:
        raise InputError(f"smallest is {value}; it must be a probability of at least 0 and below 1.")
    return float(value)


def _sets_of(covariates: list[str], groups: Mapping[str, Sequence[str]] | None) -> dict[str, list[str]]:
    """Return the covariates of each row of the result: groups by their name, then the others."""
    if groups is None:
        groups = {}
    if not isinstance(groups, Mapping) or any(isinstance(members, str) for members in groups.values()):
        raise InputError("groups must map a name to a list of covariates.")
    given = {str(name): list(members) for name, members in groups.items()}
    joined = [member for members in given.values() for member in members]
    if unknown := [member for member in joined if member not in covariates]:
        raise InputError(
            f"groups names {count_of(len(unknown), 'column')} that the model does not use: "
            f"{listed(unknown)}. Its covariates are {listed(covariates)}."
        )
    check_unique("The covariates of groups", joined)
    rest = [name for name in covariates if name not in joined]
    if empty := [name for name, members in given.items() if not members or name in rest]:
        raise InputError(f"groups[{empty[0]!r}] is empty, or has the name of another covariate.")
    return {**given, **{name: [name] for name in rest}}


def _sample(clean: "pd.DataFrame") -> "pd.DataFrame":
    # the sample is part of the definition: the same patients give the same numbers
    rows = np.random.default_rng(0).choice(len(clean), MOST_PATIENTS, replace=False)
    return clean.iloc[np.sort(rows)]


def _levels_of(clean: "pd.DataFrame", members: Sequence[str]) -> list[tuple[str, str, np.ndarray]]:
    """Return covariate, label and patients of each level."""
    return [(name, label, mask) for name in members for label, mask in levels_of(clean[name]).items()]


def _table(found: Mapping[str, Contribution], level: float, smallest: float) -> "pd.DataFrame":
    """Return one row per covariate, without what depends on the choice of arms."""
    import pandas as pd

    sizes = np.array([each.modification for each in found.values()])
    prognosis = np.array([each.prognosis for each in found.values()])
    tails = [(1 - level) / 2, (1 + level) / 2]
    ranks, p_first = ranks_of(sizes)
    p_relevant = (sizes > smallest).mean(axis=1)
    p_none = holm(np.array([contour_probability(each.logits) for each in found.values()]))
    bounds = [np.quantile(values, tails, axis=1) for values in (sizes, ranks, prognosis)]
    columns: dict[str, Any] = {
        "modification": sizes.mean(axis=1),
        "lower": bounds[0][0],
        "upper": bounds[0][1],
        "noise": [each.noise for each in found.values()],
        "p_relevant": p_relevant,
        "p_none": p_none,
        "finding": findings(p_relevant, p_none, level),
        "rank": np.median(ranks, axis=1),
        "rank_lower": bounds[1][0],
        "rank_upper": bounds[1][1],
        "p_first": p_first,
        "prognosis": prognosis.mean(axis=1),
        "prognosis_lower": bounds[2][0],
        "prognosis_upper": bounds[2][1],
        "share_changed": np.nan,
        "gain": np.nan,
    }
    return pd.DataFrame(columns, index=pd.Index(list(found), name="covariate"))


def _change_of_choice(
    population: Population, departures: FloatArray, comparator: int, sign: float
) -> tuple[float, float]:
    """Return the share of patients whose top arm changes without a modification, and what they then lose."""
    logits = sign * population.terms @ population.point.T
    contribution = sign * departures @ population.point.T
    without = logits - contribution + contribution.mean(axis=1, keepdims=True)
    rows = np.arange(len(logits))
    chosen, otherwise = _top(logits, comparator), _top(without, comparator)
    probability = logistic(logits)
    lost = probability[rows, chosen] - probability[rows, otherwise]
    return float((chosen != otherwise).mean()), float(lost.mean())


def _top(logits: FloatArray, comparator: int) -> np.ndarray:
    """Return the top arm of each patient; a tie goes to the comparator."""
    best = logits.max(axis=1)
    return np.where(logits[:, comparator] >= best - ROUNDING, comparator, logits.argmax(axis=1))


def _interactions(
    found: Mapping[str, Contribution],
    levels: Mapping[str, list[tuple[str, str, np.ndarray]]],
    others: Sequence[Any],
    level: float,
) -> "pd.DataFrame":
    """Return one row per level of a covariate and arm."""
    import pandas as pd

    tails, rows = [(1 - level) / 2, (1 + level) / 2], []
    for name, contribution in found.items():
        for (covariate, label, _), drawn in zip(levels[name], contribution.by_level, strict=True):
            lower, upper = np.quantile(drawn, tails, axis=1)
            above = (drawn > 0).mean(axis=1)
            means = drawn.mean(axis=1)
            rows += [
                (name, covariate, label, arm, means[k], lower[k], upper[k], above[k])
                for k, arm in enumerate(others)
            ]
    columns = ["set", "covariate", "level", "arm", "value", "lower", "upper", "p_above"]
    table = pd.DataFrame(rows, columns=columns)
    return table if (table["set"] != table["covariate"]).any() else table.drop(columns="set")
