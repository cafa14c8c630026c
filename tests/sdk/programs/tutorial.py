# mypy: ignore-errors
"""The tutorial's five steps with the official SDK: an assistant, a thread, a message, a run, the answer."""

import json
import sys
from http import HTTPStatus

from dashscope import Assistants, Messages, Runs, Threads


def checked(answer):
    """The answer, if the service accepted the call."""
    if answer.status_code != HTTPStatus.OK:
        sys.exit(f"{answer.status_code} {answer.code}: {answer.message} ({answer.request_id})")
    return answer


painter = checked(
    Assistants.create(
        model="qwen-max",
        name="Art Maestro",
        description="AI assistant for painting and art knowledge",
        instructions="Provide information on painting techniques. Use tools to generate images.",
        tools=[{"type": "text_to_image", "description": "For creating visual examples"}],
    )
)
thread = checked(Threads.create())
checked(Messages.create(thread.id, content="Draw a picture of a ragdoll cat."))
run = checked(Runs.create(thread.id, assistant_id=painter.id))
run = checked(Runs.wait(run.id, thread_id=thread.id))
messages = checked(Messages.list(thread.id))
print(json.dumps({"status": run.status, "answer": messages.data[0].content[0].text.value, "role": messages.data[0].role}))
