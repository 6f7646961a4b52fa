"""`treatsel train`: fit a selector and write a model file."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from treatsel._checks import count_of
from treatsel._files import read_text
from treatsel._stats.keyed_labels import secret_of
from treatsel.artifact import save_model
from treatsel.cli._io import TABLE, add_reading, check_outputs, reading, say, tell
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.manifest import check_intended_use
from treatsel.models import Priors, read_priors
from treatsel.report import DECIDED
from treatsel.selector import ASSIGNMENTS, ESTIMATORS, TreatmentSelector


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="fit a model and write it to a file",
        description="Fit one model per outcome on a development cohort and write a model file.",
    )
    parser.add_argument("cohort", type=Path, help=f"{TABLE}, one patient per row")
    parser.add_argument("--codebook", type=Path, required=True, help="codebook of the cohort (YAML or JSON)")
    parser.add_argument(
        "--accept-draft",
        action="store_true",
        help="take the safe reading of columns that are undecided: they are not used",
    )
    parser.add_argument("--out", type=Path, required=True, help="model file to write, for example m.treatsel")
    parser.add_argument(
        "--intended-use",
        required=True,
        metavar="TEXT",
        help="one sentence on the purpose and population of the model, or @FILE with a YAML mapping",
    )
    parser.add_argument(
        "--outcome",
        action="append",
        metavar="COLUMN",
        help="outcome to predict, main outcome first; repeatable (default: all in the codebook)",
    )
    parser.add_argument(
        "--assignment",
        choices=ASSIGNMENTS,
        help="how arms were assigned; differences between arms are causal effects only after randomization",
    )
    parser.add_argument(
        "--estimator", choices=ESTIMATORS, default="auto", help="model to fit (default: %(default)s)"
    )
    add_priors(parser)
    add_missing(parser)
    parser.add_argument(
        "--therapist-key",
        type=Path,
        metavar="FILE",
        help="keep the effects of therapists in the model file, under labels of the secret key in FILE "
        "(16 bytes or more)",
    )
    add_reading(parser)
    parser.add_argument("--seed", type=int, default=0, help="random seed of the folds (default: %(default)s)")
    parser.add_argument("--n-jobs", type=int, help="parallel jobs (default: 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, fit, save, and print a summary."""
    key = args.therapist_key
    check_outputs([args.out], [args.cohort, args.codebook, args.priors, *([] if key is None else [key])])
    secret = None if key is None else secret_of(key)
    intended_use = check_intended_use(_intended_use(args.intended_use))
    book = Codebook.read(args.codebook)
    book = book.decided() if args.accept_draft else book
    book.check_decided()
    cohort = Cohort.read(args.cohort, book, **reading(args))
    y = outcomes_of(cohort, args.outcome)
    n, n_covariates = count_of(len(cohort), "patient"), count_of(len(cohort.codebook.covariates), "covariate")
    say(f"Fitting {n}, {n_covariates} ...")
    selector = TreatmentSelector(
        arm=str(cohort.codebook.arm),
        estimator=args.estimator,
        assignment=args.assignment,
        priors=priors_of(args, cohort, y.columns),
        missing=missing_of(args),
        random_state=args.seed,
        n_jobs=args.n_jobs,
    ).fit(cohort, y, keep_therapists=secret is not None)
    manifest = save_model(selector, args.out, intended_use=intended_use, therapist_key=secret)
    best, main = selector.arm_means_.loc[selector.default_arm_], selector.outcomes_[0]
    good = main if selector.event_is_good_[main] else f"no {main}"
    arms = count_of(len(selector.arms_), "arm")
    tell(f"Wrote {args.out}: {n}, {arms}, outcomes {selector.outcomes_}.")
    tell(
        f"Best single arm: {selector.default_arm_} ({best['value']:.1%} with {good}, interval "
        f"{best['lower']:.1%} to {best['upper']:.1%}{decided_by(best)}). Model id {manifest.model_id[:12]}."
    )
    return 0


def decided_by(best: pd.Series) -> str:
    """Return how probable it is that an arm is the best one for all patients, as the end of a sentence."""
    if best["p_best"] != best["p_best"]:
        return ""
    undecided = "" if best["p_best"] >= DECIDED else ": arm averages undecided"
    return f"; best for all with probability {best['p_best']:.0%}{undecided}"


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Add the option for the treatment of lost outcomes."""
    parser.add_argument(
        "--missing",
        metavar="YAML",
        help="what accounts for lost outcomes: covariates (and arm alone), or a mapping with shift, unit, "
        "interim and method, such as '{shift: 0.5}' or '{interim: [phq9_w4, phq9_w8]}' (default: covariates, "
        "arm and process columns)",
    )


def missing_of(args: argparse.Namespace) -> Any:
    """Return the value of the option `--missing`; a selector checks its content."""
    try:
        return None if args.missing is None else yaml.safe_load(args.missing)
    except yaml.YAMLError:
        raise InputError(
            f"--missing is no valid YAML: {args.missing!r}. Write such as '{{shift: 0.5}}'."
        ) from None


def add_priors(parser: argparse.ArgumentParser) -> None:
    """Add the option for published estimates."""
    parser.add_argument(
        "--priors",
        type=Path,
        metavar="FILE",
        help="published estimates to take into account (YAML or JSON): for each outcome source, arm_means, "
        "arm_contrasts, contrast_correlation, modifiers, prognosis and null (treatsel.models.read_priors)",
    )


def priors_of(args: argparse.Namespace, cohort: Cohort, outcomes: Iterable[str]) -> dict[str, Priors] | None:
    """Return the published estimates of the option `--priors`, checked against a cohort; None without it."""
    if args.priors is None:
        return None
    return read_priors(args.priors, outcomes=outcomes, X=cohort.X, arm=str(cohort.codebook.arm))


def outcomes_of(cohort: Cohort, names: list[str] | None) -> Any:
    """Return the outcomes of a cohort as a table: those named, or all.

    Raises
    ------
    InputError
        If the codebook has no arm, or no such outcome.
    """
    book = cohort.codebook
    if book.arm is None:
        raise InputError(
            "The codebook has no column with the role arm. Assign it to the column with the received arm."
        )
    names = list(book.outcomes) if names is None else names
    for name in names:
        if name not in book.outcomes:
            raise InputError(f"{name!r} is not an outcome in the codebook; it has {list(book.outcomes)}.")
    if not names:
        raise InputError(
            "The codebook has no column with the role outcome. Assign it to a column of 0s and 1s."
        )
    return cohort.frame[names]


def _intended_use(text: str) -> Any:
    if not text.startswith("@"):
        return text
    try:
        content = yaml.safe_load(read_text(text[1:]))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"Cannot read the intended use from {text[1:]}; it must be a YAML file.") from error
    if not isinstance(content, dict):
        raise InputError(f"{text[1:]} must contain a YAML mapping with the key purpose.")
    return content
