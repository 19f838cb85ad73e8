"""A network with the same parameters and the same outputs that needs less arithmetic.

Layers 10 and 11 of Appendix A of Brown et al. (counted from 0) have nothing between them, so they
are merged into one convolution, which saves a third of the arithmetic. A transposed convolution
with stride 1 is an ordinary one whose kernel is flipped. In evaluation mode a BatchNorm is folded
into the kernel before it. On a CPU, `winograd.py` computes the large convolutions with fewer
products.
"""

import re
from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import winograd
from .graphs import GraphedNetwork
from .memory import keep_memory_for
from .precision import uses_bfloat16

WIDE = 64  # channels on both sides of a convolution; 99.9 % of the work is in such ones
LARGE_BATCH = 16 * 3 * 32 * 32  # values of a batch whose feature maps are hundreds of megabytes
HOOKS = ("forward_pre_hooks", "forward_hooks", "backward_pre_hooks", "backward_hooks")


def accelerated(network: nn.Module, precision: str = "float32") -> nn.Module:
    """Return a module with the same parameters and outputs as a network, which is faster.

    In evaluation mode the kernels are prepared at the first call. They are kept until `train()` or
    `eval()` of the returned module is called, or it computes in training mode; until then a change
    of the weights is not seen. No gradient reaches them.

    Args:
        network: maps (N, C, H, W) to (N, C, H, W). An `nn.Sequential` of convolutions, BatchNorms
            and layers without weights is taken apart. Any other module is called as it is.
        precision: "float32" stands for the dtype of the weights. "bfloat16": in all convolutions
            with at least 64 channels on both sides, and in all others too when a GPU trains. The
            weights, their gradients, inputs and outputs keep their dtype. "auto": bfloat16 where
            the hardware multiplies it.

    Returns:
        a module in the mode of the network. It is the network itself, in the dtype of its weights,
        where hooks would not be called or layers have classes other than PyTorch's own. Register
        hooks before this call: later ones may not be called.
    """
    if has_hooks(network) or has_foreign_layers(network):
        return network
    device = next(network.parameters()).device
    bfloat16 = uses_bfloat16(precision, device)
    if is_in_blocks(network):
        return Accelerated(InBlocks(network, bfloat16))
    return Accelerated(WithAutocast(network, bfloat16))


def has_hooks(network: nn.Module) -> bool:
    """Whether a network or a layer of it has hooks, by which PyTorch also prunes weights."""
    hooks = [getattr(nn.modules.module, f"_global_{kind}", None) for kind in HOOKS]
    for module in network.modules():
        hooks += [getattr(module, f"_{kind}", None) for kind in HOOKS]
    return any(hooks)


def has_foreign_layers(network: nn.Module) -> bool:
    """Whether an `nn.Sequential` or a layer of it is of a class that is not PyTorch's own."""
    if not isinstance(network, nn.Sequential):
        return False
    modules = [network, *network]
    return not all(type(module).__module__.startswith("torch.nn.modules.") for module in modules)


def is_in_blocks(network: nn.Module) -> bool:
    """Whether all layers with weights are in a row, and of kinds that `Block` computes."""
    if not isinstance(network, nn.Sequential):
        return False
    return not any(layer.state_dict() for layer in network if letter_of(layer) == "-")


class Accelerated(nn.Module):
    """Computes in channels_last, keeps memory on a CPU, and uses CUDA graphs on a GPU."""

    def __init__(self, computation: nn.Module):
        super().__init__()
        self.computation = computation
        self.graphed = GraphedNetwork(computation)
        self.keeps_memory = False

    def forward(self, images: Tensor) -> Tensor:
        device = images.device.type
        if device == "cpu" and images.numel() >= LARGE_BATCH and not self.keeps_memory:
            keep_memory_for(self)
            self.keeps_memory = True
        features = images
        if device != "mps":
            features = images.contiguous(memory_format=torch.channels_last)
        output = None
        is_training = self.computation.network.training and torch.is_grad_enabled()
        if device == "cuda" and is_training:
            output = self.graphed(features)
        if output is None:
            output = self.computation(features)
        return output.to(images.dtype)


class WithAutocast(nn.Module):
    """A network of any kind, whose products are in bfloat16 if that is wanted."""

    def __init__(self, network: nn.Module, bfloat16: bool):
        super().__init__()
        self.network = network
        self.bfloat16 = bfloat16

    def forward(self, images: Tensor) -> Tensor:
        if not self.bfloat16:
            return self.network(images)
        # without its cache, which a graph cannot have
        with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
            return self.network(images)


class InBlocks(nn.Module):
    """A network of layers one after another, computed block by block."""

    def __init__(self, network: nn.Sequential, bfloat16: bool):
        super().__init__()
        self.network = network
        self.blocks = blocks_of(network, bfloat16)  # a list, so that parameters are not found twice
        self.folded_blocks = None

    def train(self, mode: bool = True) -> nn.Module:
        self.folded_blocks = None
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for block in self.current_blocks():
            features = block(features)
        return features

    def current_blocks(self) -> List:
        if self.network.training:
            self.folded_blocks = None
            return self.blocks
        if self.folded_blocks is None:
            with torch.no_grad():
                self.folded_blocks = [
                    FoldedBlock(block) if isinstance(block, Block) else block
                    for block in self.blocks
                ]
        return self.folded_blocks


class Block:
    """A convolution, or two that are one, with the ReLU before and the BatchNorm behind it.

    The ReLU is that before it, since Winograd's convolution applies it on the way, which saves
    reading and writing the feature maps once more.
    """

    def __init__(self, layers: List[nn.Module], bfloat16: bool):
        self.relu = isinstance(layers[0], nn.ReLU)
        self.convolutions = [layer for layer in layers if is_convolution(layer)]
        self.norm = layers[-1] if isinstance(layers[-1], nn.BatchNorm2d) else None
        self.bfloat16 = bfloat16

    def __call__(self, features: Tensor) -> Tensor:
        kernel, bias, padding = self.as_one_convolution(self.bfloat16)
        # A GPU waits for memory at the large feature maps of the narrow convolutions
        bfloat16 = self.bfloat16 and (is_wide(kernel) or features.device.type == "cuda")
        features = convolved(features, kernel, bias, padding, self.relu, bfloat16)
        return features if self.norm is None else self.norm(features)

    def as_one_convolution(self, bfloat16: bool):
        """Kernel (O, C, k, k), bias (O,) and padding, with gradients to the layers' parameters."""
        if len(self.convolutions) == 2:
            return merged(*self.convolutions, bfloat16)
        (layer,) = self.convolutions
        if isinstance(layer, nn.Conv2d):
            return layer.weight, layer.bias, layer.padding[0]
        kernel = layer.weight.transpose(0, 1).flip(2, 3)
        return kernel, layer.bias, layer.kernel_size[0] - 1 - layer.padding[0]


class FoldedBlock:
    """A block in evaluation mode: kernel and bias as they were, with the BatchNorm in them."""

    def __init__(self, block: Block):
        kernel, bias, padding = block.as_one_convolution(bfloat16=False)  # once, so exactly
        if block.norm is None:
            kernel, bias = kernel.clone(), bias.clone()
        else:
            norm = block.norm
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (O,)
            kernel = kernel * scale[:, None, None, None]
            bias = (bias - norm.running_mean) * scale + norm.bias
        self.arguments = kernel, bias, padding, block.relu, block.bfloat16 and is_wide(kernel)

    def __call__(self, features: Tensor) -> Tensor:
        return convolved(features, *self.arguments)


def is_wide(kernel: Tensor) -> bool:
    return min(kernel.shape[:2]) >= WIDE


def convolved(features, kernel, bias, padding, relu, bfloat16):
    """The convolution of the features, or of their positive part, in one precision or the other."""
    dtype = torch.bfloat16 if bfloat16 else kernel.dtype
    features = features.to(dtype)
    if features.device.type == "cpu":
        return winograd.conv2d(features, kernel, bias, padding, relu)
    if relu:
        features = F.relu_(features)
    return F.conv2d(features, kernel.to(dtype), bias.to(dtype), padding=padding)


def merged(conv: nn.Conv2d, deconv: nn.ConvTranspose2d, bfloat16: bool):
    """Kernel, bias and padding of the 3 x 3 convolution that both of these 2 x 2 layers are.

    With kernels c (M, I, 2, 2) and t (M, O, 2, 2), it has

        K[o, i, d] = sum of t[m, o, a] c[m, i, b] over m and over all a, b with 1 + b - a = d,

    where a is a place in t, b one in c and d one in K, each a row and a column. The bias of `conv`
    passes through all of t. No term is lost at the border, since the padding of both is 1.
    """
    c, t = conv.weight, deconv.weight
    bias = deconv.bias + torch.einsum("moyx,m->o", t, conv.bias)
    dtype = torch.bfloat16 if bfloat16 else c.dtype
    # y, x: row and column in t; p, q: row and column in c
    taps = torch.einsum("moyx,mipq->yxopqi", t.to(dtype), c.to(dtype))  # (2, 2, O, 2, 2, I)
    taps = taps.to(c.dtype)
    kernel = 0
    for row in range(2):
        for column in range(2):
            tap = taps[row, column].permute(0, 3, 1, 2)  # (O, I, 2, 2), for this place of t
            kernel = kernel + F.pad(tap, (1 - column, column, 1 - row, row))  # (O, I, 3, 3)
    return kernel, bias, 1


def blocks_of(network: nn.Sequential, bfloat16: bool) -> List:
    """The layers of a network as blocks, and those that are in no block as they are.

    A letter for each layer makes the network a word: Appendix A begins with CRCRCNR. In it, a block
    is an optional ReLU, a convolution C, a transposed one T or both, and an optional BatchNorm N.
    So CRCRCNR becomes C, RC, RCN and the beginning of the next block, R.
    """
    layers = list(network)
    word = "".join(letter_of(layer) for layer in layers)
    blocks = []
    # A block's ReLU works in place, so it must follow a layer whose backward pass does not need the
    # layer's output: a convolution or a BatchNorm
    for match in re.finditer("(?:(?<=[CTctN])R)?(CT|C|T|c|t)N?|.", word):
        found = layers[match.start() : match.end()]
        if match.group(1):
            blocks.append(Block(found, bfloat16))
        else:
            blocks.extend(found)
    return blocks


def letter_of(layer: nn.Module) -> str:
    """The kind of a layer; convolutions that can be merged have capital letters."""
    if isinstance(layer, nn.ReLU):
        return "R"
    if isinstance(layer, nn.BatchNorm2d) and layer.affine and layer.track_running_stats:
        return "N"
    if not is_convolution(layer):
        return "-"
    letter = "t" if isinstance(layer, nn.ConvTranspose2d) else "c"
    is_mergeable = layer.kernel_size == (2, 2) and layer.padding == (1, 1)
    return letter.upper() if is_mergeable else letter


def is_convolution(layer: nn.Module) -> bool:
    """Whether this is a convolution, transposed or not, of the kind that `Block` computes."""
    if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) or layer.bias is None:
        return False
    if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
        return False
    if isinstance(layer, nn.ConvTranspose2d) and layer.output_padding != (0, 0):
        return False
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    is_square = len(set(layer.kernel_size)) == len(set(layer.padding)) == 1
    return is_square and layer.padding[0] < layer.kernel_size[0]
