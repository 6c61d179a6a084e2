"""Settings, folders, watched files and trust: what the editor tells us about the workspace.

What a notification changes, it changes before the next message is read; only what must wait is a task.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path

from astral_lsp.server.locate import plain
from astral_lsp.server.settings import SECTION

if TYPE_CHECKING:
    from astral_lsp.server.state import AstralServer

log = logging.getLogger(__name__)
ANSWER_SECONDS = 5.0
WATCHED = ["**/*.py", "**/*.pyi", "**/pyproject.toml", "**/mypy.ini", "**/setup.cfg"]
TRUST = "astral/trust"
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


def register(server: AstralServer) -> None:
    """Handle the workspace notifications."""
    server.feature(types.INITIALIZE)(initialize)
    server.feature(types.INITIALIZED)(initialized)
    server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(did_change_configuration)
    server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(did_change_folders)
    server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)(did_change_watched_files)
    server.feature(types.TEXT_DOCUMENT_DID_SAVE)(did_save)
    server.feature(TRUST)(trust)


def initialize(ls: AstralServer, params: types.InitializeParams) -> None:
    """initialize."""
    ls.initialize(params)


async def initialized(ls: AstralServer, params: types.InitializedParams) -> None:
    """initialized: register what is dynamic, then ask for the settings."""
    await _register(ls)
    await fetch_settings(ls)
    apply_log_level(ls)
    ls.report_problems()
    ls.status.changed()


async def _register(ls: AstralServer) -> None:
    wanted = []
    if ls.client.register_configuration:
        wanted.append(
            types.Registration(
                "astral-configuration",
                types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                types.DidChangeConfigurationRegistrationOptions(section=SECTION),
            )
        )
    if ls.client.register_watchers:
        watchers = [types.FileSystemWatcher(pattern) for pattern in WATCHED]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        wanted.append(types.Registration("astral-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options))
    if wanted:
        request = ls.client_register_capability_async(types.RegistrationParams(wanted))
        try:
            await asyncio.wait_for(request, ANSWER_SECONDS)
        except Exception as error:
            log.info("the editor registered nothing: %s", error)


async def fetch_settings(ls: AstralServer) -> bool:
    """Ask for the settings of each folder, and without a folder; True when something changed."""
    if not ls.client.configuration:
        return False
    scopes: list[Path | None] = [None, *ls.folders]
    items = [
        types.ConfigurationItem(scope_uri=from_fs_path(str(scope)) if scope else None, section=SECTION)
        for scope in scopes
    ]
    request = ls.workspace_configuration_async(types.ConfigurationParams(items))
    try:
        answers = await asyncio.wait_for(request, ANSWER_SECONDS)
    except Exception as error:
        log.warning("the editor did not give its settings: %s", error)
        return False
    pairs = zip(scopes, answers, strict=False)  # an editor may answer too little
    changed = [ls.settings.editor_says(scope, plain(answer)) for scope, answer in pairs]
    apply_log_level(ls)
    return any(changed)


def apply_log_level(ls: AstralServer) -> None:
    """Log as much as the first root's settings say."""
    root = ls.folders[0] if ls.folders else Path.cwd()
    logging.getLogger("astral_lsp").setLevel(LEVELS[ls.settings.of(root).log_level])


def did_change_configuration(ls: AstralServer, params: types.DidChangeConfigurationParams) -> None:
    """Pulled where the editor can be asked, else taken from the notification itself."""
    if ls.client.configuration:
        ls.spawn(_pull_settings(ls))
        return
    settings = plain(params.settings)
    section = settings.get(SECTION, settings) if isinstance(settings, dict) else {}
    if ls.settings.editor_says(None, section):
        apply_log_level(ls)
        ls.spawn(ls.reconfigure())


async def _pull_settings(ls: AstralServer) -> None:
    if await fetch_settings(ls):
        await ls.reconfigure()


def did_change_folders(ls: AstralServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Folders come and go; the engine of a folder that went is stopped."""
    removed = [Path(p) for f in params.event.removed if (p := to_fs_path(f.uri))]
    added = [Path(p) for f in params.event.added if (p := to_fs_path(f.uri))]
    ls.folders = [f for f in ls.folders if f not in removed] + [f for f in added if f not in ls.folders]
    ls.spawn(_change_folders(ls, removed))


async def _change_folders(ls: AstralServer, removed: list[Path]) -> None:
    await ls.close_engines([root for root in ls.engines if root in removed])
    await fetch_settings(ls)
    await ls.reconfigure()


def did_change_watched_files(ls: AstralServer, params: types.DidChangeWatchedFilesParams) -> None:
    """Other files changed: verdicts may not hold any more, settings may be new."""
    paths = [Path(path) for change in params.changes if (path := to_fs_path(change.uri))]
    if any(path.name == "pyproject.toml" for path in paths):
        for root in ls.roots:
            ls.settings.forget(root)
        ls.spawn(ls.reconfigure())
    if paths:
        ls.outdate(paths)


def did_save(ls: AstralServer, params: types.DidSaveTextDocumentParams) -> None:
    """Other buffers' verdicts were about the file as it was; editors that watch files say so themselves."""
    path = to_fs_path(params.text_document.uri)
    if path and not ls.client.register_watchers:
        ls.outdate([Path(path)])


def trust(ls: AstralServer, params: object) -> None:
    """``astral/trust`` {trusted: bool}: the editor granted or withdrew its own workspace trust."""
    raw = plain(params)
    trusted = raw.get("trusted") if isinstance(raw, dict) else None
    if isinstance(trusted, bool):
        ls.settings.client_trusts(trusted)
        ls.spawn(ls.reconfigure())
