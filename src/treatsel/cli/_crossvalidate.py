"""`treatsel crossvalidate`: a validation report by cross-validation within one cohort."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from treatsel._checks import count_of
from treatsel.artifact import check_can_store, load_model
from treatsel.cli._io import TABLE, add_reading, reading, say, weight
from treatsel.cli._report_files import add_report_files, check_report_files, report_each, store
from treatsel.cli._train import add_missing, add_priors, missing_of, outcomes_of, priors_of
from treatsel.cli._validate import add_instability, add_plausible_gain, named_once
from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.predictions import fingerprint
from treatsel.selector import ESTIMATORS, TreatmentSelector
from treatsel.validation import validate

ROWS, TOLERANCE = 200, 1e-6  # patients whose predictions must be equal for models to be the same


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "crossvalidate",
        help="validate the whole modeling procedure within one cohort, such as a trial",
        description="Fit the model without each fifth of the patients in turn, predict these patients, and "
        "write a validation report of the out-of-fold predictions; print the headline and the main figures.",
    )
    parser.add_argument("cohort", type=Path, help=f"{TABLE}, one patient per row")
    parser.add_argument("--codebook", type=Path, required=True, help="meaning of the columns (YAML or JSON)")
    parser.add_argument(
        "--outcome",
        action="append",
        help="outcome to validate; repeatable (default: every outcome of the codebook)",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="MODEL",
        help="also store the summary in the model file that was trained on this cohort with the same options",
    )
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
    add_priors(parser)
    add_missing(parser)
    add_instability(parser, "the cohort")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the folds (default: %(default)s)")
    parser.add_argument("--n-jobs", type=int, help="folds or refits processed in parallel (default: 1)")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    add_plausible_gain(parser)
    add_reading(parser)
    add_report_files(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Cross-validate, write the requested files, print the headlines."""
    inputs = [args.cohort, args.codebook, args.store, args.priors]
    check_report_files(args, inputs)
    book = Codebook.read(args.codebook)
    book = book.decided() if args.accept_draft else book
    book.check_decided()
    if args.store is not None:
        check_can_store(args.store)
    cohort = Cohort.read(args.cohort, book, **reading(args))
    outcomes = list(outcomes_of(cohort, named_once(args.outcome)))
    check_report_files(args, inputs, outcomes)
    selector = TreatmentSelector(
        arm=str(book.arm),
        estimator=args.estimator,
        priors=priors_of(args, cohort, book.outcomes),
        missing=missing_of(args),
        random_state=args.seed,
        n_jobs=args.n_jobs,
    )
    if args.store is not None:
        _check_same(selector, cohort, outcomes, args.store)
    say(f"Cross-validating on {count_of(len(cohort), 'patient')} ...")
    selector.set_params(n_jobs=None)  # the folds are what is done in parallel
    validated = partial(
        validate,
        selector,
        cohort,
        assignment=dict(args.allocation) if args.allocation else args.assignment,
        comparator=args.comparator,
        instability=args.instability,
        n_jobs=args.n_jobs,
        level=args.level,
        plausible_gain=args.plausible_gain,
        random_state=args.seed,
    )
    reports = report_each(lambda outcome: validated(outcome=outcome), outcomes, args)
    if args.store is not None:
        store(args.store, reports)
    return 0


def _check_same(selector: TreatmentSelector, cohort: Cohort, outcomes: list[str], path: Path) -> None:
    """Check that a model file is what the procedure gives on the whole cohort, by fitting it again."""
    model = load_model(path)
    if lacking := [name for name in outcomes if name not in model.outcomes_]:
        raise InputError(
            f"{path} has no outcomes {lacking}; it has {model.outcomes_}. Name those with --outcome."
        )
    remedy = "Cross-validate the cohort of the model with the options of `treatsel train`."
    if model.fingerprint_ != fingerprint(cohort.X):
        raise InputError(f"{path} was trained on other patients, or with another codebook. {remedy}")
    say(f"Fitting {count_of(len(cohort), 'patient')} as in {path} ...")
    again = clone(selector).fit(cohort, cohort.frame[model.outcomes_])
    for name in model.outcomes_:
        stored, new = (one.predict(cohort.X.head(ROWS), on_invalid="flag") for one in (model, again))
        same = np.allclose(stored.by_arm(name), new.by_arm(name)[model.arms_], atol=TOLERANCE)
        if not same or model.event_is_good_[name] != again.event_is_good_[name]:
            raise InputError(
                f"{path} was trained with other options, such as --estimator, --priors, --missing or --seed. "
                f"{remedy}"
            )
