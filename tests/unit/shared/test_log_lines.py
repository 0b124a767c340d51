"""A log line is one line, whatever a stranger's path or name holds."""

from __future__ import annotations

import json
import logging

import pytest

from ocrfarm_shared.telemetry import JsonFormatter, TextFormatter, log_context

NASTY = "/v1/x\n2026-01-01 INFO all is well\r\x1b[2J\x9b31m\u2028\u202eabc\x00 信 é"


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("api", logging.INFO, __file__, 1, "%s failed", (message,), None)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_nothing_makes_a_second_line_or_speaks_to_the_terminal(formatter: logging.Formatter) -> None:
    with log_context(job=NASTY):
        line = formatter.format(record(NASTY))
    assert len(line.splitlines()) == 1
    assert line.replace("信", "").replace("é", "").isascii()
    assert line.isprintable()
    assert line.count("\\u001b[2J") == line.count("信 é") == 2


def test_json_says_what_it_was() -> None:
    with log_context(job=NASTY):
        told = json.loads(JsonFormatter().format(record(NASTY)))
    assert (told["message"], told["job"]) == (f"{NASTY} failed", NASTY)


def test_a_traceback_keeps_its_lines_in_text() -> None:
    try:
        raise ValueError("bad")
    except ValueError as err:
        made = logging.LogRecord(
            "api", logging.ERROR, __file__, 1, "it failed", (), (type(err), err, err.__traceback__)
        )
    lines = TextFormatter().format(made).splitlines()
    assert lines[0].endswith("it failed")
    assert lines[-1] == "ValueError: bad"
