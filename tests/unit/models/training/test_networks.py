"""Networks, learning, checkpoints and export. Skipped where torch is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")

from ocrfarm_models.training.alphabet import Alphabet  # noqa: E402
from ocrfarm_models.training.batches import collate  # noqa: E402
from ocrfarm_models.training.config import TrainConfig, load_config  # noqa: E402
from ocrfarm_models.training.learning import Learner, rate  # noqa: E402
from ocrfarm_models.training.networks import NETWORKS, EvenLight, build  # noqa: E402

SMALL = {"lite": {"width": 8, "hidden": 16, "neck": 32, "dropout": 0.0}, "vgg": {"hidden": 16}}


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
    with pytest.raises(KeyError, match="lite, vgg"):
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


def test_an_export_reads_as_torch_does(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from ocrfarm_models.training.evaluate import Served
    from ocrfarm_models.training.export import check_parity, export, metadata
    from ocrfarm_models.training.reading import Reader

    torch.manual_seed(2)
    alphabet = Alphabet("2345678bcdefgmnpwxy")
    network = build("lite", len(alphabet), **SMALL["lite"]).eval()
    kept = {"config": tiny().as_dict(), "step": 1, "samples": 4}
    path = tmp_path / "tiny.onnx"
    export(network, path, metadata(alphabet, kept))
    assert check_parity(network, path) < 1e-3
    crops = [image for image, _ in words(alphabet)]
    assert [r.text for r in Served(path).read(crops)] == [r.text for r in Reader(network, alphabet).read(crops)]
