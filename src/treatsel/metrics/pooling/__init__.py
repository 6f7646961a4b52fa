"""Pooling of estimates over sites (meta-analysis) and over imputed data sets (Rubin's rules)."""

from treatsel.metrics.pooling._gains import pool_gains
from treatsel.metrics.pooling._imputations import RubinPooled, pool_rubin
from treatsel.metrics.pooling._random_effects import MetaAnalysis, random_effects_meta_analysis
from treatsel.metrics.pooling._scales import Scale
from treatsel.metrics.pooling._scales import on_scale as on_scale

__all__ = [
    "MetaAnalysis",
    "RubinPooled",
    "Scale",
    "pool_gains",
    "pool_rubin",
    "random_effects_meta_analysis",
]
