"""`treatsel validate`: an external-validation report."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._reporting.format import number
from treatsel.artifact import check_can_store, load_model, store_validation
from treatsel.cli._io import TABLE, add_reading, check_outputs, reading, say, tell, weight, write_table
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.report import VALIDATION_WORDS
from treatsel.table import read_table
from treatsel.validation import ValidationPlan, validate
from treatsel.validation.report import ValidationReport, check_checklist_name

FILES = ("json", "out", "html", "markdown", "checklists")
REFIT = {"hierarchical": HierarchicalClassifier, "stacked": StackedClassifier}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "validate",
        help="validate a model on a cohort not used to develop it",
        description="Write an external-validation report for each outcome; print headlines and main figures.",
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=f"MODEL COHORT: file written by `treatsel train`, and {TABLE}, one patient per row",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="TABLE",
        help=f"instead of a model: {TABLE} with the id and one column of probabilities per arm",
    )
    _add_cohorts(parser)
    parser.add_argument("--codebook", type=Path, help="codebook of the cohort (default: the model's)")
    parser.add_argument(
        "--outcome",
        action="append",
        help="outcome to validate; repeatable (default: every outcome of the model that the cohort has)",
    )
    parser.add_argument(
        "--store",
        action="store_true",
        help="also store the summary in the model file, for its model card; not for a signed file",
    )
    parser.add_argument("--plan", type=Path, help="YAML or JSON file with the plan, fixed beforehand")
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
    _add_direction(parser)
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
    add_reading(parser)
    add_report_files(parser)
    parser.set_defaults(run=run, more_files=True)


def _add_direction(parser: argparse.ArgumentParser) -> None:
    direction = parser.add_mutually_exclusive_group()
    about: dict[str, Any] = {"dest": "event_is_good", "default": None}
    direction.add_argument("--event-is-good", action="store_true", help="1 is the good outcome", **about)
    direction.add_argument("--event-is-bad", action="store_false", help="1 is the bad outcome", **about)


def add_report_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the files of a report."""
    group = parser.add_argument_group(
        "files to write",
        "With several outcomes there is a report for each: the first has the names given here, the others "
        "have the outcome added, such as report-dropout.html.",
    )
    group.add_argument("--html", type=Path, help="HTML page to write")
    group.add_argument("--markdown", type=Path, help="the page as Markdown, without pictures")
    group.add_argument("--json", type=Path, help="all results as JSON, for `treatsel compare`")
    group.add_argument("--checklists", type=Path, help="file for the reporting checklists, .md or .csv")
    group.add_argument("--out", type=Path, help="all figures as CSV or Parquet")


def files_of(args: argparse.Namespace, outcomes: Sequence[str]) -> list[dict[str, Path]]:
    """Return the files of each report: as named for the first outcome, with its name added for others."""
    named = {kind: path for kind in FILES if (path := getattr(args, kind)) is not None}
    found = [named]
    for outcome in outcomes[1:]:
        ending = re.sub(r"[^\w.-]+", "_", outcome)
        found.append(
            {kind: path.with_name(f"{path.stem}-{ending}{path.suffix}") for kind, path in named.items()}
        )
    return found


def check_report_files(
    args: argparse.Namespace, inputs: Iterable[Path | None], outcomes: Sequence[str] = ("",)
) -> None:
    """Check before any work that the files of the reports can be written."""
    check_outputs([path for files in files_of(args, outcomes) for path in files.values()], inputs)
    if args.checklists is not None:
        check_checklist_name(args.checklists)
    if args.n_jobs == 0:
        raise InputError("--n-jobs is 0; give a number of jobs, or -1 for all cores.")


def write_report(report: ValidationReport, files: Mapping[str, Path]) -> None:
    """Write the requested files of a report."""
    writers: dict[str, Callable[[Path], None]] = {
        "json": report.to_json,
        "out": partial(write_table, report.to_frame()),
        "html": report.to_html,
        "markdown": report.to_markdown,
        "checklists": report.write_checklists,
    }
    for kind, path in files.items():
        writers[kind](path)


def report_each(
    validated: Callable[[str], ValidationReport], outcomes: Sequence[str], args: argparse.Namespace
) -> list[ValidationReport]:
    """Validate each outcome; write the requested files, and print the headlines and the main figures."""
    reports: list[ValidationReport] = []
    written: list[str] = []
    for outcome, files in zip(outcomes, files_of(args, outcomes), strict=True):
        report = validated(outcome)
        write_report(report, files)
        tell(("\n" if reports else "") + summary_of(report, named=len(outcomes) > 1))
        reports.append(report)
        written += [f"{path} ({outcome})" for path in files.values()]
    if written and len(outcomes) > 1:
        print(f"\nWrote {', '.join(written)}.")
    return reports


def _add_cohorts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--development",
        type=Path,
        metavar="COHORT",
        help=f"development cohort, {TABLE}: adds a comparison of case mix, and re-weighted figures",
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
    """Validate, write the requested files, print the headlines."""
    given = [
        *args.files,
        args.predictions,
        args.codebook,
        args.plan,
        args.development,
        *(args.imputations or []),
    ]
    check_report_files(args, given)
    if args.store and args.predictions is not None:
        raise InputError("--store needs a model file; predictions alone have none.")
    if args.store:
        check_can_store(args.files[0])
    model, cohort = _read(args)
    outcomes = _outcomes(args, model, cohort)
    check_report_files(args, given, outcomes)
    more = _read_more(args, cohort)
    say(f"Validating on {count_of(len(cohort), 'patient')} ...")
    validated = partial(
        validate,
        model,
        cohort,
        comparator=args.comparator,
        plan=args.plan,
        event_is_good=args.event_is_good,
        assignment=dict(args.allocation) if args.allocation else args.assignment,
        internal_external=None
        if args.internal_external_cv is None
        else _unfitted(args.internal_external_cv, cohort),
        n_jobs=args.n_jobs,
        level=args.level,
        **more,
    )
    reports = report_each(lambda outcome: validated(outcome=outcome), outcomes, args)
    if args.store:
        store(args.files[0], reports)
    return 0


def store(path: Path, reports: Sequence[ValidationReport]) -> None:
    """Store the summaries of reports in a model file."""
    store_validation(path, [report.summary() for report in reports])
    kind = VALIDATION_WORDS[reports[0].kind]
    print(f"\nStored in {path}: {kind} of {[report.outcome for report in reports]}.")


def _outcomes(args: argparse.Namespace, model: Any, cohort: Cohort) -> list[str]:
    """Return the outcomes to validate: those named, or all that model and cohort have."""
    known = list(getattr(model, "outcomes_", cohort.codebook.outcomes))
    if args.plan is not None and not args.outcome:
        return [ValidationPlan.read(args.plan).outcome]
    found = named_once(args.outcome) or [name for name in known if name in cohort.frame] or known[:1]
    if args.predictions is not None and len(found) != 1:
        raise InputError(f"Name the one outcome that the predictions are of: --outcome, one of {known}.")
    if args.event_is_good is not None and len(found) > 1:
        raise InputError("A direction can be stated for one outcome only. Name it: --outcome.")
    return found


def named_once(outcomes: list[str] | None) -> list[str] | None:
    """Return outcomes named by an option; raise if one is named twice."""
    for name in outcomes or []:
        if (outcomes or []).count(name) > 1:
            raise InputError(f"--outcome names {name!r} twice.")
    return outcomes


def _unfitted(name: str, cohort: Cohort) -> Any:
    return REFIT[name](arm=str(cohort.codebook.arm))


def _read(args: argparse.Namespace) -> tuple[Any, Cohort]:
    """Return the model, or the by-arm table given instead of one, and the cohort."""
    if len(args.files) != (2 if args.predictions is None else 1):
        raise InputError("Give either a model file and a cohort, or --predictions and a cohort.")
    if args.predictions is None:
        selector = load_model(args.files[0])
        book = selector.codebook_ if args.codebook is None else args.codebook
        return selector, Cohort.read(args.files[1], book, **reading(args))
    if args.codebook is None:
        raise InputError("--predictions needs --codebook, the codebook of the cohort.")
    cohort = Cohort.read(args.files[0], args.codebook, **reading(args))
    return _read_predictions(args.predictions, cohort, args), cohort


def _read_more(args: argparse.Namespace, cohort: Cohort) -> dict[str, Any]:
    """Return the development cohort and the imputed tables, as arguments of `validate`."""
    more: dict[str, Any] = {}
    if args.development is not None:
        more["development"] = Cohort.read(args.development, cohort.codebook, **reading(args))
    if args.imputations and args.predictions is None:
        more["imputations"] = [
            Cohort.read(path, cohort.codebook, **reading(args)) for path in args.imputations
        ]
    elif args.imputations:
        more["imputations"] = [_read_predictions(path, cohort, args) for path in args.imputations]
    return more


def _read_predictions(path: Path, cohort: Cohort, args: argparse.Namespace) -> pd.DataFrame:
    """Return the by-arm table of a file, with the patients' ids as index."""
    table, name = read_table(path, None, **reading(args)), cohort.codebook.name("id")
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


def summary_of(report: Any, *, named: bool = False) -> str:
    """Return headline, the outcome (if `named`), main figures and cautions as a few lines."""
    lines = [report.headline, ""]
    if named:
        lines.append(f"  {'outcome':20s} {report.outcome}")
    for measure in ("within-arm AUC", "calibration slope", "observed / expected", "base rate"):
        row = report.figure(measure)
        if row["value"] != row["value"]:
            lines.append(f"  {measure:20s} {row['method']}")
            continue
        bounds = f"{number(row['lower'])} to {number(row['upper'])}"
        lines.append(f"  {measure:20s} {number(row['value']):>6s}  ({bounds})  n = {int(row['n']):,}")
    lines += [f"  caution: {caution}" for caution in report.cautions]
    return "\n".join(lines)
