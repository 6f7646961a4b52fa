"""`Outcome`: a named definition with its options, to be applied to any table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

import pandas as pd

from treatsel._checks import LOST_HEADER, check_binary, check_choice, check_mapping_keys, has_lost_header
from treatsel.codebook import ATTRIBUTE, SHIPPED
from treatsel.errors import InputError
from treatsel.instrument import Instrument
from treatsel.outcome._dropout import below_dose, non_start, one_session, unplanned_end
from treatsel.outcome._nhs import (
    nhs_recovery,
    nhs_recovery_distance,
    reliable_deterioration,
    reliable_deterioration_distance,
    reliable_improvement,
    reliable_improvement_distance,
    reliable_recovery,
    reliable_recovery_distance,
)
from treatsel.outcome._scores import (
    caseness,
    caseness_distance,
    remission,
    remission_distance,
    response,
    response_distance,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Outcome:
    """A named 0/1 definition that labels a table of scores.

    Attributes
    ----------
    name : str
        Name of the outcome and of its column.
    title : str
        The definition in words.
    event_is_good : bool
        Whether 1 is the desirable outcome.
    definition : callable
        Function whose positional parameters are the inputs and whose keyword-only parameters are the
        options; returns 0, 1 or NaN per patient.
    options : mapping
        Values of the options.
    measure : callable or None
        Function of the same inputs and options that returns the signed distance (see `distance`); None: the
        outcome is not defined by scores.

    Examples
    --------
    >>> import pandas as pd
    >>> from treatsel.outcome import Outcome
    >>> frame = pd.DataFrame({"phq9_last": [4, 5, None]}, index=["a", "b", "c"])
    >>> Outcome.get("remission", instrument="PHQ-9").label(frame, last="phq9_last").to_dict()
    {'a': 1.0, 'b': 0.0, 'c': nan}
    """

    name: str
    title: str
    event_is_good: bool
    definition: Callable[..., pd.Series]
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    measure: Callable[..., pd.Series] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs for which `label` needs a column, a tuple of str.

        Examples
        --------
        >>> from treatsel.outcome import Outcome
        >>> Outcome.get("response").inputs
        ('first', 'last')
        """
        return tuple(_parameters(self.definition, keyword_only=False))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names that `Outcome.get` accepts.

        Returns
        -------
        tuple of str
            Each is also a function of `treatsel.outcome`.

        Examples
        --------
        >>> from treatsel.outcome import Outcome
        >>> Outcome.names()[:3]
        ('remission', 'response', 'caseness')
        """
        return tuple(_SHIPPED)

    @classmethod
    def get(cls, name: str, **options: Any) -> "Outcome":
        """Return an included outcome by name.

        Parameters
        ----------
        name : str
            One of `Outcome.names()`; the function of that name in `treatsel.outcome` documents it.
        **options
            The keyword-only arguments of that function, such as `instrument="PHQ-9"` or `k=4`.

        Returns
        -------
        Outcome
            With the options filled in and stated in its `title`.

        Raises
        ------
        InputError
            If name or option is unknown, an option is absent, or the instrument lacks the constant.

        Examples
        --------
        >>> from treatsel.outcome import Outcome
        >>> Outcome.get("below_dose", k=4).title
        'Fewer than 4 sessions attended'
        """
        check_choice("The outcome", name, cls.names())
        title, definition = _SHIPPED[name]
        defaults = _parameters(definition, keyword_only=True)
        check_mapping_keys(f"Outcome {name!r}", options, defaults)
        chosen = {key: options.get(key, default) for key, default in defaults.items()}
        if needed := [key for key, value in chosen.items() if value is Parameter.empty]:
            raise InputError(f"Outcome {name!r} needs the option {needed[0]!r}, which has no default.")
        if chosen.get("instrument") is not None:
            chosen["instrument"] = Instrument.get(chosen["instrument"])
        shown = {key: getattr(value, "name", value) for key, value in chosen.items()}
        outcome = cls(
            name=name,
            title=title.format(**shown),
            event_is_good=SHIPPED[name],
            definition=definition,
            options=chosen,
            measure=_DISTANCES.get(name),
        )
        definition(*(pd.Series(dtype=float) for _ in outcome.inputs), **chosen)  # invalid options raise here
        return outcome

    def label(self, frame: pd.DataFrame, /, **columns: str) -> pd.Series:
        """Return the outcome of every patient.

        Parameters
        ----------
        frame : DataFrame of shape (n_patients, n_columns)
            Holds the inputs.
        **columns : str
            The column of each input, for example `last="phq9_last"`; `inputs` lists them.

        Returns
        -------
        Series of shape (n_patients,)
            1, 0 or NaN; named by the outcome, with the index of `frame`.

        Raises
        ------
        InputError
            If an input has no column, a column is absent, or its values are invalid.

        Examples
        --------
        >>> import pandas as pd
        >>> from treatsel.outcome import Outcome
        >>> frame = pd.DataFrame({"attended": [0, 6]}, index=["a", "b"])
        >>> Outcome.get("non_start").label(frame, sessions="attended").to_dict()
        {'a': 1.0, 'b': 0.0}
        """
        values = self._inputs(frame, columns)
        labels = self.definition(*values, **self.options)
        checked = check_binary(self.name, labels, allow_missing=True)
        found = pd.Series(checked, index=frame.index, name=self.name)
        found.attrs[ATTRIBUTE] = self.event_is_good
        return found

    def distance(self, frame: pd.DataFrame, /, **columns: str) -> pd.Series:
        """Return how far every patient is from the threshold of the outcome, in standard deviations.

        The distance of one score is (score - threshold) / SD, signed so that it is positive for the event,
        and SD is that of the last score among the patients of `frame` in whom it is known (1 if it is zero);
        for `response`, which compares last/first, that of last/first. If several conditions must hold, the
        distance is the smallest of theirs; if one of several suffices, the largest. Between whole numbers
        the threshold lies halfway: below 10 means below 9.5.

        Parameters
        ----------
        frame : DataFrame of shape (n_patients, n_columns)
            Holds the inputs.
        **columns : str
            The column of each input, as for `label`.

        Returns
        -------
        Series of shape (n_patients,)
            Positive where `label` returns 1, negative where it returns 0, never 0, and NaN where it returns
            NaN; named by the outcome, with the index of `frame`.

        Raises
        ------
        InputError
            As `label`, or if the outcome is not defined by scores (`non_start`, `one_session`,
            `unplanned_end`, `below_dose`).

        Examples
        --------
        >>> import pandas as pd
        >>> from treatsel.outcome import Outcome
        >>> frame = pd.DataFrame({"phq9_last": [4, 5, 12, None]}, index=["a", "b", "c", "d"])
        >>> distance = Outcome.get("remission", instrument="PHQ-9").distance(frame, last="phq9_last")
        >>> distance.round(2).to_dict()
        {'a': 0.11, 'b': -0.11, 'c': -1.72, 'd': nan}
        """
        if self.measure is None:
            raise InputError(
                f"Outcome {self.name!r} has no score, as it is not defined by scores ({self.title}). Use its "
                "0/1 labels: Outcome.label."
            )
        values = self._inputs(frame, columns)
        found = self.measure(*values, **self.options)
        return pd.Series(found.to_numpy(dtype=float), index=frame.index, name=self.name)

    def _inputs(self, frame: pd.DataFrame, columns: Mapping[str, str]) -> list[pd.Series]:
        """Return the inputs of the definition, or raise if a column is not named or absent."""
        check_mapping_keys(f"Outcome {self.name!r}", columns, self.inputs)
        if missing := [key for key in self.inputs if key not in columns]:
            raise InputError(f"Outcome {self.name!r} needs a column for: {', '.join(missing)}. Name it.")
        for key, column in columns.items():
            if column not in frame.columns and has_lost_header(frame):
                raise InputError(f"The column for {key} is {column!r}, which is absent. {LOST_HEADER}")
            check_choice(f"The column for {key}", column, frame.columns)
        return [frame[columns[key]] for key in self.inputs]


_SHIPPED: dict[str, tuple[str, Callable[..., pd.Series]]] = {
    "remission": ("Remission on {instrument} at the end", remission),
    "response": ("Reduction of at least {fall:.0%} from the first score", response),
    "caseness": ("A case on {instrument}", caseness),
    "nhs_recovery": (
        "Recovery (NHS Talking Therapies), among cases at the first assessment",
        nhs_recovery,
    ),
    "reliable_improvement": ("Reliable improvement on PHQ-9 or GAD-7", reliable_improvement),
    "reliable_recovery": (
        "Reliable recovery (NHS), among cases at the first assessment",
        reliable_recovery,
    ),
    "reliable_deterioration": ("Reliable deterioration on PHQ-9 or GAD-7", reliable_deterioration),
    "non_start": ("No session attended", non_start),
    "one_session": ("Exactly one session attended", one_session),
    "unplanned_end": ("Ended without planned completion", unplanned_end),
    "below_dose": ("Fewer than {k} sessions attended", below_dose),
}

# Of the outcomes that are defined by scores. Sessions attended and the kind of ending are no scores.
_DISTANCES: dict[str, Callable[..., pd.Series]] = {
    "remission": remission_distance,
    "response": response_distance,
    "caseness": caseness_distance,
    "nhs_recovery": nhs_recovery_distance,
    "reliable_improvement": reliable_improvement_distance,
    "reliable_recovery": reliable_recovery_distance,
    "reliable_deterioration": reliable_deterioration_distance,
}


def _parameters(definition: Callable[..., pd.Series], *, keyword_only: bool) -> dict[str, Any]:
    found = signature(definition).parameters.items()
    return {name: p.default for name, p in found if (p.kind is Parameter.KEYWORD_ONLY) == keyword_only}
