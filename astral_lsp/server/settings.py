"""Settings of each workspace root: pyproject.toml, then the editor's word; whether a root is trusted."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_state_path

from astral_lsp.config import ConfigError, ModelSettings, Settings, from_pyproject, merge

SECTION = "astral-lsp"
log = logging.getLogger(__name__)


class SettingsStore:
    """What each root's settings are; every problem is kept as one sentence for people."""

    def __init__(self) -> None:
        self._initial: dict[str, Any] = {}
        self._editor: dict[str, dict[str, Any]] = {}
        self._client_trust: bool | None = None
        self._trusted = TrustedRoots()
        self._cache: dict[str, Settings] = {}
        self.problems: list[str] = []

    def initialize(self, options: object) -> None:
        """Take ``initializationOptions``: {trusted?: bool, settings?: {...}}, or the settings themselves."""
        if not isinstance(options, dict):
            return
        trusted = options.get("trusted")
        self._client_trust = trusted if isinstance(trusted, bool) else None
        settings = options.get("settings", {k: v for k, v in options.items() if k != "trusted"})
        self._initial = self._known(settings) if isinstance(settings, dict) else {}
        self._cache.clear()

    def editor_says(self, root: Path | None, settings: object) -> bool:
        """Take one scope's ``workspace/configuration``; True when it changed something."""
        changes = self._known(settings) if isinstance(settings, dict) else {}
        key = str(root) if root is not None else ""
        if self._editor.get(key, {}) == changes:
            return False
        self._editor[key] = changes
        self._cache.clear()
        return True

    def forget(self, root: Path) -> None:
        """The files of ``root`` changed: read its pyproject.toml again when asked."""
        self._cache.pop(str(root), None)

    def of(self, root: Path) -> Settings:
        """The settings of ``root``."""
        key = str(root)
        if key not in self._cache:
            self._cache[key] = self._read(root)
        return self._cache[key]

    def _read(self, root: Path) -> Settings:
        settings = Settings()
        with self._noting():
            settings = harmless(from_pyproject(root), trusted=self.is_trusted(root))
        for changes in (self._initial, self._editor.get("", {}), self._editor.get(str(root), {})):
            with self._noting():
                settings = merge(settings, changes)
        return settings

    @contextlib.contextmanager
    def _noting(self) -> Any:
        try:
            yield
        except ConfigError as error:
            self._problem(f"a setting is wrong and its source is ignored: {error}")

    def _problem(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)

    def _known(self, settings: dict[str, Any]) -> dict[str, Any]:
        """``settings`` without the keys that are for the editor extension alone, and without nulls."""
        return _known_part(settings, msgspec.to_builtins(Settings()))

    # --- trust -------------------------------------------------------------------------------------------

    def is_trusted(self, root: Path) -> bool:
        """Whether code of ``root`` may run. The editor's word goes first, then the person's own list."""
        for changes in (self._editor.get(str(root), {}), self._editor.get("", {}), self._initial):
            if isinstance(changes.get("trusted"), bool):
                return bool(changes["trusted"])
        if self._client_trust is not None:
            return self._client_trust
        return root in self._trusted

    def client_trusts(self, trusted: bool) -> None:
        """The editor's own trust changed."""
        self._client_trust = trusted
        self._cache.clear()

    def trust(self, root: Path, trusted: bool) -> None:
        """The person trusts ``root``, or does so no longer; remembered for later sessions."""
        self._trusted.mark(root, trusted)
        self._cache.clear()


def harmless(settings: Settings, *, trusted: bool) -> Settings:
    """``settings`` of a workspace file: it never decides trust, nor, untrusted, what runs and from where."""
    settings = msgspec.structs.replace(settings, trusted=None)
    if trusted:
        return settings
    tests = msgspec.structs.replace(settings.verify.tests, sandbox=Settings().verify.tests.sandbox)
    verify = msgspec.structs.replace(settings.verify, tests=tests)
    return msgspec.structs.replace(settings, interpreter="", model=ModelSettings(), verify=verify)


def _known_part(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in defaults:
            log.info("setting %s is not ours", key)
        elif isinstance(defaults[key], dict) and isinstance(value, dict):
            kept[key] = _known_part(value, defaults[key])
        elif value is not None:
            kept[key] = value
    return kept


class TrustedRoots:
    """Roots that the person trusted by command, kept in a file of their own account."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_state_path("astral-lsp", appauthor=False) / "trusted-workspaces.json"
        self._roots: set[str] | None = None

    def __contains__(self, root: Path) -> bool:
        return os.path.realpath(root) in self._load()

    def mark(self, root: Path, trusted: bool) -> None:
        """Remember or forget ``root``."""
        roots = self._load()
        (roots.add if trusted else roots.discard)(os.path.realpath(root))
        self._save(roots)

    def _load(self) -> set[str]:
        if self._roots is None:
            try:
                self._roots = {
                    item for item in json.loads(self._path.read_text("utf-8")) if isinstance(item, str)
                }
            except (OSError, ValueError, TypeError):
                self._roots = set()
        return self._roots

    def _save(self, roots: Iterable[str]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(sorted(roots), indent=1), "utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("the list of trusted workspaces cannot be kept: %s", error)
