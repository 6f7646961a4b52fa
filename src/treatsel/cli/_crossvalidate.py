"""`treatsel crossvalidate`: a validation report by cross-validation within one cohort."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.cli._io import say, weight
from treatsel.cli._validate import add_report_files, check_report_files, write_report
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.selector import ESTIMATORS, TreatmentSelector
from treatsel.validation import validate


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "crossvalidate",
        help="validate the whole modeling procedure within one cohort, such as a trial",
        description="Fit the model without each fifth of the patients in turn, predict these patients, and "
        "write a validation report of the out-of-fold predictions; print the headline and the main figures.",
    )
    parser.add_argument("cohort", type=Path, help="CSV or Parquet, one patient per row")
    parser.add_argument("--codebook", type=Path, required=True, help="meaning of the columns (YAML or JSON)")
    parser.add_argument("--outcome", help="outcome to validate (default: the first in the codebook)")
    parser.add_argument(
        "--estimator", choices=ESTIMATORS, default="auto", help="model to fit (default: %(default)s)"
    )
    parser.add_argument(
        "--assignment",
        choices=["estimated", "randomised"],
        default="estimated",
        help="how the received arms were assigned (default: %(default)s, from the covariates)",
    )
    parser.add_argument(
        "--allocation",
        type=weight,
        action="append",
        metavar="ARM=P",
        help="known allocation probability of an arm; repeatable",
    )
    parser.add_argument(
        "--comparator", help="best single arm, named in advance (default: the best one of the other folds)"
    )
    parser.add_argument(
        "--accept-draft",
        action="store_true",
        help="take the safe reading of columns that are undecided: they are not used",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the folds (default: %(default)s)")
    parser.add_argument("--n-jobs", type=int, help="folds processed in parallel (default: 1)")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    add_report_files(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Cross-validate, write the requested files, print the headline."""
    check_report_files(args, [args.cohort, args.codebook])
    book = Codebook.read(args.codebook)
    book = book.decided() if args.accept_draft else book
    book.check_decided()
    cohort = Cohort.read(args.cohort, book)
    selector = TreatmentSelector(arm=str(book.arm), estimator=args.estimator, random_state=args.seed)
    say(f"Cross-validating on {len(cohort)} patients ...")
    report = validate(
        selector,
        cohort,
        outcome=args.outcome,
        assignment=dict(args.allocation) if args.allocation else args.assignment,
        comparator=args.comparator,
        n_jobs=args.n_jobs,
        level=args.level,
        random_state=args.seed,
    )
    write_report(report, args)
    return 0
