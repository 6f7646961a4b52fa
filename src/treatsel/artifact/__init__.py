"""One file that holds a model, its codebook, its intended use and its validation summary.

Format 1: a zip of `manifest.json` and `.npy` arrays. Nothing in it is ever executed, evaluated or unpickled.
A damaged, truncated, oversized or foreign file raises `ArtifactError`, and so does a file whose stored
predictions are not reproduced. A file can be signed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._version import __version__
from treatsel.additive import check_compiled
from treatsel.artifact import _archive
from treatsel.artifact._archive import FORMAT
from treatsel.artifact._json import read_json
from treatsel.artifact._signature import check_signature, new_keys, public_key_of, sign, signed_by
from treatsel.artifact._structure import check_manifest
from treatsel.artifact._unpack import unpack
from treatsel.errors import ArtifactError, InputError, TreatselError
from treatsel.fitted import FittedModel
from treatsel.manifest import Manifest, check_intended_use, check_validation, kind_of

if TYPE_CHECKING:
    from treatsel.selector import TreatmentSelector

__all__ = [
    "FORMAT",
    "check_can_store",
    "load_fitted",
    "load_model",
    "new_keys",
    "read_manifest",
    "save_model",
    "sign_model",
    "store_validation",
]


def save_model(
    selector: "TreatmentSelector",
    path: str | Path,
    *,
    intended_use: str | Mapping[str, Any],
    validation: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    therapist_key: str | Path | bytes | None = None,
) -> Manifest:
    """Write a fitted selector to one file; identical fits give identical bytes.

    The file holds summaries of the development cohort (group means, ranges, counts of 5 or more),
    never its rows.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted; its models must be logistic regressions or LightGBM.
    path : path
        Where to write; an existing file is replaced atomically.
    intended_use : str or mapping
        A sentence, or a mapping with ``purpose`` and any of population, setting, outcome, horizon,
        exclusions, not_for, review_date (YYYY-MM-DD). It is part of the audit record of every prediction.
    validation : mapping or list of mappings, optional
        Summary of a validation report (``report.summary()``), or several of different outcomes.
    therapist_key : path or bytes, optional
        Secret key of 16 bytes or more, or the path of a file with nothing else in it: the file then holds the
        effects of therapists that the selector kept, each under a label that is the HMAC-SHA256 of site and
        therapist with this key. The key is not stored. None: no effects of therapists.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If the intended use is empty or has unknown keys, or the key is too short or has nothing to label.
    UnsupportedModelError
        If a model is not a sum of linear terms and trees.
    ArtifactError
        If the file cannot be written, or could not be loaded again.
    """
    from treatsel.artifact._pack import pack
    from treatsel.selector import check_selector

    check_selector(selector)
    contents, arrays = pack(selector, therapist_key)
    members = {name: _archive.array_bytes(array) for name, array in arrays.items()}
    manifest = {
        "format": FORMAT,
        "library_version": __version__,
        "intended_use": check_intended_use(intended_use),
        "validation": check_validation(validation),
        **contents,
        "members": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    try:
        manifest["model_id"] = _identify(manifest)
    except (TypeError, ValueError) as error:
        raise InputError(f"The manifest holds a value that is not plain JSON: {error}.") from error
    text = _canonical(manifest)
    with _artifact_errors("The model cannot be saved"):
        content = read_json(text)
        check_manifest(content)
        unpack(content, {name: _archive.array_of(name, data) for name, data in members.items()})
    _archive.write(Path(path), text, members)
    return Manifest(manifest)


def load_model(
    path: str | Path, *, require_signature: str | Path | bytes | None = None
) -> "TreatmentSelector":
    """Return the selector in a model file, after checking the whole file and its stored predictions.

    Parameters
    ----------
    path : path
        A file written by `save_model`.
    require_signature : path or bytes, optional
        An Ed25519 public key as PEM, or a path to one: the file must be signed with the matching private key.

    Returns
    -------
    TreatmentSelector
        Fitted; its `model_` is immutable, so threads can share it.

    Raises
    ------
    ArtifactError
        If the file is absent, damaged, truncated, oversized, foreign or of a newer format, or not signed
        as required.
    InputError
        If the key is not an Ed25519 public key, or the package cryptography is not installed.
    """
    from treatsel.selector import TreatmentSelector

    model, arm = _load(path, require_signature)
    return TreatmentSelector.from_model(model, arm=arm)


def load_fitted(
    path: str | Path, *, require_signature: str | Path | bytes | None = None, compiled: bool = False
) -> FittedModel:
    """Return the fitted model in a file, without importing pandas or scikit-learn.

    Parameters
    ----------
    path, require_signature
        As in `load_model`, as are checks and errors.
    compiled : bool
        Whether to score records with kernels that numba compiles once and keeps on disk: several times
        faster with thousands of trees and for explanations, at the cost of importing numba. They are
        compiled, or read from disk, during loading, so that no request is delayed. Kernels on disk are
        used only in a folder to which nobody but this user and root can write.
    """
    check_compiled(compiled)
    return _load(path, require_signature, compiled=compiled)[0]


def _load(
    path: str | Path, require_signature: str | Path | bytes | None, **options: Any
) -> tuple[FittedModel, str]:
    """Return the model in a file, and the name of its arm column."""
    key = None if require_signature is None else public_key_of(require_signature)
    with _artifact_errors(f"Cannot load {path}"):
        file = _read(Path(path), key)
        own = {"intended_use": file.content["intended_use"], "model_id": file.content["model_id"]}
        return unpack(file.content, _arrays_of(file), **own, **options), file.content["arm"]


def read_manifest(
    path: str | Path, *, require_signature: str | Path | bytes | None = None, whole: bool = False
) -> Manifest:
    """Return the manifest of a model file, after checking hashes.

    Parameters
    ----------
    path, require_signature
        As in `load_model`.
    whole : bool
        Whether to check the arrays and the stored predictions as well, as `load_model` does. The file is read
        once: what is returned is what was checked.

    Returns
    -------
    Manifest

    Raises
    ------
    ArtifactError, InputError
        As in `load_model`.
    """
    key = None if require_signature is None else public_key_of(require_signature)
    with _artifact_errors(f"Cannot load {path}"):
        file = _read(Path(path), key)
        signer = None if file.signature is None else signed_by(file.signature)
        if whole:
            unpack(file.content, _arrays_of(file))
    return Manifest(file.content, signer)


def sign_model(path: str | Path, private_key: str | Path | bytes, out: str | Path | None = None) -> Manifest:
    """Sign a model file, after checking that it is valid; model id and hashes do not change.

    Parameters
    ----------
    path : path
        A file written by `save_model`; an existing signature is replaced.
    private_key : path or bytes
        An Ed25519 private key as PEM, or a path to one (see `new_keys`).
    out : path, optional
        Where to write; None: to the same file.

    Returns
    -------
    Manifest
        Its ``signed_by`` is the fingerprint of the key.

    Raises
    ------
    ArtifactError
        If the file is not valid, or cannot be written.
    InputError
        If the key is not an Ed25519 private key, or the package cryptography is not installed.
    """
    with _artifact_errors(f"Cannot load {path}"):
        file = _read(Path(path))
        unpack(file.content, _arrays_of(file))
    signature = sign(file.manifest, private_key)
    _archive.write(Path(path if out is None else out), file.manifest, file.arrays, signature)
    return Manifest(file.content, signed_by(signature))


def store_validation(path: str | Path, summaries: Sequence[Mapping[str, Any]]) -> Manifest:
    """Add summaries of validation reports to a model file; its model id does not change.

    A stored summary of the same outcome and kind of validation is replaced. The file is replaced atomically.

    Parameters
    ----------
    path : path
        A file written by `save_model`, and not signed: a signature covers the validation.
    summaries : sequence of mappings
        ``report.summary()`` of each report.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If the file is signed, an outcome is not one of the model, or a summary is of apparent performance.
    ArtifactError
        If the file is not valid, or cannot be written.
    """
    check_can_store(path)
    with _artifact_errors(f"Cannot load {path}"):
        file = _read(Path(path))
        unpack(file.content, _arrays_of(file))
    names = [outcome["name"] for outcome in file.content["outcomes"]]
    found = {(one["outcome"], kind_of(one)): one for one in Manifest(file.content).validations}
    for summary in summaries:
        new = check_validation(summary)
        if not isinstance(new, dict) or new["outcome"] not in names:
            raise InputError(f"The model has no outcome with that name; it has {names}.")
        found[new["outcome"], kind_of(new)] = new
    stored = sorted(found.values(), key=lambda one: (names.index(one["outcome"]), kind_of(one)))
    content = {**file.content, "validation": stored[0] if len(stored) == 1 else stored}
    _archive.write(Path(path), _canonical(content), file.arrays)
    return Manifest(content)


def check_can_store(path: str | Path) -> None:
    """Check that a model file is valid and has no signature, which a stored validation would invalidate.

    Raises
    ------
    InputError
        If it is signed.
    ArtifactError
        If it is not valid.
    """
    if read_manifest(path).signed_by is not None:
        raise InputError(
            f"{path} is signed; a stored validation would invalidate the signature. Store it in the unsigned "
            "file, and sign that file again: treatsel sign."
        )


def _arrays_of(file: _archive.Contents) -> dict[str, np.ndarray]:
    return {name: _archive.array_of(name, data) for name, data in file.arrays.items()}


def _read(path: Path, key: Any = None) -> _archive.Contents:
    """Return the members of a file, after checking its manifest, model id and (by a public key) signature."""
    file = _archive.read(path)
    if file.content.get("model_id") != _identify(file.content):
        raise ArtifactError("Its model id does not match its content.")
    if file.signature is not None:
        signed_by(file.signature)
    check_manifest(file.content)
    if key is not None:
        check_signature(file.signature, file.manifest, key)
    return file


class _artifact_errors:  # noqa: N801 # reads as a word: with _artifact_errors(...)
    """Convert every error that an invalid file causes to an `ArtifactError` that states the failed task."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, MemoryError):
            raise ArtifactError(f"{self.what}. It needs more memory than is available.") from error
        if isinstance(error, Exception):
            reason = str(error) if isinstance(error, TreatselError) else f"It is damaged ({kind.__name__})."
            raise ArtifactError(f"{self.what}. {reason}") from error


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _identify(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key not in ("model_id", "validation")}
    return hashlib.sha256(_canonical(rest)).hexdigest()
