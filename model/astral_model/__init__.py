"""The denoiser: a masked-diffusion adapter over a small causal base. Knows nothing of editors or LSP."""
