"""Safety items of a codebook, such as the question about suicidal thoughts: checked and flagged, never used.

No model sees them, and they change no prediction and no recommendation: they are warnings that come first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treatsel._lazy import lazy
from treatsel.codebook._codebook import Codebook
from treatsel.codebook._field import Field
from treatsel.codebook._score import Target
from treatsel.codebook._values import as_builtin
from treatsel.errors import Fault

if TYPE_CHECKING:
    import pandas as pd

FLAGGED, INVALID, MISSING = "safety_item", "safety_item_invalid", "safety_item_missing"
SAFETY_CODES = (FLAGGED, INVALID, MISSING)
_IGNORED = ("missing_required", "duplicate")  # a missing answer has a code of its own, and answers repeat


@dataclass(frozen=True, eq=False)
class SafetyItem:
    """A column with the role safety_item.

    Parameters
    ----------
    field : Field
        Its entry in the codebook.
    missing_values : tuple of str
        Texts that represent a missing value.
    """

    field: Field
    missing_values: tuple[str, ...]

    @lazy
    def _target(self) -> Target:
        return Target.parse(self.field.flag)

    @lazy
    def _read(self) -> Any:
        return self.field.reader(self.missing_values)

    def of_record(self, record: Mapping[str, Any], patient: Any) -> tuple[list[str], list[Fault]]:
        """Return the codes of one patient's answer, and its violations of the codebook."""
        value, violations = self._read(as_builtin(record.get(self.field.name)))
        broken = [code for code in violations if code not in _IGNORED]
        codes = [FLAGGED] if self._target.holds(value) else []
        codes += [INVALID] if broken else [MISSING] if value != value else []
        return codes, [self.field.fault(code, 1, (patient,)) for code in broken]

    def of_table(self, frame: "pd.DataFrame") -> "tuple[dict[str, pd.Series], list[Fault]]":
        """Return which patients have each code, and the violations of the codebook."""
        import pandas as pd

        nobody, name = pd.Series(False, index=frame.index), self.field.name
        if name not in frame.columns:
            return {MISSING: ~nobody}, []
        values, violations = self.field.parse(frame[name], self.missing_values)
        broken = [each for each in violations if each.code not in _IGNORED]
        invalid = nobody.copy()
        for each in broken:
            invalid |= each.mask
        masks = {FLAGGED: self._target.holds(values), INVALID: invalid, MISSING: values.isna() & ~invalid}
        return masks, [self.field.fault(each.code, each.count, each.rows_of(frame.index)) for each in broken]


def safety_items(book: Codebook) -> tuple[SafetyItem, ...]:
    """Return the safety items of a codebook, in its order."""
    return tuple(SafetyItem(book[name], book.missing_values) for name in book.names("safety_item"))
