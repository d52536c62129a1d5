"""A chat endpoint for measuring clients: answers every request after a fixed time, with as little work as can be.

`python -m benchmarks.chat_endpoint LATENCY_S` prints its port and serves until its input closes. HTTP is read by hand:
a framework would take more of the processor than the client that is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys

SAID = json.dumps({"caption": "A red mug stands on a wooden table beside an open window."})
ANSWER = json.dumps({
    "id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": "bench",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                 "message": {"role": "assistant", "content": SAID, "refusal": None}}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
}).encode()  # fmt: skip
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered `latency_s` after its last byte."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s, self.missing, self.head = latency_s, 0, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            self.head += data
            head, blank, body = self.head.partition(b"\r\n\r\n")
            if not blank:
                return
            length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            self.head, self.missing, data = bytearray(), int(length), bytes(body)
        self.missing -= len(data)
        if not self.missing:
            asyncio.get_running_loop().call_later(self.latency_s, self.transport.write, REPLY)


async def serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
