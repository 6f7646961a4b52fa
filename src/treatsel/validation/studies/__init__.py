"""Studies that also stand alone: case mix, transport, sites, optimism, updating, subgroups."""

from treatsel.validation.studies._case_mix import OVERALL, CaseMix, case_mix, columns_of
from treatsel.validation.studies._internal_external import InternalExternal, internal_external
from treatsel.validation.studies._optimism import Optimism, optimism
from treatsel.validation.studies._site_figures import MEASURES, SiteData, pooled_over, site_figures
from treatsel.validation.studies._subgroups import MOST_GROUPS, Subgroups, subgroups
from treatsel.validation.studies._transport import Transported, TransportWeights, transport, transport_weights
from treatsel.validation.studies._updating import Updating, recalibrate

__all__ = [
    "MEASURES",
    "MOST_GROUPS",
    "OVERALL",
    "CaseMix",
    "InternalExternal",
    "Optimism",
    "SiteData",
    "Subgroups",
    "TransportWeights",
    "Transported",
    "Updating",
    "case_mix",
    "columns_of",
    "internal_external",
    "optimism",
    "pooled_over",
    "recalibrate",
    "site_figures",
    "subgroups",
    "transport",
    "transport_weights",
]
