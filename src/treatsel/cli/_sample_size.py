"""`treatsel sample-size`: patients needed for development, for validation, or to show a gain."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.cli._io import check_outputs, write_table
from treatsel.metrics.sample_size import (
    LinearPredictorDistribution,
    SampleSize,
    development_sample_size,
    gain_sample_size,
    validation_sample_size,
)


def add_parser(commands: Any) -> None:
    """Add the command with its three purposes."""
    parser = commands.add_parser(
        "sample-size",
        help="calculate how many patients a study needs",
        description="Print the number of patients required by each criterion; the study needs the largest.",
    )
    purposes = parser.add_subparsers(dest="purpose", required=True, metavar="purpose")
    _add_development(purposes.add_parser("development", help="to develop a model without overfitting"))
    _add_validation(purposes.add_parser("validation", help="to validate a model with narrow intervals"))
    _add_gain(purposes.add_parser("gain", help="to show the gain over the best single arm"))


def run(args: argparse.Namespace) -> int:
    """Compute, write the requested table and print the results."""
    check_outputs([args.out])
    size = args.compute(args)
    if args.out is not None:
        write_table(size.to_frame().reset_index(), args.out)
    print(_text(size))
    return 0


def _add_development(parser: Any) -> None:
    parser.add_argument(
        "--parameters", type=int, required=True, help="prognostic parameters, excluding the intercept"
    )
    performance = parser.add_mutually_exclusive_group(required=True)
    performance.add_argument(
        "--cox-snell-r2", type=float, help="anticipated Cox-Snell R2 (a conservative value)"
    )
    performance.add_argument("--nagelkerke-r2", type=float, help="anticipated Nagelkerke R2")
    performance.add_argument("--auc", type=float, help="anticipated AUC")
    parser.add_argument(
        "--arms",
        type=int,
        default=1,
        help="number of arms that the model distinguishes (default: %(default)s)",
    )
    parser.add_argument(
        "--modifiers",
        type=int,
        default=0,
        help="parameters that interact with the arm (default: %(default)s)",
    )
    parser.add_argument(
        "--shrinkage", type=float, default=0.9, help="target shrinkage factor (default: %(default)s)"
    )
    _finish(parser, _development)


def _add_validation(parser: Any) -> None:
    parser.add_argument("--auc", type=float, required=True, help="anticipated AUC")
    predictor = parser.add_mutually_exclusive_group()
    about = "logit of the predictions is normal (default: binormal, from prevalence and AUC)"
    predictor.add_argument("--lp-normal", type=float, nargs=2, metavar=("MEAN", "SD"), help=about)
    predictor.add_argument(
        "--lp-beta",
        type=float,
        nargs=2,
        metavar=("ALPHA", "BETA"),
        help="predictions follow a beta distribution",
    )
    parser.add_argument(
        "--oe", type=float, default=1.0, help="anticipated observed / expected ratio (default: %(default)s)"
    )
    parser.add_argument(
        "--slope", type=float, default=1.0, help="anticipated calibration slope (default: %(default)s)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="decision threshold (a probability); adds a criterion for net benefit",
    )
    parser.add_argument(
        "--sensitivity", type=float, help="sensitivity at the threshold (default: implied by the predictions)"
    )
    parser.add_argument(
        "--specificity", type=float, help="specificity at the threshold (default: implied by the predictions)"
    )
    for name, width in (("oe", 0.2), ("slope", 0.2), ("auc", 0.1), ("net-benefit", 0.2)):
        parser.add_argument(
            f"--{name}-width",
            type=float,
            default=width,
            help="target width of the interval (default: %(default)s)",
        )
    _finish(parser, _validation)


def _add_gain(parser: Any) -> None:
    parser.add_argument(
        "--differs",
        type=float,
        required=True,
        help="proportion of patients whose recommended arm is not the best single arm",
    )
    parser.add_argument(
        "--allocation",
        type=float,
        nargs="+",
        required=True,
        metavar="P",
        help="allocation probability of the recommended and of the best single arm, or one value for both",
    )
    parser.add_argument("--gain", type=float, help="gain to be detected, averaged over all patients")
    parser.add_argument(
        "--power", type=float, default=0.8, help="power to detect the gain (default: %(default)s)"
    )
    parser.add_argument("--half-width", type=float, help="target half-width of the interval of the gain")
    parser.add_argument(
        "--r2", type=float, default=0.0, help="scaled Brier score within an arm (default: %(default)s)"
    )
    parser.add_argument(
        "--spread",
        type=float,
        default=0.0,
        help="SD of the predicted benefit among patients whose recommendation differs (default: %(default)s)",
    )
    about = "proportion with the outcome under the best single arm, of patients whose recommended arm differs"
    _finish(parser, _gain, prevalence=about)


def _finish(
    parser: Any, compute: Any, *, prevalence: str = "proportion of patients with the outcome"
) -> None:
    parser.add_argument("--prevalence", type=float, required=True, help=prevalence)
    parser.add_argument("--level", type=float, default=0.95, help="confidence level (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="CSV or Parquet file for the results")
    parser.set_defaults(run=run, compute=compute)


def _development(args: argparse.Namespace) -> SampleSize:
    return development_sample_size(
        prevalence=args.prevalence,
        parameters=args.parameters,
        cox_snell_r2=args.cox_snell_r2,
        nagelkerke_r2=args.nagelkerke_r2,
        auc=args.auc,
        arms=args.arms,
        modifiers=args.modifiers,
        shrinkage=args.shrinkage,
        level=args.level,
    )


def _validation(args: argparse.Namespace) -> SampleSize:
    predictor = None
    if args.lp_normal is not None:
        predictor = LinearPredictorDistribution.normal(*args.lp_normal)
    elif args.lp_beta is not None:
        predictor = LinearPredictorDistribution.beta(*args.lp_beta)
    return validation_sample_size(
        prevalence=args.prevalence,
        auc=args.auc,
        predictor=predictor,
        oe=args.oe,
        slope=args.slope,
        threshold=args.threshold,
        sensitivity=args.sensitivity,
        specificity=args.specificity,
        widths={
            "observed / expected": args.oe_width,
            "calibration slope": args.slope_width,
            "AUC": args.auc_width,
            "net benefit": args.net_benefit_width,
        },
        level=args.level,
    )


def _gain(args: argparse.Namespace) -> SampleSize:
    return gain_sample_size(
        differs=args.differs,
        prevalence=args.prevalence,
        allocation=args.allocation[0] if len(args.allocation) == 1 else args.allocation,
        r2=args.r2,
        gain=args.gain,
        spread=args.spread,
        half_width=args.half_width,
        power=args.power,
        level=args.level,
    )


def _text(size: SampleSize) -> str:
    """Return the headline, a line per criterion, and the assumptions."""
    lines = [str(size), ""]
    for criterion in size.criteria:
        n = "-" if criterion.n is None else f"{criterion.n:,}"
        lines.append(f"  {criterion.name:20s} {n:>10s}   {criterion.about} ({criterion.target:g})")
    lines.append("  assumed: " + ", ".join(f"{name} {value:.4g}" for name, value in size.assumptions.items()))
    return "\n".join(lines)
