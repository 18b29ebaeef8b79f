"""Train the classifier whose features measure generated digits, and write `examples/digits_features.safetensors`.

Three linear layers, 64 to 128 to 32 to 10, with GELU in its tanh form after the first two; the 32 values before the
last layer are the features. It learns from four fifths of scikit-learn's digits, moved by up to a pixel and with a
little noise; the other fifth tells its accuracy. The file holds the weights and, so that their features can be computed
anywhere, all digits with their labels::

    python -m pip install -e .[train]
    python examples/train_classifier.py
"""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import argparse
import os
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

SIZES = (64, 128, 32, 10)
HELD_OUT = 5  # every fifth digit
NOISE = 0.1  # standard deviation, of values in [-1, 1]
BATCH = 128


def moved(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 8, 8) moved by -1 to 1 pixels along both axes, all alike, and with noise."""
    rows, columns = torch.randint(3, (2,)).tolist()
    images = F.pad(images, (1, 1, 1, 1), value=-1.0)[:, rows : rows + 8, columns : columns + 8]
    return images + NOISE * torch.randn_like(images)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the classifier of digits.")
    parser.add_argument("--epochs", type=int, default=150, help="passes over the digits (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and noise (default %(default)s)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(__file__).resolve().parent / "digits_features.safetensors"
    )
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    digits = load_digits()
    pixels, labels = torch.tensor(digits.images, dtype=torch.float32), torch.tensor(digits.target)
    images = pixels / 8 - 1
    held = torch.arange(len(images)) % HELD_OUT == 0
    train_images, train_labels = images[~held], labels[~held]

    layers = [nn.Linear(i, o) for i, o in pairwise(SIZES)]
    gelu = nn.GELU("tanh")
    model = nn.Sequential(layers[0], gelu, layers[1], gelu, layers[2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(args.epochs):
        total = 0.0
        for batch in torch.randperm(len(train_images)).split(BATCH):
            loss = F.cross_entropy(model(moved(train_images[batch]).flatten(1)), train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}/{args.epochs}  loss {total / len(train_images):.4f}", flush=True)

    with torch.no_grad():
        for layer in layers:  # what is measured is what the file holds
            layer.weight.copy_(layer.weight.half())
            layer.bias.copy_(layer.bias.half())
        right = model(images.flatten(1)).argmax(1) == labels
    print(f"right: {right[~held].float().mean():.4f} of those learned from, {right[held].float().mean():.4f} of others")

    tensors = {f"layers.{i}.weight": layer.weight.detach().half() for i, layer in enumerate(layers)}
    tensors |= {f"layers.{i}.bias": layer.bias.detach().half() for i, layer in enumerate(layers)}
    tensors |= {"images": images[:, None].half(), "labels": labels.half()}
    metadata = {"held_out_accuracy": f"{right[held].float().mean():.4f}", "held_out": f"every {HELD_OUT}th"}
    temporary = args.output.with_name(args.output.name + ".tmp")
    temporary.write_bytes(save(tensors, metadata=metadata))
    os.replace(temporary, args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
