"""Content of YAML and JSON files: bounded in size, and no mapping has a key twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from treatsel import _files
from treatsel._checks import listed
from treatsel.errors import InputError


def content_of(path: Path, what: str, *, most: int) -> Any:
    """Return the content of a YAML file, or of a JSON file if its name ends in ``.json``.

    Dates in YAML remain texts: an impossible one is a fault of its entry, not of the whole file.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it holds, for messages: "rules".
    most : int
        Largest size, bytes.

    Raises
    ------
    InputError
        If the file cannot be read, is larger, or is not valid.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            _check_once([key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        sign: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        text = _files.read_text(path, most=most)
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, Loader)
    except InputError as error:
        raise InputError(f"The {what} {path} {error}") from None
    except OSError as error:
        raise InputError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InputError(f"The {what} {path} are not valid YAML or JSON{where}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_once([key for key, _ in pairs])
    return dict(pairs)


def _check_once(keys: list[str]) -> None:
    if twice := sorted(key for key, n in Counter(keys).items() if n > 1):
        raise InputError(f"have the keys {listed(twice)} twice in one mapping. Give each once.")
