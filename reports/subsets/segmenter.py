"""A small segmenter that draws the object in a box: a U-Net of three levels, trained on crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from crops import SIDE, WINDOW, Crops
from torch import nn

BATCH = 32
RATE = 3e-3


def _block(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inside, outside):
        layers += [nn.Conv2d(channels, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class SmallUNet(nn.Module):
    """Four planes in, logits of the mask out, of the same size."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(4, width), _block(width, 2 * width)])
        self.middle = _block(2 * width, 4 * width)
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, height, width)."""
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.middle(x)
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([x, kept.pop()], dim=1))
        logits: torch.Tensor = self.last(x)[:, 0]
        return logits


def train(crops: Crops, seed: int, steps: int) -> SmallUNet:
    """Train on windows moved, turned and mirrored at random, each mask as likely as any other."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    model = SmallUNet()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    model.train()
    for _ in range(steps):
        inputs, masks = _draw(crops, random)
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def _draw(crops: Crops, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, masks = [], []
    for k in random.integers(len(crops.ids), size=BATCH):
        y, x = random.integers(SIDE - WINDOW + 1, size=2)
        a: Any = crops.inputs[k, :, y : y + WINDOW, x : x + WINDOW]
        b: Any = crops.masks[k, y : y + WINDOW, x : x + WINDOW]
        turns = int(random.integers(4))
        a, b = np.rot90(a, turns, (1, 2)), np.rot90(b, turns)
        if random.random() < 0.5:
            a, b = a[:, ::-1], b[::-1]
        inputs.append(a)
        masks.append(b)
    return _tensor(np.stack(inputs)), torch.from_numpy(np.stack(masks).astype(np.float32))


def _tensor(inputs: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(inputs.astype(np.float32) / 127.5 - 1)


def ious(model: SmallUNet, crops: Crops) -> npt.NDArray[np.float64]:
    """Return the IoU of what is drawn with each mask, in the middle window."""
    model.eval()
    edge = (SIDE - WINDOW) // 2
    inside = slice(edge, edge + WINDOW)
    found = []
    with torch.no_grad():
        for start in range(0, len(crops.ids), 256):
            part = slice(start, start + 256)
            drawn = model(_tensor(crops.inputs[part, :, inside, inside])).numpy() > 0
            truth = crops.masks[part, inside, inside] > 0
            both = (drawn & truth).sum(axis=(1, 2))
            found.append(both / np.maximum((drawn | truth).sum(axis=(1, 2)), 1))
    return np.concatenate(found)
