"""Icon arrays: 100 people as dots, in inline SVG without color names of its own.

References
----------
Zikmund-Fisher et al. (2012), J Med Internet Res 14(4):e106 (static grouped arrays are read best).
"""

COLUMNS, STEP = 10, 12


def icon_array(n: int, lower: int, upper: int) -> str:
    """Return 100 dots, row by row, of which the first `n` are filled.

    Dots after `lower` and up to `upper` have a ring: they are inside the interval. The classes are styled by
    the page: `sure` (filled), `likely` (filled, ring), `possible` (empty, ring), `not` (empty).

    Parameters
    ----------
    n, lower, upper : int
        People of 100, 0 to 100; `lower` is at most `n`, and `upper` at least.

    Returns
    -------
    str
        One ``<svg>`` element. It is hidden from screen readers: the caller describes it.
    """
    lower, upper = min(lower, n), max(upper, n)
    parts = {
        "sure": range(lower),
        "likely": range(lower, n),
        "possible": range(n, upper),
        "not": range(upper, 100),
    }
    size = COLUMNS * STEP
    shapes = []
    for name, dots in parts.items():
        if not len(dots):
            continue
        # lines of no length with round ends are dots: a tenth of the size of 100 circles
        at = "".join(f"M{STEP * (i % COLUMNS) + 6} {STEP * (i // COLUMNS) + 6}h0" for i in dots)
        shapes += [f'<path class="dot {name}" d="{at}"/>', f'<path class="in {name}" d="{at}"/>']
    return f'<svg viewBox="0 0 {size} {size}" aria-hidden="true" focusable="false">{"".join(shapes)}</svg>'
