"""Recommendations from by-arm tables, including the result that no arm is clearly best."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import (
    FloatArray,
    by_text,
    check_arm,
    check_by_arm,
    check_unique,
)
from treatsel.errors import InputError
from treatsel.recommendation._decision import DecisionRule, Decisions, decide, reasons_of
from treatsel.recommendation._reasons import reasons_by_patient
from treatsel.recommendation._result import Recommendations

if TYPE_CHECKING:
    import pandas as pd

# The rule that `validate` evaluates by default. Every recommendation follows it unless told otherwise:
# library, command line, services and monitoring have no default of their own.
DEFAULT_RULE, DEFAULT_MARGIN, DEFAULT_P_SWITCH = "expected", 0.05, 0.8
# what is shown of the recommended arm
OF_THE_ARM = (
    *("difference", "difference_lower", "difference_upper", "p_better", "expected_regret", "p_best"),
)


def recommend(
    by_arm: "pd.DataFrame",
    *,
    draws: FloatArray | None = None,
    default_arm: Any = None,
    allowed: "pd.DataFrame | None" = None,
    excluded: Mapping[Any, str] | None = None,
    evidence: Mapping[Any, bool] | None = None,
    in_scope: "pd.Series | None" = None,
    rule: str = DEFAULT_RULE,
    comparator: Any = None,
    margin: float = DEFAULT_MARGIN,
    level: float = 0.95,
    p_switch: float = DEFAULT_P_SWITCH,
) -> Recommendations:
    """Recommend an arm for each patient, from a by-arm table and its posterior draws.

    The top arm has the highest value among the permitted arms. Every arm is compared with the comparator (by
    default the default arm): difference with its interval, and P(better), the posterior probability that the
    arm is better. The expected regret of an arm is what one expects to lose by it instead of the best arm.
    The best set holds the top arm and arms whose value is within `margin` of it: as many, in the order of
    their expected regret, that an arm drawn at random from the set loses at most `margin` on average.

    The status is the first of these that holds: ``out_of_scope`` if the model may not be used for the
    patient, or no arm is permitted; ``only_option`` if one arm is permitted, so that nothing was compared;
    ``insufficient_evidence`` if the top arm or the comparator is without sufficient `evidence`;
    ``no_interval`` without draws; ``clear_gain`` if the top arm is better than the comparator with P(better)
    of .95 or more, and an expected difference of `margin` or more; ``default_best`` if the comparator is the
    top arm and no arm is better than it by more than `margin` with a probability of .2 or more; ``leaning``
    if P(better) of the top arm is .8 or more; ``equivalent`` if the best set has two or more arms, and no arm
    is better than the top arm by more than `margin` with a probability of .2 or more; otherwise
    ``undecided``: the data cannot tell.

    Parameters
    ----------
    by_arm : DataFrame of shape (n_patients, n_arms)
        Probability of the good outcome, or utility, under each arm; 0 to 1.
    draws : array of shape (n_draws, n_patients, n_arms), optional
        Posterior draws of the same table, arms in the same order.
    default_arm : label, optional
        The best single arm: the comparator unless another is named, and what the rule "default" gives.
    allowed : DataFrame of bool of shape (n_patients, n_arms), optional
        Permissions: False excludes an arm for a patient.
    excluded : mapping of arm to reason, optional
        Arms that are not available to any patient, each with a reason.
    evidence : mapping of arm to bool, optional
        Whether an arm had enough patients to be compared with others; True for arms that are not listed.
    in_scope : Series of bool of shape (n_patients,), optional
        Patients for whom the model may be used.
    rule : {"expected", "switch", "default"}
        "expected": the top arm. "switch": the top arm only if its P(better than the comparator) is above
        `p_switch`, otherwise the comparator. "default": the default arm. An arm that is not permitted is
        replaced by the top arm.
    comparator : label, optional
        The arm with which the others are compared, such as the one otherwise received; it takes ties. None:
        the default arm.
    margin : float
        Smallest difference that matters, 0 to 1.
    level : float
        Level of the intervals.
    p_switch : float
        Probability above which the rule "switch" leaves the comparator, 0.5 to 1.

    Returns
    -------
    Recommendations

    Raises
    ------
    InputError
        With fewer than two arms, tables that do not match, or an unknown option.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> by_arm = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40]})
    >>> draws = by_arm.to_numpy() + np.random.default_rng(0).normal(0, 0.02, (500, 2, 2))
    >>> recommend(by_arm, draws=draws, comparator="SSRI").to_frame()[["arm", "status", "best_set"]]
       arm      status     best_set
    0  CBT  clear_gain       (CBT,)
    1  CBT  equivalent  (CBT, SSRI)
    """
    by_arm = check_by_arm("by_arm", by_arm)
    if len(by_arm.columns) < 2:
        raise InputError(
            f"The table has one arm, {by_arm.columns[0]!r}. A recommendation needs at least two arms; with "
            "one arm, only predictions are possible."
        )
    check_unique("The patients (index) of by_arm", by_arm.index)
    arms = list(by_arm.columns)
    by = DecisionRule.of(
        arms,
        rule=rule,
        margin=margin,
        level=level,
        p_switch=p_switch,
        default_arm=default_arm,
        comparator=comparator,
    )
    reasons = reasons_of(excluded, arms)
    known = {check_arm("An arm of evidence", arm, arms): bool(may) for arm, may in (evidence or {}).items()}
    permitted = permissions(allowed, by_arm.index, arms) & ~by_arm.columns.isin(list(reasons))
    return recommend_arrays(
        by_arm.to_numpy(),
        patients=by_arm.index,
        arms=arms,
        draws=_check_draws(draws, by_arm),
        permitted=permitted,
        reasons=reasons,
        evidence=known,
        in_scope=_scope(in_scope, by_arm.index),
        by=by,
    )


def recommend_arrays(
    values: FloatArray,
    *,
    patients: Any,
    arms: Sequence[Any],
    draws: FloatArray | None,
    permitted: np.ndarray,
    reasons: Mapping[Any, str],
    evidence: Mapping[Any, bool] | None,
    in_scope: np.ndarray,
    by: DecisionRule,
    by_rules: Sequence[tuple[Mapping[Any, str], Mapping[Any, str]]] | None = None,
    compiled: bool = False,
) -> Recommendations:
    """Recommend an arm for each patient from arrays that were checked before; see `recommend`.

    `values` has shape (n_patients, n_arms), `draws` (n_draws, n_patients, n_arms). `reasons` gives the
    reason for each excluded arm; `permitted` already takes the exclusions into account. `by_rules`: for each
    patient, the reasons of the arms that rules exclude, and of those that they warn of. `compiled`:
    whether to use the compiled kernel.
    """
    by_rules = [({}, {})] * len(values) if by_rules is None else by_rules
    enough = np.array([bool((evidence or {}).get(arm, True)) for arm in arms])
    decisions = decide(
        values,
        draws,
        permitted=permitted,
        enough=enough,
        in_scope=in_scope,
        arms=arms,
        by=by,
        compiled=compiled,
    )
    found = reasons_by_patient(decisions, arms, permitted=permitted, enough=enough, comparator=by.comparator)
    return Recommendations(
        patients=patients,
        arms=tuple(arms),
        columns=_columns(decisions, arms, found)
        | {
            "excluded": objects(_excluded(permitted, reasons, arms, by_rules)),
            "warned": objects([warned for _, warned in by_rules]),
        },
        comparisons=decisions.comparisons.tables(),
        utilities=values,
        rule=by.rule,
        margin=by.margin,
        level=by.level,
        p_switch=by.p_switch,
        default_arm=by.default_arm,
        comparator=by.comparator,
        excluded=dict(reasons),
    )


def permissions(allowed: Any, patients: "pd.Index[Any]", arms: Sequence[Any]) -> np.ndarray:
    """Return what a table of permissions permits (None: everything), shape (n_patients, n_arms)."""
    import pandas as pd

    if allowed is None:
        return np.ones((len(patients), len(arms)), dtype=bool)
    if not isinstance(allowed, pd.DataFrame):
        raise InputError(f"allowed must be a DataFrame of True and False, not a {type(allowed).__name__}.")
    check_unique("The columns of allowed", allowed.columns)
    allowed = allowed.rename(columns=by_text(arms))
    if missing := [str(arm) for arm in arms if arm not in allowed.columns]:
        raise InputError(f"allowed must contain every arm of by_arm; it lacks {missing}.")
    from treatsel._stats.alignment import aligned

    table: pd.DataFrame = aligned("allowed", allowed, patients)[list(arms)]
    if table.isna().any(axis=None) or not all(pd.api.types.is_bool_dtype(kind) for kind in table.dtypes):
        raise InputError("allowed must hold True and False only.")
    return table.to_numpy(dtype=bool)


def _scope(in_scope: "pd.Series | None", patients: "pd.Index[Any]") -> np.ndarray:
    import pandas as pd

    if in_scope is None:
        return np.ones(len(patients), dtype=bool)
    if not isinstance(in_scope, pd.Series) or not pd.api.types.is_bool_dtype(in_scope.dtype):
        raise InputError("in_scope must be a Series of True and False.")
    if in_scope.isna().any():
        raise InputError("in_scope must hold True and False only.")
    from treatsel._stats.alignment import aligned

    return np.asarray(aligned("in_scope", in_scope, patients).to_numpy(dtype=bool))


def _check_draws(draws: Any, by_arm: "pd.DataFrame") -> FloatArray | None:
    if draws is None:
        return None
    try:
        draws = np.asarray(draws, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("draws must be an array of numbers.") from None
    if draws.ndim != 3 or draws.shape[1:] != by_arm.shape or not len(draws) or not np.isfinite(draws).all():
        raise InputError(
            f"draws must be finite with shape (n_draws, {len(by_arm)}, {len(by_arm.columns)}); "
            f"they have shape {draws.shape}."
        )
    return np.asarray(draws)


def _excluded(
    permitted: np.ndarray,
    reasons: Mapping[Any, str],
    arms: Sequence[Any],
    by_rules: Sequence[tuple[Mapping[Any, str], Any]],
) -> list[dict[Any, str]]:
    words = {arm: reasons.get(arm, "not permitted for this patient") for arm in arms}
    return [
        {arm: own.get(arm, words[arm]) for arm, may in zip(arms, row, strict=True) if not may}
        for row, (own, _) in zip(permitted, by_rules, strict=True)
    ]


def _columns(decisions: Decisions, arms: Sequence[Any], reasons: Sequence[Any]) -> dict[str, np.ndarray]:
    labels, found = objects([*arms, None]), decisions.comparisons  # position -1: no arm
    rows, chosen = np.arange(len(decisions.arm)), decisions.arm
    own = {name: getattr(found, name)[rows, chosen] for name in OF_THE_ARM}
    if (none := chosen < 0).any():
        own = {name: np.where(none, np.nan, values) for name, values in own.items()}
    return {
        "arm": labels[chosen],
        "status": decisions.status,
        "status_reasons": objects(reasons),
        "best_set": objects([tuple(labels[:-1][row]) for row in decisions.best_set]),
        **own,
        "advantage": found.advantage,
        "advantage_lower": found.advantage_lower,
        "advantage_upper": found.advantage_upper,
        "top": labels[decisions.top],
        "comparator": labels[decisions.comparator],
    }


def objects(values: Sequence[Any]) -> np.ndarray:
    """Return a vector of Python objects, including tuples and mappings, which NumPy would unpack."""
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found
