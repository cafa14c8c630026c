"""The Assistant API's bodies: what is sent, made from a flow; what comes back, read into the service's vocabulary.

The service's own samples differ from its tables, so reading is tolerant: null, {}, [], 0, -1 and "" all mean "none", unknown
fields are ignored, and a tool call may be written in any of the ways seen. What has another shape raises WireError.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from runner.model import (
    Assistant,
    AssistantObject,
    FromFile,
    Message,
    Role,
    Run,
    RunOverrides,
    RunStep,
    Sampling,
    ServiceError,
    Thread,
    ThreadSetup,
    Tool,
    ToolCall,
    ToolOutput,
    Usage,
)
from runner.values import dataclass
from runner.wire import WireError
from runner.words import _

__all__ = [
    "Page",
    "begun_id",
    "decode_assistant",
    "decode_deleted",
    "decode_delta",
    "decode_error",
    "decode_json",
    "decode_message",
    "decode_page",
    "decode_run",
    "decode_step",
    "decode_thread",
    "encode_assistant",
    "encode_message",
    "encode_outputs",
    "encode_run",
    "encode_thread",
    "has_room",
    "op_of",
    "tokens",
    "without_op",
]

Body = dict[str, object]

OP = "runflow_op"
"""The key of our own id in the metadata of what we make."""
PAIRS = 16
"""How much metadata a service keeps."""
MOST_TOKENS = 10**12
"""No answer takes more; a number beyond is none that can be meant, and could be too long to write down."""
ID = re.compile(rb'\s*\{(?:\s*"\w+"\s*:\s*(?:"[^"\\]*"|\w+)\s*,)*?\s*"id"\s*:\s*"([!#-\[\]-~]+)"')

# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_assistant(assistant: Assistant, op: str = "") -> Body:
    """The body of `POST /assistants`; only what the author gave, and our own id if there is one."""
    return present(
        model=assistant.model,
        name=assistant.name,
        description=assistant.description,
        instructions=encode_text(assistant.instructions),
        tools=encode_tools(assistant.tools) or None,
        metadata=marked(assistant.metadata, op),
        **encode_sampling(assistant),
    )


def encode_thread(setup: ThreadSetup | None, op: str = "") -> Body:
    """The body of `POST /threads`; `{}` for an empty thread."""
    if setup is None:
        return present(metadata=marked(None, op))
    return present(
        messages=[encode_message(message.text, message.role) for message in setup.messages] or None,
        metadata=marked(setup.metadata, op),
    )


def encode_message(text: str, role: Role = Role.USER, op: str = "") -> Body:
    """The body of `POST /threads/{id}/messages`."""
    return {"role": str(role), "content": text} | present(metadata=marked(None, op))


def encode_run(assistant_id: str, overrides: RunOverrides | None, *, stream: bool, op: str = "") -> Body:
    """The body of `POST /threads/{id}/runs`."""
    body: Body = {"assistant_id": assistant_id, "stream": stream} | present(metadata=marked(None, op))
    if overrides is None:
        return body
    return body | present(
        model=overrides.model,
        instructions=encode_text(overrides.instructions),
        additional_instructions=overrides.additional_instructions,
        tools=None if overrides.tools is None else encode_tools(overrides.tools),
        **encode_sampling(overrides),
    )


def encode_text(text: str | FromFile | None) -> str | None:
    if isinstance(text, FromFile):
        raise TypeError(f"the text of {text.file} was not read before playing")
    return text


def encode_tools(tools: Sequence[Tool]) -> list[Body]:
    return [encode_tool(tool) for tool in tools]


def encode_tool(tool: Tool) -> Body:
    own = dict(tool.settings or {})
    if tool.function is None:
        return present(type=tool.type, description=tool.description) | own
    told = present(name=tool.function.name, description=tool.description, parameters=dict(tool.function.parameters))
    return {"type": "function", "function": told | own}


def tokens(body: Mapping[str, object]) -> frozenset[str]:
    """The credentials that the tools of a body carry for plug-ins."""
    tools = body.get("tools")
    if not isinstance(tools, list):
        return frozenset()
    found = (tool.get("auth") for tool in tools if isinstance(tool, Mapping))
    told = (each for auth in found for each in (auth.items() if isinstance(auth, Mapping) else [("", auth)]))
    return frozenset(value for name, value in told if name != "type" and isinstance(value, str) and value.strip())


def encode_outputs(outputs: Sequence[ToolOutput], *, stream: bool) -> Body:
    """The body of `POST /threads/{id}/runs/{id}/submit_tool_outputs`; calls without an id are told apart by their place."""
    return {"tool_outputs": [{"tool_call_id": each.call_id, "output": each.output} for each in outputs], "stream": stream}


def encode_sampling(sampling: Sampling) -> Body:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_tokens": sampling.max_tokens,
    }


def has_room(metadata: Mapping[str, str] | None) -> bool:
    """Whether an id of ours finds a place beside the author's metadata."""
    return len(metadata or {}) < PAIRS


def marked(metadata: Mapping[str, str] | None, op: str) -> Body | None:
    """The author's metadata with our own id, if there is room for it."""
    if op and has_room(metadata):
        return {**(metadata or {}), OP: op}
    return dict(metadata) if metadata else None


def begun_id(data: bytes) -> str:
    """The id of an object whose JSON broke off, empty when it did so before the id was over."""
    found = ID.match(data)
    return found[1].decode() if found else ""


def without_op(body: Mapping[str, object]) -> Mapping[str, object]:
    """A body as it would be without our own id."""
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping) or OP not in metadata:
        return body
    rest = {name: value for name, value in metadata.items() if name != OP}
    return {name: value for name, value in {**body, "metadata": rest or None}.items() if value is not None}


def id_of(payload: object) -> str:
    return text(mapping(payload, "object"), "id")


def op_of(payload: object) -> str:
    """Our own id in an object's metadata, empty if there is none."""
    return text(optional(mapping(payload, "object"), "metadata"), OP)


def present(**fields: object) -> Body:
    return {name: value for name, value in fields.items() if value is not None}


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `last_id` is where the next one begins when there is more."""

    items: tuple[object, ...]
    last_id: str
    has_more: bool


def decode_json(data: bytes | str) -> object:
    """What JSON text says; raise WireError for anything else."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(_("not valid JSON")) from error


def decode_assistant(payload: object, sent: Mapping[str, object] | None = None) -> AssistantObject:
    """An assistant; with the body it was made from, what the answer echoed otherwise."""
    body = mapping(payload, "assistant")
    return AssistantObject(
        id=text(body, "id"),
        model=text(body, "model"),
        request_id=text(body, "request_id"),
        notes=echoes(sent, body, "assistant"),
    )


def decode_thread(payload: object, sent: Mapping[str, object] | None = None) -> Thread:
    """A thread; see `decode_assistant` for `sent`."""
    body = mapping(payload, "thread")
    return Thread(id=text(body, "id"), request_id=text(body, "request_id"), notes=echoes(sent, body, "thread"))


def decode_message(payload: object, sent: Mapping[str, object] | None = None) -> Message:
    """A message with the texts of its content joined; see `decode_assistant` for `sent`."""
    body = mapping(payload, "thread.message")
    content = body.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else items(body, "content")
    texts, files, urls = [], [], []
    for part in (mapping(part, "content") for part in parts):
        kind = text(part, "type")
        inner = part.get(kind)
        if isinstance(inner, str):
            inner = {"value": inner, "url": inner}
        if not isinstance(inner, dict):
            continue
        match kind:
            case "text":
                texts.append(text(inner, "value"))
            case "image_file":
                files.append(text(inner, "file_id"))
            case "image_url":
                urls.append(text(inner, "url"))
    said = "\n".join(texts)
    return Message(
        id=text(body, "id"),
        role=text(body, "role"),
        text=said,
        thread_id=text(body, "thread_id"),
        run_id=text(body, "run_id"),
        image_file_ids=tuple(filter(None, files)),
        image_urls=tuple(filter(None, urls)),
        created_at=unix_seconds(body, "created_at"),
        request_id=text(body, "request_id"),
        notes=echoes(sent, {**body, "content": said}, "thread.message"),
    )


def decode_run(payload: object, sent: Mapping[str, object] | None = None) -> Run:
    """A run in whatever state, known or not; see `decode_assistant` for `sent`."""
    body = mapping(payload, "thread.run")
    required = optional(optional(body, "required_action"), "submit_tool_outputs")
    trouble = optional(body, "last_error")
    return Run(
        id=text(body, "id"),
        thread_id=text(body, "thread_id"),
        assistant_id=text(body, "assistant_id"),
        status=text(body, "status"),
        model=text(body, "model"),
        last_error=ServiceError(text(trouble, "code"), text(trouble, "message")) if trouble else None,
        required_calls=tuple(decode_call(call) for call in items(required, "tool_calls")),
        usage=decode_usage(optional(body, "usage")),
        request_id=text(body, "request_id"),
        notes=echoes(sent, body, "thread.run"),
    )


def decode_step(payload: object) -> RunStep:
    """A run step with its tool calls."""
    body = mapping(payload, "thread.run.step")
    calls = items(optional(body, "step_details"), "tool_calls")
    return RunStep(text(body, "id"), text(body, "type"), text(body, "status"), tuple(decode_call(call) for call in calls))


def decode_call(payload: object) -> ToolCall:
    """A tool call: a function's, or `{"type": T, T: {…}}`, also under `plugin_name`, without `type`, or without the inside."""
    call = mapping(payload, "tool call")
    kind, inner = inside(call)
    output = inner.get("output")
    return ToolCall(
        id=text(call, "id"),
        name=text(inner, "name") if kind == "function" else kind,
        arguments=as_json_text(inner.get("arguments")) or "",
        output=as_json_text(output if not is_none(output) or output == "" else inner.get("outputs")),
        is_function=kind == "function",
    )


def inside(call: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """What kind of tool is called, and where its arguments and output stand."""
    kind, plugin = text(call, "type"), call.get("plugin_name")
    if isinstance(plugin, str) and plugin and kind in ("", "plugin", "plugin_name"):
        return plugin, next((each for each in (call.get(plugin), call.get(kind)) if isinstance(each, dict)), call)
    for key in (kind, "plugin_name"):
        found = call.get(key)
        if isinstance(found, dict) and found:
            return kind or text(found, "name") or key, found
    for key, value in call.items():
        if isinstance(value, dict) and value:
            return kind or key, value
    return kind, call


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    given = count(usage, "input_tokens") or count(usage, "prompt_tokens")
    made = count(usage, "output_tokens") or count(usage, "completion_tokens")
    total = count(usage, "total_tokens") or given + made
    return Usage(given, made, total) if total else None


def decode_page(payload: object) -> Page:
    """A page of a list, its items still to be decoded."""
    body = mapping(payload, "list")
    return Page(tuple(items(body, "data")), text(body, "last_id"), body.get("has_more") is True)


def decode_deleted(payload: object) -> bool:
    """Whether a delete answer says so; only an explicit false says no."""
    return mapping(payload, "deleted object").get("deleted") is not False


def decode_delta(payload: object) -> str:
    """The piece of answer a `thread.message.delta` event carries."""
    delta = optional(mapping(payload, "thread.message.delta"), "delta")
    content = delta.get("content")
    parts = [content] if isinstance(content, dict) else items(delta, "content")
    return "".join(text(optional(mapping(part, "content"), "text"), "value") for part in parts)


def decode_error(payload: object) -> tuple[ServiceError, str] | None:
    """What an error body says, and its request id; None if it has no such shape. `{"error": {…}}` is read as well."""
    if not isinstance(payload, dict):
        return None
    inner = payload.get("error")
    body = inner if isinstance(inner, dict) else payload
    try:
        error = ServiceError(text(body, "code") or text(body, "type"), text(body, "message"))
        request_id = text(payload, "request_id")
    except WireError:
        return None
    return (error, request_id) if error.code or error.message else None


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def is_none(value: object) -> bool:
    return value is None or (value is not False and (not value or value == -1))


def mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise WireError(_("a JSON object was due for the {what}, not {got}").format(what=what, got=kind_of(value)))
    return value


def optional(body: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = body.get(key)
    if is_none(value):
        return {}
    return mapping(value, f"`{key}`")


def items(body: Mapping[str, object], key: str) -> Sequence[object]:
    value = body.get(key)
    if is_none(value):
        return ()
    if not isinstance(value, list):
        raise WireError(_("`{key}` is {got} instead of a list").format(key=key, got=kind_of(value)))
    return value


def text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if isinstance(value, str):
        return well_formed(value)
    if is_none(value):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise WireError(_("`{key}` is {got} instead of a text").format(key=key, got=kind_of(value)))


def well_formed(value: str) -> str:
    """JSON may spell half of a surrogate pair, which no file or terminal can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def count(body: Mapping[str, object], key: str) -> int:
    value = body.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_TOKENS else 0


def unix_seconds(body: Mapping[str, object], key: str) -> float:
    """A time in seconds, whether it was sent in milliseconds or in seconds; 0 for none."""
    value = body.get(key)
    if not isinstance(value, int | float) or not value > 0:
        return 0.0
    return value / 1000 if value > 1e11 else float(value)


def as_json_text(value: object) -> str | None:
    if isinstance(value, str):
        return well_formed(value)
    return None if is_none(value) else well_formed(json.dumps(value, ensure_ascii=False))


def kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return _("a boolean")
        case str():
            return _("a text")
        case int() | float():
            return _("a number")
        case list():
            return _("a list")
        case _other:
            return _("an object")


# ── what was echoed ──────────────────────────────────────────────────────────────────────────────────────────────────

NEVER_ECHOED = frozenset({"stream", "additional_instructions", "messages", "tool_outputs"})
JUDGED = frozenset({"model", "assistant_id", "thread_id"})
"""Another value than sent is an error, not a note: the engine says so."""


def echoes(sent: Mapping[str, object] | None, body: Mapping[str, object], kind: str) -> tuple[str, ...]:
    if sent is None:
        return ()
    return tuple(differences({"object": kind, **without_op(sent)}, body, kind))


def differences(sent: Mapping[str, object], body: Mapping[str, object], kind: str) -> Iterator[str]:
    for key, value in sent.items():
        got = body.get(key)
        if key in NEVER_ECHOED or is_none(value) or alike(value, got):
            continue
        if is_none(got):
            yield _("the service's {kind} does not say its `{key}`").format(kind=kind, key=key)
        elif key == "tools":
            yield from other_tools(value, got, kind)
        elif key not in JUDGED:
            yield _("the service's {kind} has another `{key}`: {got} instead of {sent}").format(
                kind=kind, key=key, got=brief(got), sent=brief(value)
            )


def alike(sent: object, got: object) -> bool:
    """Whether all that was sent is there; a service may add to it."""
    if sent == got:
        return True
    if isinstance(sent, Mapping) and isinstance(got, dict):
        return all(alike(value, got.get(key)) for key, value in sent.items())
    if isinstance(sent, list) and isinstance(got, list):
        return len(sent) == len(got) and all(map(alike, sent, got))
    return is_none(sent) and is_none(got)


def other_tools(sent: object, got: object, kind: str) -> Iterator[str]:
    """How echoed tools differ, by name alone: their settings may hold a secret. A service may leave out what it was told
    about a tool, and may list them in an order of its own."""
    wanted, found = named_tools(sent), named_tools(got)
    if sorted(wanted) != sorted(found):
        yield _("the service's {kind} has other tools: {got} instead of {sent}").format(
            kind=kind, got=", ".join(map(brief, found)) or _("none"), sent=", ".join(map(brief, wanted))
        )
        return
    for name, tool in wanted.items():
        for key, value in tool.items():
            echoed = found[name].get(key)
            if not is_none(echoed) and not alike(value, echoed):
                yield _("the service's {kind} has another `{key}` for the tool `{tool}`").format(kind=kind, key=key, tool=name)


def named_tools(tools: object) -> dict[str, Mapping[str, object]]:
    """Tools by what a call of them is called; of a function, what is within `function`."""
    named: dict[str, Mapping[str, object]] = {}
    for tool in tools if isinstance(tools, list) else []:
        told = tool if isinstance(tool, Mapping) else {}
        inner = told.get("function")
        if isinstance(inner, Mapping):
            told, name = inner, inner.get("name")
        else:
            name = told.get("type")
        named[name if isinstance(name, str) else "?"] = told
    return named


def brief(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 80 else shown[:79] + "…"
