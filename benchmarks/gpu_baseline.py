"""Time of a denoising step's transformer blocks on a GPU, for `mixdit perf --gpu FILE`.

    python benchmarks/gpu_baseline.py -o gpu.json [--model NAME ...] [--device cuda] [--dtype float16] [--compile]

Runs the blocks of each model in PyTorch with random weights of the published shapes and two samples, as a step with
classifier-free guidance has them: fused projections, `scaled_dot_product_attention`, layer normalisation, modulation,
GELU and residuals; without embedders, final layer and the computation of modulations, which `mixdit perf` leaves out
too. The figure is the median over the repetitions. PyTorch is none of the project's dependencies; exit status 3 where
it is missing or the device is not there.
"""

import argparse
import importlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdit_hw.errors import MixditError, ToolError
from mixdit_hw.files import check_output, write_text
from mixdit_hw.perf.gpu import FORMAT
from mixdit_hw.workloads import MODELS, PAPER_MODELS, SAMPLES, Model

DTYPES = ("float16", "bfloat16", "float32")
SEED = 1


def load_torch() -> Any:
    """PyTorch; ToolError where it is missing."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ToolError("PyTorch is missing: pip install torch") from None


class Stream:
    """Layers of one stream of tokens in a block: image tokens, or in joint attention the text's.

    Parameters
    ----------
    torch
        PyTorch.
    model
        Whose shapes.
    make
        Makes a random tensor of a shape.
    """

    def __init__(self, torch: Any, model: Model, make: Callable[..., Any]) -> None:
        self._f = torch.nn.functional
        self._width = model.hidden
        d, wide = model.hidden, model.mlp_ratio * model.hidden
        shapes = {"qkv": (3 * d, d), "proj": (d, d), "fc1": (wide, d), "fc2": (d, wide)}
        if model.attention == "cross":
            shapes |= {"cross_q": (d, d), "cross_kv": (2 * d, d), "cross_proj": (d, d)}
        self._layers = {name: (make(*shape), make(shape[0])) for name, shape in shapes.items()}
        self.modulation = [make(SAMPLES, 1, d) for _ in range(6)]  # shift, scale and gate of attention and of the MLP

    def linear(self, name: str, x: Any) -> Any:
        """A layer's product with its bias."""
        return self._f.linear(x, *self._layers[name])

    def normalised(self, x: Any, shift: Any, scale: Any) -> Any:
        """Layer normalisation and modulation."""
        return self._f.layer_norm(x, (self._width,), eps=1e-6) * (1 + scale) + shift

    def mlp(self, x: Any) -> Any:
        """The block's second half."""
        *_, shift, scale, gate = self.modulation
        hidden = self._f.gelu(self.linear("fc1", self.normalised(x, shift, scale)), approximate="tanh")
        return x + gate * self.linear("fc2", hidden)


def make_step(torch: Any, model: Model, *, device: str, dtype: str) -> Callable[[], Any]:
    """All blocks of a model on random tokens; each call computes them once."""
    generator = torch.Generator(device=device).manual_seed(SEED)
    options = {"device": device, "dtype": getattr(torch, dtype)}

    def make(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, device=device).mul_(0.02).to(**options)

    joint, cross = model.attention == "joint", model.attention == "cross"
    blocks = [[Stream(torch, model, make) for _ in range(1 + joint)] for _ in range(model.depth)]
    image, text = make(SAMPLES, model.tokens, model.hidden), make(SAMPLES, model.text, model.hidden)

    def heads(x: Any, parts: int) -> Any:
        """Tokens (B, T, parts * D) to ``parts`` of (B, heads, T, head)."""
        split = x.view(SAMPLES, -1, parts, model.heads, model.head_size)
        return split.permute(2, 0, 3, 1, 4).unbind(0)

    def attend(q: Any, k: Any, v: Any) -> Any:
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return mixed.transpose(1, 2).reshape(SAMPLES, -1, model.hidden)

    def block(streams: Sequence[Stream], tokens: list[Any]) -> list[Any]:
        projected = [
            heads(s.linear("qkv", s.normalised(x, *s.modulation[:2])), 3) for s, x in zip(streams, tokens, strict=True)
        ]
        if joint:
            mixed = attend(*(torch.cat(parts, dim=2) for parts in zip(*projected, strict=True)))
            mixed = mixed.split([x.shape[1] for x in tokens], dim=1)
        else:
            mixed = [attend(*projected[0])]
        tokens = [x + s.modulation[2] * s.linear("proj", y) for s, x, y in zip(streams, tokens, mixed, strict=True)]
        if cross:
            (s,), (x,) = streams, tokens
            (q,) = heads(s.linear("cross_q", x), 1)
            tokens = [x + s.linear("cross_proj", attend(q, *heads(s.linear("cross_kv", text), 2)))]
        return [s.mlp(x) for s, x in zip(streams, tokens, strict=True)]

    def step() -> Any:
        with torch.inference_mode():
            tokens = [image, text] if joint else [image]
            for streams in blocks:
                tokens = block(streams, tokens)
            return tokens[0]

    return step


def measure(step: Callable[[], Any], synchronize: Callable[[], None], *, warmup: int, repeats: int) -> list[float]:
    """Seconds of each repetition, after some that do not count."""
    times = []
    for i in range(warmup + repeats):
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        if i >= warmup:
            times.append(time.perf_counter() - start)
    return times


def run(args: argparse.Namespace, models: Mapping[str, Model]) -> dict[str, Any]:
    """Measure what was asked for; what the file shall hold."""
    torch = load_torch()
    gpu = args.device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        raise ToolError(f"device {args.device} is not there: PyTorch finds no GPU")
    try:
        torch.zeros(1, device=args.device)
    except RuntimeError as e:
        raise ToolError(f"device {args.device} is not there: {str(e).splitlines()[0]}") from None
    name = torch.cuda.get_device_name(args.device) if gpu else platform.processor() or platform.machine()
    found = {}
    for model in args.model or [n for n in PAPER_MODELS if n in models]:
        step = make_step(torch, models[model], device=args.device, dtype=args.dtype)
        step = torch.compile(step) if args.compile else step
        synchronize = torch.cuda.synchronize if gpu else lambda: None
        times = measure(step, synchronize, warmup=args.warmup, repeats=args.repeats)
        seconds = statistics.median(times)
        flops = 2 * sum(gemm.macs for gemm in models[model].gemms())
        print(f"{model:<20}{1e3 * seconds:10.3f} ms a step, {flops / seconds / 1e12:.1f} TFLOPS")
        found[model] = {"step_s": seconds, "least_s": min(times), "most_s": max(times), "repeats": args.repeats}
        del step
        if gpu:
            torch.cuda.empty_cache()
    software = f"PyTorch {torch.__version__}, {args.dtype}{', compiled' if args.compile else ''}"
    return {"format": FORMAT, "device": name, "software": software, "samples": SAMPLES, "models": found}


def main(arguments: Sequence[str] | None = None, models: Mapping[str, Model] = MODELS) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Time of transformer blocks on a GPU.")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write the JSON")
    parser.add_argument("--model", action="append", choices=list(models), help="may be repeated; default: the paper's")
    parser.add_argument("--device", default="cuda", help="PyTorch's name of the device (default: cuda)")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("--warmup", type=int, default=3, help="steps that do not count (default: 3)")
    parser.add_argument("--repeats", type=int, default=20, help="steps that are measured (default: 20)")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    args = parser.parse_args(arguments)
    if args.repeats < 1 or args.warmup < 0:
        parser.error(f"--repeats must be at least 1 and --warmup 0, not {args.repeats} and {args.warmup}")
    try:
        check_output(args.output)
        write_text(args.output, json.dumps(run(args, models), indent=2) + "\n")
    except MixditError as e:
        print(f"gpu_baseline: {e}", file=sys.stderr)
        return e.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
