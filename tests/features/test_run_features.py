"""A run's data sets and model with a cache: equal features, no encoder, unchanged fingerprints, clear refusals."""

import pytest
import torch
from torch import nn

from helpers.features import PLAIN, RANDOM, dataset, model, settings, write_images
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.features import run_features as module
from lavis_sam.features.run_features import connect_features, release_vision
from lavis_sam.locks import locked
from lavis_sam.models.trainable import select_trainable
from lavis_sam.models.vision import ReleasedVision
from lavis_sam.weights.fingerprints import fingerprint

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return write_images(tmp_path / "images")


def connected(root, tmp_path, sam=None, transform=RANDOM, **run):
    data = dataset(root, transform)
    sam = sam or model()
    run = {"feature_cache": str(tmp_path / "cache"), "feature_crops": 2, **run}
    return data, sam, connect_features(settings(**run), {"own": {"train": data}}, sam)


def outputs(sam, data, indices=(0, 1, 2)):
    batch = data.collater([data[index] for index in indices])
    sam.zero_grad()
    loss = sam.train()(batch)["loss"]
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in sam.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("crops", [1, 2])
def test_run_features_give_the_loss_and_gradients_of_the_images(root, tmp_path, crops):
    plain, without = dataset(root, RANDOM), model()
    assert connect_features(settings(feature_crops=crops), {"own": {"train": plain}}, without) is None
    data, sam, features = connected(root, tmp_path, feature_crops=crops)
    features.prepare(sam, CPU)
    assert features.computed == 5 * crops
    assert isinstance(sam.visual_encoder, ReleasedVision)
    for epoch in range(2):
        plain.set_epoch(epoch)
        data.set_epoch(epoch)
        (loss, gradients), (wanted, wanted_gradients) = outputs(sam, data), outputs(without, plain)
        assert torch.equal(loss, wanted)
        for name, gradient in gradients.items():
            assert torch.equal(gradient, wanted_gradients[name]), name


@pytest.mark.parametrize(("transform", "crops"), [(RANDOM, 1), (PLAIN, 1), (PLAIN, 3)])
def test_run_features_of_one_crop_are_the_same_in_every_epoch_without_a_cache(root, transform, crops):
    data = dataset(root, transform)
    connect_features(settings(feature_crops=crops), {"own": {"train": data}}, model())
    first = [data[index]["image"] for index in range(3)]
    data.set_epoch(1)
    for index in range(3):
        assert torch.equal(data.item(index, repeat=1)["image"], first[index])
    assert torch.equal(first[0][:, 1], first[1][:, 0]), "one image in two samples"


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 1e-4), ("bf16", 1e-3), ("int8", 1e-2)])
def test_run_features_of_less_precision_have_a_loss_near_by(root, tmp_path, precision, bound):
    plain, without = dataset(root, PLAIN), model()
    data, sam, features = connected(root, tmp_path, transform=PLAIN, feature_cache_precision=precision)
    features.prepare(sam, CPU)
    batches = [part.collater([part[index] for index in range(3)]) for part in (data, plain)]
    tokens, exact = (m.encode(b, b["text_input"]).tokens for m, b in zip((sam, without), batches, strict=True))
    assert 0 < (tokens - exact).norm() / exact.norm() < 100 * bound
    loss, wanted = outputs(sam, data)[0], outputs(without, plain)[0]
    assert abs(float(loss / wanted) - 1) < bound


def test_run_features_without_chance_are_those_of_a_plain_run(root, tmp_path):
    data, sam, features = connected(root, tmp_path, transform=PLAIN, feature_crops=None)
    features.prepare(sam, CPU)
    assert features.computed == 5
    assert torch.equal(outputs(sam, data)[0], outputs(model(), dataset(root, PLAIN))[0])


def test_run_features_that_are_there_are_not_computed_again(root, tmp_path):
    _, first, features = connected(root, tmp_path)
    features.prepare(first, CPU)
    data, sam, features = connected(root, tmp_path)
    assert isinstance(sam.visual_encoder, ReleasedVision), "it need not even come to the GPU"
    features.prepare(sam, CPU)
    assert features.computed == 0
    assert "image_features" in data[0]


def test_run_features_grow_with_the_data(root, tmp_path):
    _, first, features = connected(root, tmp_path)
    features.prepare(first, CPU)
    (root / "e.png").write_bytes((root / "a.png").read_bytes())  # known
    _, sam, features = connected(root, tmp_path)
    features.prepare(sam, CPU)
    assert features.computed == 0
    _, sam, features = connected(root, tmp_path, feature_crops=3)
    features.prepare(sam, CPU)
    assert features.computed == 4, "the third crop of four images"


def test_run_features_let_go_of_the_encoder_and_keep_its_fingerprints(root, tmp_path):
    sam = model()
    before = weights_fingerprint(sam), fingerprint(sam), sam.state_dict().keys()
    encoder = sam.visual_encoder
    weights = sum(p.numel() for p in sam.parameters())
    release_vision(sam)
    release_vision(sam)  # twice is once
    assert (weights_fingerprint(sam), fingerprint(sam)) == before[:2]
    assert list(fingerprint(sam)) == list(before[1])
    assert sum(p.numel() for p in sam.parameters()) == weights - sum(p.numel() for p in encoder.parameters())
    sam.to("cpu")
    with pytest.raises(SamConfigurationError, match="was let go of"):
        sam.visual_encoder(torch.zeros(1, 3, 28, 28))


def test_run_features_refuse_other_weights(root, tmp_path):
    _, sam, features = connected(root, tmp_path)
    features.prepare(sam, CPU)
    with pytest.raises(SamConfigurationError, match="made by something else: its weights"):
        connected(root, tmp_path, sam=model(seed=1))


def test_run_features_refuse_another_transform(root, tmp_path):
    _, sam, features = connected(root, tmp_path)
    features.prepare(sam, CPU)
    with pytest.raises(SamConfigurationError, match="its transform of own/train"):
        connected(root, tmp_path, transform=PLAIN)


def test_run_features_of_random_crops_want_their_number(root, tmp_path):
    with pytest.raises(SamConfigurationError, match=r"datasets\.own, split train, are cropped at random"):
        connected(root, tmp_path, feature_crops=None)
    assert not (tmp_path / "cache").exists()


def test_run_features_refuse_a_trained_encoder(root, tmp_path):
    sam = model()
    select_trainable(sam, "base")
    with pytest.raises(SamConfigurationError, match="trains the vision encoder"):
        connected(root, tmp_path, sam=sam)


def test_run_features_refuse_another_model_and_data_without_places(root, tmp_path):
    with pytest.raises(SamConfigurationError, match="the model is a Linear"):
        connected(root, tmp_path, sam=nn.Linear(1, 1))
    run = settings(feature_cache=str(tmp_path / "cache"))
    with pytest.raises(SamConfigurationError, match=r"datasets\.own is a list"):
        connect_features(run, {"own": {"train": []}}, model())


def test_run_features_refuse_what_has_no_room_before_they_compute(root, tmp_path):
    _, sam, features = connected(root, tmp_path, feature_cache_gb=1e-6)
    with pytest.raises(SamConfigurationError, match=r"run\.feature_cache_gb allows"):
        features.prepare(sam, CPU)
    assert not list((tmp_path / "cache").glob("part-*"))


def test_run_features_wait_for_another_process(root, tmp_path, monkeypatch):
    _, sam, features = connected(root, tmp_path)
    other_sam = model()
    _, _, other = connected(root, tmp_path, sam=other_sam)
    held = locked(tmp_path / "cache", "")
    held.__enter__()
    slept = []

    def other_finishes(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            held.__exit__(None, None, None)
            other.prepare(other_sam, CPU)

    monkeypatch.setattr(module.time, "sleep", other_finishes)
    features.prepare(sam, CPU)
    assert len(slept) == 2
    assert (other.computed, features.computed) == (10, 0)


def test_run_features_serve_only_the_splits_of_the_run(root, tmp_path):
    train, test = dataset(root, RANDOM), dataset(root, PLAIN)
    run = settings(feature_cache=str(tmp_path / "cache"), evaluate=True, test_splits=["test"])
    features = connect_features(run, {"own": {"train": train, "test": test}}, model())
    features.prepare(model(), CPU)
    assert train.source is None
    assert "image_features" in test[0]
    assert features.computed == 5


def test_run_features_pass_over_damaged_images_as_a_plain_run_does(root, tmp_path):
    (root / "c.png").write_bytes(b"no image")
    (root / "e.png").unlink()
    data, sam, features = connected(root, tmp_path)
    features.prepare(sam, CPU)
    assert "image_features" in data[0]
    for index, name in ((1, "c.png"), (2, "e.png")):
        with pytest.raises(SamDataError, match=name):
            data[index]
