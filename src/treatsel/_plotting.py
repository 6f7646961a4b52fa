"""Tables in, Axes out: the only file that imports matplotlib, and only inside functions."""
