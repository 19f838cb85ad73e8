"""Winograd's convolution in plain PyTorch, forward and backward.

Once layers 10 and 11 are one 3 x 3 convolution, it and its two neighbours of 2 x 2 do 90 % of the
arithmetic of the network. Winograd's minimal filtering F(4 x 4, k x k) computes a tile of 4 x 4
outputs with (k + 3)^2 products for each pair of channels in place of 16 k^2: 36 for 144, and 25 for
64. In one dimension, four outputs of a filter g of k taps come from k + 3 inputs d as

    y = A [(G g) * (B d)]                                  (* elementwise)

because the product of two polynomials of degrees p and q is known from its values at p + q + 1
points: infinity and the first of 0, 1, -1, 1/2, -2. G evaluates the filter there. As a correlation
is the transpose of a product of polynomials, A and B are the transposes of evaluation and of
interpolation. In two dimensions each matrix is applied to rows and columns, which is one product
with its Kronecker square. Sources: Winograd, "Arithmetic complexity of computations" (SIAM, 1980);
Lavin and Gray (2015, https://arxiv.org/abs/1509.09308).

The sums over channels become one batched matrix product over the points. Tiles pass through it so
few at a time that they stay in the cache: reading and writing memory is what a processor waits for.
For the same reason the ReLU before a convolution is applied on the way. The backward pass is the
transpose of each step, so it saves the same share.
"""

from functools import lru_cache
from typing import List, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import processor_has

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
TILE = 4  # outputs along each side of a tile
FEWEST_CHANNELS = 128  # with fewer on a side the transforms cost as much as they save
TILES_AT_ONCE = 330  # in float32: 12 MB for 256 channels; half and twice as many differ by 5 %


def conv2d(
    images: Tensor, kernel: Tensor, bias: Tensor, padding: int, relu: bool = False
) -> Tensor:
    """Compute `F.conv2d(images, kernel, bias, padding=padding)`, with gradients.

    PyTorch's own convolution is called where it is as fast: with fewer than 128 channels on a side,
    and for 2 x 2 kernels in bfloat16 where AMX makes products so cheap that transforms cost more.

    Args:
        images: (N, C, H, W), fastest in channels_last.
        kernel: (O, C, k, k), for Winograd's method k is 2 or 3. float32 also where the images are
            bfloat16; its gradients are added up in its own dtype.
        bias: (O,), of the dtype of the kernel.
        padding: zeros on each side.
        relu: apply a ReLU to the images first; this may change them.

    Returns:
        (N, O, H + 2 padding - k + 1, W + 2 padding - k + 1) in channels_last.
    """
    kernel_size = kernel.shape[-1]
    is_bfloat16 = images.dtype is torch.bfloat16
    prefers_products = is_bfloat16 and kernel_size == 2 and processor_has("amx_bf16")
    if min(kernel.shape[:2]) < FEWEST_CHANNELS or kernel_size not in (2, 3) or prefers_products:
        if relu:
            images = F.relu_(images)
        dtype = images.dtype
        return F.conv2d(images, kernel.to(dtype), bias.to(dtype), padding=padding)
    images = images.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
    output = Winograd.apply(images, kernel, bias, padding, relu, torch.is_grad_enabled())
    return output.permute(0, 3, 1, 2)


class Geometry(NamedTuple):
    """The sizes that forward and backward pass share."""

    kernel_size: int
    padding: int
    height: int  # of an input
    width: int

    @property
    def output_height(self) -> int:
        return self.height + 2 * self.padding - self.kernel_size + 1

    @property
    def output_width(self) -> int:
        return self.width + 2 * self.padding - self.kernel_size + 1

    @property
    def rows(self) -> int:
        """Rows of tiles in an output. The last one may reach beyond it."""
        return -(-self.output_height // TILE)

    @property
    def columns(self) -> int:
        return -(-self.output_width // TILE)

    @property
    def window(self) -> int:
        """Side of the square of inputs that a tile needs."""
        return TILE + self.kernel_size - 1

    def images_at_once(self, bytes_per_value: int) -> int:
        """How many images have about `TILES_AT_ONCE` tiles, or as many bytes in another dtype."""
        tiles = TILES_AT_ONCE * 4 // bytes_per_value
        return max(tiles // (self.rows * self.columns), 1)


class Winograd(torch.autograd.Function):
    """The convolution, on images (N, H, W, C).

    In the shapes, w^2 is the number of points, T the number of tiles of some images, C the number
    of channels of the input and O that of the output.
    """

    @staticmethod
    def forward(ctx, images, kernel, bias, padding, relu, keep_for_backward):
        number, height, width, _ = images.shape
        geometry = Geometry(kernel.shape[-1], padding, height, width)
        to_output, _, to_values = transforms(geometry.kernel_size, images.dtype)
        filters = transformed_kernel(kernel).to(images.dtype)  # (w^2, C, O)
        bias = bias.to(images.dtype)
        rows, columns = geometry.rows, geometry.columns
        output = images.new_empty(number, rows, TILE, columns, TILE, kernel.shape[0])
        at_once = geometry.images_at_once(images.element_size())
        values_of_parts = []
        for part, result in zip(images.split(at_once), output.split(at_once)):
            windows = gathered_windows(part, geometry, relu)  # (w^2, T C)
            values = (to_values @ windows).view(len(filters), -1, images.shape[3])  # (w^2, T, C)
            if keep_for_backward:
                values_of_parts.append(values)
            products = torch.bmm(values, filters).view(len(filters), -1)  # (w^2, T O)
            tiles = (to_output @ products).view(TILE, TILE, len(part), rows, columns, -1)
            torch.add(tiles.permute(2, 3, 0, 4, 1, 5), bias, out=result)
        output = output.flatten(3, 4).flatten(1, 2)  # (N, 4 rows, 4 columns, O)
        output = output[:, : geometry.output_height, : geometry.output_width].contiguous()
        relu_input = images if relu and keep_for_backward else None
        ctx.save_for_backward(filters, relu_input, *values_of_parts)
        ctx.geometry, ctx.dtype = geometry, kernel.dtype
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        filters, relu_input, *values_of_parts = ctx.saved_tensors
        geometry, number = ctx.geometry, len(grad_output)
        num_points, channels, outputs = filters.shape
        to_output, _, to_values = transforms(geometry.kernel_size, filters.dtype)
        grad_filters = torch.zeros_like(filters, dtype=ctx.dtype)
        grad_bias = filters.new_zeros(outputs, dtype=ctx.dtype)
        grad_images = filters.new_empty(number, geometry.height, geometry.width, channels)
        at_once = geometry.images_at_once(filters.element_size())
        relu_inputs = [None] * len(values_of_parts)
        if relu_input is not None:
            relu_inputs = relu_input.split(at_once)
        grads, results = grad_output.split(at_once), grad_images.split(at_once)
        for values, before_relu, grad, result in zip(values_of_parts, relu_inputs, grads, results):
            grad_products = to_output.t() @ tiles_first(grad)  # (w^2, T O)
            grad_products = grad_products.view(num_points, -1, outputs)  # (w^2, T, O)
            # The point (1, 1) of a tile is the sum of its outputs
            grad_bias += grad_products[geometry.window + 1].sum(0, dtype=ctx.dtype)
            add_products(grad_filters, values.transpose(1, 2), grad_products)
            grad_values = torch.bmm(grad_products, filters.transpose(1, 2))  # (w^2, T, C)
            grad_windows = to_values.t() @ grad_values.view(num_points, -1)  # (w^2, T C)
            grad_part = added_windows(grad_windows, len(result), geometry)
            if before_relu is None:
                result.copy_(grad_part)
            else:
                torch.ops.aten.threshold_backward(grad_part, before_relu, 0, grad_input=result)
        return grad_images, kernel_gradient(grad_filters, geometry), grad_bias, None, None, None


def add_products(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add matrix products to a total. In bfloat16 a sum of many parts would lose the later ones."""
    if left.dtype is total.dtype:
        total.baddbmm_(left, right)
    else:
        total += torch.bmm(left, right)


def transformed_kernel(kernel: Tensor) -> Tensor:
    """(O, C, k, k) to (w^2, C, O)."""
    _, to_filters, _ = transforms(kernel.shape[-1], kernel.dtype)
    taps = kernel.permute(2, 3, 1, 0).reshape(to_filters.shape[1], -1)  # (k^2, C O)
    return (to_filters @ taps).view(len(to_filters), kernel.shape[1], -1)


def kernel_gradient(grad_filters: Tensor, geometry: Geometry) -> Tensor:
    """The transpose of `transformed_kernel`: (w^2, C, O) to (O, C, k, k)."""
    size, channels = geometry.kernel_size, grad_filters.shape[1]
    _, to_filters, _ = transforms(size, grad_filters.dtype)
    taps = to_filters.t() @ grad_filters.view(len(grad_filters), -1)  # (k^2, C O)
    return taps.view(size, size, channels, -1).permute(3, 2, 0, 1)


def gathered_windows(images: Tensor, geometry: Geometry, relu: bool) -> Tensor:
    """The overlapping windows that tiles depend on: (n, H, W, C) to (w^2, n rows columns C)."""
    number, height, width, channels = images.shape
    window, padding = geometry.window, geometry.padding
    below = (geometry.rows - 1) * TILE + window - padding - height
    right = (geometry.columns - 1) * TILE + window - padding - width
    images = F.pad(images, (0, 0, padding, right, padding, below))  # a copy that stays in the cache
    if relu:
        images = F.relu_(images)
    image, row, column, _ = images.stride()
    windows = images.as_strided(
        (window, window, number, geometry.rows, geometry.columns, channels),
        (row, column, image, TILE * row, TILE * column, 1),
    )
    return windows.reshape(window**2, -1)


def added_windows(windows: Tensor, number: int, geometry: Geometry) -> Tensor:
    """The transpose of `gathered_windows`: (w^2, n rows columns C) to (n, H, W, C).

    Windows are added up where they overlap; `number` is n.
    """
    rows, columns, window = geometry.rows, geometry.columns, geometry.window
    windows = windows.view(window, window, number, rows, columns, -1)
    windows = windows.permute(2, 3, 0, 4, 1, 5)  # (n, rows, w, columns, w, C)
    total = windows.new_empty(number, rows + 1, TILE, columns + 1, TILE, windows.shape[-1])
    total[:, -1] = 0
    total[:, :, :, -1] = 0
    beyond = window - TILE  # inputs of the next tile that a window has
    total[:, :-1, :, :-1] = windows[:, :, :TILE, :, :TILE]
    total[:, 1:, :beyond, :-1] += windows[:, :, TILE:, :, :TILE]
    total[:, :-1, :, 1:, :beyond] += windows[:, :, :TILE, :, TILE:]
    total[:, 1:, :beyond, 1:, :beyond] += windows[:, :, TILE:, :, TILE:]
    total = total.flatten(3, 4).flatten(1, 2)  # (n, 4 rows + 4, 4 columns + 4, C)
    top = left = geometry.padding
    return total[:, top : top + geometry.height, left : left + geometry.width]


def tiles_first(grad: Tensor) -> Tensor:
    """Outputs cut into tiles, with zeros where these reach beyond: (n, H', W', O) to (16, T O)."""
    below, right = -grad.shape[1] % TILE, -grad.shape[2] % TILE
    if below or right:
        grad = F.pad(grad, (0, 0, 0, right, 0, below))
    number, height, width, _ = grad.shape
    grad = grad.reshape(number, height // TILE, TILE, width // TILE, TILE, -1)
    return grad.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)


@lru_cache(maxsize=None)
def transforms(kernel_size: int, dtype: torch.dtype):
    """Kronecker squares of A (16, w^2), G (w^2, k^2) and B (w^2, w^2)."""
    window = TILE + kernel_size - 1
    points = POINTS[: window - 1]
    a = torch.zeros(TILE, window, dtype=torch.float64, device="cpu")
    g = torch.zeros(window, kernel_size, dtype=torch.float64, device="cpu")
    b = torch.zeros(window, window, dtype=torch.float64, device="cpu")
    for j, point in enumerate(points):
        others = [other for other in points if other != point]
        scale = 1.0
        for other in others:
            scale *= point - other
        for power in range(TILE):
            a[power, j] = point**power
        for power in range(kernel_size):
            g[j, power] = point**power / scale
        b[j, :-1] = torch.tensor(monic_coefficients(others), dtype=torch.float64, device="cpu")
    # the point at infinity: the leading coefficients
    a[-1, -1] = 1.0
    g[-1, -1] = 1.0
    b[-1] = torch.tensor(monic_coefficients(points), dtype=torch.float64, device="cpu")
    return tuple(torch.kron(matrix, matrix).to(dtype) for matrix in (a, g, b))


def monic_coefficients(roots) -> List[float]:
    """Coefficients, lowest power first, of the polynomial x^n + ... with these roots."""
    coefficients = [1.0]
    for root in roots:
        times_x = [0.0, *coefficients]
        times_root = [root * coefficient for coefficient in coefficients] + [0.0]
        coefficients = [a - b for a, b in zip(times_x, times_root)]
    return coefficients
