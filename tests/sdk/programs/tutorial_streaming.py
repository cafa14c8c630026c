# mypy: ignore-errors
"""The tutorial's streaming variant with the official SDK: the message goes with the thread, the answer comes in pieces."""

import json

from dashscope import Assistants, Messages, Runs, Threads

painter = Assistants.create(model="qwen-max", name="Art Maestro", tools=[{"type": "text_to_image", "description": "Draws"}])
thread = Threads.create(messages=[{"role": "user", "content": "Draw a picture of a ragdoll cat."}])
names, pieces, run = [], [], None
for event, data in Runs.create(thread.id, assistant_id=painter.id, stream=True):
    names.append(event)
    if event == "thread.message.delta":
        pieces.append(data.delta.content.text.value)
    if event == "thread.run.completed":
        run = data
messages = Messages.list(thread.id)
whole = messages.data[0].content[0].text.value
print(
    json.dumps(
        {"events": names, "answer": whole, "pieces": len(pieces), "joined": "".join(pieces) == whole, "status": run.status}
    )
)
