"""What the page shows, as plain data: the recommendation builds it, and the page turns it into words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treatsel._checks import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PageOutcome:
    """One outcome of the patient under each arm.

    Attributes
    ----------
    name, title : str
        Name, and title for readers.
    good : bool or None
        Whether the event is good; None: not stated, so that it cannot be weighed.
    probability, lower, upper : ndarray of shape (n_arms,)
        Probability of the event with its interval; bounds are NaN without draws.
    draws : ndarray of shape (n_draws, n_arms) or None
        Posterior draws, in the order that a recommendation uses.
    enough : sequence of bool of shape (n_arms,)
        Whether an arm had enough events to be compared.
    worst, best : float
        Ends of the range for which the weight is given; without a statement, 0 and 1.
    is_weighed : bool
        Whether the preferences name it, so that it can have a weight.
    source : str
        Where published rates come from; "": predicted by the model.
    """

    name: str
    title: str
    good: bool | None
    probability: FloatArray
    lower: FloatArray
    upper: FloatArray
    draws: FloatArray | None
    enough: Sequence[bool]
    worst: float = 0.0
    best: float = 1.0
    is_weighed: bool = True
    source: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class PageCriterion:
    """What is known of each arm and has a weight, such as waiting time.

    Attributes
    ----------
    name, title, unit : str
        Name, title for readers, and unit ("": none).
    worst, best : float
        Ends of the range for which the weight is given.
    values : ndarray of shape (n_arms,)
        Value of each arm.
    """

    name: str
    title: str
    unit: str
    worst: float
    best: float
    values: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The decision at some weights; arms are positions.

    Attributes
    ----------
    weights : mapping of str to float
        Weight of each outcome that counts; they sum to 1.
    status : str
        One of ``STATUSES``.
    arm, top : int or None
        The arm by the rule, and the one of the highest utility (None: tied).
    best_set : sequence of int
        Arms of the best set.
    utilities : ndarray of shape (n_arms,)
        The compared values, 0 to 1.
    comparisons : mapping of str to ndarray of shape (n_arms,)
        As in `Recommendations.comparisons`.
    reasons : sequence of (code, about)
        As in `Recommendations`.
    """

    weights: Mapping[str, float]
    status: str
    arm: int | None
    top: int | None
    best_set: Sequence[int]
    utilities: FloatArray
    comparisons: Mapping[str, FloatArray]
    reasons: Sequence[tuple[str, Any]] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PageAnswer:
    """A possible answer to a question, and the decision with it.

    Attributes
    ----------
    values : sequence
        The answer, or the lowest and highest of several numbers with the same decision.
    value : Any
        The one of them that was used.
    choice : Choice
        The decision at the given weights.
    excluded : mapping of int to str
        Arms that a patient with this answer may not have, with reasons.
    comparator : int or None
        Position of the arm compared with; None if it is excluded.
    is_open : bool
        Whether another question may be worth asking, which was not calculated.
    then : PageQuestion or None
        The question after this answer.
    """

    values: Sequence[Any]
    value: Any
    choice: Choice
    excluded: Mapping[int, str]
    comparator: int | None
    is_open: bool
    then: "PageQuestion | None" = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PageQuestion:
    """A question with its possible answers.

    Attributes
    ----------
    title, unit : str
        Title and unit of the answer for readers; "" without a unit.
    answers : sequence of PageAnswer
        Possible answers.
    is_range : bool
        Whether the answers are examples of numbers, between which others are possible.
    lists_all : bool
        Whether they are all categories that are allowed.
    """

    title: str
    unit: str
    answers: Sequence[PageAnswer]
    is_range: bool
    lists_all: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """What decides, beside the weights: options of the recommendation, and the constants of its statuses.

    `default` and `comparator` are positions of arms, None for none; `clear`, `leaning`, `ruled_out` and
    `rounding` are the constants that `recommend` uses; `is_capped`: whether utilities are 1 at most.
    """

    rule: str
    margin: float
    level: float
    p_switch: float
    default: int | None
    comparator: int | None
    clear: float
    leaning: float
    ruled_out: float
    rounding: float
    is_capped: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class PatientPage:
    """Everything on the page of one patient.

    Attributes
    ----------
    arms : sequence of str
        Labels of the arms.
    excluded : mapping of int to str
        Arms that the patient may not have, with reasons.
    warned : mapping of int to str
        Arms of which rules of eligibility warn, with reasons.
    outcomes : sequence of PageOutcome
        Outcomes, the main one first.
    criteria : sequence of PageCriterion
        What else has a weight.
    yours, equal, first : Choice
        The decision at the given weights, at equal weights, and by the first outcome alone.
    rules : Rules
        What decides.
    warnings : sequence of (code, about)
        Warnings of the prediction; `about`: title of the column or label of the arm, or None.
    facts : mapping of str to str or None
        Of the audit record: model, library, input, date, service, assignment.
    use : mapping of str to str
        Intended use of the model.
    new_service : Choice or None
        The decision at the given weights at a new service; None if it is not for a known service.
    safety_items, explanation : sequence of str
        Texts that are shown first; why this recommendation, for the clinician.
    questions : PageQuestion or None
        What to ask next, and after each answer; instead of `next_question`.
    next_question, follow_up, patient : str or None
        What to ask next; what to do if this does not work; how the patient is called on the page.
    """

    arms: Sequence[str]
    excluded: Mapping[int, str]
    outcomes: Sequence[PageOutcome]
    yours: Choice
    equal: Choice
    first: Choice
    rules: Rules
    warnings: Sequence[tuple[str, str | None]] = ()
    facts: Mapping[str, str | None]
    warned: Mapping[int, str] = field(default_factory=dict)
    criteria: Sequence[PageCriterion] = ()
    use: Mapping[str, str]
    new_service: Choice | None = None
    safety_items: Sequence[str] = ()
    explanation: Sequence[str] = ()
    questions: PageQuestion | None = None
    next_question: str | None = None
    follow_up: str | None = None
    patient: str | None = None

    @property
    def eligible(self) -> list[int]:
        """Positions of the arms that the patient may have."""
        return [k for k in range(len(self.arms)) if k not in self.excluded]

    @property
    def weighable(self) -> list[PageOutcome]:
        """Outcomes that can have a weight: those whose direction is stated, and that are named."""
        return [each for each in self.outcomes if each.good is not None and each.is_weighed]

    @property
    def weighed_outcomes(self) -> list[PageOutcome]:
        """Outcomes that have a weight in this recommendation."""
        return [each for each in self.outcomes if self.yours.weights.get(each.name)]

    @property
    def weighed(self) -> list[PageOutcome | PageCriterion]:
        """Everything that can have a weight."""
        return [*self.weighable, *self.criteria]
