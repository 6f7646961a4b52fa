# Writes ref3_weighted.csv, ref3_separated.csv and ref3_expected.json into the folder of this script:
#
#     Rscript ref3_make.R
#
# R 4.2.2 with survey, pROC, rms, Hmisc and jsonlite (Debian 12: r-base-core r-cran-survey r-cran-proc r-cran-rms
# r-cran-hmisc r-cran-jsonlite); the JSON lists the versions used. A second run gives the same bytes.

suppressPackageStartupMessages({
  library(survey)
  library(pROC)
  library(Hmisc)
  library(rms)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
if (length(script) == 1) setwd(dirname(script))

# ---------------------------------------------------------------------------------------------------------------- data

RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20240311)

# A register of patients at twelve sites of uneven size, of whom the more severe were sampled more often: `w` is the
# inverse of the probability of being sampled. `p` is too extreme and too high; whole percents, so that there are ties.
register <- 1200
site <- sample(12, register, replace = TRUE, prob = 13 - (1:12))
severity <- round(rnorm(register), 3)
arm <- sample(c("a", "b"), register, replace = TRUE)
effect <- rnorm(12, sd = 0.4)[site]
y <- rbinom(register, 1, plogis(-0.4 - 0.9 * severity + 0.5 * (arm == "b") + effect))
believed <- 0.1 - 1.3 * severity + 0.8 * (arm == "b") + rnorm(register, sd = 0.5)
p <- pmin(pmax(round(plogis(believed), 2), 0.01), 0.99)
p01 <- pmin(pmax(round(0.5 + 0.22 * believed, 2), 0), 1) # a straight line, cut off at 0 and 1
chance <- round(plogis(-0.9 + 0.8 * severity), 3)
w <- round(1 / chance, 3)
sampled <- which(runif(register) < chance)[1:300]
register <- data.frame(site = paste0("s", site), arm, y, p, p01, w)[sampled, ]
write.csv(cbind(id = 1:300, register), "ref3_weighted.csv", row.names = FALSE, quote = FALSE)

# Every event above every non-event, with a tie within each class.
separated <- data.frame(
  id = 1:14,
  y = rep(0:1, c(8, 6)),
  p = c(0.05, 0.1, 0.12, 0.2, 0.2, 0.31, 0.36, 0.44, 0.47, 0.55, 0.6, 0.6, 0.72, 0.9)
)
write.csv(separated, "ref3_separated.csv", row.names = FALSE, quote = FALSE)

# Compute only from the values as written.
data <- read.csv("ref3_weighted.csv")
separated <- read.csv("ref3_separated.csv")
stopifnot(nrow(data) == 300, !anyNA(data), all(data$p > 0 & data$p < 1), anyDuplicated(data$p) > 0)
stopifnot(all(table(data$p01 %in% c(0, 1), data$y) > 0), any(data$p01 == 0), any(data$p01 == 1))

# -------------------------------------------------------------------------------------------------------------- checks

checks <- list()
versions <- function(packages) {
  paste(packages, vapply(packages, function(x) as.character(packageVersion(x)), ""), collapse = ", ")
}
check <- function(id, value, by, packages, tol, note) {
  checks[[length(checks) + 1]] <<- list(
    id = id, value = value, by = by, version = versions(packages), tol = tol, note = note
  )
}

# Fitted twice: glm's covariance is that of its last step but one, so the second time starts where the first ended.
# do.call passes values: svyglm would look for the name of an argument in another place.
exact <- list(epsilon = 1e-12, maxit = 50)
twice <- function(fit) {
  first <- fit(NULL)
  second <- fit(coef(first))
  stopifnot(first$converged, second$converged, abs(coef(second) - coef(first)) < 1e-10)
  second
}
binomial_fit <- function(formula, rows) {
  twice(function(from) glm(formula, binomial(), rows, start = from, control = exact))
}

# ------------------------------------------------------------------------------------------------------------ weighted

data$lp <- qlogis(data$p)
data$squared <- (data$y - data$p)^2
data$surprise <- -ifelse(data$y == 1, log(data$p), log1p(-data$p))

# Share of weight of the other class that is on the right side of each patient, ties half.
placement <- function(y, p, w) {
  vapply(seq_along(y), function(i) {
    other <- y != y[i]
    right <- if (y[i] == 1) p[other] < p[i] else p[other] > p[i]
    sum(w[other] * (right + (p[other] == p[i]) / 2)) / sum(w[other])
  }, 0)
}
weighted_auc <- function(w) {
  event <- data$y == 1
  sum(w[event] * placement(data$y, data$p, w)[event]) / sum(w[event])
}
auc <- unname(somers2(data$p, data$y, weights = data$w)["C"])
stopifnot(abs(auc - weighted_auc(data$w)) < 1e-14)
stopifnot(abs(weighted_auc(rep(1, 300)) - as.numeric(pROC::auc(data$y, data$p, quiet = TRUE))) < 1e-14)
of_class <- ave(data$w, data$y, FUN = sum)
data$auc_part <- (placement(data$y, data$p, data$w) - auc) / of_class # the linearized value of the AUC

designs <- list(
  weighted = svydesign(ids = ~1, weights = ~w, data = data),
  weighted.clusters = svydesign(ids = ~site, weights = ~w, data = data)
)
ways <- c(
  weighted = "svydesign(ids=~1, weights=~w)", weighted.clusters = "svydesign(ids=~site, weights=~w)"
)
bounds <- c(
  weighted = "; limits: normal quantile, confint(ddf=Inf)",
  weighted.clusters = "; limits: t with (number of sites - 1) degrees of freedom, confint(ddf=degf(design))"
)

for (prefix in names(designs)) {
  design <- designs[[prefix]]
  df <- if (prefix == "weighted") Inf else degf(design)
  add <- function(id, value, by, packages, tol, note) {
    by <- paste0(by, ", ", ways[[prefix]])
    limits <- if (any(grepl("lower", names(value)))) bounds[[prefix]]
    check(paste0(prefix, ".", id), value, by, packages, tol, paste0(note, limits))
  }
  interval <- function(est, se, name = "est") {
    limits <- est + c(-1, 1) * qt(0.975, df) * se
    setNames(list(est, se, limits[1], limits[2]), c(name, "se", "lower", "upper"))
  }
  of_mean <- function(formula) {
    found <- svymean(formula, design)
    interval(as.numeric(coef(found)), as.numeric(SE(found)))
  }
  fitted <- function(formula) {
    options <- list(formula, design, family = quasibinomial(), control = exact)
    twice(function(from) do.call(svyglm, c(options, list(start = from))))
  }

  large <- fitted(y ~ 1 + offset(lp))
  limits <- confint(large, ddf = df)
  add(
    "calibration_in_the_large",
    list(est = unname(coef(large)), se = unname(SE(large)), lower = limits[1], upper = limits[2]),
    "survey::svyglm(y ~ offset(logit p), quasibinomial)", "survey", 1e-8, "slope held at 1"
  )

  line <- fitted(y ~ lp)
  limits <- confint(line, ddf = df)
  add(
    "calibration_slope",
    list(
      est = unname(coef(line)[2]), se = unname(SE(line)[2]), lower = limits[2, 1], upper = limits[2, 2],
      intercept_at_fitted_slope = unname(coef(line)[1]), se_intercept = unname(SE(line)[1]),
      covariance = vcov(line)[1, 2]
    ),
    "survey::svyglm(y ~ logit p, quasibinomial)", "survey", 1e-8, "intercept and slope fitted together"
  )

  ratio <- svyratio(~y, ~p, design)
  oe <- as.numeric(coef(ratio))
  se <- as.numeric(SE(ratio))
  add(
    "observed_expected", interval(oe, se, name = "oe"),
    "survey::svyratio(~y, ~p)", "survey", 1e-10, "on the natural scale; the expected number varies too"
  )
  limits <- exp(log(oe) + c(-1, 1) * qt(0.975, df) * se / oe)
  add(
    "observed_expected_log",
    list(log_oe = log(oe), se = se / oe, oe_lower = limits[1], oe_upper = limits[2]),
    "survey::svyratio(~y, ~p)", "survey", 1e-10, "on the log scale, se(log O/E) = se(O/E) / (O/E) (delta method)"
  )

  replicates <- as.svrepdesign(design, type = "JK1")
  jackknife <- SE(withReplicates(replicates, function(w, data) weighted_auc(w)))
  add(
    "auc", interval(auc, as.numeric(SE(svytotal(~auc_part, design)))),
    "Hmisc::somers2(p, y, weights=w) for the value; survey::svytotal for se", c("Hmisc", "survey"), 1e-10,
    paste0(
      "se: linearisation by own arithmetic, the standard error of the svytotal of (placement - AUC) / (sum of ",
      "weights of the own class), where placement is the weighted share of the other class on the right side, ",
      "ties half; not DeLong's n - 1 within each class; the delete-one jackknife (as.svrepdesign(type='JK1'), ",
      "withReplicates) gives ", format(as.numeric(jackknife), digits = 4)
    )
  )

  add(
    "brier", of_mean(~squared), "survey::svymean(~(y - p)^2)", "survey", 1e-10,
    "the mean squared distance, linearised"
  )
  scaled <- svycontrast(svymean(~ squared + y, design), quote(1 - squared / (y * (1 - y))))
  add(
    "scaled_brier", interval(as.numeric(coef(scaled)), as.numeric(SE(scaled))),
    "survey::svycontrast(svymean(~(y - p)^2 + y))", "survey", 1e-8, "1 - Brier / (base rate (1 - base rate))"
  )
  add("log_loss", of_mean(~surprise), "survey::svymean(~-log likelihood)", "survey", 1e-10, "in nats")
  rate <- of_mean(~y)
  add(
    "base_rate", rate[c("est", "se")], "survey::svymean(~y)", "survey", 1e-10,
    "without limits: there are several good ones of a proportion"
  )
}
check(
  "weighted.counts", list(n = nrow(data), events = sum(data$y)), "base::nrow, base::sum", "base", 0,
  "sampling weights do not count patients: n is the number of rows, whatever the weights add up to"
)

# -------------------------------------------------------------------------------------------------------- unweighted C

c_hmisc <- rcorr.cens(data$p, data$y)
check(
  "c_hmisc",
  list(
    c = c_hmisc[["C Index"]], dxy = c_hmisc[["Dxy"]], sd_dxy = c_hmisc[["S.D."]], se_c = c_hmisc[["S.D."]] / 2,
    n = c_hmisc[["n"]], relevant_pairs = c_hmisc[["Relevant Pairs"]], concordant = c_hmisc[["Concordant"]]
  ),
  "Hmisc::rcorr.cens(p, y)", "Hmisc", 1e-9,
  paste(
    "unweighted; R's S.D. is that of Dxy = 2 (C - 1/2), se_c is half of it; it divides by the number of patients",
    "in a class where DeLong divides by that number less 1; every pair is counted from both sides; concordant",
    "takes ties as half"
  )
)

# ------------------------------------------------------------------------------------------------ predictions of 0 and 1

calibration <- function(rows) {
  rows$lp <- qlogis(rows$p01)
  large <- binomial_fit(y ~ 1 + offset(lp), rows)
  line <- binomial_fit(y ~ lp, rows)
  observed <- sum(rows$y)
  list(
    n = nrow(rows), events = observed,
    calibration_in_the_large = unname(coef(large)), calibration_in_the_large_se = sqrt(vcov(large)[1, 1]),
    calibration_slope = unname(coef(line)[2]), calibration_slope_se = sqrt(vcov(line)[2, 2]),
    intercept_at_fitted_slope = unname(coef(line)[1]), intercept_at_fitted_slope_se = sqrt(vcov(line)[1, 1]),
    observed_expected = observed / sum(rows$p01), log_oe_se = sqrt((1 - mean(rows$y)) / observed)
  )
}
formulas <- paste(
  "stats::glm(y ~ offset(logit p01)), stats::glm(y ~ logit p01);", "O/E and sqrt((1 - O/N) / O) by own arithmetic"
)
ends <- paste(
  "unweighted;", sum(data$p01 == 0), "predictions are exactly 0,", sum(data$p01 == 1), "exactly 1;",
  sum(data$p01 == 0 & data$y == 1), "of the first had the event,", sum(data$p01 == 1 & data$y == 0),
  "of the second had not"
)
clipped <- within(data, p01 <- pmin(pmax(p01, 1e-6), 1 - 1e-6))
check(
  "calibration.clipped_1e-6", calibration(clipped), formulas, "stats", 1e-6,
  paste0(ends, "; all rows, p01 moved to [1e-6, 1 - 1e-6] first")
)
inside <- data[data$p01 > 0 & data$p01 < 1, ]
dropped <- calibration(inside)
# val.prob also leaves these rows out of its calibration line, with a warning
same <- suppressWarnings(val.prob(data$p01, data$y, pl = FALSE))[c("Intercept", "Slope")]
stopifnot(abs(same - unlist(dropped[c("intercept_at_fitted_slope", "calibration_slope")])) < 1e-5)
check(
  "calibration.dropped_0_1", dropped, formulas, "stats", 1e-6,
  paste0(
    ends, "; those rows are left out of every number here; rms::val.prob leaves them out of its intercept and ",
    "slope, which agree"
  )
)

# ---------------------------------------------------------------------------------------------------------- separation

separated$lp <- qlogis(separated$p)
warned <- character()
slopes <- withCallingHandlers(
  vapply(c(10, 20), function(steps) {
    coef(glm(y ~ lp, binomial(), separated, control = list(epsilon = 1e-14, maxit = steps)))[["lp"]]
  }, 0),
  warning = function(w) {
    warned <<- c(warned, conditionMessage(w))
    invokeRestart("muffleWarning")
  }
)
stopifnot(min(separated$p[separated$y == 1]) > max(separated$p[separated$y == 0]), slopes[2] > 1.5 * slopes[1])
check(
  "separated.slope", NULL, "stats::glm(y ~ logit p)", "stats", 0,
  paste0(
    "no finite estimate exists: every event is predicted above every non-event, so that the likelihood rises ",
    "without end as the slope grows; R's glm stands at ", format(slopes[1], digits = 3), " after 10 steps, at ",
    format(slopes[2], digits = 3), " after 20, and warns: ", paste(unique(warned), collapse = "; ")
  )
)
large <- binomial_fit(y ~ 1 + offset(lp), separated)
check(
  "separated.calibration_in_the_large",
  list(est = unname(coef(large)), se = sqrt(vcov(large)[1, 1])), "stats::glm(y ~ offset(logit p))", "stats", 1e-6,
  "exists all the same: the slope is held at 1"
)
check(
  "separated.auc", as.numeric(pROC::auc(separated$y, separated$p, levels = 0:1, direction = "<")),
  "pROC::auc", "pROC", 0, "DeLong's variance is 0 here, which is no standard error"
)
check(
  "separated.c_hmisc", list(c = rcorr.cens(separated$p, separated$y)[["C Index"]]), "Hmisc::rcorr.cens(p, y)", "Hmisc",
  0, "its S.D. is 0 here, which is no standard error"
)

# ---------------------------------------------------------------------------------------------------------------- JSON

for (one in checks) stopifnot(is.null(one$value) || all(is.finite(unlist(one$value))))
used <- c("survey", "pROC", "Hmisc", "rms", "jsonlite")
content <- list(
  dataset = "ref3_weighted",
  file = "ref3_weighted.csv",
  rows = nrow(data),
  weights = "w",
  weights_are = "sampling",
  software = c(
    list(R = paste(R.version$major, R.version$minor, sep = ".")),
    lapply(setNames(used, used), function(x) as.character(packageVersion(x)))
  ),
  conventions = paste(
    "y = 1 is remission (good). p is the prediction for the arm received, p01 another one with exact 0 and 1. w are",
    "sampling weights (inverse probabilities), for the checks named weighted.* alone. Their standard errors are",
    "linearised with n/(n-1): sqrt(n/(n-1) * sum((w*z)^2)) with the linearised value z of each patient; with clusters",
    "w*z is summed over each site first, and n is the number of sites. tol is absolute. NULL value = no such number",
    "exists (see note)."
  ),
  checks = checks
)
text <- jsonlite::toJSON(content, auto_unbox = TRUE, digits = NA, null = "null", pretty = 1)
writeLines(text, "ref3_expected.json")
