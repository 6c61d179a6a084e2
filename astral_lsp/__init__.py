"""astral-lsp: fill typed holes in Python with a local flow denoiser, and verify every fill.

The one name a user's program may import is :func:`hole`, a placeholder that type checks anywhere.
"""

from __future__ import annotations

from astral_lsp.runtime import HoleError, hole

__all__ = ["HoleError", "__version__", "hole"]
__version__ = "0.1.0"
