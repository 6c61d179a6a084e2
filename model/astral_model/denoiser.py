"""p(x_i | canvas, context) for every position of a canvas at once.

Layout: ``[context][<fim_middle>][canvas]``. The context is causal and pure base; the anchor token and the
canvas see all context and run through base + adapter. Masked positions are queries only: everything sees the
revealed positions of the canvas, in both directions, and nobody sees a mask but itself. So a canvas that is
revealed from the left is, but for the adapter, exactly what the base has learnt, and training starts from its
knowledge instead of losing it first. In a *causal* row revealed positions look left only: the path of a
strict left-to-right order, where every pass adds one token to a cache, and where one pass trains all
prefixes at once. The base's shift is kept: the output at a position predicts the next one, so the anchor
predicts canvas position 0 (DiffuGPT's ablation).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from astral_model.adapter import Adapter
from astral_model.backbone import Backbone, Cache


class Denoiser:
    """One canvas pass over frozen weights and an adapter."""

    def __init__(self, backbone: Backbone, adapter: Adapter) -> None:
        self.backbone, self.adapter = backbone, adapter

    def hidden(
        self,
        canvas: Tensor,
        masked: Tensor,
        context: Cache,
        *,
        start: Tensor | int | None = None,
        context_mask: Tensor | None = None,
        visible: Tensor | None = None,
        causal: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (N, C, D) whose `Backbone.logits` are the distributions of canvas positions 0..C-1.

        canvas (N, C) ids; masked (N, C) bool; context of M rows, N a multiple of M; start (N,) or int:
        position of the anchor where contexts have unequal lengths; context_mask (M, context) False on
        padding; visible (N, C) False on canvas padding that nothing may attend to; causal (N,) bool
        rows that look left only.
        """
        base = self.backbone
        n, size = canvas.shape[0], canvas.shape[1] + 1
        anchor = torch.full((n, 1), base.tokenizer.fim_middle, dtype=torch.long, device=base.device)
        keys = ~masked if visible is None else visible & ~masked
        keys = F.pad(keys, (1, 0), value=True)  # (N, 1 + C): the anchor is always seen
        sees = keys[:, None, :] | torch.eye(size, dtype=torch.bool, device=keys.device)  # (N, 1 + C, 1 + C)
        if causal is not None:
            left = torch.ones(size, size, dtype=torch.bool, device=keys.device).tril()
            sees = torch.where(causal[:, None, None], sees & left, sees)
        out = self.rows(
            torch.cat([anchor, canvas], 1),
            F.pad(masked, (1, 0)),
            sees,
            context,
            start=start,
            context_mask=context_mask,
        )
        return out[:, :-1]

    def rows(
        self,
        tokens: Tensor,
        masked: Tensor,
        sees: Tensor,
        context: Cache,
        *,
        positions: Tensor | None = None,
        start: Tensor | int | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (N, T, D) of rows of any layout; the output at a position predicts the next one.

        tokens (N, T) ids, the anchor among them; masked (N, T) bool; sees (N, T, T) bool: who attends to
        whom; positions (N, T) places from the anchor's, when they are not 0 .. T - 1; else as `hidden`.
        """
        base = self.backbone
        mask = self.adapter.mask_embedding.to(device=base.device, dtype=base.dtype)
        embedded = torch.where(masked[..., None], mask, base.embedding.take(tokens))  # (N, T, D)
        out, _ = base.forward(
            tokens,
            context=context,
            start=start,
            positions=positions,
            causal=False,
            own_mask=sees,
            context_mask=context_mask,
            adapter=self.adapter,
            embedded=embedded,
        )
        return out
