"""Policies from files: read as written, and malformed ones told in one line."""

from pathlib import Path

import pytest

from golden.policy import PrecisionPolicy
from mixdit_hw.errors import InputError
from mixdit_hw.policy_file import read_policy


def test_round_trip(tmp_path: Path) -> None:
    policy = PrecisionPolicy(
        outliers={"blocks.0.mlp.fc1": (3, 17)}, heads={"blocks.0.attn": (1,)}, about={"model": "m"}
    )
    path = tmp_path / "p.json"
    path.write_text(policy.to_json())
    assert read_policy(path) == policy


def test_every_channel_of_the_largest_dit_fits(tmp_path: Path) -> None:
    outliers = {f"blocks.{n}.mlp.fc{i}": tuple(range(9216)) for n in range(40) for i in (1, 2)}
    path = tmp_path / "p.json"
    path.write_text(PrecisionPolicy(outliers=outliers).to_json())
    assert len(read_policy(path).outliers) == 80


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "policy must be JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff", "must be UTF-8, which byte 0 is not"),
        (b" " * ((1 << 23) + 1), "must have at most 8388608 bytes"),
        (b"[" * 1_000_000, "policy must not nest so deeply"),
        (b'{"format": "mixdit-perf-1"}', "format must be 'mixdit-policy-1', not 'mixdit-perf-1'"),
        (b'{"format": "mixdit-policy-1", "outliers": {"p": [0.5]}}', "outliers of 'p' must be an integer, not 0.5"),
        (
            b'{"format": "mixdit-policy-1", "order": "' + b"x" * 5000 + b'"}',
            ("order must be one of in-place, gathered, not '" + 400 * "x")[:397] + "...",
        ),
    ],
)
def test_malformed_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_policy(path)
    assert str(caught.value) == f"{path}: {message}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": cannot be read: Is a directory$"):
        read_policy(tmp_path)
