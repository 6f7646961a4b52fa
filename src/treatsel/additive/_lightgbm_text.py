"""Trees as the text of a LightGBM model: an export for others, which this library never reads."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treatsel.additive._trees import Trees

_NAN_GOES_RIGHT, _NAN_GOES_LEFT = 8, 10  # how LightGBM writes a split on numbers that may be missing
_TAIL = "end of trees\n\nparameters:\nend of parameters\n\npandas_categorical:null\n"


def lightgbm_text(trees: Trees, features: Sequence[str]) -> str:
    """Return one ensemble in the text format of LightGBM, version 4.

    Parameters
    ----------
    trees : Trees
        One ensemble; `Trees.weighted` makes one of several.
    features : sequence of str
        Names of the columns of the matrix; what is no letter or digit becomes ``_``.

    References
    ----------
    Ke et al. (2017), NeurIPS 30, 3146-3154 (LightGBM); its ``GBDT::SaveModelToString``, ``Tree::ToString``.
    """
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": len(features) - 1,
        "objective": "binary sigmoid:1",
        "feature_names": _names(features),
        "feature_infos": ["[-inf:inf]"] * len(features),
    }
    ends = [*trees.roots[1:], len(trees.feature)]
    blocks = [
        _lines({"Tree": number, **_tree(trees, np.arange(start, end))})
        for number, (start, end) in enumerate(zip(trees.roots, ends, strict=True))
    ]
    return "\n".join(["tree", _lines(head), *blocks, _TAIL])


def _tree(trees: Trees, nodes: np.ndarray) -> dict[str, Any]:
    """Return one tree: inner nodes and leaves numbered apart; -1 is leaf 0 where a child is named."""
    is_leaf = trees.feature[nodes] < 0
    inner, leaves = nodes[~is_leaf], nodes[is_leaf]
    number = np.where(is_leaf, -np.cumsum(is_leaf), np.cumsum(~is_leaf) - 1)
    children = {side: number[getattr(trees, side)[inner] - nodes[0]] for side in ("left", "right")}
    return {
        "num_leaves": len(leaves),
        "num_cat": 0,
        "split_feature": trees.feature[inner],
        "split_gain": np.zeros(len(inner), dtype=int),
        "threshold": trees.threshold[inner],
        "decision_type": np.where(trees.missing_left[inner], _NAN_GOES_LEFT, _NAN_GOES_RIGHT),
        "left_child": children["left"],
        "right_child": children["right"],
        "leaf_value": trees.value[leaves],
        "is_linear": 0,
        "shrinkage": 1,
    }


def _lines(content: Mapping[str, Any]) -> str:
    """Return ``key=value`` lines; floats in the shortest form that gives the same bits."""
    rows = []
    for key, value in content.items():
        values = value.tolist() if isinstance(value, np.ndarray) else value
        rows.append(f"{key}={' '.join(map(str, values)) if isinstance(values, list) else values}")
    return "\n".join([*rows, ""])


def _names(features: Sequence[str]) -> list[str]:
    """Return names that LightGBM takes, all different."""
    plain = [re.sub(r"\W+", "_", feature) for feature in features]
    return [name if plain.count(name) == 1 else f"{name}_{j}" for j, name in enumerate(plain)]
