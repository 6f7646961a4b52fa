"""`treatsel simulate`: a synthetic cohort with known true probabilities."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.cli._io import check_outputs
from treatsel.datasets import make_cohort, write_cohort


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "simulate",
        help="write a synthetic cohort",
        description="Write a synthetic cohort in the style of UK talking therapies; no row comes "
        "from a real person.",
    )
    parser.add_argument("out", type=Path, help="CSV or Parquet file of the cohort")
    parser.add_argument("--n", type=int, default=2000, help="number of patients (default: %(default)s)")
    parser.add_argument(
        "--assignment",
        choices=["randomised", "routine"],
        default="randomised",
        help="how arms are assigned (default: %(default)s)",
    )
    parser.add_argument(
        "--heterogeneity",
        choices=["none", "realistic", "strong"],
        default="realistic",
        help="size of effect modification (default: %(default)s)",
    )
    parser.add_argument("--sites", type=int, default=8, help="number of services (default: %(default)s)")
    parser.add_argument(
        "--missing",
        type=float,
        default=0.0,
        help="proportion of covariate values missing, 0 to 0.5 (default: %(default)s)",
    )
    parser.add_argument(
        "--shift",
        type=float,
        default=0.0,
        help="case-mix shift; 1: older and more severely ill (default: %(default)s)",
    )
    parser.add_argument("--weekly-scores", action="store_true", help="add weekly PHQ-9 scores")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument("--truth", type=Path, help="CSV file for the true probabilities")
    parser.add_argument("--codebook", type=Path, help="YAML or JSON file for the codebook")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate and write."""
    check_outputs([args.out, args.truth, args.codebook])
    simulated = make_cohort(
        args.n,
        assignment=args.assignment,
        heterogeneity=args.heterogeneity,
        sites=args.sites,
        missing=args.missing,
        weekly_scores=args.weekly_scores,
        shift=args.shift,
        random_state=args.seed,
    )
    write_cohort(simulated, args.out, truth=args.truth)
    if args.codebook is not None:
        simulated.cohort.codebook.write(args.codebook)
    return 0
