"""A model behind any Chat Completions endpoint: a prompt becomes a request body, chunks become pieces and a completion.

Local servers give no ids, whole calls in one chunk, `stop` with calls, arguments as an object or no usage; some answer with
one object though a stream was asked for. It is always asked for: thinking models on DashScope answer in no other way.
"""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import field
from typing import Protocol

from runner.embedded.models import Call, Completion, Entry, ModelTrouble, Prompt, Tokens
from runner.embedded.objects import Json, dumps
from runner.values import dataclass

__all__ = ["Chat", "Endpoint", "body_of", "refusal"]

LONGEST = 240
"""How many characters a message has at most: it may repeat an endpoint's own words."""
CUT = "the model endpoint's answer ended in the middle"
UNREADABLE = "the model endpoint's answer is not a chat completion"


class Endpoint(Protocol):
    """Where the requests go."""

    def post(self, body: Json) -> AsyncGenerator[str, None]:
        """The data of each event, or the whole body when it is no stream; raises ModelTrouble. Closing it hangs up."""
        ...

    def redacted(self, text: str) -> str:
        """The text without the endpoint's key."""
        ...

    async def close(self) -> None: ...


class Chat:
    """Asks the endpoint for the run's own model, or always for `model_name`."""

    def __init__(self, endpoint: Endpoint, label: str, model_name: str | None = None) -> None:
        self.endpoint = endpoint
        self.label = label
        self.model_name = model_name

    async def answer(self, prompt: Prompt) -> AsyncGenerator[str | Completion, None]:
        gathered = Gathered()
        try:
            async with aclosing(self.endpoint.post(body_of(prompt, self.model_name))) as events:
                async for data in events:
                    if data.strip() == "[DONE]":
                        gathered.done = True
                        break
                    text = gathered.take(chunk_of(data))
                    if text:
                        yield text
            yield gathered.completion()
        except ModelTrouble as trouble:
            # Redacted before it is cut: half a key is still a secret.
            raise ModelTrouble(beginning(self.endpoint.redacted(trouble.message)), trouble.code) from None

    async def close(self) -> None:
        await self.endpoint.close()


# ── to the endpoint ──────────────────────────────────────────────────────────────────────────────────────────────────


def body_of(prompt: Prompt, model_name: str | None = None) -> Json:
    """The request body. What is not set is not sent: endpoints refuse fields they do not know."""
    body: Json = {
        "model": model_name or prompt.model,
        "messages": [
            *instructed(prompt.instructions),
            *(message for entry in prompt.entries for message in messages_of(entry)),
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        **prompt.sampling,
    }
    if prompt.tools:
        body["tools"] = [{"type": "function", "function": function} for function in prompt.tools]
    if prompt.tools and prompt.tool_choice == "required":
        body["tool_choice"] = "required"
    elif prompt.tools and prompt.tool_choice:
        body["tool_choice"] = {"type": "function", "function": {"name": prompt.tool_choice}}
    return body


def instructed(instructions: str) -> Iterator[Json]:
    if instructions:
        yield {"role": "system", "content": instructions}


def messages_of(entry: Entry) -> Iterator[Json]:
    """What was said, and each output right behind the calls."""
    if not entry.used:
        yield {"role": entry.role, "content": entry.text}
        return
    calls = [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": taken_back(one.arguments)}}
        for one in entry.used
    ]
    yield {"role": "assistant", "content": entry.text, "tool_calls": calls}
    for one in entry.used:
        yield {"role": "tool", "tool_call_id": one.id, "content": one.output}


def taken_back(arguments: str) -> str:
    """Arguments as every endpoint takes them back: many refuse a conversation with a call whose arguments are no object."""
    return arguments if whole(arguments) else dumps({"unreadable": arguments})


def whole(arguments: str) -> bool:
    """Whether this is a JSON object."""
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


# ── from the endpoint ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Pieces:
    """A call under way."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Gathered:
    """What the chunks so far add up to."""

    text: list[str] = field(default_factory=list)
    calls: list[Pieces] = field(default_factory=list)
    places: dict[int | None, Pieces] = field(default_factory=dict)
    tokens: Tokens | None = None
    finish: str = ""
    begun: bool = False
    done: bool = False

    def take(self, chunk: Json) -> str:
        """Add a chunk; give the text it brings."""
        self.begun = True
        if chunk.get("error"):
            raise failed(chunk["error"])
        self.tokens = tokens_of(chunk.get("usage")) or self.tokens
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise failed(chunk) if "message" in chunk else ModelTrouble(UNREADABLE)
        if not choices:
            return ""
        choice = mapping(choices[0])
        said = mapping(choice.get("delta") or choice.get("message") or {})
        reason = choice.get("finish_reason")
        # Some servers write the word where they mean nothing.
        self.finish = reason if isinstance(reason, str) and reason != "null" else self.finish
        calls = said.get("tool_calls") or []
        if not isinstance(calls, list):
            raise ModelTrouble(UNREADABLE)
        for call in calls:
            self.take_call(mapping(call))
        text = text_of(said.get("content")) + text_of(said.get("refusal"))
        self.text.append(text)
        return text

    def take_call(self, part: Json) -> None:
        function = mapping(part.get("function") or {})
        identity, name, arguments = part.get("id") or "", function.get("name") or "", function.get("arguments")
        place = part.get("index") if isinstance(part.get("index"), int) else None
        call = self.places.get(place, self.calls[-1] if self.calls and not name else None)
        # Whole calls, one a chunk, may all claim the same place, or none.
        another = name and (
            place is None
            or (identity and call and call.id and identity != call.id)
            or (arguments and not identity and call and whole(call.arguments))
        )
        if call is None or another:
            call = Pieces()
            self.calls.append(call)
            if place is not None:
                self.places[place] = call
        call.id = call.id or str(identity)
        call.name = call.name or str(name)
        call.arguments += arguments if isinstance(arguments, str) else "" if arguments is None else dumps(arguments)

    def completion(self) -> Completion:
        """The whole answer; raise ModelTrouble when it never ended."""
        if not self.finish and not self.done:
            raise ModelTrouble(CUT if self.begun else UNREADABLE)
        calls = tuple(Call(call.id, call.name, call.arguments) for call in self.calls)
        if any(not call.name for call in calls):
            raise ModelTrouble("the model endpoint's answer calls a tool without a name")
        finish = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}.get(self.finish, "stop")
        return Completion("".join(self.text), calls, self.tokens, finish)


def chunk_of(data: str) -> Json:
    try:
        chunk = json.loads(data)
        # JSON may spell half of a surrogate pair, which no answer of ours can hold.
        if "\\ud" in data.lower():
            chunk = json.loads(dumps(chunk).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return mapping(chunk)
    except (ValueError, RecursionError):
        raise ModelTrouble(UNREADABLE) from None


def mapping(value: object) -> Json:
    if not isinstance(value, dict):
        raise ModelTrouble(UNREADABLE)
    return value


def text_of(content: object) -> str:
    """The text of a delta: a text, or a list of parts of which the texts count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def tokens_of(usage: object) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Tokens(read, written) if type(read) is int and type(written) is int else None


# ── what endpoints say when they refuse ──────────────────────────────────────────────────────────────────────────────

LIMITS = ("rate_limit", "limit_requests", "limit_burst", "throttling", "insufficient_quota", "too_many_requests")


def failed(error: object) -> ModelTrouble:
    """The trouble an error object tells of."""
    own = error if isinstance(error, dict) else {"message": str(error)}
    kinds = f"{own.get('code')} {own.get('type')}".lower()
    limited = own.get("code") in (429, "429") or any(word in kinds for word in LIMITS)
    said = said_by(own)
    message = f"the model endpoint failed: {said}" if said else "the model endpoint failed"
    return ModelTrouble(message, "rate_limit_exceeded" if limited else "server_error")


def refusal(status: int, body: bytes, key_name: str | None) -> ModelTrouble:
    """The trouble behind an HTTP status that is not 200. What a 401 says is left out: it may repeat the key."""
    if status in (401, 403):
        advice = f"check the key in {key_name}" if key_name else "it may want a key; see --key-env"
        return ModelTrouble(f"the model endpoint refused the call with HTTP {status}; {advice}")
    if 300 <= status < 400:
        return ModelTrouble(f"the model endpoint answered with a redirect, HTTP {status}, which is not followed")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    error = told.get("error", told) if isinstance(told, dict) else None
    said = said_by(error if isinstance(error, dict) else {"message": error})
    message = f"the model endpoint answered HTTP {status}"
    return ModelTrouble(f"{message}: {said}" if said else message, "rate_limit_exceeded" if status == 429 else "server_error")


def said_by(error: Mapping[str, object]) -> str:
    """What an error says, on one line and without signs that steer a terminal."""
    said = error.get("message")
    return " ".join("".join(sign if sign.isprintable() else " " for sign in said).split()) if isinstance(said, str) else ""


def beginning(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
