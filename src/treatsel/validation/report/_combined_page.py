"""Page of combined reports: headline, cautions, forest plots, tables."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from treatsel._reporting.format import number, p_value, percent
from treatsel._reporting.page import Page, Section, Table
from treatsel.validation.parts import OVERALL
from treatsel.validation.report.sections import Shown, count, figure, shown, text, three

NOTE = (
    "Random-effects meta-analysis of each estimate on its own scale (Debray et al. 2017): REML, intervals of "
    "Hartung and Knapp, never shorter than the ordinary ones. Prediction interval: where the true value of "
    "one new service is expected to lie."
)


def combined_page(
    title: str,
    headline: str,
    cautions: Sequence[str],
    *,
    table: pd.DataFrame,
    reports: pd.DataFrame,
    not_pooled: Sequence[tuple[str, str]],
    forests: Sequence[tuple[str, Any]],
) -> Page:
    """Return the page; `forests` are the names of measures with the axes of their forest plots."""
    pooled: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "group": ("Group", text),
        "n_reports": ("Reports", count),
        "value": ("Mean", three),
        "lower": ("Lower", three),
        "upper": ("Upper", three),
        "prediction_lower": ("New service, lower", three),
        "prediction_upper": ("New service, upper", three),
        "i2": ("I²", percent),
        "p_value_q": ("p for heterogeneity", p_value),
    }
    about: dict[str, tuple[str, Shown]] = {
        "report": ("Report", text),
        "kind": ("Kind", text),
        "n": ("Patients", count),
        "n_observed": ("Outcome observed", count),
        "comparator": ("Best single arm", text),
        "assignment": ("Assignment probabilities", text),
    }
    sections = [
        Section(
            heading="Reports: what was combined",
            tables=[shown(reports, about, "The reports.")],
        ),
        Section(
            heading="Forest plots: how do services differ?",
            figures=[
                figure(axes, f"forest {k}", f"{name}: each service, the mean, and a new service.")
                for k, (name, axes) in enumerate(forests)
            ],
        ),
        Section(
            heading="Means over services, and what to expect at a new one",
            paragraphs=[
                "Before the model is used at another service, the prediction interval is the relevant result."
            ],
            tables=[shown(table, pooled, "Pooled estimates (groups: overall, or an arm).")],
            note=NOTE,
        ),
    ]
    if not_pooled:
        frame = pd.DataFrame(not_pooled, columns=["Estimate", "Reason"])
        tables = [Table(frame, "Estimates that were not pooled.", words=("Reason",))]
        sections.append(Section(heading="Not pooled: what could not be combined, and why", tables=tables))
    return Page(
        title=title,
        headline=headline,
        cautions=list(cautions),
        facts=[
            ("Reports", number(len(reports), 0)),
            ("Patients with the outcome observed", f"{int(reports['n_observed'].sum()):,}"),
            ("Estimates pooled", f"{int((table['group'] == OVERALL).sum())} overall"),
        ],
        sections=sections,
    )
