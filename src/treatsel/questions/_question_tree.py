"""`question_tree`: questions that are worth asking one after the other, with what each answer leads to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, check_choice, count_of
from treatsel.codebook import Field, as_entered, frame_of, is_number
from treatsel.errors import InputError
from treatsel.questions._answers import is_two_valued
from treatsel.questions._next_question import check_has, with_answers
from treatsel.questions._result import NextQuestion
from treatsel.questions._tree_result import QuestionTree

DEPTH = 3  # questions one after the other: nobody reads on a page what comes after a fourth answer
MOST_EXAMINED = 10  # states in which the next question is looked for: as many answers as a page can show
MOST_PREDICTED = 16  # the same times outcomes: each takes about .1 s, so that a page takes less than 2 s
MOST_ANSWERS = 8  # categories of one question


def question_tree(
    selector: Any,
    record: Mapping[str, Any] | pd.DataFrame,
    ask: Iterable[str] | None = None,
    tolerance: float = 0.005,
    *,
    cost: Mapping[str, float] | None = None,
    depth: int = DEPTH,
    **options: Any,
) -> QuestionTree:
    """Ask the next question, and for each of its answers the question after that, without waiting for one.

    Each possible answer is filled into the record, which gives the recommendation with this answer, and then,
    by `next_question`, what to ask next. The tree ends where no answer is worth asking for. It is what a
    page without a model, such as that of `Recommendations.to_html`, needs to guide through a whole record.

    Parameters
    ----------
    selector : TreatmentSelector
        A fitted selector.
    record : mapping or DataFrame with one row
        What is known of the patient, as for `recommend`: covariates, the site if there is one, and the
        columns of rules of eligibility. A covariate that is absent or missing is not known yet.
    ask, tolerance, cost
        As in `next_question`.
    depth : int, default 3
        Most questions one after the other, 1 to 3.
    **options
        Options of `TreatmentSelector.recommend`, such as preferences, excluded, rule and service. Preferences
        are those of outcomes alone.

    Returns
    -------
    QuestionTree
        The recommendation without another answer, with the first question and its answers.

    Raises
    ------
    CohortError
        If a known value violates the codebook.
    InputError
        If a name is unknown or an option is out of range.

    Notes
    -----
    Possible answers are those of `next_question`, of categories the eight most probable ones. Numbers are
    rounded to three digits; neighboring numbers with the same status and arms are one answer, and what
    follows is calculated for the middle one of them. The next question is looked for after 9 answers at
    most (7 with two outcomes, 4 with three): those to the first question, then to the second one, the most
    probable ones first. Where that ends, or the depth, `QuestionTree.is_open` is true.

    If two questions are worth asking together although neither is alone, the first of the pair is asked, and
    what is worth asking then follows from its answer.

    Examples
    --------
    >>> from treatsel import TreatmentSelector
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"severity": rng.integers(0, 28, 700), "arm": ["CBT", "SSRI"] * 350})
    >>> chance = np.where(X["arm"] == "CBT", 0.4, 0.1 + 0.02 * X["severity"])
    >>> y = pd.Series((rng.random(700) < chance).astype(int), name="remission")
    >>> selector = TreatmentSelector(estimator="hierarchical", event_is_good=True, random_state=0)
    >>> found = question_tree(selector.fit(X, y), {})
    >>> found.question, [answer.recommendation.columns["arm"][0] for answer in found.answers][::2]
    ('severity', ['CBT', 'SSRI'])
    """
    check_has(selector, "recommend")
    depth = check_choice("depth", depth, range(1, DEPTH + 1))
    names = None if ask is None else [ask] if isinstance(ask, str) else list(ask)
    asking = _Asking(selector, names, tolerance, cost, options)
    given = frame_of(record)
    if len(given) != 1:
        raise InputError(f"record has {count_of(len(given), 'row')}; give the covariates of one patient.")
    known = {str(name): None if pd.isna(value) else value for name, value in given.iloc[0].items()}
    root = asking.state(known)
    waiting = [root]
    n_outcomes = len(root.found.preferences or ("",))
    for _ in range(max(1, min(MOST_EXAMINED, MOST_PREDICTED // n_outcomes))):
        if not waiting:
            break
        state = min(waiting, key=lambda each: (each.depth, -each.reach))
        waiting.remove(state)
        asking.examine(state)
        waiting += [each for each in state.after if each.depth < depth and each.can_change]
    return asking.tree(root)


@dataclass(eq=False)
class _State:
    """A record with some answers, and the recommendation for it."""

    record: dict[str, Any]
    found: Any
    can_change: bool
    values: tuple[Any, ...] = ()
    probability: float = 1.0
    reach: float = 1.0
    depth: int = 0
    worth: NextQuestion | None = None
    after: list["_State"] = field(default_factory=list)

    @property
    def outcome(self) -> tuple[Any, ...]:
        """What a reader sees of the recommendation."""
        names = ("status", "arm", "top", "best_set")
        return (*(self.found.columns[name][0] for name in names), sorted(self.found.columns["excluded"][0]))


@dataclass(frozen=True)
class _Asking:
    """What decides on questions and recommendations, beside the record."""

    selector: Any
    ask: list[str] | None
    tolerance: float
    cost: Mapping[str, float] | None
    options: Mapping[str, Any]

    def state(self, record: dict[str, Any], **others: Any) -> _State:
        """Return a record with its recommendation."""
        whole = {**dict.fromkeys(self.selector.codebook_.covariates), **record}
        found = self.selector.recommend(whole, **self.options)
        permitted = len(found.arms) - len(found.columns["excluded"][0])
        can_change = permitted > 1 and found.columns["status"][0] != "out_of_scope"
        return _State(record=record, found=found, can_change=can_change, **others)

    def examine(self, state: _State) -> None:
        """Find the next question of a state, and the states that its answers lead to."""
        if not state.can_change:
            return
        excluded = state.found.columns["excluded"][0]
        known = {name: value for name, value in state.record.items() if value is not None}
        state.worth, answers = with_answers(
            self.selector,
            known,
            self.ask,
            self.tolerance,
            cost=self.cost,
            preferences=self.options.get("preferences"),
            allowed=[arm for arm in state.found.arms if arm not in excluded],
            service=self.options.get("service", "known"),
        )
        if (name := state.worth.first) is not None:
            state.after = self._answered(state, name, *answers[name])

    def _answered(self, state: _State, name: str, values: list[Any], probability: FloatArray) -> list[_State]:
        """Return the states after each possible answer to a question."""
        asked = self.selector.codebook_[name]
        states = [
            self.state(
                {**state.record, name: value},
                values=(value,),
                probability=p,
                reach=state.reach * p,
                depth=state.depth + 1,
            )
            for value, p in _entered(asked, values, probability.tolist())
        ]
        return _joined(states) if self.is_range(name) else states

    def is_range(self, name: str) -> bool:
        """Whether the answers to a question are numbers on a line, other than 0 and 1."""
        asked, numbers = self.selector.codebook_[name], self.selector.background_[name].dropna()
        if not is_number(asked):
            return False
        limits = self.selector.ranges_
        limits = limits.loc[name].tolist() if name in limits.index else None
        return not is_two_valued(asked, numbers.to_numpy(dtype=np.float64), limits)

    def tree(self, state: _State) -> QuestionTree:
        """Return a state, and all that follow from it, as a result."""
        asked = None if state.worth is None else state.worth.first
        asks = self.selector.codebook_[asked] if asked else None
        shown = {value for each in state.after for value in each.values}
        return QuestionTree(
            values=state.values,
            value=state.values[len(state.values) // 2] if state.values else None,
            probability=state.probability,
            recommendation=state.found,
            is_open=state.can_change and state.worth is None,
            worth=state.worth,
            question=asked,
            title="" if asked is None else self.selector.codebook_.label(asked),
            unit="" if asks is None else asks.unit or "",
            is_range=asked is not None and self.is_range(asked),
            lists_all=asks is None or asks.enum is None or set(asks.enum) <= shown,
            answers=tuple(self.tree(each) for each in state.after),
        )


def _entered(field: Field, values: list[Any], probability: list[float]) -> list[tuple[Any, float]]:
    """Return the answers that are shown: numbers with three digits, the most probable categories."""
    if is_number(field):
        rounded: dict[Any, float] = {}
        for value, p in zip(values, probability, strict=True):
            shown = as_entered(field, float(f"{value:.3g}")) if isinstance(value, float) else value
            rounded[shown] = rounded.get(shown, 0.0) + p
        return list(rounded.items())
    kept = sorted(np.argsort(-np.asarray(probability), kind="stable")[:MOST_ANSWERS].tolist())
    return [(values[place], probability[place]) for place in kept]


def _joined(states: list[_State]) -> list[_State]:
    """Return states of increasing numbers, in which neighbors with the same outcome are one."""
    runs: list[list[_State]] = []
    for state in states:
        if runs and runs[-1][-1].outcome == state.outcome:
            runs[-1].append(state)
        else:
            runs.append([state])
    found = []
    for run in runs:
        middle = run[len(run) // 2]
        middle.values = tuple(value for each in run for value in each.values)
        middle.probability = sum(each.probability for each in run)
        middle.reach = sum(each.reach for each in run)
        found.append(middle)
    return found
