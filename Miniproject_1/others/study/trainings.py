"""One training of the study: from settings and a seed to the scores of photographs kept apart."""

import math
from dataclasses import asdict
from datetime import datetime, timezone

import torch

from ...model import LBFGS_ITERATIONS, Model, Safeguard, Training
from ..data.noises import NOISES
from ..metrics import LOSSES, psnr
from ..training.long_run import processor
from ..training.optimizers import ALL_OPTIMIZERS
from .networks import seeded_network

CURVE_POINTS = 10  # scores on the way, evenly spaced
LAST_POINTS = 5  # more of them in the last tenth of a training at a constant rate
LOSS_POINTS = 100  # mean losses, each over as many steps


class NoWayBack(Safeguard):
    """Lets a training go on whatever its loss is, as long as all is finite."""

    def undo_if_exploded(self, loss):
        self.usual_loss = 1e300  # no float32 is a thousand times as large
        return super().undo_if_exploded(loss)


class StudyTraining:
    """A training that ends after a number of gradients, and is scored on its way.

        while not training.is_finished:
            training.take_step()

    It has the `Settings` of an arm. Photographs of the `Material`, crops, noise, weights and order
    follow from the seed.
    """

    def __init__(self, settings, seed, material):
        self.settings = settings
        self.device = material.device
        self.reporting, self.choosing = material.kept_apart(settings.noise)
        self.spent = 0  # gradients so far, counted as the settings want it
        self.curve = []  # pairs of gradients so far and mean PSNR in dB of one pass
        self.last = []  # at a constant rate, the PSNR of each image at the last points of the curve
        network = seeded_network(settings.network, settings.initialization, seed)
        self.model = Model(device=self.device)  # whose `predict` serves any network
        self.model.network = network.to(self.device)
        optimizer, lbfgs_iterations = settings.optimizer, 0
        if settings.hybrid:
            lbfgs_iterations = LBFGS_ITERATIONS
        elif optimizer == "L-BFGS":
            optimizer, lbfgs_iterations = "momAGD", settings.gradients  # it never comes to momAGD
        loss = "mse" if settings.noise == "blocks" else NOISES[settings.noise].loss
        self.training = Training(
            self.model.network,
            material.batches(settings, seed),
            num_steps=settings.gradients,
            lbfgs_iterations=lbfgs_iterations,
            optimizer=ALL_OPTIMIZERS[optimizer].function,
            learning_rate=self.learning_rate,
            momentum=settings.momentum,
            loss=LOSSES[loss],
        )
        if not settings.safeguard:
            self.training.safeguard = NoWayBack(self.model.network)

    @property
    def diverged(self):
        """Whether the loss left all bounds, so that the training went back to earlier weights."""
        return self.training.safeguard.rollbacks > 0

    @property
    def is_finished(self):
        """Whether all gradients are spent, or the loss has left all bounds."""
        return self.spent >= self.settings.gradients or self.diverged

    def learning_rate(self, step):
        """The learning rate, by the share of the gradients that is spent."""
        settings = self.settings
        share = self.spent / settings.gradients
        rate = settings.learning_rate
        if share < settings.warm_up:
            rate *= (self.spent + 1) / (settings.warm_up * settings.gradients + 1)
        if settings.rate == "falling":
            rate *= 1 - share
        return rate

    def take_step(self):
        """Take a step, and score the network if a point of the curve is passed."""
        before = self.spent
        self.training.take_step()
        evaluations = self.training.history["evaluations"][-1]
        self.spent += evaluations if self.settings.lbfgs_counts else 1
        total = self.settings.gradients
        is_last = self.settings.rate == "constant" and self.spent > (1 - 1 / CURVE_POINTS) * total
        points = CURVE_POINTS * LAST_POINTS if is_last else CURVE_POINTS
        if self.spent * points // total > before * points // total:
            scores = self.psnr_of(self.reporting)
            self.curve.append([self.spent, scores.mean().item()])
            if is_last:
                self.last.append([scores, self.psnr_of(self.choosing)])

    def psnr_of(self, images):
        """The PSNR in dB of each of some `material.Images`, denoised: (N,), on the CPU."""
        denoised = self.model.predict(images.noisy, average=False)
        return psnr(denoised, images.clean).cpu()

    def state_dict(self):
        """What the training needs to go on."""
        return {
            "settings": asdict(self.settings),
            "training": self.training.state_dict(),
            "spent": self.spent,
            "curve": self.curve,
            "last": self.last,
        }

    def load_state_dict(self, state):
        """Go on where another training of these settings and this seed gave its state.

        Raises:
            ValueError: it was a training of other settings.
        """
        if state["settings"] != asdict(self.settings):
            raise ValueError("a checkpoint of other settings")
        self.training.load_state_dict(state["training"])
        self.spent = state["spent"]
        self.curve = state["curve"]
        self.last = state["last"]

    def result(self):
        """What the training has found, a dict for JSON. PSNRs are in dB."""
        reporting = self.psnr_of(self.reporting)
        choosing = self.psnr_of(self.choosing)
        if self.last and not self.diverged:
            reporting, choosing = (torch.stack(each).median(0).values for each in zip(*self.last))
        history = self.training.history
        gradients = sum(history["evaluations"])
        return {
            "diverged": self.diverged,  # whether the loss left all bounds, which ended the training
            # Of each image to report by, in one pass; at a constant rate, where the score moves
            # from step to step, the median of the last `LAST_POINTS` measurements
            "psnr_one_pass": [round(score, 3) for score in reporting.tolist()],
            "psnr_choosing": choosing.mean().item(),  # mean of the images to choose by
            # Mean of the noisy images to report by, which tells other photographs
            "psnr_noisy": psnr(self.reporting.noisy, self.reporting.clean).mean().item(),
            "curve": [[spent, round(score, 3)] for spent, score in self.curve],
            "losses": mean_losses(history["loss"]),
            "gradients": gradients,  # that were computed, those within L-BFGS too
            "pairs": gradients * self.settings.batch_size,  # L-BFGS sees several of them again
            "seconds": round(history["seconds"][-1], 1),  # in steps
            "device": processor(self.device),
            "torch": str(torch.__version__),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }


def mean_losses(losses):
    """Means of `LOSS_POINTS` equal parts of a list, four digits each; the list if it is shorter."""
    length = max(math.ceil(len(losses) / LOSS_POINTS), 1)
    parts = [losses[start : start + length] for start in range(0, len(losses), length)]
    return [float(f"{sum(part) / len(part):.4g}") for part in parts]
