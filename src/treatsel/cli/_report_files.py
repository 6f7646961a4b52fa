"""The files of validation reports, and what is printed of them; shared by the commands that validate."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from treatsel._reporting.format import number
from treatsel.artifact import store_validation
from treatsel.cli._io import check_outputs, tell, write_table
from treatsel.errors import InputError
from treatsel.report import VALIDATION_WORDS
from treatsel.validation.report import ValidationReport, check_checklist_name

FILES = ("json", "out", "html", "markdown", "checklists")


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
    if getattr(args, "instability", None) is not None and args.instability < 2:
        raise InputError(f"--instability is {args.instability}; give a number of refits, such as 200.")


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


def store(path: Path, reports: Sequence[ValidationReport]) -> None:
    """Store the summaries of reports in a model file."""
    store_validation(path, [report.summary() for report in reports])
    kind = VALIDATION_WORDS[reports[0].kind]
    print(f"\nStored in {path}: {kind} of {[report.outcome for report in reports]}.")


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
