"""Ed25519 signatures of model files: who says that this file is theirs.

A signature covers the bytes of the manifest, validation summary included, and through the hashes in it all
arrays. It is a member of its own, 32 bytes of public key and 64 of signature, so that neither the manifest
nor the model id changes.

References
----------
RFC 8032: Edwards-Curve Digital Signature Algorithm. RFC 8410: its keys as PEM.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from treatsel.errors import ArtifactError, InputError

_WHAT = b"treatsel model file\n"  # so that it is no signature of anything else
_KEY, _LENGTH = 32, 96
_DER = bytes.fromhex("302a300506032b6570032100")  # what stands before a raw key in its DER form


def sign(manifest: bytes, private_key: str | Path | bytes) -> bytes:
    """Return the signature of a manifest by a private key (PEM, or a path to it)."""
    serialization, ed25519 = _cryptography()
    pem = _pem(private_key, "private")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise InputError("The private key is locked by a password. Unlock it first: openssl pkey.") from None
    except Exception:
        raise InputError("The private key is no Ed25519 key in PEM form that can be read.") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError("The private key is no Ed25519 key. Make one: treatsel sign --new-key.")
    return bytes(key.public_key().public_bytes_raw() + key.sign(_WHAT + manifest))


def public_key_of(public_key: str | Path | bytes) -> Any:
    """Return the Ed25519 public key in a PEM text or file."""
    serialization, ed25519 = _cryptography()
    pem = _pem(public_key, "public")
    if b"PRIVATE KEY" in pem:
        raise InputError("That is a private key. Give the public one, and keep the private one to yourself.")
    try:
        key = serialization.load_pem_public_key(pem)
    except Exception:
        raise InputError("The public key is no Ed25519 key in PEM form.") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError("The public key is no Ed25519 key.")
    return key


def check_signature(signature: bytes | None, manifest: bytes, public_key: Any) -> None:
    """Raise unless a key has signed a manifest.

    Raises
    ------
    ArtifactError
        Saying whether there is no signature, one of another key, or one of another manifest.
    """
    from cryptography.exceptions import InvalidSignature

    wanted = public_key.public_bytes_raw()
    if signature is None:
        raise ArtifactError("It is not signed, and a signature is required.")
    if signed_by(signature) != _fingerprint(wanted):
        raise ArtifactError(
            f"It is signed by key {signed_by(signature)}, not by the required {_fingerprint(wanted)}."
        )
    try:
        public_key.verify(signature[_KEY:], _WHAT + manifest)
    except InvalidSignature:
        raise ArtifactError("Its signature is not one of this content: it was changed.") from None


def signed_by(signature: bytes) -> str:
    """Return the fingerprint of the key that a signature names: SHA-256 of the key in DER form.

    ``openssl pkey -pubin -in public.pem -outform DER | sha256sum`` gives the same. It is what the file
    says; only `check_signature` makes sure.
    """
    if len(signature) != _LENGTH:
        raise ArtifactError(f"Its signature has {len(signature)} bytes; {_LENGTH} are due.")
    return _fingerprint(signature[:_KEY])


def new_keys(private: Path, public: Path) -> str:
    """Write a new pair of keys as PEM, the private one for its owner's eyes only; return its fingerprint.

    Raises
    ------
    InputError
        If a file is there already, or cannot be written.
    """
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
        except FileExistsError:
            raise InputError(f"Will not replace {path}: a key that is lost is lost.") from None
        except OSError as error:
            raise InputError(f"Cannot write {path}: {error.strerror}.") from error
    return _fingerprint(key.public_key().public_bytes_raw())


def _fingerprint(raw: bytes) -> str:
    return hashlib.sha256(_DER + raw).hexdigest()


def _pem(key: str | Path | bytes, kind: str) -> bytes:
    if isinstance(key, bytes):
        return key
    try:
        return Path(key).read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the {kind} key {key}: {error.strerror}.") from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise InputError(
            'Signatures need the package cryptography. Install it: pip install "treatsel[sign]".'
        ) from None
    return serialization, ed25519
