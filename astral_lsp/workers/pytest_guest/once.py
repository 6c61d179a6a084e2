"""One run in a process of its own, where there is no fork: a job comes in, events go out, line by line."""

from __future__ import annotations

import importlib.util
import json
import os
import time
import traceback

from . import locate, sandbox
from .reach import Reach
from .session import do
from .supervise import Event

_LINGER_SECONDS = 5.0


def main(input_fd: int, output_fd: int) -> None:
    """Read the job, do it, say so. Never returns."""

    def emit(event: Event) -> None:
        data = json.dumps(event).encode() + b"\n"
        while data:
            data = data[os.write(output_fd, data) :]

    try:
        with os.fdopen(input_fd, "rb") as file:
            job = json.load(file)
        place = sandbox.Place(job["root"], job["path"], job["layers"], use=False)
        place.stand_on(job["folder"])
        reach = Reach(job["page"])
        reach.install()
        do(job, place, reach, importlib.util.find_spec("pytest") is not None, emit)
        emit({"e": "end"})
    except BaseException as error:
        emit({"e": "crash", "why": locate.message(error), "trace": traceback.format_exc()[-4000:]})
    finally:
        # whoever started this ends it, and with it what it has started: that is found by its parent
        time.sleep(_LINGER_SECONDS)
        os._exit(0)
