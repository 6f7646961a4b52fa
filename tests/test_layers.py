"""Imports point down: a module may import lower levels, never a higher one and never its own."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "treatsel"
LEVELS = {
    "cli": 9,
    "serve": 8,
    "artifact": 7,
    "monitoring": 7,
    "report": 7,
    "scale": 7,
    "selector": 6,
    "validation": 6,
    "manifest": 6,
    "explanation": 6,
    "datasets": 6,
    "models": 5,
    "additive": 3,
    "metrics": 5,
    "serving": 5,
    "recommendation": 4,
    "preference": 4,
    "predictions": 4,
    "cohort": 4,
    "outcome": 3,
    "table": 3,
    "instrument": 2,
    "codebook": 2,
    "_checks": 1,
    "_jobs": 1,
    "errors": 0,
    "_plotting": 0,
    "_html": 0,
    "_lazy": 0,
    "_version": 0,
}
MODULES = sorted(SOURCE.rglob("*.py"))
LAZY_ONLY = {"matplotlib", "shap", "jinja2", "lightgbm", "numba", "pyarrow", "statsmodels", "skmisc"} | {
    "cryptography",
    "dask",
    "distributed",
    "pyspark",
}


def imports(node: ast.AST):
    """All modules that a piece of code imports, as dotted names."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield child.module
            if child.module in {"treatsel", "treatsel.models", "treatsel.metrics", "treatsel.cli"}:
                yield from (f"{child.module}.{alias.name}" for alias in child.names)


def top_level_imports(tree: ast.Module):
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from imports(statement)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if parts == ("__init__",):
        pytest.skip("the package's front door lists all public names")
    level = LEVELS[parts[0]]  # a KeyError means: give the new module its level here and in STYLE
    for name in imports(ast.parse(path.read_text())):
        if not name.startswith("treatsel"):
            continue
        target = name.split(".")[1:]
        if not target:
            continue
        if target[0] == parts[0] and len(parts) > 1:
            inside = ".".join(target[1:])
            private = len(target) < 2 or target[1].startswith("_") or parts[-1] in {"__init__", "main"}
            assert private, f"{path.name} imports its sibling {inside}"
            continue
        assert LEVELS[target[0]] < level, f"{'.'.join(parts)} (level {level}) imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_packages_are_imported_inside_functions(path):
    top = {name.split(".")[0] for name in top_level_imports(ast.parse(path.read_text()))}
    assert not top & LAZY_ONLY


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_and_functions_stay_short(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = [
                n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
            ]
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 60, f"{node.name}: {length} lines"
