"""Questions one after the other in words: what would come out with each answer, and what to ask then."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from treatsel.page._choice_view import choice_view
from treatsel.page._contents import PageAnswer, PageQuestion
from treatsel.page._strings import fill, joined
from treatsel.page._wording import Wording


@dataclass(frozen=True, kw_only=True)
class AnswerView:
    """Texts of an answer: `first` has the leading arms, `example` the number used, `end` why it ends."""

    label: str
    headline: str
    first: str
    example: str
    end: str
    then: "QuestionView | None"


@dataclass(frozen=True, kw_only=True)
class QuestionView:
    """Texts of a question: `note` says that other answers are possible.

    `has_numbers`: whether answers to it, or to a later question, are examples of numbers.
    """

    title: str
    answers: list[AnswerView]
    note: str
    has_numbers: bool


def question_view(question: PageQuestion, words: Wording) -> QuestionView:
    """Return the texts of a question, and of all that follow from its answers."""
    said = words.strings["next"]
    answers = [_answer(each, question, words) for each in question.answers]
    return QuestionView(
        title=fill(said["titled" if question.unit else "untitled"], title=question.title, unit=question.unit),
        answers=answers,
        note="" if question.lists_all else said["others"],
        has_numbers=question.is_range or any(each.then and each.then.has_numbers for each in answers),
    )


def _answer(answer: PageAnswer, question: PageQuestion, words: Wording) -> AnswerView:
    """Return the texts of an answer; arms that it excludes are not named, as everywhere on the page."""
    said, page = words.strings["next"], words.page
    rules = replace(page.rules, comparator=answer.comparator)
    own = Wording(replace(page, excluded=answer.excluded, rules=rules), words.strings)
    view = choice_view(answer.choice, own)
    first = ""
    if view.groups:
        heading, names, is_ordered = view.groups[0]
        first = (
            f"{heading} {joined(words.strings, names[:1] if is_ordered else names)}{words.strings['period']}"
        )
    values = [_shown(value, said) for value in answer.values]
    label = values[0] if len(values) == 1 else fill(said["range"], lowest=values[0], highest=values[-1])
    end = "" if answer.then is not None else said["open" if answer.is_open else "nothing"]
    if answer.choice.status in ("out_of_scope", "only_option"):
        end = ""
    return AnswerView(
        label=fill(said["about"], value=label) if question.is_range else label,
        headline=view.headline,
        first=first,
        example=fill(said["example"], value=_shown(answer.value, said)) if len(values) > 1 else "",
        end=end,
        then=None if answer.then is None else question_view(answer.then, words),
    )


def _shown(value: Any, said: Mapping[str, Any]) -> str:
    """Return an answer as a reader gives it: blanks replace underscores, as in names of arms."""
    if isinstance(value, bool):
        return str(said["answer_yes" if value else "answer_no"])
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
