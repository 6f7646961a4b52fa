"""The file of a codebook: YAML or JSON."""

import json
from pathlib import Path
from typing import Any

from treatsel._files import read_text
from treatsel.errors import CodebookError


def load(path: Path) -> tuple[str, Any]:
    """Return text and content of a file, which is read once: it may be a pipe."""
    import yaml

    try:
        text = read_text(path)
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise CodebookError(f"Cannot read the codebook {path}: {error.strerror}.") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise CodebookError(f"The codebook {path} is not valid YAML or JSON{where}.") from error
    return text, content
