"""The extension's settings are those of `astral_lsp.config.Settings`: same types, choices and defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from astral_lsp import __version__
from astral_lsp.config import Settings, merge

EXTENSION = Path(__file__).parents[3] / "editors" / "vscode"
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text("utf-8"))
SECTION = "astral-lsp."
CLIENT_ONLY = ("path", "install.", "preview", "trace.")
NOT_IN_THE_EDITOR = ("trusted",)  # VS Code's workspace trust decides it
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def declared() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for group in MANIFEST["contributes"]["configuration"]:
        for key, value in group["properties"].items():
            found[key.removeprefix(SECTION)] = value
    return {key: value for key, value in found.items() if not key.startswith(CLIENT_ONLY)}


def fields(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted camelCase key, annotation, default) of every leaf."""
    for field in msgspec.structs.fields(struct):
        key = prefix + field.encode_name
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from fields(field.type, key + ".")
        elif key not in NOT_IN_THE_EDITOR:
            yield key, field.type, field.default


def test_same_keys() -> None:
    assert set(declared()) == {key for key, _, _ in fields(Settings)}


@pytest.mark.parametrize(("key", "annotation", "default"), list(fields(Settings)))
def test_same_type_and_default(key: str, annotation: Any, default: Any) -> None:
    setting = declared()[key]
    assert setting["default"] == default
    if get_origin(annotation) is Literal:
        assert set(setting["enum"]) == set(get_args(annotation))
    else:
        assert setting["type"] == JSON_TYPES[annotation]


def test_the_server_takes_every_default() -> None:
    nested: dict[str, Any] = {}
    for key, setting in declared().items():
        *path, last = key.split(".")
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[last] = setting["default"]
    assert merge(Settings(), nested) == Settings()


def test_what_runs_programs_is_restricted() -> None:
    restricted = set(MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"])
    names = {"path", "interpreter", "install.requirement", "install.pipArguments"}
    names |= {"model.base", "model.adapter", "verify.tests.sandbox"}
    assert {SECTION + name for name in names} == restricted
    assert MANIFEST["capabilities"]["untrustedWorkspaces"]["supported"] == "limited"


def test_every_command_is_registered() -> None:
    source = "".join(path.read_text("utf-8") for path in sorted((EXTENSION / "src").glob("*.ts")))
    names = r'\b(?:register|add)\("(\w+)"', r"\bregisterCommand\(`\$\{SECTION\}\.(\w+)`"
    registered = {name for pattern in names for name in re.findall(pattern, source)}
    assert {SECTION + name for name in registered} == {
        c["command"] for c in MANIFEST["contributes"]["commands"]
    }
    bound = {binding["command"] for binding in MANIFEST["contributes"]["keybindings"]}
    assert bound <= {SECTION + name for name in registered}


def test_the_walkthrough_leads_to_what_there_is() -> None:
    (walkthrough,) = MANIFEST["contributes"]["walkthroughs"]
    commands = {c["command"] for c in MANIFEST["contributes"]["commands"]}
    for step in walkthrough["steps"]:
        assert (EXTENSION / step["media"]["markdown"]).is_file()
        named = re.findall(r"\(command:([\w.-]+)\)", step["description"])
        assert {name for name in named if name.startswith(SECTION)} <= commands
        for event in step["completionEvents"]:
            assert not event.startswith("onCommand:") or event.removeprefix("onCommand:") in commands


def test_the_lockfile_names_no_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text("utf-8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_versions_agree() -> None:
    assert MANIFEST["version"] == __version__
    pyproject = (EXTENSION.parents[1] / "pyproject.toml").read_text("utf-8")
    source = (EXTENSION / "src" / "core" / "interpreter.ts").read_text("utf-8")
    low, high = re.findall(r"SERVER_PYTHON = \{ min: (\d+), max: (\d+) \}", source)[0]
    assert f'requires-python = ">=3.{low},<3.{int(high) + 1}"' in pyproject
