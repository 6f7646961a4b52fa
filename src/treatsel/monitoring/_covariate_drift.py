"""Covariate drift: tests of location, spread, categories, missing values and range of each covariate."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special, stats

from treatsel._checks import FloatArray, count_of
from treatsel._disclosure import SMALLEST_GROUP, SUPPRESSED, is_disclosive, is_small, rounded_down, suppressed
from treatsel._stats.intervals import quantile_of, two_sided_p, wilson
from treatsel._stats.two_proportions import chi_squared, fisher, limits_of
from treatsel.monitoring._baseline import OUTSIDE_RANGE, BaselineColumn
from treatsel.monitoring._finding import MIN_PATIENTS, NAN, Finding, PartResult, counts_for_test
from treatsel.monitoring._thresholds import AlarmThresholds

MEAN, SPREAD, CATEGORIES = "standardized mean difference", "ratio of SDs", "Cohen's w of the categories"
MISSING, OUTSIDE = "proportion missing", "proportion outside the stored range"
MIN_VALUES_FOR_SPREAD = 100  # values on both sides; the kurtosis of fewer is too imprecise for the test
MIN_EXPECTED = 5.0  # expected count (Cochran's rule for chi-square); rarer categories are merged


def drift(
    baseline: Sequence[BaselineColumn], clean: pd.DataFrame, thresholds: AlarmThresholds, level: float
) -> PartResult:
    """Compare each covariate with its baseline; one finding per covariate and test.

    References
    ----------
    Welch (1947), Biometrika 34(1/2), 28-35 (means). doi:10.2307/2332510
    Hedges (1981), Journal of Educational Statistics 6(2), 107-128. doi:10.3102/10769986006002107
    Shoemaker (2003), The American Statistician 57(2), 105-114 (spread). doi:10.1198/0003130031441
    Cohen (1988), Statistical Power Analysis, 2nd ed., chapter 7 (w). doi:10.4324/9780203771587
    Newcombe (1998), Statistics in Medicine 17(8), 873-890 (proportions).
    """
    part = PartResult()
    for column in baseline:
        for found in _of_column(column, clean[column.name], thresholds, level):
            if isinstance(found, Finding):
                part.findings.append(replace(found, n=rounded_down(found.n, len(clean))))
            else:
                part.not_estimable.append(found)
    bounded = [column.name for column in baseline if column.n_known_min < column.n_known_max]
    if bounded:
        part.cautions.append(
            "The model file gives only bounds on the number of known values at development for: "
            f"{', '.join(bounded)}. The tests use the bound that makes an alarm least likely."
        )
    return part


def _of_column(
    baseline: BaselineColumn, column: pd.Series, thresholds: AlarmThresholds, level: float
) -> Iterator[Finding | tuple[str, str]]:
    values = column.dropna()
    if len(column) < MIN_PATIENTS:
        yield baseline.name, f"{count_of(len(column), 'patient')}; a test needs {MIN_PATIENTS}"
        return
    if baseline.kind == "constant":
        yield baseline.name, "it had only one value at baseline, so there is no SD to standardize by"
    elif len(values) < MIN_PATIENTS or baseline.n_known_min < MIN_PATIENTS:
        yield (
            baseline.name,
            f"fewer than {MIN_PATIENTS} values before or now; a test needs {MIN_PATIENTS} in both",
        )
    elif baseline.kind == "category":
        yield _categories(baseline, values, thresholds, level)
    elif baseline.kind == "binary" and values.isin([0, 1]).all():
        yield _binary(baseline, values.to_numpy(dtype=float), thresholds, level)
    else:
        yield from _number(baseline, values.to_numpy(dtype=float), thresholds, level)
    yield _missing(baseline, column, thresholds, level)


def _number(
    baseline: BaselineColumn, values: FloatArray, thresholds: AlarmThresholds, level: float
) -> Iterator[Finding | tuple[str, str]]:
    m, n = len(values), baseline.n_known_min
    before, now = baseline.sd * np.sqrt(n / (n - 1)), float(values.std(ddof=1))
    parts = np.array([now**2 / m, before**2 / n])
    se, gap = float(np.sqrt(parts.sum())), float(values.mean()) - baseline.mean
    df = float(parts.sum() ** 2 / (parts**2 / [m - 1, n - 1]).sum())
    shift = gap / before
    half = quantile_of(level) * float(np.hypot(se / before, shift / np.sqrt(2 * (n - 1))))
    yield Finding(
        section="covariates",
        name=baseline.name,
        measure=MEAN,
        value=shift,
        lower=shift - half,
        upper=shift + half,
        expected=baseline.mean,
        observed=float(values.mean()),
        n=m,
        p_value=two_sided_p(gap, se, df=df),
        exceeds_threshold=abs(shift) > thresholds.standardized_difference,
        method="Welch's test; Wald interval, in baseline SD",
    )
    if not now:
        yield f"{baseline.name}: {SPREAD}", "all recent values are equal"
    elif m < MIN_VALUES_FOR_SPREAD or n < MIN_VALUES_FOR_SPREAD:
        yield (
            f"{baseline.name}: {SPREAD}",
            f"a test of spread needs {MIN_VALUES_FOR_SPREAD} values before and now",
        )
    else:
        yield _spread(baseline, values, before, thresholds, level)
    if baseline.lower == baseline.lower:
        yield _outside(baseline, values, level)


def _spread(
    baseline: BaselineColumn, values: FloatArray, before: float, thresholds: AlarmThresholds, level: float
) -> Finding:
    """Compare variances on the log scale, with the kurtosis of the recent patients for both.

    The baseline kurtosis is not stored. Without a kurtosis the test would assume normality and give too
    many false alarms for skewed scores (Shoemaker 2003).
    """
    m, now = len(values), float(values.std(ddof=1))
    z = (values - values.mean()) / values.std()
    kurtosis = float((z**4).mean())
    se = float(np.sqrt(sum((kurtosis - (k - 3) / k) / (k - 1) for k in (m, baseline.n_known_min))))
    log_ratio = 2 * float(np.log(now / before))
    half = quantile_of(level) * se
    bounds = np.exp((log_ratio + np.array([-half, half])) / 2)
    return Finding(
        section="covariates",
        name=baseline.name,
        measure=SPREAD,
        value=now / before,
        lower=float(bounds[0]),
        upper=float(bounds[1]),
        expected=before,
        observed=now,
        n=m,
        p_value=two_sided_p(log_ratio, se),
        exceeds_threshold=max(now / before, before / now) > thresholds.sd_ratio,
        method="Wald on the log scale, with the kurtosis",
    )


def _outside(baseline: BaselineColumn, values: FloatArray, level: float) -> Finding:
    """Test the proportion outside the stored range against its largest value at development."""
    m, k = len(values), int(((values < baseline.lower) | (values > baseline.upper)).sum())
    return proportion_tested("covariates", baseline.name, OUTSIDE, k, m, most=OUTSIDE_RANGE, level=level)


def proportion_tested(
    section: str, name: str, measure: str, k: int, m: int, *, most: float, level: float
) -> Finding:
    """Return a proportion of patients with the exact one-sided test against the largest one expected.

    A small count is suppressed, but not its alarm.
    """
    hidden, k = is_disclosive(k, m), min(counts_for_test(k, m))
    lower, upper = wilson(np.array([float(k)]), np.array([float(m)]), level)
    p_value = float(special.bdtrc(k - 1, m, most)) if k else 1.0
    found = Finding(
        section=section,
        name=name,
        measure=measure,
        value=k / m,
        lower=float(lower[0]),
        upper=float(upper[0]),
        expected=most,
        observed=k / m,
        n=m,
        p_value=p_value,
        exceeds_threshold=k / m > most,
        method="exact binomial test against the largest proportion expected; Wilson interval",
    )
    return _hidden(found) if hidden else found


def _binary(
    baseline: BaselineColumn, values: FloatArray, thresholds: AlarmThresholds, level: float
) -> Finding:
    """Compare proportions of ones; a small count now is suppressed, but not its alarm."""
    m, n = len(values), baseline.n_known_min
    found = [_of_ones(baseline, k, m, n, thresholds, level) for k in counts_for_test(int(values.sum()), m)]
    least = max(found, key=lambda one: one.p_value)
    return _hidden(least) if is_disclosive(int(values.sum()), m) else least


def _of_ones(
    baseline: BaselineColumn, k: int, m: int, n: int, thresholds: AlarmThresholds, level: float
) -> Finding:
    mean, sd = baseline.mean, baseline.sd
    if hidden := is_disclosive(mean * n, n):
        fewest, most = _undisclosed(mean * n, mean * n, n)
        mean = float(np.clip(k / m, fewest / n, most / n))
        sd = float(np.sqrt(mean * (1 - mean)))
    counts, totals = _pair(k, m, mean * n, n)
    bounds = limits_of("newcombe", counts, totals, level)
    return Finding(
        section="covariates",
        name=baseline.name,
        measure=MEAN,
        value=(k / m - mean) / sd,
        lower=bounds.lower / sd,
        upper=bounds.upper / sd,
        expected=NAN if hidden else mean,
        observed=k / m,
        n=m,
        p_value=_p_of_proportions(counts, totals),
        exceeds_threshold=abs(k / m - mean) / sd > thresholds.standardized_difference,
        method="chi-square or Fisher's exact test; Newcombe interval, in baseline SD",
    )


def _missing(
    baseline: BaselineColumn, column: pd.Series, thresholds: AlarmThresholds, level: float
) -> Finding:
    """Compare the proportion missing; a small count now is suppressed, but not its alarm."""
    m, k = len(column), int(column.isna().sum())
    found = [_of_missing(baseline, each, m, thresholds, level) for each in counts_for_test(k, m)]
    least = max(found, key=lambda one: one.p_value)
    return _hidden(least) if is_disclosive(k, m) else least


def _of_missing(
    baseline: BaselineColumn, k: int, m: int, thresholds: AlarmThresholds, level: float
) -> Finding:
    """Compare with the nearest proportion within the bounds of the baseline."""
    fewest, most = _undisclosed(
        baseline.n - baseline.n_known_max, baseline.n - baseline.n_known_min, baseline.n
    )
    nearest = float(np.clip(k / m, fewest / baseline.n, most / baseline.n))
    counts, totals = _pair(k, m, nearest * baseline.n, baseline.n)
    bounds = limits_of("newcombe", counts, totals, level)
    return Finding(
        section="covariates",
        name=baseline.name,
        measure=MISSING,
        value=k / m - nearest,
        lower=bounds.lower,
        upper=bounds.upper,
        expected=nearest if fewest == most else NAN,
        observed=k / m,
        n=m,
        p_value=_p_of_proportions(counts, totals),
        exceeds_threshold=abs(k / m - nearest) > thresholds.missing_difference,
        method="chi-square or Fisher's exact test; Newcombe interval of the difference",
    )


def _undisclosed(fewest: float, most: float, n: int) -> tuple[float, float]:
    """Return bounds on a baseline count; a small count or remainder is only bounded as small."""
    if fewest == most and is_small(fewest):
        return 1, SMALLEST_GROUP - 1
    if fewest == most and is_small(n - fewest):
        return n - (SMALLEST_GROUP - 1), n - 1
    return fewest, most


def _hidden(finding: Finding) -> Finding:
    """Return a finding without its numbers, which a small count stands behind; the test is kept."""
    return replace(finding, value=NAN, lower=NAN, upper=NAN, observed=NAN, method=SUPPRESSED)


def _pair(k: float, m: float, before: float, n: float) -> tuple[FloatArray, FloatArray]:
    return np.array([float(k), float(before)]), np.array([float(m), float(n)])


def _p_of_proportions(counts: FloatArray, totals: FloatArray) -> float:
    pooled = counts.sum() / totals.sum()
    if pooled in (0.0, 1.0):
        return 1.0
    least = totals.min() * min(pooled, 1 - pooled)
    return (chi_squared if least >= MIN_EXPECTED else fisher)(counts, totals)[1]


def _categories(
    baseline: BaselineColumn, values: pd.Series, thresholds: AlarmThresholds, level: float
) -> Finding | tuple[str, str]:
    """Compare proportions of categories by Pearson's chi-square test of two samples.

    Cohen's w is corrected for its expectation under no change: the statistic minus its degrees of freedom.
    """
    now, before = with_rare_merged(baseline, values)
    if len(now) < 2:
        return baseline.name, "only one category is frequent enough for a test"
    m, n = float(now.sum()), float(before.sum())
    statistic = float(stats.chi2_contingency(np.stack([now, before]), correction=False).statistic)
    scale, df = m * n / (m + n), len(now) - 1  # the noncentrality is scale x w^2
    tail = (1 - level) / 2
    limits = [_noncentrality(statistic, df, p) for p in (1 - tail, tail)]
    value, lower, upper = (float(np.sqrt(max(x, 0.0) / scale)) for x in (statistic - df, *limits))
    return Finding(
        section="covariates",
        name=baseline.name,
        measure=CATEGORIES,
        value=value,
        lower=lower,
        upper=upper,
        n=int(m),
        p_value=float(special.chdtrc(df, statistic)),
        exceeds_threshold=value > thresholds.standardized_difference,
        method="chi-square test of two samples; noncentral chi-square interval",
    )


def _noncentrality(statistic: float, df: int, p: float) -> float:
    """Return the noncentrality for which the statistic is the p quantile, 0 if there is none."""
    if special.chdtr(df, statistic) <= p:
        return 0.0
    return float(special.chndtrinc(statistic, df, p))


def with_rare_merged(baseline: BaselineColumn, values: pd.Series) -> tuple[FloatArray, FloatArray]:
    """Return counts now and before by category, the two rarest merged until all are frequent enough."""
    # categories unknown to the model are dropped here and reported as warnings
    counts = values.value_counts().reindex(list(baseline.levels)).fillna(0)
    now = np.array(counts, dtype=np.float64)
    before = np.array(baseline.proportions, dtype=np.float64) * baseline.n_known_min
    smaller = min(now.sum(), before.sum()) / max(now.sum() + before.sum(), 1.0)
    while len(now) > 1 and smaller * (now + before).min() < MIN_EXPECTED:
        order = np.argsort(now + before, kind="stable")
        now, before = (np.append(one[order[2:]], one[order[:2]].sum()) for one in (now, before))
    return now, before


def levels_of(baseline: Sequence[BaselineColumn], clean: pd.DataFrame) -> pd.DataFrame:
    """Return the proportion of each category before and now, without small counts."""
    rows = []
    for column in baseline:
        values = clean[column.name].dropna()
        if not column.levels or len(values) < MIN_PATIENTS:
            continue
        counts = values.value_counts().reindex(list(column.levels)).fillna(0)
        counts["(unknown to the model)"] = len(values) - counts.sum()
        now = suppressed(counts) / len(values)
        before = suppressed(np.array([*column.proportions, 0.0]) * column.n_known_min) / column.n_known_min
        for label, old, new in zip(counts.index, before, now, strict=True):
            rows.append({"column": column.name, "category": str(label), "before": old, "now": new})
    return pd.DataFrame(rows, columns=["column", "category", "before", "now"])
