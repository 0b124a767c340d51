"""multipart/form-data (RFC 7578) read as it streams: the document goes to a spool, the other fields are kept, few and small."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from ocrfarm_api.spool import Spool
from ocrfarm_shared.errors import BadOption, MissingFile, TooLarge

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024  # of one part


class FormBody:
    """Feed it the body in any pieces; `fields` holds each field's values in the order sent, `filename` what the file was called.

    `begin_file`, `file_data` and `end_file` are the file's part of it; many_files.py has others.

    Raises BadOption for a form that breaks off or is none, for a second file and for a file under another name, and TooLarge.
    """

    most_parts = MAX_FIELDS

    def __init__(self, boundary: bytes, spool: Spool | None = None, field: str = "file") -> None:
        self._field = field
        self.fields: dict[str, list[str]] = {}
        self.filename: str | None = None
        self.found = False
        self._spool = spool
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as err:
            raise BadOption(f"The Content-Type's boundary cannot be used ({err}).") from None
        self._headers: dict[str, bytes] = {}
        self._header_name = b""
        self._header_content = b""
        self._name = ""
        self._in_file = False
        self._value = bytearray()
        self._ended = False
        self._parts = 0
        self._head_bytes = 0

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except MultipartParseError as err:
            raise BadOption(
                f"The multipart form is broken ({err}); check the boundary and the parts' headers."
            ) from None

    def finish(self) -> None:
        """The body has ended. Raises BadOption where the form has not, MissingFile where it held no file."""
        self.check_ended()
        if not self.found:
            raise MissingFile

    def check_ended(self) -> None:
        if not self._ended:
            raise BadOption("The multipart form breaks off before its closing boundary; send it again.")

    # ------------------------------------------------------------------ the parser's callbacks
    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > self.most_parts:
            raise BadOption(f"The form has more than {self.most_parts} fields.")
        self._head_bytes = 0
        self._headers, self._value, self._in_file = {}, bytearray(), False
        self._header_name = self._header_content = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._head(end - start)
        self._header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._head(end - start)
        self._header_content += data[start:end]

    def _head(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > MAX_HEADER_BYTES:
            raise TooLarge(f"The headers of a part of the form are longer than {MAX_HEADER_BYTES} bytes.")

    def _header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_content
        self._header_name = self._header_content = b""

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise BadOption("A part of the multipart form has no Content-Disposition with a name.")
        self._name = options[b"name"].decode("utf8", "replace")
        if self._name == self._field:
            name = options.get(b"filename")
            self.begin_file(name.decode("utf8", "replace") if name else None)
            self.found = self._in_file = True
        elif b"filename" in options:
            raise BadOption(f"The document came as the field `{self._name[:100]}`; send it as `{self._field}`.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.file_data(memoryview(data)[start:end])  # no copy: the piece is kept until it is written
            return
        if len(self._value) + end - start > MAX_FIELD_BYTES:
            raise TooLarge(f"The form field `{self._name[:100]}` is longer than {MAX_FIELD_BYTES} bytes.")
        self._value += data[start:end]

    def _part_end(self) -> None:
        if self._in_file:
            self._in_file = False
            self.end_file()
            return
        try:
            value = self._value.decode("utf8")
        except UnicodeDecodeError:
            raise BadOption(f"The form field `{self._name[:100]}` is not UTF-8.") from None
        self.field(self._name, value)

    def _end(self) -> None:
        self._ended = True

    # ------------------------------------------------------------------ what is done with it
    def field(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)

    def begin_file(self, filename: str | None) -> None:
        if self.found:
            raise BadOption(
                "The form holds more than one `file`; a job is one document: send one request for each, or a batch "
                "(POST /v1/batches)."
            )
        self.filename = filename

    def file_data(self, data: memoryview) -> None:
        assert self._spool is not None
        self._spool.feed(data)

    def end_file(self) -> None:
        """The file's last byte came."""
