"""What a model file says about itself: intended use, development cohort, covariates, validation."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treatsel._checks import check_mapping_keys
from treatsel.errors import InputError

INTENDED_USE_KEYS = (
    "purpose",
    "population",
    "setting",
    "outcome",
    "horizon",
    "exclusions",
    "not_for",
    "review_date",
)


@dataclass(frozen=True)
class Manifest:
    """What a model file says about itself.

    Attributes
    ----------
    content : mapping
        The whole manifest, as plain lists and mappings.
    """

    content: Mapping[str, Any]

    @property
    def model_id(self) -> str:
        """SHA-256 of the manifest, which holds the hashes of all arrays: one model, one id."""
        return str(self.content["model_id"])

    @property
    def intended_use(self) -> Mapping[str, str]:
        """Purpose, population, setting, outcome, horizon, exclusions, not_for, review_date."""
        return dict(self.content["intended_use"])

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest without the list of members."""
        return {key: value for key, value in self.content.items() if key != "members"}


def check_intended_use(intended_use: str | Mapping[str, Any]) -> dict[str, str]:
    """Return the intended use as a mapping with a purpose.

    Raises
    ------
    InputError
        If there is no purpose, a key is unknown, or the review date is no date.
    """
    block = {"purpose": intended_use} if isinstance(intended_use, str) else dict(intended_use)
    check_mapping_keys("intended_use", block, INTENDED_USE_KEYS)
    block = {key: str(value).strip() for key, value in block.items()}
    if not block.get("purpose"):
        raise InputError("intended_use needs a purpose: one sentence on what the model is for, and for whom.")
    if "review_date" in block:
        try:
            datetime.date.fromisoformat(block["review_date"])
        except ValueError:
            raise InputError("review_date in intended_use must be a date like 2027-01-31.") from None
    return block
