"""One run of the study, and what is measured beside the comparisons of trainings."""

import copy
import itertools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ...model import INITIALIZATIONS, Model, Pairs, Training, forward, initialize, track
from ..data.noises import NOISES
from ..data.pairs import SAMPLE, load_pairs, psnr
from ..data.photos import average_blocks, distinct_photos, random_crop, readable_photos, sample_blocks
from ..data.pictures import comparison, read_picture, write_picture
from ..training.command import ALL_OPTIMIZERS
from ..training.crops import Crops
from .experiments import BASELINE, CONSISTENCY, variant_network

RESULTS = Path(__file__).resolve().parent / "results" / "study"
VALIDATION_IMAGES = 100
SCORED_ON_THE_WAY = 20  # of them; all at the end
CLASSICAL_IMAGES = 20  # of them: BM3D takes seconds for each
VALIDATE_EVERY = 20  # gradient evaluations
SETTLED_ON = 200  # images of the training set, whole
DRAWS = 9  # noisy versions of each image: one is the input, up to eight make the target
EXAMPLES = slice(0, 210, 35)  # of the sample, for the report's pictures
CONSISTENCY_IMAGE = 7  # of the sample


def draw_images(paths, number, generator):
    """Crops of photographs: clean (number, 3, 32, 32) and `DRAWS` noisy versions (number, DRAWS, 3, 32, 32), uint8."""
    order = torch.randperm(len(paths), generator=generator).tolist()
    clean, draws = [], []
    for place in track(range(min(number, len(paths))), min(number, len(paths)), label="drawing"):
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
    of_pairs = {name: settings[name] for name in ("batch_size", "flips", "flip_fraction", "swap")}
    criterion = F.mse_loss if settings["noise"] == "blocks" else NOISES[settings["noise"]][1]
    first, last = settings["learning_rate"], settings["final_learning_rate"]
    batches = Pairs(*pairs, seed=1000 * seed, **of_pairs)
    batches = Crops(batches, settings["crop"], 1000 * seed) if settings["crop"] else batches
    training = Training(
        network, batches, settings["epochs"] * settings["steps_per_epoch"],
        settings["hybrid"], ALL_OPTIMIZERS[settings["optimizer"]], first, first if last is None else last,
        momentum=settings["momentum"], precision="float32", loss=criterion,
    )  # fmt: skip
    scores, history = [], training.history

    def validate():
        spent, seconds = sum(history["evaluations"]), (history["seconds"] or [0.0])[-1]
        score = score_of(network, *(part[:SCORED_ON_THE_WAY] for part in held_out))
        epochs = len(history["loss"]) / settings["steps_per_epoch"]
        scores.append(dict(epochs=epochs, evaluations=spent, seconds=seconds, psnr=score))

    validate()
    averaging, mean = settings["averaging"], copy.deepcopy(network.state_dict())
    diverged, most = False, settings["max_evaluations"] or math.inf
    try:
        for _ in training:
            if averaging:
                mean = average(mean, network.state_dict(), averaging)
            spent, diverged = sum(history["evaluations"]), training.rollbacks > 0
            if spent - scores[-1]["evaluations"] >= VALIDATE_EVERY or spent >= most:
                validate()
            if diverged or spent >= most:
                break
    except FloatingPointError:
        diverged = True
    if averaging:
        network.load_state_dict(mean)
    result = dict(
        loss=history["loss"], evaluations=list(itertools.accumulate(history["evaluations"])),
        seconds=history["seconds"], scores=scores, diverged=diverged, floor=floor(settings, images["train"][1]),
        psnr=score_of(network, *held_out), noisy_psnr=psnr(*held_out).mean().item(),
        psnr_classical=score_of(network, *(part[:CLASSICAL_IMAGES] for part in held_out)),
    )  # fmt: skip
    if settings["noise"] != "blocks" and seed == 0:
        write_examples(network, settings)
    settle(network, pairs[0][:SETTLED_ON])
    return dict(result, psnr_settled=score_of(network, *held_out))


def average(mean, weights, kept):
    """The running mean of the weights and of BatchNorm's statistics; its count of batches is the latest."""
    return {
        name: mean[name].lerp(value, 1 - kept) if value.is_floating_point() else value.clone()
        for name, value in weights.items()
    }


def settle(network, noisy):
    """Give BatchNorm the statistics that the present weights have on these images (N, 3, H, W), values 0 to 255."""
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
    with torch.no_grad():
        for number, part in enumerate(noisy.split(20), 1):
            for layer in network:
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = 1 / number  # so that the running means are those over all batches
            forward(network, part.float() / 255, training=True)


def score_of(network, noisy, clean):
    """PSNR in dB of one pass, mean over images; None where it is not finite."""
    with torch.no_grad():
        output = torch.cat([forward(network, part.float() / 255, training=False) for part in noisy.split(20)])
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


def write_examples(network, settings):
    """Noisy, denoised and clean images of the embedded sample, as a picture that the report shows."""
    clean = load_pairs(SAMPLE, "val_data.pkl")[1][EXAMPLES]
    noisy = NOISES[settings["noise"]][0](clean, torch.Generator().manual_seed(0))
    with torch.no_grad():
        denoised = forward(network, noisy / 255, training=False) * 255
    write_picture(
        comparison([noisy, denoised, clean], scale=1, gap=0), RESULTS / f"{settings['noise']}, {settings['target']}.png"
    )


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
    """The consistency check of Brown et al.: twenty epochs of L-BFGS on one image of the sample, its own target.

    The output is taken with BatchNorm's statistics of the image itself, as in training ("psnr"); with their running
    means, as `predict` does ("psnr_running"); with these once they have settled on the last weights ("psnr_settled");
    and then with the biased variance, which training divides by, for PyTorch's unbiased one ("psnr_settled_biased").
    """
    image = load_pairs(SAMPLE, "val_data.pkl")[1][CONSISTENCY_IMAGE : CONSISTENCY_IMAGE + 1]
    model = Model()
    initialize(model.network)  # without the mid-grey that a `Model` begins at
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
