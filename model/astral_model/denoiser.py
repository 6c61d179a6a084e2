"""p(x_i | canvas, context) for every position of a canvas at once.

Layout: ``[context][<fim_middle>][canvas]``. The context is causal and pure base; the anchor token and the
canvas see all context and each other in both directions and run through base + adapter. The base's shift is
kept: the output at a position predicts the next one, so the anchor predicts canvas position 0
(DiffuGPT's ablation).
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
    ) -> Tensor:
        """Hidden states (N, C, D) whose `Backbone.logits` are the distributions of canvas positions 0..C-1.

        canvas (N, C) ids; masked (N, C) bool; context of M rows, N a multiple of M; start (N,) or int:
        position of the anchor where contexts have unequal lengths; context_mask (M, context) False on
        padding; visible (N, C) False on canvas padding that nothing may attend to.
        """
        base = self.backbone
        n = canvas.shape[0]
        embedded = F.embedding(canvas, base.embedding)  # (N, C, D)
        mask = self.adapter.mask_embedding.to(device=base.device, dtype=base.dtype)
        embedded = torch.where(masked[..., None], mask, embedded)
        anchor = torch.full((n, 1), base.tokenizer.fim_middle, dtype=torch.long, device=base.device)
        x = torch.cat([F.embedding(anchor, base.embedding), embedded], 1)  # (N, 1 + C, D)
        own_mask = None
        if visible is not None:
            own_mask = F.pad(visible, (1, 0), value=True)  # (N, 1 + C)
        out, _ = base.forward(
            torch.cat([anchor, canvas], 1),
            context=context,
            start=start,
            causal=False,
            own_mask=own_mask,
            context_mask=context_mask,
            adapter=self.adapter,
            embedded=x,
        )
        return out[:, :-1]
