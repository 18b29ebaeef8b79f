"""Sample images from a large DiT under several precisions, so that their FID can be computed (docs/pytorch.md).

    python examples/dit_fid.py --diffusers facebook/DiT-XL-2-256 --images 5000 -o build/fid
    python examples/dit_fid.py --official DiT/ --checkpoint DiT-XL-2-256x256.pt --model DiT-XL/2 --vae VAE -o build/fid
    python examples/dit_fid.py --random -o build/fid --images 4 --steps 3

Each policy gets a folder of PNG files, ``000000.png`` and so on; image i has the same noise and the same label in each,
i modulo the number of classes. A policy is ``float`` (the model as it is), ``mx9``, ``mx6``, ``mx4``, ``mixed`` (MX6,
outlier channels and heads in MX9, chosen by a calibration run in float), or a JSON file of
`golden.policy.PrecisionPolicy`; each folder's policy is written into its ``policy.json``. What was started goes on when
the same command is given again.

The sampler is DDIM or DPM-Solver++ of diffusers; a learned variance is not used. The model's repository and PyTorch's
``load`` of a checkpoint, with ``weights_only``, are trusted as much as you trust them.

    python -m pip install -e .[torch] diffusers
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from golden.policy import PrecisionPolicy
from mixdit_hw.errors import InputError, MixditError
from mixdit_hw.files import atomic_write, read_text, write_text
from mixdit_hw.progress import bar
from mixdit_hw.torch import calibrate_model, quantize_model

DTYPES = ("float32", "float16", "bfloat16")
SCHEDULERS = ("ddim", "dpm")
FLOAT = "float"
MIXED = "mixed"
RANDOM_CLASSES = 10
POLICY_LIMIT = 1 << 24  # bytes of a policy's file


class Sampler:
    """A DiT, its scheduler and what makes pixels of its results.

    Parameters
    ----------
    model
        Of either layout.
    predict
        Its output for images, timesteps and labels.
    scheduler
        Of diffusers.
    channels, size
        Of its images (B, C, S, S).
    classes
        Number of classes; that number is the null class.
    vae
        Autoencoder of diffusers, or None where the model's images are pixels.
    """

    def __init__(
        self,
        model: nn.Module,
        predict: Callable[[Tensor, Tensor, Tensor], Tensor],
        scheduler: Any,
        *,
        channels: int,
        size: int,
        classes: int,
        vae: Any = None,
    ) -> None:
        self.model = model
        self.classes = classes
        self._predict, self._scheduler, self._vae = predict, scheduler, vae
        self._shape = (channels, size, size)

    def noise(self, seed: int, number: int) -> Tensor:
        """The noise (C, S, S) that image of that number starts from."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        return torch.randn(self._shape, generator=generator)

    @torch.no_grad()
    def sample(self, noise: Tensor, labels: Tensor, *, steps: int, guidance: float, guided: int) -> Tensor:
        """Images or latents (B, C, S, S), with the first channels guided, 0 for all."""
        parameter = next(self.model.parameters())
        channels = self._shape[0]
        guided = guided or channels
        labels = labels.to(parameter.device)
        both = torch.cat([labels, torch.full_like(labels, self.classes)])
        self._scheduler.set_timesteps(steps)
        x = noise.to(parameter.device) * self._scheduler.init_noise_sigma
        for t in self._scheduler.timesteps:
            scaled = self._scheduler.scale_model_input(x, t).to(parameter.dtype)
            times = t.to(parameter.device).expand(len(both))
            output = self._predict(torch.cat([scaled, scaled]), times, both)[:, :channels].float()
            noise, null = output.chunk(2)
            null = null[:, :guided]
            noise = torch.cat([null + guidance * (noise[:, :guided] - null), noise[:, guided:]], 1)
            x = self._scheduler.step(noise, t, x).prev_sample
        return x

    @torch.no_grad()
    def pixels(self, x: Tensor) -> Tensor:
        """Results as uint8 (B, H, W, 3) or (B, H, W); without an autoencoder, of the first three channels or one."""
        if self._vae is not None:
            parameter = next(self._vae.parameters())
            latents = (x / self._vae.config.scaling_factor).to(parameter.device, parameter.dtype)
            x = self._vae.decode(latents).sample.float()
        x = x[:, : 3 if x.shape[1] >= 3 else 1]
        x = (x.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
        return x[..., 0] if x.shape[3] == 1 else x


def make_scheduler(kind: str) -> Any:
    """The schedule that DiT was trained with."""
    diffusers = importlib.import_module("diffusers")
    options = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    if kind == "ddim":
        return diffusers.DDIMScheduler(**options, clip_sample=False)
    return diffusers.DPMSolverMultistepScheduler(**options)


def of_diffusers(transformer: Any, vae: Any, args: argparse.Namespace) -> Sampler:
    """A DiTTransformer2DModel."""

    def predict(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return transformer(x, timestep=t, class_labels=y).sample

    config = transformer.config
    transformer = transformer.to(args.device)
    if args.dtype != "float32":
        transformer = transformer.to(getattr(torch, args.dtype))
    return Sampler(
        transformer.eval(),
        predict,
        make_scheduler(args.scheduler),
        channels=config.in_channels,
        size=config.sample_size,
        classes=config.num_embeds_ada_norm,
        vae=None if vae is None else vae.to(args.device),
    )


def load_random(args: argparse.Namespace) -> Sampler:
    """A small DiT with random weights, on pixels: to try this script."""
    diffusers = importlib.import_module("diffusers")
    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=3,
        out_channels=6,
        num_layers=2,
        sample_size=16,
        num_embeds_ada_norm=RANDOM_CLASSES,
    )
    return of_diffusers(model, None, args)


def load_diffusers(args: argparse.Namespace) -> Sampler:
    """A pipeline, or a transformer without one, from a folder or a name."""
    diffusers = importlib.import_module("diffusers")
    folder = Path(args.diffusers)
    if (folder / "config.json").exists():
        transformer, vae = diffusers.DiTTransformer2DModel.from_pretrained(folder), load_vae(args)
    else:
        pipeline = diffusers.DiTPipeline.from_pretrained(args.diffusers)
        transformer, vae = pipeline.transformer, load_vae(args) or pipeline.vae
    return of_diffusers(transformer, vae, args)


def load_vae(args: argparse.Namespace) -> Any:
    """The autoencoder of ``--vae``, or None."""
    if args.vae is None:
        return None
    return importlib.import_module("diffusers").AutoencoderKL.from_pretrained(args.vae)


def load_official(args: argparse.Namespace) -> Sampler:
    """A model of the reference implementation, from its ``models.py`` and a checkpoint."""
    sys.path.insert(0, str(args.official))
    make = importlib.import_module("models").DiT_models[args.model]
    model = make(input_size=args.input_size, num_classes=args.classes)
    if args.checkpoint.suffix == ".safetensors":
        state = importlib.import_module("safetensors.torch").load_file(args.checkpoint)
    else:
        state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state.get("ema", state))
    vae = load_vae(args)
    return Sampler(
        model.to(args.device, getattr(torch, args.dtype)).eval(),
        model.__call__,
        make_scheduler(args.scheduler),
        channels=model.in_channels,
        size=args.input_size,
        classes=args.classes,
        vae=None if vae is None else vae.to(args.device),
    )


def number_or_percentage(text: str) -> int | str:
    """``N`` or ``P%``."""
    return text if text.endswith("%") else int(text)


def batches(numbers: list[int], size: int) -> Iterator[list[int]]:
    """Runs of at most so many numbers."""
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]


def draw(sampler: Sampler, args: argparse.Namespace, seed: int, numbers: list[int]) -> Tensor:
    """Images of those numbers, as the model gives them."""
    noise = torch.stack([sampler.noise(seed, i) for i in numbers])
    labels = torch.tensor([i % sampler.classes for i in numbers])
    return sampler.sample(noise, labels, steps=args.steps, guidance=args.guidance, guided=args.guided_channels)


def find_policy(name: str, sampler: Sampler, args: argparse.Namespace) -> PrecisionPolicy | None:
    """The policy of a folder: what it began with, a file's, or a new one; None for the model as it is."""
    kept = folder_of(name, args) / "policy.json"
    if name == FLOAT:
        return None
    if name.endswith(".json"):
        policy = PrecisionPolicy.from_json(read_text(Path(name), POLICY_LIMIT))
        if kept.exists() and kept.read_text() != policy.to_json():
            raise InputError(f"{kept} must be the policy of {name}; use another folder")
        return policy
    if kept.exists():
        return PrecisionPolicy.from_json(kept.read_text())
    if name != MIXED:
        return PrecisionPolicy(inlier_format=name, weight_format=name, outlier_weight_format=name)

    def run() -> None:
        with bar("calibration") as tell:
            for part in batches(list(range(args.calibration)), args.batch):
                draw(sampler, args, args.seed + 1, part)  # other noise than that of the samples
                if tell:
                    tell(part[-1] + 1, args.calibration)

    return calibrate_model(sampler.model, run, args.outliers, args.heads, outlier_weight_format=args.outlier_weights)


def folder_of(name: str, args: argparse.Namespace) -> Path:
    """Where a policy's images are."""
    return args.output / (Path(name).stem if name.endswith(".json") else name)


def sample_policy(name: str, sampler: Sampler, args: argparse.Namespace) -> None:
    """Write the images of one policy that are not there yet."""
    folder = folder_of(name, args)
    numbers = [i for i in range(args.images) if not (folder / f"{i:06}.png").exists()]
    if numbers:
        policy = find_policy(name, sampler, args)
        folder.mkdir(parents=True, exist_ok=True)
        summary = None
        if policy is not None:
            write_text(folder / "policy.json", policy.to_json())
            summary = quantize_model(sampler.model, policy)
        try:
            with bar(name) as tell:
                for part in batches(numbers, args.batch):
                    for i, image in zip(part, sampler.pixels(draw(sampler, args, args.seed, part)), strict=True):
                        with atomic_write(folder / f"{i:06}.png") as file:
                            Image.fromarray(image.numpy()).save(file, format="png")
                    if tell:
                        tell(args.images - len(numbers) + numbers.index(part[-1]) + 1, args.images)
        finally:
            if summary is not None:
                summary.restore()
    print(f"{name}: {args.images} images in {folder}", flush=True)


def check_settings(args: argparse.Namespace) -> None:
    """Keep what the images depend on beside them; InputError where others were made differently."""
    names = ("diffusers", "official", "checkpoint", "model", "vae", "random", "dtype", "scheduler", "steps", "guidance")
    more = ("guided_channels", "seed", "input_size", "classes", "calibration", "outliers", "heads", "outlier_weights")
    settings = {
        name: value if not isinstance(value := getattr(args, name), Path) else str(value) for name in names + more
    }
    path = args.output / "settings.json"
    text = json.dumps(settings, indent=2) + "\n"
    if path.exists() and path.read_text() != text:
        raise InputError(f"{path} must be of the same options; use another folder")
    args.output.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Options, checked."""
    parser = argparse.ArgumentParser(description="Sample images from a DiT under several precisions, for FID.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--diffusers", metavar="NAME", help="folder or name of a DiT of diffusers")
    source.add_argument("--official", type=Path, metavar="DIR", help="clone of DiT's repository; with --checkpoint")
    source.add_argument("--random", action="store_true", help="small model with random weights, to try this script")
    parser.add_argument("--checkpoint", type=Path, help="file of weights of --official")
    parser.add_argument("--model", default="DiT-XL/2", help="which one of --official (default %(default)s)")
    parser.add_argument("--input-size", type=int, default=32, help="latent size of --official (default %(default)s)")
    parser.add_argument("--classes", type=int, default=1000, help="classes of --official (default %(default)s)")
    parser.add_argument("--vae", help="folder or name of an AutoencoderKL; without any, the images are pixels")
    parser.add_argument(
        "--policy",
        action="append",
        dest="policies",
        metavar="NAME",
        help="float, mx9, mx6, mx4, mixed or FILE.json; may be repeated (default: float, mx9, mixed and mx6)",
    )
    parser.add_argument("-n", "--images", type=int, default=100, help="images of each policy (default %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler (default %(default)s)")
    parser.add_argument("--scheduler", choices=SCHEDULERS, default="ddim", help="sampler (default %(default)s)")
    parser.add_argument("--guidance", type=float, default=1.5, help="guidance (default %(default)s)")
    parser.add_argument("--guided-channels", type=int, default=0, help="guide only the first N channels; 0: all")
    parser.add_argument("--batch", type=int, default=16, help="images at a time (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default %(default)s)")
    parser.add_argument("--calibration", type=int, default=16, help="images of calibration (default %(default)s)")
    parser.add_argument("--outliers", type=number_or_percentage, default="5%", help="N or P%% (default %(default)s)")
    parser.add_argument("--heads", type=number_or_percentage, default="5%", help="N or P%% (default %(default)s)")
    parser.add_argument("--outlier-weights", default="mx9", help="their weights' format (default %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the model (default %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/fid"), help="folder (default %(default)s)")
    args = parser.parse_args(arguments)
    args.policies = args.policies or [FLOAT, "mx9", MIXED, "mx6"]
    for name in args.policies:
        if name not in (FLOAT, "mx9", "mx6", "mx4", MIXED) and not name.endswith(".json"):
            parser.error(f"--policy must be float, mx9, mx6, mx4, mixed or a .json file, not {name}")
    if len({folder_of(name, args) for name in args.policies}) != len(args.policies):
        parser.error("--policy must name policies of distinct folders")
    if args.official is not None and args.checkpoint is None:
        parser.error("--official must have a --checkpoint")
    if min(args.images, args.steps, args.batch, args.calibration) < 1:
        parser.error("--images, --steps, --batch and --calibration must be at least 1")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status."""
    args = parse(arguments)
    try:
        check_settings(args)
        load = load_random if args.random else load_official if args.official is not None else load_diffusers
        sampler = load(args)
        for name in args.policies:
            sample_policy(name, sampler, args)
    except MixditError as e:
        print(f"dit_fid: {e}", file=sys.stderr)
        return e.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
