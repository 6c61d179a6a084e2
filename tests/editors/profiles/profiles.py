"""What Helix, Sublime Text and Zed announce, as far as it bears on this server.

Facts read from the editors' sources: helix-lsp/src/client.rs, LSP's plugin/core/sessions.py, zed's
crates/lsp/src/lsp.rs. Capabilities that change nothing for this server (rename, symbols, ...) are left out.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import converters, types

_KINDS = ["quickfix", "refactor", "refactor.extract", "refactor.inline", "refactor.rewrite"]
_MARKDOWN = {"contentFormat": ["markdown"]}


def _literals(kinds: list[str]) -> dict[str, Any]:
    return {"codeActionKind": {"valueSet": kinds}}


HELIX: dict[str, Any] = {
    "general": {"positionEncodings": ["utf-8", "utf-32", "utf-16"]},
    "workspace": {
        "configuration": True,
        "didChangeConfiguration": {"dynamicRegistration": False},
        "workspaceFolders": True,
        "applyEdit": True,
        "executeCommand": {"dynamicRegistration": False},
        "inlayHint": {"refreshSupport": False},
        "workspaceEdit": {"documentChanges": True, "failureHandling": "abort"},
        "didChangeWatchedFiles": {"dynamicRegistration": True, "relativePatternSupport": False},
    },
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True, "insertReplaceSupport": True}},
        "hover": _MARKDOWN,
        "codeAction": {
            "codeActionLiteralSupport": _literals(["", *_KINDS, "source", "source.organizeImports"]),
            "isPreferredSupport": True,
            "disabledSupport": True,
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit", "command"]},
        },
        "publishDiagnostics": {"versionSupport": True},
        "inlayHint": {"dynamicRegistration": False},
    },
    "window": {"workDoneProgress": True},
}

SUBLIME: dict[str, Any] = {
    "workspace": {
        "applyEdit": True,
        "configuration": True,
        "didChangeConfiguration": {"dynamicRegistration": True},
        "executeCommand": {},
        "workspaceEdit": {"documentChanges": True, "failureHandling": "abort"},
        "workspaceFolders": True,
        "codeLens": {"refreshSupport": True},
        "inlayHint": {"refreshSupport": True},
    },
    "textDocument": {
        "hover": {"contentFormat": ["markdown", "plaintext"]},
        "codeAction": {
            "dynamicRegistration": True,
            "codeActionLiteralSupport": _literals([*_KINDS, "source.organizeImports"]),
            "dataSupport": True,
            "disabledSupport": True,
            "resolveSupport": {"properties": ["edit"]},
        },
        "publishDiagnostics": {"relatedInformation": True, "versionSupport": True, "dataSupport": True},
        "codeLens": {"dynamicRegistration": True},
        "inlayHint": {
            "dynamicRegistration": True,
            "resolveSupport": {"properties": ["textEdits", "label.command"]},
        },
    },
    "window": {"showDocument": {"support": True}, "workDoneProgress": True},
}

ZED: dict[str, Any] = {
    "general": {"positionEncodings": ["utf-16"]},
    "workspace": {
        "applyEdit": True,
        "configuration": True,
        "didChangeConfiguration": {"dynamicRegistration": True},
        "workspaceEdit": {"documentChanges": True},
        "workspaceFolders": True,
        "inlayHint": {"refreshSupport": True},
    },
    "textDocument": {
        "hover": _MARKDOWN,
        "codeAction": {
            "codeActionLiteralSupport": _literals(["refactor", "quickfix", "source"]),
            "dataSupport": True,
            "resolveSupport": {
                "properties": ["kind", "diagnostics", "isPreferred", "disabled", "edit", "command"]
            },
        },
        "inlayHint": {"dynamicRegistration": False},
        "publishDiagnostics": {"relatedInformation": True},
        "diagnostic": {"dynamicRegistration": False, "relatedDocumentSupport": True},
    },
    "window": {"workDoneProgress": True},
}

PROFILES = {"helix": HELIX, "sublime": SUBLIME, "zed": ZED}


def capabilities(name: str) -> types.ClientCapabilities:
    """The profile called ``name`` as lsprotocol has it."""
    return converters.get_converter().structure(PROFILES[name], types.ClientCapabilities)
