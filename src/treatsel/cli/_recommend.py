"""`treatsel recommend`: a recommended arm for each patient, with its uncertainty."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from treatsel._checks import count_of
from treatsel._files import is_direct
from treatsel.artifact import load_model
from treatsel.cli._io import (
    TABLE,
    add_date,
    add_json,
    add_reading,
    check_outputs,
    pair,
    reading,
    say_expired,
    say_safety,
    tell,
    weight,
    write_json,
    write_table,
)
from treatsel.cli._predict import add_on_invalid, add_service
from treatsel.errors import InputError
from treatsel.preference import read_preferences
from treatsel.questions import question_tree
from treatsel.recommendation import (
    DEFAULT_MARGIN,
    DEFAULT_P_SWITCH,
    DEFAULT_RULE,
    RULES,
    Recommendations,
)
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "recommend",
        help="recommend an arm for each patient",
        description="Write one row per patient: arm, status with reasons, best set, difference to the "
        "comparator with its interval, P(better than the comparator), expected regret, P(best), and for a "
        "patient out of scope the reasons with their columns. If the codebook declares safety items, their "
        "warnings come first.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("patients", type=Path, help=f"{TABLE}, one patient per row")
    add_decision(parser)
    add_on_invalid(parser)
    add_service(parser)
    add_date(parser)
    add_json(parser)
    add_reading(parser)
    parser.add_argument("--out", type=Path, help="CSV or Parquet file (default: CSV to standard output)")
    add_page(parser)
    parser.set_defaults(run=run)


def add_decision(parser: argparse.ArgumentParser) -> None:
    """Add the options of the decision, apart from the patient."""
    _add_criteria(parser)
    _add_rule(parser)
    parser.add_argument("--level", type=float, default=0.95, help="confidence level (default: %(default)s)")


def _add_criteria(parser: argparse.ArgumentParser) -> None:
    """Add what the patient wants, and which arms are available."""
    parser.add_argument(
        "--weight",
        type=weight,
        action="append",
        metavar="OUTCOME=WEIGHT",
        help="weight of an outcome in the utility; repeatable (default: the main outcome only)",
    )
    parser.add_argument(
        "--preferences",
        type=Path,
        metavar="FILE",
        help="YAML or JSON file with weights, a ranking or other statements about criteria, their "
        "ranges, and values by arm of those that the model does not predict; instead of --weight",
    )
    parser.add_argument(
        "--eligibility",
        type=Path,
        metavar="FILE",
        help="YAML or JSON file of rules that exclude arms or warn of them",
    )
    parser.add_argument(
        "--exclude",
        type=pair,
        action="append",
        metavar="ARM=REASON",
        help="arm that is not available; repeatable",
    )


def _add_rule(parser: argparse.ArgumentParser) -> None:
    """Add what decides between arms."""
    parser.add_argument(
        "--comparator",
        metavar="ARM",
        help="arm with which the others are compared, such as the one otherwise received (default: the best "
        "single arm)",
    )
    parser.add_argument(
        "--rule",
        choices=RULES,
        default=DEFAULT_RULE,
        help="expected: the arm with the highest utility; switch: the comparator unless another is better "
        "with a probability above --p-switch; default: the best single arm (default: %(default)s)",
    )
    parser.add_argument(
        "--p-switch",
        type=float,
        default=DEFAULT_P_SWITCH,
        metavar="P",
        help="probability above which the rule switch leaves the comparator (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=DEFAULT_MARGIN,
        help="smallest difference that matters (default: %(default)s)",
    )


def decision(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_decision` state, as options of `recommend`."""
    return {
        **_preferences(args),
        "eligibility": args.eligibility,
        "excluded": dict(args.exclude) if args.exclude else None,
        "comparator": args.comparator,
        "rule": args.rule,
        "p_switch": args.p_switch,
        "margin": args.margin,
        "level": args.level,
    }


def run(args: argparse.Namespace) -> int:
    """Recommend and write."""
    inputs = [args.model, args.patients, args.preferences, args.eligibility, args.strings]
    check_outputs([args.out, args.json, args.html], inputs)
    if args.strings is not None and args.html is None:
        raise InputError("--strings has words of the page. Add --html FILE, or leave it out.")
    selector = load_model(args.model)
    patients = read_table(args.patients, selector.codebook_, **reading(args))
    recommendations = selector.recommend(
        patients,
        **decision(args),
        on_invalid=args.on_invalid,
        date=args.date,
        service=args.service,
    )
    say_safety(recommendations.warnings)
    say_expired(recommendations.warnings)
    if len(recommendations.patients) == 1 and (line := new_service_text(recommendations)):
        print(f"treatsel: {line}", file=sys.stderr)
    if args.html is not None:
        recommendations.to_html(
            args.html, strings=args.strings, **_reasons(selector, patients, recommendations, args)
        )
    write_json(recommendations, args.json)
    table = recommendations.to_frame()
    write_table(flat(table), args.out)
    if args.out is not None and not is_direct(args.out):  # what is written directly may be standard output
        counts = ", ".join(f"{status} {n:,}" for status, n in table["status"].value_counts().items())
        tell(f"Wrote {args.out}: {count_of(len(table), 'patient')}; {counts}.")
    return 0


def _preferences(args: argparse.Namespace) -> dict[str, Any]:
    if args.preferences is None:
        return {"preferences": dict(args.weight) if args.weight else None}
    if args.weight:
        raise InputError("Give --preferences or --weight, not both.")
    return read_preferences(args.preferences)


def add_page(parser: argparse.ArgumentParser) -> None:
    """Add the options of the page to talk over."""
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="page to talk over with the patient; for one patient only"
    )
    parser.add_argument(
        "--strings",
        type=Path,
        metavar="FILE",
        help="YAML or JSON file with words of the page: a translation, names and descriptions of arms",
    )


def new_service_text(found: Recommendations) -> str:
    """Return what would be recommended to this patient at a new service, in one line.

    "" if that is what is recommended already, or arms are not compared.
    """
    if found.columns["status"][0] == "out_of_scope" or (elsewhere := found.at_new_service()) is None:
        return ""
    row = elsewhere.to_dict()["recommendations"][0]
    better = "" if row["p_better"] is None else f", P(better than {row['comparator']}) {row['p_better']:.2f}"
    arm = "none" if row["arm"] is None else row["arm"]
    return f"At a new service: {arm} ({row['status'].replace('_', ' ')}){better}"


def _reasons(selector: Any, patients: Any, found: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return why this arm and what to ask next, for the page; nothing where no arms are compared.

    Criteria beyond the outcomes of the model are not explained.
    """
    row = found.table.iloc[0]
    n_arms = len(found.arms) - len(row["excluded"])
    compared = len(found.patients) == 1 and row["top"] is not None and n_arms > 1
    if not compared or row["status"] == "out_of_scope" or args.preferences is not None:
        return {}
    preferences = dict(args.weight) if args.weight else None
    comparator = row["comparator"] if row["comparator"] != row["top"] else None
    # safety items explain nothing; an answer that cannot be read must not keep the page from being written
    covariates = patients.drop(columns=list(selector.model_.safety_items), errors="ignore")
    why = selector.explain_recommendation(
        covariates,
        comparator=comparator,
        preferences=preferences,
        excluded=row["excluded"],
        level=args.level,
        date=args.date,
        service=args.service,
    )
    options = {"on_invalid": args.on_invalid, "date": args.date, "service": args.service}
    questions = question_tree(selector, patients, **decision(args), **options)
    return {"explanation": why.sentences(), "next_question": questions}


def flat(table: Any) -> Any:
    """Return recommendations with the patient as a column and no nested cells."""
    table = table.rename_axis(index="patient").reset_index()
    table["status_reasons"] = [" | ".join(map(_shown, reasons)) for reasons in table["status_reasons"]]
    table["best_set"] = [" | ".join(map(str, arms)) for arms in table["best_set"]]
    for name in ("excluded", "warned"):
        table[name] = [json.dumps(reasons) if reasons else "" for reasons in table[name]]
    return table


def _shown(reason: tuple[str, Any]) -> str:
    """Return a reason as ``code``, or ``code: arm, column or outcome``."""
    code, about = reason
    return code if about is None else f"{code}: {about}"
