"""Build the report: draw its figures and pictures, gather its numbers from `results/`, typeset it with typst.

No number is typed into the text: `report.typ` reads `numbers.json`, made here from the JSON files in `results/`. The
pictures are made from the embedded sample with the shipped weights. Needs: pip install pillow matplotlib typst
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch

from ...model import Model, Pairs, build_network
from ..data.noises import NOISES
from ..data.pairs import SAMPLE, load_pairs, places_in_sample, psnr
from ..data.pictures import comparison, read_picture, write_picture
from .figures import RESULTS, draw_all, load, mean, runs_of

SOURCES = Path(__file__).resolve().parent
REPORT = SOURCES.parents[2] / "report.pdf"
VALIDATION_IMAGES, CLASSICAL_IMAGES = 100, 20  # of the runs in results/study
MEASURED = ("activations", "consistency", "classical")  # the files there that do not hold trainings
PAIR = 12  # of the sample, shown with its two noisy versions


def summary(runs):
    """The numbers of a variant's runs, as the text shows them."""
    found = [run["psnr"] for run in runs if run["psnr"] is not None and not run["diverged"]]
    settled = [run.get("psnr_settled") for run in runs]
    last = [mean(run["loss"][-max(len(run["loss"]) // 5, 1) :]) for run in runs]  # a fifth of the steps
    return dict(
        seeds=len(runs),
        diverged=sum(run["diverged"] for run in runs),
        psnr=f"{mean(found):.2f}" if found else "–",
        spread=f"{min(found):.2f} to {max(found):.2f}" if len(found) > 1 else "–",
        settled=f"{mean(settled):.2f}" if None not in settled else "–",
        at_100=at_gradients(runs, 100),
        classical=f"{mean(run['psnr_classical'] for run in runs):.2f}" if runs[0].get("psnr_classical") else "–",
        loss=f"{mean(last):.4f}" if mean(last) < 10 else f"{mean(last):.1e}",
        first_loss=f"{mean(run['loss'][0] for run in runs):.3g}",
        steps=max(len(run["loss"]) for run in runs),
        evaluations=round(mean(run["evaluations"][-1] for run in runs)),
        seconds=round(mean(run["seconds"][-1] for run in runs)),
        noisy=f"{mean(run['noisy_psnr'] for run in runs):.2f}",
    )


def at_gradients(runs, number):
    """The PSNR at the first validation after so many gradient evaluations, on the fewer images that these have."""
    found = [[score["psnr"] for score in run["scores"] if score["evaluations"] >= number] for run in runs]
    return f"{mean(each[0] for each in found):.1f}" if all(each and each[0] for each in found) else "–"


def layers():
    """The rows of Appendix A: number, module, and what comes out of it."""
    rows, grown = [], 0
    for number, layer in enumerate(build_network()):
        if isinstance(layer, torch.nn.Conv2d):
            grown, channels = grown + 1, layer.out_channels
        elif isinstance(layer, torch.nn.ConvTranspose2d):
            grown, channels = grown - 1, layer.out_channels
        size = f"{channels} x (H + {grown}) x (W + {grown})" if grown else f"{channels} x H x W"
        module = f"BatchNorm2d({channels})" if isinstance(layer, torch.nn.BatchNorm2d) else repr(layer)
        rows.append(dict(number=number, module=module, shape=size))
    return rows


def search():
    """The rows of the search for the recipe: a name and its scores, one for each seed."""
    rows = {}
    for run in load("search")["runs"]:
        row = rows.setdefault(run["name"], dict(name=run["name"], one_pass=[], mean=[]))
        row["one_pass"].append(run["psnr_one_pass"])
        row["mean"].append(run["psnr"])
    return list(rows.values())


def gather_numbers():
    """All that the text quotes, numbers as they are or as text with the digits to show."""
    names = [path.stem for path in sorted((RESULTS / "study").glob("*.json")) if path.stem not in MEASURED]
    study = {name: {variant: summary(runs) for variant, runs in runs_of(name).items()} for name in names}
    seeds = max(row["seeds"] for variants in study.values() for row in variants.values())
    machine = load("benchmark")["steps"]
    floors = [run["floor"] for runs in runs_of("batchnorm").values() for run in runs]
    return dict(
        study=study,
        floor=f"{floors[0]:.4f}",
        activations=[
            dict(name=each, loss=f"{result['loss']:.3g}", mean=f"{result['layers'][-1]['mean']:.3g}",
                 largest=f"{result['layers'][-1]['largest']:.3g}",
                 layers=[f"{row['mean']:.2g}" for row in result["layers"] if "Conv" in row["kind"]])
            for each, result in load("study/activations")[0]["result"].items()
        ],
        consistency={
            name: f"{value:.1f}" if "psnr" in name else round(value)
            for name, value in load("study/consistency")[0]["result"].items()
            if isinstance(value, (int, float))
        },
        classical={
            noise: {method: f"{score:.2f}" for method, score in scores.items()}
            for noise, scores in load("study/classical")[0]["result"].items()
        },
        search=search(),
        **{name: load(name) for name in ("weights", "scores", "robustness", "public", "averaged")},
        steps=machine["result"],
        machine=dict(processor=machine["processor"], cores=machine["cores"], torch=machine["torch"]),
        noises=list(NOISES),
        settings=load("study/batchnorm")[0]["settings"],
        validation_images=VALIDATION_IMAGES,
        classical_images=CLASSICAL_IMAGES,
        seeds="one seed" if seeds == 1 else f"{seeds} seeds at most",
        study_minutes=round(sum(run["minutes"] for name in names for run in load(f"study/{name}"))),
        layers=layers(),
        parameters=f"{sum(parameter.numel() for parameter in build_network().parameters()):,}",
    )  # fmt: skip


def draw_pictures(folder):
    """The pictures of the report; returns what their captions quote."""
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    model = Model()
    model.load_pretrained_model()
    denoised, photographs = model.predict(noisy).cpu(), places_in_sample()
    scores = psnr(denoised, clean)
    order = scores[photographs].mean(1).argsort()  # of the photographs, worst first
    cases = [photographs[number][scores[photographs[number]].argsort()[7]].item() for number in order.tolist()]
    cases = [cases[-1], cases[len(cases) // 2], *cases[:3]]  # best, median, three worst
    labels = dict(labels=("noisy", "denoised", "clean"))
    for name, places in (("cases", cases), ("examples", photographs[4:10, 1]), ("strip", photographs[:12, 0])):
        rows = [images[places] for images in (noisy, denoised, clean)]
        write_picture(comparison(rows, **labels), folder / f"{name}.png")
    noisy, clean, denoised = noisy[cases], clean[cases], denoised[cases]

    pairs = [images[PAIR : PAIR + 1] for images in load_pairs(SAMPLE, "train_data.pkl")]
    flipped, _ = Pairs(*pairs, flips=["vertical"], flip_fraction=1, swap=False)(0)
    write_picture(comparison([torch.cat([*pairs, flipped])]), folder / "pair.png")

    for name in ["consistency", *(f"{noise}, {target}" for noise in NOISES for target in ("1 draw", "clean"))]:
        picture = read_picture(RESULTS / "study" / f"{name}.png")
        rows = [torch.stack(row.split(32, 2)) for row in picture.split(32, 1)]  # of images (3, 32, 32)
        write_picture(comparison([torch.cat(rows)] if name == "consistency" else rows), folder / f"{name}.png")
    scores = zip(psnr(noisy, clean).tolist(), psnr(denoised, clean).tolist())
    return dict(
        cases=[dict(noisy=f"{before:.1f}", denoised=f"{after:.1f}") for before, after in list(scores)[: len(cases)]],
        sample_images=len(order),
    )


def build(output, folder):
    """Write everything that the text needs into `folder`, and the report to `output`.

    Raises:
        ModuleNotFoundError: typst, matplotlib or Pillow is not installed.
    """
    try:
        import typst
    except ModuleNotFoundError:
        raise ModuleNotFoundError("typesetting the report needs typst: pip install typst") from None
    draw_all(folder)
    numbers = dict(gather_numbers(), **draw_pictures(folder))
    (folder / "numbers.json").write_text(json.dumps(numbers))
    for name in ("report.typ", "references.yml"):
        shutil.copy(SOURCES / name, folder)
    typst.compile(folder / "report.typ", output=output, root=folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REPORT, metavar="FILE", help="the PDF")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep figures, pictures and numbers here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        build(options.output, options.keep or Path(scratch))
    print(options.output)


if __name__ == "__main__":
    main()
