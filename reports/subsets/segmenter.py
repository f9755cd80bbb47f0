"""A small segmenter that draws the object under a click: a U-Net of three levels.

As in SAM's training a click is any pixel of the mask, each as likely, and the loss is that of the
pixels and of the overlap (Dice).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from crops import WINDOW, Bytes, Crop
from torch import nn

BATCH = 64
RATE = 4e-3
WIDTH = 8


def _block(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inside, outside):
        convolution = nn.Conv2d(channels, outside, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class SmallUNet(nn.Module):
    """Picture and nearness to the click in, logits of the mask out, of the same size.

    It works on blocks of 2 x 2 px, so that its levels are a half, a quarter and an eighth.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(16, width), _block(width, 2 * width)])
        self.middle = _block(2 * width, 4 * width)
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.last = nn.Conv2d(width, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, height, width)."""
        x = nn.functional.pixel_unshuffle(x, 2)
        passed = []
        for block in self.down:
            x = block(x)
            passed.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.middle(x)
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([x, passed.pop()], dim=1))
        logits: torch.Tensor = nn.functional.pixel_shuffle(self.last(x), 2)[:, 0]
        return logits


def train(crops: Sequence[Crop], seed: int, steps: int, width: int = WIDTH) -> SmallUNet:
    """Train on windows turned and mirrored at random; the masks are gone through epoch by epoch."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    model = SmallUNet(width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    epochs = math.ceil(steps * BATCH / len(crops))
    order = np.concatenate([random.permutation(len(crops)) for _ in range(epochs)])
    model.train()
    for step in range(steps):
        some = [crops[k] for k in order[step * BATCH : (step + 1) * BATCH]]
        pictures, masks = _draw(some, random)
        loss = _loss(model(pictures), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def _loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return cross entropy plus one less Dice's coefficient, the mean over masks."""
    drawn = torch.sigmoid(logits)
    both = (drawn * masks).sum(dim=(1, 2))
    dice = (2 * both + 1) / (drawn.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)
    return nn.functional.binary_cross_entropy_with_logits(logits, masks) + (1 - dice).mean()


def _draw(crops: Sequence[Crop], random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    pictures, masks = [], []
    for crop in crops:
        picture, mask = crop.window(random)
        turns = int(random.integers(4))
        picture, mask = np.rot90(picture, turns, (1, 2)), np.rot90(mask, turns)
        if random.random() < 0.5:
            picture, mask = picture[:, ::-1], mask[::-1]
        pictures.append(picture)
        masks.append(mask)
    return _to_input(np.stack(pictures)), torch.from_numpy(np.stack(masks).astype(np.float32))


def _to_input(pictures: Bytes) -> torch.Tensor:
    """Return pictures in [-1, 1] with a plane that falls off around the click, the middle."""
    away = torch.arange(WINDOW) - (WINDOW - 1) / 2
    near = torch.exp(-(away[:, None] ** 2 + away**2) / (2 * (WINDOW / 8) ** 2))
    colours = torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1)
    planes = torch.cat([colours, near.expand(len(colours), 1, WINDOW, WINDOW)], dim=1)
    return planes.contiguous(memory_format=torch.channels_last)


def measure_ious(
    model: SmallUNet, crops: Sequence[Crop], seed: int, clicks: int = 1
) -> npt.NDArray[np.float64]:
    """Return the IoU with each mask in the window, the mean over clicks, shape (n,)."""
    model.eval()
    random = np.random.default_rng([11, seed])
    found = np.zeros((clicks, len(crops)))
    for one in found:
        for start in range(0, len(crops), 256):
            windows = [crop.window(random) for crop in crops[start : start + 256]]
            with torch.no_grad():
                drawn = model(_to_input(np.stack([w[0] for w in windows]))).numpy() > 0
            truth = np.stack([w[1] for w in windows]) > 0
            both = (drawn & truth).sum(axis=(1, 2))
            one[start : start + 256] = both / (drawn | truth).sum(axis=(1, 2))
    return np.asarray(found.mean(axis=0), np.float64)
