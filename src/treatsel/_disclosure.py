"""TODO docstring."""

SMALLEST_GROUP = 5
