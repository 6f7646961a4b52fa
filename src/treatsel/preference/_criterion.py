"""Criteria: what an arm is judged by, each with a stated worst and best."""

import math
from dataclasses import dataclass, field
from typing import Any

from treatsel._checks import check_number
from treatsel.errors import InputError


@dataclass(frozen=True)
class Criterion:
    """Something that a patient may care about, measured from a stated worst to a stated best.

    A weight is the importance of the change from `worst` to `best`; without them it has no meaning. State the
    range that the patient was shown ("from 20 to 60 of 100 recover"), not the one that happens to occur. The
    scale between is linear, as it should be for probabilities.

    Parameters
    ----------
    name : str
        As in the measurements and in the preferences.
    worst, best : float
        Ends of the range, in the unit of the measurements; `worst` may be the higher number. They give the
        direction, and have no default.
    label : str, default ""
        Text for people; "": the name.
    unit : str, default ""
        For example "weeks"; "": none, as for probabilities.

    Raises
    ------
    InputError
        If an end is missing or not finite, or both are equal.

    References
    ----------
    Tervonen et al. (2015), Medical Decision Making 35(7), 859-871. doi:10.1177/0272989X15587005

    Examples
    --------
    >>> wait = Criterion("wait", worst=20, best=2, unit="weeks")
    >>> wait.value(11)
    0.5
    >>> wait.describe()
    'wait: from 20 weeks (worst) to 2 weeks (best)'
    """

    name: str
    worst: float = field(kw_only=True)
    best: float = field(kw_only=True)
    label: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InputError("The name of a criterion must be a text of at least one character.")
        for end in ("worst", "best"):
            value = getattr(self, end)
            if value is None:
                raise InputError(
                    f"Criterion {self.name!r} has no {end} value. State the worst and the best value of its "
                    "range: they give its direction, and weights have no meaning without them."
                )
            if not math.isfinite(check_number(f"{end} of criterion {self.name!r}", value)):
                raise InputError(f"{end} of criterion {self.name!r} must be finite.")
        if self.worst == self.best:
            raise InputError(
                f"worst and best of criterion {self.name!r} are equal, so that it has no direction. State "
                "two different values, or leave it out."
            )

    @classmethod
    def of_event(cls, name: str, *, good: bool, label: str = "") -> "Criterion":
        """Return the criterion of an event's probability over its whole range, 0 to 1.

        Parameters
        ----------
        name : str
            Name of the event, for example of an outcome.
        good : bool
            Whether the event is wanted; there is no default.
        label : str, default ""
            Text for people.
        """
        if not isinstance(good, bool):
            raise InputError(
                f"The direction of {name!r} is not specified. Set good=True if the event is wanted, "
                "otherwise good=False."
            )
        return cls(name, worst=float(not good), best=float(good), label=label)

    def value(self, measured: Any) -> Any:
        """Return measurements on the scale of 0 (worst) to 1 (best); outside the range they exceed it."""
        return (measured - self.worst) / (self.best - self.worst)

    def describe(self) -> str:
        """Return name and range as text, for the question about the weight."""
        unit = f" {self.unit}" if self.unit else ""
        ends = f"from {self.worst:g}{unit} (worst) to {self.best:g}{unit} (best)"
        return f"{self.label or self.name}: {ends}"
