"""The page as one HTML text: template, style, script and data in one file, without any other resource."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from treatsel._reporting.text import visible
from treatsel.page._contents import PageCriterion, PageOutcome, PatientPage
from treatsel.page._view import context_of, is_adjustable
from treatsel.page._wording import Wording

_IN_SCRIPT = ("status", "fit", "weights", "clinician", "list_and", "list_comma")  # words that the script uses


def render(page: PatientPage, strings: Mapping[str, Any]) -> str:
    """Return the page of one patient as one self-contained HTML text.

    Parameters
    ----------
    page : PatientPage
        What is shown.
    strings : mapping
        All words, by `strings_of`.
    """
    words = Wording(page, strings)
    script = _read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        _template().render(
            **context_of(page, words),
            style=_read("page.css"),
            script=script,
            script_digest=digest,
            data=in_script(_data(page, words)) if is_adjustable(page) else "",
        )
    )


@cache
def _template() -> Any:
    """Compile the template once."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(_read("page.html"))


def in_script(data: Any) -> str:
    """Return data as JSON that cannot end the element of a page in which it stands."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(page: PatientPage, words: Wording) -> dict[str, Any]:
    """Return what the script needs to decide as `recommend` does: probabilities, draws, rules, words."""
    return {
        "arms": [visible(words.arm(k)) for k in range(len(page.arms))],
        "eligible": [k in page.eligible for k in range(len(page.arms))],
        "criteria": [_criterion(each, words) for each in page.weighed],
        "rules": vars(page.rules),
        "weights": [page.yours.weights.get(each.name, 0.0) for each in page.weighed],
        "strings": {name: words.strings[name] for name in _IN_SCRIPT},
    }


def _criterion(each: PageOutcome | PageCriterion, words: Wording) -> dict[str, Any]:
    """Return one criterion; what is known of it has no draws, and needs none."""
    shared = {"phrase": visible(words.phrase(each)), "worst": each.worst, "best": each.best}
    if isinstance(each, PageCriterion):
        n_arms = len(words.page.arms)
        return {
            **shared,
            "values": each.values.tolist(),
            "known": True,
            "draws": None,
            "enough": [True] * n_arms,
        }
    return {
        **shared,
        "values": each.probability.tolist(),
        "known": False,
        "draws": None if each.draws is None else _encoded(each.draws),
        "enough": list(each.enough),
    }


def _encoded(draws: np.ndarray) -> str:
    """Return draws by arm as base64 of 64-bit numbers: a share of draws is then the same in the script."""
    return base64.b64encode(np.ascontiguousarray(draws.T, dtype="<f8").tobytes()).decode()


def _read(name: str) -> str:
    return resources.files("treatsel.page").joinpath(name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Return a text with hidden characters as codes; markup is left as it is."""
    return visible(value, keep="\n\t") if type(value) is str else value
