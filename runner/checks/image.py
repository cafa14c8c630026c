"""Pictures that came back with an answer."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from runner.checks.pictures import Broken, examine
from runner.checks.reader import shorten
from runner.model import Image, Outcome, Turn, Verdict
from runner.registry import check
from runner.words import _

__all__ = ["HasImage"]


@check("image")
@dataclass(frozen=True, slots=True)
class HasImage:
    """At least one picture came back, and its bytes are a whole PNG, JPEG, GIF, WebP or BMP.

    ```yaml
    expect:
      - image
    ```
    """

    name: ClassVar[str]
    value: Literal[True] | None = None

    def evaluate(self, turn: Turn) -> Verdict:
        expected = _("a picture")
        if not turn.images:
            return Verdict(Outcome.FAILED, _("no image came back"), expected, _("(no image)"))
        findings = tuple(judge(image) for image in turn.images)
        good = tuple(description for broken, description in findings if not broken)
        if good:
            return Verdict(Outcome.PASSED, expected=expected, actual=shorten("; ".join(good)))
        message, *others = (description for _broken, description in findings)
        if others:
            message = _("none of {count} images is a whole picture; the first: {trouble}").format(
                count=len(findings), trouble=message
            )
        return Verdict(Outcome.FAILED, message, expected, shorten(turn.images[0].source))


def judge(image: Image) -> tuple[bool, str]:
    """Whether it is broken, and what it is or what is wrong with it."""
    if image.data is None:
        return True, _("the image could not be fetched: {reason}").format(reason=image.trouble or _("no reason was given"))
    try:
        return False, str(examine(image.data))
    except Broken as error:
        return True, str(error)
