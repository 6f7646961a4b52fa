"""`treatsel show`: the card of a model file."""

import argparse
import json
from pathlib import Path
from typing import Any

from treatsel.artifact import load_model, read_manifest
from treatsel.cli._io import check_outputs
from treatsel.report import model_card, write_html


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show",
        help="show what a model file says about itself",
        description="Print the model card (intended use, development cohort, covariates, validation), and "
        "who signed the file.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON instead")
    parser.add_argument("--html", type=Path, help="write the card as a page")
    parser.add_argument("--check", action="store_true", help="only check that the model is sound")
    parser.add_argument("--key", type=Path, help="public key (PEM) by which the model must be signed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or check."""
    check_outputs([args.html], [args.model, args.key])
    # a card is only shown of a model that is sound
    model_id = load_model(args.model, require_signature=args.key).model_id_
    manifest = read_manifest(args.model)
    signature = "not signed"
    if manifest.signed_by is not None:
        checked = "checked" if args.key is not None else "not checked: give the public key as --key"
        signature = f"signed by key {manifest.signed_by} ({checked})"
    if args.check:
        print(f"{args.model}: sound, model id {model_id}, {signature}")
        return 0
    if args.html is not None:
        write_html(manifest, args.html)
    if args.json:
        print(json.dumps({**manifest.to_dict(), "signed_by": manifest.signed_by}, indent=2), end="")
    else:
        print(model_card(manifest) + f"\nThis file is {signature}.")
    return 0
