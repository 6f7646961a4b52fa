"""`treatsel validate`: an external-validation report."""

import argparse
import json
from pathlib import Path
from typing import Any

from treatsel.artifact import load_model
from treatsel.cli._io import check_outputs, say, weight, write_table
from treatsel.cohort import Cohort
from treatsel.validation import validate


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "validate",
        help="validate a model on a cohort it has not seen",
        description="Write an external-validation report; print the headline and the main figures.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("cohort", type=Path, help="CSV or Parquet, one patient a row")
    parser.add_argument("--codebook", type=Path, help="of the cohort (default: the model's)")
    parser.add_argument("--outcome", help="outcome to validate (default: the model's first)")
    parser.add_argument("--best-arm", help="best single arm, named beforehand (default: the model's)")
    parser.add_argument(
        "--assignment",
        choices=["estimated", "randomised"],
        default="estimated",
        help="how the received arms came about (default: %(default)s)",
    )
    parser.add_argument(
        "--share", type=weight, action="append", metavar="ARM=P", help="known allocation; repeatable"
    )
    direction = parser.add_mutually_exclusive_group()
    about: dict[str, Any] = {"dest": "event_is_good", "default": None}
    direction.add_argument("--event-is-good", action="store_true", help="1 is the good outcome", **about)
    direction.add_argument("--event-is-bad", action="store_false", help="1 is the bad outcome", **about)
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (default: %(default)s)")
    parser.add_argument("--html", type=Path, help="page to write")
    parser.add_argument("--markdown", type=Path, help="the page as Markdown, without pictures")
    parser.add_argument("--json", type=Path, help="main figures as JSON")
    parser.add_argument("--out", type=Path, help="all figures as CSV or Parquet")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Validate, write what was asked for, print the headline."""
    outputs = [args.html, args.markdown, args.json, args.out]
    check_outputs(outputs, [args.model, args.cohort, args.codebook])
    selector = load_model(args.model)
    book = selector.codebook_ if args.codebook is None else args.codebook
    cohort = Cohort.read(args.cohort, book)
    say(f"Validating on {len(cohort)} patients ...")
    report = validate(
        selector,
        cohort,
        outcome=args.outcome,
        best_arm=args.best_arm,
        event_is_good=args.event_is_good,
        assignment=dict(args.share) if args.share else args.assignment,
        level=args.level,
    )
    if args.html is not None:
        report.to_html(args.html)
    if args.markdown is not None:
        report.to_markdown(args.markdown)
    if args.json is not None:
        args.json.write_text(json.dumps(report.summary(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if args.out is not None:
        write_table(report.to_frame(), args.out)
    print(summary_of(report))
    return 0


def summary_of(report: Any) -> str:
    """Return headline, main figures and cautions as a few lines."""
    lines = [report.headline, ""]
    for measure in ("within-arm AUC", "calibration slope", "observed / expected", "base rate"):
        row = report.figure(measure)
        bounds = f"{row['lower']:.2f} to {row['upper']:.2f}"
        lines.append(f"  {measure:20s} {row['value']:6.2f}  ({bounds})  n = {int(row['n'])}")
    lines += [f"  caution: {caution}" for caution in report.cautions]
    return "\n".join(lines)
