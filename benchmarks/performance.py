"""What the performance model says, beside its references: speed-ups, known totals, shapes of arrays, and its own speed.

    python benchmarks/performance.py [--json]

Everything but the last table is computed and does not depend on the machine. Speed-ups are those of 65 536 MX6
multiplications per cycle at 1 GHz, the paper's size, as an array of ours (64 x 64 engines) and as the authors' (128 x
128 engines of 4); the paper claims 2.10 to 5.32 over an RTX 3090, and does not say at what utilisation.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from mixdit_hw.perf.arrays import array, array_of
from mixdit_hw.perf.authors import AuthorsCost, authors_cost
from mixdit_hw.perf.compare import compare
from mixdit_hw.perf.core import full_rate_c_depth
from mixdit_hw.perf.tiles import Shape, best_shapes, loss, steady_loss, ways
from mixdit_hw.report.perf import gpu_note
from mixdit_hw.report.table import align_table
from mixdit_hw.workloads import MODELS, PAPER_MODELS, Gemm

MACS = 65536
CLOCK = 1e9
PAPER = (2.10, 5.32)
TOTALS = {  # million cycles a step, of the authors' simulator
    ("DiT-XL-256", 16): "277.62",
    ("DiT-XL-256", 128): "12.16",
    ("PixArt-Sigma-1024", 16): "9812.48",
    ("SD3-1024", 128): "723.07",
}
UTILISATION = {16: ("0.68", "0.85"), 128: ("0.18", "0.30")}  # of the authors' simulator, least and most of five models
COUNTS = {  # 10^9 multiplications of a sample
    ("DiT-XL-256", "blocks"): "118.380",
    ("DiT-XL-256", "network"): "118.621",
    ("DiT-XL-512", "blocks"): "524.254",
    ("DiT-XL-512", "network"): "524.538",
}
HEAD = "DiT-XL-256"  # heads of 72
STEPS = ("DiT-XL-256", "DiT-XL-512", "PixArt-Sigma-1024")
SHAPES = {  # by engines: those of `base`, and those of the paper's size
    256: (
        Shape(rows=16, columns=16),
        Shape(rows=8, columns=32),
        Shape(rows=32, columns=8),
        Shape(rows=28, columns=9),
        Shape(rows=8, columns=8, cores=4),
    ),
    4096: (
        Shape(rows=64, columns=64),
        Shape(rows=32, columns=128),
        Shape(rows=128, columns=32),
        Shape(rows=56, columns=72),
        Shape(rows=64, columns=32, cores=2),
        Shape(rows=32, columns=32, cores=4),
        Shape(rows=64, columns=16, cores=4),
        Shape(rows=32, columns=16, cores=8),
        Shape(rows=64, columns=8, cores=8),
        Shape(rows=8, columns=64, cores=8, interleave=9),
    ),
}
PORTS = (4, 8, 16, 32, 64)  # drain: rows in a result beat, of 64
MODEL_LIMIT, SWEEP_LIMIT = 0.050, 60.0  # seconds
SWEEP = 1000


def speedups() -> list[dict[str, Any]]:
    """Ours and the authors' array on the paper's models, each against the GPU."""
    found = []
    for name in PAPER_MODELS:
        model = MODELS[name]
        both = [
            compare(model.gemms(), array_of(MACS), name=name, clock=CLOCK, steps=model.steps, schedule=schedule)
            for schedule in ("both", "authors")
        ]
        peak = both[0]["gpu"]["tflops"] * 1e12
        busy = [2 * both[0]["macs"] / (peak * both[0]["ours"]["seconds_per_step"] * s) for s in reversed(PAPER)]
        found.append({"name": name, "ours": both[0], "authors": both[1], "gpu_utilisation_of_the_claim": busy})
    return found


def totals() -> dict[str, Any]:
    """What is known exactly: name, found, expected."""
    found = {}
    for (name, side), expected in TOTALS.items():
        found[f"authors' schedule, {name} on {side} x {side}, M cycles"] = (
            f"{_authors(name, side)[0] / 1e6:.2f}",
            expected,
        )
    for side, expected in UTILISATION.items():
        costs = [AuthorsCost(cycles=c, busy=b) for c, b in (_authors(name, side) for name in PAPER_MODELS)]
        shares = sorted(cost.utilisation(side, side) for cost in costs)
        text = f"{shares[0]:.2f} to {shares[-1]:.2f}"
        found[f"authors' schedule, utilisation on {side} x {side}"] = (text, " to ".join(expected))
    for (name, scope), expected in COUNTS.items():
        macs = sum(gemm.macs for gemm in MODELS[name].gemms(scope=scope))
        found[f"{name}, {scope}, G MAC a sample"] = (f"{macs / 2e9:.3f}", expected)
    return found


def shapes() -> list[dict[str, Any]]:
    """What shapes of equal size lose on heads of 72 and on whole steps."""
    qk, av = (next(g for g in MODELS[HEAD].gemms() if g.name == f"{layer}.6x6") for layer in ("qk", "av"))
    found = []
    for engines, named in SHAPES.items():
        chosen = dict.fromkeys(named)
        for name in STEPS:
            for cores in ((1,), (1, 2, 4, 8)):
                chosen |= dict.fromkeys(best_shapes(engines, MODELS[name].gemms(), number=1, cores=cores))
        found += [
            {
                "shape": str(shape),
                "engines": shape.engines,
                "operand_blocks_per_cycle": shape.operand_blocks,
                "result_words_per_cycle": shape.result_words,
                "qk": {way: steady_loss(shape, qk, way) for way in ways(qk)},
                "av": {way: steady_loss(shape, av, way) for way in ways(av)},
                "step": {name: loss(shape, MODELS[name].gemms()) for name in STEPS},
            }
            for shape in chosen
        ]
    return found


def ports() -> list[dict[str, Any]]:
    """QK^T of heads of 72 over the width of the result port, 64 x 64 engines."""
    qk = next(g for g in MODELS[HEAD].gemms() if g.name == "qk.6x6")
    found = []
    for drain in PORTS:
        params = array(64, 64).replace(drain=drain, c_depth=4 * 64 * 4)
        params = params.replace(c_depth=full_rate_c_depth(params, 64 // drain))
        result = compare([qk], params, name="qk", clock=CLOCK, schedule="ours")["ours"]
        found.append(
            {"drain": drain, "words": drain * 64, "utilisation": result["utilisation"], "useful": result["useful"]}
        )
    return found


def speed() -> dict[str, float]:
    """Seconds of the slowest whole model, and of a sweep of 1000 designs over all five of the paper's models."""
    slowest = 0.0
    for name, model in MODELS.items():
        start = time.perf_counter()
        compare(model.gemms(), array_of(MACS), name=name, clock=CLOCK, steps=model.steps)
        slowest = max(slowest, time.perf_counter() - start)
    start = time.perf_counter()
    for i, gemms in enumerate(_sweep()):
        compare(gemms, array(4 + i % 50, 4 + i // 50 * 2), name="sweep", clock=CLOCK, steps=1)
    return {"model_s": slowest, "sweep_s": time.perf_counter() - start}


def _sweep() -> Iterator[tuple[Gemm, ...]]:
    for i in range(SWEEP):
        yield MODELS[PAPER_MODELS[i % len(PAPER_MODELS)]].gemms()


def _authors(name: str, side: int) -> tuple[int, int]:
    """Cycles and busy cycles of a step."""
    costs = [authors_cost(gemm, rows=side, columns=side) for gemm in MODELS[name].gemms()]
    return sum(c.cycles for c in costs), sum(c.busy for c in costs)


def print_speedups(found: list[dict[str, Any]]) -> None:
    """Table of ours and the authors'."""
    first = found[0]["ours"]
    keys = list(first["gpu"]["assumed"])
    print(f"65 536 MX6 MAC per cycle at 1 GHz over an RTX 3090 (the paper claims {PAPER[0]:.2f} to {PAPER[1]:.2f})")
    rows = [["model", "ms/step", "s/image", "useful", *keys, "over authors", "authors ms", *keys, "GPU busy for claim"]]
    for entry in found:
        ours, authors = entry["ours"], entry["authors"]
        image = f"{ours['ours']['seconds_per_image']:.2f} ({ours['steps']})"
        row = [entry["name"], f"{1e3 * ours['ours']['seconds_per_step']:.2f}", image, f"{ours['ours']['useful']:.1%}"]
        row += [f"{ours['gpu']['assumed'][key]['speedup']:.2f}" for key in keys]
        row += [f"{ours['authors']['speedup']:.2f}", f"{1e3 * authors['authors']['seconds_per_step']:.2f}"]
        row += [f"{authors['gpu']['assumed'][key]['speedup']:.2f}" for key in keys]
        rows.append([*row, " to ".join(f"{u:.0%}" for u in entry["gpu_utilisation_of_the_claim"])])
    for line in align_table(rows):
        print(line)
    print(gpu_note([entry["ours"] for entry in found], "the array"))
    print("GPU busy for claim: at that utilisation of the GPU ours would be 5.32 and 2.10 times as fast.\n")


def print_shapes(found: list[dict[str, Any]]) -> None:
    """Table of losses."""
    print("Shares of the engines' cycles lost: products of heads of 72 in steady state, and whole steps with start")
    packed = [way for way in found[0]["av"] if " x " in way]
    rows = [["array", "engines", "blocks in", "words out", "QK^T", "packed", "A V", "swapped", "packed", *STEPS]]
    for entry in found:
        qk, av = entry["qk"], entry["av"]
        row = [entry["shape"], f"{entry['engines']}", f"{entry['operand_blocks_per_cycle']:.0f}"]
        row += [f"{entry['result_words_per_cycle']}", f"{min(qk['plain'], qk['swapped']):.1%}"]
        row += [f"{min(qk[way] for way in packed):.1%}", f"{av['plain']:.1%}", f"{av['swapped']:.1%}"]
        row += [f"{min(av[way] for way in packed):.1%}", *(f"{entry['step'][name]:.1%}" for name in STEPS)]
        rows.append(row)
    for line in align_table(rows):
        print(line)
    print(
        "packed: the best of 2, 3 or 4 heads side by side in N or in K. blocks in, words out: per cycle, all arrays.\n"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="What the performance model says, beside its references.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    result = {"speedups": speedups(), "totals": totals(), "shapes": shapes(), "ports": ports(), "speed": speed()}
    result |= {"limits": {"model_s": MODEL_LIMIT, "sweep_s": SWEEP_LIMIT}}
    if args.json:
        print(json.dumps(result, indent=2))
        return
    print_speedups(result["speedups"])
    rows = [["known", "found", "expected", ""]]
    rows += [[key, got, want, "equal" if got == want else "NOT EQUAL"] for key, (got, want) in result["totals"].items()]
    print("\n".join(align_table(rows)), end="\n\n")
    print_shapes(result["shapes"])
    rows = [["QK^T 256x72x256 on 64 x 64, drain", "words per cycle", "utilisation", "useful (bound 72/80)"]]
    rows += [
        [f"{p['drain']}", f"{p['words']}", f"{p['utilisation']:.1%}", f"{p['useful']:.1%}"] for p in result["ports"]
    ]
    print("\n".join(align_table(rows)), end="\n\n")
    seconds = result["speed"]
    print(f"slowest whole model    {1e3 * seconds['model_s']:.1f} ms (limit {1e3 * MODEL_LIMIT:.0f})")
    print(f"sweep of {SWEEP} designs  {seconds['sweep_s']:.1f} s (limit {SWEEP_LIMIT:.0f})")


if __name__ == "__main__":
    main()
