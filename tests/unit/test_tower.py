"""CLIP cut in two, its learning rates, and its pictures: nothing is lost at the cut, on the way through a file, or on disk."""

import multiprocessing
import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from thumbrank_core.features.encoders import ImageEncoder, Vision
from thumbrank_core.features.preprocess import to_square
from thumbrank_core.features.specs import EncoderError, load_set, locate
from thumbrank_core.features.tuned import tuned_set, write_encoder
from thumbrank_core.model.tower import Tower, TowerError, blocks_to_train
from thumbrank_core.progress import LineSink, listen
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import DatasetError, Items
from thumbrank_core.training.pictures import PictureSource, keeping
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.tower_groups import tower_groups

TINY = load_set("tiny")
TEST = 2


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    world = build_world(WorldSettings(seed=5, channels_per_niche=2, videos_per_channel=8, niches=("tech",)))
    return [jpeg_bytes(world, video, "medium") for video in world.videos if video.is_listed][:8]


@pytest.fixture(scope="module")
def pixels(jpegs) -> torch.Tensor:
    return torch.from_numpy(np.stack([to_square(data, 48, "squash") for data in jpegs]))


@pytest.fixture
def items(jpegs, tmp_path):
    """Ten items of eight pictures: the first is shown three times; the last two items are of a test channel."""
    store = ImageStore(tmp_path / "images")
    picture = [store.put(jpegs[number]).sha256 for number in (0, 1, 2, 0, 3, 4, 0, 5, 6, 7)]
    n = len(picture)
    zeros = np.zeros(n, dtype=np.int64)
    return store, Items(
        video_id=[f"video{number}" for number in range(n)],
        title=["t"] * n,
        picture=picture,
        image=np.ones((n, 128), np.float32),
        text=np.arange(n * 3, dtype=np.float32).reshape(n, 3),
        channel=zeros,
        niche=zeros,
        split=np.array([0] * 6 + [1] * 2 + [TEST] * 2),
        published=zeros.astype(float),
        value=zeros.astype(float),
    )


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("wanted", [1, 2, 3, "all"])
def test_stem_and_tail_are_the_whole_model(wanted, checkpointing, pixels):
    whole = Vision(TINY.image, torch.float32)
    expected = whole.model(pixel_values=whole.planes(pixels)).image_embeds
    tower = Tower(TINY.image, wanted, checkpointing=checkpointing)
    states = tower.stem(pixels)
    assert tuple(states.shape[1:]) == tower.stem.shape == ((3, 48, 48) if wanted == "all" else (37, 128))
    found = tower.tail.train()(states)
    assert (found - expected).abs().max() < 1e-5

    found.square().sum().backward()
    expected.square().sum().backward()
    theirs = {id(parameter): name for name, parameter in tower.vision.model.named_parameters()}
    named = dict(whole.model.named_parameters())
    trained = list(tower.tail.parameters())
    for parameter in trained:
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, named[theirs[id(parameter)]].grad, atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in tower.stem.parameters())
    together = len(trained) + len(list(tower.stem.parameters()))
    assert together == len(named), "every weight is in one of the two"


def test_training_the_tail_trains_the_model_that_is_written(pixels, tmp_path):
    tower, other = Tower(TINY.image, 1), Tower(TINY.image, 1)
    with torch.no_grad():
        for parameter in other.tail.parameters():
            parameter.add_(0.05)
    tower.tail.load_state_dict(other.tail.state_dict())
    write_encoder(tmp_path, tower.vision.model, tower.vision.processor, TINY.image, torch.device("cpu"))
    spec = tuned_set(TINY, tmp_path).image
    (found,) = ImageEncoder(spec).encode([pixels])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(other.tail(other.stem(pixels)), dim=-1).numpy()
    (before,) = ImageEncoder(TINY.image).encode([pixels])
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - before).max() > 1e-3


def test_a_tuned_encoder_s_id_is_its_own_and_does_not_tell_where_its_folder_lies(tmp_path):
    vision = Tower(TINY.image, 1).vision
    sets = []
    for name in ("here", "there"):
        write_encoder(tmp_path / name, vision.model, vision.processor, TINY.image, torch.device("cpu"))
        sets.append(tuned_set(TINY, tmp_path / name))
    here, there = sets
    assert here.image.model != there.image.model
    assert here.image.encoder_id == there.image.encoder_id != TINY.image.encoder_id
    assert here.image.encoder_id.startswith("clip-tuned:thumbrank_core/features/tiny_clip@")
    assert here.image.precision == "float32"
    assert (here.caption, here.title, here.before_tuning) == (TINY.caption, TINY.title, TINY)


def test_tuned_weights_that_changed_or_lack_a_card_are_refused(tmp_path):
    vision = Tower(TINY.image, 1).vision
    write_encoder(tmp_path, vision.model, vision.processor, TINY.image, torch.device("cpu"))
    spec = tuned_set(TINY, tmp_path).image
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(EncoderError, match=r"not those that the encoder\.json beside them pins"):
        locate(spec)
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(EncoderError, match="is not a tuned encoder's card"):
        tuned_set(TINY, tmp_path)
    (tmp_path / "encoder.json").unlink()
    with pytest.raises(EncoderError, match=r"holds no encoder\.json"):
        tuned_set(TINY, tmp_path)


@pytest.mark.parametrize(
    ("total", "wanted", "trained"), [(24, 0, 0), (24, 4, 4), (24, 24, 24), (24, "all", 24), (12, 12, 12), (3, 2, 2)]
)
def test_as_many_blocks_are_trained_as_were_asked_for(total, wanted, trained):
    assert blocks_to_train(total, wanted) == (trained, None)


def test_the_guide_s_12_blocks_are_half_of_24_and_it_is_said():
    trained, warning = blocks_to_train(24, 12)
    assert trained == 12
    assert warning is not None
    assert "the last 12 of CLIP's 24 blocks, half of them and not the entire CLIP" in warning
    assert "fine_tune_blocks=all" in warning


@pytest.mark.parametrize("wanted", [-1, 4])
def test_more_blocks_than_there_are_is_one_sentence(wanted):
    with pytest.raises(
        TowerError, match=f"fine_tune_blocks is {wanted} and CLIP's image tower has 3 blocks: use 0 to 3"
    ):
        Tower(TINY.image, wanted)


def test_a_tower_of_which_nothing_is_trained_is_refused():
    with pytest.raises(TowerError, match="trains nothing of CLIP"):
        Tower(TINY.image, 0)


def test_the_recipes_of_the_guide_s_phases_fit_the_demo_s_clip():
    assert Tower(TINY.image, load_recipe("phase2").fine_tune_blocks).boundary == "block 1 of 3"
    assert Tower(TINY.image, load_recipe("phase3").fine_tune_blocks).boundary == "the pixels"


def test_rates_fall_from_block_to_block_and_only_matrices_decay():
    recipe = load_recipe("phase3", {"tower_learning_rate": 1e-3, "layer_decay": 0.5, "weight_decay": 0.1})
    tower = Tower(TINY.image, "all")
    groups: list[dict[str, Any]] = tower_groups(tower.tail, recipe)
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    model = tower.vision.model
    blocks = model.vision_model.encoder.layers
    assert rate[id(model.visual_projection.weight)] == (1e-3, 0.1)
    assert rate[id(model.vision_model.post_layernorm.weight)] == (1e-3, 0.0)
    assert [rate[id(block.mlp.fc1.weight)] for block in blocks] == [(1.25e-4, 0.1), (2.5e-4, 0.1), (5e-4, 0.1)]
    assert [rate[id(block.mlp.fc1.bias)] for block in blocks] == [(1.25e-4, 0.0), (2.5e-4, 0.0), (5e-4, 0.0)]
    assert rate[id(model.vision_model.embeddings.patch_embedding.weight)] == (6.25e-5, 0.1)
    assert len(rate) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


@pytest.mark.parametrize("wanted", [1, "all"])
def test_states_from_the_file_are_those_computed_on_the_fly_and_each_picture_is_stored_once(wanted, items, tmp_path):
    store, rows = items
    said: list[str] = []
    scratch = tmp_path / "scratch"
    index = torch.tensor([5, 0, 3, 7, 1])
    tower = Tower(TINY.image, wanted)
    with listen(LineSink(said.append)):
        fresh = PictureSource(rows, store, tower, epochs=1, scratch=scratch).take(index)
        assert list(scratch.iterdir()) == []
        with PictureSource(rows, store, tower, epochs=2, scratch=scratch) as source:
            kept = source.take(index)
            assert list(scratch.iterdir()) == [], "the file has no name"
            of_test = source.take(torch.tensor([8, 0]))
    assert torch.allclose(kept.states, fresh.states, atol=2e-3, rtol=1e-3)
    assert torch.equal(kept.states[1], kept.states[2]), "both show one picture"
    assert torch.equal(kept.title, torch.from_numpy(rows.text)[index])
    assert torch.allclose(of_test.states[1], kept.states[1], atol=2e-3, rtol=1e-3)
    assert "computed anew for every step: one epoch sees each picture about once." in said[0]
    assert "the states of 6 pictures are kept" in said[1], "none of a test channel"
    assert "0.0 GB for 2 epochs." in said[1]
    assert list(scratch.iterdir()) == []


def test_an_interrupted_training_leaves_no_states_and_the_run_that_resumes_computes_the_same(items, tmp_path):
    store, rows = items
    tower, scratch = Tower(TINY.image, 1), tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt), PictureSource(rows, store, tower, epochs=2, scratch=scratch) as source:
        before = source.take(torch.arange(8)).states
        raise KeyboardInterrupt
    assert list(scratch.iterdir()) == []
    with PictureSource(rows, store, tower, epochs=2, scratch=scratch) as source:
        assert torch.equal(source.take(torch.arange(8)).states, before)


def _killed(home, rows, when):
    tower = Tower(TINY.image, 1)
    if when == "while they are written":
        tower.stem.register_forward_hook(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with PictureSource(rows, ImageStore(home / "images"), tower, epochs=2, scratch=home / "scratch") as source:
        source.take(torch.arange(8))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("when", ["while they are written", "while they are used"])
def test_a_killed_training_leaves_nothing_of_the_pictures_on_the_disk(when, items, tmp_path):
    _, rows = items
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(tmp_path, rows, when))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_training_picture_that_cannot_be_had_names_its_video_and_leaves_no_file(items, tmp_path):
    store, rows = items
    store.delete([rows.picture[4]])
    scratch = tmp_path / "scratch"
    with pytest.raises(DatasetError, match=r"The picture of video4 cannot be had for fine-tuning \(file_missing"):
        PictureSource(rows, store, Tower(TINY.image, 1), epochs=2, scratch=scratch)
    assert list(scratch.iterdir()) == []
    source = PictureSource(rows, store, Tower(TINY.image, 1), epochs=1, scratch=scratch)
    assert len(source.take(torch.tensor([0, 1])).states) == 2
    with pytest.raises(DatasetError, match="video4"):
        source.take(torch.tensor([0, 4]))


@pytest.mark.parametrize(
    ("size", "free", "epochs", "keep", "says"),
    [
        (10**9, 10**12, 5, True, "1.0 GB for 5 epochs"),
        (10**9, 10**12, 1, False, "one epoch"),
        (10**9, 10**9, 5, False, "1.0 GB, and the disk has 1.0 GB free"),
        (10**12, 10**13, 5, False, "1,000.0 GB, and at most 274.9 GB are kept"),
    ],
)
def test_states_are_kept_where_that_pays_and_there_is_room(size, free, epochs, keep, says):
    found = keeping(size, free, epochs)
    assert found.keep is keep
    assert says in found.because
