"""Conversion of LightGBM's trees to arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from treatsel.additive import Trees
from treatsel.errors import UnsupportedModelError


def trees_of_lightgbm(
    booster: Any, fixed: Mapping[int, float] | None = None, *, base: float | None = None
) -> Trees:
    """Read a LightGBM booster with numeric splits.

    Parameters
    ----------
    booster : lightgbm.Booster
        Fitted with a logistic objective on a float64 matrix.
    fixed : mapping of int to float, optional
        Features with a known value: their splits are resolved here and removed from the tree.
    base : float, optional
        Logit from which a booster with an objective of its own was started; its first tree gets it, as
        LightGBM does with its own objectives. None: the objective is LightGBM's.
    """
    dump = booster.dump_model()
    if (base is None and dump.get("objective") != "binary sigmoid:1") or dump.get("average_output"):
        raise UnsupportedModelError(
            f"LightGBM with objective {dump.get('objective')!r} (or averaged trees) is not a sum on the "
            "logit scale. Use objective 'binary' with sigmoid=1."
        )
    nodes: list[list[float]] = []
    roots = []
    for tree in dump["tree_info"]:
        roots.append(len(nodes))
        _append(nodes, tree["tree_structure"], fixed or {})
    for node in nodes[: roots[1] if len(roots) > 1 else len(nodes)]:
        node[-1] += base if base is not None and node[0] < 0 else 0.0
    feature, threshold, left, right, missing_left, value = (
        np.array(column) for column in zip(*nodes, strict=True)
    )
    return Trees(
        feature=feature.astype(np.int32),
        threshold=threshold.astype(np.float64),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=missing_left.astype(bool),
        value=value.astype(np.float64),
        roots=np.array(roots, dtype=np.int32),
        member=np.zeros(len(roots), dtype=np.int32),
    )


def _append(nodes: list[list[float]], root: Mapping[str, Any], fixed: Mapping[int, float]) -> None:
    """Append the nodes of one tree, parents first."""
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        while "leaf_value" not in node and node["split_feature"] in fixed:
            goes_left = fixed[node["split_feature"]] <= node["threshold"]
            node = node["left_child"] if goes_left else node["right_child"]
        index = len(nodes)
        if parent >= 0:
            nodes[parent][2 + side] = index
        if "leaf_coeff" in node:
            raise UnsupportedModelError("The trees hold linear leaves; set linear_tree=False.")
        if "leaf_value" in node:
            nodes.append([-1, 0.0, index, index, False, node["leaf_value"]])
            continue
        if node["decision_type"] != "<=":
            raise UnsupportedModelError("The trees hold categorical splits; encode categories first.")
        if node["missing_type"] == "Zero":
            raise UnsupportedModelError("The trees treat 0 as missing; set zero_as_missing=False.")
        # LightGBM treats a missing value as 0 if the column had no missing values in training
        missing_left = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
        nodes.append([node["split_feature"], node["threshold"], index, index, missing_left, 0.0])
        waiting += [(node["right_child"], index, 1), (node["left_child"], index, 0)]
