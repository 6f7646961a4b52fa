"""What the page says on what to ask next: a text, one question, or questions one after the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from treatsel._checks import listed
from treatsel.errors import InputError
from treatsel.page import PageAnswer, PageQuestion
from treatsel.recommendation._page_choice import choice_of, excluded_of, position_of

SAME = ("rule", "margin", "level", "p_switch", "comparator", "preferences")  # options that both must have


def questions_of(
    given: Any, found: Any, titles: Mapping[str, str], words: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of `PatientPage` on what to ask next.

    Parameters
    ----------
    given : str, NextQuestion, QuestionTree or None
        What to ask next; the classes are not imported, as they are of a higher level.
    found : Recommendations
        The recommendation that the page shows.
    titles : mapping of str to str
        Titles of covariates.
    words : mapping
        Words of the page.

    Raises
    ------
    InputError
        If a tree of questions was made for another record, or with other options.
    """
    if given is None or isinstance(given, str):
        return {"next_question": (given or "").strip() or None}
    if not hasattr(given, "answers"):
        names = [given.question] if given.question is not None else list(given.pair or ())
        asked = words["list_and"].join(titles.get(name, name) for name in names)
        text = str(words["next"]["question"]).replace("{question}", asked)
        return {"next_question": text if names else None}
    _check_same(given.recommendation, found)
    if given.answers:
        return {"questions": _question(given)}
    nothing = given.worth is not None and len(given.worth.table)
    return {"next_question": words["next"]["nothing"] if nothing else None}


def _question(tree: Any) -> PageQuestion:
    """Return the question of a state, and what follows from its answers."""
    return PageQuestion(
        title=tree.title,
        unit=tree.unit,
        is_range=tree.is_range,
        lists_all=tree.lists_all,
        answers=[
            PageAnswer(
                values=list(dict.fromkeys((each.values[0], each.values[-1]))),
                value=each.value,
                choice=choice_of(each.recommendation),
                excluded=excluded_of(each.recommendation),
                comparator=position_of(each.recommendation, "comparator"),
                is_open=each.is_open,
                then=_question(each) if each.answers else None,
            )
            for each in tree.answers
        ],
    )


def _check_same(start: Any, found: Any) -> None:
    """Check that questions start at the recommendation of the page: the two would contradict each other."""
    differing = [name for name in SAME if getattr(start, name) != getattr(found, name)]
    names = ("status", "arm", "excluded")
    differing += [name for name in names if start.columns[name][0] != found.columns[name][0]]
    same_values = start.arms == found.arms and np.allclose(
        start.utilities, found.utilities, rtol=0, atol=1e-9, equal_nan=True
    )
    if differing or not same_values:
        raise InputError(
            "next_question does not start at this recommendation: other "
            f"{listed([*differing, *([] if same_values else ['utilities'])])}. Make it from the same record, "
            "with the same options: question_tree(selector, record, **options)."
        )
