"""Hashes of the rows of a table, by which patients of a development cohort are recognized."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Keys = npt.NDArray[np.uint64]


def row_keys(table: "pd.DataFrame") -> Keys:
    """Return a hash per row of a clean table, independent of the order of columns and of storage types."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, column in sorted(((str(name), column) for name, column in table.items()), key=lambda x: x[0]):
        if pd.api.types.is_numeric_dtype(column.dtype):
            columns[name] = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # -0.0 is 0.0
        else:
            columns[name] = column.astype("object").map(str, na_action="ignore")
    frame = pd.DataFrame(columns, index=table.index)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy(), dtype=np.uint64)


def received_row_keys(covariates: "pd.DataFrame", received: "pd.Series") -> Keys:
    """Return a hash per patient of the covariates and the received arm, whatever the arm column's name."""
    labels = received.astype("object").map(str).set_axis(covariates.index)
    return row_keys(covariates.assign(**{"received arm": labels}))
