"""Effects of therapists, kept on request: by their names after a fit, by keyed labels in a file."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from treatsel._checks import check_level
from treatsel._stats.keyed_labels import key_check, keyed_label, secret_of
from treatsel.additive import site_label
from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Labels = Sequence[tuple[str | None, str]]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TherapistEffects:
    """Posterior mean and SD of the effect of each therapist under each arm, in logits.

    Attributes
    ----------
    site, therapist : str or None, str
        Columns that hold the site (None without sites) and the therapist.
    labels : tuple
        Of each row: site and therapist, or a keyed label.
    arms, n, effect, sd : tuple
        Of each row: arm, number of patients (None: suppressed), posterior mean and SD.
    key_check : str or None
        How the key of the labels is recognized; None: the labels are names.
    """

    site: str | None
    therapist: str
    labels: tuple[Any, ...]
    arms: tuple[Any, ...]
    n: tuple[int | None, ...]
    effect: tuple[float, ...]
    sd: tuple[float, ...]
    key_check: str | None = None

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]], site: str | None, therapist: str) -> "TherapistEffects":
        """Return the effects in the columns of a model's `therapist_effects_`."""
        return cls(
            site=site,
            therapist=therapist,
            labels=tuple(zip(columns["site"], columns["therapist"], strict=True)),
            arms=tuple(columns["arm"]),
            n=tuple(columns["n"]),
            effect=tuple(columns["effect"]),
            sd=tuple(columns["sd"]),
        )

    def keyed(self, key: str | Path | bytes) -> "TherapistEffects":
        """Return the effects under labels of a key, in the order of these labels.

        Raises
        ------
        InputError
            If the key is too short, cannot be read, or is not the one of labels that are keyed already.
        """
        secret = secret_of(key)
        if self.key_check is not None:
            self._check(secret)
            return self
        labels = [keyed_label(secret, *label) for label in self.labels]
        # in the order of the names, the position of a row would tell something of them
        order = sorted(range(len(labels)), key=lambda row: (labels[row], str(self.arms[row])))
        return replace(
            self,
            labels=tuple(labels[row] for row in order),
            arms=tuple(self.arms[row] for row in order),
            n=tuple(self.n[row] for row in order),
            effect=tuple(self.effect[row] for row in order),
            sd=tuple(self.sd[row] for row in order),
            key_check=key_check(secret),
        )

    def _check(self, secret: bytes) -> None:
        if not hmac.compare_digest(str(self.key_check), key_check(secret)):
            raise InputError("This is not the key under which the therapists of this model were stored.")

    def to_frame(
        self, table: "pd.DataFrame | None", key: str | Path | bytes | None, level: float
    ) -> "pd.DataFrame":
        """Return the effects, or those of the therapists in a table, with intervals."""
        import pandas as pd

        z = NormalDist().inv_cdf((1 + check_level(level)) / 2)
        names = self._names(table, key)
        rows = [row for row, label in enumerate(self.labels) if label in names]
        found = pd.DataFrame(
            {
                "site": [names[self.labels[row]][0] for row in rows],
                "therapist": [names[self.labels[row]][1] for row in rows],
                "arm": [self.arms[row] for row in rows],
                "n": pd.array([self.n[row] for row in rows], dtype="Int64"),
                "effect": pd.array([self.effect[row] for row in rows], dtype="float64"),
                "sd": pd.array([self.sd[row] for row in rows], dtype="float64"),
            }
        )
        for name, side in (("lower", -z), ("upper", z)):
            found[name] = (found["effect"] + side * found["sd"]).astype("float64")
        order = ["site", "therapist", "arm"]
        return found.sort_values(order, key=lambda column: column.map(str), ignore_index=True)

    def _names(self, table: "pd.DataFrame | None", key: Any) -> dict[Any, tuple[str | None, str]]:
        """Return site and therapist by label, of the therapists in the table."""
        if self.key_check is None:
            if key is not None:
                raise InputError("The therapists of this model have names, not keyed labels. Leave key out.")
            wanted = self.labels if table is None else self._pairs(table)
            return {label: label for label in wanted}
        if table is None or key is None:
            columns = " and ".join(repr(name) for name in (self.site, self.therapist) if name is not None)
            raise InputError(
                "The therapists of this model are stored under keyed labels. Give a table of the therapists "
                f"to be found (with {columns}) and the key."
            )
        secret = secret_of(key)
        self._check(secret)
        return {keyed_label(secret, *pair): pair for pair in self._pairs(table)}

    def _pairs(self, table: "pd.DataFrame") -> Labels:
        """Return the different pairs of site and therapist in a table."""
        columns = [name for name in (self.site, self.therapist) if name is not None]
        if lost := [name for name in columns if name not in getattr(table, "columns", ())]:
            raise InputError(f"The table of therapists has no column {lost[0]!r}. It needs {columns}.")
        sites = [None] * len(table) if self.site is None else map(site_label, table[self.site])
        pairs = dict.fromkeys(zip(sites, map(site_label, table[self.therapist]), strict=True))
        return [
            (site, name) for site, name in pairs if name is not None and (site is not None or not self.site)
        ]
