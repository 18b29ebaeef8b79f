"""Conversion and products in PyTorch are those of `golden`, bit for bit."""

import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import golden
from golden.codec import NONFINITE, ROUNDINGS, SUBNORMALS
from golden.outlier import ORDERS
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw.torch import convert, matmul, precision, product, quantize
from tests.support.matrices import KINDS, random_matrix
from tests.support.mx_data import assert_same_bits, block_words, floats

FORMATS = tuple(golden.FORMATS)
CPU = torch.device("cpu")


def assert_same_tensor(found: golden.MXTensor, wanted: golden.MXTensor) -> None:
    assert (found.shape, found.axis, found.segments) == (wanted.shape, wanted.axis, wanted.segments)
    for name in ("exponents", "micro", "elements"):
        x, y = getattr(found, name), getattr(wanted, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("options", list(itertools.product(ROUNDINGS, SUBNORMALS, NONFINITE)), ids="-".join)
@pytest.mark.parametrize("fmt", FORMATS)
def test_quantize(fmt: str, options: tuple[str, str, str]) -> None:
    rng = np.random.default_rng([1, len(fmt), *map(len, options)])
    for low, high in ((0, 255), (0, 30), (100, 140), (230, 255)):
        for shape in ((60, 37), (37, 60), (1, 1), (40, 16)):
            x = block_words(rng, *shape, low, high).view(np.float32)
            for axis in (0, -1):
                found = quantize(torch.from_numpy(x), fmt, axis, *options)
                assert_same_tensor(found, golden.quantize(x, fmt, axis, *options))


def test_quantize_more_axes_and_strides() -> None:
    x = torch.randn(3, 20, 5, 2, generator=torch.Generator().manual_seed(1))
    for axis, tensor in itertools.product(range(4), (x, x.transpose(0, 2), x[..., ::2])):
        array = np.ascontiguousarray(tensor.numpy())
        assert_same_tensor(quantize(tensor, "mx6", axis), golden.quantize(array, "mx6", axis))


@pytest.mark.parametrize("fmt", FORMATS)
def test_values(fmt: str) -> None:
    """The words that products take are what `golden` decodes, subnormal values too."""
    rng = np.random.default_rng(2)
    x = block_words(rng, 400, 32, 0, 255).view(np.float32)
    t = golden.quantize(x, fmt, 1, "nearest-even", "exact")
    converted = convert.convert(torch.from_numpy(x), golden.get_format(fmt), convert.Options(subnormals="exact"))
    wanted = np.where((t.exponents == 255).repeat(16, axis=1), np.float32(0), t.dequantize())
    assert_same_bits(converted.words.numpy().view(np.float32), wanted)
    assert not (converted.words & 0xFFFF).any()
    np.testing.assert_array_equal(converted.nan.numpy(), (t.exponents == 255).any(1))
    doubles = product._doubles(converted.words).numpy()
    np.testing.assert_array_equal(doubles, wanted.astype(np.float64))


def check(policy: PrecisionPolicy, name: str, a: np.ndarray, w: np.ndarray) -> None:
    assert_same_bits(matmul(policy, name, torch.from_numpy(a), torch.from_numpy(w)).numpy(), MXGemm(policy)(name, a, w))


@pytest.mark.parametrize("formats", list(itertools.product(FORMATS, FORMATS)), ids="-".join)
@pytest.mark.parametrize("kind", KINDS)
def test_formats_and_data(kind: str, formats: tuple[str, str]) -> None:
    """All pairs of formats on data of all kinds, K with a tail and without."""
    rng = np.random.default_rng([3, KINDS.index(kind), *map(FORMATS.index, formats)])
    policy = PrecisionPolicy(inlier_format=formats[0], weight_format=formats[1], subnormals="exact")
    for k in (1, 16, 41, 112):
        for other in (kind, "wide"):
            m, n = rng.integers(1, 30, 2)
            check(policy, "x", random_matrix(rng, (m, k), kind), random_matrix(rng, (k, n), other))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(40))
def test_outliers(order: str, seed: int) -> None:
    """Random policies with outlier channels: some, all, none."""
    rng = np.random.default_rng([4, seed])
    m, k, n = (int(i) for i in rng.integers(1, 70, 3))
    count = int(rng.choice([0, k, int(rng.integers(0, k + 1))]))
    policy = PrecisionPolicy(
        inlier_format=str(rng.choice(FORMATS)),
        weight_format=str(rng.choice(FORMATS)),
        outlier_weight_format=str(rng.choice(FORMATS)),
        outliers={"x": tuple(rng.choice(k, count, replace=False).tolist())},
        order=order,
        rounding=str(rng.choice(ROUNDINGS)),
        subnormals=str(rng.choice(SUBNORMALS)),
        nonfinite=str(rng.choice(NONFINITE)),
    )
    check(policy, "x", random_matrix(rng, (m, k), str(rng.choice(KINDS))), random_matrix(rng, (k, n), "wide"))


def test_edges_of_the_window() -> None:
    """Every sum of two shared exponents, so that both ways of computing meet and mix."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        low, high = sorted(rng.integers(0, 255, 2))
        a = block_words(rng, 9, 128, low, high).view(np.float32)
        near = int(rng.choice([128 + 8, 128 + 14, 376]))
        w = block_words(rng, 7, 128, *np.clip([near - high - 3, near - low + 3], 0, 254)).view(np.float32)
        policy = PrecisionPolicy(inlier_format=str(rng.choice(FORMATS)), weight_format=str(rng.choice(FORMATS)))
        check(policy, "x", a, np.ascontiguousarray(w.T))


def test_cancellation() -> None:
    """Blocks that cancel each other leave what the others' rounding left, in this order and no other."""
    rng = np.random.default_rng(6)
    policy = PrecisionPolicy(inlier_format="mx9", weight_format="mx9")
    first = random_matrix(rng, (20, 64), "gaussian") * np.float32(2.0**30)
    a = np.concatenate([first, random_matrix(rng, (20, 32), "gaussian"), -first], axis=1)
    w = random_matrix(rng, (64, 12), "gaussian")
    check(policy, "x", a, np.concatenate([w, random_matrix(rng, (32, 12), "gaussian"), w]))


def test_overflow_and_nan() -> None:
    """Inf, Inf - Inf, and a NaN block against zeros; the NaN is the canonical one."""
    a = np.zeros((4, 48), np.float32)
    a[0, 0], a[1, 0], a[1, 16], a[2, 47] = 3e38, 3e38, -3e38, np.nan
    w = np.zeros((48, 2), np.float32)
    w[0], w[16] = 3e38, 3e38
    policy = PrecisionPolicy()
    check(policy, "x", a, w)
    found = matmul(policy, "x", torch.from_numpy(a), torch.from_numpy(w)).numpy()
    assert_same_bits(found[:, 0], floats([0x7F800000, 0x7FC00000, 0x7FC00000, 0]))


def test_stacks_of_head_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each matrix of a stack is a product of its own, also where it is cut into panels."""
    rng = np.random.default_rng(7)
    policy = PrecisionPolicy(heads={"blocks.0.attn": (1,)})
    for most in (1 << 19, 150, 1):
        monkeypatch.setitem(product._PANEL, "cpu", most)
        for name in ("blocks.0.attn.qk.0", "blocks.0.attn.av.1"):
            a = np.stack([random_matrix(rng, (9, 40), kind) for kind in KINDS])
            w = np.stack([random_matrix(rng, (40, 11), kind) for kind in reversed(KINDS)])
            found = matmul(policy, name, torch.from_numpy(a), torch.from_numpy(w))
            for i in range(len(a)):
                assert_same_bits(found[i].numpy(), MXGemm(policy)(name, a[i], w[i]))


def test_exempt_is_plain() -> None:
    a, w = torch.randn(3, 20), torch.randn(20, 4)
    assert torch.equal(matmul(PrecisionPolicy(exempt=("x*",)), "x", a, w), a @ w)


def state() -> tuple[object, ...]:
    """All settings of the precision of float32 products, and what CUDA makes of them."""
    found: list[object] = [torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision]
    for read in (torch.get_float32_matmul_precision, torch._C._get_cublas_allow_tf32):
        try:
            found.append(read())
        except RuntimeError:
            found.append("refused")  # the settings disagree
    return tuple(found)


@pytest.fixture
def settings() -> Iterator[None]:
    """They are reset afterwards."""
    yield
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    for backend in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
        backend.fp32_precision = "none"


@pytest.mark.parametrize("value", ["high", "medium"])
def test_settings_are_not_heeded(settings: None, value: str) -> None:
    """Reduced precision, autocast and flushing of subnormals change nothing."""
    rng = np.random.default_rng(8)
    a, w = random_matrix(rng, (64, 200), "gaussian"), random_matrix(rng, (200, 64), "gaussian")
    tiny = random_matrix(rng, (40, 80), "extreme"), random_matrix(rng, (80, 40), "extreme")
    policy = PrecisionPolicy(subnormals="exact", inlier_format="mx9", weight_format="mx9")
    torch.set_float32_matmul_precision(value)
    torch.set_flush_denormal(True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [matmul(policy, "x", *map(torch.from_numpy, pair)).numpy() for pair in ((a, w), tiny)]
    torch.set_flush_denormal(False)
    for result, pair in zip(found, ((a, w), tiny), strict=True):
        assert_same_bits(result, MXGemm(policy)("x", *pair))


@pytest.mark.parametrize("value", ["highest", "high", "medium"])
@pytest.mark.parametrize("of_cuda", ["none", "ieee", "tf32"])
def test_settings_are_kept(settings: None, value: str, of_cuda: str) -> None:
    torch.set_float32_matmul_precision(value)
    torch.backends.cuda.matmul.fp32_precision = of_cuda
    before = state()
    with precision.exact_products(CPU):
        assert state() == ("ieee", "ieee", "highest", False)
        with precision.exact_products(CPU):
            pass
        assert state() == ("ieee", "ieee", "highest", False)
    assert state() == before


def test_settings_with_threads(settings: None) -> None:
    """The last thread that leaves restores them."""
    torch.set_float32_matmul_precision("high")
    inside, go = threading.Event(), threading.Event()

    def work() -> None:
        with precision.exact_products(CPU):
            inside.set()
            go.wait(60)

    thread = threading.Thread(target=work)
    try:
        with precision.exact_products(CPU):
            thread.start()
            assert inside.wait(60)
        assert state()[2:] == ("highest", False)
    finally:
        go.set()
        thread.join(60)
    assert state()[2:] == ("high", True)


def test_device_with_inexact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where float32 products turn out inexact, all are computed in float64, and it is said once."""
    assert precision.is_exact(CPU)
    exact = torch.bmm

    def inexact(a: torch.Tensor, w: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        result = exact(a, w)
        result = result * (1 + 2.0**-20) if result.dtype == torch.float32 else result
        return result if out is None else out.copy_(result)

    monkeypatch.setattr(torch, "bmm", inexact)
    for cached in (precision.is_exact, product._trusts):
        cached.cache_clear()
    try:
        rng = np.random.default_rng(9)
        a, w = random_matrix(rng, (20, 50), "gaussian"), random_matrix(rng, (50, 20), "gaussian")
        with pytest.warns(UserWarning, match=r"^float32 products are inexact on cpu: all are computed in float64$"):
            check(PrecisionPolicy(), "x", a, w)
        check(PrecisionPolicy(), "x", a, w)
    finally:
        for cached in (precision.is_exact, product._trusts):
            cached.cache_clear()


def test_errors() -> None:
    x = torch.zeros(2, 3)
    for wrong in (np.zeros((2, 3), np.float32), x.half()):
        with pytest.raises(TypeError, match=r"^x must be a float32 tensor, not "):
            quantize(wrong, "mx6")
    with pytest.raises(ValueError, match=r"^x must have an axis and at least one element, not shape \(2, 0\)$"):
        quantize(x[:, :0], "mx6")
    with pytest.raises(ValueError, match=r"^axis must be -2 to 1, not 2$"):
        quantize(x, "mx6", 2)
    with pytest.raises(ValueError, match=r"^format must be one of mx9, mx6, mx4, not 'mx5'$"):
        quantize(x, "mx5")
    with pytest.raises(ValueError, match=r"^rounding must be one of "):
        quantize(x, "mx6", rounding="up")
    policy = PrecisionPolicy(outliers={"x": (3,)})
    with pytest.raises(TypeError, match=r"^w must be float32, not torch\.float64$"):
        matmul(policy, "x", x, x.T.double())
    with pytest.raises(
        ValueError, match=r"^a and w must be \(M, K\) and \(K, N\) or stacks, not \(2, 3\) and \(2, 3\)$"
    ):
        matmul(policy, "x", x, x)
    with pytest.raises(ValueError, match=r"^channels must be 0 to 2, not 3$"):
        matmul(policy, "x", x, x.T)
