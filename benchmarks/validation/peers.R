# CPU seconds of R's peers on outcomes y and predictions p of a CSV file.
#   Rscript peers.R FILE SHARE
# One tab-separated line each: task as in speed.py, seconds, share of the resamples done. Packages that are
# not installed are left out; loading them is not timed.

arguments <- commandArgs(TRUE)
data <- read.csv(arguments[1])
share <- as.numeric(arguments[2])
y <- data$y
p <- data$p

timed <- function(task, package, run, done = 1) {
  if (!suppressMessages(requireNamespace(package, quietly = TRUE))) return(invisible())
  seconds <- sum(system.time(suppressMessages(suppressWarnings(run())))[1:2])
  cat(task, format(seconds, digits = 15), format(done, digits = 15), sep = "\t")
  cat("\n")
}

resampled <- function(task, package, times, run) {
  fewer <- max(1, round(share * times))
  timed(task, package, function() run(fewer), fewer / times)
}

roc_of <- function() pROC::roc(y, p, levels = c(0, 1), direction = "<")

spline <- function(y, p, at) {
  x <- qlogis(p)
  knots <- Hmisc::rcspline.eval(x, nk = 5, knots.only = TRUE)
  design <- function(x) cbind(1, Hmisc::rcspline.eval(x, knots = knots, inclx = TRUE))
  fit <- glm.fit(design(x), y, family = binomial())
  plogis(drop(design(qlogis(at)) %*% fit$coefficients))
}

set.seed(0)
timed("AUC with DeLong interval", "pROC", function() pROC::ci.auc(roc_of(), method = "delong"))
resampled("AUC, 2,000 resamples", "pROC", 2000, function(times) {
  pROC::ci.auc(roc_of(), method = "bootstrap", boot.n = times, progress = "none")
})
timed("figures of val.prob", "rms", function() rms::val.prob(p, y, pl = FALSE))
resampled("spline calibration, 200 resamples", "Hmisc", 200, function(times) {
  replicate(times, {
    rows <- sample(length(y), replace = TRUE)
    mean(abs(spline(y[rows], p[rows], p[rows]) - p[rows]))
  })
})
