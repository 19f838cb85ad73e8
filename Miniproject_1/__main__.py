"""The commands: `python -m Miniproject_1 --help`."""

import argparse
import json
import sys
from pathlib import Path

if not __package__:  # run as `python Miniproject_1`
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "Miniproject_1"

from .model import OPTIMIZERS, WEIGHTS, Model, Pairs, Training, check_number
from .others.data.files import check_output, replaced, save, say
from .others.data.pairs import SAMPLE, described, evaluate, load_pairs, places_in_sample
from .others.data.photos import make_data
from .others.data.pictures import check_picture_output, comparison, read_picture, write_picture
from .others.training import longrun
from .others.training.crops import Crops
from .others.training.muon import Muon
from .others.training.revive import revive

ALL_OPTIMIZERS = {**OPTIMIZERS, "Muon": Muon}
LOOKED_AT = 200  # images, for channels that are zero everywhere
TRAIN_DEFAULTS = dict(
    epochs=1, pairs=None, batch_size=50, optimizer="momAGD", hybrid=True, learning_rate=0.05, final_learning_rate=0.0,
    decay=1.0, momentum=0.9, crop=None, swap=True, bfloat16=False, seed=0,
)  # fmt: skip


def demonstrate(options):
    """Denoise the embedded sample; print the scores, write a picture."""
    check_picture_output(options.output, options.overwrite)
    model = load_model(options)
    noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
    denoised, *scores = evaluate(model, noisy, clean)
    report(*scores)
    shown = places_in_sample()[:, 0]  # an image of each photograph
    rows = [images[shown] for images in (noisy, denoised, clean)]
    write_picture(comparison(rows, labels=("noisy", "denoised", "clean")), options.output)
    print(f"{options.output} shows one image of each photograph: noisy, denoised and clean")


def evaluate_data(options):
    """Print the scores on a validation set."""
    model = load_model(options)
    noisy, clean = load_pairs(options.data, "val_data.pkl")
    report(*evaluate(model, noisy, clean, average=not options.one_pass)[1:])


def denoise(options):
    """Denoise one picture file."""
    check_picture_output(options.output, options.overwrite)
    picture = read_picture(options.input)
    model = load_model(options)
    write_picture(model.predict(picture[None], average=not options.one_pass, progress=True)[0], options.output)


def train(options):
    """Train on pairs of noisy images, and write the weights."""
    saved = longrun.load_checkpoint(options.resume) if options.resume else None
    given = {name: value for name, value in vars(options).items() if name in TRAIN_DEFAULTS and value is not None}
    settings = {**TRAIN_DEFAULTS, **given}
    if saved:
        for name, value in given.items():
            if value != saved["about"]["settings"][name]:
                raise ValueError(
                    f"--resume: this training was begun with {name} = {saved['about']['settings'][name]}, not {value}"
                )
        settings = saved["about"]["settings"]
    output = options.output or Path(saved["about"]["output"] if saved else "trained.pth")
    checkpoint, history = (output.with_name(output.name + ending) for ending in (".checkpoint", ".json"))
    own = saved and Path(saved["about"]["output"]) == output.resolve()  # the files there are this training's
    if checkpoint.exists() and not own and not options.overwrite:
        raise FileExistsError(
            f"{checkpoint} exists: continue that training with --resume {checkpoint}, or choose another --output"
        )
    for path in (output, history, checkpoint):
        check_output(path, options.overwrite or own)

    images = load_pairs(options.data, "train_data.pkl")
    if settings["pairs"]:
        number = check_number("pairs", settings["pairs"], 1, len(images[0]), whole=True)
        images = [part[:number] for part in images]
    model = Model(seed=settings["seed"], device=options.device)
    if options.start:
        model.load_pretrained_model(options.start)
    if options.revive and not saved:
        number = revive(model.network, images[0][:LOOKED_AT].to(model.device) / 255, settings["seed"])
        print(f"channels that were zero everywhere and are drawn anew: {number}", flush=True)
    training = start_training(model, images, settings)
    about = dict(settings=settings, data=fingerprint(images), output=str(output.resolve()))
    if saved:
        if saved["about"]["data"] != about["data"]:
            raise ValueError(f"--resume: {options.resume} was begun with other pairs than those of {options.data}")
        training.load_state_dict(saved)

    how_to_go_on = f"continue with: train {options.data} --output {output} --resume {checkpoint}"
    try:
        ended = longrun.run(training, checkpoint, about, options.deadline)
    except Exception:
        if training.history["loss"]:
            save(training.good, output)
            say(f"{output} has the last good weights")
        raise
    if ended == longrun.INTERRUPTED:
        say(f"interrupted; {how_to_go_on}")
        return 130
    save(training.good if ended == longrun.DEADLINE else model.network.state_dict(), output)
    with replaced(history) as temporary:
        temporary.write_text(json.dumps(dict(settings=settings, history=training.history)) + "\n")
    print(f"{output}: weights after {len(training.history['loss'])} steps; {history}: loss of each")
    if ended == longrun.DEADLINE:
        print(f"stopped at the deadline; {how_to_go_on}")
    else:
        checkpoint.unlink(missing_ok=True)
    validation = options.data.parent if options.data.is_file() else options.data
    if (validation / "val_data.pkl").exists():
        model.load_pretrained_model(output)
        report(*evaluate(model, *load_pairs(validation, "val_data.pkl"))[1:])


def start_training(model, images, settings):
    """The `Training` that the settings of the command describe."""
    of_pairs = {name: settings[name] for name in ("batch_size", "swap", "seed")}
    others = ("hybrid", "learning_rate", "final_learning_rate", "decay", "momentum", "bfloat16")
    pairs = Pairs(*images, **of_pairs)
    steps = check_number("epochs", settings["epochs"], 1, whole=True) * len(pairs)
    pairs = Crops(pairs, settings["crop"], settings["seed"]) if settings["crop"] is not None else pairs
    options = {name: settings[name] for name in others}
    return Training(model.network, pairs, steps, optimizer=ALL_OPTIMIZERS[settings["optimizer"]], **options)


def fingerprint(images):
    """Numbers that tell training sets apart: the shape, and for each tensor the sum of its pixels."""
    return dict(shape=list(images[0].shape), sums=[int(part.sum()) for part in images])


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
        overwrite=options.overwrite,
    )


def load_model(options):
    model = Model(device=options.device)
    model.load_pretrained_model(options.weights)
    return model


def report(speed, before, after):
    print(f"{len(before)} images, {speed:.0f} a second")
    print(f"noisy    {described(before)} PSNR, mean over images")
    print(f"denoised {described(after)}")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m Miniproject_1",
        description="Remove noise from pictures with a network that was trained on noisy ones. "
        "Without a command: denoise the sample that comes with the project, print how much "
        "better it has become (PSNR: higher is better), and write a picture, denoised.png.",
        epilog="'python -m Miniproject_1 COMMAND --help' explains a command.",
    )
    parser.set_defaults(run=demonstrate, weights=WEIGHTS, device=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def outputs(added, default=None):
        if default:
            added.add_argument("--output", type=Path, default=default, metavar="FILE", help=f"instead of {default}")
        added.add_argument("--overwrite", action="store_true", help="replace output files that exist already")

    def command(name, function, text, inputs):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=function)
        for argument, explanation in inputs.items():
            added.add_argument(argument, type=Path, help=explanation)
        return added

    def prediction(added):
        added.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE", help="default: the shipped ones")
        added.add_argument("--one-pass", action="store_true", help="no mean over 8 flips: 8 times faster, 0.1 dB less")
        device(added)

    def device(added):
        added.add_argument("--device", metavar="NAME", help="cpu, cuda, ...; default: the GPU where there is one")

    outputs(parser, Path("denoised.png"))
    data = {"data": "a val_data.pkl, or the folder that holds it"}
    prediction(command("evaluate", evaluate_data, "Print the PSNR on pairs of noisy and clean images.", data))

    files = {"input": "the noisy picture: PNG, JPEG, ...", "output": "the file to write; its ending names the format"}
    text = "Denoise a picture file of up to 89 megapixels. It becomes RGB of 8 bits; transparency is laid on white."
    added = command("denoise", denoise, text, files)
    prediction(added)
    outputs(added)

    added = command(
        "train",
        train,
        "Train on pairs of noisy images and write the weights. Ctrl-C ends it after the step under way; "
        "nothing is lost, --resume continues.",
        {"data": "a train_data.pkl, or the folder that holds it"},
    )
    added.add_argument("--output", type=Path, metavar="FILE", help="weights to write; default: trained.pth")
    outputs(added)
    device(added)
    added.add_argument("--start", type=Path, metavar="FILE", help="weights to start from; default: fresh ones")
    added.add_argument("--deadline", type=float, metavar="MINUTES", help="stop by then, with a checkpoint")
    added.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="checkpoint (OUTPUT.checkpoint) of a training that was stopped; brings the options it was begun with",
    )
    added.add_argument("--revive", action="store_true", help="first draw anew the channels that are zero everywhere")

    def setting(name, kind, metavar, text):
        default = TRAIN_DEFAULTS[name]
        text += "" if default is None else f"; default: {default}"
        added.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)

    setting("epochs", int, "N", "passes over the pairs")
    setting("pairs", int, "N", "take only the first N pairs")
    setting("batch_size", int, "N", "pairs in a step")
    added.add_argument("--optimizer", choices=ALL_OPTIMIZERS, help="how the weights are changed; default: momAGD")
    added.add_argument(
        "--no-hybrid", dest="hybrid", action="store_const", const=False, help="do not begin with 5 iterations of L-BFGS"
    )
    setting("learning_rate", float, "X", "at the beginning; ADAM wants 0.001, Muon 0.002")
    setting("final_learning_rate", float, "X", "at the end")
    setting("decay", float, "X", "share of the steps, at the end, in which the learning rate falls")
    setting("momentum", float, "X", "of all but SGD and L-BFGS")
    setting("crop", int, "PIXELS", "train on random squares of this side")
    added.add_argument(
        "--no-swap", dest="swap", action="store_const", const=False,
        help="input and target never change places; for data with --target-draws",
    )  # fmt: skip
    added.add_argument(
        "--bfloat16", action="store_const", const=True, help="compute in this type: twice as fast where it is built in"
    )
    setting("seed", int, "N", "of all random choices")

    added = command(
        "make-data",
        make,
        "Build train_data.pkl (pairs of noisy images) and val_data.pkl (noisy and clean) from photographs.",
        {"photos": "folder of photographs; folders within it count", "out": "folder to write to"},
    )
    for name, kind, default, text in (
        ("train-pairs", int, 50_000, "pairs to train on"),
        ("validation-pairs", int, 1_000, "pairs to validate on"),
        ("validation-share", float, 0.1, "share of the photographs kept for validation"),
        ("seed", int, 0, "of all random choices"),
        ("target-draws", int, 1, "noisy versions averaged in the target to train on"),
        ("small-crops", float, 0.0, "share of the training pairs with weaker noise"),
        ("gaussian", float, 0.0, "share of the training pairs with Gaussian noise added"),
        ("shrink", int, None, "reduce photographs whose short side has more pixels"),
    ):
        added.add_argument(f"--{name}", type=kind, default=default, metavar="N" if kind is int else "X",
                           help=text + ("" if default is None else f"; default: {default}"))  # fmt: skip
    outputs(added)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run a command; errors of the user's are one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path that the console cannot show must not stop the work
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(arguments)
        return options.run(options) or 0
    except (OSError, ValueError, TypeError, FloatingPointError, ModuleNotFoundError) as error:
        say(f"error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
