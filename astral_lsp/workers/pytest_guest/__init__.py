"""The guest: runs the user's tests under the user's interpreter.

A stand-alone folder of scripts, started as ``<user python> <this folder>/__main__.py``. It imports the
standard library and the user's own pytest, nothing of ours; server and guest share only the framing
(`wire`).

Processes, outermost first:

- *server* (`server`): speaks the protocol, holds pytest imported, runs no code of the workspace.
- *keeper* (`keeper`): one a module under test, first process of its own sandbox (`sandbox`); may hold the
  workspace's modules and tests imported (`session`).
- *run*: a fork of the keeper that judges one fill and dies (`supervise`, `execute`).
"""
