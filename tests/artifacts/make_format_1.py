"""Made `format_1.treatsel` and its predictions with treatsel 0.1.0. Do not run it again.

A released file stays as it is: newer versions of the library must load this very file.
"""

from pathlib import Path

import lightgbm

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.models import ArmwiseClassifier

HERE = Path(__file__).parent

if __name__ == "__main__":
    cohort = make_cohort(600, missing=0.1, random_state=1).cohort
    trees = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=10, num_leaves=6))
    selector = ts.TreatmentSelector(estimator=trees, codebook=cohort.codebook, random_state=0)
    selector.fit(cohort.X, cohort.y["dropout"])
    ts.save_model(selector, HERE / "format_1.treatsel", intended_use="A stored file for tests.")
    patients = cohort.X.head(20)
    patients.to_csv(HERE / "format_1.patients.csv", index=False)
    selector.predict_by_arm(patients).to_csv(HERE / "format_1.csv")
