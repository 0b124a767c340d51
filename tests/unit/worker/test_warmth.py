"""Temperature and throttling, from trees of sysfs as a Raspberry Pi and others show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrfarm_worker.warmth import warmth


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


PI = {"class/thermal/thermal_zone0/type": "cpu-thermal", "class/thermal/thermal_zone0/temp": "61322"}


@pytest.mark.parametrize(
    ("word", "now", "since"),
    [
        ("0", [], []),
        ("50005", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("80008", ["soft temperature limit"], ["soft temperature limit"]),
        ("20000", [], ["frequency capped"]),
    ],
)
def test_a_pi_says_what_its_firmware_says(tmp_path: Path, word: str, now: list[str], since: list[str]) -> None:
    told = warmth(tree(tmp_path, PI | {"devices/platform/soc/soc:firmware/get_throttled": word}))
    assert told == {"temperature_c": 61.3, "throttled": now, "throttled_since_boot": since}


def test_without_the_firmwares_file_under_voltage_is_known(tmp_path: Path) -> None:
    alarm = {"class/hwmon/hwmon1/name": "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm": "1"}
    assert warmth(tree(tmp_path, PI | alarm)) == {"temperature_c": 61.3, "throttled": ["under-voltage"]}
    (tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm").write_text("0\n")
    assert warmth(tmp_path) == {"temperature_c": 61.3}


def test_the_processors_zone_is_taken_and_of_several_the_hottest(tmp_path: Path) -> None:
    more = {"class/thermal/thermal_zone1/type": "acpitz", "class/thermal/thermal_zone1/temp": "90000"}
    more |= {"class/thermal/thermal_zone2/type": "x86_pkg_temp", "class/thermal/thermal_zone2/temp": "70000"}
    assert warmth(tree(tmp_path, PI | more)) == {"temperature_c": 70.0}


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    assert warmth(tmp_path) == {}
    assert warmth(tree(tmp_path, {"class/thermal/thermal_zone0/temp": "no number"})) == {}
