"""Many patients: files larger than memory, Dask and Spark.

Adapters only: nothing here schedules work, and no engine is imported before it is asked for.
"""

from treatsel.scale._files import predict_file
from treatsel.scale._frames import predict_dask, predict_in_chunks, predict_spark
from treatsel.scale._hierarchical import fit_hierarchical_dask
from treatsel.scale._trees import fit_trees_dask

__all__ = [
    "fit_hierarchical_dask",
    "fit_trees_dask",
    "predict_dask",
    "predict_file",
    "predict_in_chunks",
    "predict_spark",
]
