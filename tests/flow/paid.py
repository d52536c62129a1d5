"""A toy service that counts what it is asked, and a line with a step that asks it; a driver that a test may kill."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from toys import Number, Square, Times, Toy, ToyKnobs, drive

from insightedit.core.config import Knobs
from insightedit.core.errors import OutputError, Stop, Unfit
from insightedit.core.record import Reject
from insightedit.flow.local import Line
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import AsyncStep, Context, Place


class Service:
    """Adds one to a number, for money. Runs in a thread; a question is a line of text, and so is its answer."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.asked, self.answered = Counter(), 0
        self.now, self.most = 0, 0  # questions that wait for an answer
        self.loop, self.port = asyncio.new_event_loop(), 0

    def __enter__(self) -> Service:
        started = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=[started], daemon=True)
        self.thread.start()
        assert started.wait(20)
        return self

    def __exit__(self, *_) -> None:
        for task in asyncio.all_tasks(self.loop):
            self.loop.call_soon_threadsafe(task.cancel)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = (await reader.readline()).decode().strip()
        if not question:  # whoever connected was killed before it asked
            writer.close()
            return
        self.asked[question] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.pause_s)
        self.now -= 1
        self.answered += 1
        writer.write(b"%d\n" % (int(question.split()[-1]) + 1))
        writer.close()


class AskKnobs(Knobs):
    times: int = 1  # how often the same thing is asked, one after another
    place: Place = Place()


class Ask(AsyncStep[Toy, Number]):
    """Adds one, as `Plus` does, by asking the service; takes its name, so that `Square` follows."""

    name, version, value = "plus", "1", Number
    needs = frozenset({"times"})
    knobs: AskKnobs

    def __init__(self, knobs: AskKnobs, port: int, budget: int = 10**6) -> None:
        super().__init__(knobs)
        self.port, self.budget, self.open, self.connects = port, budget, False, 0

    async def connect(self) -> None:
        self.open, self.connects = True, self.connects + 1

    async def disconnect(self) -> None:
        self.open = False

    async def one(self, item: Toy, context: Context) -> Number | Reject:
        assert self.open
        if item.deed == "early":
            raise Unfit("odd", "seen", "wanted")
        answers = [await self._asked(context, turn, item.values["times"].value) for turn in range(self.knobs.times)]
        match item.deed:
            case "late":
                raise KeyError("broken")
            case "reject":
                return self.reject(item, "refused")
            case "disk":
                raise OutputError("could not write", "the disk is full", "Free some space")
            case "apart":
                return Number(value=await context.apart(int, answers[0]))
        return Number(value=int(answers[-1]))

    async def _asked(self, context: Context, turn: int, number: int) -> bytes:
        question = f"{turn} {number}"
        kept = context.journal.get(question)
        if kept is not None:
            return kept
        if self.budget < 1:
            raise Stop("the budget is spent", "it was so many questions", "Give more")
        self.budget -= 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{question}\n".encode())
        answer = await reader.read()
        writer.close()
        await context.journal.put(question, answer)
        return answer

    def reject(self, item: Toy, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step=self.name, reason=reason, photo_id=item.key, seen=seen, wanted=wanted)


def asking_line(root: Path, port: int, *, budget: int = 10**6, in_flight: int = 4, times: int = 2, by: int = 2) -> Line:
    ask = Ask(AskKnobs(times=times, place=Place(in_flight=in_flight)), port, budget)
    return Line([Times(ToyKnobs(by=2)), ask, Square(ToyKnobs(by=by))], "source", Manifest(root))


def run_here(the_line: Line, toys: Sequence[Toy]) -> list[tuple[str, int]]:
    with Pool(0, 30) as pool:
        return drive(the_line, toys, pool)


if __name__ == "__main__":  # python paid.py FOLDER COUNT PORT
    run_here(asking_line(Path(sys.argv[1]), int(sys.argv[3])), [Toy(number) for number in range(int(sys.argv[2]))])
