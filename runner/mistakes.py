"""Turn what YAML refuses in a newcomer's line, or reads otherwise than it is meant, into diagnostics with the line to write.

A refusal is explained by trial: each rule proposes a cause and a corrected line, and the first correction that lets libyaml
read on is the one shown. What YAML accepts is judged value by value, where it stands.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from typing import Final, NamedTuple

import yaml

from runner.diagnostics import Diagnostic, Severity, Span
from runner.source import MAX_DEPTH, Node, events
from runner.values import dataclass
from runner.words import _

__all__ = ["TEMPLATE", "dollar_braces", "explain_failure", "find_traps", "write", "write_quoted"]

LONGEST: Final = 2_000
"""Longer lines are not searched for causes."""
TRIALS: Final = 2_500_000
"""Characters that may be read again in search of the cause."""
SEARCHED: Final = 20_000_000
"""Characters that may be looked at in search of traps; only a file made to be slow has so many values on long lines."""
LOOK_BACK: Final = 40
"""Lines above a failure in which an unclosed quote is looked for."""

DASHES: Final = "－–—•・−‐"
SHAPE: Final = re.compile(
    r"(?P<lead> *(?:- +)*)"
    r"(?:(?P<key>\"[^\"]*\"|'[^']*'|[^\s\"'\[\]{}&*!|>%@`#,:][^:#]*?) *:(?:[ \t]+|$))?"
    r"(?P<value>.*?)\s*$"
)
NAME: Final = r"[^\W\d]\w*"
TEMPLATE: Final = re.compile(rf"{{{{\s*({NAME})\s*}}}}")
KEY: Final = r"[^\W\d][\w-]*"
WIDE_KEY: Final = re.compile(rf"(?P<key>[{{,]\s*{KEY})：\s*")
HEX: Final = "[0-9a-fA-F]"
BAD_ESCAPE: Final = re.compile(rf"\\(?:x(?!{HEX}{{2}})|u(?!{HEX}{{4}})|U(?!{HEX}{{8}})|[^0abt\tnvfre \"/\\N_LPxuU])")


def quoted(text: str) -> str:
    """A text in the quotes that need the least escaping."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def rewritten(line: str, begin: int, end: int, text: str) -> str:
    """A line with a part replaced, as a hint shows it."""
    return (line[:begin] + text + line[end:]).strip()


def write(line: str) -> str:
    line = line.strip()
    return _("write: {line}").format(line=line if len(line) <= LONGEST else line[:LONGEST] + "…")


def write_quoted(line: str, begin: int) -> str:
    """The hint to put the rest of a line in quotes."""
    if len(line) > LONGEST:
        return _("put the text in quotes")
    return write(rewritten(line, begin, len(line), quoted(line[begin:].rstrip())))


# ── what YAML refuses ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Failure:
    """Where libyaml stopped, counted from 0: the line and column, and the line where the construct that it was in began."""

    lines: Sequence[str]
    problem: str
    line: int
    column: int
    opened: int
    opened_column: int


@dataclass(frozen=True, slots=True)
class Fix:
    """A cause and its cure: `changes` maps lines, counted from 0, to what would stand there."""

    code: str
    message: str
    at: tuple[int, int, int]
    """Line and columns, from 0, of the smallest wrong thing."""
    changes: dict[int, str] = field(default_factory=dict)
    hint: str | None = None


Rule = Callable[[Failure, int], Iterator[Fix]]


def explain_failure(error: yaml.MarkedYAMLError, lines: Sequence[str], path: str) -> Diagnostic:
    """Turn libyaml's refusal of a file into the one diagnostic to show for it."""
    mark = error.problem_mark or error.context_mark
    last = len(lines) - 1
    while last and not lines[last].strip():
        last -= 1
    line = min(mark.line if mark else 0, last)
    column = min(mark.column, len(lines[line])) if mark and mark.line <= last else len(lines[line])
    opened = min(error.context_mark.line, last) if error.context_mark else line
    opened_column = error.context_mark.column if error.context_mark else column
    failure = Failure(lines, error.problem or "", line, column, opened, opened_column)
    fix = too_deep(failure) or next(working(failure, mark.line if mark else 0), None) or plain_words(failure)
    hint = fix.hint if fix.hint is not None else write(next(iter(fix.changes.values())))
    place, begin, end = fix.at
    return Diagnostic(fix.code, fix.message, path, Span(place + 1, begin + 1, place + 1, end + 1), hint=hint)


def too_deep(failure: Failure) -> Fix | None:
    """Since 0.2.6 libyaml has a limit of its own, and may look a thousand signs ahead before it tells of the first."""
    if "nesting depth" not in failure.problem:
        return None
    message = _("more than {limit} levels deep").format(limit=MAX_DEPTH)
    return Fix("too-deep", message, (failure.line, failure.column, failure.column + 1), hint=_("use fewer levels"))


def working(failure: Failure, end: int) -> Iterator[Fix]:
    """The proposals that let libyaml read beyond the line where it failed, likeliest first."""
    budget = TRIALS
    tried = set()
    above = [index for index in range(failure.line - 1, max(failure.line - LOOK_BACK, -1), -1) if failure.lines[index].strip()]
    near = tuple(dict.fromkeys((failure.line, failure.opened, *above[:1])))
    structural = any(words in failure.problem for words in STRUCTURAL)
    if "could not find expected ':'" in failure.problem:
        near = tuple(dict.fromkeys((failure.opened, *near)))
    order = [(rule, place) for place in near for rule in LINE_RULES]
    order += [(rule, place) for rule in FAR_RULES for place in dict.fromkeys((*near, *above))]
    order += [(rule, place) for rule in STRUCTURE_RULES for place in near if structural]
    for rule, place in order:
        if len(failure.lines[place]) > LONGEST:
            continue
        for fix in rule(failure, place):
            changed = "\n".join(fix.changes.get(index, line) for index, line in enumerate(failure.lines))
            if changed in tried or budget < len(changed):
                continue
            tried.add(changed)
            budget -= len(changed)
            grown = sum(change.count("\n") for change in fix.changes.values())
            if fails_at(changed) - grown > min(end, failure.line):
                yield fix


def fails_at(text: str) -> float:
    """The line, from 0, at which libyaml refuses a text or the text goes too deep, or infinity."""
    depth = 0
    next_event = events(text)
    try:
        while (event := next_event()) is not None:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                return float(event.start_mark.line)
    except yaml.MarkedYAMLError as error:
        return float(error.problem_mark.line) if error.problem_mark else 0
    return float("inf")


def shape(line: str) -> re.Match[str]:
    found = SHAPE.match(line[:LONGEST])
    assert found is not None  # every part of it may be empty
    return found


def markdown_fence(failure: Failure, index: int) -> Iterator[Fix]:
    """What an answer of a chat program is wrapped in."""
    fences = {place: "" for place, line in enumerate(failure.lines) if re.match(r"```", line)}
    if index in fences:
        end = len(failure.lines[index].rstrip())
        hint = _("delete this line, and the one with ``` at the end")
        yield Fix("syntax", _("this line is Markdown, not YAML"), (index, 0, end), fences, hint=hint)


def tab_in_front(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    front = re.match(r"(?P<indent>[ \t]*)(?P<dashes>(?:-[ \t]+)*)", line)
    if front is None or "\t" not in front[0]:
        return
    at = (index, front[0].index("\t"), front[0].index("\t") + 1)
    message = _("a tab cannot stand in front of a line")
    dashes = re.sub(r"[ \t]+", " ", front["dashes"])
    rest = dashes + line[front.end() :]
    if "\t" not in front["indent"]:
        yield Fix("tab", message, at, {index: front["indent"] + rest})
        return
    wide = len(front["indent"].replace("\t", "  "))
    for level in sorted(
        {wide, *(level for level, _line in levels(failure, index))}, key=lambda level: (abs(level - wide), -level)
    ):
        yield Fix("tab", message, at, {index: " " * level + rest}, hint=_("use {spaces} instead").format(spaces=spaces(level)))


def wide_punctuation(failure: Failure, index: int) -> Iterator[Fix]:
    """Full-width signs and unusual spaces where YAML knows only the plain ones; the first of several such lines is named."""
    narrow, wrong = narrowed(failure.lines[index])
    if wrong is None:
        return
    first, above = index, {}
    while first and narrowed(failure.lines[first - 1])[1] is not None:
        first -= 1
        above[first] = narrowed(failure.lines[first])[0]
    wrong = narrowed(failure.lines[first])[1] or 0
    code, message = sign_trouble(failure.lines[first][wrong])
    at = (first, wrong, wrong + 1)
    for level in dict.fromkeys((len(narrow) - len(narrow.lstrip()), *(level for level, _line in levels(failure, index)))):
        changed = " " * level + narrow.lstrip()
        value = shape(changed)
        requoted = changed[: value.start("value")] + quoted(value["value"]) if value["key"] and value["value"] else changed
        for cured in (changed, requoted):
            yield Fix(code, message, at, {**above, index: cured}, hint=write(above.get(first, cured)))


def sign_trouble(sign: str) -> tuple[str, str]:
    if sign in "\u00a0\u3000":
        return "hidden-space", _("this space is {name}, which YAML does not take for a space").format(
            name={"\u00a0": _("U+00A0 (no-break)"), "\u3000": _("U+3000 (full-width)")}[sign]
        )
    if sign == "：":
        return "full-width", _("`：` is a full-width colon")
    if sign in DASHES:
        return "full-width", _("`{sign}` is not the hyphen `-`").format(sign=sign)
    return "full-width", _("`{sign}` is not a quotation mark of YAML").format(sign=sign)


WIDE: Final = re.compile(f"[：\u3000\u00a0“”„‘’＂{DASHES}]")
PAIRS: Final = {"“": "”", "”": "”", "„": "“", "‘": "’", "＂": "＂"}


def dollar_braces(line: str) -> str:
    """A line with `{{name}}` written as runflow's variables are."""
    return TEMPLATE.sub(r"${\1}", line)


def narrowed(line: str) -> tuple[str, int | None]:
    """A line with the plain signs of YAML, and the column of the first other one; None when there is none."""
    if len(line) > LONGEST or not WIDE.search(line):
        return line, None
    found: list[int] = []
    front = re.match(r"[ \u3000\u00a0]*", line)
    begin = front.end() if front else 0
    found += [index for index in range(begin) if line[index] != " "]
    done = line[:begin].replace("\u3000", "  ").replace("\u00a0", " ")
    if dash := re.compile(rf"([-{DASHES}])([ \u3000\u00a0]*)(?=\S)").match(line, begin):
        if dash[1] != "-":
            found.append(begin)
        if dash[2].strip(" "):
            found.append(dash.start(2) + len(dash[2]) - len(dash[2].lstrip(" ")))
        if dash[1] != "-" or dash[2]:
            done += "- "
            begin = dash.end()
    if key := re.compile(rf"([“”\"'＂‘]?)({KEY})([”\"'＂’]?)([ \u3000\u00a0]*)([:：])([ \u3000\u00a0]*)").match(line, begin):
        if key[1] and key[1] not in "\"'":
            found.append(key.start(1))
        if key[5] == "：":
            found.append(key.start(5))
        if key[6].strip(" "):
            found.append(key.start(6) + len(key[6]) - len(key[6].lstrip(" ")))
        if found or key[6]:
            done += f"{key[2]}: "
            begin = key.end()
    value = line[begin:].rstrip()
    if len(value) > 1 and PAIRS.get(value[0]) == value[-1] and not set(value[1:-1]) & {value[0], value[-1]}:
        found.append(begin)
        value = quoted(value[1:-1])
    return (done + value).rstrip(), min(found, default=None)


def missing_space(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    if found := re.match(rf"( *(?:- +)*)({KEY}):(?![\s/])(.+)", line):
        for value in (found[3].rstrip(), quoted(found[3].rstrip())):
            at = (index, found.end(2), found.end(2) + 1)
            message = _("a space is missing after `{key}:`").format(key=found[2])
            yield Fix("missing-space", message, at, {index: f"{found[1]}{found[2]}: {value}"})
    if found := re.match(r"( *)-(?=[\w\"'])", line):
        message = _("a space is missing after `-`")
        changes = {index: f"{found[1]}- {line[found.end() :]}"}
        for below in range(index + 1, min(index + LOOK_BACK, len(failure.lines))):
            if not failure.lines[below].startswith(" " * found.end()):
                break
            changes[below] = " " + failure.lines[below]
        yield Fix("missing-space", message, (index, found.end(1), found.end()), {index: changes[index]})
        yield Fix("missing-space", message, (index, found.end(1), found.end()), changes)


def first_sign(failure: Failure, index: int) -> Iterator[Fix]:
    """A plain text whose first sign has a meaning of its own in YAML."""
    line = failure.lines[index]
    found = shape(line)
    value = found["value"]
    if not value or value[0] not in "@`%*&!|>,]}?-":
        return
    begin = found.start("value")
    if value.startswith("- ") and found["key"] in LISTS:
        yield on_its_own_line(found, index, _("a list begins below its name, on a line of its own"))
    yield Fix("needs-quotes", beginning(value[0]), (index, begin, begin + 1), {index: line[:begin] + quoted(value)})


def on_its_own_line(found: re.Match[str], index: int, message: str) -> Fix:
    """Move what stands beside a key to the line below."""
    begin = found.start("value")
    below = " " * (found.start("key") + 2) + found["value"]
    hint = "\n".join((_("write:"), f"{found['key']}:", f"  {found['value']}"))
    at = (index, begin, begin + len(found["value"]))
    return Fix("bad-indentation", message, at, {index: f"{found.string[:begin].rstrip()}\n{below}"}, hint=hint)


def beginning(sign: str) -> str:
    if sign == "`":
        return _("a text that begins with a backtick needs quotes")
    return _("a text that begins with `{sign}` needs quotes").format(sign=sign)


def braces(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    if found := TEMPLATE.search(line):
        changed = dollar_braces(line)
        message = _("a variable is not written `{written}`").format(written=found[0])
        yield Fix("template-braces", message, (index, found.start(), found.end()), {index: changed})
        part = shape(changed)
        requoted = changed[: part.start("value")] + quoted(part["value"])
        yield Fix("template-braces", message, (index, found.start(), found.end()), {index: requoted})


def colon_inside(failure: Failure, index: int) -> Iterator[Fix]:
    """A plain text with `: ` in it, or with `:` at its end."""
    line = failure.lines[index]
    found = shape(line)
    colon = re.search(r":(?=\s|$)", found["value"])
    if not found["key"] or colon is None or found["value"][0] in "[{\"'|>":
        return
    begin = found.start("value")
    if found["key"] in STRUCTURED | LISTS | {"calls"} and re.match(rf"{KEY}: ", found["value"]):
        message = _("this key belongs below `{key}:`, on a line of its own").format(key=found["key"])
        yield on_its_own_line(found, index, message)
    sign = "`:`" if colon.end() == len(found["value"]) else "`: `"
    message = _("a text with {sign} in it needs quotes").format(sign=sign)
    at = (index, begin + colon.start(), begin + colon.end())
    yield Fix("needs-quotes", message, at, {index: line[:begin] + quoted(found["value"])})


def after_bracket(failure: Failure, index: int) -> Iterator[Fix]:
    """A text that begins with a bracket, such as a pattern."""
    line = failure.lines[index]
    found = shape(line)
    value = found["value"]
    if not value or value[0] not in "[{" or (value[-1] in "]}" and balanced(value)):
        return
    begin = found.start("value")
    message = beginning(value[0])
    yield Fix("needs-quotes", message, (index, begin, begin + 1), {index: line[:begin] + quoted(value)})


def balanced(value: str) -> bool:
    """Whether the first bracket is closed by the last character, and not before."""
    depth = 0
    for index, sign in enumerate(value):
        depth += (sign in "[{") - (sign in "]}")
        if depth == 0:
            return index == len(value) - 1
    return False


def inside_brackets(failure: Failure, index: int) -> Iterator[Fix]:
    """Plain texts with brackets, `#` or a leading sign inside `[…]` or `{…}`."""
    line = failure.lines[index]
    found = shape(line)
    value = found["value"]
    if not value or value[0] not in "[{":
        return
    begin = found.start("value")
    changed, wrong = quoted_items(value)
    if wrong is not None:
        start, end = wrong
        message = _("inside brackets this text needs quotes")
        yield Fix("needs-quotes", message, (index, begin + start, begin + end), {index: line[:begin] + changed})


def wide_colon_in_braces(failure: Failure, index: int) -> Iterator[Fix]:
    """`{get_order： {…}}`: no text of several words can hold a brace."""
    line = failure.lines[index]
    if found := WIDE_KEY.search(line):
        colon = found.end("key")
        code, message = sign_trouble("：")
        yield Fix(code, message, (index, colon, colon + 1), {index: WIDE_KEY.sub(r"\g<key>: ", line)})


def quoted_items(value: str) -> tuple[str, tuple[int, int] | None]:
    """A flow collection with those items quoted that cannot stand plain in it, and where the first of them stood."""
    done: list[str] = []
    wrong: tuple[int, int] | None = None
    index = 0
    while index < len(value):
        if item := re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'").match(value, index):
            done.append(item[0])
            index = item.end()
        elif value[index] in "[]{}, \t:":
            done.append(value[index])
            index += 1
        else:
            end = item_end(value, index)
            text = value[index:end].rstrip()
            if re.search(r"[\[\]{}]|(?:^|\s)#|^[@`%*&!|>]", text):
                wrong = wrong or (index, index + len(text))
                done.append(quoted(text))
            else:
                done.append(text)
            done.append(value[index + len(text) : end])
            index = end
    return "".join(done), wrong


def item_end(value: str, index: int) -> int:
    """Where a plain item ends, counting the brackets inside it as its own."""
    depth = 0
    while index < len(value):
        sign = value[index]
        if depth == 0 and (sign in ",]}" or (sign == ":" and value[index + 1 : index + 2] in ("", " "))):
            break
        depth += (sign in "[{") - (sign in "]}")
        index += 1
    return index


def quotes(failure: Failure, index: int) -> Iterator[Fix]:
    """A quoted text with an unknown escape, with more text behind it, or without its end."""
    line = failure.lines[index]
    found = shape(line)
    value = found["value"]
    begin = found.start("value")
    if value and value[0] in "[{":
        yield from quote_in_brackets(line, index, begin, value)
    if not value or value[0] not in "\"'":
        return
    whole = re.match(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", value)
    if whole is None:
        message = _("this quotation mark is never closed")
        closed = value + value[0]
        yield Fix("unclosed-quote", message, (index, begin, begin + 1), {index: line[:begin] + closed})
        yield Fix("unclosed-quote", message, (index, begin, begin + 1), {index: line[:begin] + quoted(value)})
        return
    inner = value[1:-1] if len(value) > 1 and value[-1] == value[0] else value
    if inner == value and value[0] == '"' and value.count('"') % 2:
        inner = value[1:]  # the last quotation mark of the text is the one that is missing
    if whole.end() < len(value):
        message = _("the quotes end here, and more text follows")
        at = (index, begin + whole.end() - 1, begin + whole.end())
        if re.fullmatch(r"(?:\"[^\"]*\"|'[^']*')(?:, *(?:\"[^\"]*\"|'[^']*'))+", value):
            message = _("several texts make a list, which stands in `[…]`")
            yield Fix("text-after-quotes", message, at, {index: f"{line[:begin]}[{value}]"})
        yield Fix("text-after-quotes", message, at, {index: line[:begin] + quoted(inner)})
        return
    if value[0] == '"':
        yield from escapes(line, index, begin, value)


def quote_in_brackets(line: str, index: int, begin: int, value: str) -> Iterator[Fix]:
    rest = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", lambda found: " " * len(found[0]), value)
    if opening := re.search(r"(?<=[\[{, ])[\"']", rest):
        inner = value[opening.start() :].rstrip("]}")
        closers = value[opening.start() + len(inner) :]
        changed = line[:begin] + value[: opening.start()] + inner + opening[0] + closers
        at = (index, begin + opening.start(), begin + opening.end())
        yield Fix("unclosed-quote", _("this quotation mark is never closed"), at, {index: changed})


def escapes(line: str, index: int, begin: int, value: str) -> Iterator[Fix]:
    bad = [pair for pair in re.finditer(r"\\.", value) if BAD_ESCAPE.match(value, pair.start())]
    if not bad:
        return
    message = _("`{escape}` means nothing in double quotes").format(escape=bad[0][0])
    at = (index, begin + bad[0].start(), begin + bad[0].end())
    cured = single(value)
    if re.search(r"\\[nt]", value):
        # Line breaks and tabs are meant; single quotes would spell them out.
        cured = re.sub(r"\\.", lambda pair: ("\\" if BAD_ESCAPE.match(value, pair.start()) else "") + pair[0], value)
    yield Fix("bad-escape", message, at, {index: line[:begin] + cured})


def single(value: str) -> str:
    """A double-quoted text in single quotes, its backslashes as they stand."""
    return "'" + value[1:-1].replace('\\"', '"').replace("'", "''") + "'"


def cut_inside(failure: Failure, index: int) -> Iterator[Fix]:
    """A `#` that cut a text, and so the structure around it."""
    line = failure.lines[index]
    found = shape(line)
    comment = re.search(r"(?:^|\s)(#)[^\s#]", found["value"])
    if comment is None or found["value"][0] in "\"'[{":
        return
    begin = found.start("value")
    at = (index, begin + comment.start(1), begin + len(found["value"]))
    message = _("everything from ` #` on is a comment")
    yield Fix("cut-by-comment", message, at, {index: line[:begin] + quoted(found["value"])})


def missing_colon(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    if re.fullmatch(r" *(?:- +)*[A-Za-z_]+\s*", line):
        begin = len(line) - len(line.lstrip(" -"))
        end = len(line.rstrip())
        message = _("a `:` is missing after `{key}`").format(key=line[begin:end])
        yield Fix("missing-colon", message, (index, begin, end), {index: line.rstrip() + ":"})


def missing_dash(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    found = re.match(r"( *)(?=[^\s-])", line)
    if found is None or list_of(failure, index) not in ITEMS_OF_ONE_KEY:
        return
    message = _("each item of this list begins with `- `")
    word = re.match(r"[^\s:]+", line[found.end() :])
    at = (index, found.end(), found.end() + (word.end() if word else 1))
    yield Fix("missing-dash", message, at, {index: f"{found[1]}- {line[found.end() :]}"})


ITEMS_OF_ONE_KEY: Final = frozenset({"expect", "not", "any", "all", "tools", "messages"})
"""Lists in which each new key is a new item."""


def list_of(failure: Failure, index: int) -> str | None:
    """The key of the list in which a line stands, told by indentation."""
    indent = len(failure.lines[index]) - len(failure.lines[index].lstrip())
    for line in reversed(failure.lines[:index]):
        found = shape(line)
        if found["value"] and not found["key"]:
            continue
        if found["key"] and found.start("key") <= indent and not line.lstrip().startswith("- ") and not found["value"]:
            return found["key"]
        if found["key"] and found.start("key") < indent and not found["value"]:
            return found["key"]
    return None


def indentation(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index]
    if not re.match(r" *(?:- |\S[^:]*:(?:\s|$))", line):
        return
    own = len(line) - len(line.lstrip(" "))
    word = re.match(r"-|[^\s:]+", line.lstrip(" "))
    end = own + (word.end() if word else 1)
    # A key of the file itself is level with the other ones; any other line was more likely meant to belong to the last one.
    top = word is not None and word[0] in TOP_KEYS
    others = (found for found in levels(failure, index) if found[0] != own)
    near = sorted(others, key=lambda found: (found[0] if top else abs(found[0] - own), -found[0]))
    for level, place in near:
        if level > own:
            message = _("this is not indented far enough to belong to what is above it")
        else:
            message = _("this is indented by {own}, and nothing above it is").format(own=spaces(own))
        hint = _("indent it by {level}, like line {line}") if level else _("do not indent it; it belongs beside line {line}")
        hint = hint.format(level=spaces(level), line=place + 1)
        yield Fix("bad-indentation", message, (index, own, end), {index: " " * level + line.lstrip(" ")}, hint=hint)


TOP_KEYS: Final = frozenset({"assistant", "steps", "thread", "variables", "cases", "target"})


def spaces(count: int) -> str:
    from runner.words import ngettext

    return ngettext("{count} space", "{count} spaces", count).format(count=count)


def levels(failure: Failure, index: int) -> list[tuple[int, int]]:
    """(column, line) of what a line can be level with: what is still open above it, nearest first."""
    found: dict[int, int] = {}
    limit = 10_000
    for place in range(index - 1, -1, -1):
        line = failure.lines[place]
        front = re.match(r" *((?:- +)*)(?=\S)", line[:LONGEST])
        if front is None or line.lstrip().startswith("#"):
            continue
        columns = [front.end(), *(front.start(1) + dash.start() for dash in re.finditer("-", front[1]))]
        for column in columns:
            if column < limit:
                found.setdefault(column, place)
        limit = min(limit, *columns)
        if limit == 0:
            break
    return sorted(found.items(), reverse=True)


def loose_text(failure: Failure, index: int) -> Iterator[Fix]:
    """A line of text that should belong to the text above it."""
    line = failure.lines[index]
    if not line.strip() or line.lstrip().startswith((": ", "- ")):
        return
    own = len(line) - len(line.lstrip())
    above = next(
        (place for place in range(index - 1, max(index - LOOK_BACK, -1), -1) if shape(failure.lines[place])["key"]), None
    )
    if above is None:
        return
    head = shape(failure.lines[above])
    deep = head.start("key") + 2
    below = {
        place: " " * deep + failure.lines[place].lstrip()
        for place in range(above + 1, index + 1)
        if failure.lines[place].strip()
    }
    at = (index, own, len(line.rstrip()))
    message = _("this line belongs to no key")
    if re.fullmatch(r"(?:[|>][-+0-9]*)?", head["value"]):
        hint = _("indent it by {level}, to make it part of line {line}").format(level=spaces(deep), line=above + 1)
        yield Fix(
            "bad-indentation", _("this line is not indented far enough to be part of what is above it"), at, below, hint=hint
        )
        return
    opened = failure.lines[above][: head.start("value")] + "|"
    text = " " * deep + head["value"]
    hint = "\n".join(
        [
            _("to go on with the text above, write:"),
            f"{head['key']}: |",
            f"  {head['value']}",
            *(f"  {part.strip()}" for part in below.values()),
        ]
    )
    yield Fix("loose-text", message, at, {above: f"{opened}\n{text}", **below}, hint=hint)


def unclosed_bracket(failure: Failure, index: int) -> Iterator[Fix]:
    line = failure.lines[index].rstrip()
    opened: list[int] = []
    unclosed: list[int] = []
    changed = ""
    for column, sign in enumerate(line):
        if sign in CLOSERS:
            opened.append(column)
        elif sign in "]}":
            while opened and CLOSERS[line[opened[-1]]] != sign:
                unclosed.append(opened.pop())
                changed += CLOSERS[line[unclosed[-1]]]
            if not opened and shape(line)["value"][:1] in CLOSERS:
                message = _("this `{sign}` closes nothing").format(sign=sign)
                without = line[:column] + line[column + 1 :]
                yield Fix("unclosed-bracket", message, (index, column, column + 1), {index: without})
            if opened:
                opened.pop()
        changed += sign
    changed = changed.rstrip(",") + "".join(CLOSERS[line[column]] for column in reversed(opened))
    if unclosed or opened:
        column = (unclosed or opened)[-1]
        message = _("this `{sign}` is never closed").format(sign=line[column])
        yield Fix("unclosed-bracket", message, (index, column, column + 1), {index: changed})


CLOSERS: Final = {"[": "]", "{": "}"}
LINE_RULES: Final[tuple[Rule, ...]] = (
    markdown_fence,
    tab_in_front,
    wide_punctuation,
    missing_space,
    quotes,
    braces,
    first_sign,
    colon_inside,
    wide_colon_in_braces,
    inside_brackets,
    unclosed_bracket,
    after_bracket,
    cut_inside,
)
"""Tried on the line that failed, on the one where it began, and on the one above."""
FAR_RULES: Final[tuple[Rule, ...]] = (quotes, missing_colon)
"""Tried on all lines not far above, too."""
STRUCTURE_RULES: Final[tuple[Rule, ...]] = (missing_dash, indentation, loose_text)
"""Tried near the line that failed, when it failed for where it stands."""
STRUCTURAL: Final = (
    "mapping values",
    "could not find expected ':'",
    "expected key",
    "expected '-' indicator",
    "document start",
)


def plain_words(failure: Failure) -> Fix:
    """libyaml's reason in other words, when no correction is certain."""
    line, column = failure.line, failure.column
    directive = next((index for index, above in enumerate(failure.lines[:line]) if above.startswith("%")), None)
    if "document start" in failure.problem and directive is not None:
        message = _("a line that begins with `%` has a meaning of its own in YAML")
        return Fix("syntax", message, (directive, 0, 1), hint=_("put the text in quotes, or delete the line"))
    message, hint = next(
        (said for words, said in reasons().items() if words in failure.problem),
        (_("this cannot be read"), _("check the indentation, the quotes and the `:` of this line and the one above")),
    )
    if "end of stream" in failure.problem or "expected ',' or" in failure.problem:
        line, column = failure.opened, min(failure.opened_column, len(failure.lines[failure.opened]))
    return Fix("syntax", message, (line, column, column + 1), hint=hint)


def reasons() -> dict[str, tuple[str, str]]:
    """libyaml's words, and ours with what to do."""
    return {
        "mapping values are not allowed": (
            _("this `:` makes a key where no key can stand"),
            _("put a text with `: ` in quotes, or check the indentation of this line"),
        ),
        "could not find expected ':'": (
            _("here a line like `key: value` was expected"),
            _("add the `:`, or indent the line to make it part of the text above"),
        ),
        "did not find expected key": (
            _("this does not fit to what stands above it"),
            _("indent it like the lines above, or put the whole text in quotes"),
        ),
        "expected '-' indicator": (
            _("here an item of a list, `- …`, was expected"),
            _("begin the line with `- `, or check its indentation"),
        ),
        "expected ',' or": (
            _("what begins here is not closed, or a `,` is missing in it"),
            _("close it with `]` or `}`, and put texts with brackets in quotes"),
        ),
        "node content": (_("a value is missing before this sign"), _("write it, or put the whole text in quotes")),
        "end of stream": (_("what begins here does not end"), _("close the quotes")),
        "cannot start any token": (_("no text can begin with this sign"), _("put the text in quotes")),
        "tab character": (_("a tab cannot stand in front of a line"), _("use spaces")),
        "directive": (
            _("a line that begins with `%` has a meaning of its own in YAML"),
            _("put the text in quotes, or delete the line"),
        ),
        "tag": (_("tags such as `!name` are not used here"), _("delete it, or put the text in quotes")),
        "document start": (
            _("the text before this line is complete; nothing can follow"),
            _("check the indentation of this line"),
        ),
    }


# ── what YAML reads otherwise ────────────────────────────────────────────────────────────────────────────────────────

FREE: Final = frozenset({"metadata", "parameters", "returns", "when", "arguments", "json", "variables"})
"""Keys below which any value may stand."""
STRUCTURED: Final = frozenset(
    {"", "assistant", "thread", "run", "save", "variables", "metadata", "parameters", "arguments", "when"}
)
"""Keys, and the file itself, whose value is never a text."""
LISTS: Final = frozenset({"steps", "expect", "tools", "messages", "not", "any", "all", "cases", "replies"})
"""Keys whose list never holds longer texts."""


class Place(NamedTuple):
    """A value where it stands: `under` is the key it belongs to ("" for the file, None below a free key), `item` whether it
    is an item of that key's list."""

    node: Node
    under: str | None
    item: bool
    lines: Sequence[str]

    def line(self) -> str:
        # libyaml may see an empty value begin behind the last line.
        return self.lines[self.node.line - 1] if self.node.line <= len(self.lines) else ""


Trap = Callable[[Place], Iterator[Diagnostic]]


def find_traps(root: Node, text: str, lines: Sequence[str], path: str) -> Iterator[Diagnostic]:
    """What is legal YAML in a document and not what its author meant."""
    scalar, mapping, sequence = (
        tuple(trap for sign, trap in traps.items() if re.search(sign, text, re.MULTILINE))
        for traps in (SCALAR_TRAPS, MAPPING_TRAPS, LIST_TRAPS)
    )
    seen: set[int] = set()
    room = SEARCHED
    waiting = [Place(root, "", False, lines)]
    while waiting:
        place = waiting.pop()
        node, under, _item, _lines = place
        if id(node) in seen:
            continue
        seen.add(id(node))
        value = node.value
        room -= len(place.line()) * (len(value) if isinstance(value, dict) and node.style else 1)
        if room < 0:
            return
        if isinstance(value, dict):
            traps = mapping
            for key, child in reversed(value.items()):
                waiting.append(Place(child, None if under is None or under in FREE else key, False, lines))
        elif isinstance(value, list):
            traps = sequence
            waiting += [Place(child, under, True, lines) for child in reversed(value)]
        else:
            traps = scalar
        for trap in traps:
            for found in trap(place):
                yield replace(found, path=path)


def found_at(
    code: str, message: str, line: int, begin: int, end: int, hint: str, severity: Severity = Severity.ERROR
) -> Diagnostic:
    """A diagnostic on one line, which counts from 1; the columns count from 0."""
    return Diagnostic(code, message, "", Span(line, begin + 1, line, max(end, begin + 1) + 1), hint=hint, severity=severity)


def cut_by_comment(place: Place) -> Iterator[Diagnostic]:
    node = place.node
    if node.style or isinstance(node.value, (list, dict)):
        return
    line = place.lines[node.end_line - 1] if node.end_line <= len(place.lines) else ""
    comment = re.compile(r"\s*(?<=\s)#[^\s#]").match(line, node.end_column - 1)
    if comment is None:
        return
    begin = comment.end() - 2
    value = node.column - 1 if node.line == node.end_line and node.spelling else begin
    hint = write_quoted(line, value)
    if node.spelling:
        message = _("the text is cut off: from ` #` on it is a comment")
        hint += _("; to keep the comment, put a space after `#`")
    else:
        message = _("nothing is left of the value: from ` #` on it is a comment")
    yield found_at("cut-by-comment", message, node.end_line, begin, len(line.rstrip()), hint)


def text_for_structure(place: Place) -> Iterator[Diagnostic]:
    """`contains:cat`, `user：Hello`, `－ image` where keys or items are wanted."""
    node = place.node
    wanted = place.under in STRUCTURED if not place.item else place.under in LISTS
    if node.style or not isinstance(node.value, str) or not wanted:
        return
    line = place.line()
    narrow, wrong = narrowed(line)
    if wrong is not None:
        code, message = sign_trouble(line[wrong])
        yield found_at(code, message, node.line, wrong, wrong + 1, write(narrow))
    elif key := re.compile(rf"({KEY}):(?![\s/])").match(line, node.column - 1):
        message = _("a space is missing after `{key}:`").format(key=key[1])
        hint = write(rewritten(line, key.end(), key.end(), " "))
        yield found_at("missing-space", message, node.line, key.end() - 1, key.end(), hint)
    elif not place.item and (dash := re.compile(r"-(?=[A-Za-z])").match(line, node.column - 1)):
        hint = write(rewritten(line, dash.end(), dash.end(), " "))
        yield found_at("missing-space", _("a space is missing after `-`"), node.line, dash.start(), dash.end(), hint)


def text_in_curly_quotes(place: Place) -> Iterator[Diagnostic]:
    node = place.node
    if node.style or not isinstance(node.value, str) or len(node.value) < 2 or node.line != node.end_line:
        return
    text = node.value
    if PAIRS.get(text[0]) != text[-1] or set(text[1:-1]) & {text[0], text[-1]}:
        return
    line = place.line()
    begin, end = node.column - 1, node.end_column - 1
    message = _("`{opening}` and `{closing}` are not quotes here but part of the text").format(
        opening=text[0], closing=text[-1]
    )
    hint = write(rewritten(line, begin, end, quoted(text[1:-1]))) + _("; or {kept} to keep them").format(kept=quoted(text))
    yield found_at("full-width", message, node.line, begin, begin + 1, hint)


def braces_in_text(place: Place) -> Iterator[Diagnostic]:
    node = place.node
    if (
        place.under is None
        or place.under in FREE
        or node.style in ("|", ">")
        or not isinstance(node.value, str)
        or "{{" not in node.value
    ):
        return
    line = place.line()
    if found := TEMPLATE.search(line, node.column - 1):
        message = _("`{written}` is sent as it stands").format(written=found[0])
        hint = _("a variable is written `{name}`").format(name=f"${{{found[1]}}}")
        yield found_at("template-braces", message, node.line, found.start(), found.end(), hint, Severity.WARNING)


def block_sign_with_number(place: Place) -> Iterator[Diagnostic]:
    """`user: >5`: an empty block of text, to YAML."""
    node = place.node
    line = place.line()
    begin = node.column - 1
    if node.style in ("|", ">") and node.value == "" and re.compile(r"[|>]\d").match(line, begin):
        message = beginning(line[begin])
        yield found_at("needs-quotes", message, node.line, begin, begin + 1, write_quoted(line, begin))


def escape_of_a_control_character(place: Place) -> Iterator[Diagnostic]:
    r"""`"\bcat\b"`: a pattern's word boundary, a backspace to YAML."""
    node = place.node
    if node.style != '"' or node.line != node.end_line:
        return
    line = place.line()
    begin, end = node.column - 1, node.end_column - 1
    for pair in re.compile(r"\\.").finditer(line, begin, end):
        if pair[0][1] in "abeLNPv_":
            character = ord(
                {"a": "\a", "b": "\b", "e": "\x1b", "v": "\v", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}[
                    pair[0][1]
                ]
            )
            message = _("in double quotes `{escape}` is the character {name}").format(escape=pair[0], name=f"U+{character:04X}")
            hint = write(rewritten(line, begin, end, single(line[begin:end])))
            yield found_at("bad-escape", message, node.line, pair.start(), pair.end(), hint)
            return


def keys_that_are_not(place: Place) -> Iterator[Diagnostic]:
    """Keys that came out of `－ user: x`, `{times:10}`, `-user: x` or `user： x: y`."""
    node = place.node
    assert isinstance(node.value, dict)
    for key, value in node.value.items():
        span = node.keys[key]
        line = place.lines[span.line - 1]
        begin = span.column - 1
        narrow, wrong = narrowed(line)
        if node.style == "{":
            glued = re.fullmatch(rf"({KEY}|\$[^:]*):(?!//)(\S.*)", key)
            if glued and value.value is None and not value.spelling and line.startswith(key, begin):
                message = _("a space is missing after `{key}:`").format(key=glued[1])
                colon = begin + glued.end(1)
                yield found_at(
                    "missing-space", message, span.line, colon, colon + 1, write(rewritten(line, colon + 1, colon + 1, " "))
                )
            elif value.value is None and not value.spelling and (at := wide_colon(line, begin, key)):
                code, message = sign_trouble(line[at])
                yield found_at(code, message, span.line, at, at + 1, write(narrowed_within(line, node)))
        elif wrong is not None and wrong <= begin + len(key) and (wrong >= begin or not line[wrong:begin].strip()):
            code, message = sign_trouble(line[wrong])
            yield found_at(code, message, span.line, wrong, wrong + 1, write(narrow))
        elif re.match(r"-[A-Za-z]", key):
            hint = write(rewritten(line, begin + 1, begin + 1, " "))
            yield found_at("missing-space", _("a space is missing after `-`"), span.line, begin, begin + 1, hint)


def wide_colon(line: str, begin: int, key: str) -> int | None:
    """Where the full-width colon stands that made a key, without quotes, of `key： value`."""
    return line.index("：", begin) if re.match("[^：]+：", key) and line.startswith(key, begin) else None


def narrowed_within(line: str, node: Node) -> str:
    """The line with plain colons in the keys of a mapping in braces."""
    assert isinstance(node.value, dict)
    for key, value in reversed(node.value.items()):
        begin = node.keys[key].column - 1
        if value.value is None and (colon := wide_colon(line, begin, key)):
            rest = key[colon + 1 - begin :].lstrip(" \u3000\u00a0")
            line = line[:colon] + f": {rest}".rstrip() + line[begin + len(key) :]
    return line


def settings_beside_their_name(place: Place) -> Iterator[Diagnostic]:
    """A tool's settings, or a check's, that stand level with its name."""
    node = place.node
    assert isinstance(node.value, dict)
    if not place.item or place.under not in ITEMS_OF_ONE_KEY or node.style or len(node.value) < 2:
        return
    (name, first), (setting, _second), *_rest = node.value.items()
    if first.value is not None or first.spelling:
        return
    at, owner = node.keys[setting], node.keys[name]
    message = _("`{setting}` stands level with `{name}` instead of below it").format(setting=setting, name=name)
    below = place.lines[at.line - 1].strip()
    hint = "\n".join((_("indent it, and what belongs to it:"), f"- {name}:", f"    {below}"))
    if owner.line != at.line:
        yield found_at("not-indented", message, at.line, at.column - 1, at.end_column - 1, hint)


def pattern_in_brackets(place: Place) -> Iterator[Diagnostic]:
    """`matches: [0-9]`: a list with one text, to YAML."""
    node = place.node
    if node.style != "[" or place.item or place.under != "matches" or node.line != node.end_line:
        return
    line = place.line()
    begin, end = node.column - 1, node.end_column - 1
    if re.fullmatch(r"\[(?:\^|[^\s'\",]*\w-\w)[^\s'\",]*\]", line[begin:end]):
        message = _("`[` and `]` make a list here, not a pattern")
        yield found_at(
            "needs-quotes", message, node.line, begin, begin + 1, write(rewritten(line, begin, end, quoted(line[begin:end])))
        )


# Each trap with the sign, anywhere in the file, without which it cannot be there.
SCALAR_TRAPS: Final[dict[str, Trap]] = {
    r"[ \t]#[^\s#]": cut_by_comment,
    rf"\w:[^\s/]|[：\u3000\u00a0]|^ *(?:- +)*[-{DASHES}][^\s-]|^ *[{DASHES}]": text_for_structure,
    r"[“”„‘＂]": text_in_curly_quotes,
    r"\{\{": braces_in_text,
    r"[|>]\d": block_sign_with_number,
    r"\\[abeLNPv_]": escape_of_a_control_character,
}
MAPPING_TRAPS: Final[dict[str, Trap]] = {
    rf"[\w\$]:[^\s/]|[：\u3000\u00a0“”＂‘]|^ *-[A-Za-z]|^ *[{DASHES}]": keys_that_are_not,
    r"^( *)- [^\s:]+:[ \t]*\r?\n\1  [^\s-]": settings_beside_their_name,
}
LIST_TRAPS: Final[dict[str, Trap]] = {r"matches: *\[": pattern_in_brackets}
