"""Section: value of the recommendations."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.page import Figure, Section
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table, table_of


def policies(report: ReportData) -> Section:
    n_policies = int((report.figures["section"] == "policy").sum())
    heading, good = "Does it help to follow the recommendation?", report.good_name
    if not n_policies:
        return Section(heading=heading, paragraphs=[report.headline])
    axes = plots.bare_axes(width=7, height=1.2 + 0.36 * n_policies)
    svg = plots.to_svg(report.plot_policies(axes), name="policies")
    return Section(
        heading=heading,
        paragraphs=[
            f"Expected proportion of patients with {good} if everybody got one and the same arm, and if "
            "everybody got the recommended arm. The recommendation must beat the best single arm, not the "
            "average: comparing patients who happened to get their recommended arm with the others would "
            "show a gain even where there is none."
        ],
        figures=[Figure(svg, f"Expected proportion with {good} under each policy, with intervals.")],
        tables=[
            figures_table(report, ["policy"], "Policies."),
            table_of(
                _with_arms(report.figures[report.figures["section"] == "gain"]),
                "Gains: the recommended arms against simpler policies. The first row is the headline; the "
                "next show it by both ways to name the best single arm. Picked on this very cohort it is a "
                "little too hard on the recommendations; the interval for any pick allows for that.",
            ),
            figures_table(
                report,
                ["naive"],
                "Not a gain: patients who happened to get their recommended arm against the others, and what "
                "the same contrast would show if nobody gained. For comparison with older papers only.",
            ),
        ],
        note=f"Best single arm: {report.gain.comparator_arm}, "
        f"{report.gain.comparator_source}. Doubly robust (AIPW) scores; "
        "Robins, Rotnitzky & Zhao 1994. Weighted estimate: Hajek, from patients who received their "
        f"recommended arm, worth {report.effective_n:.0f} patients of equal weight.",
    )


def _with_arms(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the gains with the arms compared with in the name of the measure."""
    named = gains["measure"].where(gains["group"] == OVERALL, gains["measure"] + ": " + gains["group"])
    return gains.assign(measure=named, group=OVERALL)
