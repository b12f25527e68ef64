"""A small cache in each web process: fresh for a while, then stale for whoever comes while one caller renews it."""

import threading
import time
from collections.abc import Callable
from typing import Any


class Memo:
    """Values by key; at most one thread computes a key at a time, the others get the last value meanwhile."""

    def __init__(self) -> None:
        self._values: dict[Any, tuple[float, Any]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: Any, seconds: float, compute: Callable[[], Any]) -> Any:
        """The value of `key`, at most `seconds` old unless it is being renewed at this moment."""
        stored = self._values.get(key)
        if stored and time.monotonic() - stored[0] < seconds:
            return stored[1]
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(blocking=stored is None):
            return stored[1] if stored else compute()
        try:
            stored = self._values.get(key)
            if stored and time.monotonic() - stored[0] < seconds:
                return stored[1]
            value = compute()
            self._values[key] = (time.monotonic(), value)
            return value
        finally:
            lock.release()

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
