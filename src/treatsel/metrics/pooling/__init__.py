"""Pooling: the estimates of several sites into one, and of several imputed data sets into one."""

from treatsel.metrics.pooling._imputations import PooledImputations, pool_imputations
from treatsel.metrics.pooling._random_effects import Pooled, pool
from treatsel.metrics.pooling._scales import Scale

__all__ = ["Pooled", "PooledImputations", "Scale", "pool", "pool_imputations"]
