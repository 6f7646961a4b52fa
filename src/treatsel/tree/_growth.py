"""Growth of a tree: the arm of each leaf, the split of each node, and nodes in breadth-first order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.tree._rules import Feature, Node, answers
from treatsel.tree._search import Patients, whole_scores

EXACT = 2  # levels that are searched exactly; deeper trees take their first split from such a search


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """A node with its branches, before the nodes are numbered."""

    rows: np.ndarray
    total: int  # sum of the scores, as whole numbers
    arm: int | None = None
    split: dict[str, Any] | None = None
    yes: "Branch | None" = None
    no: "Branch | None" = None


class Grower:
    """Searches for the best tree of some patients."""

    def __init__(self, features: Sequence[Feature], scores: FloatArray, arms: Sequence[Any]) -> None:
        self._features, self._arms = features, arms
        self._keys = [feature.key for feature in features]
        whole = whole_scores(scores)
        self._scores, self._tolerance = whole.scores, whole.tolerance
        self._texts = sorted(range(len(arms)), key=lambda place: str(arms[place]))
        self.best_arm = self._best_arm(np.arange(len(scores)))

    def grow(self, depth: int, min_leaf: int) -> Branch:
        """Return the best tree with at most `depth` levels of splits."""
        shape = (len(self._features), len(self._scores))
        codes = np.array([feature.codes for feature in self._features], dtype=np.int64).reshape(shape)
        every = Patients(codes, self._scores, min_leaf=min_leaf, tolerance=self._tolerance)
        return self._grow(every, np.arange(len(self._scores)), depth)

    def _grow(self, patients: Patients, rows: np.ndarray, depth: int) -> Branch:
        if depth > EXACT:
            return self._grow_deep(patients, rows, depth)
        for levels in range(depth, 0, -1):  # a level less if it is as good
            if split := self._split(patients, levels):
                return self._branch(patients, rows, split, levels - 1)
        arm = self._best_arm(rows)
        return Branch(rows=rows, total=int(self._scores[rows, arm].sum()), arm=arm)

    def _grow_deep(self, patients: Patients, rows: np.ndarray, depth: int) -> Branch:
        shallow = self._grow(patients, rows, depth - 1)
        split = self._split(patients, EXACT) or self._split(patients, 1)
        if split is None:
            return shallow
        deep = self._branch(patients, rows, split, depth - 1)
        return deep if deep.total > shallow.total + self._tolerance else shallow

    def _split(self, patients: Patients, levels: int) -> tuple[int, int] | None:
        if not self._features:
            return None
        found = patients.best_split(self._keys, levels)
        return None if found is None else (found.feature, found.code)

    def _branch(self, patients: Patients, rows: np.ndarray, split: tuple[int, int], depth: int) -> Branch:
        feature = self._features[split[0]]
        yes = patients.codes[split[0]] <= split[1]
        parts = [self._grow(patients.part(side), rows[side], depth) for side in (yes, ~yes)]
        how = feature.split(split[1])
        how["n_missing"] = int(feature.absent[rows].sum())
        if how["kind"] in ("number", "ordered") and not how["n_missing"]:
            how["missing"] = "yes" if 2 * yes.sum() > len(yes) else "no"
        total = parts[0].total + parts[1].total
        return Branch(rows=rows, total=total, split=how, yes=parts[0], no=parts[1])

    def _best_arm(self, rows: np.ndarray) -> int:
        """Return the arm of the highest sum; a tie goes to the best single arm, then to the first name."""
        total = self._scores[rows].sum(axis=0)
        tied = total >= total.max() - self._tolerance
        best = getattr(self, "best_arm", None)
        if best is not None and tied[best]:
            return int(best)
        return next(place for place in self._texts if tied[place])


def nodes_of(root: Branch, scores: FloatArray, arms: Sequence[Any]) -> tuple[Node, ...]:
    """Return the nodes of a tree, from the top, level by level."""
    waiting, nodes = [(root, 0)], []
    assigned = np.empty(len(scores), dtype=np.intp)
    place = 0
    while place < len(waiting):
        branch, depth = waiting[place]
        place += 1
        node = Node(depth=depth, n=len(branch.rows), value=float("nan"))
        if branch.yes is None or branch.no is None:
            assigned[branch.rows] = int(branch.arm or 0)
            nodes.append(replace(node, arm=arms[int(branch.arm or 0)]))
        else:
            nodes.append(replace(node, yes=len(waiting), no=len(waiting) + 1, **(branch.split or {})))
            waiting += [(branch.yes, depth + 1), (branch.no, depth + 1)]
    own = scores[np.arange(len(scores)), assigned]
    means = [float(own[branch.rows].mean()) for branch, _ in waiting]
    return tuple(replace(node, value=mean) for node, mean in zip(nodes, means, strict=True))


def arms_under(nodes: Sequence[Node], X: pd.DataFrame) -> np.ndarray:
    """Return the arm of each patient, as an array of labels."""
    found = np.empty(len(X), dtype=object)
    waiting = [(0, np.arange(len(X)))]
    while waiting:
        place, rows = waiting.pop()
        node = nodes[place]
        if node.is_leaf or node.yes is None or node.no is None:
            for row in rows:
                found[row] = node.arm
            continue
        yes = answers(node, X[node.column].iloc[rows])
        waiting += [(node.yes, rows[yes]), (node.no, rows[~yes])]
    return found
