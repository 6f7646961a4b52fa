"""`treatsel sign`: an Ed25519 signature for a model file."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.artifact import new_keys, sign_model
from treatsel.cli._io import check_outputs
from treatsel.errors import InputError


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sign",
        help="sign a model file, or make a pair of keys",
        description="Sign a model file, so that others can check with the public key that it is yours and "
        "unchanged (`treatsel show --check --key public.pem`). Its model id stays the same.",
    )
    parser.add_argument("model", type=Path, nargs="?", help="file written by `treatsel train`")
    parser.add_argument("--key", type=Path, help="private key, Ed25519 in PEM form")
    parser.add_argument("--out", type=Path, help="signed file (default: the model file itself)")
    parser.add_argument(
        "--new-key",
        type=Path,
        nargs=2,
        metavar=("PRIVATE", "PUBLIC"),
        help="first write a new pair of keys to these files, and sign with it if a model is named",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make keys, sign, or both."""
    if (args.key is None) == (args.new_key is None) or (args.key is not None and args.model is None):
        raise InputError("Give a model and --key private.pem; or --new-key private.pem public.pem.")
    check_outputs([args.out, *(args.new_key or [])], [args.model, args.key])
    key = args.key
    if args.new_key is not None:
        key, public = args.new_key
        fingerprint = new_keys(key, public)
        print(f"{public}: key {fingerprint}. Keep {key} secret; who has it can sign as you.")
    if args.model is not None:
        manifest = sign_model(args.model, key, args.out)
        print(f"{args.out or args.model}: model id {manifest.model_id}, signed by key {manifest.signed_by}")
    return 0
