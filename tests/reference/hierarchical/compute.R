# Reference numbers of the hierarchical model, from R: a cumulative logit (ordinal), a logistic model with
# random effects of sites and therapists (lme4), and the mean over few clusters (clubSandwich).
# Run in this folder: Rscript compute.R
suppressMessages({library(ordinal); library(lme4); library(clubSandwich)})
set.seed(14)
n <- 400
d <- data.frame(x = round(rnorm(n), 3), z = round(rnorm(n), 3), site = sample(1:8, n, TRUE))
d$therapist <- 5 * (d$site - 1) + sample(1:5, n, TRUE)
d$arm <- 1 + d$therapist %% 2  # a therapist gives one arm
u <- rnorm(8, 0, .5)[d$site] + rnorm(40, 0, .7)[d$therapist]
eta <- -.2 + .6 * d$x - .4 * d$z + .3 * (d$arm == 2) + u
d$y <- as.integer(runif(n) < plogis(eta))
d$level <- as.integer(cut(eta + rlogis(n), c(-Inf, -2, -.5, .5, 2, Inf)))
write.csv(d, "patients.csv", row.names = FALSE)

options(digits = 12)
line <- function(name, values) cat(sprintf("%s,%s\n", name, paste(sprintf("%.8f", values), collapse = " ")),
                                   file = "numbers.csv", append = TRUE)
cat(sprintf("# R %s, ordinal %s, lme4 %s, clubSandwich %s\n", getRversion(), packageVersion("ordinal"),
            packageVersion("lme4"), packageVersion("clubSandwich")), file = "numbers.csv")
score <- clm(factor(level) ~ x + z, data = d, control = clm.control(gradTol = 1e-10))
line("ordinal.thresholds", score$alpha)
line("ordinal.slopes", score$beta)
line("ordinal.se", sqrt(diag(vcov(score))))
# nAGQ = 0: coefficients and effects maximize the joint density at the estimated variances
two <- glmer(y ~ x + z + (1 | site) + (1 | therapist), data = d, family = binomial, nAGQ = 0,
             control = glmerControl(tolPwrss = 1e-12))
line("glmer.coefficients", fixef(two))
line("glmer.sd", c(attr(VarCorr(two)$site, "stddev"), attr(VarCorr(two)$therapist, "stddev")))
line("glmer.sites", ranef(two)$site[, 1])
line("glmer.therapists", ranef(two)$therapist[, 1])
line("glmer.se", sqrt(diag(as.matrix(vcov(two)))))
few <- coef_test(lm(y ~ 1, data = d), vcov = "CR2", cluster = d$site, test = "Satterthwaite")
line("clubSandwich.mean", c(few$beta, few$SE, few$df))
