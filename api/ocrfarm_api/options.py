"""The options of a submission, from the texts that came with it to the contracts' types. Every refusal names the option."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ocrfarm_api.hook_targets import Targets
from ocrfarm_shared.contracts import CacheMode, Layout, OcrOptions, Priority, ReadingOptions, Submission
from ocrfarm_shared.errors import BadOption, NoSuchPage
from ocrfarm_shared.profiles import Profile, default_profile, get_profile
from ocrfarm_shared.settings import Settings

READING = ("profile", "layout", "languages", "pages", "options")
HANDLING = ("cache", "priority", "tag", "webhook", "deadline_s", "filename")
NAMES = READING + HANDLING

_HINTS = {
    "pages": "pages are counted from 1, like `3`, `1-4,9` or `5-`",
    "layout": "there are: " + ", ".join(Layout),
    "cache": "there are: " + ", ".join(CacheMode),
    "priority": "there are: " + ", ".join(Priority),
    "deadline_s": "seconds, more than 0, 604800 (a week) at most",
    "tag": "100 characters at most",
    "filename": "a text of 255 characters at most",
    "profile": "GET /v1/profiles lists those there are",
}


def submission(fields: Mapping[str, Any], settings: Settings) -> Submission:
    """The submission that these fields ask for. Texts and JSON values are both understood; an empty text is as good as none.

    Raises BadOption, naming the field, and UnknownProfile.
    """
    unknown = [name for name in fields if name not in NAMES]
    if unknown:
        raise BadOption(f"There is no option `{unknown[0][:100]}`; there are: {', '.join(NAMES)}.")
    given = {name: value for name, value in fields.items() if value is not None and value != ""}
    if "webhook" in given:
        _check_webhook(given["webhook"], settings)
    reading = {name: given.pop(name) for name in READING if name in given}
    reading.setdefault("profile", default_profile())
    if not isinstance(reading["profile"], str):
        raise BadOption("`profile` must be a text; GET /v1/profiles lists those there are.")
    profile = get_profile(reading["profile"])
    reading["languages"] = _languages(reading.get("languages"), profile)
    reading["options"] = _reading_options(reading.get("options"), settings)
    if "filename" in given and isinstance(given["filename"], str):
        given["filename"] = given["filename"][:255]
    try:
        made = Submission(ocr=OcrOptions(**reading), **given)
    except ValidationError as err:
        raise _bad(err) from None
    if profile.detector is None and made.ocr.layout is Layout.PAGE:
        raise BadOption(
            f"`layout`: the profile {profile.name!r} reads single lines and finds none on a page; leave it out."
        )
    if made.ocr.pages:
        page_ranges(made.ocr.pages)
    return made


def page_ranges(pages: str) -> list[tuple[int, int | None]]:
    """`1-4,9,5-` as [(1, 4), (9, 9), (5, None)]. Raises BadOption for page 0 and for ranges that run backwards."""
    ranges = []
    for part in pages.split(","):
        first, dash, last = part.partition("-")
        start = int(first)
        end = int(last) if last else None if dash else start
        if start < 1 or (end is not None and end < start):
            raise BadOption(f"`pages`: {part!r} is no range; {_HINTS['pages']}.")
        ranges.append((start, end))
    return ranges


def check_single_page(pages: str | None) -> None:
    """For kinds that hold one page. Raises NoSuchPage where that one is not asked for."""
    if pages and not any(start == 1 for start, _ in page_ranges(pages)):
        raise NoSuchPage("This kind of image holds one page; leave `pages` out, or ask for page 1.")


def _check_webhook(value: Any, settings: Settings) -> None:
    if not settings.webhook_secret or not settings.webhook_hosts:
        raise BadOption(
            "`webhook`: this farm sends none; wait with `?wait=`, or poll GET /v1/jobs/{id}. Whoever runs it can set "
            "OCRFARM_WEBHOOK_SECRET and OCRFARM_WEBHOOK_HOSTS."
        )
    if not isinstance(value, str):
        raise BadOption("`webhook` must be a text, like https://hooks.example.org/path.")
    Targets.of(settings.webhook_hosts).check(value)


def _languages(value: Any, profile: Profile) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadOption("`languages` must be a list of codes, like `en,zh`.")
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    for name in wanted:
        if name not in profile.languages:
            known = ", ".join(profile.languages)
            raise BadOption(
                f"`languages`: the profile {profile.name!r} does not read {name[:40]!r}; it reads: {known}."
            )
    return wanted


def _reading_options(value: Any, settings: Settings) -> ReadingOptions:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadOption('`options` is not valid JSON; it is an object like {"dpi": 300}.') from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise BadOption('`options` must be an object like {"dpi": 300}.')
    try:
        return ReadingOptions(**{"dpi": settings.dpi, **value})
    except ValidationError as err:
        raise _bad(err, "options.") from None


def _bad(err: ValidationError, prefix: str = "") -> BadOption:
    """The first thing wrong, by its name."""
    first = err.errors(include_url=False, include_context=False, include_input=False)[0]
    name = prefix + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return BadOption(f"There is no option `{name[:100]}`; there are: {', '.join(ReadingOptions.model_fields)}.")
    hint = _HINTS.get(name) or first["msg"]
    return BadOption(f"`{name[:100]}` is not valid: {hint}.")
