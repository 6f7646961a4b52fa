"""`treatsel allocate`: a plan that gives the scarce places of a service to the patients of a list."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import LOST_HEADER, count_of, has_lost_header, listed
from treatsel._content import content_of
from treatsel._files import is_direct, write_text
from treatsel.allocation import Allocation, allocate
from treatsel.cli._io import TABLE, add_reading, check_outputs, pair, reading, tell, weight, write_table
from treatsel.codebook import number_of
from treatsel.errors import InputError
from treatsel.predictions import header
from treatsel.table import read_table

MOST_JSON = 2**30  # bytes of a file of recommendations
ANY = "any"
LONG = {"arm", "status"}  # columns of the table of `treatsel recommend`, which lacks utilities


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "allocate",
        help="plan who of a list gets which of the scarce places",
        description="Give each patient of a list one arm at most, so that no arm has more patients than "
        "places and the total utility is highest. The result is a plan for the list, not a recommendation "
        "for any patient. One row per patient is written: arm (empty: deferred), utility, best arm, what is "
        "forgone, and whether a draw decided.",
    )
    parser.add_argument(
        "utilities",
        type=Path,
        help="JSON file of `treatsel recommend --json`, whose excluded arms are not allowed; or "
        f"{TABLE} with the patient's id, and one column of utilities per arm",
    )
    parser.add_argument(
        "--capacity",
        type=count,
        action="append",
        required=True,
        metavar="ARM=PLACES",
        help="places of an arm; repeatable (an arm that is not named has no limit)",
    )
    parser.add_argument(
        "--minimum",
        type=count,
        action="append",
        metavar="[GROUP/]ARM=PATIENTS",
        help="smallest number of patients with an arm, or of a group (with --group; GROUP/any: with any "
        "arm); repeatable",
    )
    parser.add_argument(
        "--id", help="column of the patient's id in a table (default: patient, else the first)"
    )
    parser.add_argument("--group", metavar="COLUMN", help="column of a table that holds the patient's group")
    parser.add_argument("--no-defer", action="store_true", help="every patient must get an arm")
    parser.add_argument("--budget", type=float, help="largest total cost; needs --cost")
    parser.add_argument(
        "--cost", type=weight, action="append", metavar="ARM=COST", help="cost of one patient; repeatable"
    )
    parser.add_argument("--json", type=Path, help="JSON file to write as well, with limits and comparison")
    add_reading(parser)
    parser.add_argument("--out", type=Path, help="CSV or Parquet file (default: CSV to standard output)")
    parser.set_defaults(run=run)


def count(text: str) -> tuple[str, int]:
    """Read ``name=whole number``."""
    name, value = pair(text)
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of patients")
    return name, int(value)


def run(args: argparse.Namespace) -> int:
    """Allocate and write."""
    check_outputs([args.out, args.json], [args.utilities])
    if (args.budget is None) != (not args.cost):
        raise InputError("--budget and --cost need each other: a limit, and the cost of each arm.")
    given: Any
    groups = None
    if args.utilities.suffix.lower() == ".json":
        if args.group or args.id:
            raise InputError("--group and --id are for tables; JSON of recommendations has no such column.")
        given = recommended(args.utilities)
        arms: Sequence[Any] = given.arms
    else:
        given, groups = utilities_of(read_table(args.utilities, None, **reading(args)), args.id, args.group)
        arms = list(given.columns)
    plan = allocate(
        given,
        _once("--capacity", args.capacity),
        minimum=_minimums(args.minimum, arms, groups),
        groups=groups,
        defer=not args.no_defer,
        budget=None if args.budget is None else (args.budget, _once("--cost", args.cost)),
    )
    write_table(plan.to_frame().rename_axis(index="patient").reset_index(), args.out)
    if args.json is not None:
        content = {**header("allocation"), **plan.to_dict()}
        write_text(args.json, json.dumps(content, allow_nan=False) + "\n")
    if args.out is not None and not is_direct(args.out):
        tell(summary(plan, args.out))
    return 0


def utilities_of(
    table: pd.DataFrame, id_column: str | None, group: str | None
) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return utilities by patient and arm, and groups, from a table of texts.

    Raises
    ------
    InputError
        If the table is that of `treatsel recommend`, lacks a column or holds something else than numbers.
    """
    names = list(table.columns)
    if has_lost_header(table):
        raise InputError(LOST_HEADER)
    if set(names) >= LONG:
        raise InputError(
            "This table has no utility of each arm. Use the file of `treatsel recommend --json`."
        )
    name = id_column or ("patient" if "patient" in names else names[0])
    for column in (name, group):
        if column is not None and column not in names:
            raise InputError(f"The table has no column {column!r}. It has {listed(names)}.")
    arms = [each for each in names if each not in (name, group)]
    numbers = table[arms].map(number_of)
    if broken := {arm: int(n) for arm, n in numbers.isna().sum().items() if n}:
        counts = ", ".join(f"{arm!r} ({count_of(n, 'cell')})" for arm, n in broken.items())
        raise InputError(
            f"Utilities must be numbers; these columns hold something else, or nothing: {counts}. Correct "
            "them, leave columns out that are no arm, or name the column of the group with --group."
        )
    ids = pd.Index(table[name], name="patient")
    return numbers.set_axis(ids), None if group is None else table[group].set_axis(ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recommended:
    """Utilities, exclusions and statuses of recommendations that were read from a file."""

    arms: tuple[str, ...]
    utility: pd.DataFrame
    columns: dict[str, Any]


def recommended(path: Path) -> Recommended:
    """Read the JSON of recommendations.

    Raises
    ------
    InputError
        If the file is not of that kind.
    """
    content = content_of(path, "recommendations", most=MOST_JSON)
    wrong = InputError(f"{path} does not hold recommendations, as `treatsel recommend --json` writes them.")
    if not isinstance(content, dict) or content.get("kind") != header("recommendations")["kind"]:
        raise wrong
    try:
        rows = content["recommendations"]
        arms = tuple(rows[0]["utility"])
        utility = pd.DataFrame(
            [[row["utility"][arm] for arm in arms] for row in rows],
            index=pd.Index([row["patient"] for row in rows], name="patient"),
            columns=list(arms),
        )
        columns = {
            "excluded": [dict(row["excluded"]) for row in rows],
            "status": np.array([str(row["status"]) for row in rows], dtype=object),
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise wrong from None
    return Recommended(arms=arms, utility=utility, columns=columns)


def _once(option: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a mapping; raise if a name occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError(f"{option} names an arm twice. Each can have one number.")
    return found


def _minimums(
    given: Sequence[tuple[str, int]] | None, arms: Sequence[Any], groups: pd.Series | None
) -> dict[Any, int] | None:
    """Return minimums by arm, or by pair of group and arm (None: any arm)."""
    if not given:
        return None
    found: dict[Any, int] = {}
    for key, n in _once("--minimum", given).items():
        group, sign, arm = key.partition("/")
        if groups is None or key in arms or not sign:
            found[key] = n
        else:
            found[group, None if arm == ANY else arm] = n
    return found


def summary(plan: Allocation, out: Path) -> str:
    """Return what the plan does, in lines for the terminal."""
    n = len(plan.patients)
    lines = [
        f"Wrote {out}: {count_of(n, 'patient')}, {plan.n_treated:,} with an arm; total {plan.value:.3f}."
    ]
    for arm, row in plan.limits.iterrows():
        limit = "no limit" if pd.isna(row["capacity"]) else count_of(int(row["capacity"]), "place")
        lines.append(
            f"  {arm}: {limit}, {count_of(int(row['n_given']), 'patient')}; best arm of "
            f"{int(row['n_first_choice']):,}, of whom {int(row['n_denied']):,} do not get it; one place more "
            f"gains {row['gain_of_one_more']:.3f}"
        )
    if plan.several_optima:
        lines.append("Another plan has the same total: a draw by patient id decided.")
    return "\n".join([*lines, "This is a plan for the list, not a recommendation for any patient."])
