"""The commands: `python -m Miniproject_1 --help`."""

import argparse
import json
import sys
from pathlib import Path

from .model import OPTIMIZERS, WEIGHTS, Model, revive
from .others.data import make_data
from .others.evaluation import SAMPLE, evaluate, load_pairs
from .others.pictures import comparison, read_picture, write_picture
from .others.support import load_checkpoint, save_file

SHOWN = 12  # images in denoised.png
LOOKED_AT = 200  # images, for channels that are zero everywhere


def demonstrate(options):
    """Denoise the embedded sample; print the scores, write a picture."""
    model = load_model(options.weights)
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    denoised, *scores = evaluate(model, noisy, clean)
    report(len(noisy), *scores)
    shown = slice(0, len(noisy), len(noisy) // SHOWN)
    write_picture(comparison([noisy[shown], denoised[shown], clean[shown]]), "denoised.png")
    print("denoised.png shows some of them: noisy above, denoised in the middle, clean below")


def evaluate_data(options):
    """Print the scores on a validation set."""
    model = load_model(options.weights)
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    report(len(noisy), *evaluate(model, noisy, clean, average=not options.one_pass)[1:])


def denoise(options):
    """Denoise one picture file."""
    model = load_model(options.weights)
    picture = read_picture(options.input)
    write_picture(model.predict(picture[None], average=not options.one_pass, progress=True)[0], options.output)


def train(options):
    """Train on pairs of noisy images, and write the weights."""
    settings = dict(
        num_epochs=options.epochs,
        batch_size=options.batch_size,
        hybrid=not options.no_hybrid,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        final_learning_rate=options.final_learning_rate,
        momentum=options.momentum,
        crop=options.crop,
        swap=not options.no_swap,
        bfloat16=options.bfloat16,
        seed=options.seed,
    )
    if options.resume:
        settings = load_checkpoint(options.resume)["settings"]
        settings = {name: value for name, value in settings.items() if name not in ("shape", "pixels")}
    model = load_model(options.start) if options.start else Model(seed=options.seed)
    noisy_1, noisy_2 = (images[: options.pairs] for images in load_pairs(options.data, "train_data.pkl"))
    if options.revive and not options.resume:
        number = revive(model.network, noisy_1[:LOOKED_AT].to(model.device) / 255, options.seed)
        print(f"channels that were zero everywhere and are drawn anew: {number}", flush=True)
    checkpoint = options.output.with_name(options.output.name + ".checkpoint")
    how_to_go_on = f"go on with: train {options.data} --output {options.output} --resume {checkpoint}"
    if options.pairs:
        how_to_go_on += f" --pairs {options.pairs}"
    try:
        model.train(
            noisy_1, noisy_2, checkpoint=checkpoint, resume=options.resume, deadline=options.deadline, **settings
        )
    except KeyboardInterrupt:
        print(f"interrupted; {how_to_go_on}", file=sys.stderr)
        return 130
    save_file(model.network.state_dict(), options.output)
    history = options.output.with_name(options.output.name + ".json")
    history.write_text(json.dumps(dict(settings=settings, history=model.history)) + "\n")
    print(f"{options.output}: weights after {len(model.history['loss'])} steps; {history}: loss of each")
    if model.finished:
        checkpoint.unlink()
    else:
        print(f"stopped at the deadline; {how_to_go_on}")
    if options.data.is_dir() and (options.data / "val_data.pkl").exists():
        noisy, clean = load_pairs(options.data, "val_data.pkl")
        report(len(noisy), *evaluate(model, noisy, clean)[1:])


def make(options):
    """Build data files from photographs."""
    make_data(
        options.photos,
        options.out,
        num_train=options.train_pairs,
        num_validation=options.validation_pairs,
        validation_share=options.validation_share,
        target_draws=options.target_draws,
        small_crops=options.small_crops,
        gaussian=options.gaussian,
        seed=options.seed,
        shrink=options.shrink,
    )


def load_model(weights):
    model = Model()
    model.load_pretrained_model(weights)
    return model


def report(number, speed, before, after):
    print(f"{number} images, {speed:.0f} a second")
    print(f"noisy    {before:6.2f} dB PSNR, mean over images")
    print(f"denoised {after:6.2f} dB")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1",
        description="Remove noise from pictures with a network that never saw a clean one. "
        "Without a command: denoise the sample that comes with the project, print how much "
        "better it has become (PSNR: higher is better), and write a picture, denoised.png.",
        epilog="'python -m Miniproject_1 COMMAND --help' explains a command.",
    )
    parser.set_defaults(run=demonstrate, weights=WEIGHTS)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, function, text):
        added = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        added.set_defaults(run=function)
        return added

    def prediction(added):
        added.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE", help="the network's weights")
        added.add_argument(
            "--one-pass", action="store_true", help="no mean over 8 flips and rotations: 8 times faster, 0.1 dB less"
        )

    added = command("evaluate", evaluate_data, "Print the PSNR on pairs of noisy and clean images.")
    added.add_argument("data", type=Path, help="a val_data.pkl, or the folder that holds it")
    prediction(added)

    added = command("denoise", denoise, "Denoise a picture file of any size.")
    added.add_argument("input", type=Path, help="the noisy picture: PNG, JPEG, ...")
    added.add_argument("output", type=Path, help="the file to write; its ending names the format")
    prediction(added)

    added = command(
        "train",
        train,
        "Train on pairs of noisy images and write the weights. Ctrl-C ends it after the step under way; "
        "nothing is lost, --resume goes on.",
    )
    added.add_argument("data", type=Path, help="a train_data.pkl, or the folder that holds it")
    added.add_argument("--epochs", type=int, default=1, metavar="N", help="passes over the pairs")
    added.add_argument("--output", type=Path, default=Path("trained.pth"), metavar="FILE", help="weights to write")
    added.add_argument("--start", type=Path, metavar="FILE", help="weights to start from; none: fresh ones")
    added.add_argument("--deadline", type=float, metavar="MINUTES", help="stop by then, with a checkpoint")
    added.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="checkpoint (OUTPUT.checkpoint) of a training that was stopped; brings the options it was begun with",
    )
    added.add_argument("--pairs", type=int, metavar="N", help="take only the first N pairs")
    added.add_argument("--batch-size", type=int, default=50, metavar="N", help="pairs in a step")
    added.add_argument("--optimizer", choices=OPTIMIZERS, default="momAGD", help="how the weights are changed")
    added.add_argument("--no-hybrid", action="store_true", help="do not begin with 5 iterations of L-BFGS")
    added.add_argument(
        "--learning-rate", type=float, default=0.05, metavar="X", help="at the beginning; ADAM: 0.001, Muon: 0.002"
    )
    added.add_argument("--final-learning-rate", type=float, default=0.0, metavar="X", help="at the end")
    added.add_argument("--momentum", type=float, default=0.9, metavar="X", help="of all but SGD and L-BFGS")
    added.add_argument("--crop", type=int, metavar="PIXELS", help="train on random squares of this side")
    added.add_argument(
        "--no-swap", action="store_true", help="input and target never change places; for data with --target-draws"
    )
    added.add_argument("--revive", action="store_true", help="first draw anew the channels that are zero everywhere")
    added.add_argument(
        "--bfloat16", action="store_true", help="compute in this type; twice as fast where it is built in"
    )
    added.add_argument("--seed", type=int, default=0, metavar="N", help="of all random choices")

    added = command(
        "make-data",
        make,
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (noisy and clean) from photographs.",
    )
    added.add_argument("photos", type=Path, help="folder of photographs; folders within it count")
    added.add_argument("out", type=Path, help="folder to write to")
    added.add_argument("--train-pairs", type=int, default=50_000, metavar="N", help="pairs to train on")
    added.add_argument("--validation-pairs", type=int, default=1_000, metavar="N", help="pairs to validate on")
    added.add_argument(
        "--validation-share", type=float, default=0.1, metavar="X", help="share of the photographs kept for validation"
    )
    added.add_argument("--seed", type=int, default=0, metavar="N", help="of all random choices")
    added.add_argument(
        "--target-draws", type=int, default=1, metavar="N", help="noisy versions averaged in the target to train on"
    )
    added.add_argument(
        "--small-crops", type=float, default=0.0, metavar="X", help="share of the training pairs with weaker noise"
    )
    added.add_argument(
        "--gaussian", type=float, default=0.0, metavar="X", help="share of the training pairs with Gaussian noise added"
    )
    added.add_argument(
        "--shrink",
        type=int,
        metavar="PIXELS",
        help="reduce photographs whose short side is longer",
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run a command; errors of the user's are one line and exit status 2."""
    options = parse(arguments)
    try:
        return options.run(options) or 0
    except (OSError, ValueError, TypeError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
