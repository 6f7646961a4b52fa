"""`treatsel update`: a model recalibrated to new patients, as far as they require it."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._reporting.format import number, p_value
from treatsel.artifact import load_model, save_model
from treatsel.cli._io import TABLE, add_reading, check_outputs, day, reading, say, tell
from treatsel.cli._validate import named_once
from treatsel.cohort import Cohort
from treatsel.updating import METHODS, OutcomeUpdate, SelectorUpdate, changes_of, update_selector


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "update",
        help="recalibrate a model to new patients, and write it",
        description="Recalibrate each outcome of a model to new patients, as far as a closed test requires. "
        "Print the test, and the calibration before, after and cross-validated; write the updated model with "
        "the id of the earlier one and what was changed. Stored validations are not carried over. If no "
        "outcome needs a change, nothing is written.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("cohort", type=Path, help=f"{TABLE}, one new patient per row")
    parser.add_argument("--out", type=Path, required=True, help="model file to write, such as new.treatsel")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="auto",
        help="auto: the smallest change that the closed test does not reject; or one shift (intercept), a "
        "shift and a slope (slope), or a shift for each arm and a slope (per_arm) (default: %(default)s)",
    )
    parser.add_argument(
        "--outcome",
        action="append",
        help="outcome to update; repeatable (default: every outcome of the model that the cohort has)",
    )
    parser.add_argument("--codebook", type=Path, help="codebook of the cohort (default: the model's)")
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="level of the closed test (default: %(default)s)"
    )
    parser.add_argument(
        "--date", type=day, metavar="YYYY-MM-DD", help="date of the update, or 'today' (default: not stated)"
    )
    parser.add_argument(
        "--intended-use",
        metavar="TEXT",
        help="one sentence on the purpose and population of the updated model (default: as in the model)",
    )
    add_reading(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Update, print what was chosen and why, and write the model if it was changed."""
    check_outputs([args.out], [args.model, args.cohort, args.codebook])
    selector = load_model(args.model)
    book = selector.codebook_ if args.codebook is None else args.codebook
    cohort = Cohort.read(args.cohort, book, **reading(args))
    say(f"Updating in {count_of(len(cohort), 'patient')} ...")
    found = update_selector(
        selector,
        cohort,
        method=args.method,
        outcomes=named_once(args.outcome),
        alpha=args.alpha,
        date=args.date,
    )
    tell("\n\n".join(text_of(each) for each in found.outcomes.values()))
    tell("\n" + _written(args, found))
    return 0


def _written(args: argparse.Namespace, found: SelectorUpdate) -> str:
    """Write the model if it was changed; return what was done."""
    if not found.is_changed:
        return f"No outcome needs a change: {args.out} is not written. Use {args.model} as before."
    use = dict(found.selector.intended_use_ or {})
    if args.intended_use is not None:
        use["purpose"] = args.intended_use
    manifest = save_model(found.selector, args.out, intended_use=use)
    record = manifest.updates[-1]
    lines = [f"Wrote {args.out}: model id {manifest.model_id[:12]}, updated from {record['parent_id'][:12]}."]
    for outcome in record["outcomes"]:
        lines += changes_of(outcome, found.selector.arms_, found.selector.default_arm_)
    lines.append("Validate it in other patients: treatsel validate.")
    return "\n".join(lines)


def text_of(update: OutcomeUpdate) -> str:
    """Return the method of an outcome, the closed test, and the calibration as a few lines."""
    chosen = "named" if update.chosen_by == "name" else f"chosen by a closed test, level {update.alpha:g}"
    lines = [f"{update.outcome}: {update.method} ({chosen})"]
    if len(update.tests):
        lines.append(f"  {'against ' + str(update.reference):26s} {'LR':>7s} {'df':>4s}  p")
    for method, row in update.tests.iterrows():
        verdict = "  rejected" if row["rejected"] else ""
        numbers = f"{number(row['statistic']):>7s} {int(row['df']):4d}  {p_value(row['p_value'])}"
        lines.append(f"  {method!s:26s} {numbers}{verdict}")
    lines.append(f"  {'calibration':26s} {'before':>22s} {'after (apparent)':>22s} {'cross-validated':>22s}")
    for measure, rows in update.calibration.groupby("measure", sort=False):
        cells = "".join(f" {_cell(row):>22s}" for _, row in rows.iterrows())
        lines.append(f"  {measure:26s}{cells}")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    return f"{number(row['value'])} ({number(row['lower'])} to {number(row['upper'])})"
