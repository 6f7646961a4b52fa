"""Keyed labels: names that only the holder of a secret key recognizes.

A plain hash of a name is found by hashing all likely names. HMAC-SHA256 (RFC 2104) with a secret key is not:
without the key, a label tells nothing of the name.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from treatsel._checks import as_text, normal_text
from treatsel._files import read_bytes
from treatsel.errors import InputError

SHORTEST_KEY = 16  # bytes: 128 bits, if they are random
MOST_KEY = 64 * 1024
_LABEL, _CHECK = b"treatsel therapist\n", b"treatsel key\n"  # so that neither is valid for anything else


def secret_of(key: str | Path | bytes) -> bytes:
    """Return a secret key, or the content of its file, as it is.

    Raises
    ------
    InputError
        If it is shorter than 16 bytes, too long, or cannot be read. The message never shows the key.
    """
    if not isinstance(key, str | Path | bytes):
        raise InputError(f"The key is a {type(key).__name__}; give bytes, or the path of a key file.")
    if not isinstance(key, bytes):
        try:
            key = read_bytes(key, most=MOST_KEY)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its name is not a valid file name"
            raise InputError(f"The key file cannot be read: {reason}. Give its path, or bytes.") from None
    if not SHORTEST_KEY <= len(key) <= MOST_KEY:
        raise InputError(
            f"The key has {len(key):,} bytes; it must have {SHORTEST_KEY} to {MOST_KEY:,}. Create one of 32 "
            "random bytes: openssl rand -out therapists.key 32."
        )
    return key


def keyed_label(key: bytes, site: Any, therapist: Any) -> str:
    """Return the label of a therapist at a site (None without sites), 64 hexadecimal digits.

    Labels are matched by their text: 3, 3.0 and "3" are the same.
    """
    texts = [None if part is None else normal_text(as_text(part)) for part in (site, therapist)]
    # JSON keeps the two apart: ("a", "bc") and ("ab", "c") differ
    return hmac.new(key, _LABEL + json.dumps(texts).encode(), hashlib.sha256).hexdigest()


def key_check(key: bytes) -> str:
    """Return a text by which a key is recognized, and from which it cannot be derived."""
    return hmac.new(key, _CHECK, hashlib.sha256).hexdigest()
