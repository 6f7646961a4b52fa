"""One file that holds a model, its codebook, its intended use and its validation summary.

Format 1: a zip of `manifest.json` and `.npy` arrays. Nothing in it is ever executed or unpickled. A
damaged, truncated, oversized or foreign file raises `ArtifactError`, and so does one whose stored
predictions are not reproduced.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from treatsel._version import __version__
from treatsel.artifact import _archive
from treatsel.artifact._contents import pack, unpack
from treatsel.errors import ArtifactError, InputError
from treatsel.manifest import Manifest, check_intended_use, check_validation_summary
from treatsel.selector import TreatmentSelector

__all__ = ["FORMAT", "load_model", "read_manifest", "save_model"]

FORMAT = 1


def save_model(
    selector: TreatmentSelector,
    path: str | Path,
    *,
    intended_use: str | Mapping[str, Any],
    validation: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write a fitted selector to one file; the same fit gives the same bytes.

    The file holds summaries of the development cohort (group means, ranges, counts of 5 or more),
    never its rows.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted; its models are logistic regressions or LightGBM.
    path : path
        Where to write; an existing file is replaced in one step.
    intended_use : str or mapping
        A sentence, or a mapping with ``purpose`` and any of population, setting, outcome, horizon,
        exclusions, not_for, review_date (YYYY-MM-DD). It travels into every prediction.
    validation : mapping, optional
        Summary of a validation report (``report.summary()``).

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If the intended use is empty or has unknown keys.
    UnsupportedModelError
        If a model is no sum of linear terms and trees.
    ArtifactError
        If the file cannot be written.
    """
    check_is_fitted(selector, "models_")
    contents, arrays = pack(selector)
    members = {name: _archive.array_bytes(array) for name, array in arrays.items()}
    manifest = {
        "format": FORMAT,
        "library_version": __version__,
        "intended_use": check_intended_use(intended_use),
        "validation": check_validation_summary(validation),
        **contents,
        "members": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    try:
        manifest["model_id"] = _identify(manifest)
    except (TypeError, ValueError) as error:
        raise InputError(f"The manifest holds a value that is not plain JSON: {error}.") from error
    _archive.write(Path(path), _canonical(manifest), members)
    return Manifest(manifest)


def load_model(path: str | Path) -> TreatmentSelector:
    """Return the selector in a model file, checked from the first byte to its stored predictions.

    Parameters
    ----------
    path : path
        A file written by `save_model`.

    Returns
    -------
    TreatmentSelector
        Fitted; its arrays are read-only, so that threads can share it.

    Raises
    ------
    ArtifactError
        If the file is absent, damaged, truncated, oversized, foreign or of a newer format.
    """
    manifest, members = _read(Path(path))
    with _refusing(path):
        arrays: dict[str, np.ndarray] = {
            name: _archive.array_of(name, data) for name, data in members.items()
        }
        selector = unpack(manifest.content, arrays)
        selector.intended_use_ = check_intended_use(manifest.content["intended_use"])
        selector.model_id_ = manifest.model_id
        check_validation_summary(manifest.content["validation"])
    return selector


def read_manifest(path: str | Path) -> Manifest:
    """Return what a model file says about itself, hashes checked, without building the model.

    Raises
    ------
    ArtifactError
        As `load_model`.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    with _refusing(path):
        content, members = _archive.read(path)
        found = content.get("format")
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise ArtifactError("Its manifest has no format number.")
        if found > FORMAT:
            raise ArtifactError(
                f"It has format {found}, newer than this library's {FORMAT}. Update treatsel to read it."
            )
        if content.get("model_id") != _identify(content):
            raise ArtifactError("Its model id is not that of its content.")
    return Manifest(content), members


class _refusing:  # noqa: N801 # reads as a word: with _refusing(path)
    """Turn whatever a hostile file provokes into one `ArtifactError` that names the file."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, Exception):
            reason = str(error) if isinstance(error, ArtifactError) else f"It is damaged ({kind.__name__})."
            raise ArtifactError(f"Cannot load {self.path}. {reason}") from error


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _identify(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key not in ("model_id", "validation")}
    return hashlib.sha256(_canonical(rest)).hexdigest()
