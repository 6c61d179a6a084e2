"""Entry: ``python -m astral_lsp.workers.types``. Says `Ready` before mypy is imported."""

from __future__ import annotations

import logging
import os
import sys

from astral_lsp.workers.frames import encode
from astral_lsp.workers.protocol import PROTOCOL_VERSION, Ready
from astral_lsp.workers.types.serve import Server, take_pipes


def main() -> None:
    """Serve until the input ends."""
    source, sink = take_pipes()
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("ASTRAL_LOG", "WARNING").upper())
    sink.write(encode(Ready(PROTOCOL_VERSION, os.getpid(), {"worker": "types"})))
    sink.flush()
    Server(source, sink).run()


if __name__ == "__main__":
    main()
