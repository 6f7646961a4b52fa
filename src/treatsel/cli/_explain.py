"""`treatsel explain`: attributions of predictions to covariates."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import check_patient, count_of
from treatsel.artifact import load_model
from treatsel.cli._io import (
    TABLE,
    add_date,
    add_json,
    add_reading,
    check_outputs,
    reading,
    save_picture,
    say_expired,
    say_safety,
    write_json,
    write_table,
)
from treatsel.cli._predict import add_on_invalid, add_service
from treatsel.errors import InputError
from treatsel.explanation import explain
from treatsel.table import read_table

if TYPE_CHECKING:
    import pandas as pd


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        help="explain predictions with SHAP values",
        description="Write SHAP values of the covariates, one row per patient and covariate: outcome, arm or "
        "contrast, scale, covariate and its value, attribution, base value and prediction. Base value plus "
        "attributions equal the prediction.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("patients", type=Path, help=f"{TABLE}, one patient per row")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arm", help="explain the prediction under this arm")
    what.add_argument(
        "--contrast",
        nargs=2,
        metavar=("FIRST", "SECOND"),
        help="explain the difference, first arm minus second",
    )
    what.add_argument(
        "--recommendation",
        action="store_true",
        help="explain why one patient's top arm is on top, where the uncertainty comes from, and which "
        "change of each covariate would put another arm on top",
    )
    parser.add_argument(
        "--eligibility",
        type=Path,
        metavar="FILE",
        help="with --recommendation: YAML or JSON file of rules that exclude arms",
    )
    parser.add_argument(
        "--comparator", help="with --recommendation: arm to compare with (default: the model's default arm)"
    )
    parser.add_argument(
        "--fixed",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="with --recommendation: covariates that are not changed, such as the age",
    )
    parser.add_argument("--outcome", help="outcome to explain (default: the model's first)")
    parser.add_argument(
        "--scale",
        choices=["logit", "probability"],
        default="probability",
        help="scale of the attributions (default: %(default)s, the only one with --recommendation)",
    )
    add_on_invalid(parser)
    add_service(parser)
    add_date(parser)
    add_json(parser)
    parser.add_argument("--plot", type=Path, help="figure to write (.png, .svg or .pdf)")
    parser.add_argument("--patient", help="write and plot only this patient (default: all)")
    add_reading(parser)
    parser.add_argument("--out", type=Path, help="CSV or Parquet file (default: CSV to standard output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain, draw and write."""
    check_outputs([args.out, args.plot, args.json], [args.model, args.patients])
    selector = load_model(args.model)
    table = read_table(args.patients, selector.codebook_, **reading(args))
    if args.recommendation:
        return _explain_recommendation(args, selector, table)
    if args.comparator is not None or args.fixed:
        raise InputError("--comparator and --fixed are options of --recommendation.")
    explanation = explain(
        selector,
        table,
        arm=args.arm,
        contrast=None if args.contrast is None else (args.contrast[0], args.contrast[1]),
        outcome=args.outcome,
        scale=args.scale,
        on_invalid=args.on_invalid,
        date=args.date,
        service=args.service,
    )
    say_safety(explanation.warnings)
    say_expired(explanation.warnings)
    write_json(explanation, args.json)
    table = explanation.to_frame()
    patient = args.patient
    if patient is not None:
        named = {str(name): name for name in explanation.values.index}
        patient = check_patient(named.get(patient, patient), explanation.values.index)
        table = table[table["patient"] == patient]
    if args.plot is not None:
        save_picture(explanation.plot(patient=patient), args.plot)
    write_table(table, args.out)
    return 0


def _explain_recommendation(args: argparse.Namespace, selector: Any, table: "pd.DataFrame") -> int:
    """Explain one patient's recommendation."""
    if args.scale != "probability" or args.on_invalid != "raise":
        raise InputError("--recommendation has no other --scale or --on-invalid; leave them out.")
    patients = selector.covariates(table).index
    if args.patient is None and len(patients) != 1:
        raise InputError(f"The table has {count_of(len(patients), 'patient')}. Name one with --patient.")
    if args.patient is not None:
        named = {str(name): name for name in patients}
        patient = check_patient(named.get(args.patient, args.patient), patients)
        table = table[np.asarray(patients == patient)]
    found = selector.explain_recommendation(
        table,
        comparator=args.comparator,
        preferences=None if args.outcome is None else {args.outcome: 1.0},
        eligibility=args.eligibility,
        fixed=args.fixed,
        date=args.date,
        service=args.service,
    )
    say_safety(found.warnings)
    say_expired(found.warnings)
    write_json(found, args.json)
    if args.plot is not None:
        save_picture(found.plot(), args.plot)
    write_table(found.to_frame(), args.out)
    return 0
