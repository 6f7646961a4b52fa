"""Checks for vectors, probabilities, arms and tables: each returns the clean value or raises."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
# Two values this close are equal: 1 - 0.9 is 0.1, and 0.1 + 0.2 is 0.3. Rounding errors of short sums are
# about 1e-16, and no difference of 1e-12 in a probability matters.
ROUNDING = 1e-12
_INVISIBLE = " \t\n\r\x0b\x0c\u200b\u2060\ufeff"  # blanks, zero-width blank, word joiner, byte order mark
_NO_NUMBERS = ("m", "M", "c")  # time differences, dates and complex numbers, which NumPy converts silently
MOST_WEIGHT = 1e9  # patients that one row can stand for
MOST_NAMES = 20  # names that a message or a result lists
MOST_CHARACTERS = 60  # of a name in a message or a result
LOST_HEADER = "Names of columns are numbers, dates or cells: the table has no header. Name its columns."
MOST_LOOKED_AT = 200, 1_000  # columns and rows that decide whether a table has lost its header
_NUMBER_OR_DATE = re.compile(
    r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?|\d{1,4}([-./])\d{1,2}\3\d{1,4}([T ].*)?", re.IGNORECASE
)
MOST_OPTIONS = 500  # names that a misspelled one is compared with: bounds the time of a message


def reaches(values: Any, bound: Any) -> Any:
    """Return where `values` are at least `bound`, whatever binary rounding did to either."""
    return values >= bound - ROUNDING


def exceeds(values: Any, bound: Any) -> Any:
    """Return where `values` are above `bound` by more than binary rounding."""
    return values > bound + ROUNDING


def as_text(value: Any) -> str:
    """Return a label as text; whole floats as integers, since missing values turn a column of 3 into 3.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    try:
        return str(value)
    except ValueError:  # an integer with more digits than Python converts to decimal
        return hex(value)


def normal_text(text: str) -> str:
    """Return a text in its normal form: composed (NFC), plain blanks, none (nor invisible signs) at the ends.

    Texts with the same normal form look alike, but are not equal. Case is kept: "CBT" and "cbt" differ.

    Examples
    --------
    >>> normal_text(" Zu\u0308rich\u00a0Nord ") == "Z\u00fcrich Nord"
    True
    """
    if text.isascii():
        return text.strip()
    plain = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in text)
    return unicodedata.normalize("NFC", plain).strip(_INVISIBLE)


def look_alikes(names: Iterable[Any], known: Iterable[str]) -> dict[str, str]:
    """Return which of `names` differ only in their normal form from a name in `known` that is not among them.

    Names that would be taken for the same known name are left out.
    """
    given, wanted = list(names), list(known)
    present, expected = set(given), set(wanted)  # a table may have thousands of columns
    absent = {normal_text(name): name for name in wanted if name not in present}
    strangers = [name for name in given if type(name) is str and name not in expected] if absent else []
    found = [(name, own) for name in strangers if (own := absent.get(normal_text(name))) is not None]
    owners = Counter(own for _, own in found)
    return {name: own for name, own in found if owners[own] == 1}


def as_pandas(value: Any) -> Any:
    """Return a polars or Arrow table or column as pandas; everything else unchanged."""
    if hasattr(value, "to_pandas") and not type(value).__module__.startswith("pandas"):
        name = getattr(value, "name", None)
        value = value.to_pandas()
        if isinstance(name, str) and getattr(value, "ndim", 0) == 1:
            value = value.rename(name)
    return value


def check_vector(name: str, values: Any, *, allow_missing: bool = False) -> FloatArray:
    """Return `values` as a one-dimensional float64 array without infinities (or missing values)."""
    values = as_pandas(values)
    try:
        values = values if hasattr(values, "astype") else np.asarray(values)
        if getattr(getattr(values, "dtype", None), "kind", "") == "O":  # pd.NA is missing, as None is
            objects = np.asarray(values, dtype=object)
            absent = np.reshape([_is_absent(value) for value in objects.ravel()], objects.shape)
            values = np.where(absent.astype(bool), np.nan, objects)
        if getattr(getattr(values, "dtype", None), "kind", "") in _NO_NUMBERS:
            raise TypeError
        vector = np.asarray(values.astype("float64"))
    except (TypeError, ValueError):
        raise InputError(f"{name} must hold numbers only. Convert it first.") from None
    if vector.ndim != 1:
        raise InputError(f"{name} must be one-dimensional; it has shape {vector.shape}.")
    if n := int(np.isinf(vector).sum()):
        raise InputError(f"{name} holds {count_of(n, 'infinite value')}; only finite numbers are allowed.")
    if not allow_missing and (n := int(np.isnan(vector).sum())):
        raise InputError(
            f"{name} holds {count_of(n, 'missing value')}. Leave out such patients, or impute first."
        )
    return vector


def _is_absent(value: Any) -> bool:
    """Whether a value among objects is None, NaN, pd.NA or NaT; without pandas, which services do without."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def check_binary(name: str, values: Any, *, allow_missing: bool = False) -> FloatArray:
    """Return `values` as a float64 vector of zeros and ones (NaN only when allowed)."""
    vector = check_vector(name, values, allow_missing=allow_missing)
    if n := int(((vector != 0) & (vector != 1) & ~np.isnan(vector)).sum()):
        verb = "is" if n == 1 else "are"
        raise InputError(
            f"{name} holds {count_of(n, 'value')} that {verb} neither 0 nor 1. Code the outcome as 0 and 1."
        )
    return vector


def check_probability(name: str, values: Any) -> FloatArray:
    """Return `values` as a float64 vector within [0, 1]."""
    vector = check_vector(name, values)
    if n := int(((vector < 0) | (vector > 1)).sum()):
        raise InputError(
            f"{name} holds {count_of(n, 'value')} outside 0 to 1. Probabilities are proportions, not percent."
        )
    return vector


def check_weights(name: str, values: Any, n: int) -> FloatArray:
    """Return weights of length `n` that are not negative and not all zero; None means all ones."""
    if values is None:
        return np.ones(n)
    vector = check_vector(name, values)
    check_same_length(**{name: vector, "the outcomes": np.empty(n)})
    if (vector > MOST_WEIGHT).any():
        raise InputError(f"{name} holds weights above {MOST_WEIGHT:g}. They count patients; rescale them.")
    if (vector < 0).any() or not vector.any():
        raise InputError(f"{name} must not be negative and must not all be zero.")
    return vector


def check_same_length(**vectors: Any) -> None:
    """Raise unless all vectors hold one value per patient."""
    lengths = {name: len(vector) for name, vector in vectors.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"Lengths differ: {found}. Each needs one value per patient, in the same order.")


def check_number(name: str, value: Any) -> Any:
    """Return `value` if it is a real number; True and False are not accepted."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be a number; it is a {type(value).__name__}.")
    return value


def check_level(level: float) -> float:
    """Return a confidence level within (0, 1)."""
    if not 0 < check_number("level", level) < 1:
        raise InputError(f"level is {level}; it must lie between 0 and 1, for example 0.95.")
    return float(level)


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is one of `allowed`."""
    options = list(allowed)
    if value not in options:
        raise InputError(f"{name} is {value!r}; it must be {_or(options)}.{did_you_mean(value, options)}")
    return value


def check_arm(name: str, value: Any, arms: Iterable[Any]) -> Any:
    """Return the arm that `value` names: the label that equals it or, failing that, has the same text.

    Labels keep the type that they have in the codebook, while a command line or JSON has texts: "1" names arm
    1, and 1 names arm "1".
    """
    options = list(arms)
    if value in options:
        return options[options.index(value)]
    same = [arm for arm in options if str(arm) == as_text(value)]
    return same[0] if len(same) == 1 else check_choice(name, value, options)


def by_text(arms: Iterable[Any]) -> Callable[[Any], Any]:
    """Return a function that maps a label to the arm with the same text (1 for "1"), if there is one."""
    known = {as_text(arm): arm for arm in arms}
    return lambda label: known.get(as_text(label), label)


def check_by_arm(name: str, table: Any) -> "pd.DataFrame":
    """Return a by-arm table: rows are patients, columns are arms, each cell a probability."""
    import pandas as pd

    table = as_pandas(table)
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} must be a DataFrame of patients by arms; it is a {type(table).__name__}.")
    if not len(table.columns) or not len(table):
        shape = f"{count_of(len(table), 'patient')}, {count_of(len(table.columns), 'arm')}"
        raise InputError(f"{name} is empty ({shape}).")
    check_unique(f"The columns of {name}", table.columns)
    checked = {arm: check_probability(f"Column {arm!r} of {name}", table[arm]) for arm in table.columns}
    return pd.DataFrame(checked, index=table.index)


def check_unique(name: str, values: Iterable[Any]) -> None:
    """Raise if a label occurs more than once."""
    import pandas as pd

    labels = pd.Index(list(values), dtype="object")  # integers may be of any size
    if n := int(labels.duplicated().sum()):
        raise InputError(f"{name} hold {count_of(n, 'duplicate')}. Each must occur once.")


def check_known_arms(received: "pd.Series", known: Iterable[Any], *, fewest_named: int = 1) -> "pd.Series":
    """Return received arms, as the labels of the known ones (see `check_arm`), if all are known.

    The message names unknown arms of at least `fewest_named` patients: rarer texts in a table of patients may
    be anything.
    """
    known = list(known)
    if not received.isin(known).all():
        same = {str(arm): arm for arm in known}
        if len(same) == len(known):
            renamed = {arm: same.get(as_text(arm), arm) for arm in received.unique()}
            received = received.map(renamed).astype("object")
    unknown = ~received.isin(known)
    if n := int(unknown.sum()):
        raise InputError(
            f"Column {received.name!r} holds {count_of(n, 'patient')} of arms unknown to this model"
            f"{_named(received[unknown], fewest_named)}. Its arms are {sorted(map(str, known))}. Rename the "
            "arms, or leave out such patients."
        )
    return received


def _named(unknown: "pd.Series", fewest: int) -> str:
    counts = unknown.astype(str).value_counts()
    names = sorted(counts.index[counts >= fewest])
    if not names:
        return ""
    return f": {names}" + (" and rarer ones" if len(names) < len(counts) else "")


def check_patient(patient: Any, patients: "pd.Index[Any]") -> Any:
    """Return `patient` if it is one of `patients`; the message does not name patients."""
    if patient not in patients:
        raise InputError(f"None of the {count_of(len(patients), 'patient')} of this result has that id.")
    return patient


def check_mapping_keys(name: str, mapping: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Raise if `mapping` has a key that is not allowed."""
    options = list(allowed)
    for key in mapping:
        if key not in options:
            raise InputError(
                f"{name} has the unknown key {key!r}; allowed: {options}.{did_you_mean(key, options)}"
            )


def _or(options: list[Any]) -> str:
    shown = [repr(option) for option in options]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1]


def did_you_mean(value: Any, options: Iterable[Any]) -> str:
    """Return " Did you mean ...?" with the option spelled most like `value`; empty if none is close."""
    lowered = {str(option).lower(): option for option in islice(options, MOST_OPTIONS)}
    close = get_close_matches(str(value).lower(), lowered, n=1)
    return f" Did you mean {str(lowered[close[0]])!r}?" if close else ""


def shortened(name: str) -> str:
    """Return a name of at most `MOST_CHARACTERS` characters."""
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 3]}..."


def listed(names: Iterable[Any]) -> str:
    """Return names as text: at most `MOST_NAMES`, shortened, and the number of the others."""
    texts = [shortened(str(name)) for name in names]
    shown = ", ".join(map(repr, texts[:MOST_NAMES]))
    return f"[{shown}]" if len(texts) <= MOST_NAMES else f"[{shown}, and {len(texts) - MOST_NAMES:,} more]"


def has_lost_header(table: "pd.DataFrame") -> bool:
    """Return whether the names of columns look like the values of a first patient.

    This holds if half of them (at least two) are numbers or dates, or occur in their own column: the file had
    no header line. Such names are not shown. The default names of pandas (0, 1, 2, ...) are nobody's values.
    """
    n_columns, n_rows = MOST_LOOKED_AT
    names = [str(name) for name in table.columns[:n_columns]]
    if not names or names == [str(i) for i in range(len(names))]:
        return False
    kinds = str | int | float | np.number
    columns = [
        {as_text(cell) for cell in table.iloc[:n_rows, i].astype("object") if isinstance(cell, kinds)}
        for i in range(len(names))
    ]
    if len(names) == 1:
        names, columns = _split(names[0], columns[0])
    # pandas adds a number to a name that occurs twice: "0.1", "CBT.1"
    texts = [re.sub(r"(?<!\d)\.\d+$", "", name).strip() for name in names]
    n = sum(
        bool(_NUMBER_OR_DATE.fullmatch(text)) or text in cells
        for text, cells in zip(texts, columns, strict=True)
    )
    return 2 * n >= len(names) and n >= min(2, len(names))


def _split(name: str, lines: set[str]) -> tuple[list[str], list[set[str]]]:
    """Return names and cells of a table with one column that was read with a wrong separator."""
    separator = next((sign for sign in ";|\t," if sign in name), None)
    names, rows = name.split(separator or "\0"), [line.split(separator or "\0") for line in lines]
    return names, [{row[i] for row in rows if i < len(row)} for i in range(len(names))]


def names_in(table: "pd.DataFrame") -> str:
    """Return the names of columns as text for a message, unless they may be the values of a patient."""
    if has_lost_header(table):
        return f"[{count_of(len(table.columns), 'name')} that may be values of a patient: a lost header?]"
    return listed(table.columns)


def count_of(n: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: "1 patient", "2,000 patients"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
