"""Section: clinical utility."""

from treatsel._reporting import plots
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figure, figures_table


def utility(report: ReportData) -> Section:
    """Return decision curves and the net benefit of treatment choice."""
    curve, choice = report.tables["decision curve"], report.tables["choice curve"]
    good = report.good_label
    one = plots.curves(
        curve,
        x="threshold",
        by="strategy",
        xlabel=f"Threshold: lowest probability of {good} at which the received arm is considered worthwhile",
        ylabel="Net benefit, per patient",
        ax=plots.bare_axes,
    )
    top = float(curve["value"].max())
    one.set_ylim(-0.2 * max(top, 0.05), 1.1 * max(top, 0.05))
    best = report.gain.comparator_arm
    strategies = choice[choice["strategy"].eq("model") | choice["arm"].ne(best)].copy()
    strategies.loc[strategies["strategy"].ne("model"), ["lower", "upper"]] = float("nan")
    two = plots.curves(
        strategies,
        x="threshold",
        by="strategy",
        xlabel=f"Increase in the probability of {good} required of any arm other than {best}",
        ylabel=f"Net benefit over {best} for all patients",
        reference=0,
        ax=plots.bare_axes,
    )
    return Section(
        heading="Clinical utility: is the model worth using?",
        paragraphs=[
            "The first figure compares three strategies: an arm is given only to patients whose probability "
            f"of {good} under it reaches a threshold, to all patients, or to none. The second compares the "
            "recommendations with giving the same arm to all patients, if every arm other than the best "
            "single arm has a cost that it must justify. Above 0, choosing by the model is worthwhile."
        ],
        figures=[
            figure(one, "decision", "Decision curves with bands from shared resamples."),
            figure(two, "choice", "Net benefit of treatment choice; the band is that of the model."),
        ],
        tables=[figures_table(report, ["utility"], "Net benefit of treatment choice at three costs.")],
        note="Vickers & Elkin 2006; for choices among several arms, Chalkou et al. 2023. Net benefit counts "
        "a good outcome as 1 and weights each patient treated without success by the odds of the threshold.",
    )
