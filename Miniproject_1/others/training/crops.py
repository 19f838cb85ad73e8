"""Small images to begin a training with: random squares of the pairs, more of them a second."""

import torch

from ...model import check_number


class Crops:
    """The batches of `pairs`, of each pair a random square: two tensors (B, 3, size, size); as `Pairs` in all else.

    Args:
        pairs: a `Pairs`.
        size: side of the squares, in pixels.
        seed: of their places, with the number of the step.
    """

    def __init__(self, pairs, size, seed=0):
        self.pairs, self.size = pairs, check_number("crop", size, 1, min(pairs.images[0].shape[2:]), whole=True)
        self.seed = seed

    def __call__(self, step, share=...):
        batch = self.pairs(step)
        generator = torch.Generator().manual_seed(self.seed + 1_000_033 * (step + 1))
        like = dict(generator=generator, device="cpu")
        number, _, *sides = batch[0].shape
        corners = zip(*(torch.randint(side - self.size + 1, (number,), **like).tolist() for side in sides))
        squares = [(..., slice(y, y + self.size), slice(x, x + self.size)) for y, x in corners]
        return [torch.stack([image[square] for image, square in zip(images, squares)])[share] for images in batch]
