"""Studies that can be used on their own: case mix, transport, sites, optimism, updating, subgroups."""

from treatsel.validation.studies._case_mix import OVERALL, CaseMix, case_mix, columns_of
from treatsel.validation.studies._instability import Instability, instability
from treatsel.validation.studies._internal_external import InternalExternalCV, internal_external_cv
from treatsel.validation.studies._optimism import BootstrapOptimism, bootstrap_optimism
from treatsel.validation.studies._refits import BootstrapRefits
from treatsel.validation.studies._site_figures import SITE_MEASURES, SiteData, pooled_over, site_figures
from treatsel.validation.studies._subgroups import MAX_GROUPS, SubgroupPerformance, subgroup_performance
from treatsel.validation.studies._transport import (
    BalancingWeights,
    TransportedPerformance,
    balancing_weights,
    transport_performance,
)
from treatsel.validation.studies._updating import ModelUpdate, update_closed_test

__all__ = [
    "MAX_GROUPS",
    "OVERALL",
    "SITE_MEASURES",
    "BalancingWeights",
    "BootstrapOptimism",
    "BootstrapRefits",
    "CaseMix",
    "Instability",
    "InternalExternalCV",
    "ModelUpdate",
    "SiteData",
    "SubgroupPerformance",
    "TransportedPerformance",
    "balancing_weights",
    "bootstrap_optimism",
    "case_mix",
    "columns_of",
    "instability",
    "internal_external_cv",
    "pooled_over",
    "site_figures",
    "subgroup_performance",
    "transport_performance",
    "update_closed_test",
]
