"""Rates of side effects that a cohort does not hold: a table of published rates by arm, with draws."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_pandas, as_text, count_of, did_you_mean, listed
from treatsel._content import content_of
from treatsel._lazy import lazy
from treatsel._reporting.format import percent
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.additive import logistic
from treatsel.errors import Fault, InputError
from treatsel.preference._rate import KEYS, Rate, read_rate

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 256 * 2**10
MOST_RATES = 1000


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class SideEffects(Summarized):
    """Published rates of side effects under each arm, with interval, level, source and date.

    The rates are those of the population in the source, the same for every patient, and independent of the
    outcomes of the model and of each other.

    Attributes
    ----------
    rates : tuple of Rate
        One for each side effect and arm.

    Examples
    --------
    >>> row = {"effect": "nausea", "good": False, "level": 0.95, "source": "Trial X", "date": "2024-05-01"}
    >>> found = SideEffects.from_dict(
    ...     {
    ...         "rates": [
    ...             {**row, "arm": "SSRI", "probability": 0.2, "lower": 0.15, "upper": 0.26},
    ...             {**row, "arm": "CBT", "probability": 0.04, "lower": 0.02, "upper": 0.08},
    ...         ]
    ...     }
    ... )
    >>> found.probabilities(["CBT", "SSRI"])
    {'nausea': array([0.04, 0.2 ])}
    >>> found.draws(["CBT", "SSRI"], 1000)["nausea"].shape
    (1000, 2)
    """

    rates: tuple[Rate, ...]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "SideEffects":
        """Read the rates from a mapping.

        Parameters
        ----------
        content : mapping
            ``rates``: a list of mappings with the keys effect, arm, good (whether the event is wanted),
            probability, lower, upper, level (of the interval), source and date. A key beside ``rates`` is
            that of all rates which lack it.

        Raises
        ------
        InputError
            If something is missing or invalid; `faults` lists all faults.
        """
        return cls._read(content, "The side effects have faults")

    @classmethod
    def from_frame(cls, table: Any) -> "SideEffects":
        """Read the rates from a DataFrame, one row per rate, with the keys of `from_dict` as columns.

        Raises
        ------
        InputError
            As `from_dict`.
        """
        import pandas as pd

        table = as_pandas(table)
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"The side effects must be a DataFrame, not a {type(table).__name__}.")
        cells = table.astype("object")
        rows = cells.where(cells.notna(), None).to_dict("records")
        return cls._read({"rates": rows}, "The table of side effects has faults")

    @classmethod
    def read(cls, path: str | Path) -> "SideEffects":
        """Read the rates from a file: CSV, or YAML, or JSON if the name ends in ``.json``.

        Parameters
        ----------
        path : path
            A CSV file (``.csv``) has the columns of `from_frame`; other files, of at most 256 KiB, have the
            content of `from_dict`.

        Raises
        ------
        InputError, CohortError
            If the file cannot be read; otherwise as `from_dict`.
        """
        path = Path(path)
        if path.suffix.lower() == ".csv":
            from treatsel.table import read_csv

            return cls.from_frame(read_csv(path))
        return cls._read(content_of(path, "side effects", most=MAX_BYTES), f"{path} has faults")

    @classmethod
    def _read(cls, content: Any, message: str) -> "SideEffects":
        if not isinstance(content, Mapping) or not isinstance(content.get("rates"), Sequence):
            raise InputError(f"{message}: expected a mapping with a list named rates.")
        entries = content["rates"]
        if not 0 < len(entries) <= MOST_RATES:
            raise InputError(f"{message}: it has {len(entries):,} rates; 1 to {MOST_RATES:,} are allowed.")
        shared = {key: value for key, value in content.items() if key != "rates"}
        rates, faults = [], list[Fault]()
        for number, entry in enumerate(entries, start=1):
            if isinstance(entry, Mapping):
                entry = shared | {key: value for key, value in entry.items() if value is not None}
            rate, found = read_rate(entry, f"rate {number}")
            rates += [] if rate is None else [rate]
            faults += found
        faults += _contradictions(rates)
        if faults:
            raise InputError(f"{message} ({count_of(len(faults), 'fault')}):", faults)
        return cls(rates=tuple(rates))

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the side effects, in the order of the rates."""
        return tuple(dict.fromkeys(rate.effect for rate in self.rates))

    @property
    def event_is_good(self) -> dict[str, bool]:
        """Whether the event is wanted, by side effect, as stated."""
        return {rate.effect: rate.good for rate in self.rates}

    def probabilities(self, arms: Sequence[Any]) -> dict[str, FloatArray]:
        """Return the published probabilities, 0 to 1: by side effect, an array of shape (n_arms,).

        Parameters
        ----------
        arms : sequence of labels
            Arms, in the order of the result.

        Raises
        ------
        InputError
            If a side effect has no rate for one of the arms; the message names them.
        """
        return {
            effect: np.array([rate.probability for rate in rates])
            for effect, rates in self._by_arm(arms).items()
        }

    def draws(self, arms: Sequence[Any], n_draws: int, *, random_state: int = 0) -> dict[str, FloatArray]:
        """Return draws of the probabilities: by side effect, an array of shape (n_draws, n_arms).

        The logit is normal with the median of the published probability. Its standard deviation is that of
        the interval, which is reproduced: below and above the median, that of the distance to the lower and
        to the upper limit. Draws of different arms and side effects are independent, and depend on neither
        the order of the arms nor on which others there are.

        Parameters
        ----------
        arms : sequence of labels
            Arms, in the order of the result.
        n_draws : int
            Number of draws, 1 or more.
        random_state : int, default=0
            Seed, 0 or more.

        Raises
        ------
        InputError
            As `probabilities`; also if n_draws or random_state is no such number.

        References
        ----------
        Briggs, Claxton & Sculpher (2006), Decision Modelling for Health Economic Evaluation, ch. 4. Oxford.
        (logit-normal distributions of published probabilities)
        Wallis (2014), Statistical Science 29(1), 106-112. doi:10.1214/13-STS417 (two-piece normal)
        """
        for name, value, least in (("n_draws", n_draws, 1), ("random_state", random_state, 0)):
            is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not is_whole or value < least:
                raise InputError(f"{name} must be a whole number of {least} or more.")
        return {
            effect: np.column_stack([_drawn(rate, int(n_draws), int(random_state)) for rate in rates])
            for effect, rates in self._by_arm(arms).items()
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per rate: effect, arm, good, probability, lower, upper, level, source, date."""
        import pandas as pd

        return pd.DataFrame([{key: getattr(rate, key) for key in KEYS} for rate in self.rates])

    def to_dict(self) -> dict[str, Any]:
        """Return the rates as `from_dict` reads them, with dates as texts."""
        rows = [{key: getattr(rate, key) for key in KEYS} for rate in self.rates]
        return {"rates": [{**row, "date": row["date"].isoformat()} for row in rows]}

    @lazy
    def _known(self) -> dict[tuple[str, str], Rate]:
        return {(rate.effect, rate.arm): rate for rate in self.rates}

    def _by_arm(self, arms: Sequence[Any]) -> dict[str, list[Rate]]:
        texts = [as_text(arm) for arm in arms]
        missing = {e: [a for a in texts if (e, a) not in self._known] for e in self.effects}
        if without := {effect: own for effect, own in missing.items() if own}:
            named = "; ".join(f"{effect!r} of the arms {listed(own)}" for effect, own in without.items())
            arm, others = next(iter(without.values()))[0], {rate.arm for rate in self.rates} - set(texts)
            raise InputError(
                f"The side effects have no rate for {named}. Add it, with its source, or exclude these arms; "
                f"a rate is never assumed.{did_you_mean(arm, sorted(others))}"
            )
        return {effect: [self._known[effect, arm] for arm in texts] for effect in self.effects}

    def _summary(self) -> Summary:
        sources = dict.fromkeys(f"{rate.source} ({rate.date.isoformat()})" for rate in self.rates)
        rows = [
            (rate.effect, rate.arm, percent(rate.probability), _interval(rate), rate.source)
            for rate in self.rates
        ]
        return Summary(
            title="SideEffects",
            headline=f"{count_of(len(self.effects), 'side effect')}, {count_of(len(self.rates), 'rate')}",
            facts=[("side effects", some_of(self.effects)), ("sources", some_of(list(sources)))],
            columns=("Side effect", "Arm", "Rate", "Interval", "Source"),
            rows=rows,
            note="Published rates, the same for every patient.",
        )


def _contradictions(rates: Sequence[Rate]) -> list[Fault]:
    """Return rates that occur twice, and side effects whose direction is stated in two ways."""
    counts = Counter((rate.effect, rate.arm) for rate in rates)
    faults = [
        Fault(
            column=None,
            problem=f"{effect!r} under {arm!r} has {n} rates.",
            remedy="Give one rate for each side effect and arm.",
        )
        for (effect, arm), n in counts.items()
        if n > 1
    ]
    directions: dict[str, set[bool]] = {}
    for rate in rates:
        directions.setdefault(rate.effect, set()).add(rate.good)
    return faults + [
        Fault(
            column=None,
            problem=f"{effect!r} is good in some rates and not in others.",
            remedy="State the same direction in all of its rates.",
        )
        for effect, found in directions.items()
        if len(found) > 1
    ]


def _interval(rate: Rate) -> str:
    return f"{percent(rate.lower)} to {percent(rate.upper)} (level {rate.level:g})"


def _drawn(rate: Rate, n_draws: int, seed: int) -> FloatArray:
    """Return draws of one rate, from a random stream of its own that its names determine."""
    key = hashlib.sha256(f"{rate.effect}\0{rate.arm}".encode()).digest()
    random = np.random.default_rng([seed, *np.frombuffer(key, dtype="<u4").tolist()])
    z, (below, above) = random.standard_normal(n_draws), rate.spreads()
    middle = np.log(rate.probability) - np.log1p(-rate.probability)
    return logistic(middle + z * np.where(z < 0, below, above))
