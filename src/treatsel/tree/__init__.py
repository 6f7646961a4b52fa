"""Policy trees: short rules that assign an arm by one to three splits of the covariates."""

from treatsel.tree._policy_tree import policy_tree
from treatsel.tree._result import Agreement, PolicyTree
from treatsel.tree._rules import Node

__all__ = ["Agreement", "Node", "PolicyTree", "policy_tree"]
