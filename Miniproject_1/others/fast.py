"""Winograd's 3 x 3 convolution in plain `torch`, forward and backward, for a CPU.

A 3 x 3 convolution is 63 % of this network's arithmetic once layers 10 and 11 are one.
Winograd's minimal filtering F(4 x 4, 3 x 3) computes a 4 x 4 tile of its output with 36
products per channel pair in place of 144. In one dimension, four outputs of a filter g of three
taps come from six inputs d as

    y = A [(G g) * (B d)]                                  (* elementwise)

because the product of two polynomials of degree p and q is known from its values at p + q + 1
points. Here the points are 0, 1, -1, 1/2, -2 and infinity: `G` evaluates the filter there, and,
as a correlation is the transpose of a polynomial product, `A` and `B` are the transposes of
evaluation and interpolation. In two dimensions each matrix is applied to rows and columns,
which is one product with its Kronecker square. Sources: Winograd, Arithmetic Complexity of
Computations (SIAM, 1980); Lavin and Gray, https://arxiv.org/abs/1509.09308.

What makes it fast without custom code: the sums over channels become one batched matrix
product over the 36 positions, and tiles pass through it so few at a time that they stay in the
cache. The backward pass is the transpose of each step, so it saves the same share. Rounding
errors are 2e-6 relative in float32, those of a direct convolution 2e-7 to 8e-7.
"""

import torch
import torch.nn.functional as F

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
KERNEL = 3
TILE = 4  # outputs along each side of a tile
WINDOW = TILE + KERNEL - 1  # inputs along each side of a tile
TILES_AT_ONCE = 200  # 7 MB for each of two transformed operands of 256 channels


def _coefficients(roots):
    """Coefficients, lowest power first, of the monic polynomial with the given roots."""
    coefficients = [1.0]
    for root in roots:
        shifted, scaled = [0.0] + coefficients, [root * c for c in coefficients] + [0.0]
        coefficients = [a - b for a, b in zip(shifted, scaled)]
    return coefficients


def _winograd_matrices():
    """Kronecker squares of A (16, 36), G (36, 9) and B (36, 36), float64."""
    like = dict(dtype=torch.float64, device="cpu")
    a, g, b = (torch.zeros(*shape, **like) for shape in ((TILE, WINDOW), (WINDOW, KERNEL), (WINDOW, WINDOW)))
    for j, point in enumerate(POINTS):
        others = [p for p in POINTS if p != point]
        scale = 1.0
        for other in others:
            scale *= point - other
        a[:, j] = torch.tensor([point**i for i in range(TILE)], **like)
        g[j] = torch.tensor([point**i / scale for i in range(KERNEL)], **like)
        b[j, :-1] = torch.tensor(_coefficients(others), **like)
    a[-1, -1] = g[-1, -1] = 1.0  # the point at infinity: the leading coefficients
    b[-1] = torch.tensor(_coefficients(POINTS), **like)
    return tuple(torch.kron(matrix, matrix) for matrix in (a, g, b))


OUTPUT_TRANSFORM, KERNEL_TRANSFORM, INPUT_TRANSFORM = _winograd_matrices()


def conv3x3(images, kernel, bias):
    """`F.conv2d(images, kernel, bias, padding=1)` for a 3 x 3 kernel, with gradients.

    Args:
        images: (N, C, H, W); fastest when its memory format is channels_last.
        kernel: (O, C, 3, 3).
        bias: (O,).

    Returns:
        (N, O, H, W) in channels_last.
    """
    output = _Conv3x3.apply(images.permute(0, 2, 3, 1).contiguous(), kernel)  # (N, H, W, O)
    return output.permute(0, 3, 1, 2) + bias[:, None, None]


class _Conv3x3(torch.autograd.Function):
    """The convolution without bias, on images (N, H, W, C)."""

    @staticmethod
    def forward(ctx, images, kernel):
        ctx.save_for_backward(images, kernel)
        height, width = images.shape[1:3]
        output_transform, input_transform = OUTPUT_TRANSFORM.to(images), INPUT_TRANSFORM.to(images)
        filters = _transform_kernel(kernel)  # (36, C, O)
        output = images.new_empty(*images.shape[:3], kernel.shape[0])
        for part, result in zip(_blocks(images), _blocks(output)):
            tiles, shape = _gather(part)  # (36, T * C)
            tiles = (input_transform @ tiles).view(WINDOW**2, -1, images.shape[3])  # (36, T, C)
            products = torch.bmm(tiles, filters).view(WINDOW**2, -1)  # (36, T * O)
            tiles = (output_transform @ products).view(TILE, TILE, *shape, -1)  # (4, 4, n, h, w, O)
            tiles = tiles.permute(2, 3, 0, 4, 1, 5).flatten(3, 4).flatten(1, 2)  # (n, 4 h, 4 w, O)
            result.copy_(tiles[:, :height, :width])
        return output

    @staticmethod
    def backward(ctx, grad_output):
        images, kernel = ctx.saved_tensors
        height, width, channels = images.shape[1:]
        output_transform, input_transform = OUTPUT_TRANSFORM.to(images), INPUT_TRANSFORM.to(images)
        filters = _transform_kernel(kernel)  # (36, C, O)
        grad_filters = torch.zeros_like(filters)
        grad_images = torch.empty_like(images)
        for part, grad, result in zip(_blocks(images), _blocks(grad_output), _blocks(grad_images)):
            tiles, shape = _gather(part)
            tiles = (input_transform @ tiles).view(WINDOW**2, -1, channels)  # (36, T, C)
            grad = F.pad(grad, (0, 0, 0, -width % TILE, 0, -height % TILE))  # (n, 4 h, 4 w, O)
            grad = grad.view(shape[0], shape[1], TILE, shape[2], TILE, -1).permute(2, 4, 0, 1, 3, 5)
            grad = output_transform.t() @ grad.reshape(TILE**2, -1)  # (36, T * O)
            grad = grad.view(WINDOW**2, -1, kernel.shape[0])  # (36, T, O)
            grad_filters.baddbmm_(tiles.transpose(1, 2), grad)
            grad = torch.bmm(grad, filters.transpose(1, 2)).view(WINDOW**2, -1)  # (36, T * C)
            grad = (input_transform.t() @ grad).view(WINDOW, WINDOW, *shape, channels)
            result.copy_(_scatter(grad)[:, 1 : height + 1, 1 : width + 1])
        grad_kernel = KERNEL_TRANSFORM.to(images).t() @ grad_filters.view(WINDOW**2, -1)  # (9, C * O)
        grad_kernel = grad_kernel.view(KERNEL, KERNEL, channels, -1).permute(3, 2, 0, 1)
        return grad_images, grad_kernel


def _blocks(images):
    """Parts of a batch (N, H, W, C), each of about `TILES_AT_ONCE` tiles."""
    tiles = -(-images.shape[1] // TILE) * -(-images.shape[2] // TILE)
    return images.split(max(TILES_AT_ONCE // tiles, 1))


def _transform_kernel(kernel):
    """(O, C, 3, 3) to (36, C, O)."""
    taps = kernel.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)  # (9, C * O)
    return (KERNEL_TRANSFORM.to(kernel) @ taps).view(WINDOW**2, kernel.shape[1], -1)


def _gather(images):
    """Overlapping 6 x 6 windows of (n, H, W, C), as (36, n * h * w * C), and their number (n, h, w)."""
    number, height, width, channels = images.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    images = F.pad(images, (0, 0, 1, 1 + -width % TILE, 1, 1 + -height % TILE))
    image, row, column, _ = images.stride()
    windows = images.as_strided(
        (WINDOW, WINDOW, number, rows, columns, channels),
        (row, column, image, TILE * row, TILE * column, 1),
    )
    return windows.reshape(WINDOW**2, -1), (number, rows, columns)


def _scatter(windows):
    """The transpose of `_gather`: add up windows (6, 6, n, h, w, C) where they overlap, padding included."""
    windows = windows.permute(2, 3, 0, 4, 1, 5)  # (n, h, 6, w, 6, C)
    number, rows, _, columns, _, channels = windows.shape
    total = windows.new_zeros(number, rows + 1, TILE, columns + 1, TILE, channels)
    rest = WINDOW - TILE
    total[:, :-1, :, :-1] = windows[:, :, :TILE, :, :TILE]
    total[:, 1:, :rest, :-1] += windows[:, :, TILE:, :, :TILE]
    total[:, :-1, :, 1:, :rest] += windows[:, :, :TILE, :, TILE:]
    total[:, 1:, :rest, 1:, :rest] += windows[:, :, TILE:, :, TILE:]
    return total.flatten(3, 4).flatten(1, 2)  # (n, 4 h + 4, 4 w + 4, C)
