"""What lies beside a bundle for others to read: the guide's state dict, ONNX, and the manifest of rows."""

import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tests.unit.synthetic import planted
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.bundle import BundleError, weights_sha256
from thumbrank_core.model.exports import STATE, load_state, publish_state, save_state
from thumbrank_core.model.network import Batch, NetworkShape, ThumbnailRankingModel
from thumbrank_core.model.onnx_export import ONNX, TOLERANCE, OnnxError, build, check_parity, export_onnx
from thumbrank_core.training.manifest import MANIFEST, ManifestError, read_manifest, write_manifest

Norm = Literal["layer", "batch"]
ReadOut = Literal["shared", "head"]
FACTS = {"fingerprint": "f" * 64, "image_encoder": "clip", "title_encoder": "minilm", "weights_sha256": "w" * 64}
KINDS: dict[str, tuple[Norm, ReadOut]] = {"default": ("layer", "shared"), "guide": ("batch", "head")}


def network(norm: Norm = "layer", read_out: ReadOut = "shared", clip_dim=768, text_dim=384, hidden_dim=64, seed=0):
    """A network as training leaves it: with a standardiser and, in BatchNorm, averages that are not where they began."""
    torch.manual_seed(seed)
    shape = NetworkShape(
        clip_dim=clip_dim,
        text_dim=text_dim,
        hidden_dim=hidden_dim,
        norm=norm,
        dropout=0.3 if norm == "layer" else 0.0,
        head_dropout=1.0,
        wide=True,
        read_out=read_out,
    )
    model = ThumbnailRankingModel.of(shape)
    model.fit_standardiser([Batch(torch.randn(200, clip_dim) + 0.3, torch.randn(200, text_dim) * 4)])
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.3, 3)
    return model.eval()


def scores(model, n=5):
    torch.manual_seed(1)
    with torch.inference_mode():
        return model(Batch(torch.randn(n, model.shape.clip_dim), torch.randn(n, model.shape.text_dim)))


@pytest.fixture
def small():
    return network(clip_dim=12, text_dim=6, hidden_dim=8)


# The guide's .pt


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_comes_back_as_the_network_that_was_saved(tmp_path, kind):
    model = network(*KINDS[kind], clip_dim=12, text_dim=6, hidden_dim=8)
    digest = save_state(tmp_path, model)
    assert digest == weights_sha256(tmp_path / STATE)
    plain = torch.load(tmp_path / STATE, weights_only=True)
    assert {name: type(tensor) for name, tensor in plain.items()} == dict.fromkeys(model.state_dict(), torch.Tensor)
    again = load_state(tmp_path / STATE, model.shape, sha256=digest)
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(scores(model), scores(again), strict=True))


def test_equal_weights_are_equal_bytes_and_the_newest_lies_where_the_guide_looks(tmp_path, small):
    first, second = tmp_path / "models" / "first", tmp_path / "models" / "second"
    assert save_state(first, small) == save_state(second, small)
    other = network(clip_dim=12, text_dim=6, hidden_dim=8, seed=5)
    newest = save_state(second, other)
    publish_state(first, tmp_path / "models")
    assert publish_state(second, tmp_path / "models") == tmp_path / "models" / STATE
    assert weights_sha256(tmp_path / "models" / STATE) == newest
    assert {path.name for path in (tmp_path / "models").rglob("*") if path.is_file()} == {STATE}


class Trap:
    """Makes a folder when somebody unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["torch", "bare pickle", "beside tensors", "old torch"])
def test_code_that_somebody_pickled_into_it_is_not_run(tmp_path, small, kind):
    path, sprung = tmp_path / STATE, tmp_path / "sprung"
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    elif kind == "old torch":
        torch.save(Trap(sprung), path, _use_new_zipfile_serialization=False)
    else:
        torch.save(Trap(sprung) if kind == "torch" else {**small.state_dict(), "more": Trap(sprung)}, path)
    with pytest.raises(BundleError, match=r"is not a state dict, or it is damaged, and nothing in it was run: restore"):
        load_state(path, small.shape)
    assert not sprung.exists()


def test_a_damaged_file_is_refused_wherever_the_damage_is(tmp_path, small):
    save_state(tmp_path, small)
    whole = (tmp_path / STATE).read_bytes()
    path, generator = tmp_path / "damaged.pt", np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 40).tolist():
        path.write_bytes(whole[:place])
        with pytest.raises(BundleError, match="is not a state dict, or it is damaged"):
            load_state(path, small.shape)
    with zipfile.ZipFile(tmp_path / STATE) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    inside = largest.header_offset + largest.file_size
    path.write_bytes(whole[:inside] + bytes([whole[inside] ^ 1]) + whole[inside + 1 :])
    with pytest.raises(BundleError, match="is not a state dict, or it is damaged"):
        load_state(path, small.shape)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_a_file_of_something_else_is_refused(tmp_path, small, content):
    torch.save(content, tmp_path / STATE)
    with pytest.raises(BundleError, match="is not a state dict"):
        load_state(tmp_path / STATE, small.shape)


def test_another_network_a_changed_file_and_no_file_are_one_sentence_each(tmp_path, small):
    digest = save_state(tmp_path, small)
    wider = small.shape.model_copy(update={"hidden_dim": 16})
    with pytest.raises(BundleError, match="another network"):
        load_state(tmp_path / STATE, wider)
    save_state(tmp_path, network(clip_dim=12, text_dim=6, hidden_dim=8, seed=5))
    with pytest.raises(BundleError, match=r"sha256 differs"):
        load_state(tmp_path / STATE, small.shape, sha256=digest)
    with pytest.raises(BundleError, match=r"There is no .*absent\.pt"):
        load_state(tmp_path / "absent.pt", small.shape)


# ONNX


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_says_what_the_network_says_at_every_length_and_scale(tmp_path, kind):
    model = network(*KINDS[kind], hidden_dim=512)
    export_onnx(tmp_path, model, FACTS)
    assert check_parity(model, (tmp_path / ONNX).read_bytes()) <= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / ONNX, providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("image", ["n", 768]), ("title", ["n", 384])]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("score", ["n"]),
        ("engagement", ["n"]),
        ("sub_scores", ["n", len(SIGNALS)]),
    ]
    generator = np.random.default_rng(3)
    image, title = (generator.normal(size=(11, width)).astype(np.float32) for width in (768, 384))
    score, engagement, sub_scores = map(np.asarray, session.run(None, {"image": image, "title": title}))
    longer, *_ = map(np.asarray, session.run(None, {"image": image * 40, "title": title * 0.01}))
    assert np.allclose(score, longer, atol=TOLERANCE), "normalisation is inside"
    assert score.std() > 0
    assert all(((each > 0) & (each < 1)).all() for each in (engagement, sub_scores))
    with torch.inference_mode():
        ours = model(Batch(torch.from_numpy(image), torch.from_numpy(title)))
    assert np.allclose(ours.score, score, atol=TOLERANCE)
    assert np.allclose(ours.engagement_logit.sigmoid(), engagement, atol=TOLERANCE)
    assert np.allclose(ours.sub_score_logits.sigmoid(), sub_scores, atol=TOLERANCE)


def test_the_file_says_where_it_comes_from_and_nothing_of_this_machine(tmp_path, small):
    digest = export_onnx(tmp_path, small, FACTS)
    assert digest == weights_sha256(tmp_path / ONNX) == export_onnx(tmp_path / "again", small, FACTS)
    found = onnx.load(tmp_path / ONNX)
    assert {entry.key: entry.value for entry in found.metadata_props} == {**FACTS, "sub_scores": ",".join(SIGNALS)}
    assert b".py" not in (tmp_path / ONNX).read_bytes()
    assert small.training is False


def test_exporting_prints_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from thumbrank_core.model.network import ThumbnailRankingModel; "
        "from thumbrank_core.model.onnx_export import export_onnx; "
        "export_onnx(Path(sys.argv[1]), ThumbnailRankingModel(12, 6, hidden_dim=8), {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_graph_that_differs_from_the_network_is_an_error_and_is_not_written(tmp_path, small, monkeypatch):
    made = build(small, FACTS)
    bias = next(each for each in made.graph.initializer if list(each.dims) == [128])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.5, bias.name))
    with pytest.raises(OnnxError, match=r"The ONNX export differs from the model by"):
        check_parity(small, made.SerializeToString())
    small.trunk.append(nn.Tanh())
    with pytest.raises(OnnxError, match=r"has no node for Tanh"):
        export_onnx(tmp_path, small, FACTS)
    monkeypatch.setattr("thumbrank_core.model.onnx_export.build", lambda *_: made)
    with pytest.raises(OnnxError, match="differs"):
        export_onnx(tmp_path, small, FACTS)
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_a_weight_that_is_not_finite_is_not_exported(tmp_path, small):
    with torch.no_grad():
        small.ranking[0].bias[0] = float("nan")
    with pytest.raises(OnnxError, match="scores are not finite"):
        export_onnx(tmp_path, small, FACTS)


# The manifest


@pytest.fixture
def dataset():
    found, _ = planted(n_channels=20, videos=6)
    digests = [bytes([index % 256, index // 256]) + bytes(30) for index in range(len(found.items))]
    return replace(found, items=replace(found.items, picture=digests))


def test_a_manifest_has_five_columns_and_nothing_that_youtube_counted_or_said(tmp_path, dataset):
    assert write_manifest(dataset, tmp_path / MANIFEST) == len(dataset.items)
    table = pq.read_table(tmp_path / MANIFEST)
    assert table.column_names == ["video_id", "picture_sha256", "split", "niche", "label_version"]
    found = read_manifest(tmp_path / MANIFEST)
    assert [row._asdict() for row in found.rows] == table.to_pylist()
    assert [row.video_id for row in found.rows] == dataset.items.video_id
    assert [bytes.fromhex(row.picture_sha256) for row in found.rows] == dataset.items.picture
    assert {row.split for row in found.rows} == {"train", "validation", "test"}
    assert {(row.niche, row.label_version) for row in found.rows} == {
        ("tech", "age_adjusted@1"),
        ("news", "age_adjusted@2"),
    }
    assert found.written == len(found.rows)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_a_file_that_is_no_manifest_is_one_sentence(tmp_path):
    path = tmp_path / MANIFEST
    with pytest.raises(ManifestError, match="There is no"):
        read_manifest(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ManifestError, match=r"is not a manifest, or it is damaged"):
        read_manifest(path)
    pq.write_table(pa.table({"video_id": ["a"]}), path)
    with pytest.raises(ManifestError, match="not a manifest of this version"):
        read_manifest(path)
