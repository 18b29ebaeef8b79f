import json
from pathlib import Path

import click
import pytest

from golden.dit import DiTConfig
from golden.policy import PrecisionPolicy
from mixdit_hw import cli
from mixdit_hw.checkpoint import DIGITS
from mixdit_hw.commands.perf import command
from mixdit_hw.perf.compare import describe
from mixdit_hw.perf.gpu import FORMAT as GPU_FORMAT
from mixdit_hw.policy_work import config_of, describe_policy, policy_cycles
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import ALIASES, MODELS, PAPER_MODELS

NAMES = ", ".join((*MODELS, *ALIASES))
GPU = {"format": GPU_FORMAT, "device": "Some GPU", "software": "torch 2", "models": {"DiT-S-256": {"step_s": 0.25}}}
PRODUCT = ("--gemm", "64,64,64")


def run(capsys, *args: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of ``mixdit perf``."""
    status = cli.run(["perf", *args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def run_json(capsys, *args: str) -> dict:
    status, out, err = run(capsys, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_text_and_files(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "--model", "DiT-256", "--preset", "base", "-o", "r.json", "--html", "r.html")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    dit = MODELS["DiT-XL-256"]
    assert lines[:4] == [
        "design      preset base: 16 x 16 engines, T = 8, 4,096 MX6 MAC per cycle, 1000 MHz",
        "memory      unlimited, latency 0 cycles, buffer 2,097,152 bytes; cycles per beat A 1, W 1, C 1",
        f"model       DiT-XL-256: {describe(dit, dit.mix)}",
        "",
    ]
    assert lines[-2:] == ["wrote       r.json", "wrote       r.html"]
    written = json.loads(Path("r.json").read_text())
    assert written["command"] == "mixdit perf --model DiT-256 --preset base -o r.json --html r.html"
    assert written["design"] == {"name": "preset base", **PRESETS["base"].to_dict()}
    (result,) = written["results"]
    assert f"ours        {result['ours']['cycles'] / 1e6:,.2f} M cycles" in out
    assert "<h2>DiT-XL-256</h2>" in Path("r.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.json"]


def test_known_totals(capsys):
    for size, name, millions in (
        ("16x16", "DiT-256", "277.62"),
        ("128x128", "DiT-256", "12.16"),
        ("16x16", "PixArt-1024", "9,812.48"),
        ("128x128", "SD3-1024", "723.07"),
    ):
        status, out, _ = run(capsys, "--model", name, "--schedule", "authors", "--authors", size)
        assert status == 0
        assert f"authors     {millions} M cycles" in out


def test_groups_of_models(capsys):
    assert [r["name"] for r in run_json(capsys, "--model", "all")["results"]] == list(MODELS)
    assert [r["name"] for r in run_json(capsys, "--model", "Paper")["results"]] == list(PAPER_MODELS)
    two = run_json(capsys, "--model", "sd3-512", "--model", "DiT-256", "--model", "DiT-XL-256")
    assert [r["name"] for r in two["results"]] == ["SD3-512", "DiT-XL-256"]


def test_help_names_all_models():
    (text,) = (o.help for o in command.params if isinstance(o, click.Option) and "--model" in o.opts)
    assert {*MODELS, *ALIASES, "all", "paper"} <= set(str(text).replace(",", "").replace(";", "").split())


def test_overview(capsys):
    status, out, _ = run(capsys, "--model", "paper", "--macs", "65536", "--clock", "1000")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "design      squarest array: 64 x 64 engines, T = 4, 65,536 MX6 MAC per cycle, 1000 MHz"
    assert [line.split()[0] for line in lines[4:9]] == list(PAPER_MODELS)
    assert lines[-1].startswith(
        "GPU: how many times as fast ours is as a GPU at that share of the RTX 3090's 71.2 TFLOPS"
    )


def test_product(capsys):
    args = ("--gemm", "100,200,60", "--outliers", "16", "--count", "3", "--a-format", "mx4", "--w-format", "mx9")
    (result,) = run_json(capsys, *args, "--order", "gathered")["results"]
    (layer,) = result["layers"]
    assert (layer["m"], layer["k"], layer["n"], layer["instances"]) == (100, 200, 60, 3)
    assert [(s["formats"], s["k"]) for s in layer["segments"]] == [("4x9", 184), ("9x9", 16)]
    assert result["steps"] is None
    assert result["ours"]["seconds_per_image"] is None


def test_changes_of_the_mix(capsys):
    args = ("--model", "DiT-512", "--mix", "mx6", "--outliers", "2%", "--heads", "2", "--steps", "7")
    (result,) = run_json(capsys, *args)["results"]
    assert (result["mix"]["outliers"], result["mix"]["heads"], result["steps"]) == ("2%", 2, 7)
    assert result["ours"]["seconds_per_image"] == 7 * result["ours"]["seconds_per_step"]
    network = run_json(capsys, "--model", "DiT-512", "--scope", "network")["results"][0]
    assert f"{network['macs'] / 2e9:.3f}" == "524.538"


def test_memory_and_clock(capsys):
    slow = run_json(capsys, *PRODUCT, "--memory", "bandwidth=1,latency=500,buffer=0", "--clock", "250.5")
    assert slow["memory"] == {"bandwidth": 1.0, "latency": 500, "buffer": 0, "a": 1.0, "w": 1.0, "c": 1.0}
    assert slow["clock_hz"] == 250.5e6
    (result,) = slow["results"]
    assert result["layers"][0]["ours"]["bound"] == "memory"
    assert result["ours"]["seconds_per_step"] == result["ours"]["cycles"] / 250.5e6


def test_slow_memory_is_told(capsys):
    note = "not like with like: the memory slows ours"
    for args in (PRODUCT, ("--model", "paper")):
        assert note not in run(capsys, *args, "--memory", "buffer=0")[1]
        assert note in run(capsys, *args, "--memory", "c=2")[1]


def test_the_slowest_memory(capsys):
    """All that is allowed can be printed."""
    args = ("--model", "SD3-1024", "--memory", "bandwidth=1e-6", "--clock", "0.000001", "--steps", "100000")
    assert run_json(capsys, *args)["results"][0]["ours"]["seconds_per_image"] > 1e20


def test_measured(capsys, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(GPU))
    status, out, err = run(capsys, "--model", "DiT-S-256", "--gpu", str(path))
    assert (status, err) == (0, "")
    assert "times as fast as Some GPU: 250.000 ms measured" in out


def digits_policy(path: Path, **changes) -> PrecisionPolicy:
    """A policy of the example DiT, with a file of it."""
    outliers = {f"blocks.{n}.{part}": (n, 9) for n in range(4) for part in ("attn.qkv", "attn.proj", "mlp.fc1")}
    outliers |= {f"blocks.{n}.mlp.fc2": tuple(range(20)) for n in range(4)}
    settings = {"outliers": outliers, "heads": {"blocks.2.attn": (1,)}, "head_v_format": "mx6"}
    policy = PrecisionPolicy(**settings | changes)
    path.write_text(policy.to_json())
    return policy


def test_policy(capsys, tmp_path, monkeypatch):
    """Text and JSON name the file; layers have their own formats, and cycles are the policy's."""
    monkeypatch.chdir(tmp_path)
    policy = digits_policy(Path("p.json"), about={"model": "digits", "calibration": "<none>"})
    config = config_of(MODELS["digits"])
    status, out, err = run(capsys, "--model", "digits", "--policy", "p.json", "-o", "r.json", "--html", "r.html")
    assert (status, err) == (0, "")
    assert out.splitlines()[2:4] == [
        "policy      p.json (model: digits; calibration: <none>)",
        f"model       digits: {describe_policy(config, policy)}",
    ]
    (result,) = json.loads(Path("r.json").read_text())["results"]
    assert result["policy"] == {
        "file": "p.json",
        **{key: value for key, value in policy.to_dict().items() if key not in ("outliers", "heads")},
    }
    assert (result["name"], result["steps"], result["scope"]) == ("digits", 20, "blocks")
    assert result["ours"]["cycles"] == policy_cycles(config, policy, PRESETS["small"])
    formats = {layer["name"]: [(s["formats"], s["k"]) for s in layer["segments"]] for layer in result["layers"]}
    assert formats == {
        "blocks.0-3.attn.qkv": [("6x6", 144), ("9x6", 2)],
        "blocks.0-1,3.attn.qk.6x6": [("6x6", 72)],
        "blocks.2.attn.qk.6x6": [("6x6", 72)],
        "blocks.2.attn.qk.9x9": [("9x9", 72)],
        "blocks.0-1,3.attn.av.6x6": [("6x6", 64)],
        "blocks.2.attn.av.6x6": [("6x6", 64)],
        "blocks.2.attn.av.9x6": [("9x6", 64)],
        "blocks.0-3.attn.proj": [("6x6", 144), ("9x6", 2)],
        "blocks.0-3.mlp.fc1": [("6x6", 144), ("9x6", 2)],
        "blocks.0-3.mlp.fc2": [("6x6", 576), ("9x6", 20)],
    }
    page = Path("r.html").read_text()
    assert "Policy p.json; model: digits; calibration: &lt;none&gt;." in page


def test_policy_of_a_checkpoint(capsys, tmp_path):
    path = tmp_path / "p.json"
    policy = digits_policy(path)
    args = ("--policy", str(path), "--checkpoint", str(DIGITS), "--scope", "network")
    (result,) = run_json(capsys, *args)["results"]
    assert (result["name"], result["steps"], result["scope"]) == (str(DIGITS), 50, "network")
    cycles = policy_cycles(config_of(MODELS["digits"]), policy, PRESETS["small"], scope="network")
    assert result["ours"]["cycles"] == cycles
    assert run_json(capsys, *args, "--steps", "7")["results"][0]["steps"] == 7


def test_policy_of_several_models(capsys, tmp_path):
    path = tmp_path / "p.json"
    path.write_text((policy := PrecisionPolicy(weight_format="mx4")).to_json())
    args = ("--policy", str(path), "--model", "DiT-S-256", "--model", "digits")
    results = run_json(capsys, *args)["results"]
    assert [r["ours"]["cycles"] for r in results] == [
        policy_cycles(config, policy, PRESETS["small"])
        for config in (DiTConfig.named("DiT-S/2"), config_of(MODELS["digits"]))
    ]
    assert f"policy      {path}" in run(capsys, *args)[1].splitlines()


def test_policy_of_fewer_layers_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits_policy(Path("p.json"))
    status, _, err = run(capsys, "--model", "DiT-S-256", "--policy", "p.json")
    wanted = "warning: p.json names no outliers of blocks.4.attn.qkv and 31 other layers of DiT-S-256\n"
    assert (status, err) == (0, wanted)


POLICY = ("--policy", "p.json")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (POLICY, "--policy needs --model or --checkpoint"),
        ((*POLICY, *PRODUCT), "--policy and --gemm exclude each other"),
        (
            (*POLICY, "--model", "digits", "--checkpoint", "d.safetensors"),
            "--model and --checkpoint exclude each other",
        ),
        (("--checkpoint", "d.safetensors"), "--checkpoint needs --policy"),
        ((*POLICY, "--model", "digits", "--mix", "mx6"), "--policy and --mix exclude each other"),
        ((*POLICY, "--model", "digits", "--outliers", "0"), "--policy and --outliers exclude each other"),
        ((*POLICY, "--model", "digits", "--heads", "0"), "--policy and --heads exclude each other"),
        ((*POLICY, "--model", "digits", "--order", "in-place"), "--policy and --order exclude each other"),
        ((*POLICY, "--model", "digits", "--count", "2"), "--count is for --gemm, not for --model"),
        ((*POLICY, "--model", "SD3-512"), "--policy: model must be a DiT, not SD3-512"),
        ((*POLICY, "--checkpoint", "no.safetensors"), "no.safetensors: cannot be read: No such file or directory"),
        (("--policy", "no.json", "--model", "digits"), "no.json: cannot be read: No such file or directory"),
        (
            (*POLICY, "--model", "digits", "--set", "formats=mx6"),
            "p.json for digits needs mx9, but the design has only mx6",
        ),
        (
            (*POLICY, "--model", "digits", "--gpu", "gpu.json"),
            "gpu.json: models must hold digits, not only DiT-S-256",
        ),
    ],
)
def test_wrong_usage_of_a_policy(capsys, tmp_path, monkeypatch, args: tuple[str, ...], message: str):
    monkeypatch.chdir(tmp_path)
    digits_policy(Path("p.json"))
    Path("gpu.json").write_text(json.dumps(GPU))
    assert run(capsys, *args) == (2, "", f"mixdit perf: {message}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "policy must be JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"rows": 4}', "format must be 'mixdit-policy-1', not None"),
        ('{"format": "mixdit-policy-1", "order": 1}', "order must be a string, not 1"),
        (
            '{"format": "mixdit-policy-1", "outliers": {"blocks.9.mlp.fc1": [1]}}',
            "no policy of digits: outliers must name layers of the model, not 'blocks.9.mlp.fc1'",
        ),
        (
            '{"format": "mixdit-policy-1", "outliers": {"blocks.1.mlp.fc1": [144]}}',
            "no policy of digits: outliers of 'blocks.1.mlp.fc1' must be 0 to 143, not 144",
        ),
        (
            '{"format": "mixdit-policy-1", "heads": {"blocks.1.attn": [2]}}',
            "no policy of digits: heads of 'blocks.1.attn' must be 0 to 1, not 2",
        ),
    ],
)
def test_bad_policies(capsys, tmp_path, monkeypatch, text: str, message: str):
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(text)
    assert run(capsys, *POLICY, "--model", "digits") == (2, "", f"mixdit perf: p.json: {message}\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give --model or --gemm"),
        (("--model", "DiT-256", *PRODUCT), "--model and --gemm exclude each other"),
        (
            ("--model", "DiT"),
            f"Invalid value for '--model': model must be one of {NAMES}, not 'DiT'; all or paper for several",
        ),
        (("--gemm", "1,2"), "Invalid value for '--gemm': must be M,K,N, 3 whole numbers, not '1,2'"),
        (("--gemm", "1,0,2"), "Invalid value for '--gemm': must be of numbers from 1 to 16777216, not 0"),
        (
            (*PRODUCT, "--clock", "0"),
            CLOCK := "Invalid value for '--clock': must be a number of MHz above 0 and below a million, not '0'",
        ),
        ((*PRODUCT, "--clock", "nan"), CLOCK.replace("'0'", "'nan'")),
        (
            (*PRODUCT, "--macs", "100"),
            "Invalid value for '--macs': macs must be a multiple of 16, not 100; the nearest are 96 and 112",
        ),
        ((*PRODUCT, "--macs", "64", "--preset", "base"), "--macs and --preset exclude each other"),
        ((*PRODUCT, "--macs", "64", "--set", "rows=2"), "--macs and --set exclude each other"),
        ((*PRODUCT, "--heads", "2"), "--heads is for --model, not for --gemm"),
        ((*PRODUCT, "--mix", "mx6"), "--mix is for --model, not for --gemm"),
        (("--model", "DiT-256", "--a-format", "mx6"), "--a-format is for --gemm, not for --model"),
        (("--model", "DiT-256", "--heads", "17"), "--heads must be at most the 16 of DiT-XL-256, not 17"),
        ((*PRODUCT, "--outliers", "65"), "--outliers must be at most K=64, not 65"),
        (
            ("--model", "SD3-512", "--model", "DiT-256", "--outliers", "1153"),
            "--outliers must be at most K=1152 of q in DiT-XL-256, not 1153",
        ),
        ((*PRODUCT, "--authors", "16"), "Invalid value for '--authors': must be RxC, 2 whole numbers, not '16'"),
        (
            (*PRODUCT, "--memory", "bandwidth=-1"),
            "Invalid value for '--memory': bandwidth must be 1e-6 to 1e12 bytes per cycle, or inf, not -1.0",
        ),
        (
            ("--model", "DiT-256", "--set", "formats=mx6"),
            "DiT-XL-256 needs mx9, but the design has only mx6",
        ),
        ((*PRODUCT, "--gpu", "no.json"), "no.json: cannot be read: No such file or directory"),
        ((*PRODUCT, "--gpu", "bad.json"), "bad.json: must be JSON: Expecting value: line 1 column 1 (char 0)"),
        ((*PRODUCT, "--gpu", "large.json"), "large.json: must have at most 1048576 bytes"),
        ((*PRODUCT, "--gpu", "bytes.json"), "bytes.json: must be UTF-8, which byte 0 is not"),
        (
            (*PRODUCT, "--gpu", "gpu.json", "--gpu-accumulation", "fp16"),
            "--gpu-accumulation is for the GPU of assumed utilisation, not for --gpu",
        ),
        (
            (*PRODUCT, "--schedule", "ours", "--authors", "3x3"),
            "--authors is for the schedule authors, not for --schedule ours",
        ),
        (
            (*PRODUCT, "--schedule", "authors", "--roles", "best"),
            "--roles is for the schedule ours, not for --schedule authors",
        ),
        (
            (*PRODUCT, "--schedule", "authors", "--memory", "a=2"),
            "--memory is for the schedule ours, not for --schedule authors",
        ),
        (
            (*PRODUCT, "-o", "r.html", "--html", "./r.html"),
            "--output and --html must be different files, not both r.html",
        ),
        (
            ("--model", "DiT-256", "--gpu", "gpu.json"),
            "gpu.json: models must hold DiT-XL-256, not only DiT-S-256",
        ),
        (
            (*PRODUCT, "--gpu", "gpu.json"),
            "gpu.json: models must hold the product of --gemm, which cannot be measured, not only DiT-S-256",
        ),
    ],
)
def test_wrong_usage(capsys, tmp_path, monkeypatch, args: tuple[str, ...], message: str):
    monkeypatch.chdir(tmp_path)
    Path("gpu.json").write_text(json.dumps(GPU))
    Path("bad.json").write_text("")
    Path("large.json").write_text(" " * ((1 << 20) + 1))
    Path("bytes.json").write_bytes(b"\xff")
    assert run(capsys, *args) == (2, "", f"mixdit perf: {message}\n")


@pytest.mark.parametrize("option", ["-o", "--html"])
def test_unwritable(capsys, tmp_path, monkeypatch, option: str):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, *PRODUCT, option, ".") == (3, "", "mixdit perf: .: cannot be written: not a regular file\n")
    missing = "mixdit perf: no/r: cannot be written: No such file or directory\n"
    assert run(capsys, *PRODUCT, option, "no/r") == (3, "", missing)
