"""Prediction and fitting with data larger than memory: files in chunks, Dask and Spark.

These are adapters: scheduling is left to the engines, which are imported only when they are used.
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
