"""Fetch the fonts and texts that `sources.toml` names, from Debian and npm packages, into one folder.

    python -m ocrfarm_models.training.fetch --into runs/assets

Nothing is installed: Debian packages are downloaded with `apt-get download` and unpacked with `dpkg -x`; npm packages are
installed without scripts into a folder of their own. A package that the configured registries do not have is reported and
left out: a generator with 300 of 320 faces is worth having. Run again, it fetches only what is missing.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import tomllib
from pathlib import Path

log = logging.getLogger(__name__)
SOURCES = Path(__file__).with_name("sources.toml")


def fetch_debian(packages: list[str], into: Path) -> list[str]:
    """Download and unpack Debian packages under `into/<name>/`; return those that could not be had."""
    missing = []
    for name in packages:
        folder = into / name
        if folder.exists():
            continue
        scratch = into / ".download"
        scratch.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(["apt-get", "download", name], cwd=scratch, capture_output=True, text=True)
        files = sorted(scratch.glob("*.deb"))
        if got.returncode or not files:
            missing.append(name)
            continue
        subprocess.run(["dpkg", "-x", str(files[0]), str(folder)], check=True, capture_output=True)
        for file in files:
            file.unlink()
    return missing


def fetch_npm(scope: str, packages: list[str], into: Path) -> None:
    """Install npm packages (files only, no scripts) under `into/node_modules/`."""
    into.mkdir(parents=True, exist_ok=True)
    wanted = {f"{scope}/{name}": "*" for name in packages}
    (into / "package.json").write_text(json.dumps({"name": "ocrfarm-fonts", "private": True, "dependencies": wanted}))
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=into, check=True
    )


def main() -> None:
    """Fetch everything, Debian first; say what is missing."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--into", type=Path, default=Path("runs/assets"))
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sources = tomllib.loads(SOURCES.read_text("utf8"))
    debian = sources["debian"]
    wanted = [name for kind in ("fonts", "texts", "chinese", "chinese_texts") for name in debian[kind]]
    missing = fetch_debian(wanted, args.into / "debian")
    if missing:
        log.warning("not in the configured Debian archive: %s", ", ".join(missing))
    npm = sources["npm"]
    fetch_npm(npm["scope"], npm["fonts"] + npm["chinese"], args.into / "npm")
    log.info("assets are in %s", args.into)


if __name__ == "__main__":
    main()
