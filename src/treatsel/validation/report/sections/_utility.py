"""Section: clinical utility."""

from treatsel._reporting import plots
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figure, figures_table


def utility(report: ReportData) -> Section:
    """Net benefit."""
    curve, choice = report.tables["decision curve"], report.tables["choice curve"]
    good = report.good_name
    one = plots.curves(
        curve,
        x="threshold",
        by="strategy",
        xlabel=f"Threshold: least chance of {good} at which the received arm is thought worth giving",
        ylabel="Net benefit, per patient",
        ax=plots.bare_axes(width=7, height=4.2),
    )
    top = float(curve["value"].max())
    one.set_ylim(-0.2 * max(top, 0.05), 1.1 * max(top, 0.05))
    strategies = choice[choice["strategy"].eq("model") | choice["arm"].ne(report.gain.comparator_arm)].copy()
    strategies.loc[strategies["strategy"].ne("model"), ["lower", "upper"]] = float("nan")
    two = plots.curves(
        strategies,
        x="threshold",
        by="strategy",
        xlabel=f"Rise in the chance of {good} that another arm than {report.gain.comparator_arm} must bring",
        ylabel=f"Net benefit over {report.gain.comparator_arm} for everybody",
        reference=0,
        ax=plots.bare_axes(width=7, height=4.6),
    )
    return Section(
        heading="Is it worth using?",
        paragraphs=[
            "The first picture asks: if an arm is given only to patients whose chance of "
            f"{good} under it reaches a threshold, is that better than giving it to all or to none? The "
            "second compares the recommendations with each arm for everybody when every other arm than the "
            "best single one must earn its cost: above 0, choosing pays."
        ],
        figures=[
            figure(one, "decision", "Decision curves with bands from shared resamples."),
            figure(two, "choice", "Net benefit of choosing among arms; the band is that of the model."),
        ],
        tables=[figures_table(report, ["utility"], "Net benefit of choosing at three costs.")],
        note="Vickers & Elkin 2006; for choices among several arms, Chalkou et al. 2023. Net benefit counts "
        "a good outcome as 1 and weighs each patient treated in vain by the odds of the threshold.",
    )
