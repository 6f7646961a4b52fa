"""`treatsel validate`: an external-validation report."""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._reporting.format import number
from treatsel.artifact import load_model
from treatsel.cli._io import check_outputs, say, weight, write_table
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.table import read_table
from treatsel.validation import validate
from treatsel.validation.report import ValidationReport, check_checklist_name

REFIT = {"hierarchical": HierarchicalClassifier, "stacked": StackedClassifier}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "validate",
        help="validate a model on a cohort not used to develop it",
        description="Write an external-validation report; print the headline and the main figures.",
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="MODEL COHORT: file written by `treatsel train`, and CSV or Parquet, one patient per row",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="TABLE",
        help="instead of a model: CSV or Parquet with the id and one column of probabilities per arm",
    )
    _add_cohorts(parser)
    parser.add_argument("--codebook", type=Path, help="codebook of the cohort (default: the model's)")
    parser.add_argument("--outcome", help="outcome to validate (default: the model's first)")
    parser.add_argument("--comparator", help="best single arm, named in advance (default: the model's)")
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
    direction = parser.add_mutually_exclusive_group()
    about: dict[str, Any] = {"dest": "event_is_good", "default": None}
    direction.add_argument("--event-is-good", action="store_true", help="1 is the good outcome", **about)
    direction.add_argument("--event-is-bad", action="store_false", help="1 is the bad outcome", **about)
    parser.add_argument(
        "--internal-external-cv",
        choices=sorted(REFIT),
        metavar="MODEL",
        help="add internal-external cross-validation of this model (hierarchical or stacked) by site",
    )
    parser.add_argument("--n-jobs", type=int, help="sites processed in parallel (default: 1)")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    add_report_files(parser)
    parser.set_defaults(run=run, more_files=True)


def add_report_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the files of a report."""
    parser.add_argument("--html", type=Path, help="HTML page to write")
    parser.add_argument("--markdown", type=Path, help="the page as Markdown, without pictures")
    parser.add_argument("--json", type=Path, help="all results as JSON, for `treatsel compare`")
    parser.add_argument("--checklists", type=Path, help="file for the reporting checklists, .md or .csv")
    parser.add_argument("--out", type=Path, help="all figures as CSV or Parquet")


def check_report_files(args: argparse.Namespace, inputs: Iterable[Path | None]) -> None:
    """Check before any work that the files of a report can be written."""
    check_outputs([args.json, args.out, args.html, args.markdown, args.checklists], inputs)
    if args.checklists is not None:
        check_checklist_name(args.checklists)
    if args.n_jobs == 0:
        raise InputError("--n-jobs is 0; give a number of jobs, or -1 for all cores.")


def write_report(report: ValidationReport, args: argparse.Namespace) -> None:
    """Write the requested files, and print the headline and the main figures."""
    writers: list[tuple[Path | None, Callable[[Path], None]]] = [
        (args.json, report.to_json),
        (args.out, partial(write_table, report.to_frame())),
        (args.html, report.to_html),
        (args.markdown, report.to_markdown),
        (args.checklists, report.write_checklists),
    ]
    for path, write in writers:
        if path is not None:
            write(path)
    print(summary_of(report))


def _add_cohorts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--development",
        type=Path,
        metavar="COHORT",
        help="development cohort, CSV or Parquet: adds a comparison of case mix, and re-weighted figures",
    )
    parser.add_argument(
        "--imputations",
        type=Path,
        nargs="+",
        action="extend",
        metavar="COHORT",
        help="two or more versions of the cohort with missing covariates imputed (with --predictions: "
        "tables of predictions): adds figures pooled by Rubin's rules",
    )


def run(args: argparse.Namespace) -> int:
    """Validate, write the requested files, print the headline."""
    given = [*args.files, args.predictions, args.codebook, args.development, *(args.imputations or [])]
    check_report_files(args, given)
    model, cohort = _read(args)
    more = _read_more(args, cohort)
    say(f"Validating on {len(cohort)} patients ...")
    report = validate(
        model,
        cohort,
        outcome=args.outcome,
        comparator=args.comparator,
        event_is_good=args.event_is_good,
        assignment=dict(args.allocation) if args.allocation else args.assignment,
        internal_external=None
        if args.internal_external_cv is None
        else _unfitted(args.internal_external_cv, cohort),
        n_jobs=args.n_jobs,
        level=args.level,
        **more,
    )
    write_report(report, args)
    return 0


def _unfitted(name: str, cohort: Cohort) -> Any:
    return REFIT[name](arm=str(cohort.codebook.arm))


def _read(args: argparse.Namespace) -> tuple[Any, Cohort]:
    """Return the model, or the by-arm table given instead of one, and the cohort."""
    if len(args.files) != (2 if args.predictions is None else 1):
        raise InputError("Give either a model file and a cohort, or --predictions and a cohort.")
    if args.predictions is None:
        selector = load_model(args.files[0])
        book = selector.codebook_ if args.codebook is None else args.codebook
        return selector, Cohort.read(args.files[1], book)
    if args.codebook is None:
        raise InputError("--predictions needs --codebook, the codebook of the cohort.")
    cohort = Cohort.read(args.files[0], args.codebook)
    return _read_predictions(args.predictions, cohort), cohort


def _read_more(args: argparse.Namespace, cohort: Cohort) -> dict[str, Any]:
    """Return the development cohort and the imputed tables, as arguments of `validate`."""
    more: dict[str, Any] = {}
    if args.development is not None:
        more["development"] = Cohort.read(args.development, cohort.codebook)
    if args.imputations and args.predictions is None:
        more["imputations"] = [Cohort.read(path, cohort.codebook) for path in args.imputations]
    elif args.imputations:
        more["imputations"] = [_read_predictions(path, cohort) for path in args.imputations]
    return more


def _read_predictions(path: Path, cohort: Cohort) -> pd.DataFrame:
    """Return the by-arm table of a file, with the patients' ids as index."""
    table, name = read_table(path), cohort.codebook.name("id")
    if name is None or name not in table.columns:
        raise InputError(
            f"{path.name} must contain the patient ids in the column {name or 'of role id'!r}, "
            "and the codebook must give that column the role id."
        )
    table = table.set_index(name)
    given: pd.DataFrame = table.apply(pd.to_numeric, errors="coerce")
    for arm in given:
        if n := int((given[arm].isna() & (table[arm].astype(str).str.strip() != "")).sum()):
            raise InputError(
                f"Column {arm!r} of {path.name} holds {n} cells that are not numbers. Besides ids, the "
                "file may contain only probabilities from 0 to 1, one column per arm; drop other columns."
            )
    given.index = given.index.astype(cohort.frame.index.dtype)
    return given


def summary_of(report: Any) -> str:
    """Return headline, main figures and cautions as a few lines."""
    lines = [report.headline, ""]
    for measure in ("within-arm AUC", "calibration slope", "observed / expected", "base rate"):
        row = report.figure(measure)
        if row["value"] != row["value"]:
            lines.append(f"  {measure:20s} {row['method']}")
            continue
        bounds = f"{number(row['lower'])} to {number(row['upper'])}"
        lines.append(f"  {measure:20s} {number(row['value']):>6s}  ({bounds})  n = {int(row['n'])}")
    lines += [f"  caution: {caution}" for caution in report.cautions]
    return "\n".join(lines)
