"""Start the language server: stdio or a loopback TCP port, with the real session or another engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from astral_lsp.config import Settings
from astral_lsp.server import (
    actions,
    commands,
    completion,
    diagnostics,
    explain,
    hover,
    inlay,
    inline,
    lens,
    navigation,
    workspace,
)
from astral_lsp.server.engine import Engine, EngineFactory
from astral_lsp.server.life import watch_parent
from astral_lsp.server.state import AstralServer
from astral_lsp.server.threaded import EngineThread
from astral_lsp.server.transport import FramingError, ThreadWriter, read_socket, start_reader

if TYPE_CHECKING:
    from astral_lsp.fill.models import Models

log = logging.getLogger(__name__)
FEATURES = (
    actions, commands, completion, diagnostics, explain, hover, inlay, inline, lens, navigation, workspace,
)  # fmt: skip


class SessionEngines:
    """Makes the real thing, `astral_lsp.fill`'s session of one root; all of them share their model."""

    def __call__(self, settings: Settings, root: Path, trusted: bool) -> Engine:
        """An `EngineFactory`; imported here, so that a server without holes to fill starts at once."""
        from astral_lsp.server.session_engine import SessionEngine

        return SessionEngine(settings, root, trusted, self._models)

    @cached_property
    def _models(self) -> Models:
        from astral_lsp.fill.models import Models

        return Models()


def make_server(engine_factory: EngineFactory, thread: EngineThread | None = None) -> AstralServer:
    """A server with every feature, not yet connected; its engines run in ``thread``."""
    server = AstralServer(engine_factory, thread)
    for feature in FEATURES:
        feature.register(server)
    return server


def serve(*, port: int | None = None, engine_factory: EngineFactory | None = None) -> int:
    """Serve until the client leaves and return the exit code: on ``port`` of the loopback, else on stdio."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("pygls").setLevel(logging.ERROR)
    engine_factory = engine_factory or SessionEngines()
    with contextlib.suppress(KeyboardInterrupt):
        if port is not None:
            asyncio.run(_serve_tcp(port, engine_factory))
            return 0
        stdin, stdout = _claim_stdio()
        return asyncio.run(_serve_stdio(stdin, stdout, engine_factory))
    return 130


def _claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Copies of both pipes, for the protocol alone: a stray ``print``, also of a child, goes to the log.

    Copies also because a thread that blocks in ``sys.stdin`` itself makes CPython abort at exit.
    """
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return stdin, stdout


async def _serve_stdio(stdin: BinaryIO, stdout: BinaryIO, engine_factory: EngineFactory) -> int:
    server = make_server(engine_factory)
    writer = ThreadWriter(stdout)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    server.on_stop = end
    server.protocol.set_writer(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, end, 128 + number)
    start_reader(stdin, loop, server.protocol.handle_body, lambda: end(1))
    code = await _until(server, ended)
    writer.close()
    return code


async def _until(server: AstralServer, ended: asyncio.Future[int]) -> int:
    """Run until ``ended``, then stop the workers."""
    chores = [
        asyncio.ensure_future(watch_parent(lambda: server.process_id, lambda: server.stop(1))),
        asyncio.ensure_future(server.tend()),
    ]
    try:
        return await ended
    finally:
        server.stopping = True
        for chore in chores:
            chore.cancel()
        await server.close_sessions()


async def _serve_tcp(port: int, engine_factory: EngineFactory) -> None:
    """Each connection is an editor of its own; their engines share one thread, and so may share a model."""
    thread = EngineThread()
    listener = await listen(port, engine_factory, thread)
    address = listener.sockets[0].getsockname()
    print(f"astral-lsp listens on {address[0]}:{address[1]}", file=sys.stderr, flush=True)
    try:
        async with listener:
            await listener.serve_forever()
    finally:
        thread.stop()


async def listen(
    port: int, engine_factory: EngineFactory, thread: EngineThread | None = None
) -> asyncio.Server:
    """Listen on the loopback interface; port 0 picks a free one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _connected(reader, writer, make_server(engine_factory, thread))

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def _connected(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: AstralServer
) -> None:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server.on_stop = lambda code: None if ended.done() else ended.set_result(code)
    server.protocol.set_writer(_SocketWriter(writer))
    life = asyncio.ensure_future(_until(server, ended))
    reading = asyncio.ensure_future(read_socket(reader, server.protocol.handle_body))
    await asyncio.wait({life, reading}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        ended.set_result(1)
    await life
    reading.cancel()
    with contextlib.suppress(FramingError, OSError, asyncio.CancelledError):
        await reading
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


class _SocketWriter:
    """A pygls writer over an asyncio stream."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Queue ``data`` on the transport."""
        if not self._writer.is_closing():
            self._writer.write(data)

    def close(self) -> None:
        """Closing is the connection's business."""
