"""Disclosure control: the smallest count that is reported."""

SMALLEST_GROUP = 5
