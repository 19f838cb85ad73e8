"""The study: every comparison of the seed report repeated, and taken further.

    python -m Miniproject_1.others.study NAME ... --photos FOLDER    run experiments; `all` runs all
    python -m Miniproject_1.others.study plot                        draw them, from the JSON files alone

An experiment trains variants that differ in one thing, from the same starts on the same batches, and writes
`results/study/NAME.json`: of every run its settings, seed and versions, its loss after each step, the PSNR on
photographs that it did not see, and what it cost in gradient evaluations and seconds. A run whose settings are
in the file already is not repeated, so a study that was stopped goes on where it was.

The seed trains on 1,000 pairs of 32 x 32 in batches of 100 (optimizers: 200). By default this study trains on 80
pairs, random crops of 16 x 16, in batches of 8 (optimizers: 16): the same ten steps in an epoch, each at a fortieth of
the work. `--scale seed` takes batches of 100 whole images (optimizers: 200).
"""

import argparse
import copy
import json
import math
import platform
import time
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..model import (
    FLIPS,
    INITIALIZATIONS,
    LBFGS_ITERATIONS,
    OPTIMIZERS,
    Model,
    build_network,
    forward,
    initialize,
    make_batch,
    plan_epoch,
    take_step,
    undone_if_worse,
)
from .benchmark import processor
from .data import average_blocks, distinct_photos, random_crop, readable_photos, sample_blocks, track
from .evaluation import SAMPLE, load_pairs, psnr
from .noises import NOISES
from .pictures import comparison, read_picture, write_picture
from .support import replaced

RESULTS = Path(__file__).resolve().parent / "results" / "study"
VALIDATION_IMAGES = 100
SCORED_ON_THE_WAY = 20  # of them; all at the end
CLASSICAL_IMAGES = 20  # of them: BM3D takes seconds for each
VALIDATE_EVERY = 20  # gradient evaluations
SETTLED_ON = 200  # images of the training set, whole
DRAWS = 9  # noisy versions of each image: one is the input, up to eight make the target
DIVERGED = 1e6  # a loss above this, or NaN, ends a run
EXAMPLES = slice(0, 210, 35)  # of the sample, for the report's pictures
CONSISTENCY_IMAGE = 7  # of the sample
CONSISTENCY = dict(batch_size=1, hybrid=False, optimizer="L-BFGS", learning_rate=1.0, final_learning_rate=1.0, flips=())
BASELINE = dict(
    layers="two each",  # see `variant_network`
    initialization="masked xavier",
    optimizer="momAGD",
    hybrid=False,
    learning_rate=0.05,
    final_learning_rate=None,  # None: constant
    momentum=0.9,
    flips=list(FLIPS),
    flip_fraction=0.5,
    swap=True,
    averaging=None,  # of the weights: the share that the running mean keeps at each step
    target="1 draw",  # or "2 draws", ..., "clean"
    noise="blocks",
    epochs=10,
    steps_per_epoch=10,
    max_evaluations=None,
)
SCALES = dict(small=dict(batch_size=8, crop=16), seed=dict(batch_size=100, crop=None))
ADAM = dict(optimizer="ADAM", learning_rate=0.001, final_learning_rate=0.0)
MUON = dict(optimizer="Muon", learning_rate=0.002, final_learning_rate=0.0, momentum=0.95)


# --------------------------------------------------------------------------------------------
# The experiments: for each, its variants and what they differ in
# --------------------------------------------------------------------------------------------


def optimizers_of_the_seed():
    """Batches twice as large, so five steps in an epoch; what asks for more than a gradient a step stops at 200."""
    like = dict(batch_factor=2, epochs=20, steps_per_epoch=5, max_evaluations=200)
    variants = {name: dict(like, optimizer=name) for name in OPTIMIZERS if name != "Muon"}
    variants["ADAM, lr 0.001"] = dict(like, optimizer="ADAM", learning_rate=0.001)
    variants["Muon, lr 0.002"] = dict(like, **dict(MUON, final_learning_rate=None))
    variants["hybrid"] = dict(like, hybrid=True)
    return variants


def targets():
    """ADAM, and enough steps for the differences to show; input and target do not change places."""
    like = dict(ADAM, epochs=2, steps_per_epoch=100, swap=False)
    return {name: dict(like, target=name) for name in ("1 draw", "2 draws", "4 draws", "8 draws", "clean")}


def recipes():
    """What learns most in a given time: each idea of the shipped weights' training alone, on equally many pixels."""
    like = dict(ADAM, batch_factor=2, epochs=1, steps_per_epoch=60)
    return {
        "ADAM, lr 0.001 falling to 0": like,
        "constant learning rate": dict(like, final_learning_rate=None),
        "constant, weights averaged": dict(like, final_learning_rate=None, averaging=0.95),
        "lr 0.002": dict(like, learning_rate=0.002),
        "lr 0.0005": dict(like, learning_rate=0.0005),
        "batch 8": dict(like, batch_factor=1, epochs=2),
        "batch 32": dict(like, batch_factor=4, steps_per_epoch=30),
        "whole images, batch 4": dict(like, batch_factor=0.5, crop=None),
        "no exchange": dict(like, swap=False),
        "targets of 8 draws": dict(like, target="8 draws", swap=False),
        "no flips": dict(like, flips=[]),
        "a sixth of the pairs, six times": dict(like, epochs=6, steps_per_epoch=10),
        "most texture of 4 crops": dict(like, corners=4),
        "momAGD, lr 0.05 falling to 0": dict(like, **dict(optimizer="momAGD", learning_rate=0.05)),
        "Muon, lr 0.002 falling to 0": dict(like, **MUON),
        "Muon, lr 0.005 falling to 0": dict(like, **dict(MUON, learning_rate=0.005)),
        "Muon, batch 8": dict(like, **dict(MUON, batch_factor=1, epochs=2)),
    }


def other_noises():
    """Each noise with pairs and with clean targets."""
    like = dict(ADAM, epochs=2, steps_per_epoch=50)
    return {
        f"{noise}, {name}": dict(like, noise=noise, target=target, swap=target == "1 draw")
        for noise in NOISES
        for name, target in (("pairs", "1 draw"), ("clean targets", "clean"))
    }


EXPERIMENTS = dict(
    batchnorm={name: dict(layers=name) for name in ("no BatchNorm", "BatchNorm everywhere", "two each")},
    initialization={name: dict(initialization=name) for name in INITIALIZATIONS},
    optimizers=optimizers_of_the_seed(),
    hybrid={
        "momAGD": dict(batch_factor=2, epochs=20, max_evaluations=200),
        "hybrid": dict(batch_factor=2, epochs=20, max_evaluations=200, hybrid=True),
        "ADAM, lr 0.001 falling to 0": dict(ADAM, batch_factor=2, epochs=20, max_evaluations=200),
        "Muon, lr 0.002 falling to 0": dict(MUON, batch_factor=2, epochs=20, max_evaluations=200),
    },
    rates={
        f"lr {rate}, momentum {momentum}": dict(learning_rate=rate, momentum=momentum)
        for rate in (0.01, 0.05, 0.2)
        for momentum in (0.5, 0.9, 0.99)
    },
    layers={name: dict(layers=name) for name in ("two each", "pooling early", "pooling in the middle", "no padding")},
    flips={
        "none": dict(flips=[], swap=False),
        "a quarter, vertical": dict(flips=["vertical"], flip_fraction=0.25, swap=False),
        "half, vertical": dict(flips=["vertical"], swap=False),
        "all 8": dict(swap=False),
        "all 8, and swap": {},
    },
    targets=targets(),
    recipes=recipes(),
    noises=other_noises(),
)


def settings_of(changes, scale):
    """All settings of a variant; `batch_factor` multiplies the batch of the scale."""
    settings = {**BASELINE, **SCALES[scale], **changes}
    settings["batch_size"] = int(settings["batch_size"] * settings.pop("batch_factor", 1))
    return settings


def variant_network(name):
    """Appendix A ("two each"), or what the seed compares it with; as `build_network`, (N, 3, H, W) to (N, 3, H, W).

    "no BatchNorm"; "BatchNorm everywhere", after all layers but the last; "pooling early" halves the image after the
    second convolution and doubles it before the last two, "pooling in the middle" around layers 10 to 13; "no
    padding" lets the image shrink by a pixel a layer, and grow again.
    """
    network = build_network()
    if name == "two each":
        return network
    layers = list(network)
    if name == "no BatchNorm":
        layers = [layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)]
    elif name == "BatchNorm everywhere":
        layers = []
        for layer in network:
            if not isinstance(layer, nn.BatchNorm2d):
                layers.append(layer)
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer is not network[-1]:
                layers.append(nn.BatchNorm2d(layer.out_channels))
    elif name == "pooling early":
        layers[19:19], layers[4:4] = [nn.Upsample(scale_factor=2)], [nn.MaxPool2d(2)]
    elif name == "pooling in the middle":
        layers[14:14], layers[10:10] = [nn.Upsample(scale_factor=2)], [nn.MaxPool2d(2)]
    elif name == "no padding":
        for layer in layers:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                layer.padding = (0, 0)
    return nn.Sequential(*layers)


# --------------------------------------------------------------------------------------------
# Data
# --------------------------------------------------------------------------------------------


def draw_images(paths, number, generator):
    """Crops of photographs: clean (number, 3, 32, 32) and `DRAWS` noisy versions (number, DRAWS, 3, 32, 32), uint8."""
    order = torch.randperm(len(paths), generator=generator).tolist()
    clean, draws = [], []
    for place in track(range(min(number, len(paths))), "drawing"):
        photo = read_picture(paths[order[place]])
        for _ in range(place, number, len(paths)):
            crop = random_crop(photo, generator)
            clean.append(average_blocks(crop))
            draws.append(torch.stack([sample_blocks(crop, generator) for _ in range(DRAWS)]))
    return torch.stack(clean), torch.stack(draws)


def make_images(photos, number):
    """Images to train on, `number` of them, and of other photographs to validate on: a dict of (clean, draws)."""
    generator = torch.Generator().manual_seed(0)
    paths = readable_photos(distinct_photos(photos), None, print)
    paths = [paths[i] for i in torch.randperm(len(paths), generator=generator).tolist()]
    kept = max(len(paths) // 10, 1)
    return dict(
        train=draw_images(paths[kept:], number, generator),
        validation=draw_images(paths[:kept], VALIDATION_IMAGES, generator),
    )


def make_pairs(images, settings, num_pairs, seed):
    """Inputs and targets of a run, (num_pairs, 3, 32, 32) each, values 0 to 255."""
    clean, draws = (part[:num_pairs] for part in images)
    if settings["noise"] == "blocks":
        noisy = draws[:, 0]
        target = clean if settings["target"] == "clean" else mean_of_draws(draws, int(settings["target"].split()[0]))
    else:
        generator = torch.Generator().manual_seed(seed)
        corrupt, _ = NOISES[settings["noise"]]
        noisy = corrupt(clean, generator)
        target = clean.float() if settings["target"] == "clean" else corrupt(clean, generator)
    return noisy, target


def mean_of_draws(draws, number):
    """The mean of draws 1 to `number`, rounded to whole numbers as the targets of `make-data` are."""
    return draws[:, 1 : 1 + number].float().mean(1).round().to(torch.uint8)


def move_to_texture(plan, pairs, settings, seed):
    """Of so many random "corners" for each crop of a plan take the one where the two noisy images differ most."""
    size, crop = tuple(pairs[0].shape[2:]), settings["crop"]
    plans = [plan]
    for number in range(1, settings["corners"]):
        plans.append(plan_epoch(len(pairs[0]), size, crop, 0.0, seed + 100_000 * number))
    differences = (pairs[0].float() - pairs[1].float()).square().sum(1)[plan["order"]]  # (N, H, W)
    for row, difference in enumerate(differences):
        corners = [(each["top"][row].item(), each["left"][row].item()) for each in plans]
        found = [difference[top : top + crop, left : left + crop].sum() for top, left in corners]
        plan["top"][row], plan["left"][row] = corners[found.index(max(found))]


# --------------------------------------------------------------------------------------------
# One run
# --------------------------------------------------------------------------------------------


def run(settings, images, seed):
    """Train one variant and validate it on the way.

    Returns:
        dict: "loss", "evaluations" and "seconds" hold a value for each step (the latter two are sums), "scores" lists
        what validations found: epochs, evaluations, seconds so far, PSNR in dB (one pass, mean over images); "floor" is
        that of the loss; "diverged" says whether the loss left all bounds; "psnr" is over all validation images,
        "psnr_classical" over those of `measure_classical`; "psnr_settled" as "psnr", but with BatchNorm's statistics
        of the last weights (`settle`), where "psnr" has running means that trail behind them.
    """
    num_pairs = settings["batch_size"] * settings["steps_per_epoch"]
    pairs = make_pairs(images["train"], settings, num_pairs, seed)
    held_out = make_pairs(images["validation"], dict(settings, target="clean"), VALIDATION_IMAGES, seed + 1000)
    network = variant_network(settings["layers"])
    initialize(network, settings["initialization"], seed)
    compute = forward if settings["layers"] == BASELINE["layers"] else nn.Module.__call__
    criterion = F.mse_loss if settings["noise"] == "blocks" else NOISES[settings["noise"]][1]
    first, last = settings["learning_rate"], settings["final_learning_rate"]
    last = first if last is None else last
    num_steps = settings["epochs"] * settings["steps_per_epoch"]
    record = dict(loss=[], evaluations=[], seconds=[], scores=[], floor=floor(settings, images["train"][1]))
    evaluations, seconds, method = 0, 0.0, None
    averaging, mean = settings["averaging"], copy.deepcopy(network.state_dict())

    def loss_on(noisy, target):
        return criterion(compute(network, noisy), target)

    def batch_at(plan, batch):
        size = settings["batch_size"]
        rows = slice(batch * size, (batch + 1) * size)
        return make_batch(*pairs, plan, rows, settings["crop"], settings["flips"], settings["swap"], "cpu")

    def validate(step):
        score = score_of(network, compute, *(part[:SCORED_ON_THE_WAY] for part in held_out))
        record["scores"].append(
            dict(epochs=step / settings["steps_per_epoch"], evaluations=evaluations, seconds=seconds, psnr=score)
        )

    validate(0)
    network.train()
    for step in range(num_steps):
        epoch, batch = divmod(step, settings["steps_per_epoch"])
        if batch == 0:
            plan_seed = 1000 * seed + epoch
            plan = plan_epoch(
                num_pairs, tuple(pairs[0].shape[2:]), settings["crop"], settings["flip_fraction"], plan_seed
            )
            if "corners" in settings:
                move_to_texture(plan, pairs, settings, plan_seed)
        start = time.perf_counter()
        in_hybrid = settings["hybrid"] and step < LBFGS_ITERATIONS
        wanted = "L-BFGS" if in_hybrid else settings["optimizer"]
        if wanted != method:
            method = wanted
            stepper = OPTIMIZERS[method](network.parameters(), first, settings["momentum"])
        for group in stepper.param_groups:
            group["lr"] = first + (last - first) * step / num_steps
        guard = nullcontext()
        if in_hybrid:
            unseen = batch_at(plan, (batch + 1) % settings["steps_per_epoch"])
            guard = undone_if_worse(network, stepper, partial(loss_on, *unseen))
        with guard:
            loss, asked = take_step(stepper, partial(loss_on, *batch_at(plan, batch)))
        if averaging:
            mean = average(mean, network.state_dict(), averaging)
        evaluations, seconds = evaluations + asked, seconds + time.perf_counter() - start
        for name, value in dict(loss=loss, evaluations=evaluations, seconds=seconds).items():
            record[name].append(value)
        record["diverged"] = not loss < DIVERGED
        spent = bool(settings["max_evaluations"]) and evaluations >= settings["max_evaluations"]
        over = record["diverged"] or spent or step + 1 == num_steps
        if over or evaluations - record["scores"][-1]["evaluations"] >= VALIDATE_EVERY:
            validate(step + 1)
            network.train()
        if over:
            break
    if averaging:
        network.load_state_dict(mean)
    record["psnr"] = score_of(network, compute, *held_out)
    record["psnr_classical"] = score_of(network, compute, *(part[:CLASSICAL_IMAGES] for part in held_out))
    record["noisy_psnr"] = psnr(*held_out).mean().item()
    if settings["noise"] != "blocks" and seed == 0:
        write_examples(network, compute, settings)
    settle(network, compute, pairs[0][:SETTLED_ON])
    record["psnr_settled"] = score_of(network, compute, *held_out)
    return record


def average(mean, weights, kept):
    """The running mean of the weights and of BatchNorm's statistics; its count of batches is the latest."""
    return {
        name: mean[name].lerp(value, 1 - kept) if value.is_floating_point() else value.clone()
        for name, value in weights.items()
    }


def settle(network, compute, noisy):
    """Give BatchNorm the statistics that the present weights have on these images (N, 3, H, W), values 0 to 255."""
    for layer in network.train():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        for part in noisy.split(20):
            compute(network, part.float() / 255)


def score_of(network, compute, noisy, clean):
    """PSNR in dB of one pass, mean over images; None where it is not finite."""
    network.eval()
    with torch.no_grad():
        output = torch.cat([compute(network, part.float() / 255) for part in noisy.split(20)])
    score = psnr((output * 255).clamp(0, 255), clean).mean().item()
    return score if math.isfinite(score) else None


def floor(settings, draws):
    """The noise of the targets: the loss of a prediction that knows the clean image. None: not estimated.

    Two draws with independent noise of variance v differ by 2 v in the mean square. The mean of k draws has v / k.
    """
    if settings["noise"] != "blocks" or settings["target"] == "clean":
        return None
    difference = (draws[:, 0].float() - draws[:, 1].float()) / 255
    return difference.square().mean().item() / 2 / int(settings["target"].split()[0])


def write_examples(network, compute, settings):
    """Noisy, denoised and clean images of the embedded sample, as a picture that the report shows."""
    clean = load_pairs(SAMPLE, "val_data.pkl")[1][EXAMPLES]
    noisy = NOISES[settings["noise"]][0](clean, torch.Generator().manual_seed(0))
    with torch.no_grad():
        denoised = compute(network, noisy / 255) * 255
    write_picture(
        comparison([noisy, denoised, clean], scale=1, gap=0), RESULTS / f"{settings['noise']}, {settings['target']}.png"
    )


# --------------------------------------------------------------------------------------------
# What is no comparison of trainings
# --------------------------------------------------------------------------------------------


def measure_activations(images):
    """Why the literal "xavier positive" cannot train: mean and largest activation after each layer, before any step."""
    clean, draws = images["train"]
    result = {}
    for name in INITIALIZATIONS:
        network, rows = variant_network(BASELINE["layers"]), []
        initialize(network, name, 0)
        features = draws[:16, 0].float() / 255
        with torch.no_grad():
            for number, layer in enumerate(network):
                features = layer(features)
                rows.append(dict(layer=number, kind=type(layer).__name__, mean=features.mean().item(),
                                 largest=features.abs().max().item()))  # fmt: skip
            loss = F.mse_loss(features, draws[:16, 1].float() / 255).item()
        result[name] = dict(layers=rows, loss=loss)
        print(f"{name:18} mean output {rows[-1]['mean']:10.3g}, loss {loss:10.3g}")
    return result


def measure_consistency(images):
    """The seed's consistency check: twenty epochs of L-BFGS on one image of the sample, with itself as the target.

    The output is taken with BatchNorm's statistics of the image itself, as in training ("psnr"); with their running
    means, as `predict` does ("psnr_running"); with these once they have settled on the last weights ("psnr_settled");
    and then with the biased variance, which training divides by, for PyTorch's unbiased one ("psnr_settled_biased").
    """
    image = load_pairs(SAMPLE, "val_data.pkl")[1][CONSISTENCY_IMAGE : CONSISTENCY_IMAGE + 1]
    model = Model()
    model.train(image, image, 20, **CONSISTENCY)

    def score():
        with torch.no_grad():
            return psnr(model.network(image / 255).clamp(0, 1) * 255, image).item()

    network = model.network.cpu().eval()
    result = dict(
        settings=CONSISTENCY,
        loss=model.history["loss"],
        gradients=sum(model.history["evaluations"]),
        seconds=model.history["seconds"][-1],
        psnr_running=score(),
    )
    network.train()
    result["psnr"] = [score() for _ in range(200)][-1]  # after 200 the old weights' share of the means is 1e-9
    network.eval()
    result["psnr_settled"] = score()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(make_variance_biased)
    result["psnr_settled_biased"] = score()
    write_picture(comparison([image, model.predict(image, average=False)], scale=1, gap=0), RESULTS / "consistency.png")
    print(f"one image: {result['psnr']:.1f} dB in {result['seconds']:.0f} s")
    return result


def make_variance_biased(batchnorm, inputs):
    """Forward pre-hook, for one pass: divide by n in the running variance where PyTorch divided by n - 1."""
    n = inputs[0][:, 0].numel()
    batchnorm.running_var.mul_((n - 1) / n)


def measure_classical(images):
    """BM3D and non-local means on the images and noises of `noises`, told the true strength of each image's noise."""
    try:
        from bm3d import bm3d
        from skimage.restoration import denoise_nl_means
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this comparison needs {error.name}: pip install bm3d scikit-image") from None

    def non_local_means(noisy, sigma):
        return denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1)

    result = {}
    for name in ("blocks", *NOISES):
        settings = dict(BASELINE, noise=name, target="clean")
        noisy, clean = (
            part[:CLASSICAL_IMAGES] for part in make_pairs(images["validation"], settings, VALIDATION_IMAGES, 1000)
        )
        result[name] = {"noisy": psnr(noisy, clean).mean().item()}
        for method, denoise in (("BM3D", bm3d), ("non-local means", non_local_means)):
            denoised = []
            for one, reference in zip(noisy.float() / 255, clean.float() / 255):
                sigma = (one - reference).square().mean().sqrt().item()
                array = one.permute(1, 2, 0).double().numpy()  # (H, W, 3)
                denoised.append(torch.from_numpy(denoise(array, sigma)).permute(2, 0, 1))
            denoised = (torch.stack(denoised) * 255).clamp(0, 255)
            result[name][method] = psnr(denoised, clean).mean().item()
        print(name, *(f"{method} {score:.2f} dB" for method, score in result[name].items()), sep=", ")
    return result


MEASUREMENTS = dict(activations=measure_activations, consistency=measure_consistency, classical=measure_classical)


# --------------------------------------------------------------------------------------------
# The command
# --------------------------------------------------------------------------------------------


def load_results(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def save_results(name, runs):
    """Write a list of runs, one line each, in place of what was there."""
    path = RESULTS / f"{name}.json"
    with replaced(path, path.with_name(path.name + ".part")) as temporary:
        temporary.write_text("[\n" + ",\n".join(json.dumps(each) for each in runs) + "\n]\n")


def shortened(value):
    """Floats with five digits, wherever they are."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return [shortened(each) for each in value] if isinstance(value, list) else value


def perform(name, variant, settings, seed, work):
    """Do `work` and file its result, unless it is there."""
    runs = load_results(name)
    key = dict(variant=variant, seed=seed)
    if any(dict(each, **key, settings=settings) == each for each in runs):
        return
    start = time.perf_counter()
    result = work()
    record = dict(
        key, settings=settings, result=shortened(result), minutes=round((time.perf_counter() - start) / 60, 2),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"), processor=processor(),
        threads=torch.get_num_threads(), python=platform.python_version(), torch=torch.__version__,
    )  # fmt: skip
    runs = [each for each in load_results(name) if dict(each, **key) != each]
    save_results(name, [*runs, record])


def main():
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1.others.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="one run for each")
    parser.add_argument("--scale", choices=SCALES, default="small", help="sizes of batches and crops")
    everything = [*MEASUREMENTS, *EXPERIMENTS]
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"plot, all, or of {', '.join(everything)}")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs; a tenth is kept to validate on")
    options = parser.parse_args()
    if options.names == ["plot"]:
        from .figures import draw_all

        return draw_all(Path("figures"))
    names = everything if options.names == ["all"] else options.names
    unknown = set(names) - set(everything)
    if unknown:
        parser.error(f"there is no experiment {', '.join(sorted(unknown))}")
    if options.photos is None:
        parser.error("experiments need --photos, a folder of photographs")
    RESULTS.mkdir(parents=True, exist_ok=True)
    plans = {
        (name, variant): settings_of(changes, options.scale)
        for name, variants in EXPERIMENTS.items()
        for variant, changes in variants.items()
    }
    images = make_images(options.photos, max(each["batch_size"] * each["steps_per_epoch"] for each in plans.values()))
    for name in names:
        if name in MEASUREMENTS:
            perform(name, name, {}, 0, partial(MEASUREMENTS[name], images))
    for seed in options.seeds:
        for name in names:
            for variant in EXPERIMENTS.get(name, {}):
                settings = plans[name, variant]
                perform(name, variant, settings, seed, partial(run, settings, images, seed))


if __name__ == "__main__":
    main()
