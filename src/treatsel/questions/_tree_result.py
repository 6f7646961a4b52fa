"""`QuestionTree`: questions one after the other, and the recommendation after each of their answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._checks import as_text, count_of
from treatsel._reporting.summary import Summarized, Summary
from treatsel.questions._result import NextQuestion
from treatsel.recommendation import Recommendations


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class QuestionTree(Summarized):
    """What is recommended with the answers so far, what to ask next, and the same after each answer.

    Attributes
    ----------
    recommendation : Recommendations
        With the answers so far.
    question : str or None
        The covariate to ask for next; None: no other answer is worth asking for, or `is_open`.
    title, unit : str
        Of this covariate, for readers; "" without a question.
    answers : tuple of QuestionTree
        One for each possible answer, or for neighboring numbers with the same status and arms.
    is_range : bool
        Whether `answers` are examples of numbers, between which others are possible.
    lists_all : bool
        Whether `answers` has every category that the codebook allows.
    worth : NextQuestion or None
        What each missing answer is worth here; None if this was not calculated.
    is_open : bool
        Whether another question may be worth asking, which was not calculated.
    values : tuple
        The answers that lead here, numbers in increasing order; empty at the start.
    value : label, number or None
        The one of them with which everything here was calculated; None at the start.
    probability : float
        Probability of these answers, given the ones before.
    """

    recommendation: Recommendations
    question: str | None
    title: str = ""
    unit: str = ""
    answers: tuple["QuestionTree", ...] = ()
    is_range: bool = False
    lists_all: bool = True
    worth: NextQuestion | None = None
    is_open: bool = False
    values: tuple[Any, ...] = ()
    value: Any = None
    probability: float = 1.0

    def to_frame(self) -> pd.DataFrame:
        """Return one row per answer, each after the one that leads to it.

        The index has the answers from the start, such as ``"prior = yes, age = 40"``. Columns: step (1: the
        answer to the first question), question, answer (lowest and highest of several numbers), value (the
        one that was used), probability (given the answers before), status, arm, p_better, next (the question
        after it; None: there is none), and is_open.
        """
        rows = list(self._rows("", 1))
        names = ("step", "question", "answer", "value", "probability", "status", "arm", "p_better", "next")
        index = pd.Index([path for path, _ in rows], name="answers", dtype="object")
        return pd.DataFrame([row for _, row in rows], index=index, columns=[*names, "is_open"])

    def _rows(self, before: str, step: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for each in self.answers:
            path = f"{before}{', ' if before else ''}{self.question} = {as_text(each.value)}"
            shown = " to ".join(dict.fromkeys(map(as_text, (each.values[0], each.values[-1]))))
            columns = each.recommendation.columns
            decided = (columns[name][0] for name in ("status", "arm", "p_better"))
            row = (step, self.question, shown, each.value, each.probability, *decided)
            yield path, (*row, each.question, each.is_open)
            yield from each._rows(path, step + 1)

    def _summary(self) -> Summary:
        table = self.to_frame()
        asked = table["question"].nunique()
        if self.question is None:
            headline = "No question is worth asking." if self.worth is None else self.worth.reason
            headline = "Not examined." if self.is_open else headline
        else:
            headline = f"Ask {self.question!r} first."
        facts = [("questions", str(asked)), ("answers", str(len(table)))]
        return Summary(
            title="QuestionTree",
            headline=headline,
            facts=facts if self.answers else [],
            note=f"to_frame() shows what follows from {count_of(len(table), 'answer')}.",
        )
