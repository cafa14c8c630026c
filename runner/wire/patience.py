"""Read how long a service asks to be left alone from the headers of its answer."""

import re
from collections.abc import Mapping

__all__ = ["retry_after"]

NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `retry-after-ms` or `retry-after` name; a date is read against the answer's own. None when they name
    nothing that can be read, or a time that is over."""
    milliseconds, written = (headers.get(name, "").strip() for name in ("retry-after-ms", "retry-after"))
    if NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if NUMBER.fullmatch(written):
        return float(written)
    seconds = between(headers.get("date", ""), written)
    return seconds if seconds is not None and seconds >= 0 else None


def between(earlier: str, later: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
