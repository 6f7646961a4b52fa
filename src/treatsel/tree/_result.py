"""`PolicyTree`: a short rule with its value, and how far it reproduces recommendations."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import as_pandas, count_of, listed
from treatsel._disclosure import is_small
from treatsel._reporting.axes import new_axes
from treatsel._reporting.format import percent
from treatsel._reporting.summary import Summarized, Summary, estimate_text
from treatsel._stats.estimate import Estimate
from treatsel.errors import InputError
from treatsel.tree._growth import arms_under
from treatsel.tree._rules import Node


@dataclass(frozen=True, kw_only=True, repr=False)
class Agreement(Summarized):
    """How far a tree reproduces recommendations.

    Attributes
    ----------
    reproduced : float
        Share of patients for whom the tree, fitted to all patients, names the recommended arm.
    reproduced_cross_fitted : float
        The same for trees that were fitted to the other folds; NaN if the tree was not cross-fitted.
    given_up : Estimate
        Mean score under the recommendations minus that under the tree: positive if the recommendations are
        better. Cross-fitted, unless there are too few patients. The scores must not have been used for the
        recommendations (or be out of fold), otherwise this difference is optimistic for these.
    """

    reproduced: float
    reproduced_cross_fitted: float
    given_up: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PolicyTree(Summarized):
    """A rule of few splits that assigns an arm to every patient.

    Attributes
    ----------
    nodes : tuple of Node
        From the top, level by level; the first is the root.
    arms : tuple
        Labels of the arms.
    columns : tuple of str
        Columns that the tree uses.
    n : int
        Number of patients.
    min_leaf : int
        Smallest number of patients of a leaf.
    method : str
        How the tree was searched for.
    value : float
        Mean score of the patients under the tree, in sample.
    single_arms : mapping of arm to float
        Mean score if all patients received this arm.
    best_arm : label
        The best single arm.
    gain : Estimate
        Value of the tree minus that of the best single arm, in sample. It is optimistic: the tree was chosen
        with the scores by which it is judged here.
    cross_fitted_gain : Estimate or None
        The same for trees that were fitted to the other folds, with an interval: what to report. The best
        single arm is that of all patients, which makes the comparison slightly conservative. None: too few
        patients for folds.
    agreement : Agreement or None
        Comparison with recommendations, if these were given.

    References
    ----------
    Athey & Wager (2021), Econometrica 89(1), 133-161. doi:10.3982/ECTA15732
    Zhou, Athey & Wager (2023), Operations Research 71(1), 148-183. doi:10.1287/opre.2022.2271
    """

    nodes: tuple[Node, ...]
    arms: tuple[Any, ...]
    columns: tuple[str, ...]
    n: int
    min_leaf: int
    method: str
    value: float
    single_arms: Mapping[Any, float]
    best_arm: Any
    gain: Estimate
    cross_fitted_gain: Estimate | None
    agreement: Agreement | None = None

    @property
    def depth(self) -> int:
        """Number of levels of splits."""
        return max(node.depth for node in self.nodes)

    def predict(self, X: pd.DataFrame) -> "pd.Series[Any]":
        """Return the arm of each patient.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates, with the columns that the tree uses; others are ignored.

        Returns
        -------
        Series
            Labels of arms, with the index of X.

        Raises
        ------
        InputError
            If a column is missing or has another type.
        """
        X = as_pandas(X)
        if not isinstance(X, pd.DataFrame):
            raise InputError(f"X must be a DataFrame; it is a {type(X).__name__}.")
        if absent := [name for name in self.columns if name not in X.columns]:
            raise InputError(f"X lacks {count_of(len(absent), 'column')} of the tree: {listed(absent)}.")
        return pd.Series(arms_under(self.nodes, X), index=X.index, name="arm", dtype="object")

    def to_text(self) -> str:
        """Return the tree as indented text; numbers of fewer than five patients are not shown."""
        return "\n".join(self._lines(0, ""))

    def _lines(self, place: int, indent: str) -> list[str]:
        node = self.nodes[place]
        if node.yes is None or node.no is None:
            n = "fewer than 5 patients" if is_small(node.n) else count_of(node.n, "patient")
            return [f"{indent}{node.condition} ({n})"]
        told = node.missing == "yes" and node.kind != "missing" and node.n_missing
        also = f" or {node.column} is missing" if told else ""
        yes, no = self._lines(node.yes, f"{indent}    "), self._lines(node.no, f"{indent}    ")
        return [f"{indent}if {node.condition}{also}:", *yes, f"{indent}otherwise:", *no]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node, with the fields of `Node` and the index "node".

        Counts of 1 to 4 patients, and the mean score of so few, are missing.
        """
        table = pd.DataFrame([_disclosed(node) for node in self.nodes])
        table = table.astype(dict.fromkeys(("yes", "no", "n", "n_missing"), "Int64") | {"value": "float64"})
        return table.rename_axis(index="node")

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; labels of arms as text."""
        nodes = [
            {name: _plain(value) for name, value in _disclosed(node).items() if value is not None}
            for node in self.nodes
        ]
        crossed, compared = self.cross_fitted_gain, self.agreement
        return {
            "nodes": [{**node, **({"arm": str(node["arm"])} if "arm" in node else {})} for node in nodes],
            "columns": list(self.columns),
            "n": self.n,
            "min_leaf": self.min_leaf,
            "method": self.method,
            "value": self.value,
            "single_arms": {str(arm): value for arm, value in self.single_arms.items()},
            "best_arm": str(self.best_arm),
            "gain": _without_nan(self.gain.to_dict()),
            "cross_fitted_gain": None if crossed is None else _without_nan(crossed.to_dict()),
            "agreement": None if compared is None else _without_nan(compared.to_dict()),
        }

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the tree: "yes" to the left, "no" to the right.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.annotate` for the nodes.

        Returns
        -------
        matplotlib Axes
        """
        ax = new_axes(ax, width=2.0 + 1.8 * 2 ** min(self.depth, 3), height=1.5 + 1.2 * self.depth)
        places = self._places()
        for number, node in enumerate(self.nodes):
            x, y = places[number]
            for branch, answer in ((node.yes, "yes"), (node.no, "no")):
                if branch is not None:
                    to = places[branch]
                    ax.plot([x, to[0]], [y, to[1]], color="0.5", linewidth=1, zorder=1)
                    middle = ((x + to[0]) / 2, (y + to[1]) / 2)
                    ax.annotate(answer, middle, ha="center", va="center", fontsize=8)
            n = "n < 5" if is_small(node.n) else f"n = {node.n:,}"
            box = {"boxstyle": "round", "facecolor": "0.92" if node.is_leaf else "white", "edgecolor": "0.5"}
            text = {"ha": "center", "va": "center", "zorder": 3, "bbox": box} | kwargs
            ax.annotate(f"{node.condition}\n{n}", (x, y), **text)
        ax.set(xlim=(0, 1), ylim=(-self.depth - 0.5, 0.5))
        ax.set_axis_off()
        return ax

    def _places(self) -> list[tuple[float, float]]:
        """Return the position of each node: a branch is in the middle of its half of the width."""
        found = {0: (0.0, 1.0)}
        for number, node in enumerate(self.nodes):
            low, high = found[number]
            if node.yes is not None and node.no is not None:
                found[node.yes], found[node.no] = (low, (low + high) / 2), ((low + high) / 2, high)
        return [(sum(found[number]) / 2, float(-node.depth)) for number, node in enumerate(self.nodes)]

    def _summary(self) -> Summary:
        crossed = self.cross_fitted_gain
        gain = "not cross-fitted: too few patients" if crossed is None else estimate_text(crossed)
        facts = [
            ("gain over the best single arm, cross-fitted", gain),
            ("in sample (optimistic)", f"{self.gain.value:.3g}"),
            ("best single arm", str(self.best_arm)),
            ("patients", f"{self.n:,}"),
        ]
        if self.agreement is not None:
            facts.append(("reproduces", f"{percent(self.agreement.reproduced)} of the recommendations"))
            facts.append(("value given up", estimate_text(self.agreement.given_up)))
        leaves = sum(node.is_leaf for node in self.nodes)
        headline = f"{count_of(leaves, 'leaf', 'leaves')}, {count_of(self.depth, 'level')}"
        return Summary(title="PolicyTree", headline=headline, facts=facts, note="to_text() shows the rule.")


def _disclosed(node: Node) -> dict[str, Any]:
    """Return the fields of a node, without counts of 1 to 4 patients and means of so few."""
    found = dataclasses.asdict(node)
    hidden = [name for name in ("n", "n_missing") if is_small(found[name])]
    return found | dict.fromkeys([*hidden, *(["value"] if "n" in hidden else [])])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _without_nan(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _without_nan(value) for key, value in values.items()}
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_without_nan(value) for value in values]
    return None if isinstance(values, float) and values != values else _plain(values)
