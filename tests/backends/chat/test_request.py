"""Requests: equal to the openai client's, named by what decides the reply."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import replace

import numpy as np
import orjson
import pytest
from chat_server import ChatServer, fitting, wrong_schema
from openai import AsyncOpenAI
from PIL import Image
from pydantic import BaseModel

from insightedit.backends.chat.images import encode_part, image_part
from insightedit.backends.chat.replies import ON_FIVE, REPLIES, Caption, Described
from insightedit.backends.chat.request import ChatRequest, Form
from insightedit.backends.chat.schema import NoFit, read_reply, strict_schema
from insightedit.core.errors import Unfit
from insightedit.core.image import encode_jpeg

ALL_REPLIES = [*REPLIES.values(), *ON_FIVE.values()]


def photo(height: int = 60, width: int = 90) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns % 256, rows % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)


def request(**changes) -> ChatRequest:
    return replace(ChatRequest("gpt-4o", "Be brief.", "What is it?", Caption, prompt="caption"), **changes)


@pytest.mark.parametrize("reply", ALL_REPLIES, ids=lambda reply: reply.__name__)
def test_the_body_is_the_one_that_the_openai_client_sends(reply):
    """`parse` of the reference client makes the schema too; both bodies are compared as JSON values."""
    ours = request(reply=reply, images=(encode_part(photo(), detail="low"),), seed=7, temperature=0.5)
    user = [
        {"type": "text", "text": ours.user},
        {"type": "image_url", "image_url": {"url": ours.images[0].data_url, "detail": "low"}},
    ]
    messages = [{"role": "system", "content": ours.system}, {"role": "user", "content": user}]

    async def ask(url: str) -> None:
        async with AsyncOpenAI(base_url=url, api_key="test", max_retries=0) as client:
            await client.chat.completions.parse(
                model="gpt-4o", messages=messages, response_format=reply, temperature=0.5, max_tokens=1024, seed=7
            )

    with ChatServer() as server:
        asyncio.run(ask(server.url))
        assert orjson.loads(ours.body()) == server.bodies[0]


@pytest.mark.parametrize("reply", ALL_REPLIES, ids=lambda reply: reply.__name__)
def test_every_reply_class_has_a_strict_schema_and_reads_what_fits_it(reply):
    schema = orjson.loads(strict_schema(reply))
    assert wrong_schema(schema) == ""
    assert isinstance(read_reply(orjson.dumps(fitting(schema)).decode(), reply), reply)


def test_a_schema_with_free_keys_is_refused_at_once():
    class Free(BaseModel):
        scores: dict[str, float]

    with pytest.raises(TypeError, match="scores is a dict"):
        strict_schema(Free)


def test_defaults_and_notes_on_a_part_are_put_as_strict_mode_wants_them():
    class Part(BaseModel):
        word: str

    class Whole(BaseModel):
        part: Part | None = None
        noted: Part = Part(word="x")

    assert wrong_schema(orjson.loads(strict_schema(Whole))) == ""


CHANGES = {
    "model": "gpt-4o-mini",
    "system": "Be long.",
    "user": "Who is it?",
    "reply": Described,
    "temperature": 1.0,
    "max_tokens": 9,
    "seed": 1,
    "prompt": "other",
    "prompt_version": "000000000000",
    "extra": {"top_p": 0.5},
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_decides_the_reply_changes_the_key(name):
    assert request().key != request(**{name: CHANGES[name]}).key


def test_the_key_names_images_by_content_order_and_detail():
    one, two = encode_part(photo()), encode_part(photo()[:, ::-1].copy())
    keys = {request(images=images).key for images in [(one, two), (two, one), (one,), (replace(one, detail="low"),)]}
    assert len(keys) == 4
    assert request(images=(one,)).key == request(images=(encode_part(photo()),)).key


def test_the_key_is_the_same_in_every_process_and_version():
    """A changed key would make every journal worthless: raise KEY_VERSION on purpose, and this with it."""
    assert request().key.startswith("278b8ce7d82c61ad")


def test_an_image_is_never_text_and_always_the_size_that_was_asked_for():
    part = encode_part(photo(300, 600), max_side=128)
    assert (part.width, part.height) == (128, 64)
    body = orjson.loads(request(images=(part,)).body())
    text, image = body["messages"][-1]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"), validate=True)
    assert Image.open(io.BytesIO(data)).size == (128, 64)
    assert part.data_url not in repr(part)


def test_a_small_jpeg_goes_as_it_is_and_anything_else_is_encoded():
    jpeg = encode_jpeg(photo(), 80)
    assert base64.b64decode(encode_part(jpeg).data_url.split(",")[1]) == jpeg
    png = encode_part(jpeg, lossless=True)
    assert png.data_url.startswith("data:image/png;base64,") and png.sha256 != encode_part(jpeg).sha256
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encode_part(photo(), lossless=True).data_url[22:]))))
    assert (decoded == photo()).all()
    with pytest.raises(Unfit):
        encode_part(b"\xff\xd8 no picture")


def test_encoding_leaves_the_event_loop_free():
    """The loop ticks while a large image is encoded; encoding on it would let it tick once."""
    image = np.random.default_rng(0).integers(0, 256, (1200, 1800, 3), np.uint8)

    async def ticks() -> int:
        encoding, count = asyncio.create_task(image_part(image, max_side=1024)), 0
        while not encoding.done():
            await asyncio.sleep(0.001)
            count += 1
        return count

    assert asyncio.run(ticks()) >= 5


def test_without_images_the_content_is_plain_text():
    assert orjson.loads(request().body())["messages"][1] == {"role": "user", "content": "What is it?"}


@pytest.mark.parametrize("form", [Form("json_object"), Form("plain")])
def test_a_server_without_schemas_gets_the_schema_in_the_prompt(form):
    body = orjson.loads(request().body(form))
    assert strict_schema(Caption).decode() in body["messages"][0]["content"]
    assert body.get("response_format") == ({"type": "json_object"} if form.reply == "json_object" else None)


FITS = {
    "bare": '{"caption": "a mug"}',
    "fenced": '```json\n{"caption": "a mug"}\n```',
    "with words around it": 'Here it is: {"caption": "a mug"} I hope that {this} helps.',
    "after a thought": '<think>perhaps {"caption": "a cup"}?</think>\n{"caption": "a mug"}',
    "with a key too many": '{"caption": "a mug", "mood": "calm"}',
}


@pytest.mark.parametrize("text", FITS.values(), ids=FITS.keys())
def test_a_reply_is_found_where_it_stands(text):
    assert read_reply(text, Caption) == Caption(caption="a mug")


WRONG = {
    "a trailing comma": '{"caption": "a mug",}',
    "cut": '{"caption": "a m',
    "no JSON": "I see a mug.",
    "a list": '["a mug"]',
    "nothing": "",
    "an empty caption": '{"caption": "  "}',
    "another key": '{"text": "a mug"}',
    "a number": '{"caption": 7}',
    "brackets without end": '{"caption": ' + "[" * 100_000,
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_never_taken(text):
    with pytest.raises(NoFit):
        read_reply(text, Caption)


def test_a_flag_in_quotes_is_no_flag_and_a_score_in_words_no_score():
    thing = {"category": "mug", "name": "mug", "detail": "red", "reason": "", "removable": "0", "replaceable": True}
    with pytest.raises(NoFit, match="removable"):
        read_reply(orjson.dumps({"caption": "x", "objects": [thing]}).decode(), Described)
    for score in ('"7"', "11", "-1", "null", "[7]", "NaN"):
        text = f'{{"reasoning": "", "instruction_followed": {score}, "nothing_else_changed": 5}}'
        with pytest.raises(NoFit, match=r"instruction_followed|JSON"):
            read_reply(text, REPLIES["sc"])
    with pytest.raises(NoFit, match="from 0 to 5"):
        read_reply('{"reasoning": "", "naturalness": 6, "freedom_from_artifacts": 5}', ON_FIVE["pq"])
