"""Versions in a real MLflow: what one holds, that MLflow's own loader scores as the bundle does, and the clean process."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.integration.promoting import SHAPE, Shop, empty_mlflow, verdict
from thumbrank_core.model import clean_process
from thumbrank_core.model.bundle import BundleError
from thumbrank_core.model.clean_process import loads_cleanly
from thumbrank_core.registry import RegistryError


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory):
    return empty_mlflow(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def shop(tmp_path, mlflow_database):
    # No test here needs Postgres.
    return Shop.opened(None, tmp_path, mlflow_database)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def loaded(shop, monkeypatch):
    """The champion as MLflow loads it."""
    shop.make(1)
    shop.registry.point("champion", 1)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.settings.tracking_uri)  # `set_tracking_uri` would outlive the test
    return mlflow.pyfunc.load_model("models:/thumb-ranker@champion")


def vectors(n):
    generator = np.random.default_rng(1)
    return (generator.normal(size=(n, width)).astype(np.float32) for width in (SHAPE.clip_dim, SHAPE.text_dim))


def test_mlflow_scores_as_the_bundle_does(shop, loaded):
    image, title = vectors(7)
    expected = shop.registry.version(1).bundle().score(image, title)
    as_arrays = pd.DataFrame({"image": list(image), "title": list(title)})
    as_lists = pd.DataFrame({"image": image.astype(float).tolist(), "title": title.astype(float).tolist()})
    for frame in (as_arrays, as_lists):
        np.testing.assert_array_equal(loaded.predict(frame), expected)


def test_mlflow_s_model_refuses_what_the_bundle_refuses(loaded):
    image, title = vectors(2)
    image[1] = 0
    with pytest.raises(BundleError, match="row 1"):
        loaded.predict(pd.DataFrame({"image": list(image), "title": list(title)}))
    with pytest.raises(BundleError, match="12 \\+ 6 dimensions"):
        loaded.predict(pd.DataFrame({"image": list(title), "title": list(title)}))


def test_a_version_holds_no_pickle_no_rows_and_no_owner_s_file(shop):
    shop.make(1)
    files = {path.name for path in (shop.home / "mlflow" / "artifacts" / "models").rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc_model.py", "bundle.json", "model.safetensors", "requirements.txt"} <= files
    assert not {"manifest.parquet", "UC.json"} & files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt"))]
    [requirements] = (shop.home / "mlflow" / "artifacts" / "models").rglob("requirements.txt")
    assert not any(line.startswith("thumbrank") for line in requirements.read_text().splitlines())


def test_a_version_says_where_it_comes_from(shop):
    version = shop.make(1)
    tags = shop.registry._registered(1).tags
    assert tags["weights_sha256"] == version.weights_sha256
    assert (tags["data_sha256"], tags["git_sha"]) == ("c" * 64, "unknown")
    assert shop.registry.find(version.fingerprint) == shop.registry.challenger() == shop.registry.version(1) == version


def test_a_verdict_is_kept_whole_and_the_last_one_stands(shop):
    shop.make(1, said=verdict(status="refused"))
    assert shop.registry.verdict(1) == verdict(status="refused")
    shop.registry.record_verdict(1, verdict(7), {})
    assert shop.registry.verdict(1) == verdict(7)
    tags = shop.registry._registered(1).tags
    assert (tags["gate"], tags["gate_against"], tags["test_set"]) == ("pass", "7", "0" * 64)
    assert tags["gate_sentence"] == verdict().sentence


def test_a_version_that_is_not_there_is_one_sentence(shop):
    shop.make(1)
    with pytest.raises(RegistryError, match=r"There is no version 9: name one of 1\."):
        shop.registry.version(9)


def test_a_bundle_loads_and_scores_in_a_process_of_its_own(shop):
    shop.make(1)
    assert loads_cleanly(shop.folder(1)) is None


def test_a_damaged_bundle_does_not(shop):
    shop.make(1)
    shop.spoil(1)
    assert "sha256 differs" in str(loads_cleanly(shop.folder(1)))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("_scores", lambda bundle: np.arange(clean_process.ROWS) + 10.0, "scores the same vectors differently"),
        ("PATIENCE_SECONDS", 0.05, "did not load and score within 0.05 s"),
    ],
)
def test_a_process_that_differs_or_hangs_is_one_sentence(shop, monkeypatch, name, value, says):
    shop.make(1)
    monkeypatch.setattr(clean_process, name, value)
    found = loads_cleanly(shop.folder(1))
    assert found is not None
    assert says in found
    assert "\n" not in found


def test_what_the_other_process_says_is_passed_on(shop, monkeypatch):
    shop.make(1)
    here = clean_process._scores(shop.registry.version(1).bundle())
    shop.spoil(1)
    monkeypatch.setattr(clean_process, "load_bundle", lambda folder: None)
    monkeypatch.setattr(clean_process, "_scores", lambda bundle: here)
    assert "does not load and score in a process of its own: " in str(loads_cleanly(shop.folder(1)))
    assert "sha256 differs" in str(loads_cleanly(shop.folder(1)))
