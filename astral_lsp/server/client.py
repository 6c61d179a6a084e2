"""What this editor can do, read once from its capabilities (LSP 3.17 and 3.18: ClientCapabilities)."""

from __future__ import annotations

from typing import Any

from lsprotocol import types


def _dig(value: Any, *path: str) -> Any:
    for name in path:
        if value is None:
            return None
        value = getattr(value, name, None)
    return value


class Client:
    """Capabilities as plain flags."""

    def __init__(self, capabilities: types.ClientCapabilities, name: str = "") -> None:
        self.name = name
        dig = _dig
        action = dig(capabilities, "text_document", "code_action")
        edit = dig(capabilities, "workspace", "workspace_edit")
        resolvable = dig(action, "resolve_support", "properties") or ()
        self.code_action_literals = dig(action, "code_action_literal_support") is not None
        self.resolves_edits = bool(dig(action, "data_support")) and "edit" in resolvable
        self.preferred = bool(dig(action, "is_preferred_support"))
        self.disabled = bool(dig(action, "disabled_support"))
        tags = dig(action, "tag_support", "value_set") or ()
        self.generated_tag = types.CodeActionTag.LlmGenerated in tags
        self.document_changes = bool(dig(edit, "document_changes"))
        self.change_annotations = self.document_changes and dig(edit, "change_annotation_support") is not None
        self.apply_edit = bool(dig(capabilities, "workspace", "apply_edit"))
        self.configuration = bool(dig(capabilities, "workspace", "configuration"))
        self.register_configuration = bool(
            dig(capabilities, "workspace", "did_change_configuration", "dynamic_registration")
        )
        self.register_watchers = bool(
            dig(capabilities, "workspace", "did_change_watched_files", "dynamic_registration")
        )
        self.progress = bool(dig(capabilities, "window", "work_done_progress"))
        self.show_document = bool(dig(capabilities, "window", "show_document", "support"))
        self.refresh_diagnostics = bool(dig(capabilities, "workspace", "diagnostics", "refresh_support"))
        # types become known after the pull: an editor that cannot be told to pull again gets pushes
        pulls = dig(capabilities, "text_document", "diagnostic") is not None
        self.pull_diagnostics = pulls and self.refresh_diagnostics
        self.diagnostic_data = bool(dig(capabilities, "text_document", "publish_diagnostics", "data_support"))
        self.diagnostic_versions = bool(
            dig(capabilities, "text_document", "publish_diagnostics", "version_support")
        )
        self.refresh_inlay_hints = bool(dig(capabilities, "workspace", "inlay_hint", "refresh_support"))
        self.refresh_code_lens = bool(dig(capabilities, "workspace", "code_lens", "refresh_support"))
        formats = dig(capabilities, "text_document", "hover", "content_format") or ()
        self.markdown_hover = types.MarkupKind.Markdown in formats
        self.text_document_content = dig(capabilities, "workspace", "text_document_content") is not None
