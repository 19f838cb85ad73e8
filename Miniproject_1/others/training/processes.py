"""One training on several processes, on one machine or on several, started by PyTorch's torchrun.

    torchrun --nproc-per-node=2 -m Miniproject_1 train DATA --output m.pth

Every process takes its share of each batch. The gradients are averaged over the processes by
`DistributedDataParallel`, so all take the same step. BatchNorm (Ioffe and Szegedy, 2015) takes its
statistics from the share alone; the running ones are those of the first process.
"""

import gc
import os
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ...model import check_device


@contextmanager
def team_of_processes(device=None):
    """A `Team` of the processes that torchrun has started; without it, this one is alone.

    All processes but the first are silent.

    Args:
        device: as in `Model`. "cuda": each process takes the GPU of its own number on its machine.

    Raises:
        ValueError: there is no such device, or several processes were not started by torchrun.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        yield Team(check_device(device))
        return
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        text = "start several processes by torchrun, or unset WORLD_SIZE for one"
        raise ValueError(f"WORLD_SIZE is {size}, but torchrun has not started this process: {text}")
    if device in (None, "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    device = check_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with ExitStack() as stack:
        if os.environ["RANK"] != "0":
            stack.enter_context(redirect_stdout(None))
            stack.enter_context(redirect_stderr(None))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield Team(device, dist.get_rank(), size)
        finally:
            dist.destroy_process_group()


class Team:
    """The processes of a training; most often there is one.

    Attributes:
        device: on which this process trains.
        rank: the number of this process; the first one, 0, prints and writes files.
        size: the number of processes.
    """

    def __init__(self, device, rank=0, size=1):
        self.device = device
        self.rank = rank
        self.size = size
        self.is_first = rank == 0

    def check_batch_size(self, number):
        """Raise ValueError unless the pairs of a batch are equally many for each process."""
        if number % self.size > 0:
            text = f"a multiple of the number of processes, {self.size}, got {number}"
            raise ValueError(f"the batch size must be {text}")

    @contextmanager
    def shared(self, training):
        """Within this, all processes carry out a `Training` together, each with the same one."""
        if self.size == 1:
            yield
            return
        forward, batches, loss = training.forward, training.batches, training.loss
        own_pairs = slice(self.rank, None, self.size)
        training.forward = DistributedDataParallel(forward)
        training.batches = lambda step: batches(step, own_pairs)

        def averaged(output, target):
            """The mean loss of all processes, with the gradient of this one; all judge by it."""
            own = loss(output, target)
            mean = own.detach() / self.size
            dist.all_reduce(mean)
            return mean + (own - own.detach())

        training.loss = averaged
        try:
            yield
        finally:
            training.forward, training.batches, training.loss = forward, batches, loss
            gc.collect()
        # After a DistributedDataParallel the group's threads live on until Python ends, and abort
        # the process if one holds a tensor then. At a barrier they have let go of all tensors, so
        # no process may use the group behind this one.
        dist.barrier()

    def largest(self, *numbers):
        """Of each of these numbers, the largest that any process gives; a list."""
        if self.size == 1:
            return list(numbers)
        largest = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def equalize(self, network):
        """Give the network of the first process to all of them."""
        if self.size > 1:
            for value in network.state_dict().values():
                dist.broadcast(value, 0)
