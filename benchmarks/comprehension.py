"""Comprehension by one teacher-forced prefill against token-by-token decoding with a key/value cache.

The reference decodes: prompt first, then about 45 tokens one by one, keeping the state of each [MM] token. Here the
decoder is given the same answer, so both make the same 32 states. fp32, random weights, in turns in one process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from insightedit.model.comprehension import Comprehension
from insightedit.model.tokens import IGNORE, TokenBatch, collate, sequence
from insightedit.model.toy_tokenizer import toy_tokenizer

EYE = {"width": 64, "layers": 2, "heads": 2, "ffn": 64, "patch": 14, "size": 224}  # 16 x 16 patches, LLaVA-1.1's grid
SIZES = {  # width, layers, heads, ffn, turns
    "256 wide, 4 layers": (256, 4, 4, 688, 9),
    "512 wide, 8 layers": (512, 8, 8, 1376, 7),
    "1024 wide, 12 layers": (1024, 12, 16, 2752, 5),
    "2048 wide, 16 layers": (2048, 16, 16, 5504, 3),
}


def build(width: int, layers: int, heads: int, ffn: int) -> tuple[Comprehension, TokenBatch]:
    torch.manual_seed(0)
    language = {"width": width, "layers": layers, "heads": heads, "ffn": ffn, "vocabulary": 1024}
    mllm = Comprehension(language, EYE, 1).eval()
    one = sequence(toy_tokenizer(1024), "remove the red cube", mllm.special, 256, 256, mllm.prompt)
    return mllm, collate([one])


@torch.no_grad()
def prefill(mllm: Comprehension, tokens: TokenBatch, inputs: torch.Tensor) -> torch.Tensor:
    states = mllm.language_model.model(inputs_embeds=inputs, use_cache=False)[0]
    return mllm.mm_states(states, tokens)


@torch.no_grad()
def decode(mllm: Comprehension, tokens: TokenBatch, inputs: torch.Tensor) -> torch.Tensor:
    start = int((tokens.labels[0] != IGNORE).nonzero()[0])
    out = mllm.language_model.model(inputs_embeds=inputs[:, :start], use_cache=True)
    states = [out.last_hidden_state]
    for place in range(start, inputs.shape[1]):
        mllm.logits(states[-1][:, -1])  # which token comes next
        out = mllm.language_model.model(
            inputs_embeds=inputs[:, place : place + 1], past_key_values=out.past_key_values, use_cache=True
        )
        states.append(out.last_hidden_state)
    return mllm.mm_states(torch.cat(states, 1), tokens)


def timed(run: Callable[..., torch.Tensor], *arguments: object) -> tuple[float, torch.Tensor]:
    started = time.perf_counter()
    h = run(*arguments)
    return time.perf_counter() - started, h


def main() -> None:
    print(f"\n## Comprehension (`comprehension`, {torch.get_num_threads()} threads, fp32, 256 image tokens)\n")
    print("| language model | prompt + answer, tokens | prefill, s | decoding, s | faster | largest difference |")
    print("|---|---|---|---|---|---|")
    for name, (*sizes, turns) in SIZES.items():
        mllm, tokens = build(*sizes)
        with torch.no_grad():
            inputs = mllm.embed(tokens, torch.randn(1, 256, EYE["width"]))
        answer = int((tokens.labels != IGNORE).sum())
        prefill(mllm, tokens, inputs)
        pairs = [(timed(prefill, mllm, tokens, inputs), timed(decode, mllm, tokens, inputs)) for _ in range(turns)]
        quick, slow = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
        apart = max(float((one[1] - other[1]).abs().max()) for one, other in pairs)
        length = f"{inputs.shape[1] - answer} + {answer}"
        print(f"| {name} | {length} | {quick:.3f} | {slow:.3f} | {slow / quick:.1f}x | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
