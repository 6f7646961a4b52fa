"""The service of a patient: which site effects a prediction uses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import look_alikes
from treatsel.additive import AdditiveModel, Numbers, site_label
from treatsel.fitted._data import ModelData

if TYPE_CHECKING:
    import pandas as pd


def site_in_record(model: ModelData, record: Mapping[str, Any], service: str) -> dict[str, str | None]:
    """Return the site of a record by its column, None if it is not known; empty if it is not used."""
    if service != "known" or model.site_column is None:
        return {}
    return {model.site_column: _known(model, model.reader.site(record, model.site_column))}


def with_sites(
    model: ModelData, clean: "pd.DataFrame", frame: "pd.DataFrame", service: str
) -> "pd.DataFrame":
    """Return clean covariates with the site of each patient, as `site_in_record`."""
    column = model.site_column
    if service != "known" or column is None:
        return clean
    import pandas as pd

    labels: list[str | None] = [None] * len(clean)
    alike = {own: name for name, own in look_alikes(frame.columns, [column]).items()}
    if (named := alike.get(column, column)) in frame:
        given = frame[named].astype("object")
        known = {site: _known(model, site) for site in given.dropna().unique()}
        labels = [known.get(site) for site in given]
    # a column of objects, where None stays None
    return clean.assign(**{column: pd.Series(labels, index=clean.index, dtype="object")})


def numbers(model: AdditiveModel, sites: Sequence[Any], service: str) -> Numbers | None:
    """Return the numbers of sites that `with_sites` or `site_in_record` gave; None without site effects."""
    if model.sites is None:
        return None
    return np.array([model.sites.number_of(site, service) for site in sites], dtype=np.intp)


def services(model: ModelData, sites: Sequence[Any], service: str) -> tuple[str, ...] | None:
    """Return what was used for each patient: "known", "average" or "new"; None without site effects."""
    if model.site_column is None:
        return None
    if service != "known":
        return (service,) * len(sites)
    return tuple("new" if site is None else "known" for site in sites)


def _known(model: ModelData, site: Any) -> str | None:
    label = site_label(site)
    return label if label in model.known_sites else None
