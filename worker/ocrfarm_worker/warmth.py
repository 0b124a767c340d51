"""How hot this machine is, and whether it slows itself down: read from sysfs, as a Raspberry Pi tells it without `vcgencmd`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SYS = Path("/sys")
# The firmware's word for what troubles a Raspberry Pi now, by bit; 16 bits higher: since it was started.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_PROCESSOR = ("cpu", "soc", "x86_pkg", "k10temp", "coretemp")


def warmth(root: Path = _SYS) -> dict[str, Any]:
    """`temperature_c` of the processor, degrees Celsius; `throttled` now, in words; `throttled_since_boot`. What is not told is left
    out."""
    told: dict[str, Any] = {}
    if (degrees := _temperature(root)) is not None:
        told["temperature_c"] = degrees
    word = _number(root / "devices/platform/soc/soc:firmware/get_throttled", 16)
    if word is not None:
        told["throttled"] = [name for bit, name in _THROTTLED.items() if word >> bit & 1]
        told["throttled_since_boot"] = [name for bit, name in _THROTTLED.items() if word >> (bit + 16) & 1]
    elif any(_number(alarm) for alarm in root.glob("class/hwmon/hwmon*/in0_lcrit_alarm") if _name(alarm) == "rpi_volt"):
        told["throttled"] = ["under-voltage"]  # all that a kernel without the firmware's file says
    return told


def _temperature(root: Path) -> float | None:
    """Of the zone that is the processor's; of several the hottest."""
    zones = [
        (_text(zone / "type") or "", degrees / 1000)
        for zone in sorted(root.glob("class/thermal/thermal_zone*"))
        if (degrees := _number(zone / "temp")) is not None
    ]
    own = [degrees for name, degrees in zones if any(part in name.lower() for part in _PROCESSOR)]
    found = own or [degrees for _, degrees in zones]
    return round(max(found), 1) if found else None


def _name(alarm: Path) -> str | None:
    return _text(alarm.with_name("name"))


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path) or "", base)
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    """A zone may refuse to be read, or go."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
