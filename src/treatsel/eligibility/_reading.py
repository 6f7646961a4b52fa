"""Reading of the content of a rule file, and its check against a codebook; all faults are collected."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from treatsel._checks import as_text, check_unique, count_of, did_you_mean, listed, shortened
from treatsel.codebook import Codebook
from treatsel.eligibility._column import column_of, fitted
from treatsel.eligibility._grammar import Condition, columns_of, parse
from treatsel.eligibility._rule import MOST_RULES, SHARED, Rule, read_rule, read_shared, read_text
from treatsel.errors import Fault, InputError

OF_FILE = ("title", "limits", *SHARED, "rules")


def read_content(
    content: Any, codebook: Codebook | None, arms: Sequence[Any] | None, message: str
) -> tuple[list[dict[str, Any]], str, tuple[str, ...]]:
    """Return the rules of a file as arguments of `Rule`, its title and its limits.

    Raises
    ------
    InputError
        If there are faults; the error starts with `message` and lists all of them.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("rules"), list):
        raise InputError(f"{message}: expected a mapping with a list named rules.")
    if not 0 < len(entries := content["rules"]) <= MOST_RULES:
        raise InputError(f"{message}: it has {len(entries):,} rules; 1 to {MOST_RULES:,} are allowed.")
    shared, faults = read_shared(content)
    faults = [*_unknown_keys(content), *faults]
    title, limits, found = _texts_of(content)
    faults += found
    sound = []
    for number, entry in enumerate(entries, start=1):
        where = _name_of(entry, number)
        parts, found = read_rule(entry, shared, where)
        faults += found
        sound.append((where, parts))
    faults += repeated([parts["id"] for _, parts in sound if "id" in parts])
    if codebook is not None:
        named = [parts.get("arms", ()) for _, parts in sound]
        known = arms_of(codebook, arms, named)
        for where, parts in sound:
            condition = parse(parts["when"]) if "when" in parts else None
            faults += misfits(where, condition, parts.get("arms", ()), codebook, known)
    if faults:
        raise InputError(f"{message} ({count_of(len(faults), 'fault')}):", faults)
    return [parts for _, parts in sound], title, limits


def arms_of(
    codebook: Codebook, arms: Sequence[Any] | None, rules: Iterable[Rule | Sequence[Any]]
) -> tuple[Any, ...]:
    """Return the arms: those given, else those of the codebook, else those that the rules name."""
    if arms is not None:
        check_unique("arms", arms)
        return tuple(arms)
    if codebook.arm is not None and (enum := codebook[codebook.arm].enum) is not None:
        return tuple(enum)
    named = (rule.arms if isinstance(rule, Rule) else rule for rule in rules)
    return tuple({as_text(arm): arm for each in named for arm in each}.values())


def misfits(
    where: str, condition: Condition | None, own: Sequence[Any], codebook: Codebook, arms: Sequence[Any]
) -> list[Fault]:
    """Return what of a rule does not fit a codebook: columns, literals and arms."""
    problems: list[str] = []
    columns = {}
    for name in columns_of(condition) if condition is not None else ():
        column, problem = column_of(codebook, name)
        if column is None:
            problems.append(problem)
        else:
            columns[name] = column
    if condition is not None:
        fitted(condition, columns, problems)
    faults = [Fault(column=None, problem=f"{where}, when: {problem}", remedy="") for problem in problems]
    enum = codebook[codebook.arm].enum if codebook.arm is not None else None
    # a model may lack an arm that the codebook has
    known = list(dict.fromkeys(as_text(arm) for arm in (*arms, *(enum or ()))))
    if unknown := [as_text(arm) for arm in own if as_text(arm) not in known]:
        remedy = f"The arms are {listed(known)}.{did_you_mean(unknown[0], known)}"
        problem = f"{where}, arms: names {listed(unknown)}, which is not an arm."
        faults.append(Fault(column=None, problem=problem, remedy=remedy))
    return faults


def repeated(ids: Sequence[str]) -> list[Fault]:
    twice = sorted(name for name, n in Counter(ids).items() if n > 1)
    remedy = "Give each rule an id of its own."
    return [
        Fault(column=None, problem=f"rule {name!r}: its id occurs more than once.", remedy=remedy)
        for name in twice
    ]


def _name_of(entry: Any, number: int) -> str:
    name = entry.get("id") if isinstance(entry, Mapping) else None
    return f"rule {shortened(' '.join(name.split()))!r}" if isinstance(name, str) else f"rule {number}"


def _unknown_keys(content: Mapping[Any, Any]) -> list[Fault]:
    return [
        Fault(
            column=None,
            problem=f"The file: unknown key {shortened(str(key))!r}.",
            remedy=f"Allowed: {list(OF_FILE)}.{did_you_mean(key, OF_FILE)}",
        )
        for key in content
        if key not in OF_FILE
    ]


def _texts_of(content: Mapping[str, Any]) -> tuple[str, tuple[str, ...], list[Fault]]:
    """Return title and limits of a file, and their faults."""
    found: dict[str, list[str]] = {"title": [], "limits": []}
    faults = []
    for key, texts in found.items():
        value = content.get(key)
        for text in value if key == "limits" and isinstance(value, list) else [value]:
            if text is None or text == "":
                continue
            try:
                texts.append(read_text(text))
            except InputError as error:
                faults.append(Fault(column=None, problem=f"The file, {key}: {error}", remedy=""))
    return " ".join(found["title"]), tuple(found["limits"]), faults
