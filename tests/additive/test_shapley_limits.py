"""Trees of a forged file: explanations are refused before they take all memory."""

import numpy as np
import pytest

from treatsel.additive import Trees, _shapley
from treatsel.errors import UnsupportedModelError


def chain(depth):
    """Return a tree in which each left branch is a leaf: depth + 1 leaves, on paths of at most `depth`."""
    n = 2 * depth + 1
    inner = np.arange(n) % 2 == 0
    inner[-1] = False
    own = np.arange(n, dtype=np.int32)
    return Trees(
        feature=np.where(inner, own // 2 % 5, -1).astype(np.int32),
        threshold=np.linspace(-1, 1, n),
        left=np.where(inner, own + 1, own).astype(np.int32),
        right=np.where(inner, own + 2, own).astype(np.int32),
        missing_left=np.zeros(n, dtype=bool),
        value=np.where(inner, 0.0, own.astype(float)),
        roots=np.zeros(1, dtype=np.int32),
        member=np.zeros(1, dtype=np.int32),
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MAX_CONDITIONS", "conditions"), ("MAX_PATTERNS", "patterns"), ("MAX_PAIRS", "pairs of leaf")],
)
def test_too_many_paths_are_refused(monkeypatch, limit, message):
    trees, rows = chain(100), np.random.default_rng(0).normal(size=(50, 5))
    assert trees.problem(5) is None
    sources = np.arange(5)
    assert len(_shapley.TreeGames.of(trees, rows, sources).paths.width) == 101
    monkeypatch.setattr(_shapley, limit, 100)
    with pytest.raises(UnsupportedModelError, match=rf"{message}.*at most 100 can be explained. Use fewer"):
        _shapley.TreeGames.of(trees, rows, sources)
