"""What the names of columns suggest about their roles."""

import re
from collections.abc import Collection, Sequence

from treatsel.codebook._direction import SHIPPED

ID_NAMES = {"id", "patient_id", "patient", "pid"}
ARM_NAMES = {"arm", "treatment", "treatment_arm", "therapy"}
SITE_NAMES = {"site", "service", "centre", "center", "clinic", "hospital", "country"}
THERAPIST_NAMES = {
    *("therapist", "clinician", "practitioner", "counsellor", "counselor"),
    *("therapist_id", "clinician_id", "practitioner_id"),
}
UNNAMED = "Unnamed: "  # pandas' name of a column without a name, such as an index written to CSV
_ID_LIKE = re.compile(
    r"^(.*_)?(id|ids|pid|subjid|usubjid|patid|mrn|uid|uuid|guid|rownames|row|record|key|code_?number)$"
    r"|(patient|person|subject|client|record|case|study|hospital|participant|nhs|chi|ss)_?(id|no|nr|num|number)$"
)
_ID_ENDING = re.compile(r"[a-z]ID$")  # PatientID
_OUTCOME_WORDS = {
    *("remission", "remitted", "remitter", "response", "responder", "recovery", "recovered"),
    *(
        "improved",
        "improvement",
        "deterioration",
        "deteriorated",
        "dropout",
        "dropped",
        "relapse",
        "relapsed",
    ),
    *("event", "dead", "death", "died", "caseness", "outcome", "attrition", "withdrawn", "withdrawal"),
    *("discontinued", "discontinuation", "completer", "completed", "noncompletion"),
}
_BASELINE = re.compile(
    r"(^|_)(baseline|base|pre|bl|first|start|screen|screening|intake|admission|prior|previous|past|history|ever"
    r"|lifetime|before|last_(year|month|week|\d+\w*))(_|$)"
    r"|(^|_)(w|wk|week|m|month|d|day|visit|session|t)_?0+$|_0+(m|wk|w|d)$"
)
_LATER = re.compile(  # hamd_6m, phq9_wk4, score_w2, bdi.8m, phq_last, cesd_end, weight_post_lb
    r"_(w|wk|week|m|month|d|day|visit|session)_?\d+$|_\d+_?(m|wk|wks|w|d|months?|weeks?|days?)$"
    r"|_(last|end|post|endpoint|final|follow_?up|fu|discharge)$|_post_(?!code)|^(follow_?up|fu|discharge|final)_"
)
_PERHAPS_LATER = re.compile(
    r"(^|_)(post(?!code|_code|al|nat|grad|part|ure|h|er|op)\w*|change|diff|difference|delta"
    r"|n_?sessions?|sessions?|attended|attendance|completed|completion|completer|discontinu\w*|withdr\w*"
    r"|drop_?outs?|dropped|adverse|side_?effects?|exit|off_?(trt|treatment|drug))(_|$)|_(t|time)_?[1-9]$|[a-z]post$"
    r"|^(wk|week|month|visit|session)_?[1-9]\d*|^t_?[1-9]\d*$"
    r"|^(time|days|duration|surv\w*|futime|los|tte|cens\w*|status|died|dead|death|outcome)$"
)
# Attendance, and how or why treatment ended: what happened in treatment, not a measurement of the patient.
_ENDING = (
    r"(drop_?out|dropped_out|withdrawal|discontinuation|discontinued|leaving|ending|stopping|end|discharge)"
)
_PROCESS = re.compile(
    r"(^|_)(sessions?|appointments?|visits?)_(attended|completed|missed|cancelled|canceled)(_n)?$"
    r"|^(n|no|nr|num|number|number_of|total)_?sessions(_attended)?$|(^|_)(attended|attendance)(_sessions)?$"
    rf"|(^|_)(reason|cause)_(for_|of_)?{_ENDING}(_|$)|(^|_){_ENDING}_(reason|cause|week|session)$"
    r"|^(planned_end|unplanned_end|end_planned|off_?(trt|treatment|drug))$"
)
_ENDING_WORDS = {
    *("dropout", "dropped", "attrition", "withdrawn", "withdrawal", "discontinued", "discontinuation"),
    *("completer", "completed", "noncompletion", "unplanned"),
}
# What may follow the word for an outcome in its name: a time, or how it is coded.
_OUTCOME_ENDING = re.compile(
    r"^((at_)?(\d+_?\w+|[wmd]k?\d+|week_?\d+|month_?\d+|t\d+|end|last|final|post|fu|followup)"
    r"|yn|yes|no|flag|bin|binary|status|event|outcome|ind|indicator|\d+)$"
)


def words_of(name: str) -> str:
    """Return a name in lower case, its words joined by underscores: "Post HDRS.8m" -> "post_hdrs_8m"."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def first_known(names: Sequence[str], known: Collection[str]) -> str | None:
    """Return the first of the names that is one of `known`."""
    return next((name for name in names if name.lower() in known), None)


def is_id_like(name: str) -> bool:
    """Whether a name suggests an identifier of patients or records."""
    return bool(_ID_LIKE.search(words_of(name)) or _ID_ENDING.search(name.strip())) or name == "X"


def is_outcome_name(name: str) -> bool:
    """Whether a name is that of an outcome: one defined by the library, or its word, perhaps with a time."""
    words = words_of(name)
    first, _, rest = words.partition("_")
    return words in SHIPPED or (first in _OUTCOME_WORDS and (not rest or bool(_OUTCOME_ENDING.match(rest))))


def is_outcome_like(name: str) -> bool:
    """Whether a name begins with the word for an outcome, and does not say that it was recorded before."""
    words = words_of(name)
    return words in SHIPPED or (words.split("_")[0] in _OUTCOME_WORDS and not is_baseline(name))


def is_baseline(name: str) -> bool:
    """Whether a name says that the column was recorded before treatment."""
    return bool(_BASELINE.search(words_of(name)))


def is_later(name: str) -> bool:
    """Whether a name says that the column was recorded after treatment began."""
    return bool(_LATER.search(words_of(name))) and not is_baseline(name)


def is_process(name: str) -> bool:
    """Whether a name says that the column records attendance, or how or why treatment ended."""
    return bool(_PROCESS.search(words_of(name))) and not is_baseline(name)


def is_ending(name: str) -> bool:
    """Whether the name of an outcome is that of dropout, by one of its words."""
    return words_of(name).split("_")[0] in _ENDING_WORDS


def may_be_later(name: str) -> bool:
    """Whether a name suggests that the column was recorded after treatment began."""
    return bool(_PERHAPS_LATER.search(words_of(name))) and not is_baseline(name)
