"""What somebody says of a model that he brings: the spec file and the characters, read and checked before the model is opened.

The spec is TOML:

    title = "Part numbers on castings"          # shown by `ocrfarm models list`
    licence = "Apache-2.0"                      # optional
    languages = ["en"]                          # optional: what the profile says that it reads
    blank = 0                                   # class of CTC's blank, or "last"
    reads = "page"                              # optional: "line", where each picture is one line and no detector is wanted
    space = false                               # optional: one more class after the characters is the space (PP-OCR's habit)
    [input]                                     # spec.InputRule: height is needed, the rest has defaults
    [output]                                    # optional: spec.OutputRule
"""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ocrfarm_models.spec import Activation, Channels, Fit, InputRule, Layout, Order, OutputRule
from ocrfarm_shared.errors import no_file

# What toolkits call a class that stands for "none of these"; it says nothing.
_SILENT = {"[UNK]", "<unk>", "<UNK>"}
_BLANKS = {"[CTCblank]", "<blank>", "[blank]", "<BLANK>", "<ctc>"}


class Unfit(ValueError):
    """A model, or what is said of it, cannot be used; the sentence says what to change."""


@dataclass(frozen=True)
class Offer:
    """A spec file's content. `blank` is -1 for the last class."""

    title: str
    licence: str
    blank: int
    input: InputRule
    output: OutputRule = field(default_factory=OutputRule)
    languages: tuple[str, ...] = ()
    reads: Literal["page", "line"] = "page"
    space: bool = False


def read_spec(path: Path) -> Offer:
    """The spec file. Raises Unfit, naming the file and the field."""
    try:
        raw = tomllib.loads(path.read_text("utf8"))
    except FileNotFoundError:
        raise Unfit(no_file(path)) from None
    except OSError as err:
        raise Unfit(f"The spec {path} cannot be read: {err.strerror}.") from None
    except ValueError as err:
        raise Unfit(f"The spec {path} is not TOML: {err}.") from None
    _only(raw, [f.name for f in fields(Offer)], path, "")
    for name in ("input", "output"):
        if not isinstance(raw.get(name, {}), dict):
            raise Unfit(f"`{name}` in {path} is a table: put its fields below a line [{name}].")
    if not isinstance(raw.get("space", False), bool):
        raise Unfit(f"`space` in {path} is {raw['space']!r}; it takes true or false.")
    if "height" not in raw.get("input", {}):
        raise Unfit(f"The spec {path} needs a table [input] with the height of a line in pixels.")
    blank = raw.get("blank")
    if blank != "last" and (not isinstance(blank, int) or isinstance(blank, bool) or blank < 0):
        raise Unfit(f'The spec {path} needs `blank`: the class of CTC\'s blank, like 0, or "last".')
    rule = _table(InputRule, raw["input"], path, "input")
    _one_of(rule.layout, get_args(Layout), path, "input.layout")
    _one_of(rule.channels, get_args(Channels), path, "input.channels")
    _one_of(rule.fit, get_args(Fit), path, "input.fit")
    output = _table(OutputRule, raw.get("output", {}), path, "output")
    _one_of(output.order, get_args(Order), path, "output.order")
    _one_of(output.activation, get_args(Activation), path, "output.activation")
    _one_of(raw.get("reads", "page"), ("page", "line"), path, "reads")
    _sizes(rule, path)
    languages = raw.get("languages", [])
    if not isinstance(languages, list) or not all(isinstance(name, str) for name in languages):
        raise Unfit(f'`languages` in {path} is a list of codes, like ["en"].')
    return Offer(
        title=str(raw.get("title", path.stem)),
        licence=str(raw.get("licence", "not said")),
        blank=-1 if blank == "last" else blank,
        input=rule,
        output=output,
        languages=tuple(languages),
        reads=raw.get("reads", "page"),
        space=bool(raw.get("space", False)),
    )


def _table(kind: type[Any], raw: dict[str, Any], path: Path, name: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    _only(raw, list(known), path, f"{name}.")
    for key, value in raw.items():
        wanted = {"int": (int,), "float": (int, float)}.get(str(known[key].type), (str,))
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise Unfit(
                f"`{name}.{key}` in {path} is {value!r}; it takes {'a text' if wanted == (str,) else 'a number'}."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise Unfit(f"`{name}.{key}` in {path} is {value}; it takes a number.")
    return kind(**raw)


def _sizes(rule: InputRule, path: Path) -> None:
    if rule.height < 1 or rule.multiple < 1 or rule.max_width < 1 or rule.std <= 0:
        raise Unfit(f"`input` in {path}: height, multiple, max_width and std are more than 0.")
    if min(rule.width, rule.margin, rule.min_width, rule.overlap) < 0 or rule.batch not in (0, 1):
        raise Unfit(f"`input` in {path}: no width is negative, and batch is 0 (any) or 1.")
    if not 0 <= rule.trim <= 0.25:
        raise Unfit(f"`input.trim` in {path} is a share of the height, 0 to 0.25.")
    if not rule.width and (rule.overlap or rule.fit == "stretch"):
        raise Unfit(f'`input` in {path}: overlap and fit = "stretch" are for models of one width; name it as `width`.')
    if rule.width and rule.overlap * 2 > rule.width:
        raise Unfit(f"`input.overlap` in {path} is at most half of the width, {rule.width // 2}.")


def _only(raw: dict[str, Any], known: list[str], path: Path, prefix: str) -> None:
    if unknown := [name for name in raw if name not in known]:
        raise Unfit(f"The spec {path} has no field `{prefix}{unknown[0]}`; there are: {', '.join(known)}.")


def _one_of(value: object, known: tuple[str, ...], path: Path, name: str) -> None:
    if value not in known:
        raise Unfit(f"`{name}` in {path} is {value!r}; there are: {', '.join(known)}.")


def read_charset(path: Path) -> list[str]:
    """The text of each class but the blank, in class order: a JSON list, one character a line, or all of them in one line.

    Lines of more than one character are classes that say more than one; [UNK] and an empty line are classes that say nothing. Raises
    Unfit.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
    except FileNotFoundError:
        raise Unfit(no_file(path)) from None
    except OSError as err:
        raise Unfit(f"The charset {path} cannot be read: {err.strerror}.") from None
    except UnicodeDecodeError as err:
        raise Unfit(f"The charset {path} is not UTF-8 (byte {err.start}); save it as UTF-8.") from None
    listed = _json_list(text)
    if listed is None:
        # Never str.splitlines(): it also splits at U+0085 and U+2028, which a charset may hold.
        listed = text.split("\n") if "\n" in text else list(text)
    if found := next((c for c in listed if c in _BLANKS), None):
        raise Unfit(
            f"The charset {path} lists CTC's blank ({found}); take that line out and name its class in the spec."
        )
    characters = ["" if c in _SILENT else c for c in listed]
    twice = [c for c, n in Counter(c for c in characters if c).items() if n > 1]
    if twice:
        raise Unfit(
            f"The charset {path} has {twice[0]!r} more than once ({len(twice)} such); each class has a text of its own."
        )
    if not any(characters):
        raise Unfit(f"The charset {path} is empty; it holds one character a line, in the order of the model's classes.")
    return characters


def _json_list(text: str) -> list[str] | None:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        listed = json.loads(text)
    except ValueError:
        return None
    return listed if isinstance(listed, list) and all(isinstance(c, str) for c in listed) else None
