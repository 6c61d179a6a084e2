"""The name constraint while a text is written: a token that would begin, or complete, a name that nothing
binds at the hole loses some nats.

It is soft, for what is left of a place does not tell all: a comprehension reads its variable before it binds
it. What a text leaves unbound is counted exactly once it is whole (`astral_model.stop.Frame`).
"""

from __future__ import annotations

import keyword
import re
from bisect import bisect_left

import torch
from torch import Tensor

from astral_model.engine import Request
from astral_model.words import BUILTINS, STRING, words

UNBOUND = 3.0
"""Nats that a token loses which leads to a name that nothing binds."""
LOOKED_AT = 24
"""Best tokens that are looked at; what lies behind them is hardly within `UNBOUND` of the best."""
FOLLOWING = 400
"""Characters behind the hole whose names may be used too, up to the next definition."""

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")
_LAST = re.compile(r"\w+\Z")
_QUOTE = re.compile(r"[\"'#]")
_NEXT = re.compile(r"\n(?=[^\s)\]}])|\n\s*(?:async|def|class)\b|\n\s*@")
_DEF = re.compile(r"^[ \t]*(?:async[ \t]+)?def\b", re.MULTILINE)
_KEYWORD_ARGUMENT = re.compile(r"[(,]\s*([^\W\d]\w*)=(?!=)")
_FIRST_ON_LINE = re.compile(r"[\s*(\[]*(?:[^\W\d]\w*\s*,[\s*(]*)*\Z")
_BINDS = re.compile(
    r"(?:\b(?:import|def|class|global|nonlocal|case)\b[^\n]*|\bas\s+|\bfor\b(?:(?!\bin\b)[^\n])*"
    r"|\blambda\b[^:\n]*|^\s*from\b[^\n]*)\Z"
)
_PREFIXES = frozenset(("f", "r", "b", "u", "fr", "rf", "br", "rb"))
_ALWAYS = BUILTINS | frozenset((*keyword.kwlist, "match", "case", "type"))
_COMMON_ARGUMENTS = frozenset(
    (
        *("key", "reverse", "default", "sep", "end", "file", "encoding", "errors", "start", "stop", "strict"),
        *("maxsplit", "flags", "count", "timeout", "indent", "repeat", "initial", "fillvalue", "newline"),
    )
)


class NameRule:
    """The names that a text in one hole may use.

    ``forced``: the end of ``request.before`` that is written again (token healing); texts begin with it.
    ``pieces``: bytes of every token id.
    """

    def __init__(self, request: Request, forced: str, pieces: list[bytes]) -> None:
        self._pieces = pieces
        before = request.before[: len(request.before) - len(forced)]
        file = before + "\n" + request.after
        names = frozenset(request.names) or words(file)
        # what follows in the same block may wait for the fill to bind it, and a stream that goes on into it
        # must be left to do so: that tells where the hole ended
        follows = _NEXT.split(request.after[:FOLLOWING], maxsplit=1)[0]
        # the function so far: a range chosen by hand may start where no scope is, in the blanks of a line
        around = before[max((match.start() for match in _DEF.finditer(before)), default=len(before)) :]
        self._names = names | _ALWAYS | words(follows, around)
        self._sorted = sorted(self._names)
        self._arguments = frozenset(_KEYWORD_ARGUMENT.findall(file)) | _COMMON_ARGUMENTS
        outside = _outside(before)
        self.active = outside is not None and bool(request.names or not re.search(r"import\s+\*", file))
        self._line = (outside or "").rpartition("\n")[2]

    def steer(self, text: str, log_probs: Tensor, columns: Tensor) -> Tensor:
        """``log_probs`` (W,) of the tokens ``columns`` behind ``text``, less what the rule takes."""
        code = _outside(self._line + text) if self.active else None
        if code is None:
            return log_probs
        top = log_probs.topk(min(LOOKED_AT, len(log_probs))).indices
        read = words(_LAST.sub("", code))  # the last word is not whole yet
        head, _, tail = code.rpartition("\n")
        own = 0 if head else len(self._line)
        found = [self._pieces[i].decode(errors="replace") for i in columns[top].tolist()]
        lost = [self._unbound(tail, own, piece, read) for piece in found]
        if not any(lost):
            return log_probs
        return log_probs.index_add(0, top, torch.tensor(lost, dtype=log_probs.dtype), alpha=-UNBOUND)

    def _unbound(self, tail: str, own: int, piece: str, read: frozenset[str]) -> bool:
        """Whether ``piece`` behind ``tail`` (this line's code, the first ``own`` characters the file's) leads
        to a name that is not bound; ``read``: words that stand in the text already."""
        if not piece:  # it writes nothing
            return False
        code = re.split(r"[\"'#\n]", piece, maxsplit=1)[0]
        line, behind = tail + code, piece[len(code) : len(code) + 1]
        for match in _NAME.finditer(line):
            name, end = match[0], match.end()
            if end < len(tail) or (end <= own and not code[:1].isalnum()):  # it stood there
                continue
            if behind and behind in "\"'" and end == len(line) and name.lower() in _PREFIXES:
                continue
            going_on = end == len(line) and not behind
            if not self._known(name, going_on, line[: match.start()], read):
                return True
        return False

    def _known(self, name: str, going_on: bool, left: str, read: frozenset[str]) -> bool:
        known = self._starts(name) if going_on else name in self._names
        if known or (name in read and not going_on) or _FIRST_ON_LINE.match(left) or _BINDS.search(left):
            return True
        if going_on and any(word.startswith(name) for word in read):
            return True
        inside = sum(left.count(bracket) for bracket in "([{") > sum(left.count(b) for b in ")]}")
        if not inside:
            return False
        if len(name) == 1:  # a variable that a comprehension will bind
            return True
        if left.rstrip()[-1:] not in ("(", ","):
            return False
        return any(word.startswith(name) if going_on else word == name for word in self._arguments)

    def _starts(self, name: str) -> bool:
        at = bisect_left(self._sorted, name)
        return at < len(self._sorted) and self._sorted[at].startswith(name)


def _outside(code: str) -> str | None:
    """``code`` without its strings and comments; None where it ends inside one."""
    bare = STRING.sub('""', code)
    return None if _QUOTE.search(bare.replace('""', "")) else bare
