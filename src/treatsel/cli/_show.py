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
        description="Print the model card: intended use, development cohort, covariates, validation.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON instead")
    parser.add_argument("--html", type=Path, help="write the card as a page")
    parser.add_argument("--check", action="store_true", help="only check that the model is sound")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or check."""
    check_outputs([args.html], [args.model])
    model_id = load_model(args.model).model_id_  # a card is only shown of a model that is sound
    if args.check:
        print(f"{args.model}: sound, model id {model_id}")
        return 0
    manifest = read_manifest(args.model)
    if args.html is not None:
        write_html(manifest, args.html)
    print(json.dumps(manifest.to_dict(), indent=2) if args.json else model_card(manifest), end="")
    return 0
