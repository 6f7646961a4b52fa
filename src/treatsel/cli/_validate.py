"""`treatsel validate`: an external-validation report."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel.artifact import check_can_store, load_model
from treatsel.cli._io import TABLE, add_reading, reading, say, weight
from treatsel.cli._report_files import (
    add_report_files,
    check_report_files,
    report_each,
    store,
)
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.recommendation import RULES
from treatsel.table import read_table
from treatsel.validation import ValidationPlan, validate
from treatsel.validation.report import PLAUSIBLE_GAIN

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
    _add_assignment(parser)
    _add_direction(parser)
    _add_rule_in_use(parser)
    parser.add_argument(
        "--internal-external-cv",
        choices=sorted(REFIT),
        metavar="MODEL",
        help="add internal-external cross-validation of this model (hierarchical or stacked) by site",
    )
    add_instability(parser, "the development cohort (--development, or else COHORT)")
    parser.add_argument("--n-jobs", type=int, help="sites or refits processed in parallel (default: 1)")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    add_plausible_gain(parser)
    add_reading(parser)
    add_report_files(parser)
    parser.set_defaults(run=run, more_files=True)


def _add_assignment(parser: argparse.ArgumentParser) -> None:
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


def add_plausible_gain(parser: argparse.ArgumentParser) -> None:
    """Add the option that states the largest plausible gain."""
    parser.add_argument(
        "--plausible-gain",
        type=float,
        default=PLAUSIBLE_GAIN,
        metavar="P",
        help="largest plausible gain, as a proportion: a cohort too small to detect it cannot tell whether "
        "there is a gain (default: %(default)s)",
    )


def add_instability(parser: argparse.ArgumentParser, where: str) -> None:
    """Add the option for refits of the model; `where`: the cohort that is resampled."""
    parser.add_argument(
        "--instability",
        type=int,
        metavar="N",
        help="add the instability of predictions and recommendations over N bootstrap refits, 200 or more, "
        f"to {where}",
    )


def _add_direction(parser: argparse.ArgumentParser) -> None:
    direction = parser.add_mutually_exclusive_group()
    about: dict[str, Any] = {"dest": "event_is_good", "default": None}
    direction.add_argument("--event-is-good", action="store_true", help="1 is the good outcome", **about)
    direction.add_argument("--event-is-bad", action="store_false", help="1 is the bad outcome", **about)


def _add_rule_in_use(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "rule in use",
        "What is valued: by default the arm with the most favorable probability of the validated outcome. As "
        "in `treatsel recommend`, with the first outcome of the model unless there are preferences.",
    )
    group.add_argument("--rule", choices=RULES, help="rule by which arms are recommended")
    group.add_argument(
        "--p-switch",
        type=float,
        metavar="P",
        help="probability above which switch leaves the best arm",
    )
    group.add_argument("--margin", type=float, help="smallest difference that matters")
    group.add_argument(
        "--preferences", type=Path, metavar="FILE", help="YAML or JSON file of preferences; see `recommend`"
    )
    group.add_argument(
        "--eligibility", type=Path, metavar="FILE", help="YAML or JSON file of rules that exclude arms"
    )
    group.add_argument(
        "--recommendations",
        type=Path,
        metavar="TABLE",
        help=f"instead of a rule: {TABLE} with the id and the recommended arm in the column arm (as "
        "`treatsel recommend --out` writes it; no arm: the patient keeps the one received), or a column of "
        "shares per arm",
    )


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
    given = [*args.files, args.predictions, args.codebook, args.development, *(args.imputations or [])]
    given += [args.plan, args.preferences, args.eligibility, args.recommendations]
    check_report_files(args, given)
    if args.store and args.predictions is not None:
        raise InputError("--store needs a model file; predictions alone have none.")
    if args.instability is not None and args.predictions is not None:
        raise InputError("--instability needs a model file; predictions alone cannot be fitted again.")
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
        instability=args.instability,
        n_jobs=args.n_jobs,
        level=args.level,
        rule=args.rule,
        p_switch=args.p_switch,
        margin=args.margin,
        preferences=args.preferences,
        eligibility=args.eligibility,
        plausible_gain=args.plausible_gain,
        **more,
    )
    reports = report_each(lambda outcome: validated(outcome=outcome), outcomes, args)
    if args.store:
        store(args.files[0], reports)
    return 0


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
    """Return recommendations, development cohort and imputed tables, as arguments of `validate`."""
    more: dict[str, Any] = {}
    if args.recommendations is not None:
        more["recommendations"] = _read_recommendations(args.recommendations, cohort, args)
    if args.development is not None:
        more["development"] = Cohort.read(args.development, cohort.codebook, **reading(args))
    if args.imputations and args.predictions is None:
        more["imputations"] = [
            Cohort.read(path, cohort.codebook, **reading(args)) for path in args.imputations
        ]
    elif args.imputations:
        more["imputations"] = [_read_predictions(path, cohort, args) for path in args.imputations]
    return more


def _by_patient(path: Path, cohort: Cohort, args: argparse.Namespace, *others: str) -> pd.DataFrame:
    """Return a table with the patients' ids as index, from the id column (or another one, if it lacks it)."""
    table, name = read_table(path, None, **reading(args)), cohort.codebook.name("id")
    found = next((each for each in (name, *others) if each in table.columns), None)
    if name is None or found is None:
        raise InputError(
            f"{path.name} must contain the patient ids in the column {name or 'of role id'!r}, "
            "and the codebook must give that column the role id."
        )
    table = table.set_index(found)
    table.index = table.index.astype(cohort.frame.index.dtype)
    return table


def _read_recommendations(path: Path, cohort: Cohort, args: argparse.Namespace) -> pd.DataFrame | pd.Series:
    """Return the recommended arms of a file, or the shares of the arms, by patient."""
    table = _by_patient(path, cohort, args, "patient")
    return table["arm"] if "arm" in table else _numbers(table, path)


def _read_predictions(path: Path, cohort: Cohort, args: argparse.Namespace) -> pd.DataFrame:
    """Return the by-arm table of a file, with the patients' ids as index."""
    return _numbers(_by_patient(path, cohort, args), path)


def _numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    given: pd.DataFrame = table.apply(pd.to_numeric, errors="coerce")
    for arm in given:
        if n := int((given[arm].isna() & (table[arm].astype(str).str.strip() != "")).sum()):
            raise InputError(
                f"Column {arm!r} of {path.name} holds {n} cells that are not numbers. Besides ids, the "
                "file may contain only probabilities from 0 to 1, one column per arm; drop other columns."
            )
    return given
