"""Expected value of an answer, from a table of utilities by possible answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from treatsel._checks import ROUNDING, FloatArray, check_number, check_probability, count_of, listed
from treatsel._stats.by_arm_tables import check_table
from treatsel._stats.vectors import check_patients
from treatsel.errors import InputError
from treatsel.questions._result import NextQuestion

_SUM = 1e-6  # how far the sum of probabilities may be from 1


class Worth(NamedTuple):
    """Expected gain of an answer, and the probability that it changes the top arm."""

    value: float
    p_change: float


def worth_of(utilities: FloatArray, probability: FloatArray) -> Worth:
    """Return the worth of one answer from expected utilities by answer, shape (n_answers, n_arms).

    E max_a E[U_a | answer] - max_a E[U_a], written as the expected lead over the arm that is the top one
    without the answer: never negative, and exactly 0 if no answer changes the top arm. A tie is no change.

    References
    ----------
    Raiffa & Schlaifer (1961), Applied Statistical Decision Theory.
    """
    tops = top_arms(probability @ utilities)
    lead = utilities.max(axis=1)[:, None] - utilities[:, tops]
    lead[lead <= ROUNDING] = 0.0
    # of arms that are tied at the top, the one that the answer changes least often
    return Worth(float((probability @ lead).min()), float(min(1.0, (probability @ (lead > 0)).min())))


def top_arms(utilities: FloatArray) -> np.ndarray:
    """Return the positions of the arms with the highest utility."""
    return np.flatnonzero(utilities >= utilities.max() - ROUNDING)


def value_of_answers(
    utilities: pd.DataFrame,
    answers: pd.DataFrame,
    probability: Any,
    *,
    cost: Mapping[str, float] | None = None,
    tolerance: float = 0.0,
) -> NextQuestion:
    """Return what each question is worth, from a table of all combinations of answers.

    Parameters
    ----------
    utilities : DataFrame of shape (n_combinations, n_arms)
        Utility of each arm if the answers are these, columns named by arm.
    answers : DataFrame of shape (n_combinations, n_questions)
        The answers, one column per question.
    probability : array-like of shape (n_combinations,)
        Probability of each combination, given what is known; sum 1.
    cost : mapping of question to float, optional
        Burden of a question, in units of utility; 0 for others.
    tolerance : float, default 0
        Smallest value minus cost for which a question is worth asking. It must also be above 0.

    Returns
    -------
    NextQuestion

    Raises
    ------
    InputError
        If shapes differ, or probabilities do not have the sum 1.

    Examples
    --------
    >>> utilities = pd.DataFrame({"CBT": [0.5, 0.4], "SSRI": [0.45, 0.5]})
    >>> found = value_of_answers(utilities, pd.DataFrame({"prior": ["no", "yes"]}), [0.7, 0.3])
    >>> found.question, found.table.loc["prior", "value"].round(3).item()
    ('prior', 0.03)
    """
    table = check_table("utilities", utilities)
    if not isinstance(answers, pd.DataFrame):
        raise InputError(f"answers must be a DataFrame; it is a {type(answers).__name__}.")
    p = check_probability("probability", probability)
    check_patients(utilities=table, answers=answers, probability=p)
    if abs(p.sum() - 1) > _SUM:
        raise InputError(f"probability has the sum {p.sum():.6g}; it must be 1.")
    matrix, p = table.to_numpy(dtype=np.float64), p / p.sum()
    found = {str(name): worth_of(*_by_answer(matrix, p, column)) for name, column in answers.items()}
    current = p @ matrix
    return result_of(
        found,
        dict(zip(table.columns, current.tolist(), strict=True)),
        cost=check_cost(cost, found),
        tolerance=check_tolerance(tolerance),
        all_answers=worth_of(matrix, p).value,
    )


def _by_answer(matrix: FloatArray, p: FloatArray, answers: "pd.Series[Any]") -> tuple[FloatArray, FloatArray]:
    """Return the expected utilities given each answer, and the probability of the answer."""
    codes = pd.factorize(answers, use_na_sentinel=False)[0]
    total = np.bincount(codes, p)
    sums = np.array([np.bincount(codes, p * column) for column in matrix.T]).T
    possible = total > 0
    return sums[possible] / total[possible, None], np.asarray(total[possible], dtype=np.float64)


def result_of(
    found: Mapping[str, Worth],
    current: Mapping[Any, float],
    *,
    cost: Mapping[str, float],
    tolerance: float,
    all_answers: float = float("nan"),
) -> NextQuestion:
    """Return the result for single questions."""
    table = worth_table(found, cost)
    net = float(table["net"].iloc[0]) if len(table) else 0.0
    question = str(table.index[0]) if is_worth(net, tolerance) else None
    arms = list(current)
    return NextQuestion(
        question=question,
        reason=_reason(table, question, tolerance),
        table=table,
        current=current,
        top_arms=tuple(arms[place] for place in top_arms(np.array(list(current.values())))),
        all_answers=all_answers,
        tolerance=tolerance,
    )


def worth_table(found: Mapping[Any, Worth], cost: Mapping[str, float]) -> pd.DataFrame:
    """Return one row per question (or pair), the highest net value first, then by name."""
    names = list(found)
    costs = [
        sum(cost.get(one, 0.0) for one in (name if isinstance(name, tuple) else (name,))) for name in names
    ]
    table = pd.DataFrame(
        {
            "value": [found[name].value for name in names],
            "cost": costs,
            "net": [found[name].value - each for name, each in zip(names, costs, strict=True)],
            "p_change": [found[name].p_change for name in names],
        },
        index=pd.Index(names, name="question", tupleize_cols=False),
        dtype="float64",
    )
    order = sorted(range(len(names)), key=lambda place: (-table["net"].iloc[place], names[place]))
    return table.iloc[order]


def is_worth(net: float, tolerance: float) -> bool:
    """Whether a net value is above 0 and reaches the tolerance."""
    return net > 0 and net >= tolerance - ROUNDING


def _reason(table: pd.DataFrame, question: str | None, tolerance: float) -> str:
    if not len(table):
        return "There is no question left to ask."
    if question is not None:
        row = table.loc[question]
        return f"Ask {question!r}: the answer changes the top arm with probability {row['p_change']:.2g}."
    if not table["value"].any():
        return "No single answer would change the top arm."
    return f"No answer is worth its cost: every net value is below {tolerance:g}, or not above 0."


def check_cost(cost: Any, questions: Any) -> dict[str, float]:
    """Return costs of at least 0 of known questions."""
    if cost is None:
        return {}
    if not isinstance(cost, Mapping):
        raise InputError(f"cost must be a mapping of questions to numbers, not a {type(cost).__name__}.")
    if unknown := [name for name in cost if name not in questions]:
        raise InputError(f"cost names {count_of(len(unknown), 'unknown question')}: {listed(unknown)}.")
    for name, value in cost.items():
        if not 0 <= check_number(f"The cost of {name!r}", value) < np.inf:
            raise InputError(f"The cost of {name!r} is {value}; it must be a finite number of at least 0.")
    return {str(name): float(value) for name, value in cost.items()}


def check_tolerance(tolerance: Any) -> float:
    """Return a tolerance of at least 0."""
    if not 0 <= check_number("tolerance", tolerance) < np.inf:
        raise InputError(f"tolerance is {tolerance}; it must be a finite number of at least 0.")
    return float(tolerance)
