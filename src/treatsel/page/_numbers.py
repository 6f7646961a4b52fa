"""Numbers as the page shows them; the script of the page rounds in the same way."""

import math

from treatsel._reporting.format import DASH

MINUS = "\u2212"


def of_100(probability: float) -> int:
    """Return the number of people of 100, rounded half up, so that both framings add up to 100."""
    return math.floor(100 * probability + 0.5)


def chance_of_100(probability: float) -> int:
    """Return a posterior probability as 1 to 99 of 100: draws never show that something is certain."""
    return min(max(of_100(probability), 1), 99)


def percent(probability: float) -> str:
    """Return a probability as whole percent; a dash where there is none."""
    return DASH if probability != probability else f"{of_100(probability)} %"


def points(difference: float) -> str:
    """Return a difference as signed whole points; a dash where there is none."""
    if difference != difference:
        return DASH
    found = of_100(difference)
    return f"+{found}" if found > 0 else str(found).replace("-", MINUS)


def tenths(loss: float) -> str:
    """Return a loss, 0 or more, as points with one decimal; a dash where there is none."""
    if loss != loss:
        return DASH
    found = math.floor(1000 * loss + 0.5)
    return f"{found // 10}.{found % 10}"
