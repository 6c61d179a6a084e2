"""A tiny worker for the tests of WorkerProcess: answers, streams, hangs or dies on request."""

import json
import os
import struct
import sys
import threading
import time


def send(message):
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()


cancelled = set()


def answer(call):
    params = call["params"]
    kind = params["text"]
    if kind == "die":
        print("last words", file=sys.stderr, flush=True)
        time.sleep(0.05)
        os._exit(3)
    if kind == "fail":
        return send({"type": "failure", "id": call["id"], "kind": "bad_request", "message": "no"})
    if kind == "malformed":
        return send({"type": "result", "id": call["id"], "body": {"verdicts": 3}})
    if kind == "hang":
        time.sleep(3600)
    if kind == "slow":
        while call["id"] not in cancelled:
            time.sleep(0.01)
        kind = "cancelled"
    send({"type": "event", "id": call["id"], "name": "progress", "body": {"text": kind}})
    send(
        {
            "type": "result",
            "id": call["id"],
            "body": {"verdicts": [{"status": "passed", "detail": kind}], "elapsed_ms": 1.0},
        }
    )


def main():
    version = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    send({"type": "ready", "version": version, "pid": os.getpid(), "about": {"who": "echo"}})
    stream = sys.stdin.buffer
    while header := stream.read(4):
        message = json.loads(stream.read(struct.unpack(">I", header)[0]))
        if message["type"] == "cancel":
            cancelled.add(message["id"])
        else:
            threading.Thread(target=answer, args=(message,), daemon=True).start()


main()
