"""``python -m astral_lsp.server``: serve on stdio."""

import sys

from astral_lsp.server.app import serve

if __name__ == "__main__":
    sys.exit(serve())
