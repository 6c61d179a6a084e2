"""The mypy worker: σ, Γ and type verdicts from one warm fine-grained build (notes: verification).

Runs as ``python -m astral_lsp.workers.types`` under our Python; the user's interpreter only decides which
site-packages are seen. Nothing outside this package imports it; its client is `astral_lsp.verify.types`.
"""
