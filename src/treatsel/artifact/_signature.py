"""Ed25519 signatures of model files, which establish who issued a file.

A signature covers the bytes of the manifest, including the validation summary, and all arrays through the
hashes in the manifest. It is a separate member of the archive (32 bytes of public key, 64 bytes of
signature), so that signing changes neither the manifest nor the model id.

References
----------
RFC 8032: Edwards-Curve Digital Signature Algorithm. RFC 8410: Ed25519 keys in PEM form.
"""

import hashlib
from pathlib import Path
from typing import Any

from treatsel._files import read_bytes, whole_file
from treatsel.errors import ArtifactError, InputError

_CONTEXT = b"treatsel model file\n"  # domain separation: the signature is valid for nothing else
_KEY, _LENGTH = 32, 96
_MOST_PEM = 64 * 1024  # bytes; a key has a few hundred
_DER = bytes.fromhex("302a300506032b6570032100")  # prefix of a raw public key in DER form (RFC 8410)


def sign(manifest: bytes, private_key: str | Path | bytes) -> bytes:
    """Return the signature of a manifest by a private key (PEM text, or a path to it)."""
    serialization, ed25519 = _cryptography()
    pem = _pem(private_key, "private")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise InputError(
            "The private key is encrypted with a password. Decrypt it first: openssl pkey."
        ) from None
    except Exception:
        raise InputError("The private key cannot be read; it must be an Ed25519 key in PEM form.") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError("The private key is not an Ed25519 key. Create one with: treatsel keygen.")
    return bytes(key.public_key().public_bytes_raw() + key.sign(_CONTEXT + manifest))


def public_key_of(public_key: str | Path | bytes) -> Any:
    """Return the Ed25519 public key of a PEM text or file."""
    serialization, ed25519 = _cryptography()
    pem = _pem(public_key, "public")
    if b"PRIVATE KEY" in pem:
        raise InputError(
            "This is a private key. Give the public key instead, and keep the private key secret."
        )
    try:
        key = serialization.load_pem_public_key(pem)
    except Exception:
        raise InputError("The public key cannot be read; it must be an Ed25519 key in PEM form.") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError("The public key is not an Ed25519 key.")
    return key


def check_signature(signature: bytes | None, manifest: bytes, public_key: Any) -> None:
    """Verify that a manifest was signed by a key.

    Raises
    ------
    ArtifactError
        If there is no signature, or it was made by another key or for other content; the message says which.
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
        public_key.verify(signature[_KEY:], _CONTEXT + manifest)
    except InvalidSignature:
        raise ArtifactError(
            "Its signature does not match its content: the file was changed after it was signed."
        ) from None


def signed_by(signature: bytes) -> str:
    """Return the fingerprint of the key that a signature names: SHA-256 of the key in DER form.

    ``openssl pkey -pubin -in public.pem -outform DER | sha256sum`` gives the same. This is what the file
    claims; only `check_signature` verifies it.
    """
    if len(signature) != _LENGTH:
        raise ArtifactError(f"Its signature has {len(signature)} bytes; it must have {_LENGTH}.")
    return _fingerprint(signature[:_KEY])


def new_keys(private: Path, public: Path) -> str:
    """Write a new pair of keys in PEM form and return its fingerprint.

    The private key gets the file mode 0600: only its owner can read it.

    Raises
    ------
    InputError
        If a file already exists or cannot be written.
    """
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    try:
        _write_new(public, shown, 0o644)
    except InputError:
        private.unlink()  # a private key without its public one would only be in the way of the next attempt
        raise
    return _fingerprint(key.public_key().public_bytes_raw())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with whole_file(path, new=True, mode=mode) as stream:
            stream.write(content)
    except FileExistsError:
        raise InputError(
            f"Refusing to overwrite {path}: a key file already exists there. Choose another name."
        ) from None
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error


def _fingerprint(raw: bytes) -> str:
    return hashlib.sha256(_DER + raw).hexdigest()


def _pem(key: str | Path | bytes, kind: str) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str) and "-----BEGIN" in key:  # not a path: a message about it would show the key
        return key.encode()
    if not isinstance(key, str | Path):
        raise InputError(f"The {kind} key is a {type(key).__name__}; give PEM text, or a path to it.")
    try:
        return read_bytes(key, most=_MOST_PEM)
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
