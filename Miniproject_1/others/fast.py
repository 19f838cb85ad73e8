"""What makes it faster: Winograd's convolution, memory that is kept, whether bfloat16 pays, images near the GPU.

Winograd's convolution is plain `torch`, forward and backward.

Once layers 10 and 11 are one 3 x 3 convolution, it and its two neighbours of 2 x 2 do 90 % of this network's
arithmetic. Winograd's minimal filtering F(4 x 4, k x k) computes a 4 x 4 tile of an output with (k + 3)^2 products per
channel pair in place of 16 k^2: 36 for 144, and 25 for 64. In one dimension, four outputs of a filter g of k taps come
from k + 3 inputs d as

    y = A [(G g) * (B d)]                                  (* elementwise)

because the product of two polynomials of degree p and q is known from its values at p + q + 1
points: infinity and the first of 0, 1, -1, 1/2, -2. `G` evaluates the filter there, and, as a
correlation is the transpose of a polynomial product, `A` and `B` are the transposes of evaluation and
interpolation. In two dimensions each matrix is applied to rows and columns, which is one product with
its Kronecker square. Sources: Winograd, Arithmetic Complexity of Computations (SIAM, 1980); Lavin and
Gray, https://arxiv.org/abs/1509.09308.

What makes it fast without custom code: the sums over channels become one batched matrix
product over the points, and tiles pass through it so few at a time that they stay in the
cache. The ReLU before a convolution is applied on the way, forward and backward: reading and writing feature maps is
what a processor waits for. The backward pass is the transpose of each step, so it saves the same share.
"""

import ctypes
import os
import threading
from contextlib import contextmanager
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
TILE = 4  # outputs along each side of a tile
FEWEST_CHANNELS = 128
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
HIGHEST_THRESHOLD = 32 * 2**20  # bytes, DEFAULT_MMAP_THRESHOLD_MAX of glibc on 64 bits
LARGE = 16 * 3 * 32 * 32  # values of a batch from which its feature maps, hundreds of megabytes, are worth keeping
ROOM = 8  # of a GPU's free memory an eighth may hold one tensor of the pairs
TILES_AT_ONCE = 330  # in float32: 12 MB for an operand of 256 channels; half and twice as many differ by 5 %


def conv2d(images, kernel, bias, padding, relu=False):
    """`F.conv2d(images, kernel, bias, padding=padding)` for 2 x 2 and 3 x 3 kernels, with gradients.

    Args:
        images: (N, C, H, W); fastest when its memory format is channels_last. With `relu` their negative values count
            as zero, and may be zero afterwards.
        kernel, bias: (O, C, k, k) and (O,), float32 also beside images in bfloat16, so that their gradients are.
        padding: zeros on each side.

    With fewer than 128 channels on either side the transforms cost what the products save, and PyTorch's own is called;
    also for 2 x 2 kernels in bfloat16 where AMX multiplies it: products are so cheap there that transforms cost more.

    Returns:
        (N, O, H + 2 padding - k + 1, W + 2 padding - k + 1) in channels_last.
    """
    amx = images.dtype is torch.bfloat16 and capabilities().get("amx_bf16", False)
    if min(kernel.shape[:2]) < FEWEST_CHANNELS or (amx and kernel.shape[-1] == 2):
        images = F.relu_(images) if relu else images
        return F.conv2d(images, kernel.to(images.dtype), bias.to(images.dtype), padding=padding)
    images = images.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
    return _Winograd.apply(images, kernel, bias, padding, relu, torch.is_grad_enabled()).permute(0, 3, 1, 2)


@lru_cache(maxsize=None)
def _transforms(kernel_size, dtype):
    """Kronecker squares of A (16, w^2), G (w^2, k^2) and B (w^2, w^2), where w = k + 3."""
    window = TILE + kernel_size - 1
    points = POINTS[: window - 1]
    like = dict(dtype=torch.float64, device="cpu")
    a, g, b = (torch.zeros(*shape, **like) for shape in ((TILE, window), (window, kernel_size), (window, window)))
    for j, point in enumerate(points):
        others = [p for p in points if p != point]
        scale = 1.0
        for other in others:
            scale *= point - other
        a[:, j] = torch.tensor([point**i for i in range(TILE)], **like)
        g[j] = torch.tensor([point**i / scale for i in range(kernel_size)], **like)
        b[j, :-1] = torch.tensor(_coefficients(others), **like)
    a[-1, -1] = g[-1, -1] = 1.0  # the point at infinity: the leading coefficients
    b[-1] = torch.tensor(_coefficients(points), **like)
    return tuple(torch.kron(matrix, matrix).to(dtype) for matrix in (a, g, b))


def _coefficients(roots):
    """Coefficients, lowest power first, of the monic polynomial with the given roots."""
    coefficients = [1.0]
    for root in roots:
        shifted, scaled = [0.0] + coefficients, [root * c for c in coefficients] + [0.0]
        coefficients = [a - b for a, b in zip(shifted, scaled)]
    return coefficients


class _Winograd(torch.autograd.Function):
    """The convolution, on images (N, H, W, C)."""

    @staticmethod
    def forward(ctx, images, kernel, bias, padding, relu, keep):
        size, (number, height, width, channels) = kernel.shape[-1], images.shape
        height, width = (side + 2 * padding - size + 1 for side in (height, width))  # of the output
        to_output, _, to_points = _transforms(size, images.dtype)
        filters = _transform_kernel(kernel).to(images.dtype)  # (w^2, C, O)
        rows, columns = -(-height // TILE), -(-width // TILE)
        output = images.new_empty(number, rows, TILE, columns, TILE, kernel.shape[0])
        kept = []
        at_once = _images_at_once(height, width, images.element_size())
        for part, result in zip(images.split(at_once), output.split(at_once)):
            windows = _gather(part, size, padding, rows, columns, relu)  # (w^2, T * C)
            points = (to_points @ windows).view(len(filters), -1, channels)  # (w^2, T, C)
            if keep:
                kept.append(points)
            products = torch.bmm(points, filters).view(len(filters), -1)  # (w^2, T * O)
            tiles = (to_output @ products).view(TILE, TILE, len(part), rows, columns, -1)
            torch.add(tiles.permute(2, 3, 0, 4, 1, 5), bias.to(images.dtype), out=result)
        output = output.flatten(3, 4).flatten(1, 2)[:, :height, :width].contiguous()
        ctx.save_for_backward(filters, images if relu and keep else None, *kept)
        ctx.geometry = images.shape, size, padding, kernel.dtype
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        filters, images, *kept = ctx.saved_tensors
        (number, height, width, channels), size, padding, dtype = ctx.geometry
        to_output, _, to_points = _transforms(size, filters.dtype)
        grad_filters = torch.zeros_like(filters, dtype=dtype)
        grad_bias = filters.new_zeros(filters.shape[2], dtype=dtype)
        grad_images = filters.new_empty(number, height, width, channels)
        at_once = _images_at_once(*grad_output.shape[1:3], filters.element_size())
        inside = (..., slice(padding, padding + height), slice(padding, padding + width), slice(None))
        parts = (None for _ in kept) if images is None else images.split(at_once)
        for points, part, grad, result in zip(kept, parts, grad_output.split(at_once), grad_images.split(at_once)):
            below, right = -grad.shape[1] % TILE, -grad.shape[2] % TILE
            grad = F.pad(grad, (0, 0, 0, right, 0, below)) if below or right else grad  # (n, 4 h, 4 w, O)
            shape = len(grad), grad.shape[1] // TILE, grad.shape[2] // TILE
            grad = grad.reshape(shape[0], shape[1], TILE, shape[2], TILE, -1).permute(2, 4, 0, 1, 3, 5)
            grad = to_output.t() @ grad.reshape(TILE**2, -1)  # (w^2, T * O)
            grad = grad.view(len(filters), -1, filters.shape[2])  # (w^2, T, O)
            grad_bias += grad[TILE + size].sum(0, dtype=dtype)  # at the point (1, 1), which adds up a tile
            if filters.dtype is dtype:
                grad_filters.baddbmm_(points.transpose(1, 2), grad)
            else:  # a sum of many parts in bfloat16 would lose the later ones
                grad_filters += torch.bmm(points.transpose(1, 2), grad)
            grad = torch.bmm(grad, filters.transpose(1, 2)).view(len(filters), -1)  # (w^2, T * C)
            grad = (to_points.t() @ grad).view(TILE + size - 1, TILE + size - 1, *shape, channels)
            grad = _scatter(grad)[inside]
            result.copy_(grad) if part is None else torch.ops.aten.threshold_backward(grad, part, 0, grad_input=result)
        grad_kernel = _transforms(size, dtype)[1].t() @ grad_filters.view(len(filters), -1)  # (k^2, C * O)
        grad_kernel = grad_kernel.view(size, size, channels, -1).permute(3, 2, 0, 1)  # (O, C, k, k)
        return grad_images, grad_kernel, grad_bias, None, None, None


def _images_at_once(height, width, value_size):
    """How many images of this size, in values of so many bytes, have about `TILES_AT_ONCE` tiles in float32."""
    tiles = TILES_AT_ONCE * 4 // value_size
    return max(tiles // (-(-height // TILE) * -(-width // TILE)), 1)


def _transform_kernel(kernel):
    """(O, C, k, k) to (w^2, C, O)."""
    to_filters = _transforms(kernel.shape[-1], kernel.dtype)[1]
    taps = kernel.permute(2, 3, 1, 0).reshape(to_filters.shape[1], -1)  # (k^2, C * O)
    return (to_filters @ taps).view(len(to_filters), kernel.shape[1], -1)


def _gather(images, size, padding, rows, columns, relu):
    """The overlapping windows of so many rows and columns of tiles: (n, H, W, C) to (w^2, n * h * w * C)."""
    number, height, width, channels = images.shape
    window = TILE + size - 1
    below, right = rows * TILE + size - 1 - padding - height, columns * TILE + size - 1 - padding - width
    images = F.pad(images, (0, 0, padding, right, padding, below))  # a copy, which stays in the cache
    images = F.relu_(images) if relu else images
    image, row, column, _ = images.stride()
    windows = images.as_strided(
        (window, window, number, rows, columns, channels), (row, column, image, TILE * row, TILE * column, 1)
    )
    return windows.reshape(window**2, -1)


def _scatter(windows):
    """The transpose of `_gather`: add up windows (w, w, n, h, w, C) where they overlap, padding included."""
    windows = windows.permute(2, 3, 0, 4, 1, 5)  # (n, h, w, w, w, C)
    number, rows, window, columns, _, channels = windows.shape
    total = windows.new_empty(number, rows + 1, TILE, columns + 1, TILE, channels)
    total[:, -1] = total[:, :, :, -1] = 0
    rest = window - TILE
    total[:, :-1, :, :-1] = windows[:, :, :TILE, :, :TILE]
    total[:, 1:, :rest, :-1] += windows[:, :, TILE:, :, :TILE]
    total[:, :-1, :, 1:, :rest] += windows[:, :, :TILE, :, TILE:]
    total[:, 1:, :rest, 1:, :rest] += windows[:, :, TILE:, :, TILE:]
    return total.flatten(3, 4).flatten(1, 2)  # (n, 4 h + 4, 4 w + 4, C)


def multiplies_bfloat16(device):
    """Whether PyTorch finds that this processor or GPU multiplies bfloat16 in hardware; False where it cannot tell."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and any(capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@lru_cache(maxsize=None)
def capabilities():
    """What PyTorch finds that this processor can do, True by its name; nothing where it cannot tell."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def near(images, device):
    """The images on this device, if it has room for `ROOM` times as many; else where they are."""
    return images.to(device) if ROOM * images.numel() * images.element_size() < memory_left(device) else images


def memory_left(device):
    """Bytes that are free on a GPU; 0 elsewhere, also where they are not known."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


_keeping, _lock = [0], threading.Lock()


@contextmanager
def keep_memory(size):
    """While inside, memory that large tensors leave stays with the process, for the next ones; then it is given back.

    By default every large tensor is mapped anew and each of its pages faults, which takes a third of the time of a
    float32 step. For glibc on Linux only; nothing happens for batches of fewer values than `LARGE`, or where the user
    has settings of his own. glibc's thresholds adapt to what a process frees, until they are set once: afterwards they
    are the highest that they adapt to, those of a process that has freed large tensors.
    """
    libc = _glibc() if size >= LARGE else None
    if libc is None:
        yield
        return
    with _lock:  # several threads may predict at once
        _keeping[0] += 1
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        with _lock:
            _keeping[0] -= 1
            if not _keeping[0]:
                libc.mallopt(M_MMAP_MAX, 65_536)
                libc.mallopt(M_MMAP_THRESHOLD, HIGHEST_THRESHOLD)
                libc.mallopt(M_TRIM_THRESHOLD, 2 * HIGHEST_THRESHOLD)
                libc.malloc_trim(0)


@lru_cache(maxsize=None)
def _glibc():
    """The C library, if it is glibc and its allocator is the process's own with its settings as they are by default."""
    if any(name.startswith("MALLOC_") or name in ("LD_PRELOAD", "GLIBC_TUNABLES") for name in os.environ):
        return None
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version, libc.mallopt, libc.malloc_trim  # noqa: B018
        return libc
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return None
