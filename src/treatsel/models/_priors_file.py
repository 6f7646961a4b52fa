"""Reading of published estimates from a YAML or JSON file; all of its faults are reported at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import as_text, by_text, count_of, did_you_mean, listed, shortened
from treatsel._content import content_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.errors import Fault, InputError
from treatsel.models.priors import Priors, check_estimate

MAX_BYTES = 256 * 2**10
MOST_ESTIMATES = 1000  # of one kind
# by key of `Priors`, the keys of an entry: those that say of what the estimate is, and that of the estimate
ENTRIES = {
    "arm_means": (("arm",), "rate"),
    "arm_contrasts": (("arm", "against"), "log_odds_ratio"),
    "modifiers": (("arm", "against", "covariate"), "slope"),
    "prognosis": (("covariate",), "slope"),
}
# keys that are checked together, once their entries are sound
PARTS = (
    *(("arm_means",), ("arm_contrasts", "contrast_correlation"), ("modifiers",), ("prognosis",)),
    *(("null",), ("source",)),
)
KEYS = [key for part in PARTS for key in part]


def read_priors(
    path: str | Path,
    *,
    outcomes: Iterable[str] | None = None,
    X: pd.DataFrame | None = None,
    arm: str = "arm",
) -> dict[str, Priors]:
    """Read published estimates from a YAML file, or a JSON file if its name ends in ``.json``.

    The file has one section per outcome, with the keys of `Priors`. Each of arm_means, arm_contrasts,
    modifiers and prognosis is a list of entries: what the estimate is of (arm, against, covariate), the
    estimate (rate, log_odds_ratio or slope) and its standard error (se).

    Parameters
    ----------
    path : path
        The file, of at most 256 KiB.
    outcomes : iterable of str, optional
        Outcomes that the file may name. None: not checked.
    X : DataFrame, optional
        Covariates and received arms in clean form, such as `Cohort.X`: arms and covariates that it lacks are
        reported as well. None: they are checked when a model is fitted.
    arm : str
        Column of the received arm in X.

    Returns
    -------
    dict of str to Priors
        By outcome, as `TreatmentSelector(priors=...)` takes them.

    Raises
    ------
    InputError
        If the file cannot be read, or does not state priors; `faults` lists all faults.

    Examples
    --------
    A file with one estimate::

        recovery:
          source: Network meta-analysis X, 2024
          arm_contrasts:
            - {arm: cbt, against: counselling, log_odds_ratio: 0.20, se: 0.08}
    """
    content = content_of(Path(path), "priors", most=MAX_BYTES)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} must contain a mapping of outcomes, each with keys such as {KEYS[:2]}.")
    known = None if outcomes is None else list(outcomes)
    found, faults = {}, list[Fault]()
    for outcome, section in content.items():
        reader = _Section(shortened(str(outcome)), X, arm)
        if not isinstance(outcome, str):
            reader.add(f"is {_kind(outcome)}", "Name an outcome, in quotes if it is yes, no or a number.")
        elif known is not None and outcome not in known:
            reader.add("is no outcome here", f"Allowed: {listed(known)}.{did_you_mean(outcome, known)}")
        priors = reader.priors_of(section)
        found[outcome], faults = priors, faults + reader.faults
    if faults:
        raise InputError(f"{path} does not state priors ({count_of(len(faults), 'fault')}):", faults)
    return found


class _Section:
    """The faults of the section of one outcome, and what it states."""

    def __init__(self, outcome: str, X: pd.DataFrame | None, arm: str) -> None:
        self.faults: list[Fault] = []
        self._outcome, self._X, self._arm = outcome, X, arm

    def add(self, problem: str, remedy: str = "", *, where: str = "") -> None:
        """Add a fault of a key, or of the section itself."""
        place = ", ".join(filter(None, (self._outcome, where)))
        self.faults.append(Fault(column=None, problem=f"{place}: {problem}.", remedy=remedy))

    def priors_of(self, section: Any) -> Priors:
        """Return what a section states; its sound parts if there are faults."""
        if not isinstance(section, Mapping):
            self.add(f"is {_kind(section)}", f"It must be a mapping with some of the keys {KEYS}.")
            return Priors()
        given = {
            "null" if key is None else key: value for key, value in section.items()
        }  # as YAML reads null
        for key in [key for key in given if key not in KEYS]:
            self.add(f"unknown key {shortened(str(key))!r}", f"Allowed: {KEYS}.{did_you_mean(key, KEYS)}")
        sound: dict[str, Any] = {}
        for part in PARTS:
            n_faults = len(self.faults)
            stated = {key: self._value(key, given[key]) for key in part if key in given}
            if len(self.faults) > n_faults:
                continue
            try:
                if "contrast_correlation" in stated:
                    _check_square(stated["contrast_correlation"], len(stated.get("arm_contrasts", ())))
                Priors(**stated)
            except InputError as error:
                self.add(str(error).rstrip("."))
            else:
                sound |= stated
        return Priors(**sound)

    def _value(self, key: str, value: Any) -> Any:
        """Return the value of a key: for a list of estimates, as a mapping."""
        if key not in ENTRIES:
            return value
        names, estimate = ENTRIES[key]
        keys = [*names, estimate, "se"]
        if not isinstance(value, list) or len(value) > MOST_ESTIMATES:
            kind = f"has {len(value):,} entries" if isinstance(value, list) else f"is {_kind(value)}"
            form = f"{{{', '.join(keys)}}}"
            self.add(kind, f"It must be a list of at most {MOST_ESTIMATES:,} entries {form}.", where=key)
            return {}
        found: dict[Any, Any] = {}
        for number, entry in enumerate(value, start=1):
            where = f"{key}, entry {number}"
            if not self._has_keys(entry, keys, where):
                continue
            labels = tuple(as_text(entry[name]) for name in names)
            label = labels if len(names) > 1 else labels[0]
            if label in found:
                shown = ", ".join(map(shortened, labels))
                self.add(f"names {shown} a second time", "Pool both estimates into one.", where=where)
            found[label] = (entry[estimate], entry["se"])
            self._check_labels(entry, names, where)
            try:
                check_estimate(key, label, found[label])
            except InputError as error:
                self.add(str(error).rstrip("."), where=where)
        return found

    def _has_keys(self, entry: Any, keys: list[str], where: str) -> bool:
        """Return whether an entry has all keys, those of labels with a text or a number; note faults."""
        if not isinstance(entry, Mapping):
            self.add(f"is {_kind(entry)}", f"It must be a mapping with the keys {keys}.", where=where)
            return False
        for key in [key for key in entry if key not in keys]:
            self.add(
                f"unknown key {shortened(str(key))!r}",
                f"Allowed: {keys}.{did_you_mean(key, keys)}",
                where=where,
            )
        if lacking := [key for key in keys if entry.get(key) is None]:
            self.add(f"lacks {lacking}", f"It needs the keys {keys}.", where=where)
            return False
        n_faults = len(self.faults)
        for key in keys[:-2]:
            if isinstance(entry[key], bool) or not isinstance(entry[key], str | int | float):
                self.add(
                    f"{key} is {_kind(entry[key])}",
                    "Give its name, in quotes if it is yes or no.",
                    where=where,
                )
        return len(self.faults) == n_faults

    def _check_labels(self, entry: Mapping[str, Any], names: Iterable[str], where: str) -> None:
        """Note arms and covariates that the patients do not have."""
        if self._X is None:
            return
        for name in names:
            label = as_text(entry[name])
            if name == "covariate":
                found = _fault_of_covariate(label, self._X.drop(columns=self._arm))
            else:
                found = _fault_of_arm(label, self._X[self._arm])
            if found is not None:
                self.add(f"{name} is {shortened(label)!r}, {found[0]}", found[1], where=where)


def _kind(value: Any) -> str:
    """Return the type of a value in the words of a file."""
    if value is None:
        return "empty"
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "yes or no", int: "a number"}
    return kinds.get(type(value), "a number" if isinstance(value, float) else f"a {type(value).__name__}")


def _fault_of_arm(label: str, received: pd.Series) -> tuple[str, str] | None:
    """Return what is wrong, and what is allowed, if no patient received an arm."""
    arms = sorted(received.dropna().unique(), key=str)
    if by_text(arms)(label) in arms:
        return None
    return "which no patient received", f"The arms are {listed(arms)}.{did_you_mean(label, arms)}"


def _fault_of_covariate(label: str, covariates: pd.DataFrame) -> tuple[str, str] | None:
    """Return what is wrong, and what is allowed, if a label is neither a number nor "column=category"."""
    numbers = [str(name) for name in covariates if pd.api.types.is_numeric_dtype(covariates[name])]
    texts = [str(name) for name in covariates if str(name) not in numbers]
    if label in numbers:
        return None
    for name in texts:
        counts = covariates[name].map(as_text, na_action="ignore").value_counts()
        frequent = listed(sorted(text for text, n in counts.items() if n >= SMALLEST_GROUP))
        if label == name:
            return "a column of categories", f"Give it as '{name}=category', with one of {frequent}."
        if label.startswith(f"{name}=") and label.removeprefix(f"{name}=") not in counts.index:
            return "a category that no patient has", f"Categories of {name!r} include {frequent}."
        if label.startswith(f"{name}="):
            return None
    allowed = f"Numbers are {listed(numbers)}; of {listed(texts)}, give a category as 'column=category'."
    return "which the patients do not have", f"{allowed}{did_you_mean(label, [*numbers, *texts])}"


def _check_square(value: Any, n: int) -> None:
    """Raise if a value is not a list of n lists of n numbers, before an array is made of it."""
    rows: list[Any] = value if isinstance(value, list) and len(value) == n else [None]
    for row in rows:
        numbers: list[Any] = row if isinstance(row, list) and len(row) == n else [None]
        if not all(type(each) in (int, float) and -1 <= each <= 1 for each in numbers):
            raise InputError(f"contrast_correlation must be a list of {n} lists of {n} numbers from -1 to 1.")
