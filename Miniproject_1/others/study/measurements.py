"""What is measured beside the rows of trainings: activations, the consistency check, classical methods, blur."""

import torch
import torch.nn.functional as F

from ...model import INITIALIZATIONS, LBFGS_ITERATIONS, Model, initialize
from ..data.noises import NOISES
from ..data.pairs import SAMPLE, load_pairs, places_in_sample, psnr
from ..data.photos import IMAGE_SIZE, average_blocks, sample_blocks
from ..data.pictures import read_picture
from .experiments import BASELINE, variant_network
from .runs import make_pairs

CONSISTENCY_IMAGES = 5  # of the sample, one of each photograph
CONSISTENCY = dict(batch_size=1, flips=(), learning_rate=1.0, final_learning_rate=1.0, precision="float32")
CLASSICAL_IMAGES = 20  # BM3D takes seconds for each
BLOCK_SIZES = (2, 3, 4, 6, 8, 10)  # pixels


def measure_activations(images):
    """Why the literal "xavier positive" cannot train: mean and largest activation after each layer, before any step."""
    _, draws = images["train"]
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
    return result


def measure_consistency(images):
    """The consistency check of Brown et al.: twenty steps on one image of the sample, which is its own target.

    For each image and optimizer, the PSNR of `predict`, which takes BatchNorm's running statistics, and of the network
    in training mode, with the statistics of the image. L-BFGS takes up to 20 quasi-Newton steps in each of the twenty.
    """
    result = []
    for place in places_in_sample()[:CONSISTENCY_IMAGES, 0].tolist():
        image = load_pairs(SAMPLE, "val_data.pkl")[1][place : place + 1]
        for name, options in (
            ("L-BFGS", dict(CONSISTENCY, optimizer="L-BFGS", hybrid=False)),
            ("hybrid", dict(CONSISTENCY, hybrid=True, learning_rate=0.05, final_learning_rate=0.05)),
            ("momAGD", dict(CONSISTENCY, hybrid=False, learning_rate=0.05, final_learning_rate=0.05)),
        ):
            model = Model(device="cpu")
            initialize(model.network)  # without the mid-grey that a `Model` begins at
            model.train(image, image, 20, **options, progress=False)
            with torch.no_grad():
                output = model.network.train()(image / 255).clamp(0, 1) * 255
            predicted = model.predict(image, average=False)
            result.append(
                dict(
                    image=place,
                    optimizer=name,
                    gradients=sum(model.history["evaluations"]),
                    psnr_predict=psnr(predicted, image).item(),
                    psnr_training=psnr(output, image).item(),
                )
            )
    return dict(iterations_of_hybrid=LBFGS_ITERATIONS, runs=result)


def measure_classical(images):
    """BM3D and non-local means, told the strength of each image's noise, on the images of the row "noises"."""
    try:
        from bm3d import bm3d
        from skimage.restoration import denoise_nl_means
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this comparison needs {error.name}: pip install bm3d scikit-image") from None

    def non_local_means(noisy, sigma):
        return denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1)

    result = {}
    for name in ("blocks", *NOISES):
        pairs = make_pairs(images["validation"], dict(BASELINE, noise=name, target="clean"), 1000)
        noisy, clean = (part[:CLASSICAL_IMAGES] for part in pairs)
        result[name] = {"noisy": psnr(noisy, clean).mean().item()}
        for method, denoise in (("BM3D", bm3d), ("non-local means", non_local_means)):
            denoised = []
            for one, reference in zip(noisy.float() / 255, clean.float() / 255):
                sigma = (one - reference).square().mean().sqrt().item()
                array = one.permute(1, 2, 0).double().numpy()  # (H, W, 3)
                denoised.append(torch.from_numpy(denoise(array, sigma)).permute(2, 0, 1))
            denoised = (torch.stack(denoised) * 255).clamp(0, 255)
            result[name][method] = psnr(denoised, clean).mean().item()
    return result


def gradient_energy(images):
    """The mean square of the differences of neighbouring pixels of (N, 3, H, W)."""
    images = images.float()
    return sum(images.diff(dim=side).square().mean().item() for side in (2, 3))


def measure_blur(images):
    """Where the shipped weights blur: the gradient energy of noisy and denoised images as shares of the clean ones', on
    photographs that they were not trained on."""
    generator, model = torch.Generator().manual_seed(0), Model(device="cpu")
    model.load_pretrained_model()
    photos, rows = [read_picture(path) for path in images["unseen"]], []
    for block in BLOCK_SIZES:
        side = block * IMAGE_SIZE
        places = [[(length - side) // 2 for length in photo.shape[1:]] for photo in photos]
        crops = [photo[:, top : top + side, left : left + side]
                 for photo, (top, left) in zip(photos, places) if min(top, left) >= 0]  # fmt: skip
        noisy, clean = (torch.stack(each) for each in zip(*((sample_blocks(crop, generator), average_blocks(crop))
                                                            for crop in crops)))  # fmt: skip
        denoised = model.predict(noisy)
        rows.append(dict(
            block=block, images=len(clean), noisy_psnr=psnr(noisy, clean).mean().item(),
            denoised_psnr=psnr(denoised, clean).mean().item(),
            **{f"{name}_energy": gradient_energy(each) / gradient_energy(clean)
               for name, each in (("noisy", noisy), ("denoised", denoised))},
        ))  # fmt: skip
    return dict(blocks=rows, edges=[edge(block) for block in BLOCK_SIZES])


def edge(block):
    """The best that is possible at a one-dimensional edge from 0 to 1 within a block of so many pixels, exactly.

    The edge is equally likely after 0 to `block` pixels, so the clean value f is 0, 1 / block, ..., 1. The noisy value
    is 1 with probability f, and all that is known: the least mean squared error is that of the mean of f given it.
    """
    values = [place / block for place in range(block + 1)]

    def mean(numbers):
        return sum(numbers) / len(values)

    noisy_error = mean(value * (1 - value) for value in values)
    given_one = mean(value**2 for value in values) / mean(values)
    given_zero = mean((1 - value) * value for value in values) / mean(1 - value for value in values)
    best = mean(value * (value - given_one) ** 2 + (1 - value) * (value - given_zero) ** 2 for value in values)
    best_energy = mean(value * given_one**2 + (1 - value) * given_zero**2 for value in values) - mean(values) ** 2
    clean = mean((value - mean(values)) ** 2 for value in values)
    return dict(block=block, noisy_mse=noisy_error, least_mse=best, clean_variance=clean, best_variance=best_energy)


MEASUREMENTS = dict(
    activations=measure_activations, consistency=measure_consistency, classical=measure_classical, blur=measure_blur
)
