"""How soon the answer is asked for after a run has ended, streaming and polling, on a run of 1.3 seconds.

python -m benchmarks.waiting
"""

import json
import socketserver
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from benchmarks.measure import RUNFLOW, environment

SECONDS = 1.3
FLOW = "assistant: {model: m}\nsteps:\n  - user: Hello.\n    expect: hello\n"
ROUNDS = 9


class Service(socketserver.ThreadingTCPServer):
    """As much of the Assistant API as one step needs; notes when the run ended and when its answer was first asked for."""

    allow_reuse_address = True
    daemon_threads = True
    ends = 0.0
    asked: float | None = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, body: dict[str, object]) -> None:
        data = json.dumps(body | {"request_id": "r"}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    def run_object(self) -> dict[str, object]:
        ended = time.monotonic() >= self.server.ends
        return {
            "id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "model": "m",
            "status": "completed" if ended else "in_progress", "tools": [], "usage": None,
        }  # fmt: skip

    def stream(self) -> Iterator[bytes]:
        yield f"event:thread.run.created\ndata:{json.dumps(self.run_object())}\n\n".encode()
        time.sleep(max(0, self.server.ends - time.monotonic()))
        yield f"event:thread.run.completed\ndata:{json.dumps(self.run_object())}\n\nevent:done\ndata:[DONE]\n\n".encode()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        match self.path.rsplit("/", 1)[1]:
            case "assistants":
                self.answer({"id": "asst_1", "object": "assistant", "model": "m", "tools": []})
            case "threads":
                self.answer({"id": "thread_1", "object": "thread", "metadata": {}})
            case "messages":
                self.answer(message("message_0", "user", "Hello.", ""))
            case _:
                self.server.ends = time.monotonic() + SECONDS
                self.server.asked = None
                if not body.get("stream"):
                    self.answer(self.run_object())
                    return
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in self.stream():
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/messages"):
            self.server.asked = self.server.asked or time.monotonic()
            self.answer({"object": "list", "data": [message("message_1", "assistant", "hello", "run_1")], "has_more": False})
        elif path.endswith("/steps"):
            self.answer({"object": "list", "data": [], "has_more": False})
        else:
            self.answer(self.run_object())

    def do_DELETE(self) -> None:
        self.answer({"id": self.path.rsplit("/", 1)[1], "deleted": True, "object": "deleted"})


def message(identity: str, role: str, text: str, run: str) -> dict[str, object]:
    return {
        "id": identity, "object": "thread.message", "thread_id": "thread_1", "role": role, "run_id": run,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}], "created_at": 1795439621153,
    }  # fmt: skip


def delay(server: Service, folder: Path, *options: str) -> float:
    """Milliseconds from the end of the run to the request for its messages."""
    base = f"http://127.0.0.1:{server.server_address[1]}/api/v1"
    command = (RUNFLOW, "flow.yaml", "--target", "dashscope", "--base-url", base, *options)
    subprocess.run(
        command, cwd=folder, env={**environment(), "DASHSCOPE_API_KEY": "sk-benchmark"}, check=True, capture_output=True
    )
    assert server.asked is not None
    return (server.asked - server.ends) * 1000


def main() -> None:
    with Service(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as name:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = Path(name)
        (folder / "flow.yaml").write_text(FLOW)
        for title, bar, options in (("streaming", 10, ()), ("polling", 120, ("--no-stream",))):
            delays = sorted(delay(server, folder, *options) for _ in range(ROUNDS))
            print(
                f"{title:10} bar {bar:>3} ms: median {statistics.median(delays):5.1f} ms,"
                f" lowest {delays[0]:5.1f}, highest {delays[-1]:5.1f}"
            )
        server.shutdown()


if __name__ == "__main__":
    main()
