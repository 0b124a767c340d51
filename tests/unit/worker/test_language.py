"""The guess at a page's language."""

from __future__ import annotations

import pytest

from ocrfarm_worker.language import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "und"),
        ("2024-11-08 16:42", "und"),
        ("Thank you for the barometer.", "en"),
        ("图书馆暑期开放通知", "zh"),
        ("圖書館 Wi-Fi 密碼", "zh"),
        ("弘前ねぷたまつり開催中", "ja"),
        ("The sign said 馆 and nothing else at all.", "en"),
        ("Добро пожаловать", "und"),
        ("东京の夜景很美，值得一看，我们下次再去一次吧，好不好，带上孩子们一起去看看", "zh"),
    ],
)
def test_guess(text: str, language: str) -> None:
    assert guess_language(text) == language
