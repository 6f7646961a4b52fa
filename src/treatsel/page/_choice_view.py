"""A decision in words: what the script of the page writes again when a weight changes.

`page.js` has a function for each of these, with the same name in camel case; tests compare their results.
"""

from dataclasses import dataclass

from treatsel.page._contents import Choice
from treatsel.page._numbers import chance_of_100, of_100, percent, points, tenths
from treatsel.page._strings import fill
from treatsel.page._wording import Wording

ENDS = ("difference", "difference_lower", "difference_upper")
TOGETHER = ("clear_gain", "default_best", "leaning", "equivalent", "undecided")  # statuses with a best set

# strings that head one arm, and several arms that are shown together
HEADINGS = {"undecided": ("unsure_one", "unsure"), "equivalent": ("best", "together")}


@dataclass(frozen=True, kw_only=True)
class ChoiceView:
    """Texts of a decision; `groups`: heading, names of arms, and whether their order means something."""

    status: str
    headline: str
    text: str
    groups: list[tuple[str, list[str], bool]]
    rule: str
    weights: str
    best_set: str
    contrasts: list[list[str]]


def choice_view(choice: Choice, words: Wording) -> ChoiceView:
    """Return the texts of a decision."""
    said = words.strings["status"][choice.status if words.page.eligible else "no_option"]
    leading = leading_arms(choice, words)
    comparator = words.page.rules.comparator
    p_better = p_better_of(choice, leading)
    values = {
        "arm": words.arms(leading),
        "arms": words.arms(sorted(choice.best_set)),
        "comparator": "" if comparator is None else words.arm(comparator),
        "p_better": "" if p_better != p_better else chance_of_100(p_better),
    }
    best_set = [] if choice.status == "out_of_scope" else sorted(choice.best_set)
    return ChoiceView(
        status=choice.status,
        headline=fill(said["headline"], **values),
        text=fill(said["text"], **values),
        groups=groups_of(choice, words),
        rule=rule_text(choice, words),
        weights=weights_text(choice, words),
        best_set=words.arms(best_set) or words.strings["clinician"]["none"],
        contrasts=contrasts_of(choice, words),
    )


def leading_arms(choice: Choice, words: Wording) -> list[int]:
    """Return the top arm, or the arms that are tied for the highest utility."""
    if choice.top is not None:
        return [choice.top]
    eligible = words.page.eligible
    highest = max((choice.utilities[k] for k in eligible), default=0.0)
    return [k for k in eligible if choice.utilities[k] >= highest - words.page.rules.rounding]


def p_better_of(choice: Choice, leading: list[int]) -> float:
    """Return P(better than the comparator) of the leading arms: of tied ones, the lowest."""
    return min((float(choice.comparisons["p_better"][k]) for k in leading), default=float("nan"))


def groups_of(choice: Choice, words: Wording) -> list[tuple[str, list[str], bool]]:
    """Return arms in groups: those that do about equally well together, without an order; then the others.

    Each group is its heading, names of arms, and whether their order means something.
    """
    said, status = words.strings["fit"], choice.status
    eligible = words.page.eligible
    ordered = sorted(eligible, key=lambda k: -choice.utilities[k])
    if status == "out_of_scope":
        return []
    if status == "only_option":
        return [(said["only"], [words.arm(k) for k in eligible], False)]
    if status not in TOGETHER:
        return [(said["order"], [words.arm(k) for k in ordered], True)]
    together = together_of(choice, words)
    one, several = HEADINGS.get(status, ("best", "small"))
    heading = said[several if len(together) > 1 else one]
    rest = [words.arm(k) for k in ordered if k not in together]
    groups = [(heading, [words.arm(k) for k in together], False)]
    return [*groups, (said["rest"], rest, True)] if rest else groups


def together_of(choice: Choice, words: Wording) -> list[int]:
    """Return the arms that are shown together, without an order: the best set.

    Where the top arm is likely to be better than the comparator, the comparator is not among them, although
    an arm drawn from the best set may lose little.
    """
    better = choice.status in ("clear_gain", "leaning")
    return [k for k in sorted(choice.best_set) if not (better and k == words.page.rules.comparator)]


def rule_text(choice: Choice, words: Wording) -> str:
    """Return what the rule suggests, where it is not simply the top arm."""
    if words.page.rules.rule == "expected" or choice.arm is None:
        return ""
    return fill(words.strings["fit"]["rule"], arm=words.arm(choice.arm))


def weights_text(choice: Choice, words: Wording) -> str:
    """Return the weights of everything that can have one."""
    said = words.strings["weights"]
    parts = [
        fill(said["used_one"], phrase=words.phrase(each), percent=of_100(choice.weights.get(each.name, 0.0)))
        for each in words.page.weighed
    ]
    return str(words.strings["list_comma"].join(parts))


def contrasts_of(choice: Choice, words: Wording) -> list[list[str]]:
    """Return one row per eligible arm: utility, difference, probabilities and regret as texts."""
    if choice.status == "out_of_scope":
        return []
    found = choice.comparisons
    return [
        [
            words.arm(k),
            str(of_100(choice.utilities[k])),
            difference_text(choice, k, words),
            percent(found["p_better"][k]),
            percent(found["p_relevantly_better"][k]),
            tenths(found["expected_regret"][k]),
            percent(found["p_regret"][k]),
            percent(found["p_best"][k]),
        ]
        for k in words.page.eligible
    ]


def difference_text(choice: Choice, k: int, words: Wording) -> str:
    """Return the difference to the comparator with its interval."""
    if k == words.page.rules.comparator:
        return str(words.strings["clinician"]["comparator"])
    difference, lower, upper = (choice.comparisons[name][k] for name in ENDS)
    if lower != lower:
        return points(difference)
    return fill(
        words.strings["clinician"]["interval"],
        value=points(difference),
        lower=points(lower),
        upper=points(upper),
    )
