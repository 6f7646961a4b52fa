"""Why a served model says so, for one patient."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from treatsel.predictions import plain


@dataclass(frozen=True, kw_only=True)
class Attributions:
    """Exact SHAP values of one prediction, or of the difference between two arms.

    An attribution says what moved the model's prediction, not what would change the patient's outcome.

    Attributes
    ----------
    patient : label
        The id in the record, or 0.
    values : mapping of str to float
        Attribution by covariate; logits, or proportions on the probability scale.
    base_value : float
        The model's prediction for the background.
    prediction : float
        The model's prediction: base value plus all attributions.
    arm : label or None
        The arm explained, or None for a contrast.
    contrast : tuple of two labels or None
        First arm minus second arm.
    outcome : str
        Name of the outcome.
    scale : {"logit", "probability"}
        Unit of the values.
    model_id : str or None
        Hash of the model file's content.
    """

    patient: Any
    values: Mapping[str, float]
    base_value: float
    prediction: float
    arm: Any
    contrast: tuple[Any, Any] | None
    outcome: str
    scale: str
    model_id: str | None

    def __repr__(self) -> str:
        """Say what was explained, without showing a patient."""
        what = (
            f"arm {self.arm!r}" if self.contrast is None else f"{self.contrast[0]!r} - {self.contrast[1]!r}"
        )
        return f"Attributions({len(self.values)} covariates: {self.outcome!r}, {what}, {self.scale})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return content | {
            "patient": plain(self.patient),
            "values": dict(self.values),
            "arm": plain(self.arm),
            "contrast": None if self.contrast is None else [plain(arm) for arm in self.contrast],
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)
