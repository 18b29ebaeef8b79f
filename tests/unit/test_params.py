"""Parameters: every rule by its exact text, what follows from them, and both ways to and from text."""

import dataclasses
import json
import tomllib

import pytest

from golden.formats import MX4, MX6, MX9
from mixdit_hw.dot.timing import TIMINGS
from mixdit_hw.params import LOOP_LATENCIES, ROUNDINGS, Params
from tests.support.errors import raises_exactly

INTEGERS = (
    *("rows", "columns", "share_rows", "share_columns", "loop_latency", "interleave"),
    *("a_depth", "w_depth", "c_depth", "drain", "cmd_depth", "outlier_depth"),
    *("axi_width", "address_bits", "k_depth", "a_slots", "read_depth", "queue_depth"),
)
ODD = Params(
    rows=6,
    columns=3,
    share_rows=4,
    share_columns=1,
    interleave=5,
    formats=("mx6", "mx4"),
    a_depth=32,
    w_depth=8,
    c_depth=16,
    drain=3,
    cmd_depth=9,
    rounding="runtime",
    subnormals="exact",
    nonfinite="saturate",
)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [4.0, "4", None, True])
def test_integers(name, value):
    with pytest.raises(TypeError) as error:
        Params(**{name: value})
    assert str(error.value) == f"{name} must be an integer, not {value!r}"


@pytest.mark.parametrize("name", ["rounding", "subnormals", "nonfinite"])
@pytest.mark.parametrize("value", [1, None, ["flush"]])
def test_strings(name, value):
    with pytest.raises(TypeError) as error:
        Params(**{name: value})
    assert str(error.value) == f"{name} must be a string, not {value!r}"


@pytest.mark.parametrize("value", ["mx9", ("mx9", 6), [MX9], 9, None, {"mx9": 1}])
def test_list_of_formats(value):
    with pytest.raises(TypeError) as error:
        Params(formats=value)
    assert str(error.value) == f"formats must be a list of format names, not {value!r}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"formats": ("mx9", "mx7")}, "format must be one of mx9, mx6, mx4, not 'mx7'"),
        ({"formats": ()}, "formats must name at least one format, each once, not []"),
        ({"formats": ("mx6", "mx6")}, "formats must name at least one format, each once, not ['mx6', 'mx6']"),
        ({"rows": 0}, "rows must be 1 to 128, not 0"),
        ({"rows": 129}, "rows must be 1 to 128, not 129"),
        ({"columns": -1}, "columns must be 1 to 128, not -1"),
        ({"columns": 129}, "columns must be 1 to 128, not 129"),
        ({"share_rows": 3}, "share_rows must be one of 1, 2, 4, not 3"),
        ({"share_columns": 8}, "share_columns must be one of 1, 2, 4, not 8"),
        ({"multipliers": "dsp"}, "multipliers must be one of logic, pairs, quads, not 'dsp'"),
        (
            {"multipliers": "pairs", "columns": 3},
            "multipliers=pairs needs clusters of an even number of columns, not 1 (columns=3, share_columns=2)",
        ),
        (
            {"multipliers": "quads", "share_rows": 1},
            "multipliers=quads needs clusters of an even number of rows, not 1 (rows=4, share_rows=1)",
        ),
        ({"loop_latency": 5}, f"loop_latency must be one of {', '.join(map(str, LOOP_LATENCIES))}, not 5"),
        ({"interleave": 3}, "interleave must be 4 to 16, not 3"),
        ({"interleave": 17}, "interleave must be 4 to 16, not 17"),
        ({"cmd_depth": 0}, "cmd_depth must be 1 to 64, not 0"),
        ({"cmd_depth": 65}, "cmd_depth must be 1 to 64, not 65"),
        ({"a_depth": 8}, "a_depth must be 16 to 4096, not 8"),
        ({"a_depth": 16, "interleave": 5}, "a_depth must be 20 to 4096, not 16"),
        ({"a_depth": 8192}, "a_depth must be 16 to 4096, not 8192"),
        ({"a_depth": 48}, "a_depth must be a power of two, not 48"),
        ({"w_depth": 2}, "w_depth must be 4 to 4096, not 2"),
        ({"w_depth": 8192}, "w_depth must be 4 to 4096, not 8192"),
        ({"w_depth": 12}, "w_depth must be a power of two, not 12"),
        ({"c_depth": 2}, "c_depth must be 4 to 16384, not 2"),
        ({"c_depth": 32768}, "c_depth must be 4 to 16384, not 32768"),
        ({"c_depth": 24}, "c_depth must be a power of two, not 24"),
        ({"c_depth": 8}, "c_depth must hold a tile's rows*interleave/drain=16 results, not 8"),
        ({"axi_width": 96}, "axi_width must be one of 64, 128, 256, 512, not 96"),
        ({"address_bits": 31}, "address_bits must be 32 to 64, not 31"),
        ({"address_bits": 65}, "address_bits must be 32 to 64, not 65"),
        ({"k_depth": 2}, "k_depth must be 4 to 4096, not 2"),
        ({"k_depth": 8192}, "k_depth must be 4 to 4096, not 8192"),
        ({"k_depth": 48}, "k_depth must be a power of two, not 48"),
        ({"a_slots": 1}, "a_slots must be 2 to 4, not 1"),
        ({"a_slots": 5}, "a_slots must be 2 to 4, not 5"),
        ({"read_depth": 8}, "read_depth must be 16 to 512, not 8"),
        ({"read_depth": 1024}, "read_depth must be 16 to 512, not 1024"),
        ({"read_depth": 100}, "read_depth must be a power of two, not 100"),
        ({"queue_depth": 2}, "queue_depth must be 4 to 64, not 2"),
        ({"queue_depth": 128}, "queue_depth must be 4 to 64, not 128"),
        ({"queue_depth": 6}, "queue_depth must be a power of two, not 6"),
        ({"drain": 0}, "drain must divide rows=4, not 0"),
        ({"drain": -2}, "drain must divide rows=4, not -2"),
        ({"drain": 3}, "drain must divide rows=4, not 3"),
        ({"drain": 8}, "drain must divide rows=4, not 8"),
        ({"rounding": "up"}, "rounding must be one of nearest-even, truncate, half-away, runtime, not 'up'"),
        ({"subnormals": "ieee"}, "subnormals must be one of flush, exact, not 'ieee'"),
        ({"nonfinite": ""}, "nonfinite must be one of nan, saturate, not ''"),
    ],
)
def test_values(changes, text):
    with raises_exactly(ValueError, text):
        Params(**changes)
    with raises_exactly(ValueError, text):
        Params().replace(**changes)


@pytest.mark.parametrize(("columns", "lanes"), [(1, 1), (2, 2), (3, 1), (8, 8), (12, 4), (16, 16), (48, 16), (128, 16)])
def test_store_lanes(columns, lanes):
    assert Params(columns=columns, share_columns=1).store_lanes == lanes


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1, "columns": 128, "c_depth": 4},
        {"rows": 128, "columns": 1, "interleave": 16, "c_depth": 2048},
        {"rows": 128, "drain": 128, "c_depth": 4},
        {"a_depth": 16, "w_depth": 4, "c_depth": 16, "cmd_depth": 1},
        {"interleave": 16, "a_depth": 64},
        {"a_depth": 4096, "w_depth": 4096, "c_depth": 16384, "cmd_depth": 64},
        {"axi_width": 64, "address_bits": 32, "k_depth": 4, "a_slots": 2, "read_depth": 16, "queue_depth": 4},
        {"axi_width": 512, "address_bits": 64, "k_depth": 4096, "a_slots": 4, "read_depth": 512, "queue_depth": 64},
        *({"rounding": rounding} for rounding in (*ROUNDINGS, "runtime")),
    ],
)
def test_legal_ends(changes):
    params = Params(**changes)
    assert {name: getattr(params, name) for name in changes} == changes
    assert Params().replace(**changes) == params


def test_derived():
    assert (ODD.tile_rows, ODD.tile_beats, ODD.macs_per_cycle) == (30, 10, 288)
    assert (ODD.format_set, ODD.magnitude_bits, ODD.digits) == ((MX6, MX4), 4, 1)
    assert (Params().format_set, Params().magnitude_bits, Params().digits) == ((MX9, MX6, MX4), 7, 2)
    assert (Params(formats=("mx4",)).magnitude_bits, Params(formats=("mx4",)).digits) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "cluster", "skews", "chains", "lane"),
    [
        # rows of clusters are T-1 = 3 cycles apart, chains lcm(V, drain), lanes (depth, entries of a tile, engines)
        ({}, (2, 2), (3, 1), 2, (32, 8, 2)),
        ({"share_rows": 1, "share_columns": 1}, (1, 1), (9, 3), 1, (64, 16, 4)),
        ({"share_rows": 4, "share_columns": 4}, (4, 4), (0, 0), 4, (16, 4, 1)),
        ({"drain": 2}, (2, 2), (3, 1), 2, (64, 8, 2)),
        ({"drain": 4}, (2, 2), (3, 1), 4, (64, 4, 1)),
        ({"share_rows": 4, "drain": 2}, (4, 2), (0, 1), 4, (32, 4, 1)),
        ({"rows": 6, "columns": 6, "share_rows": 4, "drain": 3}, (2, 2), (6, 2), 6, (32, 4, 1)),
        ({"rows": 12, "columns": 7, "share_rows": 4, "drain": 3}, (4, 1), (6, 6), 12, (16, 4, 1)),
        ({"rows": 3, "columns": 1, "interleave": 9}, (1, 1), (16, 0), 1, (64, 27, 3)),
        ({"rows": 16, "columns": 16, "drain": 4, "c_depth": 128}, (2, 2), (21, 7), 4, (128, 16, 4)),
    ],
)
def test_clusters_and_chains(changes, cluster, skews, chains, lane):
    p = Params().replace(**changes)
    assert (p.cluster_rows, p.cluster_columns) == cluster
    assert (p.row_skew, p.column_skew) == skews
    assert p.chains == chains
    assert (p.lane_depth, p.lane_tile, p.chain_rows) == lane


def test_lanes_hold_what_c_depth_says():
    """However chains and drain divide the rows: so many beats in all, a power of two of entries, and a tile."""
    for rows in (1, 2, 3, 4, 6, 8, 12, 20, 128):
        for share in (1, 2, 4):
            for drain in (d for d in range(1, rows + 1) if rows % d == 0):
                least = 1 << (rows * 4 // drain - 1).bit_length()
                p = Params(rows=rows, share_rows=share, drain=drain, c_depth=least)
                assert p.lane_depth * p.chains == p.c_depth * p.drain
                assert p.lane_depth & (p.lane_depth - 1) == 0
                assert p.lane_depth >= p.lane_tile
                assert p.lane_tile * p.chains == p.tile_rows


@pytest.mark.parametrize(
    ("changes", "a_depth", "w_depth"),
    [
        # least entries: (R/V - 1)*(T - 1) + 2*T + 2 of A, ceil((C/H + 2)/T) + 1 of W; then powers of two
        ({}, 16, 4),
        ({"rows": 6}, 16, 4),  # 16 entries of A
        ({"rows": 8}, 32, 4),  # 19
        ({"rows": 16, "columns": 16}, 32, 4),  # 31, 4
        ({"rows": 18, "columns": 20}, 64, 4),  # 34, 4
        ({"columns": 22}, 16, 8),  # 5 of W
        ({"interleave": 5, "rows": 12, "a_depth": 32}, 32, 4),  # 32 of A
        ({"interleave": 16, "rows": 2}, 64, 4),  # never below the limits of the parameters
        ({"rows": 64, "columns": 64, "share_rows": 1, "share_columns": 1, "c_depth": 256}, 256, 32),
    ],
)
def test_full_rate_depths(changes, a_depth, w_depth):
    """`tests.unit.test_top` shows that they are just enough."""
    params = Params(**{"a_depth": 64, "c_depth": 128} | changes)
    assert (params.full_rate_a_depth, params.full_rate_w_depth) == (a_depth, w_depth)
    assert params.replace(a_depth=a_depth, w_depth=w_depth).full_rate_a_depth == a_depth


def test_order_of_formats():
    """Formats are a set: their order does not make another design."""
    assert Params(formats=["mx4", "mx9"]) == Params(formats=("mx9", "mx4"))  # type: ignore[arg-type]
    assert Params(formats=("mx4", "mx9")).formats == ("mx9", "mx4")


def test_frozen_and_by_keyword():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ODD.rows = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Params(4)  # type: ignore[misc]
    assert hash(ODD) == hash(ODD.replace())


@pytest.mark.parametrize("params", [Params(), ODD], ids=["default", "odd"])
def test_round_trips(params):
    assert Params.from_dict(params.to_dict()) == params
    assert Params.from_json(params.to_json()) == params
    assert Params.from_toml(params.to_toml()) == params
    assert json.loads(params.to_json()) == params.to_dict()
    assert list(params.to_dict()) == [f.name for f in dataclasses.fields(Params)]


def test_text():
    assert ODD.to_toml().splitlines()[:4] == ["rows = 6", "columns = 3", "share_rows = 4", "share_columns = 1"]
    assert ODD.to_json().startswith('{\n  "rows": 6,\n')
    assert Params.from_toml("rows = 2 # the others by default") == Params(rows=2)
    assert Params.from_json("{}") == Params()


def test_bad_text():
    known = ", ".join(sorted(f.name for f in dataclasses.fields(Params)))
    for text, read in (("row = 2", Params.from_toml), ('{"row": 2}', Params.from_json)):
        with pytest.raises(ValueError, match=r"^unknown parameter 'row'; known are ") as error:
            read(text)
        assert str(error.value) == f"unknown parameter 'row'; known are {known}"
    with pytest.raises(ValueError, match=r"^parameters must be a JSON object, not \[1\]$"):
        Params.from_json("[1]")
    with pytest.raises(json.JSONDecodeError):
        Params.from_json("{")
    with pytest.raises(tomllib.TOMLDecodeError):
        Params.from_toml("rows = ")
    with pytest.raises(TypeError, match=r"^rows must be an integer, not '2'$"):
        Params.from_toml('rows = "2"')


def test_loop_latencies_are_those_of_the_engine():
    assert set(LOOP_LATENCIES) == set(TIMINGS)
    assert all(timing.adder == loop for loop, timing in TIMINGS.items())
