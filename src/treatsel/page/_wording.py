"""How the page names arms and outcomes, and what it says of each arm."""

import numpy as np

from treatsel.page._contents import PageCriterion, PageOutcome, PatientPage
from treatsel.page._numbers import of_100
from treatsel.page._strings import Strings, fill, joined


class Wording:
    """Names of arms and outcomes of a page in the words of a service.

    Parameters
    ----------
    page : PatientPage
        The page.
    strings : mapping
        Its words.
    """

    def __init__(self, page: PatientPage, strings: Strings) -> None:
        self.page, self.strings = page, strings
        self._arms = [strings["arms"].get(label, {}) for label in page.arms]

    def arm(self, k: int) -> str:
        """Return the name of an arm; without a title its label, in which blanks replace underscores."""
        return str(self._arms[k].get("title", self.page.arms[k].replace("_", " ")))

    def arms(self, positions: list[int]) -> str:
        """Return names of arms as a list in words."""
        return joined(self.strings, [self.arm(k) for k in positions])

    def description(self, k: int) -> str:
        """Return the description of an arm, "" without one."""
        return str(self._arms[k].get("description", ""))

    def note(self, k: int) -> str:
        """Return of what the rules of eligibility warn, "" without a warning."""
        reason = self.page.warned.get(k)
        return fill(self.strings["arms_text"]["warned"], reason=reason) if reason else ""

    def phrase(self, each: PageOutcome | PageCriterion) -> str:
        """Return how a text names what can have a weight: the good result of an outcome, or a title."""
        return self.wanted(each) if isinstance(each, PageOutcome) else each.title

    def event(self, outcome: PageOutcome) -> str:
        """Return how a sentence says that the outcome happens to people."""
        return self._phrase(outcome, "event")

    def no_event(self, outcome: PageOutcome) -> str:
        """Return how a sentence says that it does not happen."""
        return self._phrase(outcome, "no_event")

    def wanted(self, outcome: PageOutcome) -> str:
        """Return how a sentence says the good result."""
        return self.no_event(outcome) if outcome.good is False else self.event(outcome)

    def wanted_probability(self, outcome: PageOutcome) -> np.ndarray:
        """Return the probability of the good result, shape (n_arms,)."""
        return 1 - outcome.probability if outcome.good is False else outcome.probability

    def reasons(self, k: int) -> tuple[list[str], list[str]]:
        """Return what speaks for and against an eligible arm: differences to the others, and given texts.

        A difference that is below the margin and may be chance is no reason. An outcome of which it is not
        stated whether it is good speaks neither for nor against.
        """
        speaks_for: list[str] = []
        against: list[str] = []
        others = [j for j in self.page.eligible if j != k]
        for outcome in self.page.weighable if others else ():
            difference, is_certain = _difference(outcome, k, others, self.page.rules.level)
            n = of_100(difference)
            if n == 0 or (not is_certain and abs(difference) < self.page.rules.margin):
                continue  # small, and may be chance
            text = self._difference(outcome, n, len(others), is_certain)
            (speaks_for if (n > 0) == outcome.good else against).append(text)
        speaks_for += self._arms[k].get("for", [])
        against += self._arms[k].get("against", [])
        if not all(outcome.enough[k] for outcome in self.page.weighed_outcomes):
            against.append(self.strings["arms_text"]["few"])
        return speaks_for, against

    def _difference(self, outcome: PageOutcome, n: int, n_others: int, is_certain: bool) -> str:
        words = self.strings["arms_text"]
        text = fill(
            words["more" if n > 0 else "fewer"],
            d=abs(n),
            phrase=self.event(outcome),
            others=words["others" if n_others > 1 else "other"],
        )
        return text if is_certain else f"{text} {words['chance']}"

    def _phrase(self, outcome: PageOutcome, part: str) -> str:
        known = self.strings["outcomes"]
        return fill(known.get(outcome.name, known["other"])[part], title=outcome.title)


def _difference(outcome: PageOutcome, k: int, others: list[int], level: float) -> tuple[float, bool]:
    """Return how much more probable the event is than under the others on average, and if 0 is excluded."""
    difference = float(outcome.probability[k] - outcome.probability[others].mean())
    if outcome.draws is None:
        return difference, False
    draws = outcome.draws[:, k] - outcome.draws[:, others].mean(axis=1)
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return difference, bool(lower > 0 or upper < 0)
