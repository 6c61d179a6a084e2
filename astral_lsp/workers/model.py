"""The model worker's main: ``python -m astral_lsp.workers.model``; see `protocol` for the calls.

Three threads, so that none of them waits for another's slow work: one reads frames (a cancel takes effect
between two model passes), one loads weights (a cancelled call need not wait for a download), the main thread
computes. torch is imported by the loader only: `Ready` goes out first.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec
from astral_model.engine import Control, Draft, Engine, Request

from astral_lsp.workers.frames import FrameError, encode, read_blocking
from astral_lsp.workers.protocol import (
    PROTOCOL_VERSION,
    Call,
    Cancel,
    Candidate,
    Done,
    Event,
    Failure,
    FailureKind,
    Forget,
    Load,
    Message,
    ModelInfo,
    Progress,
    Propose,
    Proposed,
    ReadAhead,
    Ready,
    Repair,
    Result,
)

THREADS_VARIABLE = "ASTRAL_LSP_THREADS"
"""How many threads torch may use; unset or 0: as many as there are cores for us."""
PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one text."""

T = TypeVar("T")
Show = Callable[[str, "float | None"], None]


class WorkerError(Exception):
    """A call cannot be answered; ``message`` is one sentence for people."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Model(Protocol):
    """Loaded weights and the engines on them."""

    info: ModelInfo

    def engine(self, name: str) -> Engine:
        """The engine of that name; raises WorkerError when it cannot run (no adapter)."""
        ...

    def forget(self) -> None:
        """Let go of cached contexts."""
        ...

    def read_ahead(self, request: Request, control: Control) -> None:
        """Compute and keep the context of ``request``."""
        ...


Loader = Callable[[Load, Show, Callable[[], bool]], Model]
"""Loads weights; the last argument says whether nobody wants them any more."""


# --- the wire ---------------------------------------------------------------------------------------------


class Wire:
    """Frames out under a lock, calls and cancels in."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.calls: queue.Queue[Call | None] = queue.Queue()
        self._source, self._sink = source, sink
        self._lock = threading.Lock()
        self._cancelled: set[int] = set()
        self._open: set[int] = set()

    def send(self, message: Message) -> None:
        """Write one frame; a closed pipe ends the process, nobody is left to work for."""
        frame = encode(message)
        with self._lock:
            try:
                self._sink.write(frame)
                self._sink.flush()
            except (BrokenPipeError, ValueError):
                os._exit(0)

    def read_forever(self) -> None:
        """Sort frames into `calls` and cancels until the pipe closes (None is put into `calls` then)."""
        try:
            while (message := read_blocking(self._source)) is not None:
                if isinstance(message, Call):
                    self._open.add(message.id)
                    self.calls.put(message)
                elif isinstance(message, Cancel) and message.id in self._open:
                    self._cancelled.add(message.id)
        except FrameError as error:
            print(f"broken frame: {error}", file=sys.stderr, flush=True)
        self._cancelled.update(self._open)
        self.calls.put(None)

    def cancelled(self, call_id: int) -> bool:
        """Whether call ``call_id`` was cancelled."""
        return call_id in self._cancelled

    def done(self, call_id: int) -> None:
        """Forget a call that has been answered."""
        self._open.discard(call_id)
        self._cancelled.discard(call_id)


def protect_stdout() -> BinaryIO:
    """Keep the real standard output for frames; whatever prints from now on goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return sink


# --- loading ------------------------------------------------------------------------------------------------


class Loading:
    """One load in its own thread, shared by all calls that wait for it."""

    def __init__(self, loader: Loader, params: Load) -> None:
        self.params = params
        self.progress: tuple[str, float | None] = ("loading", None)
        self.model: Model | None = None
        self.error: Exception | None = None
        self.trace = ""
        self.finished = threading.Event()
        self._unwanted = threading.Event()
        self._loader = loader
        threading.Thread(target=self._run, name="load", daemon=True).start()

    def give_up(self) -> None:
        """Nobody waits any more: a download stops, a conversion goes on (it is useful later)."""
        self._unwanted.set()

    def _run(self) -> None:
        try:
            self.model = self._loader(self.params, self._show, self._unwanted.is_set)
        except Exception as error:
            self.error, self.trace = error, traceback.format_exc()
        self.finished.set()

    def _show(self, text: str, fraction: float | None) -> None:
        self.progress = (text, fraction)


class Worker:
    """Answers calls one after another."""

    def __init__(self, wire: Wire, loader: Loader) -> None:
        self._wire, self._loader = wire, loader
        self._loading: Loading | None = None

    def run(self) -> None:
        """Serve until the pipe closes."""
        while (call := self._wire.calls.get()) is not None:
            self._serve(call)

    def _serve(self, call: Call) -> None:
        try:
            answer: Message = Result(call.id, self._answer(call))
        except WorkerError as error:
            answer = Failure(call.id, error.kind, error.message)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            answer = Failure(call.id, "bad_request", f"{call.method}: {error}")
        except Exception as error:
            answer = Failure(
                call.id, "internal", f"the model worker failed: {error!r}", traceback.format_exc()
            )
        self._wire.send(answer)
        self._wire.done(call.id)
        _give_back_memory()

    def _answer(self, call: Call) -> Any:
        if call.method == Load.method:
            return self._model(call.id, msgspec.convert(call.params, Load)).info
        if call.method == Propose.method:
            return self._propose(call.id, msgspec.convert(call.params, Propose), None)
        if call.method == Repair.method:
            params = msgspec.convert(call.params, Repair)
            return self._propose(call.id, params.propose, params)
        if call.method == Forget.method:
            if self._loading is not None and self._loading.model is not None:
                self._loading.model.forget()
            return Done()
        if call.method == ReadAhead.method:
            return self._read_ahead(call.id, msgspec.convert(call.params, ReadAhead).propose)
        raise WorkerError("bad_request", f"the model worker has no method {call.method!r}")

    # --- load ---------------------------------------------------------------------------------------------

    def _model(self, call_id: int, params: Load | None) -> Model:
        """The loaded model, loading it now if need be. None asks for whatever is loaded."""
        loading = self._loading
        if loading is None or (loading.finished.is_set() and loading.model is None) or (
            params is not None and params != loading.params
        ):  # fmt: skip
            loading = self._loading = Loading(self._loader, params or Load())
        self._await(call_id, loading)
        if loading.model is not None:
            return loading.model
        self._loading = None
        if isinstance(loading.error, WorkerError):
            raise loading.error
        print(loading.trace, file=sys.stderr, flush=True)
        raise WorkerError("internal", f"the model could not be loaded: {loading.error!r}")

    def _await(self, call_id: int, loading: Loading) -> None:
        shown: tuple[str, float | None] | None = None
        while not loading.finished.wait(PROGRESS_INTERVAL):
            if self._wire.cancelled(call_id):
                loading.give_up()
                if self._loading is loading:
                    self._loading = None
                raise WorkerError("cancelled", "cancelled while the model was loading")
            if loading.progress != shown:
                shown = loading.progress
                self._wire.send(Event(call_id, "progress", Progress(*shown)))

    # --- propose and repair ---------------------------------------------------------------------------------

    def _read_ahead(self, call_id: int, params: Propose) -> Done:
        control = Control(cancelled=lambda: self._wire.cancelled(call_id))
        self._model(call_id, None).read_ahead(_request(params), control)
        return Done()

    def _propose(self, call_id: int, params: Propose, repair: Repair | None) -> Proposed:
        if params.candidates < 1 or params.max_tokens < 1:
            raise WorkerError("bad_request", "candidates and max_tokens must be at least 1")
        if repair is not None:
            _check_spans(repair)
        engine = self._model(call_id, None).engine(params.engine)
        began = time.monotonic()
        control = Control(
            deadline=began + params.budget_ms / 1e3,
            cancelled=lambda: self._wire.cancelled(call_id),
            on_draft=lambda draft: self._wire.send(Event(call_id, "candidate", _candidate(draft))),
        )
        request = _request(params)
        if repair is None:
            drafts = engine.propose(request, control)
        else:
            spans = [(span.start, span.end) for span in repair.spans]
            drafts = engine.repair(request, repair.text, spans, control)
        return Proposed(
            [_candidate(draft) for draft in drafts],
            control.evaluations,
            (time.monotonic() - began) * 1e3,
            control.ended,
        )


def _libc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:  # another C library, with habits of its own
        return None


def limit_memory() -> None:
    """Keep glibc from hoarding: few arenas. During a call freed blocks stay (paging them in anew took a tenth
    of the time that reading a context takes); `_give_back_memory` returns them after it."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(-8, 2)  # M_ARENA_MAX
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD; setting it also stops it from growing by itself
        libc.mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD


def _give_back_memory() -> None:
    """Return what a call has freed: the worker may wait for minutes until the next one."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _check_spans(repair: Repair) -> None:
    for span in repair.spans:
        if not 0 <= span.start <= span.end <= len(repair.text):
            raise WorkerError("bad_request", f"span {span.start}-{span.end} lies outside the text to repair")


def _request(params: Propose) -> Request:
    return Request(
        prefix=params.prefix,
        suffix=params.suffix,
        before=params.before,
        after=params.after,
        category=params.category,
        indent=params.indent,
        candidates=params.candidates,
        max_tokens=params.max_tokens,
        seed=params.seed,
        names=tuple(params.names),
        preferred=tuple(params.preferred),
        rejected=frozenset(params.rejected),
        draw_only=params.draw_only,
    )


def _candidate(draft: Draft) -> Candidate:
    return Candidate(draft.text, draft.score, draft.tokens, draft.evaluations, draft.engine)


# --- the real model -----------------------------------------------------------------------------------------


def load_model(params: Load, show: Show, unwanted: Callable[[], bool]) -> Model:
    """Find or download the weights, convert and map them, put the adapter on."""
    from astral_model import store

    began = time.monotonic()
    path = Path(params.base).expanduser() if params.base else _stored(show, unwanted)
    show("loading the model", None)
    import torch
    from astral_model.adapter import AdapterError
    from astral_model.checkpoint import CheckpointError
    from astral_model.hybrid import Engines

    torch.set_num_threads(_threads())
    try:
        engines = Engines.load(path, params.adapter, store.Store().converted)
    except (CheckpointError, AdapterError) as error:
        raise WorkerError("unavailable", str(error)) from error
    return _Loaded(engines, path, (time.monotonic() - began) * 1e3)


def _stored(show: Show, unwanted: Callable[[], bool]) -> Path:
    from astral_model import store

    def progress(text: str, done: int, total: int) -> None:
        show(f"{text}: {done >> 20} of {total >> 20} MB", done / total if total else None)

    try:
        return store.Store().pull(progress, unwanted)
    except store.StoreError as error:
        kind: FailureKind = "cancelled" if isinstance(error, store.StoreCancelled) else "unavailable"
        raise WorkerError(kind, str(error)) from error


def _threads() -> int:
    asked = os.environ.get(THREADS_VARIABLE, "0")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class _Loaded:
    """A `Model` over `astral_model.hybrid.Engines`."""

    def __init__(self, engines: Any, path: Path, load_ms: float) -> None:
        self._engines = engines
        backbone = engines.backbone
        self.info = ModelInfo(
            model=path.stem,
            model_sha256=backbone.sha256,
            adapter=engines.adapter,
            device=backbone.device,
            dtype=backbone.form,
            load_ms=load_ms,
        )

    def engine(self, name: str) -> Engine:
        """See `Model`."""
        engine: Engine | None = self._engines.get(name)
        if engine is None:
            raise WorkerError("unavailable", f"the engine {name!r} needs an adapter and none is loaded")
        return engine

    def forget(self) -> None:
        """See `Model`."""
        self._engines.forget()

    def read_ahead(self, request: Request, control: Control) -> None:
        """See `Model`."""
        self._engines.read_ahead(request, control)


def main(loader: Loader = load_model) -> None:
    """Serve on standard input and output until the input closes."""
    limit_memory()
    sink = protect_stdout()
    wire = Wire(sys.stdin.buffer, sink)
    wire.send(Ready(PROTOCOL_VERSION, os.getpid(), {"worker": "model"}))
    threading.Thread(target=wire.read_forever, name="read", daemon=True).start()
    Worker(wire, loader).run()
    os._exit(0)  # a load or a pass still running must not keep the process


if __name__ == "__main__":
    main()
