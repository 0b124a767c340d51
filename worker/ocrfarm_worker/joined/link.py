"""The node's calls to the gateway, with its node token."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from pydantic import ValidationError

from ocrfarm_shared.contracts import Problem
from ocrfarm_shared.nodes import JoinedNode, JoinRequest
from ocrfarm_shared.version import version

CONNECT_S = 5.0
ANSWER_S = 30.0  # also between two pieces of a file
JOIN_S = 10.0  # whoever stops the agent waits for it
PIECE = 256 * 1024


class Away(Exception):
    """The gateway does not answer, or says that it cannot now: worth another try."""


class Refused(Exception):
    """The token is not taken (any more), or this farm takes no nodes. The text says what to do."""


class NotThere(Exception):
    """The gateway knows no such thing. `code`: the problem's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Link:
    """One connection pool to one gateway. Every method raises Away and Refused."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        try:
            host = httpx.URL(self.url).host
        except httpx.InvalidURL:
            host = ""
        if not self.url.startswith(("http://", "https://")) or not host:
            raise Refused(f"{url!r} is no address of a farm; it takes one like http://192.168.1.10:8000.")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"ocrfarm-node/{version()}"},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # A proxy set for the internet knows no way to this machine's loopback.
            trust_env=host not in ("127.0.0.1", "::1", "localhost"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def join(self, asked: JoinRequest) -> JoinedNode:
        """What the farm tells this node. Also what is no answer of a gateway is Away: a proxy's, say, before it is up."""
        try:
            answer = self._http.post("/v1/nodes/join", json=asked.model_dump(mode="json"), timeout=JOIN_S)
        except httpx.HTTPError as err:
            raise Away(f"{self.url} does not answer ({type(err).__name__})") from None
        if answer.status_code == 404:
            raise Refused(
                f"What answers at {self.url} is no farm that nodes can join; see the address, and the farm's release."
            )
        self._look(answer)
        try:
            return JoinedNode.model_validate_json(answer.content)
        except ValidationError:
            raise Away(f"{self.url} answers what no farm does") from None

    def fetch(self, unit: str, token: int, into: Path) -> None:
        """The upload of a unit that this node holds, to the end of the file: what is there of it already is not sent again.

        Raises NotThere, and OSError where the disk takes no more.
        """
        have = into.stat().st_size if into.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        request = self._http.build_request(
            "GET", f"/v1/nodes/units/{unit}/upload", params={"token": token}, headers=headers
        )
        try:
            answer = self._http.send(request, stream=True)
            try:
                if answer.status_code == 416:  # all of it was there
                    return
                if not answer.is_success:
                    answer.read()
                self._look(answer)
                with into.open("ab" if answer.status_code == 206 else "wb") as file:
                    for piece in answer.iter_bytes(PIECE):
                        file.write(piece)
            finally:
                answer.close()
        except httpx.HTTPError as err:
            raise Away(f"{self.url} broke off ({type(err).__name__})") from None

    def bring(self, unit: str, token: int, body: bytes | mmap) -> str:
        """What was made for a unit that this node holds; the blob's name. Raises NotThere."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        try:
            answer = self._http.put(
                f"/v1/nodes/units/{unit}/made",
                params={"token": token},
                content=_pieces(body),
                headers={
                    "Content-Digest": f"sha-256=:{digest}:",
                    "Content-Length": str(len(body)),
                    "Content-Type": "application/octet-stream",
                },
            )
        except httpx.HTTPError as err:
            raise Away(f"{self.url} broke off ({type(err).__name__})") from None
        self._look(answer)
        return str(answer.json()["blob"])

    def _look(self, answer: httpx.Response) -> None:
        """Raises Away, Refused or NotThere for all but a success."""
        if answer.is_success:
            return
        try:
            problem = Problem.model_validate_json(answer.content)
            code, detail = problem.code, problem.detail
        except ValidationError:
            code, detail = "", f"{self.url} answers {answer.status_code}"
        if answer.status_code in (401, 403) or code == "cannot_join":
            raise Refused(detail)
        if answer.status_code in (404, 410):
            raise NotThere(code, detail)
        raise Away(detail)


def _pieces(body: bytes | mmap) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
