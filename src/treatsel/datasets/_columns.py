"""The codebook of a synthetic cohort."""

from typing import Any

from treatsel.codebook import Codebook
from treatsel.datasets._population import EMPLOYMENT, ETHNICITIES, FORMATS, GENDERS

WEEKS = 12


def codebook(arms: tuple[str, ...], *, weekly_scores: bool) -> Codebook:
    """Return the codebook of a cohort with these arms."""
    weeks = [
        _number(f"phq9_w{week}", "session_score", f"PHQ-9 in week {week}", 0, 27, "points")
        for week in range(1, WEEKS + 1)
    ]
    fields = [*_before(arms), *_after(), *(weeks if weekly_scores else []), *_outcomes()]
    return Codebook.from_dict({"fields": fields, "missingValues": [""]})


def _before(arms: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"name": "patient_id", "type": "string", "role": "id", "title": "Patient"},
        {"name": "service", "type": "string", "role": "site", "title": "Service"},
        {"name": "therapist", "type": "string", "role": "therapist", "title": "Therapist"},
        _label("ethnicity", "Ethnic group", ETHNICITIES, role="audit"),
        _number("age", "covariate", "Age", 18, 90, "years"),
        _label("gender", "Gender", GENDERS),
        _number("phq9_start", "covariate", "PHQ-9 before treatment", 0, 27, "points", required=True),
        _number("gad7_start", "covariate", "GAD-7 before treatment", 0, 21, "points", required=True),
        _number("wsas_start", "covariate", "WSAS before treatment", 0, 40, "points"),
        _number(
            "deprivation_decile",
            "covariate",
            "Index of multiple deprivation (1 = most deprived)",
            1,
            10,
            "decile",
        ),
        _label("employment", "Employment", EMPLOYMENT),
        _number("chronicity_months", "covariate", "Duration of the current episode", 1, 360, "months"),
        _number("previous_episodes", "covariate", "Previous episodes (10 = 10 or more)", 0, 10, "episodes"),
        _number(
            "comorbidity_count", "covariate", "Other mental disorders (3 = 3 or more)", 0, 3, "disorders"
        ),
        _flag("long_term_condition", "Long-term physical condition"),
        _flag("living_alone", "Lives alone"),
        _flag("prior_treatment", "Previous treatment for depression"),
        _flag("medication_at_start", "On psychotropic medication before treatment"),
        _label("preferred_format", "Preferred format of treatment", FORMATS),
        _label("arm", "Treatment received", arms, role="arm"),
    ]


def _after() -> list[dict[str, Any]]:
    return [
        _number("sessions_attended", "process", "Sessions attended", 1, 20, "sessions"),
        _number("phq9_last", "session_score", "PHQ-9 at the end of treatment", 0, 27, "points"),
        _number("gad7_last", "session_score", "GAD-7 at the end of treatment", 0, 21, "points"),
    ]


def _outcomes() -> list[dict[str, Any]]:
    recovery = (
        "PHQ-9 below 10 and GAD-7 below 8 when treatment ends or would have ended, in patients at caseness "
        "on either measure at the start; empty if not measured."
    )
    return [
        {
            "name": "recovery",
            "type": "integer",
            "role": "outcome",
            "title": "NHS recovery",
            "description": recovery,
            "event_is_good": True,
            # models then learn from both scores
            "definition": {
                "name": "nhs_recovery",
                "phq_first": "phq9_start",
                "phq_last": "phq9_last",
                "gad_first": "gad7_start",
                "gad_last": "gad7_last",
            },
        },
        {
            "name": "dropout",
            "type": "integer",
            "role": "outcome",
            "title": "Did not complete treatment",
            "description": "Left before the planned end, in most cases after one session.",
            "event_is_good": False,
        },
    ]


def _number(
    name: str, role: str, title: str, low: int, high: int, unit: str, *, required: bool = False
) -> dict[str, Any]:
    constraints = {"minimum": low, "maximum": high, **({"required": True} if required else {})}
    return {
        "name": name,
        "type": "integer",
        "role": role,
        "title": title,
        "unit": unit,
        "constraints": constraints,
    }


def _label(name: str, title: str, options: tuple[str, ...], *, role: str = "covariate") -> dict[str, Any]:
    return {
        "name": name,
        "type": "string",
        "role": role,
        "title": title,
        "constraints": {"enum": list(options)},
    }


def _flag(name: str, title: str) -> dict[str, Any]:
    return {"name": name, "type": "boolean", "role": "covariate", "title": title}
