"""The doors to a service: httpx clients and transports, with the guards every call passes.

httpx comes through here. Left alone it also loads its own command line, and with it rich and click: a third of its time.
"""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402

if sys.modules["httpx._main"] is None:
    del sys.modules["httpx._main"]

__all__ = ["httpx"]
