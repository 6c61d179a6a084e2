"""One typed settings struct; sources in rising order of precedence: defaults, ``[tool.astral-lsp]`` in
pyproject.toml, editor settings, command-line flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib


class ConfigError(ValueError):
    """A setting is unknown or of the wrong type; the message names it."""


class TypesSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``verify.types``."""

    enabled: bool = True
    budget_ms: float = 4000.0


class TestsSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``verify.tests``."""

    __test__ = False

    enabled: bool = True
    sandbox: Literal["require", "prefer", "off"] = "prefer"
    timeout_ms: float = 2000.0
    """Wall clock for the tests of one fill."""


class VerifySettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``verify``."""

    types: TypesSettings = TypesSettings()
    tests: TestsSettings = TestsSettings()


class FillSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``fill``."""

    engine: Literal["ar", "flow", "hybrid"] = "hybrid"
    candidates: int = 4
    budget_s: float = 8.0
    max_tokens: int = 96
    mode: Literal["manual", "onHole", "onIdle"] = "manual"
    """When fills are computed without being asked for."""
    read_ahead: bool = True
    """Whether the model reads the context of a hole while the cursor rests on it."""


class ModelSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``model``."""

    base: str = ""
    """Path of a GGUF file; '' for the stored default."""
    adapter: str = ""
    """Directory of an adapter; '' for the released one, 'none' for none."""
    threads: int = 0
    """0: as many as there are cores."""
    idle_unload_minutes: float = 30.0


class Settings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """All settings; editor keys are these names in camelCase under ``astral-lsp``."""

    interpreter: str = ""
    """The user's Python; '' finds the workspace's virtual environment, else the one on PATH."""
    trusted: bool | None = None
    """Whether the workspace's code may run; None leaves it to the editor, then to the command line."""
    fill: FillSettings = FillSettings()
    verify: VerifySettings = VerifySettings()
    model: ModelSettings = ModelSettings()
    inlay_hints: bool = True
    code_lens: bool = True
    diagnostics: bool = True
    inline_completion: bool = False
    log_level: Literal["error", "warning", "info", "debug"] = "info"


def merge(base: Settings, changes: dict[str, Any]) -> Settings:
    """Lay nested camelCase ``changes`` over ``base``; raises ConfigError naming the bad key."""
    try:
        return msgspec.convert(_overlay(msgspec.to_builtins(base), changes), Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error


def _overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def from_pyproject(root: Path, base: Settings | None = None) -> Settings:
    """Lay ``[tool.astral-lsp]`` of ``root``'s pyproject.toml over ``base``; no file changes nothing."""
    base = base or Settings()
    path = root / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("astral-lsp", {})
    except FileNotFoundError:
        return base
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return merge(base, table)
    except ConfigError as error:
        raise ConfigError(f"{path}: [tool.astral-lsp]: {error}") from error
