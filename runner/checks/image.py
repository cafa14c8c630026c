"""Pictures that came back with an answer."""

import re
from collections.abc import Iterator
from math import inf, isfinite
from typing import Annotated, ClassVar, Literal

from runner import DISTRIBUTION
from runner.checks.allowance import TookTooLong
from runner.checks.blank import flat_png
from runner.checks.likeness import Golden, NotInstalled, Unusable, flat, opened
from runner.checks.limits import CountLimit, Limits, turned
from runner.checks.pictures import Broken, Picture, examine
from runner.checks.reader import shorten
from runner.forms import FileName, Form, key
from runner.model import Image, Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["Aspect", "HasImage", "ImageConditions", "Likeness"]

NEAR = 0.02
"""How far the sides' proportion may be from the one that is asked for, as a share of it: some round sides to 16 pixels."""
DISTANCE = 8
"""How far a picture may be from the one it is to be like, unless the author says. Measured on drawn scenes:
storing it otherwise moves a picture by up to 5, light and contrast by 7; others are 13 away and more, most of them 50."""
SECONDS = 2.0
"""The most time spent on looking for a second colour in the bytes of one picture; then it is Pillow's turn."""

Problem = tuple[str, str, str | None]
NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


@dataclass(frozen=True, slots=True)
class Aspect:
    """A picture's width divided by its height; `written` is the author's spelling."""

    written: str
    ratio: float

    def holds(self, ratio: float) -> bool:
        return abs(ratio - self.ratio) <= NEAR * self.ratio


def aspect(written: str | float) -> Aspect:
    """`16:9`, or a number for width divided by height. Raise ValueError for anything else."""
    text = "".join(str(written).split())
    match = re.fullmatch(rf"({NUMBER})(?::({NUMBER}))?", text)
    across, down = (float(match[1]), float(match[2] or 1)) if match else (0, 0)
    if not across or not down or not isfinite(across):
        raise ValueError(_("not the proportion of two sides; write it like `16:9`, `1:1` or `1.5`"))
    return Aspect(text, across / down)


AspectRatio = Annotated[Aspect, Form(parse=aspect, pattern=rf"^\s*{NUMBER}(?:\s*:\s*{NUMBER})?\s*$", substitutes=False)]


@dataclass(frozen=True, slots=True)
class Likeness:
    """A picture to compare with, and how far from it is still like it."""

    file: FileName = key("A picture below the flow's folder", "golden.png")
    distance: Annotated[int, Form(minimum=0, maximum=30)] = key(
        "How far it may be from that picture, 0 to 30; 8 unless told. The result names the distance", 4, default=DISTANCE
    )


@dataclass(frozen=True, slots=True)
class ImageConditions:
    """What a picture is, all of it at once."""

    width: CountLimit | None = key("How wide it is shown, in pixels", "at least 512", 1024, default=None)
    height: CountLimit | None = key("How high it is shown, in pixels", "between 512 and 1024", default=None)
    aspect: AspectRatio | None = key("Its width to its height, within 2 %", "16:9", "1:1", 1.5, default=None)
    format: Literal["png", "jpeg", "gif", "webp", "bmp"] | None = key("Its format, whatever its name says", "png", default=None)
    not_blank: Literal[True] | None = key("It shows more than one flat colour", True, default=None)
    like: FileName | Likeness | None = key(
        "A picture below the flow's folder that it looks like; `{file: golden.png, distance: 4}` for how much",
        "golden.png",
        default=None,
    )
    order: tuple[str, ...] = ()

    @property
    def likeness(self) -> Likeness | None:
        return Likeness(self.like) if isinstance(self.like, str) else self.like

    def __str__(self) -> str:
        """The conditions as the author wrote them, in one line."""
        said = [_("a picture")]
        said += [f"{name} {limits.written}" for name, limits in self.sides]
        if self.aspect is not None:
            said.append(f"aspect {self.aspect.written}")
        if self.format is not None:
            said.append(f"format {self.format}")
        if self.not_blank:
            said.append("not_blank")
        if self.likeness is not None:
            said.append(f"like {self.likeness.file}")
        return ", ".join(said)

    @property
    def sides(self) -> list[tuple[str, Limits]]:
        return [(name, limits) for name, limits in (("width", self.width), ("height", self.height)) if limits is not None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one picture is, and which conditions it does not meet: their keys, with a sentence each.

    `error`: a condition could not be judged. `broken`: it is no picture at all.
    """

    description: str
    unmet: tuple[tuple[str, str], ...] = ()
    distance: float = inf
    error: bool = False
    broken: bool = False

    @property
    def message(self) -> str:
        return "; ".join(sentence for _key, sentence in self.unmet)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """The smaller, the nearer to what is asked for."""
        return self.broken, len(self.unmet), self.distance


@check("image")
@dataclass(frozen=True, slots=True)
class HasImage:
    """At least one picture came back whole (PNG, JPEG, GIF, WebP or BMP), and it meets all conditions that are named.

    `width` and `height` are limits as for `words`, in pixels as the picture is shown. `aspect` is width to height, as `16:9` or
    a number, within 2 %. `format` is `png`, `jpeg`, `gif`, `webp` or `bmp`. `not_blank: true`: not one flat colour.

    `like` names a picture below the flow's folder. Compared is where each of the two gets lighter and darker, on a coarse grid:
    the distance is 0 for the same, up to 5 when it was resized or compressed, around 50 for another subject. At most 8 passes,
    or what `distance` says; the result names it. Colours do not count, nor does the proportion of the sides.

    `like`, and `not_blank` for formats other than PNG, need the extra `images` (Pillow); without it they are errors. Of a
    picture that moves, the first counts.

    ```yaml
    expect:
      - image
      - image: {width: at least 512, aspect: 1:1, format: png}
      - image:
          not_blank: true
          like: golden.png
      - image: {like: {file: golden.png, distance: 4}}
    ```
    """

    name: ClassVar[str]
    blocks: ClassVar[bool] = True
    value: ImageConditions | Literal[True] | None = None

    @property
    def wanted(self) -> ImageConditions:
        return self.value if isinstance(self.value, ImageConditions) else ImageConditions()

    def evaluate(self, turn: Turn) -> Verdict:
        wanted = self.wanted
        expected = shorten(str(wanted))
        if not turn.images:
            return Verdict(Outcome.FAILED, _("no image came back"), expected, _("(no image)"))
        try:
            golden = Golden(turn.folder, wanted.likeness.file) if wanted.likeness else None
        except NotInstalled:
            return Verdict(Outcome.ERROR, needs_pillow("like"), expected, part=self.part("like"))
        except Unusable as error:
            return Verdict(Outcome.ERROR, str(error), expected, part=self.part("like"))
        findings = tuple(judge(image, wanted, golden) for image in turn.images)
        if good := [finding.description for finding in findings if not finding.unmet]:
            return Verdict(Outcome.PASSED, expected=expected, actual=shorten("; ".join(good)))
        if unknown := next((finding for finding in findings if finding.error), None):
            return self.verdict(Outcome.ERROR, unknown, unknown.message)
        nearest = min(findings, key=lambda finding: finding.rank)
        message = nearest.message
        if len(findings) > 1:
            message = none_of(findings, nearest)
        return self.verdict(Outcome.FAILED, nearest, message)

    def verdict(self, outcome: Outcome, finding: Finding, message: str) -> Verdict:
        (first, _sentence), *_others = finding.unmet
        return Verdict(outcome, message, shorten(str(self.wanted)), shorten(finding.description), part=self.part(first))

    def part(self, key: str) -> int | None:
        """Which of the conditions this is, as they follow each other in the file."""
        return self.wanted.order.index(key) if key in self.wanted.order else None

    def problems(self) -> Iterator[Problem]:
        return (found for _where, found in self.located())

    def located(self) -> Iterator[tuple[tuple[str], Problem]]:
        """What is wrong with the value, each with the key it is about."""
        wanted = self.wanted
        for name, limits in wanted.sides:
            if limits.never or limits.high < 1 or (limits.high == 1 and limits.without_high):
                message = _("no picture has a `{key}` that is `{limits}`, so no reply passes")
                said = message.format(key=name, limits=limits.written)
                yield (name,), ("impossible", said, turned(limits) if limits.never else None)
            elif limits.high == inf and (limits.low < 1 or (limits.low == 1 and not limits.without_low)):
                message = _("every picture has a `{key}` that is `{limits}`")
                said = message.format(key=name, limits=limits.written)
                yield (name,), ("never-fails", said, _("delete it; `image` alone asks for a picture"))
        if wanted.aspect and not fits(wanted.aspect, wanted.width, wanted.height):
            message = _("no picture of this `width` and `height` has the `aspect` `{aspect}`, so no reply passes")
            yield ("aspect",), ("impossible", message.format(aspect=wanted.aspect.written), _("delete one of the three"))

    def files(self) -> tuple[str, ...]:
        """The files below the flow's folder that judging needs."""
        return (self.wanted.likeness.file,) if self.wanted.likeness else ()


def judge(image: Image, wanted: ImageConditions, golden: Golden | None) -> Finding:
    """Hold one picture against the conditions; raises nothing for any bytes."""
    if image.data is None:
        reason = image.trouble or _("no reason was given")
        return broken(image, _("the image could not be fetched: {reason}").format(reason=reason))
    try:
        picture = examine(image.data)
        unmet = [*outward(picture, wanted)]
        if wanted.not_blank and blank(image.data, picture):
            unmet.append(("not_blank", _("the picture is one flat colour")))
        if golden is None or wanted.likeness is None:
            return Finding(str(picture), tuple(unmet))
        distance = golden.distance(opened(image.data, picture))
    except Broken as error:
        return broken(image, str(error))
    except NotInstalled:
        return Finding(str(picture), (("not_blank", needs_pillow("not_blank")),), error=True)
    except Unusable as error:
        return Finding(str(picture), (("like" if wanted.likeness else "not_blank", str(error)),), error=True)
    likeness = wanted.likeness
    if distance > likeness.distance:
        message = _("distance {distance} from `{file}`, more than {most}")
        unmet.append(("like", message.format(distance=distance, file=likeness.file, most=likeness.distance)))
    description = _("{picture}, distance {distance} from {file}").format(picture=picture, distance=distance, file=likeness.file)
    return Finding(description, tuple(unmet), distance)


def broken(image: Image, message: str) -> Finding:
    return Finding(image.source, (("", message),), broken=True)


def outward(picture: Picture, wanted: ImageConditions) -> Iterator[tuple[str, str]]:
    """The conditions on size and format that a picture does not meet."""
    for name, limits in wanted.sides:
        pixels = picture.width if name == "width" else picture.height
        if not limits.hold(pixels):
            yield name, _("{key} {found}, not {expected}").format(key=name, found=pixels, expected=limits.written)
    ratio = picture.width / picture.height
    if wanted.aspect and not wanted.aspect.holds(ratio):
        found = f"{ratio:.2f}" if 0.01 <= ratio <= 100 else f"{picture.width}:{picture.height}"
        yield "aspect", _("{key} {found}, not {expected}").format(key="aspect", found=found, expected=wanted.aspect.written)
    if wanted.format and picture.format.lower() != wanted.format:
        found = picture.format.lower()
        yield "format", _("{key} {found}, not {expected}").format(key="format", found=found, expected=wanted.format)


def blank(data: bytes, picture: Picture) -> bool:
    """Whether it is one flat colour; raise Broken, NotInstalled or Unusable."""
    if picture.format == "PNG":
        try:
            return flat_png(data, SECONDS)
        except TookTooLong:
            pass  # a large picture of hidden colours: Pillow is a hundred times as fast
    return flat(opened(data, picture))


def fits(aspect: Aspect, width: Limits | None, height: Limits | None) -> bool:
    """Whether a picture within these limits can have this aspect."""
    widest, narrowest = (width.high, max(width.low, 1)) if width else (inf, 1)
    highest, lowest = (height.high, max(height.low, 1)) if height else (inf, 1)
    if min(widest, highest) < 1:
        return True  # said already
    return narrowest / highest <= aspect.ratio * (1 + NEAR) and widest / lowest >= aspect.ratio * (1 - NEAR)


def needs_pillow(key: str) -> str:
    return _("`{key}` needs Pillow here; install it: {command}").format(
        key=key, command=f"pip install '{DISTRIBUTION}[images]'"
    )


def none_of(findings: tuple[Finding, ...], nearest: Finding) -> str:
    """The sentence for several pictures that all fall short."""
    if all(finding.broken for finding in findings):
        message = _("none of {count} images is a whole picture; the first: {trouble}")
        return message.format(count=len(findings), trouble=findings[0].message)
    message = _("none of {count} images meets all conditions; the nearest is number {number}: {trouble}")
    return message.format(count=len(findings), number=findings.index(nearest) + 1, trouble=nearest.message)
