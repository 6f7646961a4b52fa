"""Spark gives what one frame in one process gives. Needs Java, and pyspark: `make test-spark`."""

import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import scale
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, InputError
from treatsel.models import PooledClassifier

NAMES = ["patient_id", "age", "phq9_start", "employment", "arm", "dropout"]
THERE = {
    "Java (17 or newer; in Debian default-jre-headless)": shutil.which("java") or os.environ.get("JAVA_HOME"),
    "pyspark (make test-spark installs it)": find_spec("pyspark"),
}
LACKING = [name for name, there in THERE.items() if not there]
pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
    # warnings of pyspark about pandas 3, and of pandas 3 about pyspark
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(900, missing=0.05, random_state=1).cohort


@pytest.fixture(scope="module")
def selector(cohort, tmp_path_factory):
    book = cohort.codebook.subset(NAMES)
    model = PooledClassifier(LogisticRegression(C=1.0))
    unfitted = ts.TreatmentSelector(estimator=model, codebook=book, random_state=0)
    fitted = unfitted.fit(cohort.frame[[*book.covariates, "arm"]], cohort.y["dropout"])
    path = tmp_path_factory.mktemp("spark") / "m.treatsel"
    ts.save_model(fitted, path, intended_use="Tests.")
    return ts.load_model(path)


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture
def patients(cohort):
    return cohort.frame.reset_index()[NAMES]


@pytest.fixture
def sdf(spark, patients, tmp_path):
    patients.to_parquet(tmp_path / "patients.parquet", index=False)
    return spark.read.parquet(str(tmp_path / "patients.parquet")).repartition(3)


def test_spark_gives_the_same_bits(selector, patients, sdf):
    by_arm = selector.predict_by_arm(patients)
    lazy = scale.predict_spark(selector, sdf, keep=["arm"])
    assert lazy.columns == ["patient_id", "arm", *by_arm.columns]
    found = lazy.toPandas().set_index("patient_id").loc[by_arm.index]
    np.testing.assert_array_equal(found[by_arm.columns].to_numpy(), by_arm.to_numpy())
    assert (found[by_arm.columns].dtypes == np.float64).all()
    assert found["arm"].tolist() == patients["arm"].tolist()


def test_spark_refuses_before_any_work(selector, sdf):
    with pytest.raises(CohortError, match="'age' is missing"):
        scale.predict_spark(selector, sdf.drop("age"))
    with pytest.raises(InputError, match="A column to keep is 'site'"):
        scale.predict_spark(selector, sdf, keep=["site"])
    arm = str(selector.arms_[0])
    with pytest.raises(InputError, match="an arm has the same name"):
        scale.predict_spark(selector, sdf.withColumnRenamed("dropout", arm), keep=[arm])
