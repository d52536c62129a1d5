"""The chat client: requests per second beside the ideal, and CPU per request beside the openai client's.

Server and client run in processes of their own; figures are of the steady state, after a warm-up that opens all
connections. The ideal is what endless speed would give: concurrency / latency.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np

from benchmarks.process import measured

LATENCY_S, SECONDS = 0.1, 5.0
MEASURED = [  # client, requests in flight, KB of image
    ("ours", 64, 0),
    ("openai", 64, 0),
    ("ours", 256, 0),
    ("openai", 256, 0),
    ("ours", 256, 100),
    ("openai", 256, 100),
]
Ask = Callable[[int], Awaitable[object]]


def main() -> None:
    print("\n## Chat client\n")
    print(f"Closed loop against a loopback server that answers after {LATENCY_S * 1000:.0f} ms, {SECONDS:.0f} s each.")
    print("A client far from the ideal that used little of a core was kept from the processor by others.\n")
    print("| client | in flight | image | requests/s | of the ideal | CPU ms/request | of a core used |")
    print("|---|---|---|---|---|---|---|")
    with endpoint() as url:
        for client, in_flight, kilobytes in MEASURED:
            found = measured("benchmarks.chat", client, url, in_flight, kilobytes)
            per_s, cpu_ms, size = found["per_s"], found["cpu_ms"], f"{kilobytes} KB" if kilobytes else "-"
            shares = f"{per_s * LATENCY_S / in_flight:.0%} | {cpu_ms:.2f} | {per_s * cpu_ms / 1000:.0%}"
            print(f"| {client} | {in_flight} | {size} | {per_s:.0f} | {shares} |", flush=True)


@contextmanager
def endpoint() -> Iterator[str]:
    """The server in a process of its own; its base URL."""
    command = [sys.executable, "-m", "benchmarks.chat_endpoint", str(LATENCY_S)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin and child.stdout
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        child.wait(10)


async def ours(url: str, in_flight: int, image: np.ndarray | None) -> dict[str, float]:
    from insightedit.backends.chat.client import Chat
    from insightedit.backends.chat.images import encode_part
    from insightedit.backends.chat.prompt import load
    from insightedit.backends.chat.replies import Caption
    from insightedit.backends.chat.settings import ChatKnobs

    images = [] if image is None else [encode_part(image)]
    knobs = ChatKnobs(base_url=url, model="bench", concurrency=in_flight)
    async with Chat(knobs) as chat:
        return await steady(
            lambda number: chat.ask(chat.request(load("caption"), Caption, {}, images, seed=number)), in_flight
        )


async def openai(url: str, in_flight: int, image: np.ndarray | None) -> dict[str, float]:
    from openai import AsyncOpenAI

    from insightedit.backends.chat.images import encode_part
    from insightedit.backends.chat.prompt import load
    from insightedit.backends.chat.replies import Caption
    from insightedit.backends.chat.schema import strict_schema

    system, user = load("caption").fill()
    content: object = user
    if image is not None:
        part = {"type": "image_url", "image_url": {"url": encode_part(image).data_url, "detail": "auto"}}
        content = [{"type": "text", "text": user}, part]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": content}]
    schema = {"name": "Caption", "strict": True, "schema": json.loads(strict_schema(Caption))}
    form = {"type": "json_schema", "json_schema": schema}

    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:

        async def ask(number: int) -> object:
            reply = await client.chat.completions.create(
                model="bench", messages=messages, response_format=form, temperature=0, max_tokens=1024, seed=number
            )
            return Caption.model_validate_json(reply.choices[0].message.content)

        return await steady(ask, in_flight)


async def steady(ask: Ask, in_flight: int) -> dict[str, float]:
    """Requests per second and CPU ms per request while `in_flight` lanes ask without pause."""
    numbers, done = count(), 0

    async def lane(until: float) -> None:
        nonlocal done
        while time.monotonic() < until:
            await ask(next(numbers))
            done += 1

    async def all_lanes(seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(lane(until) for _ in range(in_flight)))

    await all_lanes(1.0)  # connections are opened, code is warm
    done, began, cpu = 0, time.monotonic(), time.process_time()
    await all_lanes(SECONDS)
    return {"per_s": done / (time.monotonic() - began), "cpu_ms": (time.process_time() - cpu) / done * 1000}


def picture(kilobytes: int) -> np.ndarray | None:
    """Noise that makes a JPEG of about so many KB; uint8 (H, H, 3)."""
    if not kilobytes:
        return None
    side = round((kilobytes * 1024 / 2.2) ** 0.5)  # noise takes about 2.2 bytes a pixel at quality 90, 4:4:4
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


if __name__ == "__main__":
    name, url, in_flight, kilobytes = sys.argv[1:]
    run = {"ours": ours, "openai": openai}[name]
    print(json.dumps(asyncio.run(run(url, int(in_flight), picture(int(kilobytes))))))
