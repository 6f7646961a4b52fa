"""`treatsel sign`: an Ed25519 signature for a model file."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.artifact import sign_model
from treatsel.cli._io import check_outputs


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sign",
        help="sign a model file",
        description="Sign a model file, so that others can verify with the public key that it comes from you "
        "and is unchanged (`treatsel show --check --public-key public.pem`). The model id stays the same.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument(
        "--private-key", type=Path, required=True, help="Ed25519 key in PEM format; see `treatsel keygen`"
    )
    parser.add_argument("--out", type=Path, help="signed file (default: the model file itself)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sign and print the model id and the fingerprint of the key."""
    check_outputs([args.out], [args.model, args.private_key])
    manifest = sign_model(args.model, args.private_key, args.out)
    print(f"{args.out or args.model}: model id {manifest.model_id}, signed by key {manifest.signed_by}")
    return 0
