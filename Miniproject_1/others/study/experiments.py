"""The experiments of the study, as data: what is trained, how long, and with which seeds.

An experiment has arms that differ in what its question asks about. Each arm is trained once for
each seed. A seed draws its own photographs, crops, noise, weights and order of the images; arms
share them, so that they are compared seed by seed.
"""

from dataclasses import dataclass, replace

from ...model import FLIPS, INITIALIZATIONS
from ..data.noises import NOISES
from ..training.optimizers import ALL_OPTIMIZERS
from .networks import NETWORKS, networks_of

FRESH = None  # images: every pair is drawn when its step comes, and none is seen twice
IMAGES_OF_EACH = 2  # images of each photograph kept apart, by which trainings are scored, in a row
SEARCH_SEED = 0  # a learning rate is chosen with this seed, and reported with others
LARGEST_SEARCH = 10  # learning rates that are tried for an arm at most


@dataclass(frozen=True)
class Settings:
    """All that a training depends on, except for its seed."""

    network: str = "Appendix A"  # in `networks.NETWORKS`
    initialization: str = "masked xavier"  # in `model.INITIALIZATIONS`, or "pytorch"
    images: int | None = FRESH  # how many there are; `FRESH`: as many as there are pairs
    # Noisy versions of each image. Of two, the first is the input and the second the target; of
    # more, every ordered pair of them is an input and a target
    draws: int = 2
    noise: str = "blocks"  # the course's; or in `data.noises.NOISES`
    target: str = "noisy"  # or "clean"; or "neighbours": pairs from single pictures
    flips: tuple = ()  # of fixed images, as the next two: see `model.Batches`
    flip_fraction: float = 0.5
    swap: bool = False
    appended: float = 0.0  # share of the fixed pairs that are there once more, flipped vertically
    optimizer: str = "Muon"  # in `training.optimizers.ALL_OPTIMIZERS`, or "L-BFGS"
    hybrid: bool = False  # begin with five iterations of L-BFGS
    learning_rate: float = 0.004  # its highest value
    rate: str = "falling"  # to zero in a straight line; or "constant"
    warm_up: float = 0.0  # share of the training in which the rate rises from zero
    momentum: float = 0.95
    batch_size: int = 64  # pairs of which a gradient is computed
    gradients: int = 1_000  # how many are computed in all
    lbfgs_counts: bool = True  # each gradient in L-BFGS does; if not, each iteration, of some 25
    safeguard: bool = True  # end it when the loss explodes; if not, when it is not finite


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: str  # what distinguishes it within its experiment
    settings: Settings
    # Learning rates with which a search for the best one begins; without them that of the settings
    # is taken. The search goes on in both directions, each time by the ratio of the outermost two
    # rates, until the best rate has worse ones on both sides
    rates: tuple = ()


@dataclass(frozen=True)
class Experiment:
    """Arms that answer a question, each trained with every seed."""

    question: str
    arms: list
    seeds: tuple = (1, 2, 3)


def muon(pairs, batch_size=64, **changes):
    """Settings for Muon and so many pairs in all; unless changed, each of them is seen once."""
    gradients = round(pairs / batch_size)
    return Settings(warm_up=0.02, batch_size=batch_size, gradients=gradients, **changes)


# ----------------------------------------------------------------------------------------------
# Noisy and clean targets

FLIPS_COMPARED = {  # and what they change in the settings
    "a quarter flipped": {"flips": ("vertical",), "flip_fraction": 0.25},
    "exchange": {"swap": True},
    "all 8 flips": {"flips": tuple(FLIPS)},
    "all 8 flips, exchange": {"flips": tuple(FLIPS), "swap": True},
}


def fresh_targets(*thousands):
    """Noisy and clean targets for the same inputs, every pair seen once."""
    return [
        Arm(f"{number} thousand pairs, {target} targets", muon(1_000 * number, target=target))
        for number in thousands
        for target in ("noisy", "clean")
    ]


def repeated_targets():
    """The same 1,000 images with noisy or clean targets; then noisy ones, flipped or exchanged."""
    arms = []
    for passes in (1, 2, 5, 10, 30):
        for target in ("noisy", "clean"):
            settings = muon(1_000 * passes, images=1_000, target=target)
            arms.append(Arm(f"{passes} passes, {target} targets", settings))
    for name, change in FLIPS_COMPARED.items():
        settings = muon(30_000, images=1_000, **change)
        arms.append(Arm(f"30 passes, noisy targets, {name}", settings))
    return arms


def same_number_of_draws():
    """8,000 noisy draws of fewer or more crops, for several lengths of training."""
    arms = []
    for thousands in (16, 32, 64, 128):
        for images, draws in ((1_000, 8), (2_000, 4), (4_000, 2)):
            name = f"{images} images, {draws} draws, {thousands} thousand pairs"
            settings = muon(1_000 * thousands, images=images, draws=draws, swap=draws == 2)
            arms.append(Arm(name, settings))
    return arms


# ----------------------------------------------------------------------------------------------
# Optimizers and starts

THEIRS = Settings(  # the sizes of Brown et al.'s figures
    images=1_000, optimizer="momAGD", learning_rate=0.05, momentum=0.9, rate="constant"
)
OPTIMIZERS_COMPARED = {  # and the learning rates with which a search begins
    **{name: optimizer.rates for name, optimizer in ALL_OPTIMIZERS.items()},
    "L-BFGS": (0.25, 0.5, 1.0),
    "hybrid": (0.025, 0.05, 0.1),
}
BY_MOMENTUM = ["SGD", "momentum 0.5", "momentum 0.8", "momAGD", "momentum 0.95"]
OPTIMIZERS_QUOTED = BY_MOMENTUM + [name for name in OPTIMIZERS_COMPARED if name not in BY_MOMENTUM]


def with_optimizer(settings, name):
    """These settings with another optimizer."""
    if name == "hybrid":
        return replace(settings, optimizer="momAGD", hybrid=True)
    return replace(settings, optimizer=name)


def searched_arm(settings, optimizer, rate):
    """These settings with an optimizer at the best of its learning rates."""
    chosen = replace(with_optimizer(settings, optimizer), rate=rate)
    name = f"{optimizer}, {rate}, {settings.gradients} gradients"
    return Arm(name, chosen, OPTIMIZERS_COMPARED[optimizer])


def optimizers():
    """Brown et al.'s Figure 2 as they drew it, then each optimizer at the best of its rates."""
    theirs = replace(THEIRS, batch_size=200, gradients=150)
    longer = replace(THEIRS, images=FRESH, batch_size=64, gradients=600)
    arms = [Arm(f"{name} at 0.05", with_optimizer(theirs, name)) for name in OPTIMIZERS_COMPARED]
    arms += [searched_arm(longer, name, "falling") for name in OPTIMIZERS_COMPARED]
    for momentum in (0.8, 0.95, 0.5):  # besides 0.9, which is momAGD, and 0, which is SGD
        settings = replace(longer, momentum=momentum, rate="falling")
        name = f"momentum {momentum}, falling, 600 gradients"
        arms.append(Arm(name, settings, OPTIMIZERS_COMPARED["momAGD"]))
    arms += [searched_arm(theirs, name, "falling") for name in OPTIMIZERS_COMPARED]
    for settings in (theirs, longer):
        arms += [searched_arm(settings, name, "constant") for name in OPTIMIZERS_COMPARED]
    return arms


def hybrid():
    """The hybrid beside momAGD as Brown et al. ran it, then at the best of their rates."""
    theirs = replace(THEIRS, batch_size=100, gradients=400)
    longer = replace(THEIRS, images=FRESH, batch_size=64, gradients=2_000)
    arms = [Arm(f"{name} at 0.05", with_optimizer(theirs, name)) for name in ("hybrid", "momAGD")]
    for rate in ("falling", "constant"):
        for settings in (longer, theirs):
            names = ("hybrid", "momAGD", "ADAM", "Muon")
            arms += [searched_arm(settings, name, rate) for name in names]
    return arms


def starts():
    """Brown et al.'s Figure 1 as they drew it, then each start at the best of its rates."""
    theirs = replace(THEIRS, batch_size=100, gradients=200)
    starts = {f"{name}, two each": replace(theirs, initialization=name) for name in INITIALIZATIONS}
    for network in networks_of("starts"):
        for name in ("default", "xavier", "masked xavier"):
            starts[f"{name}, {network}"] = replace(theirs, initialization=name, network=network)
    arms = [Arm(f"{name}, at 0.05", settings) for name, settings in starts.items()]
    del starts["zeros, two each"]  # no rate helps where no gradient is
    for rate in ("falling", "constant"):
        for name, settings in starts.items():
            rates = (0.025, 0.05, 0.1)
            if settings.initialization.endswith("positive"):
                rates = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
            arms.append(Arm(f"{name}, {rate}", replace(settings, rate=rate), rates))
    return arms


def their_training():
    """The training that gave Brown et al. 25.08 dB: one pass over 50,000 pairs, by L-BFGS too."""
    theirs = replace(THEIRS, images=50_000, hybrid=True, lbfgs_counts=False)
    flipped = replace(theirs, appended=0.25, batch_size=100, gradients=625)
    return [
        Arm("batches of 100", replace(theirs, batch_size=100, gradients=500)),
        Arm("batches of 100, a quarter of the pairs once more, flipped", flipped),
        Arm("batches of 4", replace(theirs, batch_size=4, gradients=12_500)),
    ]


ALL_RATES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def replication():
    """What is left open: two of Brown et al.'s trainings whatever the loss does, and all rates."""
    adam = with_optimizer(replace(THEIRS, batch_size=200, gradients=150), "ADAM")
    hybrid = with_optimizer(replace(THEIRS, batch_size=100, gradients=400), "hybrid")
    positive = replace(hybrid, initialization="xavier positive")
    arms = [
        Arm("ADAM at 0.05, trained on", replace(adam, safeguard=False)),
        Arm("hybrid from xavier positive at 0.05", replace(positive, safeguard=False)),
    ]
    plain = replace(THEIRS, batch_size=100, gradients=200, rate="falling", network="no BatchNorm")
    for name in ("default", "masked xavier"):
        settings = replace(plain, initialization=name)
        arms.append(Arm(f"{name}, no BatchNorm, falling, all rates", settings, ALL_RATES))
    return arms


# ----------------------------------------------------------------------------------------------
# Networks, noises


def network_arms(experiment, pairs, **changes):
    """An arm for each network that an experiment compares, every pair seen once."""
    arms = []
    for name in networks_of(experiment):
        changes["initialization"] = NETWORKS[name].initialization
        arms.append(Arm(name, muon(pairs, network=name, **changes)))
    return arms


def ceiling():
    """A large network with clean targets: an estimate of the best that is possible."""
    arms = network_arms("ceiling", 1_000_000, target="clean")
    return [Arm(f"{arm.name}, clean targets", arm.settings) for arm in arms]


def batch_sizes():
    """Fewer or more pairs in a batch, as many in all: what the recipe of the weights needs."""
    arms = []
    for batch_size, rate in ((64, 0.004), (128, 0.004), (128, 0.008), (256, 0.004), (256, 0.008)):
        settings = muon(128_000, batch_size, learning_rate=rate)
        arms.append(Arm(f"batches of {batch_size}, rate {rate}", settings))
    return arms


def noises():
    """Other noises, every image seen once, with pairs and with clean targets."""
    return [
        Arm(f"{noise}, {target} targets", muon(64_000, noise=noise, target=target))
        for noise in NOISES
        for target in ("noisy", "clean")
    ]


def single_pictures():
    """Pairs from neighbouring pixels of one noisy picture, and from two shots of every crop.

    A single picture has 64 x 64 pixels, of which `data.shots.neighbours` makes two images of half
    the size, since their pixels lie two apart.
    """
    return [
        Arm(f"{noise}, {name}", muon(64_000, noise=noise, target=target))
        for noise in ("Gaussian", "Poisson")
        for name, target in (("single pictures", "neighbours"), ("two shots", "noisy"))
    ]


EXPERIMENTS = {  # most important first
    "targets": Experiment("What are clean targets worth?", fresh_targets(8, 32, 128, 512)),
    "networks": Experiment("Which network, of the same pairs?", network_arms("networks", 256_000)),
    "batches": Experiment("How many pairs in a batch?", batch_sizes(), seeds=(1,)),
    "optimizers": Experiment("Which optimizer?", optimizers(), seeds=(1, 2, 3, 4, 5)),
    "hybrid": Experiment("Is the hybrid better?", hybrid(), seeds=(1, 2, 3, 4, 5)),
    "starts": Experiment("Which initialization and BatchNorms?", starts(), seeds=(1, 2, 3, 4, 5)),
    "replication": Experiment("What is left open?", replication(), seeds=(1, 2, 3, 4, 5)),
    "original": Experiment("What does Brown et al.'s training reach?", their_training()),
    "passes": Experiment("When is noise learned, and do flips help?", repeated_targets()),
    "draws": Experiment("More crops, or more draws of each?", same_number_of_draws()),
    "variants": Experiment(
        "Pooling? Padding?", [Arm("Appendix A", muon(64_000)), *network_arms("variants", 64_000)]
    ),
    "noises": Experiment("Are pairs enough for other noises?", noises(), seeds=(1, 2)),
    "single": Experiment("Is one picture of each scene enough?", single_pictures()),
    "ceiling": Experiment("What is the best that is possible?", ceiling(), seeds=(1,)),
    "long": Experiment("And after two million pairs?", fresh_targets(2_000), seeds=(1,)),
}


# ----------------------------------------------------------------------------------------------
# Which runs an experiment needs


@dataclass(frozen=True)
class Run:
    """One training: an arm at a learning rate with a seed."""

    experiment: str
    arm: str
    settings: Settings
    seed: int


def wanted_runs(name, score_of):
    """The runs that an experiment needs, as far as the results so far tell, most important first.

    `score_of(run)` is the PSNR in dB by which a rate is chosen, minus infinity where the training
    diverged, or None where the run has not been made.
    """
    experiment = EXPERIMENTS[name]
    given = [arm for arm in experiment.arms if not arm.rates]
    runs = [Run(name, arm.name, arm.settings, seed) for seed in experiment.seeds for arm in given]
    for arm in [arm for arm in experiment.arms if arm.rates]:
        search, best = searched_rates(name, arm, score_of)
        runs += search
        if best is not None:
            runs += [Run(name, arm.name, best, seed) for seed in experiment.seeds]
    return runs


def searched_rates(name, arm, score_of):
    """The runs of the search for an arm's learning rate, and the settings with the best one.

    The second is None as long as the search goes on.
    """
    rates = sorted(arm.rates)
    while True:
        runs = {}
        for rate in rates:
            settings = replace(arm.settings, learning_rate=rate)
            runs[rate] = Run(name, f"{arm.name}, rate {rate:g}", settings, SEARCH_SEED)
        scores = {rate: score_of(run) for rate, run in runs.items()}
        if None in scores.values():
            return list(runs.values()), None
        best = max(rates, key=scores.get)
        is_inside = rates[0] < best < rates[-1]
        if is_inside or len(rates) >= LARGEST_SEARCH:
            return list(runs.values()), runs[best].settings
        beyond = rates[0] ** 2 / rates[1] if best == rates[0] else rates[-1] ** 2 / rates[-2]
        rates = sorted([*rates, float(f"{beyond:.2g}")])  # two digits, however it came to it
