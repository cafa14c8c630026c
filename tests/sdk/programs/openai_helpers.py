# mypy: ignore-errors
"""A function answered twice with the OpenAI SDK's helpers, polled and streamed. Arguments: the base URL."""

import json
import os
import sys
import warnings

# Every method says that the API is deprecated.
warnings.simplefilter("ignore")

import openai  # noqa: E402

client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["DASHSCOPE_API_KEY"], max_retries=0)
threads = client.beta.threads
parameters = {"type": "object", "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}}}
add = {"type": "function", "function": {"name": "big_add", "parameters": parameters}}
assistant = client.beta.assistants.create(model="qwen-max", tools=[add])


def outputs(run):
    return [{"tool_call_id": call.id, "output": "7"} for call in run.required_action.submit_tool_outputs.tool_calls]


thread = threads.create(messages=[{"role": "user", "content": "Add 3 and 4."}])
run = threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=20)
waited = run.status
run = threads.runs.submit_tool_outputs_and_poll(
    run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run), poll_interval_ms=20
)
answer = threads.messages.list(thread.id).data[0].content[0].text.value
polled = [waited, run.status, answer, run.usage.total_tokens]

threads.messages.create(thread.id, role="user", content="Again.")
with threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
    before = "".join(stream.text_deltas)
    run = stream.current_run
    call = stream.get_final_run_steps()[-1].step_details.tool_calls[0]
with threads.runs.submit_tool_outputs_stream(run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run)) as stream:
    after = "".join(stream.text_deltas)
    ended = stream.current_run
streamed = [run.status, ended.status, before, after]
json.dump({"polled": polled, "streamed": streamed, "arguments": json.loads(call.function.arguments)}, sys.stdout)
