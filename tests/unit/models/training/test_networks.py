"""Networks, learning, checkpoints and export. Skipped where torch is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra `train`; from the ordinary index it brings gigabytes of CUDA"
)
cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")

from ocrfarm_models.training.alphabet import Alphabet  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.batches import collate  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.config import TrainConfig, load_config  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.learning import Learner, draft, framed, rate  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.networks import NETWORKS, EvenLight, build  # noqa: E402  # after the skip where torch is missing

SMALL = {
    "lite": {"width": 8, "hidden": 16, "neck": 32, "dropout": 0.0},
    "refined": {"width": 8, "hidden": 16, "neck": 32, "dropout": 0.0},
    "vgg": {"hidden": 16},
}


def tiny() -> TrainConfig:
    return replace(
        load_config("crnn-captcha"), network_options=SMALL["lite"], warmup_steps=5, peak_rate=1e-2, bfloat16=False
    )


def words(alphabet: Alphabet) -> list:
    out = []
    for text in ("2b", "7x", "dn", "g4"):
        line = np.full((32, 48), 230, np.uint8)
        cv2.putText(line, text, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 20, 2)
        out.append((line, text))
    return out


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("width", [32, 112])
def test_four_columns_a_step(name: str, width: int) -> None:
    network = build(name, 21, **SMALL[name]).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 32, width) - 0.5).shape == (2, width // 4, 21)


def test_an_unknown_network_lists_the_known() -> None:
    with pytest.raises(KeyError, match="lite, refined, vgg"):
        build("resnet", 10)


def test_light_and_padding_do_not_matter() -> None:
    light = EvenLight()
    x = (torch.randint(0, 256, (1, 1, 32, 64)) / 255 - 0.5) / 0.5
    padded = torch.cat([x, torch.zeros(1, 1, 32, 32)], dim=3)
    even = light(padded)
    assert torch.allclose(even[..., :64], light(x), atol=1e-5)
    assert even[..., 64:].abs().max() == 0
    assert torch.allclose(light(x * 0.3 + 0.2), light(x), atol=0.15)


def test_the_rate_warms_up_and_falls() -> None:
    config = tiny()
    assert rate(config, 0, 0.0) == pytest.approx(config.peak_rate / 5)
    assert rate(config, 9, 0.0) == pytest.approx(config.peak_rate)
    assert rate(config, 9, 1.0) == pytest.approx(config.peak_rate / 100)


def test_the_loss_falls_on_a_few_words() -> None:
    torch.manual_seed(1)
    config = tiny()
    alphabet = Alphabet("2345678bcdefgmnpwxy")
    learner = Learner(build("lite", len(alphabet), **SMALL["lite"]), config)
    batch = collate(words(alphabet), alphabet)
    losses = [learner.learn(batch, rate(config, i, 0.0)) for i in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_framed_loss_wants_each_character_at_its_step() -> None:
    said = torch.tensor([3, -3, 0])
    right = torch.full((3, 5), -20.0)
    right[0, 3] = right[2, 0] = right[1, 3] = 20.0
    assert framed(right, said) < 1e-3
    right[1] = torch.tensor([20.0, -20, -20, -20, -20])  # beside the middle, blank is as good
    assert framed(right, said) < 1e-3
    right[1] = torch.tensor([-20.0, 20, -20, -20, -20])  # another character is not
    assert framed(right, said) > 10


def test_a_draft_holds_the_targets_and_the_blank() -> None:
    targets = torch.tensor([40, 7, 40, 99], dtype=torch.int32)
    classes, numbers = draft(targets, 1000, 5)
    assert classes[0] == 0
    assert classes[numbers.long()].tolist() == targets.tolist()
    assert 4 <= len(classes) <= 9


def test_known_places_and_ctc_both_teach_the_refined_network() -> None:
    torch.manual_seed(1)
    config = replace(tiny(), network="refined", network_options=SMALL["refined"], draft=8)
    alphabet = Alphabet("2345678bcdefgmnpwxy")
    learner = Learner(build("refined", len(alphabet), **SMALL["refined"]), config)
    plain = collate(words(alphabet), alphabet)
    said = torch.zeros(len(plain.texts), plain.x.shape[3] // 4, dtype=torch.int64)
    for row, text in zip(said, plain.texts, strict=True):
        row[2], row[7] = (alphabet.number[c] for c in text)
    placed = replace(plain, marks=said)
    lstm = [p.detach().clone() for p in learner.network.lstm.parameters()]
    first = [learner.learn(placed, rate(config, i, 0.0), 0.0) for i in range(40)]
    assert first[-1] < 0.5 * first[0]
    second = [learner.learn(plain, rate(config, 5, 0.0), 1.0) for _ in range(40)]
    assert second[-1] < second[0]
    assert any((a != b).any() for a, b in zip(lstm, learner.network.lstm.parameters(), strict=True))


def test_a_checkpoint_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("tqdm")
    from ocrfarm_models.training.train import Trainer

    alphabet = Alphabet("2345678bcdefgmnpwxy")
    first = Trainer(tiny(), alphabet, tmp_path)
    batch = collate(words(alphabet), alphabet)
    first.learner.learn(batch, 1e-3)
    first.average.follow(first.network)
    first.step, first.samples = 7, 28
    first.save("last.pt", full=True)
    second = Trainer(tiny(), alphabet, tmp_path)
    second.resume(tmp_path / "last.pt")
    assert (second.step, second.samples) == (7, 28)
    assert first.learner.learn(batch, 1e-3) == pytest.approx(second.learner.learn(batch, 1e-3), rel=1e-3)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_an_export_reads_as_torch_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from ocrfarm_models.training.evaluate import Served
    from ocrfarm_models.training.export import check_parity, export, metadata
    from ocrfarm_models.training.reading import Reader

    torch.manual_seed(2)
    alphabet = Alphabet("2345678bcdefgmnpwxy")
    network = build(name, len(alphabet), **SMALL[name]).eval()
    kept = {"config": tiny().as_dict(), "step": 1, "samples": 4}
    path = tmp_path / "tiny.onnx"
    export(network, path, metadata(alphabet, kept))
    assert check_parity(network, path) < 1e-3
    crops = [image for image, _ in words(alphabet)]
    assert [r.text for r in Served(path).read(crops)] == [r.text for r in Reader(network, alphabet).read(crops)]
