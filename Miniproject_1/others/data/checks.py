"""What pairs of noisy images say about themselves: whether their noise is independent.

Noise2Noise needs noise in the second image that the first one says nothing about. What is in both
images at the same place looks to the network like the scene, and it learns to keep it. None of
these checks knows the scene, so each looks for one kind of noise in common. Their limits were set
on 42 photographs. Two independent shots of them, with Gaussian noise of 2 to 50 of 255, Poisson
noise, JPEG of quality 75 and more, impulses or block sampling, raise no alarm. Only with impulses,
and with block sampling, hot pixels are reported in 2 of the 42. Added noise of up to 35 of 255 is
found in 32 to 42 of them, and stronger noise seldom, since cutting values off hides it. JPEG of
quality 30 is found in all, 30 hot pixels in 27.
"""

import math

import torch
import torch.nn.functional as F

IDENTICAL = "the two images of each pair are identical: there is no noise to learn from"
EXCHANGED = "the second images are noisier than the first ones: noisy and clean may be exchanged"
NOT_CLEAN = (
    "the second images are as noisy as the first ones, so they are not clean ('evaluate "
    "--noisy-pairs' takes such pairs)"
)
FIRST_IN_SECOND = (
    "the second contains the noise of the first, as if noise had been added to the first "
    "(or the first has none): the network would learn to keep the noise of the first"
)
SECOND_IN_FIRST = (
    "the first contains the noise of the second, as if noise had been added to the second "
    "(or the second has none): the network would learn to remove only what was added"
)
EQUAL_BLOCKS = (
    "blocks of 8 x 8 pixels are equal in both, as strong JPEG or video compression leaves them: "
    "the network would learn to keep the traces of compression"
)
HOT_PIXELS = (
    "single bright or dark pixels are at the same places in both, as hot pixels of a camera are: "
    "the network would learn to keep them"
)

LARGEST_SIDE = 1024  # pixels; more would tell no more
SMALLEST_SHARE = 0.02  # of the noise; 0.5 is expected, and 0.04 if the first has a fifth of it
FEWEST_PLACES = 1000  # to tell a share from
LARGEST_ERROR = 0.1  # of a share; beyond it nothing is told
EQUAL_SHARE = 0.005  # of all blocks
DENSE = 0.4  # share of equal pixels in the other blocks; noise on few pixels leaves more
STANDING_OUT = 3  # times the spread of its neighbours
HALF_WITHIN = 0.15  # of a share of the noise; half of it is expected of two equally noisy images
HOT_SHARE = 1e-4  # of all pixels; photographs have up to 0.4e-4 that look like it
FEWEST_HOT = 5


def doubts_about_pictures(first, second):
    """What two pictures of a scene have in common that should be independent.

    Args:
        first, second: noisy pictures (3, H, W), values 0 to 255.

    Returns:
        list of those among the texts above that hold.
    """
    first = middle(first).float()
    second = middle(second).float()
    doubts = doubts_about_pairs(first, second)
    if have_equal_blocks(first, second):
        doubts.append(EQUAL_BLOCKS)
    if have_same_hot_pixels(first, second):
        doubts.append(HOT_PIXELS)
    return doubts


def middle(picture):
    """At most 1024 x 1024 pixels from the middle, with the same borders of 8 x 8 blocks."""
    height, width = picture.shape[1:]
    top = max(height - LARGEST_SIDE, 0) // 16 * 8
    left = max(width - LARGEST_SIDE, 0) // 16 * 8
    return picture[:, top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


def doubts_about_pairs(noisy_1, noisy_2):
    """The same for many small images, whose common noise is judged together.

    Args:
        noisy_1, noisy_2: two noisy versions of the same images, (N, 3, H, W) or (3, H, W).

    Returns:
        list of those among `IDENTICAL`, `FIRST_IN_SECOND` and `SECOND_IN_FIRST` that hold.
    """
    if torch.equal(noisy_1, noisy_2):
        return [IDENTICAL]
    doubts = []
    if contains_noise_of(noisy_1.float(), noisy_2.float()):
        doubts.append(FIRST_IN_SECOND)
    if contains_noise_of(noisy_2.float(), noisy_1.float()):
        doubts.append(SECOND_IN_FIRST)
    return doubts


def doubts_about_validation(noisy, clean):
    """What is wrong with noisy and clean images (N, 3, H, W): a list, empty or of one text."""
    if torch.equal(noisy, clean):
        return [IDENTICAL]
    found = share_of_noise(clean.float(), noisy.float())
    if found is not None:
        share, _ = found  # 0 if the second images are clean, 1 if the first ones are
        if abs(share - 0.5) < HALF_WITHIN:
            return [NOT_CLEAN]
        return [EXCHANGED] if share > 0.75 else []
    energies = [fine_detail(images.float()).square().mean() for images in (noisy, clean)]
    return [EXCHANGED] if energies[0] < energies[1] else []


def contains_noise_of(first, second):
    """Whether the second image contains the noise of the first."""
    found = share_of_noise(first, second)
    if found is None:
        return False
    share, standard_error = found
    return share < max(SMALLEST_SHARE, 2 * standard_error)


def share_of_noise(first, second):
    """The share of the noise of the first image in the difference of two, and its standard error.

    Let n and m be the noises of the first image y1 and the second y2. The covariance of y1 - y2
    with y1 is the variance of n if n and m are independent, half of that of y1 - y2 if they are
    equally strong. If y2 was made from y1 by adding noise, it is zero. All is computed from fine
    detail, where there is little of the scene, and where no value is near 0 or 255, since cutting
    values off makes the noise depend on them.
    """
    margin = 2.5 * math.hypot((first - second).std(), noise_of(first))
    level = blurred((first + second) / 2)
    inside = (level >= margin) & (level <= 255 - margin)
    inside = inside[..., 1:, 1:]  # where the fine detail is
    if inside.sum() < FEWEST_PLACES:
        return None
    difference = fine_detail(first - second)[inside]
    products = difference * fine_detail(first)[inside]
    variance = difference.square().mean()
    share = products.mean() / variance
    standard_error = products.std() / variance / (len(products) / 4) ** 0.5  # neighbours overlap
    if not standard_error < LARGEST_ERROR:
        return None
    return share.item(), standard_error.item()


def noise_of(images):
    """The standard deviation of independent noise that would leave as much fine detail."""
    return fine_detail(images).abs().median() / 0.6745 / 2  # of four values


def blurred(images):
    """Means of 5 x 5 pixels: (..., H, W) of the same shape."""
    return F.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)


def fine_detail(images):
    """Differences of differences of neighbours: (..., H, W) to (..., H - 1, W - 1)."""
    across = images[..., 1:] - images[..., :-1]
    return across[..., 1:, :] - across[..., :-1, :]


def have_equal_blocks(first, second):
    """Whether noise is everywhere, and yet some blocks of 8 x 8 pixels have none in both."""
    equal = (first == second).all(0, keepdim=True).float()  # (1, H, W)
    equal = F.avg_pool2d(equal, 8)  # the share of equal pixels in each block
    cut_off = ((first <= 0) | (first >= 255)).all(0, keepdim=True).float()
    cut_off = F.max_pool2d(cut_off, 8) > 0  # black and white have no noise that can be seen
    same = equal == 1
    if same.all():
        return False
    dense = equal[~same].mean() < DENSE
    return bool(dense and (same & ~cut_off).float().mean() > EQUAL_SHARE)


def have_same_hot_pixels(first, second):
    """Whether pixels far from all their neighbours are at the same places."""
    places = [standing_out(picture) for picture in (first, second)]
    num_places = places[0][0].numel()
    num_each = [(signs != 0).any(0).sum().item() for signs in places]
    by_chance = num_each[0] * num_each[1] / num_places
    num_same = (places[0] * places[1] > 0).any(0).sum().item()
    return num_same >= max(FEWEST_HOT, HOT_SHARE * num_places, 3 * by_chance)


def standing_out(image):
    """1 where a value is far above those around it, -1 where it is far below, else 0: (3, H, W)."""
    channels, height, width = image.shape
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="reflect")
    values = F.unfold(padded, 3).view(channels, 9, height, width)
    around = torch.cat([values[:, :4], values[:, 5:]], 1)  # (3, 8, H, W)
    spread = around.amax(1) - around.amin(1)
    above = image - around.median(1)[0]
    noise = 1.5 * above.abs().flatten(1).median(1)[0].view(-1, 1, 1)
    far = (above.abs() > 6 * noise) & (above.abs() > 20) & (above.abs() > STANDING_OUT * spread)
    return above.sign() * far
