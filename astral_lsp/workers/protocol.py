"""The one protocol between the server and its child processes.

A frame is a 4-byte big-endian length and a payload: MessagePack, or JSON for a guest that runs under an
interpreter that is not ours and so may import nothing but its standard library. A payload is one `Message`,
told apart by its ``type`` field. Offsets inside texts count Unicode code points.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from astral_lsp.holes.model import Category, Span
from astral_lsp.report import Verdict

PROTOCOL_VERSION = 1
"""Raised with every incompatible change; a worker of another version is refused at its `Ready`."""

MAX_FRAME_BYTES = 64 * 1024 * 1024


# --- messages -------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, tag="ready"):
    """First frame of a worker, sent once it can take calls (before any heavy loading)."""

    version: int
    pid: int
    about: dict[str, str] = {}


class Call(msgspec.Struct, tag="call"):
    """Server to worker: run ``method`` with ``params`` (the struct of that method's name)."""

    id: int
    method: str
    params: Any = None


class Cancel(msgspec.Struct, tag="cancel"):
    """Server to worker: stop call ``id`` at the next step and answer it with what there is."""

    id: int


class Event(msgspec.Struct, tag="event"):
    """Worker to server: something happened during call ``id`` (``progress`` or ``candidate``)."""

    id: int
    name: str
    body: Any = None


class Result(msgspec.Struct, tag="result"):
    """Worker to server: call ``id`` succeeded."""

    id: int
    body: Any = None


FailureKind = Literal["cancelled", "bad_request", "unavailable", "internal"]


class Failure(msgspec.Struct, tag="failure"):
    """Worker to server: call ``id`` failed; ``message`` is one sentence for people."""

    id: int
    kind: FailureKind
    message: str
    trace: str = ""


Message = Ready | Call | Cancel | Event | Result | Failure


# --- calls: a params struct names its method and its result -----------------------------------------------


class Progress(msgspec.Struct):
    """Body of a ``progress`` event. ``fraction`` in [0, 1], None when unknown."""

    text: str
    fraction: float | None = None


class Candidate(msgspec.Struct):
    """One proposed fill text; body of a ``candidate`` event and element of `Proposed`."""

    text: str
    """Exactly what would be inserted between ``before`` and ``after``."""
    score: float
    """Mean log probability per token after calibration; higher is better."""
    tokens: int = 0
    evaluations: int = 0
    """Denoiser or decoder passes spent on it (a batched pass counts once for each of its candidates)."""
    engine: str = ""
    """Which engine drew it (in hybrid runs: 'ar' or 'flow')."""


class Proposed(msgspec.Struct):
    """Candidates best first, without duplicates."""

    candidates: list[Candidate]
    evaluations: int
    elapsed_ms: float
    stopped: Literal["done", "budget", "cancelled"] = "done"


class ModelInfo(msgspec.Struct):
    """What is loaded: shown by ``doctor``, the status bar and every report."""

    model: str
    model_sha256: str
    adapter: str
    """Adapter name and the first 12 hex digits of its SHA-256; '' when none is loaded."""
    device: str
    dtype: str
    load_ms: float


EngineName = Literal["ar", "flow", "hybrid"]


class Load(msgspec.Struct):
    """model: load the weights now (`propose` loads by itself). Sends ``progress`` events."""

    method: ClassVar[str] = "load"
    result: ClassVar[type] = ModelInfo
    base: str = ""
    """Path of a GGUF file; '' for the stored default."""
    adapter: str = ""
    """Directory of an adapter; '' for the released one, 'none' for none."""


class Propose(msgspec.Struct):
    """model: draw candidates for one hole. Sends a ``candidate`` event for each as it is finished."""

    method: ClassVar[str] = "propose"
    result: ClassVar[type] = Proposed
    engine: EngineName
    prefix: str
    """What the model reads before the canvas: related definitions, then the text up to the hole."""
    suffix: str
    """What the model reads after the canvas."""
    before: str
    """The whole file before the hole: admissibility (tier 1) is decided on before + fill + after."""
    after: str
    category: Category = "any"
    indent: str = ""
    candidates: int = 4
    max_tokens: int = 96
    budget_ms: float = 8000.0
    seed: int = 0
    names: list[str] = []
    """Identifiers in Γ; [] when unknown. Names outside Γ, builtins and the file are not admissible atoms."""
    preferred: list[str] = []
    """Expressions in Γ whose type is assignable to σ, fittest first (soft guidance, tier 2)."""
    rejected: list[str] = []
    """Texts that are known already and must not come back: others are drawn instead of them."""
    draw_only: bool = False
    """Everything that is drawn will be judged: no time is spent on ranking it. Repairs are always so."""


class Repair(msgspec.Struct):
    """model: remask ``spans`` of a failed ``text`` and draw again in place; otherwise as `Propose`. Without
    spans: each word by itself."""

    method: ClassVar[str] = "repair"
    result: ClassVar[type] = Proposed
    propose: Propose
    text: str
    spans: list[Span]


class Done(msgspec.Struct):
    """Nothing to say."""


class ReadAhead(msgspec.Struct):
    """model: compute the context of a hole that may be filled next; a cancel keeps what was done."""

    method: ClassVar[str] = "read_ahead"
    result: ClassVar[type] = Done
    propose: Propose


class Forget(msgspec.Struct):
    """model: let go of the contexts kept for the next call on the same file. What is timed afterwards owes
    nothing to what ran before."""

    method: ClassVar[str] = "forget"
    result: ClassVar[type] = Done


class Name(msgspec.Struct):
    """One entry of Γ."""

    name: str
    """How to write it at the hole: 'total', 'self.items', 'os.path'."""
    type: str
    reach: Literal["local", "argument", "self", "global", "import", "builtin"]
    fits: bool = False
    """Its type is assignable to σ."""


class HoleTypes(msgspec.Struct):
    """σ and Γ of one hole as mypy sees them."""

    expected: str | None
    """σ in Python syntax; None when mypy has no context there."""
    names: list[Name]
    note: str = ""
    """Why σ is missing or partial."""


class Analysed(msgspec.Struct):
    """σ and Γ for each asked hole, in order."""

    holes: list[HoleTypes]
    elapsed_ms: float


class OpenTypes(msgspec.Struct):
    """types: build the program that contains ``path`` (once per root and configuration)."""

    method: ClassVar[str] = "open"
    result: ClassVar[type] = dict
    root: str
    python: str
    """The user's interpreter: decides which site-packages are seen."""
    trusted: bool = False
    """Workspace mypy plugins load only when true."""
    cache_dir: str = ""


class Analyse(msgspec.Struct):
    """types: σ and Γ of holes in an unsaved buffer."""

    method: ClassVar[str] = "analyse"
    result: ClassVar[type] = Analysed
    path: str
    text: str
    holes: list[Span]
    all_holes: list[Span] = []
    """Every hole of the buffer (those not asked for are made ``Any``); [] means the same as ``holes``."""
    expressions: list[bool] = []
    """Per asked hole: an expression may stand there (else only Γ can be known). [] means all true."""
    whole: bool = False
    """Check the whole file even where the function around an edit would do."""


class Judged(msgspec.Struct):
    """One verdict per fill, in order."""

    verdicts: list[Verdict]
    elapsed_ms: float


class CheckTypes(msgspec.Struct):
    """types: judge fills of one hole; only errors that the fill adds count."""

    method: ClassVar[str] = "check"
    result: ClassVar[type] = Judged
    path: str
    text: str
    """The buffer with its holes still in it."""
    hole: Span
    fills: list[str]
    other_holes: list[Span] = []
    confirm: bool = False
    """Confirm by a fine-grained update of the whole program instead of the fast path."""
    budget_ms: float = 4000.0


class OpenTests(msgspec.Struct):
    """tests: collect the tests of the workspace once."""

    method: ClassVar[str] = "open"
    result: ClassVar[type] = dict
    root: str
    sandbox: Literal["require", "prefer", "off"] = "prefer"


class RunTests(msgspec.Struct):
    """tests: run the tests that reach the hole, for each fill; on an overlay, never on the user's files."""

    method: ClassVar[str] = "run"
    result: ClassVar[type] = Judged
    path: str
    text: str
    hole: Span
    fills: list[str]
    other_holes: list[Span] = []
    timeout_ms: float = 2000.0
    """Wall clock for one fill."""
    budget_ms: float = 8000.0
    """Wall clock for all; fills not reached are ``not_run``."""
