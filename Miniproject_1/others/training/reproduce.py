"""The recipe of the shipped weights: fresh ones, pairs of noisy images alone, one run.

    python -m Miniproject_1 reproduce PHOTOS --output FILE

Every pair is drawn when its step comes: a crop of a photograph, flipped and turned at random, and two independent
single draws of its noise. No image is clean and none is a mean of draws, and no pair is seen twice. Photographs kept
apart measure the way; nothing is chosen by them. The run has three parts, at the end of each of which the learning rate
is zero; the later ones have a small one, and more of the course's own noise.

The settings were compared from fresh weights over 24,000 pairs and two seeds, at the end of a falling learning rate, on
500 pairs of photographs kept apart; `results/search.json` of the study has the scores. Seeds differ by 0.01 to 0.1 dB.
`careful` and `decay` were not: one unfinished run each with other values led to them. The later parts were added since
the first ended at 26.29 dB on the 1,000 pairs of the README and the second at 26.33, still rising. Channels that are
zero everywhere are drawn anew at every measurement, until the rate first falls.
"""

import torch

from ...model import Model, check_number, forward
from ..data.pairs import psnr
from ..data.photos import PhotoPairs, distinct_photos, make_pairs, noisy_and_clean, readable_photos, split
from . import longrun
from .muon import Muon
from .revive import revive

RECIPE = dict(
    pairs=1_760_000,  # 12 hours on two cores: 7.8 for a million in float32, 4.4 for the rest in bfloat16
    batch_size=16,  # 8 did alike, 32 ended 0.12 dB lower after as many pairs
    initialization="xavier",
    parts=(0, 25 / 44, 33 / 44),  # shares of the steps after which they begin: at 1,000,000 and 1,320,000 pairs
    learning_rate=(0.004, 0.0012, 0.0012),  # of each part; in the first, 0.002 and 0.008 ended within 0.04 dB of it
    decay=(2 / 3, 1, 1),  # share of a part in which the rate falls to zero: after 200,000 pairs 0.004 teaches no more
    warm_up=500,  # steps in which it rises from zero; without, a third of the first layer is soon zero everywhere
    momentum=0.95,
    weight_decay=0.1,  # of kernels that a BatchNorm follows, and so may have any size; +0.02 dB
    careful=0.25,  # factor of the rate for all else; with 1, channels that no BatchNorm follows die
    small_crops=(0.4, 0.2, 0.2),  # share of the pairs with blocks from 2 x 2 pixels on: noise weaker than the course's
    gaussian=0.15,  # share of the pairs with Gaussian noise on both images; costs nothing on the others
    precision="auto",
    seed=0,
    shrink=None,
)
NORMALIZED = (4, 7, 10, 11, 14)  # layers that a BatchNorm follows; 10 and 11 are one convolution
REVIVE_BATCHES = 16  # 256 images, on which a channel must be zero to be drawn anew
VALIDATION_SHARE = 0.05  # of the photographs, kept apart whatever the seed
VALIDATION_PAIRS = 8  # of each of them
VALIDATION_STEPS = 2_500  # from one measurement to the next: 40,000 pairs, 7 to 14 minutes on two cores


def add_options(parser):
    longrun.add_options(parser)
    for name, text in (
        ("pairs", f"pairs to draw; default: {RECIPE['pairs']}"),
        ("seed", "of all random choices; default: 0"),
        ("shrink", "reduce photographs whose short side has more pixels"),
    ):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)


def reproduce(options):
    """Train fresh weights by the recipe; returns the exit status."""
    if options.deadline is not None:
        check_number("deadline", options.deadline, 0)
    with longrun.team(options.device) as team:
        saved, settings, outputs = longrun.begin(options, RECIPE, team)
        model, training, pairs, validation, data = start(options, settings, team)
        schedule = Schedule(settings, training.num_steps)
        about = dict(settings=settings, data=data, machines=[], curve=[])
        if saved:
            if saved["about"]["data"] != data:
                raise ValueError(f"--resume: {options.resume} was begun with other photographs")
            training.load_state_dict(saved)
            about = saved["about"]
        machine = dict(processor=longrun.processor(model.device), threads=torch.get_num_threads(),
                       torch=str(torch.__version__))  # fmt: skip
        about["machines"] += [machine] * (machine not in about["machines"])
        about["output"] = str(outputs[0].resolve())

        def watch():
            step = len(training.history["loss"])
            if team.first and (step % VALIDATION_STEPS == 0 or step == training.num_steps):
                about["curve"].append(measured(training, model, validation, settings["batch_size"]))
                print(", ".join(f"{name} {value}" for name, value in about["curve"][-1].items()), flush=True)
            if step % VALIDATION_STEPS == 0 and not schedule.has_fallen(step):
                images = torch.cat([pairs(step + ahead)[0] for ahead in range(REVIVE_BATCHES)])
                number = revive(model.network, images.to(model.device) / 255, settings["seed"] + step)
                if number and team.first:
                    about["curve"][-1]["revived"] = number
                    print(f"{number} channels were zero everywhere and are drawn anew", flush=True)

        def record():
            return {name: value for name, value in about.items() if name != "output"}

        command = f"reproduce {options.photos}"
        finished = longrun.carry_out(command, training, outputs, about, options.deadline, record, watch, team)
    return 0 if finished else 130


def start(options, settings, team):
    """The model, its `Training` and pairs, noisy and clean images to validate on, what the record tells of the data."""
    if not options.photos.is_dir():
        raise NotADirectoryError(f"{options.photos} is not a folder of photographs")
    batch_size, seed, shrink = (settings[name] for name in ("batch_size", "seed", "shrink"))
    num_steps = -(-check_number("pairs", settings["pairs"], 1, whole=True) // batch_size)
    photos = readable_photos(distinct_photos(options.photos), shrink, longrun.say)
    if len(photos) < 2:
        raise ValueError(f"{options.photos} has {len(photos)} usable photographs; at least 2 are needed")
    generator = torch.Generator().manual_seed(0)
    kept, rest = split(photos, VALIDATION_SHARE, (1, 1), generator)
    schedule = Schedule(settings, num_steps)
    pairs = PhotoPairs(rest, batch_size, schedule.small_crops, settings["gaussian"], seed, shrink)
    validation = make_pairs(kept, VALIDATION_PAIRS * len(kept), noisy_and_clean, generator, shrink)
    data = dict(photographs=len(rest), pixels=len(pairs.pixels), sum=pairs.pixels.sum().item(), kept_apart=len(kept),
                validation_pairs=len(validation[0]), noisy_psnr=psnr(*validation).mean().item())  # fmt: skip
    model = Model(settings["initialization"], seed, team.device)
    optimizer = optimizer_of(model.network, settings)
    training = team.training(
        model.network, team.share(pairs), num_steps, hybrid=False, optimizer=optimizer, learning_rate=1.0,
        decay=schedule.learning_rate, momentum=settings["momentum"], precision=settings["precision"],
    )  # fmt: skip
    return model, training, pairs, validation, data


class Schedule:
    """What the recipe says of a step, which depends on the part that it is in."""

    def __init__(self, settings, num_steps):
        self.settings = settings
        self.begins = [round(share * num_steps) for share in settings["parts"]] + [num_steps]  # steps

    def part(self, step):
        return sum(begin <= step for begin in self.begins[1:-1])

    def learning_rate(self, step):
        """It rises over `warm_up` steps and falls to zero in the last `decay` of the part."""
        part = self.part(step)
        begin, end = self.begins[part : part + 2]
        rises, falls = (step - begin + 1) / self.settings["warm_up"], (end - step) / (end - begin)
        return self.settings["learning_rate"][part] * min(rises, 1) * min(falls / self.settings["decay"][part], 1)

    def small_crops(self, step):
        return self.settings["small_crops"][self.part(step)]

    def has_fallen(self, step):
        """Whether the learning rate has begun to fall."""
        return step >= (1 - self.settings["decay"][0]) * self.begins[1]


def optimizer_of(network, settings):
    """Muon, as `Training` takes it: weight decay for kernels that a BatchNorm follows, smaller steps for all else."""
    kernels = [network[index].weight for index in NORMALIZED]
    rest = [parameter for parameter in network.parameters() if all(parameter is not kernel for kernel in kernels)]
    groups = dict(params=kernels, weight_decay=settings["weight_decay"]), dict(params=rest, factor=settings["careful"])
    return lambda _, rate, momentum: Muon([{**group} for group in groups], rate, momentum)


def measured(training, model, validation, batch_size):
    """A point of the learning curve."""
    history, (noisy, clean) = training.history, validation
    step, losses = len(history["loss"]), history["loss"][-VALIDATION_STEPS:]
    score = psnr(model.predict(noisy, average=False).cpu(), clean).mean().item()
    return dict(
        step=step, pairs=step * batch_size, hours=round(history["seconds"][-1] / 3600, 3),
        learning_rate=history["learning_rate"][-1], loss=round(sum(losses) / len(losses), 6),
        psnr_one_pass=round(score, 3), dead_channels=dead_channels(model.network, noisy.to(model.device) / 255),
    )  # fmt: skip


def dead_channels(network, images):
    """How many channels are nowhere positive, in each of the layers that a ReLU follows but no BatchNorm."""
    with torch.no_grad():
        features = [forward(network[: index + 1], images, training=False) for index in (0, 2, 17, 19)]
    return [int((each.amax((0, 2, 3)) <= 0).sum()) for each in features]
