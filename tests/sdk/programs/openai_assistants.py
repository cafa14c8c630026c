# mypy: ignore-errors
"""The OpenAI SDK's `client.beta` against an Assistant API: every method's answer, as JSON. Arguments: the base URL."""

import json
import os
import sys
import warnings

# Every method says that the API is deprecated.
warnings.simplefilter("ignore")

import openai  # noqa: E402

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
client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["DASHSCOPE_API_KEY"], max_retries=0)
assistants, threads = client.beta.assistants, client.beta.threads
runs, messages = threads.runs, threads.messages


def newest(thread):
    return messages.list(thread).data[0].content[0].text.value


# assistants
one = assistants.create(model="qwen-max", name="One", instructions="Add.", tools=[ADD, {"type": "code_interpreter"}])
two = assistants.create(model="qwen-max", name="Two", temperature=0.5, metadata={"a": "b"})
answers["create"] = [one.object, one.name, one.model, [tool.type for tool in one.tools], two.temperature, two.metadata]
answers["retrieve"] = assistants.retrieve(one.id).name
answers["update"] = [(changed := assistants.update(two.id, name="Zwei")).name, changed.metadata]
answers["list"] = [each.name for each in assistants.list(limit=1)][:2]
answers["list asc"] = [each.id for each in assistants.list(order="asc", after=one.id).data][:1] == [two.id]
answers["delete"] = assistants.delete(two.id).deleted
try:
    assistants.retrieve(two.id)
except openai.NotFoundError as error:
    answers["deleted"] = error.status_code

# threads and messages
thread = threads.create(messages=[{"role": "user", "content": "Hello."}], metadata={"k": "v"})
answers["thread"] = [thread.object, thread.metadata, threads.update(thread.id, metadata={"k": "w"}).metadata]
message = messages.create(thread.id, role="user", content="Call big_add with 3 and 4.")
parts = [{"type": "text", "text": "In two "}, {"type": "text", "text": "parts."}]
split = messages.create(thread.id, role="user", content=parts)
answers["message"] = [message.role, message.content[0].text.value, split.content[0].text.value]
answers["message update"] = messages.update(message.id, thread_id=thread.id, metadata={"m": "n"}).metadata
answers["message list"] = [each.content[0].text.value for each in messages.list(thread.id, order="asc")]

# a function, polled
run = runs.create_and_poll(thread_id=thread.id, assistant_id=one.id, poll_interval_ms=20)
calls = run.required_action.submit_tool_outputs.tool_calls
answers["create_and_poll"] = [run.status, calls[0].function.name, json.loads(calls[0].function.arguments)]
outputs = [{"tool_call_id": calls[0].id, "output": "7"}]
run = runs.submit_tool_outputs_and_poll(run_id=run.id, thread_id=thread.id, tool_outputs=outputs, poll_interval_ms=20)
answers["submit_and_poll"] = [
    run.status,
    newest(thread.id),
    run.usage.total_tokens == run.usage.prompt_tokens + run.usage.completion_tokens,
]
steps = runs.steps.list(run_id=run.id, thread_id=thread.id, order="asc")
answers["steps"] = [[step.type, step.status] for step in steps]
answers["step call"] = steps.data[0].step_details.tool_calls[0].function.output
answers["step retrieve"] = runs.steps.retrieve(steps.data[1].id, thread_id=thread.id, run_id=run.id).type
answers["run retrieve"] = runs.retrieve(run.id, thread_id=thread.id).status
answers["run update"] = runs.update(run.id, thread_id=thread.id, metadata={"r": "1"}).metadata
answers["run list"] = [each.id for each in runs.list(thread.id)] == [run.id]


# streamed, with a handler
class Seen(openai.AssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.told = []
        self.words = []
        self.arguments = []

    def note(self, what):
        if not self.told or self.told[-1] != what:
            self.told.append(what)

    def on_message_created(self, message):
        self.note("message created")

    def on_text_delta(self, delta, snapshot):
        self.note("text delta")
        self.words.append(delta.value)

    def on_text_done(self, text):
        self.note("text done")
        self.text = text.value

    def on_message_done(self, message):
        self.note("message done")

    def on_run_step_created(self, step):
        self.note(f"{step.type} created")

    def on_tool_call_created(self, call):
        self.note(f"{call.type} call created")

    def on_tool_call_delta(self, delta, snapshot):
        self.note("call delta")
        if delta.type == "function":
            self.arguments.append(delta.function.arguments or "")

    def on_tool_call_done(self, call):
        self.note("call done")

    def on_run_step_done(self, step):
        self.note("step done")

    def on_exception(self, error):
        raise error

    def on_end(self):
        self.note("end")


messages.create(thread.id, role="user", content="Now big_add with 5 and 6.")
with runs.stream(thread_id=thread.id, assistant_id=one.id, event_handler=Seen()) as stream:
    stream.until_done()
    run = stream.current_run
answers["stream"] = [run.status, stream.told, json.loads("".join(stream.arguments))]
call = run.required_action.submit_tool_outputs.tool_calls[0]
outputs = [{"tool_call_id": call.id, "output": "11"}]
with runs.submit_tool_outputs_stream(run_id=run.id, thread_id=thread.id, tool_outputs=outputs, event_handler=Seen()) as stream:
    stream.until_done()
    final = stream.get_final_messages()
answers["submit stream"] = [
    stream.current_run.status,
    stream.told,
    "".join(stream.words) == stream.text == final[0].content[0].text.value,
]
answers["answer"] = newest(thread.id)

# a tool of the service, streamed; thread and run in one call
question = {"messages": [{"role": "user", "content": "Run this code: ```python\nprint(1)\n```"}]}
with threads.create_and_run_stream(assistant_id=one.id, thread=question) as stream:
    stream.until_done()
    kinds = [step.step_details.type for step in stream.get_final_run_steps()]
answers["create_and_run_stream"] = [stream.current_run.status, sorted(kinds)]
run = threads.create_and_run_poll(
    assistant_id=one.id, thread={"messages": [{"role": "user", "content": "Hello."}]}, poll_interval_ms=20
)
answers["create_and_run_poll"] = run.status
plain = list(runs.create(thread_id=run.thread_id, assistant_id=one.id, stream=True))
answers["plain stream"] = [plain[0].event, plain[-1].event, plain[-1].data.status]

# cancelling
messages.create(thread.id, role="user", content="big_add with 1 and 1.")
run = runs.create_and_poll(thread_id=thread.id, assistant_id=one.id, poll_interval_ms=20)
answers["cancel"] = [run.status, runs.cancel(run.id, thread_id=thread.id).status]
answers["cancelled"] = runs.poll(run.id, thread_id=thread.id, poll_interval_ms=20).status

answers["thread delete"] = threads.delete(thread.id).deleted
try:
    openai.OpenAI(base_url=sys.argv[1], api_key="wrong", max_retries=0).beta.assistants.list()
except openai.AuthenticationError as error:
    answers["wrong key"] = error.status_code
json.dump(answers, sys.stdout)
