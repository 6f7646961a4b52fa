"""Whether patients are still those of before: one test per covariate and way in which it can drift."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special, stats

from treatsel._checks import FloatArray
from treatsel._stats.intervals import quantile_of, two_sided_p, wilson
from treatsel._stats.two_proportions import chi_squared, fisher, limits_of
from treatsel.monitoring._baseline import WIDTH_SHARE, BaselineColumn
from treatsel.monitoring._finding import FEWEST, NAN, Finding, Part, is_small
from treatsel.monitoring._thresholds import AlarmThresholds

MEAN, SPREAD, SHARES = "standardised mean difference", "ratio of SDs", "Cohen's w of the categories"
MISSING, OUTSIDE = "share missing", "share outside the stored range"
FEWEST_FOR_SPREAD = 100
LEAST_EXPECTED = 5.0  # patients of a category; rarer ones are put together
HIDDEN = "fewer than 5 patients: not told"


def drift(known: Sequence[BaselineColumn], clean: pd.DataFrame, sizes: AlarmThresholds, level: float) -> Part:
    """Return one finding per covariate and test.

    References
    ----------
    Welch (1947), Biometrika 34(1/2), 28-35 (means). doi:10.2307/2332510
    Hedges (1981), Journal of Educational Statistics 6(2), 107-128. doi:10.3102/10769986006002107
    Shoemaker (2003), The American Statistician 57(2), 105-114 (spread). doi:10.1198/0003130031441
    Cohen (1988), Statistical Power Analysis, 2nd ed., chapter 7 (w). doi:10.4324/9780203771587
    Newcombe (1998), Statistics in Medicine 17(8), 873-890 (shares).
    """
    part = Part()
    for column in known:
        for found in _of_column(column, clean[column.name], sizes, level):
            if isinstance(found, Finding):
                part.findings.append(replace(found, n=rounded(found.n, len(clean))))
            else:
                part.not_estimable.append(found)
    unsure = [column for column in known if column.fewest < column.most]
    if unsure:
        names = ", ".join(column.name for column in unsure)
        part.cautions.append(
            "How many of the earlier patients had a value follows from the file only within bounds for: "
            f"{names}. The tests take the bound that is least in favour of an alarm."
        )
    return part


def _of_column(
    known: BaselineColumn, column: pd.Series, sizes: AlarmThresholds, level: float
) -> Iterator[Finding | tuple[str, str]]:
    values = column.dropna()
    if len(column) < FEWEST:
        yield known.name, f"{len(column)} patients; a test needs {FEWEST}"
        return
    if known.kind == "constant":
        yield known.name, "it had one value only, so there is no spread to compare a difference with"
    elif len(values) < FEWEST or known.fewest < FEWEST:
        yield known.name, f"fewer than {FEWEST} values on one side; a test needs as many"
    elif known.kind == "category":
        yield _shares(known, values, sizes, level)
    elif known.kind == "binary" and values.isin([0, 1]).all():
        yield _binary(known, values.to_numpy(dtype=float), sizes, level)
    else:
        yield from _number(known, values.to_numpy(dtype=float), sizes, level)
    yield _missing(known, column, sizes, level)


def _number(
    known: BaselineColumn, values: FloatArray, sizes: AlarmThresholds, level: float
) -> Iterator[Finding | tuple[str, str]]:
    m, n = len(values), known.fewest
    before, now = known.sd * np.sqrt(n / (n - 1)), float(values.std(ddof=1))
    parts = np.array([now**2 / m, before**2 / n])
    se, gap = float(np.sqrt(parts.sum())), float(values.mean()) - known.mean
    df = float(parts.sum() ** 2 / (parts**2 / [m - 1, n - 1]).sum())
    shift = gap / before
    half = quantile_of(level) * float(np.hypot(se / before, shift / np.sqrt(2 * (n - 1))))
    yield Finding(
        section="inputs",
        name=known.name,
        measure=MEAN,
        value=shift,
        lower=shift - half,
        upper=shift + half,
        expected=known.mean,
        found=float(values.mean()),
        n=m,
        p_value=two_sided_p(gap, se, df=df),
        matters=abs(shift) > sizes.mean,
        method="Welch's test; Wald interval in SD of before",
    )
    if not now:
        yield f"{known.name}: {SPREAD}", "all recent values are equal"
    elif m < FEWEST_FOR_SPREAD or n < FEWEST_FOR_SPREAD:
        yield f"{known.name}: {SPREAD}", f"a test of spread needs {FEWEST_FOR_SPREAD} values on both sides"
    else:
        yield _spread(known, values, before, sizes, level)
    if known.lower == known.lower:
        yield _outside(known, values, level)


def _spread(
    known: BaselineColumn, values: FloatArray, before: float, sizes: AlarmThresholds, level: float
) -> Finding:
    """Compare variances on the log scale, with the kurtosis of the recent patients for both."""
    m, now = len(values), float(values.std(ddof=1))
    z = (values - values.mean()) / values.std()
    kurtosis = float((z**4).mean())
    se = float(np.sqrt(sum((kurtosis - (k - 3) / k) / (k - 1) for k in (m, known.fewest))))
    log_ratio = 2 * float(np.log(now / before))
    half = quantile_of(level) * se
    bounds = np.exp((log_ratio + np.array([-half, half])) / 2)
    return Finding(
        section="inputs",
        name=known.name,
        measure=SPREAD,
        value=now / before,
        lower=float(bounds[0]),
        upper=float(bounds[1]),
        expected=before,
        found=now,
        n=m,
        p_value=two_sided_p(log_ratio, se),
        matters=max(now / before, before / now) > sizes.spread,
        method="Wald on the log scale, with the kurtosis",
    )


def _outside(known: BaselineColumn, values: FloatArray, level: float) -> Finding:
    """Test against the share that can at most have lain outside the stored range."""
    m, k = len(values), int(((values < known.lower) | (values > known.upper)).sum())
    return counted("inputs", known.name, OUTSIDE, k, m, most=WIDTH_SHARE, level=level)


def counted(section: str, name: str, measure: str, k: int, m: int, *, most: float, level: float) -> Finding:
    """Return a share of patients with its exact one-sided test against the largest share allowed."""
    if is_small(k, m):
        return Finding(
            section=section,
            name=name,
            measure=measure,
            value=NAN,
            expected=most,
            n=m,
            p_value=1.0,
            method=HIDDEN,
        )
    lower, upper = wilson(np.array([float(k)]), np.array([float(m)]), level)
    p_value = float(special.bdtrc(k - 1, m, most)) if k else 1.0
    return Finding(
        section=section,
        name=name,
        measure=measure,
        value=k / m,
        lower=float(lower[0]),
        upper=float(upper[0]),
        expected=most,
        found=k / m,
        n=m,
        p_value=p_value,
        matters=k / m > most,
        method="exact binomial, against the largest share expected; Wilson interval",
    )


def _binary(known: BaselineColumn, values: FloatArray, sizes: AlarmThresholds, level: float) -> Finding:
    m, k = len(values), int(values.sum())
    counts, totals = _pair(k, m, known.mean * known.fewest, known.fewest)
    if is_small(k, m):
        return _hidden(known, MEAN, m)
    bounds = limits_of("newcombe", counts, totals, level)
    return Finding(
        section="inputs",
        name=known.name,
        measure=MEAN,
        value=(k / m - known.mean) / known.sd,
        lower=bounds.lower / known.sd,
        upper=bounds.upper / known.sd,
        expected=known.mean,
        found=k / m,
        n=m,
        p_value=_two_shares(counts, totals),
        matters=abs(k / m - known.mean) / known.sd > sizes.mean,
        method="chi-square or Fisher's test of shares; Newcombe interval",
    )


def _missing(known: BaselineColumn, column: pd.Series, sizes: AlarmThresholds, level: float) -> Finding:
    """Compare the share missing; where the earlier one is known within bounds, with the nearer one."""
    m, k = len(column), int(column.isna().sum())
    if is_small(k, m):
        return _hidden(known, MISSING, m)
    fewest, most = (known.n - count for count in (known.most, known.fewest))
    nearest = float(np.clip(k / m, fewest / known.n, most / known.n))
    counts, totals = _pair(k, m, nearest * known.n, known.n)
    bounds = limits_of("newcombe", counts, totals, level)
    is_told = fewest == most and not is_small(fewest, known.n)
    return Finding(
        section="inputs",
        name=known.name,
        measure=MISSING,
        value=k / m - nearest,
        lower=bounds.lower,
        upper=bounds.upper,
        expected=nearest if is_told else NAN,
        found=k / m,
        n=m,
        p_value=_two_shares(counts, totals),
        matters=abs(k / m - nearest) > sizes.share,
        method="chi-square or Fisher's test of shares; Newcombe interval of the difference",
    )


def _hidden(known: BaselineColumn, measure: str, m: int) -> Finding:
    return Finding(
        section="inputs", name=known.name, measure=measure, value=NAN, n=m, p_value=1.0, method=HIDDEN
    )


def _pair(k: float, m: float, before: float, n: float) -> tuple[FloatArray, FloatArray]:
    return np.array([float(k), float(before)]), np.array([float(m), float(n)])


def _two_shares(counts: FloatArray, totals: FloatArray) -> float:
    pooled = counts.sum() / totals.sum()
    if pooled in (0.0, 1.0):
        return 1.0
    least = totals.min() * min(pooled, 1 - pooled)
    return (chi_squared if least >= LEAST_EXPECTED else fisher)(counts, totals)[1]


def _shares(
    known: BaselineColumn, values: pd.Series, sizes: AlarmThresholds, level: float
) -> Finding | tuple[str, str]:
    """Compare shares of categories by Pearson's chi-square of two samples; w less what chance gives."""
    now, before = grouped(known, values)
    if len(now) < 2:
        return known.name, "all but one category are too rare for a test"
    m, n = float(now.sum()), float(before.sum())
    statistic = float(stats.chi2_contingency(np.stack([now, before]), correction=False).statistic)
    worth, df = m * n / (m + n), len(now) - 1  # the noncentrality is worth x w^2
    tail = (1 - level) / 2
    limits = [_noncentrality(statistic, df, p) for p in (1 - tail, tail)]
    value, lower, upper = (float(np.sqrt(max(x, 0.0) / worth)) for x in (statistic - df, *limits))
    return Finding(
        section="inputs",
        name=known.name,
        measure=SHARES,
        value=value,
        lower=lower,
        upper=upper,
        n=int(m),
        p_value=float(special.chdtrc(df, statistic)),
        matters=value > sizes.mean,
        method="chi-square of two samples; noncentral chi-square interval",
    )


def _noncentrality(statistic: float, df: int, p: float) -> float:
    """Return the noncentrality at which the chi-square distribution reaches p, 0 if none does."""
    if special.chdtr(df, statistic) <= p:
        return 0.0
    return float(special.chndtrinc(statistic, df, p))


def grouped(known: BaselineColumn, values: pd.Series) -> tuple[FloatArray, FloatArray]:
    """Return counts now and before, by category; the rarest two put together as long as one is too rare."""
    counts = values.value_counts().reindex(list(known.levels)).fillna(0)  # unknown ones are left out
    now = np.array(counts, dtype=np.float64)
    before = np.array(known.shares, dtype=np.float64) * known.fewest
    smaller = min(now.sum(), before.sum()) / max(now.sum() + before.sum(), 1.0)
    while len(now) > 1 and smaller * (now + before).min() < LEAST_EXPECTED:
        order = np.argsort(now + before, kind="stable")
        now, before = (np.append(one[order[2:]], one[order[:2]].sum()) for one in (now, before))
    return now, before


def levels_of(known: Sequence[BaselineColumn], clean: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each category before and now; small cells are left out."""
    rows = []
    for column in known:
        values = clean[column.name].dropna()
        if not column.levels or len(values) < FEWEST:
            continue
        counts = values.value_counts().reindex(list(column.levels)).fillna(0)
        counts["(unknown to the model)"] = len(values) - counts.sum()
        now = told(np.array(counts, dtype=np.float64)) / len(values)
        before = told(np.array([*column.shares, 0.0]) * column.fewest) / column.fewest
        for label, old, new in zip(counts.index, before, now, strict=True):
            rows.append({"column": column.name, "category": str(label), "before": old, "now": new})
    return pd.DataFrame(rows, columns=["column", "category", "before", "now"])


def rounded(n: int, patients: int) -> int:
    """Return how many have a value; rounded down to tens if the number of the others must not be told."""
    return n - n % 10 if is_small(n, patients) else n


def told(counts: FloatArray) -> FloatArray:
    """Return counts without those below 5; if one alone is left out, the next smallest is, too."""
    shown = counts.astype(float)
    small = (counts > 0) & (np.round(counts, 6) < 5)
    if small.sum() == 1 and (counts > 0).sum() > 1:
        rest = np.where(small | (counts == 0), np.inf, counts)
        small = small | (np.arange(len(counts)) == int(np.argmin(rest)))
    shown[small] = np.nan
    return shown
