"""Section: value of the recommendations."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.page import Figure, Section
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table, table_of


def policies(report: ReportData) -> Section:
    """Return the value of policies, gains and the naive contrast."""
    n_policies = int((report.figures["section"] == "policy").sum())
    heading, good = "Value of the recommendations: do they improve outcomes?", report.good_label
    if not n_policies:
        return Section(heading=heading, paragraphs=[report.headline])
    svg = plots.to_svg(report.plot_policies(plots.bare_axes), name="policies")
    return Section(
        heading=heading,
        paragraphs=[
            f"Expected proportion of patients with {good} if all patients received the same arm, and if all "
            "received their recommended arm. The recommendations are compared with the best single arm, not "
            "with the average of the arms. The naive contrast between patients who happened to receive their "
            "recommended arm and all others is biased: it can show a gain even if there is none."
        ],
        figures=[Figure(svg, f"Expected proportion with {good} under each policy, with intervals.")],
        tables=[
            figures_table(report, ["policy"], "Policies."),
            table_of(
                _with_arms(report.figures[report.figures["section"] == "gain"]),
                "Gains: the recommended arms against simpler policies. The first rows give the gain over a "
                "best single arm named in advance, and over one selected in this cohort, which is slightly "
                "conservative; the selection-adjusted interval, which accounts for the selection, is the "
                "headline.",
            ),
            figures_table(
                report,
                ["naive"],
                "Naive contrast, not a gain: patients who happened to receive their recommended arm "
                "(concordant) minus all others (discordant), and the value of this contrast expected under "
                "no gain. For comparison with published studies only.",
            ),
        ],
        note=f"Best single arm: {report.gain.comparator_arm}, "
        f"{report.gain.comparator_source}. Doubly robust (AIPW) scores; "
        "Robins, Rotnitzky & Zhao 1994. Weighted estimate: Hajek, from patients who received their "
        f"recommended arm (effective sample size {report.effective_n:.0f}).",
    )


def _with_arms(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the gains with the comparator in the name of the measure."""
    named = gains["measure"].where(gains["group"] == OVERALL, gains["measure"] + ": " + gains["group"])
    return gains.assign(measure=named, group=OVERALL)
