"""`treatsel show`: the model card of a model file."""

import argparse
import json
from pathlib import Path
from typing import Any

from treatsel.artifact import read_manifest
from treatsel.cli._io import add_date, check_outputs
from treatsel.report import model_card, write_html


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show",
        help="show the model card of a model file",
        description="Print the model card (intended use, development cohort, covariates, validation) and "
        "the signature of a model file.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON instead")
    add_date(parser)
    parser.add_argument("--html", type=Path, help="HTML page to write")
    parser.add_argument("--check", action="store_true", help="only check that the file is valid")
    parser.add_argument(
        "--public-key", type=Path, help="require a valid signature by this key (Ed25519 in PEM format)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or check."""
    check_outputs([args.html], [args.model, args.public_key])
    # no card is shown for a file that is damaged or wrongly signed; it is read once, as another file
    # could take its place in between
    manifest = read_manifest(args.model, require_signature=args.public_key, whole=True)
    signature = "not signed"
    if manifest.signed_by is not None:
        verified = "verified" if args.public_key is not None else "not verified: use --public-key"
        signature = f"signed by key {manifest.signed_by} ({verified})"
    if args.check:
        print(f"{args.model}: valid, model id {manifest.model_id}, {signature}")
        return 0
    if args.html is not None:
        write_html(manifest, args.html, date=args.date)
    if args.json:
        print(json.dumps({**manifest.to_dict(), "signed_by": manifest.signed_by}, indent=2), end="")
    else:
        print(model_card(manifest, date=args.date) + f"\nThis file is {signature}.")
    return 0
