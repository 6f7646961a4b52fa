"""Architecture: imports point down, without cycles or private modules of others; modules stay short.

`LEVELS` is the only definition of the layers. CONTRIBUTING shows it as a table, which is compared with it.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "treatsel"
LEVELS = {
    "cli": 9,
    "serve": 8,
    "scale": 8,
    "monitoring": 8,
    "report": 8,
    "artifact": 7,
    "updating": 7,
    "selector": 6,
    "validation": 6,
    "datasets": 6,
    "fitted": 5,
    "models": 5,
    "model_selection": 5,
    "metrics": 5,
    "questions": 5,
    "modification": 5,
    "recommendation": 4,
    "preference": 4,
    "eligibility": 4,
    "allocation": 4,
    "tree": 4,
    "explanation": 4,
    "cohort": 4,
    "additive": 3,
    "outcome": 3,
    "table": 3,
    "predictions": 3,
    "page": 3,
    "manifest": 2,
    "instrument": 2,
    "codebook": 2,
    "_content": 2,
    "_stats": 2,
    "_checks": 1,
    "_reporting": 1,
    "_jobs": 1,
    "errors": 0,
    "_measures": 0,
    "_files": 0,
    "_disclosure": 0,
    "_lazy": 0,
    "_version": 0,
}
# Order inside a package: later entries may import earlier ones, never the reverse.
INSIDE = {
    "validation": (
        "_lost",
        "_predicted",
        "_task",
        "_rule",
        "_propensity",
        "_small_groups",
        "_policies",
        "_plan",
        "studies",
        "parts",
        "_origin",
        "_eligibility",
        "_assembly",
        "report",
    )
}
SHARED = {
    "_stats",
    "_reporting",
    "_disclosure",
    "_measures",
    "_checks",
    "_files",
}  # private modules that any module may import
LAZY_ONLY = {
    *("matplotlib", "shap", "jinja2", "lightgbm", "numba", "pyarrow", "statsmodels", "skmisc"),
    *("cryptography", "dask", "distributed", "pyspark"),
}
MOST_LINES = {"module": 400, "body": 60}


def name_of(path: Path) -> str:
    parts = ("treatsel", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


def imports(node: ast.AST) -> Iterator[str]:
    """Dotted names that a piece of code imports, also for type checking only and inside functions."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


@cache
def edges(module: str) -> frozenset[str]:
    """Modules of treatsel that a module imports; a name in a module counts as that module."""
    found = set()
    for name in imports(tree_of(module)):
        while name and name not in FILES:
            name = name.rpartition(".")[0]
        if name.startswith("treatsel.") and name != module:
            found.add(name)
    return frozenset(found)


def is_package(module: str) -> bool:
    return FILES[module].name == "__init__.py"


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            start = stack.index(node)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_imports_point_down():
    wrong = []
    for module in FILES:
        if module == "treatsel":
            continue  # the top-level package lists all public names
        here = module.split(".")[1]
        for name in edges(module):
            there = name.split(".")[1]
            if here != there and LEVELS[there] >= LEVELS[here]:
                wrong.append(f"{module} (level {LEVELS[here]}) imports {name} (level {LEVELS[there]})")
    assert not wrong


def test_every_module_has_a_level():
    assert {module.split(".")[1] for module in FILES if module != "treatsel"} == set(LEVELS)


def test_inside_a_package_imports_follow_its_order():
    wrong = []
    for package, order in INSIDE.items():
        for module in FILES:
            parts = module.split(".")
            if len(parts) < 3 or parts[1] != package:
                continue
            for name in edges(module):
                there = name.split(".")
                if there[1] == package and len(there) > 2:
                    if order.index(there[2]) > order.index(parts[2]):
                        wrong.append(f"{module} imports {name}")
                elif there[1] == package:
                    wrong.append(f"{module} imports {name}")
    assert not wrong


def test_no_cycle_between_modules():
    graph = {
        module: {
            name
            for name in edges(module)
            # a package imports its own modules, and these may be imported through it
            if name != "treatsel" and not (is_package(module) and name.startswith(f"{module}."))
        }
        for module in FILES
    }
    assert not circles(graph)


def test_no_cycle_between_packages():
    graph: dict[str, set[str]] = {}
    for module in FILES:
        package = module if is_package(module) else module.rpartition(".")[0]
        own = graph.setdefault(package, set())
        for name in edges(module):
            other = name if is_package(name) else name.rpartition(".")[0]
            nested = (
                other == "treatsel"
                or f"{other}.".startswith(f"{package}.")
                or f"{package}.".startswith(f"{other}.")
            )
            if not nested:
                own.add(other)
    assert not circles(
        {node: {other for other in others if other in graph} for node, others in graph.items()}
    )


def test_no_private_module_is_imported_from_another_package():
    wrong = []
    for module in FILES:
        here = module.split(".")
        for name in edges(module):
            there = name.split(".")
            hidden = next((i for i, part in enumerate(there) if part.startswith("_")), None)
            if hidden is None or len(there) < 3 or there[1] in SHARED:
                continue
            if here[:hidden] != there[:hidden]:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_heavy_packages_are_imported_inside_functions():
    wrong = []
    for module in FILES:
        for statement in tree_of(module).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                heavy = {name.split(".")[0] for name in imports(statement)} & LAZY_ONLY
                wrong += [f"{module} imports {name}" for name in heavy]
    assert not wrong


def test_modules_and_functions_stay_short():
    wrong = []
    for module, path in FILES.items():
        if (n := path.read_text().count("\n")) > MOST_LINES["module"]:
            wrong.append(f"{module}: {n} lines")
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef):
                body = [
                    n
                    for n in node.body
                    if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
                ]
                length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if length > MOST_LINES["body"]:
                    wrong.append(f"{module}.{node.name}: {length} lines")
    assert not wrong


def test_no_function_has_the_name_of_its_module():
    wrong = [
        f"{module}.{node.name}"
        for module in FILES
        for node in tree_of(module).body
        if isinstance(node, ast.FunctionDef) and node.name == module.rpartition(".")[2] != "main"
        if not node.name.startswith("_")
    ]
    assert not wrong


def test_contributing_shows_this_map():
    rows = re.findall(r"^\| (\d) \| (.+?) \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M)
    shown = {name: int(level) for level, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert shown == LEVELS
