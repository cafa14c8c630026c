# mypy: ignore-errors
"""Every method of Assistants, Threads, Messages, Runs and Steps, and the legacy files: what each answered, as JSON."""

import json
import sys
import time

import dashscope
from dashscope import Assistants, Messages, Runs, Steps, Threads
from dashscope.assistants.files import Files as AssistantFiles
from dashscope.threads.messages.files import Files as MessageFiles

ADD = {
    "type": "function",
    "function": {
        "name": "big_add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}
answers = {}


def note(name, answer, *fields):
    """Keep the status and these fields of an answer under a method's name."""
    assert answer.status_code == 200, (name, answer)
    assert answer.request_id, name
    answers[name] = {field: getattr(answer, field) for field in fields}
    return answer


def ids(page):
    return [one.id for one in page.data]


def names(events):
    """The names of a stream's events, and the object of its last one."""
    seen = list(events)
    return [name for name, _ in seen], seen[-1][1]


def ended(run):
    """The run once it has ended or waits for outputs; like Runs.wait, but without its seconds of sleep."""
    while run.status in ("queued", "in_progress", "cancelling"):
        time.sleep(0.05)
        run = Runs.get(run.id, thread_id=run.thread_id)
    return run


# Assistants
made = note(
    "Assistants.create", Assistants.create(model="qwen-max", name="One", tools=[ADD, {"type": "calculator"}]), "name", "model"
)
called = note("Assistants.call", Assistants.call(model="qwen-plus", name="Two"), "name", "model")
note("Assistants.get", Assistants.get(made.id), "name")
note("Assistants.retrieve", Assistants.retrieve(made.id), "name")
note("Assistants.update", Assistants.update(made.id, name="Uno", metadata={"a": "b"}), "name", "model", "metadata")
note("Assistants.update again", Assistants.update(made.id, description="Adds"), "name", "description", "metadata")
page = note("Assistants.list", Assistants.list(limit=1), "has_more")
answers["Assistants.list"]["newest first"] = ids(page) == [called.id]
older = note("Assistants.list after", Assistants.list(limit=5, order="desc", after=called.id), "status_code")
answers["Assistants.list after"]["older"] = ids(older)[0] == made.id
note("Assistants.delete", Assistants.delete(called.id), "deleted", "object")
gone = Assistants.get(called.id)
answers["Assistants.get deleted"] = {"status": gone.status_code, "code": gone.code}

# Threads and messages
thread = note("Threads.create", Threads.create(metadata={"k": "v"}), "metadata", "object")
note("Threads.call", Threads.call(messages=[{"role": "user", "content": "Hello."}]), "object")
note("Threads.get", Threads.get(thread.id), "metadata")
note("Threads.retrieve", Threads.retrieve(thread.id), "metadata")
note("Threads.update", Threads.update(thread.id, metadata={"k": "w"}), "metadata")
message = note("Messages.create", Messages.create(thread.id, content="Call big_add with 3 and 4.", file_ids=["file-1"]), "role")
note("Messages.call", Messages.call(thread.id, content="Please."), "role")
note("Messages.get", Messages.get(message.id, thread_id=thread.id), "role")
note("Messages.retrieve", Messages.retrieve(message.id, thread_id=thread.id), "role")
note("Messages.update", Messages.update(message.id, thread_id=thread.id, metadata={"m": "n"}), "metadata")
page = note("Messages.list", Messages.list(thread.id, limit=10, order="asc"), "has_more")
answers["Messages.list"]["texts"] = [one.content[0].text.value for one in page.data]

# Runs and steps
run = note("Runs.create", Runs.create(thread.id, assistant_id=made.id, metadata={"r": "1"}), "status", "metadata")
run = note("Runs.wait", Runs.wait(run.id, thread_id=thread.id), "status")
calls = run.required_action.submit_tool_outputs.tool_calls
answers["required_action"] = [[call.function.name, json.loads(call.function.arguments)] for call in calls]
note("Runs.get", Runs.get(run.id, thread_id=thread.id), "status")
note("Runs.retrieve", Runs.retrieve(run.id, thread_id=thread.id), "status")
note("Runs.update", Runs.update(run.id, thread_id=thread.id, metadata={"r": "2"}), "metadata")
outputs = [{"tool_call_id": calls[0].id, "output": "7"}]
run = note("Runs.submit_tool_outputs", Runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs), "status")
run = ended(run)
answers["after outputs"] = {"status": run.status, "answer": Messages.list(thread.id).data[0].content[0].text.value}
steps = note("Steps.list", Steps.list(run.id, thread_id=thread.id), "has_more")
answers["Steps.list"]["types"] = [step.type for step in steps.data]
note("Steps.retrieve", Steps.retrieve(steps.data[0].id, thread_id=thread.id, run_id=run.id), "type", "status")
try:
    note("Steps.get", Steps.get(steps.data[0].id, thread_id=thread.id, run_id=run.id), "type")
except TypeError:  # 1.20.14 calls its own method wrongly
    answers["Steps.get"] = "TypeError"
page = note("Runs.list", Runs.list(thread.id), "has_more")
answers["Runs.list"]["own"] = ids(page) == [run.id]

# a second round, streamed
Messages.create(thread.id, content="And big_add with 5 and 6.")
seen, last = names(Runs.call(thread.id, assistant_id=made.id, stream=True))
answers["Runs.call streamed"] = {"events": [name for name in seen if not name.endswith("delta")], "status": last.status}
outputs = [{"tool_call_id": "", "output": "11"}]
seen, last = names(Runs.submit_tool_outputs(last.id, thread_id=thread.id, tool_outputs=outputs, stream=True))
answers["Runs.submit_tool_outputs streamed"] = {
    "events": [name for name in seen if not name.endswith("delta")],
    "status": last.status,
}

# a run that is cancelled, and a failing call in a stream
Messages.create(thread.id, content="big_add once more: 1 and 1.")
run = ended(Runs.create(thread.id, assistant_id=made.id))
run = note("Runs.cancel", Runs.cancel(run.id, thread_id=thread.id), "status")
answers["cancelled"] = ended(run).status
[(event, refusal)] = list(Runs.create(thread.id, assistant_id="asst_none", stream=True))
answers["a refused stream"] = {"event": event, "code": refusal["code"], "status": refusal["status_code"]}

# thread and run in one call
both = {"messages": [{"role": "user", "content": "What is 6 times 7?"}]}
run = note("Threads.create_and_run", Threads.create_and_run(assistant_id=made.id, thread=both), "status")
answers["Threads.create_and_run"]["end"] = ended(run).status
run = note("Runs.create_thread_and_run", Runs.create_thread_and_run(assistant_id=made.id, thread=both), "status")
run = ended(run)
answers["calculated"] = Messages.list(run.thread_id).data[0].content[0].text.value
seen, last = names(Runs.create_thread_and_run(assistant_id=made.id, thread=both, stream=True))
answers["Runs.create_thread_and_run streamed"] = {"first": seen[0], "status": last.status}

# legacy files
note("assistant Files.create", AssistantFiles.create(made.id, file_id="file-1"), "id")
note("assistant Files.call", AssistantFiles.call(made.id, file_id="file-2"), "id")
page = note("assistant Files.list", AssistantFiles.list(made.id), "has_more")
answers["assistant Files.list"]["ids"] = ids(page)
try:
    answers["assistant Files.get"] = AssistantFiles.get("file-1", assistant_id=made.id).id
except AttributeError:  # 1.20.14 drops the answer
    answers["assistant Files.get"] = "AttributeError"
note("assistant Files.retrieve", AssistantFiles.retrieve("file-1", assistant_id=made.id), "id")
note("assistant Files.delete", AssistantFiles.delete("file-1", assistant_id=made.id), "deleted")
page = note("message Files.list", MessageFiles.list(message.id, thread_id=thread.id), "has_more")
answers["message Files.list"]["ids"] = ids(page)
note("message Files.get", MessageFiles.get("file-1", message_id=message.id, thread_id=thread.id), "id")
note("message Files.retrieve", MessageFiles.retrieve("file-1", thread_id=thread.id, message_id=message.id), "id")

note("Threads.delete", Threads.delete(thread.id), "deleted", "object")
dashscope.api_key = "wrong"
refused = Assistants.list()
answers["wrong key"] = {"status": refused.status_code, "code": refused.code}
json.dump({"version": dashscope.version.__version__, "answers": answers}, sys.stdout)
