"""Models that people bring: `ocrfarm models add` puts one into the state folder, with a profile of its name.

A folder `own-models/NAME/` holds the ONNX file as it came, its characters (charset.json), its row (model.toml, read by the registry)
and its profile (profile.toml, read by gateway and workers). It appears, is replaced and goes whole, by one rename.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ocrfarm_models import registry, trial
from ocrfarm_models.offer import Offer, Unfit
from ocrfarm_models.spec import ModelSpec
from ocrfarm_shared import profiles
from ocrfarm_shared.settings import settings

_HERE = -100  # AT_FDCWD: paths are as they are everywhere
_RENAME_EXCHANGE = 2
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def add(
    name: str,
    file: Path,
    characters: list[str],
    offer: Offer,
    *,
    replace_old: bool = False,
    figures: Mapping[str, float] | None = None,
    beside: Mapping[str, Path] | None = None,
) -> trial.Fitting:
    """Check the model, and register it as `name`, model and profile. `beside`: further files to keep with it, by name.

    Raises Unfit where it cannot be served so, OSError where the state folder cannot be written.
    """
    folder = settings().own_models_folder / name
    check_name(name, replace_old=replace_old)
    opset, rule = trial.look(file, offer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder.parent) as temporary:
        stage = Path(temporary) / name
        stage.mkdir(mode=0o755)
        model = Path(shutil.copyfile(file, stage / "model.onnx"))
        (stage / "charset.json").write_text(json.dumps(characters, ensure_ascii=False), "utf8")
        for called, source in (beside or {}).items():
            shutil.copyfile(source, stage / called)
        classes = len(characters) + int(offer.space) + 1
        blank = classes - 1 if offer.blank < 0 else offer.blank
        sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        spec = ModelSpec(
            id=name, kind="recognizer", path=model, sha256=sha256, licence=offer.licence, version="", input=rule,
            charset="file:charset.json", blank=blank, space=offer.space, output=offer.output,
        )  # fmt: skip
        found = trial.try_out(spec, characters, offer, opset)
        row = _row(replace(spec, input=found.input), offer, characters, figures or {})
        (stage / registry.ROW_FILE).write_text(_toml(row), "utf8")
        version = f"{name}@own-{str(row['added'])[:12]}"
        (stage / profiles.OWN_FILE).write_text(_toml(_profile(name, version, offer)), "utf8")
        put_in_place(stage, folder)
    forget()
    return found


def put_in_place(made: Path, folder: Path) -> None:
    """`made` becomes `folder`; what `folder` was before lies where `made` was. One step: whoever looks finds the one or the other,
    never none (renameat2(2), RENAME_EXCHANGE). A file system that cannot do it, NFS for one, takes two steps."""
    if not folder.exists():
        made.rename(folder)
        return
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange is not None and exchange(_HERE, os.fsencode(made), _HERE, os.fsencode(folder), _RENAME_EXCHANGE) == 0:
        return
    if exchange is not None and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    folder.rename(aside := made.with_name(f"{made.name}.old"))
    made.rename(folder)
    aside.rename(made)


def check_name(name: str, *, replace_old: bool) -> None:
    """Raises Unfit for a name that cannot be given."""
    if not _NAME.fullmatch(name):
        raise Unfit(f"{name!r} is no name for a model: small letters, figures, `.`, `_` and `-`, at most 40.")
    if name in own_names():
        if not replace_old:
            raise Unfit(f"There is a model {name!r} already; say --replace, or choose another name.")
    elif name in registry.rows() or name in profiles.profiles():
        raise Unfit(f"{name!r} is one of ocrfarm's own names; choose another.")


def remove(name: str) -> None:
    """Take an added model and its profile away. Raises Unfit where there is none of that name."""
    folder = settings().own_models_folder / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        known = ", ".join(own_names()) or "none"
        raise Unfit(f"No model {name!r} was added here; added are: {known}.")
    with tempfile.TemporaryDirectory(prefix=".removing-", dir=folder.parent) as temporary:
        folder.rename(Path(temporary) / name)
    forget()


def own_names() -> list[str]:
    """The names of the models that were added on this node; a damaged one among them."""
    folder = settings().own_models_folder
    return sorted(p.name for p in folder.iterdir() if _NAME.fullmatch(p.name)) if folder.is_dir() else []


def forget() -> None:
    """Let this process read registry and profiles anew."""
    registry.rows.cache_clear()
    profiles.reread()


def _row(spec: ModelSpec, offer: Offer, characters: list[str], figures: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": "recognizer", "title": offer.title, "file": "model.onnx", "sha256": spec.sha256, "licence": offer.licence,
        "charset": spec.charset, "blank": spec.blank, "space": spec.space,
    }  # fmt: skip
    rules = {"input": asdict(spec.input), "output": asdict(spec.output)}
    # All that decides what is read: another charset with the same weights is another model, and answers no old cache key.
    digest = hashlib.sha256(json.dumps([row, rules, characters], sort_keys=True).encode()).hexdigest()
    return row | {"added": digest} | rules | {"figures": dict(figures)}


def _profile(name: str, version: str, offer: Offer) -> dict[str, Any]:
    usual = profiles.get_profile(profiles.default_profile())
    made: dict[str, Any] = {"description": offer.title, "recognizer": name, "languages": list(offer.languages)}
    if offer.reads == "page":
        made |= {key: value for key in ("detector", "classifier") if (value := getattr(usual, key))}
    return made | {"versions": {name: version}}


def _toml(fields: Mapping[str, Any]) -> str:
    """Plain values, lists of texts, then one level of tables. JSON's texts, numbers and lists are TOML's."""
    lines = [f"{key} = {_value(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for key, table in fields.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{_key(k)} = {_value(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    """Raises Unfit for what is no number: TOML could hold it, JSON and our digest cannot."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
    except ValueError:
        raise Unfit(f"A figure of this model is {value!r}, which is no number; leave it out.") from None
