"""Outcomes derived from scores: the keys `score`, `start`, `target` and `definition` of a field.

Only their syntax is checked here. `treatsel.outcome` knows what they mean, and a cohort derives the outcome.
"""

import operator
import re
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from treatsel._checks import count_of, did_you_mean
from treatsel.codebook._direction import SHIPPED
from treatsel.errors import CodebookError, Fault, InputError

_TARGET = re.compile(r"\s*(<=|>=|<|>)\s*([+-]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})|median)\s*", re.ASCII)
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_TWO = ("phq_first", "phq_last", "gad_first", "gad_last")
# Inputs and options of each outcome of `treatsel.outcome` that is defined by scores (a test compares them).
INPUTS: dict[str, tuple[str, ...]] = {
    "remission": ("last",),
    "response": ("first", "last"),
    "caseness": ("score",),
    **dict.fromkeys(
        ("nhs_recovery", "reliable_improvement", "reliable_recovery", "reliable_deterioration"), _TWO
    ),
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "remission": ("instrument",),
    "response": ("fall", "instrument"),
    "caseness": ("instrument",),
}


@dataclass(frozen=True)
class Target:
    """The comparison of a score with a number that is the event, such as ``< 10``.

    Parameters
    ----------
    sign : {"<", "<=", ">", ">="}
        The comparison.
    cutoff : float
        The number; NaN for the median of a cohort's scores, which `fixed_targets` replaces.
    """

    sign: str
    cutoff: float

    def holds(self, values: Any) -> Any:
        """Return whether a number, or each of an array, is the event; False for NaN."""
        return _COMPARE[self.sign](values, self.cutoff)

    @property
    def is_median(self) -> bool:
        """Whether the score is compared with its median."""
        return self.cutoff != self.cutoff

    @classmethod
    def parse(cls, text: Any) -> "Target":
        """Read a text such as "< 10", ">= 50" or "< median".

        Raises
        ------
        CodebookError
            If it is not a comparison with a number.
        """
        found = _TARGET.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise CodebookError(
                "target must be a comparison with a number, or with the median, in quotes, such as '< 10'."
            )
        return cls(found[1], float("nan") if found[2] == "median" else float(found[2]))


def contradictions_of_score(
    role: str | None, score: Any, start: Any, target: Any, definition: Any
) -> list[str]:
    """Return what is wrong with the keys of a field by which an outcome is derived from scores."""
    given = {"score": score, "start": start, "target": target, "definition": definition}
    keys = [key for key, value in given.items() if value is not None]
    if not keys:
        return []
    found = []
    if role != "outcome":
        found.append(f"{' and '.join(keys)} need role outcome; leave them out, or give it this role.")
    if definition is not None and len(keys) > 1:
        found.append("score, start and target exclude definition; keep one of the two.")
    if (score is None) != (target is None):
        lacking = "target, such as target: '< 10'" if target is None else "score, the column of the score"
        found.append(f"score and target need each other; add {lacking}.")
    elif start is not None and score is None:
        found.append("start needs score and target; add them, or leave it out.")
    found += [
        f"{key} must be the name of a column (put quotes around numbers)."
        for key in ("score", "start")
        if given[key] is not None and (not isinstance(given[key], str) or not given[key])
    ]
    if score is not None and score == start:
        found.append("score and start are the same column; name the later score, and the baseline.")
    if target is not None:
        try:
            Target.parse(target)
        except CodebookError as error:
            found.append(str(error))
    return found if definition is None else [*found, *_contradictions_of_definition(definition)]


def contradictions_of_flag(role: str | None, kind: str, flag: Any) -> list[str]:
    """Return what is wrong with the comparison by which a column with the role safety_item is flagged.

    It has a direction, which is never guessed: in some questionnaires the lowest answer is the alarming one.
    """
    if role != "safety_item":
        return [] if flag is None else ["flag needs role safety_item; leave it out, or give it this role."]
    if kind not in ("number", "integer", "boolean"):
        return ["a safety item is compared with a number; use type integer, number or boolean."]
    found = _TARGET.fullmatch(flag) if isinstance(flag, str) else None
    if found is None or found[2] == "median":
        return [
            "a safety item needs flag: the comparison with a number, in quotes, that flags a patient, such "
            "as '>= 1'."
        ]
    return []


def _contradictions_of_definition(definition: Any) -> list[str]:
    name = definition.get("name") if isinstance(definition, Mapping) else None
    if not isinstance(name, str):
        return ["definition must be a mapping with a name, such as {name: remission, last: phq9_end}."]
    if name not in INPUTS:
        if name in SHIPPED:
            return [f"definition {name!r} has no score; add it to the table as a column of 0 and 1."]
        return [f"definition {name!r} is unknown; use one of {list(INPUTS)}.{did_you_mean(name, INPUTS)}"]
    inputs, options = INPUTS[name], OPTIONS.get(name, ())
    columns = [definition[key] for key in inputs if key in definition]
    found = []
    if lacking := [key for key in inputs if key not in definition]:
        found.append(f"definition {name!r} needs a column for {', '.join(lacking)}.")
    if unknown := [key for key in definition if key not in ("name", *inputs, *options)]:
        found.append(f"definition {name!r} has unknown keys {unknown}; allowed: {[*inputs, *options]}.")
    if not all(isinstance(column, str) and column for column in columns):
        found.append(f"definition {name!r} must name columns by texts (put quotes around numbers).")
    elif len(set(columns)) < len(columns):
        found.append(f"definition {name!r} names a column twice; each input has its own column.")
    if any(isinstance(definition.get(key), bool) or not _is_scalar(definition.get(key)) for key in options):
        found.append(f"definition {name!r}: {' and '.join(options)} must be a text or a number.")
    return found


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def sources_of(field: Any) -> dict[str, str]:
    """Return the column of each score of which an outcome is derived, by its input; empty if it is not."""
    if field.definition is not None:
        return {key: field.definition[key] for key in INPUTS[field.definition["name"]]}
    sources = {"score": field.score, "start": field.start}
    return {key: column for key, column in sources.items() if column is not None}


def check_same_definition(own: Any, others: Any) -> None:
    """Raise if an outcome has another target, or definition, in a cohort (`others`) than in a model (`own`).

    Names of columns do not count; where either codebook states neither, nothing is compared.
    """
    ours, theirs = _content(own), _content(others)
    if ours is None or theirs is None or ours[0] != theirs[0] or ours == theirs:
        return
    raise InputError(
        f"Outcome {own.name!r} has the {ours[0]} {ours[1]} in the model and {theirs[1]} in the cohort: these "
        "are two outcomes. Build the cohort with the codebook of the model (codebook_), or name another "
        "outcome."
    )


def _content(field: Any) -> tuple[str, str] | None:
    """Return how an outcome is derived from scores, whatever their columns are called: kind and content."""
    if field.definition is not None:
        columns = sources_of(field)
        return "definition", str(
            {key: field.definition[key] for key in field.definition if key not in columns}
        )
    return None if field.target is None else ("target", " ".join(field.target.split()))


def role_of(source: str) -> str:
    """Return the role that the column of an input of a derived outcome must have."""
    return "covariate" if source == "start" or source.endswith("first") else "session_score"


def check_sources(fields: Iterable[Any]) -> None:
    """Raise if outcomes are derived of columns that the codebook lacks, or that have another role or type.

    Raises
    ------
    CodebookError
        Listing all of them.
    """
    by_name = {field.name: field for field in fields}
    problems = []
    for field in by_name.values():
        for source, name in sources_of(field).items():
            where = f"Outcome {field.name!r}: column {name!r} ({source})"
            column, role = by_name.get(name), role_of(source)
            if column is None:
                known = did_you_mean(name, by_name)
                problems.append(f"{where} is not in the codebook. Add it with role {role}.{known}")
            elif column.role != role:
                problems.append(f"{where} has role {column.role or 'none'}. It must have role {role}.")
            elif column.type not in ("number", "integer"):
                problems.append(f"{where} has type {column.type}. A score has type number or integer.")
    if len(problems) == 1:
        raise CodebookError(problems[0])
    if problems:
        points = "".join(f"\n- {problem}" for problem in problems)
        raise CodebookError(f"The codebook has {count_of(len(problems), 'fault')} in its outcomes:{points}")


def faults_of_sources(field: Any, existing: Collection[Any]) -> list[Fault]:
    """Return a fault for each later score that a table lacks, from which an outcome is to be derived.

    A covariate that is absent is a fault of its own.
    """
    absent = [
        name
        for source, name in sources_of(field).items()
        if name not in existing and role_of(source) == "session_score"
    ]
    remedy = f"The outcome {field.name!r} is derived from it; add it, or the column {field.name!r}."
    return [Fault(column=name, problem="is missing from the table", remedy=remedy) for name in absent]


def fixed_targets(fields: Iterable[Any], scores: Any) -> tuple[Any, ...]:
    """Return the fields with numbers in the place of medians.

    `scores`: DataFrame that has the columns of scores. A target without a known score is left as it is.
    """
    found = []
    for field in fields:
        if field.target is not None and Target.parse(field.target).is_median and field.score in scores:
            known = scores[field.score].dropna()
            if len(known):
                field = replace(field, target=f"{Target.parse(field.target).sign} {known.median():.12g}")
        found.append(field)
    return tuple(found)


def subset_of(fields: Iterable[Any], names: Set[str]) -> tuple[Any, ...]:
    """Return the fields with these names; an outcome whose scores are not among them is no longer derived."""
    plain = {"score": None, "start": None, "target": None, "definition": None}
    kept = [field for field in fields if field.name in names]
    return tuple(f if names >= set(sources_of(f).values()) else replace(f, **plain) for f in kept)


def added_outcomes(named: Mapping[str, Mapping[str, Any]], known: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the entries of edits that are new, as an outcome derived from scores may be.

    Raises
    ------
    CodebookError
        If another entry names a column that the draft does not have.
    """
    added = [name for name in named if name not in known]
    for name in added:
        if named[name].get("score") is None and named[name].get("definition") is None:
            raise CodebookError(f"The edits name {name!r}, which is not a column.{did_you_mean(name, known)}")
    return [named[name] for name in added]
