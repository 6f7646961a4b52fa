"""A plan of a validation, fixed beforehand: the estimand, the primary figure, and what counts as relevant."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import check_choice, check_mapping_keys, check_number
from treatsel._content import content_of
from treatsel._measures import BY_LABEL
from treatsel._reporting.summary import Summarized, Summary
from treatsel.errors import InputError
from treatsel.manifest import date_of

MAX_BYTES = 64 * 2**10
# The strategies of the addendum for events after the start of treatment, and what each means.
STRATEGIES = {
    "treatment policy": "the outcome counts whether or not it happened",
    "hypothetical": "the outcome that would have been observed without it",
    "composite": "it counts as a bad outcome",
    "while on treatment": "the last state before it counts",
    "principal stratum": "only patients in whom it would not happen",
}
EVENTS = ("dropout", "switching")
WORDS = ("population", "outcome", "horizon", "primary", "comparator", "summary_measure", "registration")
REQUIRED = ("population", "outcome", "horizon", "primary", *EVENTS)
KEYS = (*WORDS, *EVENTS, "arms", "margin", "plausible_gain", "date")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationPlan(Summarized):
    """What a validation is to estimate, stated before the outcomes of the cohort are looked at.

    Attributes
    ----------
    population : str
        Patients to whom the results refer.
    outcome : str
        Name of the outcome that is validated.
    horizon : str
        When the outcome is measured, such as "12 weeks after the first session".
    primary : str
        Label of the primary figure, as in `treatsel.metrics.measures`; all others are exploratory.
    dropout, switching : str
        Strategy for patients who end treatment early, and for those who change to another arm: "treatment
        policy", "hypothetical", "composite", "while on treatment" or "principal stratum" (ICH E9 R1).
    arms : tuple of str
        Arms that are compared; empty: those of the model.
    comparator : str
        The arm with which recommendations are compared; empty: the default arm of the model.
    summary_measure : str
        How arms or policies are compared; "difference of rates" unless stated.
    margin, plausible_gain : float or None
        Smallest difference that is relevant, and largest gain that is plausible (differences of proportions).
    registration : str
        Where the plan is registered.
    date : date
        When it was fixed.
    sha256 : str
        Digest of the content, independent of the order of its keys.

    References
    ----------
    ICH E9(R1) (2019), Addendum on estimands and sensitivity analysis in clinical trials.
    """

    population: str
    outcome: str
    horizon: str
    primary: str
    dropout: str
    switching: str
    arms: tuple[str, ...]
    comparator: str
    summary_measure: str
    margin: float | None
    plausible_gain: float | None
    registration: str
    date: datetime.date
    sha256: str

    @classmethod
    def read(cls, path: str | Path) -> "ValidationPlan":
        """Read a plan from a YAML file, or a JSON file if its name ends in ``.json``.

        Raises
        ------
        InputError
            If the file cannot be read, or the plan is not complete.
        """
        return cls.from_dict(content_of(Path(path), "contents of the plan", most=MAX_BYTES))

    @classmethod
    def from_dict(cls, content: Any) -> "ValidationPlan":
        """Return the plan that a mapping states.

        Parameters
        ----------
        content : mapping
            The keys population, outcome, horizon, primary, dropout, switching and date, and if wanted arms,
            comparator, summary_measure, margin, plausible_gain and registration.

        Raises
        ------
        InputError
            If a required key is missing, or a value is not allowed.

        Examples
        --------
        >>> plan = ValidationPlan.from_dict(
        ...     {
        ...         "population": "Adults who start treatment for depression",
        ...         "outcome": "recovery",
        ...         "horizon": "end of treatment, at most 6 months",
        ...         "primary": "gain over the best single arm",
        ...         "dropout": "treatment policy",
        ...         "switching": "treatment policy",
        ...         "date": "2026-05-01",
        ...     }
        ... )
        >>> plan.primary, plan.summary_measure
        ('gain over the best single arm', 'difference of rates')
        """
        if not isinstance(content, Mapping):
            raise InputError(f"A plan is a mapping; this is a {type(content).__name__}.")
        check_mapping_keys("The plan", content, KEYS)
        if missing := [key for key in (*REQUIRED, "date") if content.get(key) in (None, "")]:
            raise InputError(f"The plan lacks {missing}. State them before the outcomes are looked at.")
        words = {key: _word(key, content.get(key, "")) for key in WORDS}
        words["summary_measure"] = words["summary_measure"] or "difference of rates"
        check_choice("primary", words["primary"], sorted(BY_LABEL))
        for event in EVENTS:
            words[event] = str(check_choice(event, content[event], STRATEGIES))
        arms = content.get("arms", [])
        if not isinstance(arms, list | tuple):
            raise InputError(f"arms of the plan must be a list of labels; it is a {type(arms).__name__}.")
        text = json.dumps(_plain(content), sort_keys=True, ensure_ascii=False)
        return cls(
            **words,
            arms=tuple(str(arm) for arm in arms),
            margin=_share("margin", content.get("margin")),
            plausible_gain=_share("plausible_gain", content.get("plausible_gain")),
            date=date_of("date of the plan", content["date"]),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        names = (*WORDS, *EVENTS, "margin", "plausible_gain", "sha256")
        return {name: getattr(self, name) for name in names} | {
            "arms": list(self.arms),
            "date": self.date.isoformat(),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a table with the columns what and stated."""
        stated = {key: value for key, value in self.to_dict().items() if value not in ("", None, [])}
        return pd.DataFrame({"what": list(stated), "stated": [str(value) for value in stated.values()]})

    def _summary(self) -> Summary:
        rows = [tuple(row) for row in self.to_frame().itertuples(index=False)]
        return Summary(
            title="Plan of a validation",
            headline=f"Primary figure: {self.primary}",
            columns=("", "Stated"),
            rows=rows,
        )


def plan_of(plan: Any) -> ValidationPlan | None:
    """Return a plan given as such, as a mapping or as a path; None: there is none."""
    if plan is None or isinstance(plan, ValidationPlan):
        return plan
    return ValidationPlan.read(plan) if isinstance(plan, str | Path) else ValidationPlan.from_dict(plan)


def as_planned(name: str, given: Any, planned: Any) -> Any:
    """Return what the plan states (empty or None: nothing) or else what was given.

    Raises
    ------
    InputError
        If the two differ.
    """
    if planned in ("", None):
        return given
    if given is not None and str(given) != str(planned):
        raise InputError(
            f"{name} is {given!r}; the plan states {planned!r}. Keep to the plan, or leave it out."
        )
    return planned


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{key} of the plan must be a text; it is a {type(value).__name__}.")
    return value.strip()


def _share(key: str, value: Any) -> float | None:
    if value is None:
        return None
    if not 0 < check_number(key, value) < 1:
        raise InputError(f"{key} of the plan is {value}; a difference of proportions is between 0 and 1.")
    return float(value)


def _plain(value: Any) -> Any:
    """Return a value of YAML as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime.date) else value
