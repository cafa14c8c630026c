"""The calls that runflow makes for one flow, by httpx alone: no file is read, nothing is checked, and nothing may go wrong.

python -m benchmarks.bare BASE_URL
"""

import sys

import httpx


def main(base_url: str) -> None:
    with httpx.Client(base_url=base_url, headers={"Authorization": "Bearer sk-benchmark"}, trust_env=False) as client:
        assistant = client.post("/assistants", json={"model": "qwen-max", "instructions": "Be brief."}).json()["id"]
        thread = client.post("/threads", json={}).json()["id"]
        client.post(f"/threads/{thread}/messages", json={"role": "user", "content": "Hello."}).raise_for_status()
        run = {"assistant_id": assistant, "stream": True}
        with client.stream("POST", f"/threads/{thread}/runs", json=run) as response:
            events = list(response.iter_lines())
        assert "event:done" in events
        run_id = next(line for line in events if '"thread.run"' in line).partition('"id": "')[2].partition('"')[0]
        assert client.get(f"/threads/{thread}/runs/{run_id}").json()["status"] == "completed"
        assert client.get(f"/threads/{thread}/messages", params={"order": "desc"}).json()["data"]
        client.delete(f"/threads/{thread}").raise_for_status()
        client.delete(f"/assistants/{assistant}").raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1])
