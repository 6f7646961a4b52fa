"""Comparison of methods for treatment selection on simulated processes with known truth and on real trials.

Every method gets one thread, so that times can be compared; this must be set before numpy is imported.
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
