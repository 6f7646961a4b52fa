"""`next_question`: for a partly filled record, the answer that is most likely to change the decision."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, check_arm, check_unique, count_of, listed
from treatsel.codebook import Codebook, clean_covariates, frame_of
from treatsel.errors import InputError
from treatsel.preference import outcome_weights, utility
from treatsel.questions._answers import distribution, scenarios, weights_of
from treatsel.questions._result import NextQuestion
from treatsel.questions._values import (
    Worth,
    check_cost,
    check_tolerance,
    is_worth,
    result_of,
    worth_of,
    worth_table,
)

if TYPE_CHECKING:
    from treatsel.preference import Preferences

N_SCENARIOS = 32  # sets of the other missing answers over which utilities are averaged
MOST_PAIRED = 10  # candidates for pairs
PAIR_SCENARIOS = 8
PAIR_ANSWERS = 3  # of each question in a pair
Answers = tuple[list[Any], FloatArray]  # possible answers to a question, and their probabilities


def next_question(
    selector: Any,
    record: Mapping[str, Any] | pd.DataFrame,
    ask: Iterable[str] | None = None,
    tolerance: float = 0.005,
    *,
    cost: Mapping[str, float] | None = None,
    preferences: "Mapping[str, float] | Preferences | None" = None,
    allowed: Iterable[Any] | None = None,
    service: str = "known",
) -> NextQuestion:
    """Find the missing covariate whose answer is worth most for the choice of an arm.

    The worth of a question is its expected value of information, one step ahead: how much the expected
    utility of the best arm rises, on average over the possible answers. It is never negative, and 0 for a
    covariate that cannot change the top arm.

    Parameters
    ----------
    selector : TreatmentSelector
        A fitted selector.
    record : mapping or DataFrame with one row
        Known covariates of the patient. A covariate that is absent or None is not known yet.
    ask : iterable of str, optional
        Covariates that may be asked for; those with a value in `record` are left out. None: all.
    tolerance : float, default 0.005
        Smallest value minus cost, in units of utility (a proportion), for which a question is worth asking.
    cost : mapping of covariate to float, optional
        Burden of a question in the same units; 0 for others.
    preferences : mapping of outcome to weight, or Preferences of outcomes alone, optional
        Weight of each outcome in the utility; None: only the first outcome counts.
    allowed : iterable of arm labels, optional
        Arms that the patient may receive; None: all.
    service : {"known", "average", "new"}
        As in `recommend`.

    Returns
    -------
    NextQuestion

    Raises
    ------
    CohortError
        If a known value violates the codebook.
    InputError
        If a name is unknown or an option is out of range.

    Notes
    -----
    The distribution of an answer comes from the background of the selector (`background_`), weighted by the
    distance to the known answers: categories and truth values are enumerated, numbers have seven values of
    equal probability. Utilities are averaged over 32 sets of the other missing answers from the same weighted
    background. Given the known answers, an answer is taken as independent of the other missing ones: it tells
    nothing about them. Posterior uncertainty does not matter for a decision by expected utility, as an answer
    does not change the model.

    Two questions can be worth asking together though neither is alone. If every single value is 0, the pairs
    of the ten questions that come nearest to a change are examined, on a coarser grid (`pairs`).

    References
    ----------
    Raiffa & Schlaifer (1961), Applied Statistical Decision Theory.
    Heath, Kunst & Jackson (2024), Value of Information for Healthcare Decision-Making.
    """
    decided = {"preferences": preferences, "allowed": allowed, "service": service}
    return with_answers(selector, record, ask, tolerance, cost=cost, **decided)[0]


def with_answers(
    selector: Any,
    record: Any,
    ask: Iterable[str] | None,
    tolerance: float,
    *,
    cost: Mapping[str, float] | None,
    **decided: Any,
) -> tuple[NextQuestion, dict[str, Answers]]:
    """Return the next question, and the possible answers to each question."""
    book, known, carried = _read(selector, record)
    names = _candidates(book, known, ask)
    tolerance, cost = check_tolerance(tolerance), check_cost(cost, book.covariates)
    utilities = _Utilities(selector, carried, **decided)
    background = selector.background_
    weights = weights_of(background, known)
    missing = [book[name] for name in book.covariates if name not in known]
    others = scenarios(missing, background, weights, N_SCENARIOS if missing else 1)
    limits = {name: tuple(row) for name, row in selector.ranges_.iterrows()}
    answers = {name: distribution(book[name], background[name], weights, limits.get(name)) for name in names}
    answers = {name: found for name, found in answers.items() if found[0]}
    # without another answer as well: one prediction for all records
    grids: dict[tuple[str, ...], list[Any]] = {(): [()], **{(name,): answers[name][0] for name in answers}}
    tables = utilities.by_answer(grids, others)
    current = dict(zip(utilities.arms, tables[()][0].tolist(), strict=True))
    worth = {name: worth_of(tables[(name,)], answers[name][1]) for name in answers}
    found = result_of(worth, current, cost=cost, tolerance=tolerance)
    if len(worth) < 2 or any(each.value for each in worth.values()):
        return found, answers
    return _with_pairs(found, tables, answers, utilities, others, cost), answers


def _read(selector: Any, record: Any) -> tuple[Codebook, dict[str, Any], dict[str, Any]]:
    """Return the codebook, the known covariates in clean form, and the whole record as it was given."""
    check_has(selector, "predict_by_arm", "background_", "ranges_", "outcomes_", "event_is_good_")
    book: Codebook = selector.codebook_
    frame = frame_of(record)
    if len(frame) != 1:
        raise InputError(f"record has {len(frame):,} rows; give the covariates of one patient.")
    given = [name for name in frame.columns if name in (*book.covariates, *book.names("site"))]
    absent = {name: None for name in book.covariates if name not in given}
    row = frame[given].assign(**absent)
    optional = Codebook(tuple(replace(field, required=False) for field in book.fields), book.missing_values)
    clean = clean_covariates(row, optional, selector.ranges_, "raise")[0].iloc[0]
    known = {name: clean[name] for name in book.covariates if not pd.isna(clean[name])}
    used = [name for name in given if name in known or name not in book.covariates]
    return book, known, {name: frame[name].iloc[0] for name in used}


def check_has(selector: Any, *names: str) -> None:
    """Check that a selector has a codebook, and what else is needed of it."""
    if not all(hasattr(selector, name) for name in ("codebook_", *names)):
        raise InputError(f"A fitted TreatmentSelector is needed, not a {type(selector).__name__}.")


def _candidates(book: Codebook, known: Mapping[str, Any], ask: Iterable[str] | None) -> list[str]:
    if ask is None:
        return [name for name in book.covariates if name not in known]
    names = [ask] if isinstance(ask, str) else list(ask)
    check_unique("The columns of ask", names)
    if unknown := [name for name in names if name not in book.covariates]:
        raise InputError(
            f"ask names {count_of(len(unknown), 'column')} that the model does not use: {listed(unknown)}. "
            f"Its covariates are {listed(book.covariates)}."
        )
    return [name for name in names if name not in known]


class _Utilities:
    """Expected utility of each allowed arm for records of one patient with different answers."""

    def __init__(
        self,
        selector: Any,
        carried: Mapping[str, Any],
        *,
        preferences: Any,
        allowed: Iterable[Any] | None,
        service: str,
    ) -> None:
        self._selector, self._carried = selector, dict(carried)
        self._good = selector.event_is_good_
        self._weights = outcome_weights(preferences, tuple(selector.outcomes_), self._good)
        self._options = {} if service == "known" else {"service": service}  # other selectors know one alone
        arms = list(selector.arms_)
        self.arms = arms if allowed is None else [check_arm("allowed", arm, arms) for arm in allowed]
        if not self.arms:
            raise InputError("allowed has no arms; give at least one.")
        check_unique("The arms of allowed", self.arms)

    def of(self, records: list[dict[str, Any]]) -> FloatArray:
        """Return utilities, shape (n_records, n_arms)."""
        frame = pd.DataFrame([{**one, **self._carried} for one in records], dtype="object")
        tables = {
            name: self._selector.predict_by_arm(frame, name, **self._options)[self.arms]
            for name in self._weights
        }
        return np.asarray(utility(tables, self._weights, self._good), dtype=np.float64)

    def by_answer(
        self, grids: Mapping[tuple[str, ...], list[Any]], others: list[dict[str, Any]]
    ) -> dict[tuple[str, ...], FloatArray]:
        """Return mean utilities by answer, for each question, pair or none; one prediction for all."""
        records = []
        for names, values in grids.items():
            for value in values:
                answer = dict(zip(names, (value,) if len(names) == 1 else value, strict=True))
                records += [{**other, **answer} for other in others]
        means = self.of(records).reshape(-1, len(others), len(self.arms)).mean(axis=1)
        ends = np.cumsum([len(values) for values in grids.values()])[:-1]
        return dict(zip(grids, np.split(means, ends), strict=True))


def _with_pairs(
    found: NextQuestion,
    tables: Mapping[tuple[str, ...], FloatArray],
    answers: Mapping[str, Answers],
    utilities: _Utilities,
    others: list[dict[str, Any]],
    cost: Mapping[str, float],
) -> NextQuestion:
    """Return the result with the values of pairs of the questions that come nearest to a change."""
    names = sorted(answers, key=lambda name: (-_nearness(tables[(name,)], answers[name][1]), name))
    coarse = {name: _coarser(*answers[name]) for name in names[:MOST_PAIRED]}
    grids: dict[tuple[str, ...], list[Any]] = {}
    chances: dict[tuple[str, ...], FloatArray] = {}
    for pair in combinations(sorted(coarse), 2):
        grids[pair] = list(product(*(coarse[name][0] for name in pair)))
        chances[pair] = np.outer(coarse[pair[0]][1], coarse[pair[1]][1]).ravel()
    step = max(1, len(others) // PAIR_SCENARIOS)
    means = utilities.by_answer(grids, others[::step])
    worth: dict[tuple[str, ...], Worth] = {pair: worth_of(means[pair], chances[pair]) for pair in means}
    table = worth_table(worth, cost)
    best = table.index[0] if is_worth(float(table["net"].iloc[0]), found.tolerance) else None
    if best is None:
        reason = "No single answer would change the top arm, and no two answers together are worth asking."
    else:
        reason = f"No single answer would change the top arm, but {best[0]!r} and {best[1]!r} together may."
    return replace(found, pair=best, pairs=table, reason=reason)


def _nearness(utilities: FloatArray, probability: FloatArray) -> float:
    """Return the smallest distance of another arm to the top arm over the answers, at most 0."""
    top = int((probability @ utilities).argmax())
    rest = np.delete(utilities, top, axis=1)
    return float((rest - utilities[:, [top]]).max()) if rest.shape[1] else -np.inf


def _coarser(values: list[Any], probability: FloatArray) -> tuple[list[Any], FloatArray]:
    """Return at most three answers: the lowest, middle and highest of a number, the likeliest categories."""
    if len(values) <= PAIR_ANSWERS:
        return values, probability
    if isinstance(values[0], str):
        kept = np.sort(np.argsort(-probability, kind="stable")[:PAIR_ANSWERS])
        return [values[place] for place in kept], probability[kept] / probability[kept].sum()
    parts = np.array_split(np.arange(len(values)), PAIR_ANSWERS)
    return (
        [values[part[len(part) // 2]] for part in parts],
        np.array([probability[part].sum() for part in parts]),
    )
