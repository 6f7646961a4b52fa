"""`treatsel ask`: ask for the answers that may change the recommendation of one patient, then recommend."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treatsel import questions
from treatsel._checks import check_choice, listed
from treatsel._content import content_of
from treatsel._files import write_text
from treatsel.artifact import load_model
from treatsel.cli._io import add_date, add_json, check_outputs, say_expired, say_safety, weight, write_json
from treatsel.cli._predict import add_service
from treatsel.cli._recommend import add_decision, decision, new_service_text
from treatsel.codebook import Codebook, Field, Target
from treatsel.errors import InputError
from treatsel.preference import outcome_weights
from treatsel.recommendation import Recommendations

MOST_RECORD = 2**20  # bytes of a record
CANNOT_BE_ASKED = "Standard input has ended: the questions that are left were not asked."


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ask",
        help="ask for what may change the recommendation of one patient, then recommend",
        description="Ask in the terminal for the missing answer that is worth most for the choice of an arm, "
        "until no answer would change it, then print the recommendation. Safety items are asked first, in "
        "any case. An empty line means that the answer is not known. Questions are printed on standard "
        "error, the recommendation on standard output.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument(
        "--record", type=Path, help="what is known so far: a JSON or YAML file of column to value"
    )
    parser.add_argument(
        "--question",
        action="append",
        metavar="COLUMN",
        help="covariate that may be asked for; repeatable (default: all)",
    )
    parser.add_argument(
        "--cost",
        type=weight,
        action="append",
        metavar="COLUMN=COST",
        help="burden of a question in units of utility, for example 0.002; repeatable (default: 0)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.005,
        help="smallest gain in utility for which a question is asked (default: %(default)s)",
    )
    add_decision(parser)
    add_service(parser)
    add_date(parser)
    add_json(parser)
    parser.add_argument("--output", type=Path, help="JSON file to write: the record with the answers")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, recommend and write."""
    check_outputs([args.output, args.json], [args.model, args.record])
    selector = load_model(args.model)
    book = selector.codebook_
    for name in args.question or ():
        check_choice("--question", name, book.covariates)
    answers = Answers(book, {} if args.record is None else record_of(args.record))
    weights = decision(args)["preferences"]
    outcome_weights(
        weights, tuple(selector.outcomes_), selector.event_is_good_
    )  # refused before anything is asked
    answers.ask(book.names("safety_item"))
    _ask_what_matters(args, selector, answers)
    answers.ask([name for name in book.covariates if book[name].required])  # without them: out of scope
    recommended = selector.recommend(
        {**dict.fromkeys(book.covariates), **answers.record},
        **decision(args),
        on_invalid="flag",
        date=args.date,
        service=args.service,
    )
    say_expired(recommended.warnings)
    print(text_of(recommended, book))
    write_json(recommended, args.json)
    if args.output is not None:
        write_text(args.output, json.dumps(answers.record, indent=2, ensure_ascii=False) + "\n")
    return 0


def _ask_what_matters(args: argparse.Namespace, selector: Any, answers: "Answers") -> None:
    """Ask the questions that are worth their cost, until there are none, or the input ends."""
    options, book, told = decision(args), selector.codebook_, False
    while not answers.ended:
        record = {**dict.fromkeys((*book.covariates, *book.names("safety_item"))), **answers.record}
        now = selector.recommend(record, **options, on_invalid="flag", date=args.date, service=args.service)
        if not told:
            say_safety(now.warnings)
            told = True
        allowed = [arm for arm in selector.arms_ if arm not in now.columns["excluded"][0]]
        if len(allowed) < 2:
            _say("No answer can change the arm: fewer than two arms are permitted.")
            return
        found = questions.next_question(
            selector,
            {name: value for name, value in answers.record.items() if value is not None},
            [name for name in args.question or book.covariates if name not in answers.asked],
            args.tolerance,
            cost=dict(args.cost) if args.cost else None,
            preferences=options["preferences"],
            allowed=allowed,
            service=args.service,
        )
        wanted = found.pair or (() if found.question is None else (found.question,))
        if not wanted:
            _say(found.reason)
            return
        answers.ask(wanted)


def record_of(path: Path) -> dict[str, Any]:
    """Read a record from a JSON or YAML file.

    Raises
    ------
    InputError
        If the file is not a mapping of texts to single values.
    """
    content = content_of(path, "values of the record", most=MOST_RECORD)
    simple = (str, int, float, bool, type(None))
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, simple) for key, value in content.items()
    ):
        raise InputError(
            f"{path} must hold one patient: a mapping of columns to single values, such as "
            '{"age": 41, "gender": "female"}.'
        )
    return dict(content)


class Answers:
    """A record that is completed by questions in the terminal.

    Parameters
    ----------
    book : Codebook
        Titles, units and allowed values.
    record : dict
        What is known at the start; not changed.
    """

    def __init__(self, book: Codebook, record: Mapping[str, Any]) -> None:
        self.book, self.record = book, dict(record)
        self.asked: list[str] = []
        self.ended = False

    def ask(self, names: Any) -> None:
        """Ask for columns that are neither known nor asked for yet, one by one."""
        for name in names:
            if self.ended:
                return
            if name not in self.asked and not self._knows(self.book[name]):
                self._ask(self.book[name])

    def _knows(self, field: Field) -> bool:
        """Whether the record has a value; one that violates the codebook counts, and is reported later."""
        value, codes = field.reader(self.book.missing_values)(self.record.get(field.name))
        return value == value or "wrong_type" in codes

    def _ask(self, field: Field) -> None:
        """Ask for a column again and again, until the answer fits the codebook."""
        read = field.reader(self.book.missing_values)
        _say(f"\nQuestion {len(self.asked) + 1}: {question_of(field, self.book)}")
        while True:
            print("> ", end="", file=sys.stderr, flush=True)
            line = _next_line()
            if line is None:
                self.ended = True
                _say(f"\n{CANNOT_BE_ASKED}")
                return
            value, codes = (None, ()) if not line.strip() else read(line.strip())
            if not set(codes) - {"missing_required"}:
                break
            _say(f"This answer is not allowed. Give {allowed_of(field)}, or an empty line if not known.")
        self.asked.append(field.name)
        self.record[field.name] = _as_json(value, field)
        if field.flag is not None and value is not None and Target.parse(field.flag).holds(value):
            _say(f"SAFETY ITEM: the answer to {self.book.label(field.name)} needs attention now.")


def _next_line() -> str | None:
    """Return the next line of standard input; None if it has ended."""
    try:
        line = sys.stdin.readline() if sys.stdin is not None else ""
    except UnicodeDecodeError:
        raise InputError(
            "Standard input is not in the encoding of this terminal. Set PYTHONIOENCODING, such as to utf-8."
        ) from None
    return line or None


def _as_json(value: Any, field: Field) -> Any:
    """Return a clean value as it is written to a record: a text, a number or None."""
    if value is None or value != value:
        return None
    if isinstance(value, float) and (field.type in ("integer", "boolean")):
        return int(value)
    return value


def question_of(field: Field, book: Codebook) -> str:
    """Return a question in one line: title, name, unit and what is allowed."""
    title = book.label(field.name)
    name = "" if title == field.name else f" ({field.name})"
    unit = f", in {field.unit}" if field.unit else ""
    text = f": {field.description}" if field.description else ""
    return f"{title}{name}{unit}{text}. Give {allowed_of(field)}; an empty line if not known."


def allowed_of(field: Field) -> str:
    """Return what may be answered, with all labels."""
    if field.enum is not None:
        return f"one of {', '.join(map(str, field.enum))}"
    if field.true_values:
        return f"{' or '.join(field.true_values)} (true), {' or '.join(field.false_values)} (false)"
    return field.allowed


def text_of(found: Recommendations, book: Codebook) -> str:
    """Return the recommendation of one patient in lines for the terminal, safety items first."""
    row = found.to_dict()["recommendations"][0]
    codes = {"safety_item": "needs attention", "safety_item_missing": "not answered"}
    lines = [
        f"SAFETY ITEM {book.label(column)}: {codes.get(code, 'violates the codebook')}"
        for code, column in zip(found.flags["code"], found.flags["column"], strict=True)  # type: ignore[index]
        if code.startswith("safety_item")
    ]
    arm = "none" if row["arm"] is None else row["arm"]
    lines.append(f"Recommended arm: {arm} ({row['status'].replace('_', ' ')})")
    lines += [f"  {each['code'].replace('_', ' ')}{_about(each)}" for each in row["status_reasons"]]
    lines += [line] if (line := new_service_text(found)) else []
    if row["in_scope"]:  # otherwise its numbers are not to be used
        lines += [f"Best set: {listed(row['best_set'])}"] if row["best_set"] else []
        lines.append("Utility of each arm:")
        width = max(map(len, row["utility"]))
        lines += [f"  {name:{width}}  {value:.3f}" for name, value in row["utility"].items()]
    lines += [f"Not available: {name} ({reason})" for name, reason in row["excluded"].items()]
    return "\n".join([*lines, *(sentence for _, sentence in found.applicability())])


def _about(reason: Mapping[str, Any]) -> str:
    return "" if reason["about"] is None else f": {reason['about']}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
