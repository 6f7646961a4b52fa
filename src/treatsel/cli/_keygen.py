"""`treatsel keygen`: a new Ed25519 key pair for signing model files."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.artifact import new_keys
from treatsel.cli._io import check_outputs


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "keygen",
        help="create a key pair for signing model files",
        description="Create an Ed25519 key pair in PEM format: the private key signs model files "
        "(`treatsel sign`), the public key verifies them (`treatsel show --public-key`).",
    )
    parser.add_argument("private", type=Path, help="file to write the private key to; readable only by you")
    parser.add_argument("public", type=Path, help="file to write the public key to; may be distributed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write both keys and print the fingerprint."""
    check_outputs([args.private, args.public])
    fingerprint = new_keys(args.private, args.public)
    print(f"{args.public}: key {fingerprint}. Keep {args.private} secret: anyone who has it can sign as you.")
    return 0
