"""Files in any encoding as a stream of UTF-8, in which what cannot be decoded stays undecodable."""

import codecs
from typing import Any, Protocol

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file begins with that says its encoding. The first that fits: UTF-32's begins with UTF-16's."""

_LONGEST_MARK = 4


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; none at the end."""


def decoded(stream: Stream, encoding: str) -> Stream:
    """The text of a stream in UTF-8: of the encoding that a byte order mark says, or else of the given one.

    UTF-8 stays as it is, whatever is in it. Of others each byte that cannot be decoded becomes one that cannot be in
    UTF-8, so that its line is seen to be malformed.
    """
    head = b""
    while len(head) < _LONGEST_MARK and (piece := stream.read(_LONGEST_MARK - len(head))):
        head += piece
    said = next((one for mark, one in _MARKS if head.startswith(mark)), encoding)
    whole = _Chained(head, stream)
    return whole if codecs.lookup(said).name in ("utf-8", "ascii") else _Decoded(whole, said)


class _Chained:
    """What was read already, and then the rest."""

    def __init__(self, head: bytes, stream: Stream) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes."""
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._stream.read(size)


class _Decoded:
    def __init__(self, stream: Stream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(_UNDECODABLE)
        self._left = b""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """At least one byte, and about `size` of them, unless the stream has ended."""
        while not self._left and not self._ended:
            piece = self._stream.read(size)
            self._ended = not piece
            text = self._decoder.decode(piece, final=self._ended)
            self._left = text.encode("utf-8", "surrogateescape")
        data, self._left = self._left, b""
        return data


_UNDECODABLE = "landing.undecodable"


def _keep_undecodable(error: UnicodeError) -> tuple[str, int]:
    """Each byte as the lone surrogate that `surrogateescape` makes a byte again; bytes of ASCII as 0xff."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    broken: Any = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) if byte >= 0x80 else "\udcff" for byte in broken), error.end


codecs.register_error(_UNDECODABLE, _keep_undecodable)
