"""Checks of what a manifest tells of the development: counts, means by arm, observation, performance."""

from collections.abc import Mapping
from typing import Any

from treatsel._measures import labels_of
from treatsel._reporting.text import hidden_in
from treatsel.artifact._json import MAX_TEXT
from treatsel.artifact._values import (
    LARGEST,
    check_number,
    check_numbers,
    is_count,
    is_label,
    part_of,
    records_of,
    require,
)

METRICS = tuple(labels_of("log_loss", "brier_score", "within_arm_auc"))
MEANS = ("value", "lower", "upper", "se", "n")
COUNTS = ("n", "n_observed", "n_events")
OBSERVATION = ("n", "n_observed", "share", "n_truncated", "effective_n")
MOST_CHECKS = 1000  # data checks
PUBLISHED = ("prior", "prior_se", "patients", "patients_se", "difference_sd", "used_se")
MOST_PUBLISHED = 10_000


def check_development(content: Mapping[str, Any], arms: list[Any], outcomes: list[str]) -> None:
    """Check the parts that describe the development; arms and outcomes are checked already."""
    _check_arm_means(part_of(content, "arm_means"), len(arms))
    _check_training(part_of(content, "training"), outcomes, arms)
    _check_default_arm(content, arms, outcomes[0])
    _check_observation(part_of(content, "observation"), outcomes, len(arms))
    _check_performance(part_of(content, "performance"), outcomes)
    _check_data_checks(part_of(content, "data_checks"))
    _check_priors(content.get("priors", {}), outcomes)


def _check_arm_means(means: Any, n_arms: int) -> None:
    for key in MEANS:
        low = 0.0 if key in ("se", "n") else -LARGEST
        absent = key in ("lower", "upper", "se")
        check_numbers(
            part_of(means, key, "arm_means"), n_arms, f"arm_means: {key}", low, LARGEST, absent=absent
        )
    if "p_best" in means:
        check_numbers(means["p_best"], n_arms, "arm_means: p_best", 0, 1, absent=True)
    for lower, value, upper in zip(means["lower"], means["value"], means["upper"], strict=True):
        require((lower is None) == (upper is None), "arm_means have half an interval")
        require(lower is None or lower <= value <= upper, "arm_means are not in order")


def _check_training(rows: Any, outcomes: list[str], arms: list[Any]) -> None:
    cells = []
    for row in records_of(rows, "training"):
        cells.append((str(part_of(row, "outcome", "training")), repr(part_of(row, "arm", "training"))))
        counts = [part_of(row, key, "training") for key in ("n", "n_observed", "n_events")]
        known = [count for count in counts if count is not None]
        require(all(is_count(count) for count in known), "a count of training is not a count")
        require(known == sorted(known, reverse=True), "counts of training are not in order")
        sufficient = part_of(row, "sufficient_events", "training")
        require(isinstance(sufficient, bool), "sufficient_events is neither true nor false")
    pairs = {(outcome, repr(arm)) for outcome in outcomes for arm in arms}
    complete = len(cells) == len(pairs) and set(cells) == pairs
    require(complete, "training does not have each outcome and arm once")


def _check_default_arm(content: Mapping[str, Any], arms: list[Any], main: str) -> None:
    """Require the arm with the largest mean, of those with sufficient events of the main outcome, if any."""
    means = dict(zip(arms, content["arm_means"]["value"], strict=True))
    of_main = (row for row in content["training"] if row["outcome"] == main)
    enough = [row["arm"] for row in of_main if row["sufficient_events"]]
    best = max(means[arm] for arm in enough or arms)
    fits = content["default_arm"] in (enough or arms) and means[content["default_arm"]] == best
    require(fits, "the default arm is not the best by arm_means")


def _check_priors(priors: Any, outcomes: list[str]) -> None:
    fits = isinstance(priors, dict) and set(priors) <= set(outcomes)
    require(fits, "published estimates are of other outcomes")
    for published in priors.values():
        source = part_of(published, "source", "published estimates")
        fits = isinstance(source, str) and len(source) <= MAX_TEXT and not hidden_in(source)
        require(fits, "the source of published estimates is not a text that can be shown")
        require(set(published) == {"source", "rows"}, "published estimates have other keys")
        rows = records_of(part_of(published, "rows", "published estimates"), "published estimates")
        require(len(rows) <= MOST_PUBLISHED, f"there are {len(rows):,} published estimates")
        for row in rows:
            require(set(row) == {"what", *PUBLISHED}, "published estimates have other keys")
            require(is_label(row["what"]), "a published estimate has no name that can be shown")
            for key in PUBLISHED:
                low = 0.0 if key.endswith("_se") else -LARGEST
                check_number(row[key], f"published estimates: {key}", low, LARGEST)


def _check_observation(observation: Any, outcomes: list[str], n_arms: int) -> None:
    require(
        isinstance(observation, dict) and set(observation) <= set(outcomes),
        "observation has other outcomes",
    )
    for table in observation.values():
        for key in OBSERVATION:
            high = 1 if key == "share" else LARGEST
            check_numbers(
                part_of(table, key, "observation"), n_arms, f"observation: {key}", 0, high, absent=True
            )


def _check_data_checks(checks: Any) -> None:
    found = records_of(checks, "data_checks") if checks else []
    require(isinstance(checks, list) and len(found) <= MOST_CHECKS, "data_checks are not a list, or too many")
    for check in found:
        code, message = part_of(check, "code", "a data check"), part_of(check, "message", "a data check")
        fits = is_label(code) and isinstance(message, str) and len(message) <= MAX_TEXT
        require(fits and set(check) == {"code", "message"}, "a data check is not a code and a message")


def _check_performance(performance: Any, outcomes: list[str]) -> None:
    fits = isinstance(performance, dict) and set(performance) == set(outcomes)
    require(fits, "performance has other outcomes")
    for rows in performance.values():
        for row in records_of(rows, "performance"):
            found = [part_of(row, key, "performance") for key in ("predictor", "metric", "n")]
            require(found[0] in ("model", "baseline"), "performance has an unknown predictor")
            require(found[1] in METRICS, "performance has an unknown metric")
            fits = found[2] is None or is_count(found[2])
            require(fits, "a number of patients in performance is not a count")
            value, lower, upper = (part_of(row, key, "performance") for key in ("value", "lower", "upper"))
            for number in (value, lower, upper):
                check_number(number, "performance", -LARGEST, LARGEST, absent=True)
            require((lower is None) == (upper is None), "performance has half an interval")
            fits = lower is None or (value is not None and lower <= value <= upper)
            require(fits, "an interval of performance does not contain its estimate")
