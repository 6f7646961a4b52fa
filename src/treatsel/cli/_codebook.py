"""`treatsel codebook`: draft a codebook from a table."""

import argparse
import sys
from pathlib import Path
from typing import Any

from treatsel._checks import count_of, did_you_mean
from treatsel.cli._io import TABLE, DataOutput, add_reading, check_outputs, pair, reading
from treatsel.codebook import NO_VALUE, ONE_VALUE, Codebook
from treatsel.errors import InputError
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "codebook",
        help="draft a codebook from a table",
        description="Draft a codebook (YAML) from a table: types, roles and ranges, to be reviewed and "
        "corrected by hand.",
    )
    parser.add_argument("cohort", type=Path, help=f"{TABLE}, one patient per row")
    parser.add_argument("--arm", help="column of the received arm (default: guessed from its name)")
    parser.add_argument(
        "--outcome",
        action="append",
        metavar="COLUMN[=good|bad]",
        help="outcome column, and whether 1 is good or bad, for example dropout=bad; repeatable",
    )
    for truth, word in (("true", "yes"), ("false", "no")):
        parser.add_argument(
            f"--{truth}",
            action="append",
            type=pair,
            default=[],
            metavar="COLUMN=TEXT",
            help=f"text of a column that means {truth}, for example dropout={word}; repeatable",
        )
    parser.add_argument(
        "--role",
        action="append",
        type=pair,
        default=[],
        metavar="COLUMN=ROLE",
        help="role of a column: covariate, session_score (a score recorded after treatment began), process "
        "(attendance, reason for ending), none, ...; repeatable",
    )
    parser.add_argument(
        "--safety-item",
        action="append",
        type=pair,
        default=[],
        metavar="COLUMN=COMPARISON",
        help="question that no model sees and that is shown first, and the answers that are flagged, for "
        "example 'phq9_item9=>= 1'; repeatable",
    )
    parser.add_argument("--site", help="column of the site or service")
    parser.add_argument(
        "--missing", action="append", metavar="TEXT", help="text that represents a missing value; repeatable"
    )
    parser.add_argument(
        "--overrides",
        type=Path,
        help="codebook, complete or partial, whose entries replace those of the draft",
    )
    add_reading(parser)
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draft, apply the overrides, and write."""
    check_outputs([args.out], [args.cohort, args.overrides])
    table = read_table(args.cohort, None, **reading(args))
    outcomes = _outcomes(args.outcome or [], set(map(str, table.columns)))
    book = Codebook.infer(
        _recoded(table, args.true, args.false),
        arm=args.arm,
        outcomes=list(outcomes) or None,
        site=args.site,
        missing_values=["", *(args.missing or [])],
    )
    book = book.merge(_edits(args.true, args.false, outcomes, dict(args.role)))
    flags = dict(args.safety_item)
    book = book.merge({"fields": [{"name": k, "role": "safety_item", "flag": v} for k, v in flags.items()]})
    if args.overrides is not None:
        book = book.merge(args.overrides)
    if args.out is None:
        DataOutput().write(book.to_yaml())
    else:
        book.write(args.out)
    print(summary(book), file=sys.stderr)
    return 0


def _recoded(table: Any, true: list[tuple[str, str]], false: list[tuple[str, str]]) -> Any:
    """Return the table with the stated truths as 1 and 0, so that the draft sees them as such."""
    table = table.copy()
    words: dict[str, dict[str, str]] = {}
    for code, pairs in (("1", true), ("0", false)):
        for column, text in pairs:
            words.setdefault(column, {})[text] = code
    for column, meaning in words.items():
        if column not in table.columns:
            raise InputError(f"The table has no column {column!r}.{did_you_mean(column, table.columns)}")
        table[column] = table[column].map(lambda value, meaning=meaning: meaning.get(str(value), value))
    return table


def _outcomes(given: list[str], columns: set[str]) -> dict[str, bool | None]:
    """Return each outcome column named by --outcome, and its direction if it is stated."""
    found: dict[str, bool | None] = {}
    for text in given:
        name, _, word = text.rpartition("=")
        if text in columns or word not in ("good", "bad"):
            found[text] = None
        else:
            found[name] = word == "good"
    return found


def _edits(
    true: list[tuple[str, str]],
    false: list[tuple[str, str]],
    outcomes: dict[str, bool | None],
    roles: dict[str, str],
) -> Any:
    """Return the edits that the options --true, --false, --outcome and --role stand for."""
    edits: dict[str, Any] = {
        name: {"name": name, "event_is_good": good} for name, good in outcomes.items() if good is not None
    }
    for key, pairs in (("trueValues", true), ("falseValues", false)):
        for column, text in pairs:
            edit = edits.setdefault(column, {"name": column})
            edit |= {"type": "boolean", "constraints": None}
            edit.setdefault(key, []).append(text)
            if column in outcomes:
                edit["role"] = "outcome"
    for column, role in roles.items():
        edits.setdefault(column, {"name": column})["role"] = None if role == "none" else role
    return {"fields": list(edits.values())}


def summary(book: Codebook) -> str:
    """Return what a draft guessed and what a person must decide, in lines for the terminal."""
    roles = {role: list(book.names(role)) for role in ("id", "site", "arm", "outcome")}
    counts = ", ".join(f"{role} {names}" if names else f"no {role}" for role, names in roles.items())
    lines = [f"Draft: {counts}, {count_of(len(book.covariates), 'covariate')}. Review it."]
    if len(book.outcomes) > 1:
        lines.append(
            f"Main outcome: {book.outcomes[0]!r}, the first. Another order: --outcome in that order."
        )
    if undecided := book.names("undecided"):
        lines.append(
            f"Undecided ({len(undecided)}): no model is trained until each has a role, or none: --role "
            f"{undecided[0]}=covariate, =session_score or =process (recorded later), =none ..."
        )
    lines += [f"  {name}: {book[name].note}" for name in undecided]
    if items := book.names("safety_item"):
        lines.append(f"Safety items, shown first and seen by no model: {list(items)}.")
    later = book.names("session_score", "process", "date")
    if later:
        lines.append(f"Recorded after treatment began, or dates; not used: {list(later)}.")
    if not book.outcomes:
        lines.append("No outcome was recognized. Name it: --outcome COLUMN=good (1 is good) or =bad.")
        of_two = (f.name for f in book.fields if f.type == "boolean" or len(f.enum or ()) == 2)
        if binary := [name for name in of_two if name in (*book.covariates, *undecided)]:
            lines.append(f"Columns of two values, which an outcome may be: {binary}.")
    unused = [name for name in book.names(None) if name not in undecided]
    if unused:
        lines.append(f"Not used: {unused}.")
    directionless = [name for name in book.outcomes if book[name].event_is_good is None]
    if directionless:
        lines.append(
            f"State event_is_good (true: 1 is good) for {directionless}, or name them here: --outcome "
            f"{directionless[0]}=good or {directionless[0]}=bad."
        )
    constant = [name for name in book.covariates if book[name].note.startswith((NO_VALUE, ONE_VALUE))]
    if constant:
        lines.append(
            f"No value, or a single one: {constant}. Leave such columns out: --role {constant[0]}=none."
        )
    if len(book.missing_values) > 1:
        lines.append(f"Taken as missing: {[text for text in book.missing_values if text]}.")
    coded = [field.name for field in book.fields if "codes of categories" in field.note]
    if coded:
        lines.append(f"Numbers, or codes of categories? {coded}. Codes must be listed as enum.")
    return "\n".join(lines)
