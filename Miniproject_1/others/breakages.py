"""Do the tests notice? Break one behaviour after the other on a copy of the project, and see a test fail.

    python -m Miniproject_1.others.breakages

Prints a line for each, and ends with status 1 if a breakage went unnoticed. Takes some minutes.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TRAINING, PREDICTION = "Test5Training.test_", "Test6Prediction.test_"
PROCESS, FILES = "TestThorough1Process.test_", "TestThorough3Files.test_"
COMMANDS = "Test9DataAndCommands.test_"
# what breaks; the file; the text; what takes its place; the test that must fail
BREAKAGES = (
    (
        "gradients stay off if they were off",
        "model.py",
        "stepper.step(closure)",
        "stepper.step(torch.no_grad()(closure))",
        TRAINING + "trains_though_gradients_are_off_and_outside_the_main_thread",
    ),
    (
        "training stays in inference mode",
        "model.py",
        "torch.inference_mode(False), torch.enable_grad()",
        "nullcontext()",
        PROCESS + "whatever_was_set_before",
    ),
    (
        "the network is built in the default dtype",
        "model.py",
        'device="cpu", dtype=torch.float32)  # whatever',
        'device="cpu")  # whatever',
        PROCESS + "whatever_was_set_before",
    ),
    (
        "the network is built on the default device",
        "model.py",
        'like = dict(device="cpu", ',
        "like = dict(",
        PROCESS + "whatever_was_set_before",
    ),
    (
        "building it draws from the global random state",
        "model.py",
        "with torch.random.fork_rng(devices=[]):",
        "with nullcontext():",
        "Test3Initialization.test_seed_decides_and_the_global_random_state_is_left_alone",
    ),
    (
        "the weights are looked for in the working directory",
        "model.py",
        'Path(__file__).resolve().parent / "bestmodel.pth"',
        'Path("Miniproject_1/bestmodel.pth")',
        "Test7Weights.test_are_found_from_any_folder_and_equal_the_file",
    ),
    (
        "plain `model` does not find its own `others`",
        "model.py",
        "__path__, __package__ = [str(Path(__file__).resolve().parent)], __name__",
        "pass",
        PROCESS + "wherever_the_project_lies",
    ),
    (
        "NaN is accepted",
        "others/support.py",
        "if not -LARGEST_VALUE <= lowest <= highest <= LARGEST_VALUE:",
        "if lowest < -LARGEST_VALUE or highest > LARGEST_VALUE:",
        "Test8BadInput.test_images_are_checked_before_anything_changes",
    ),
    (
        "any number of channels is accepted",
        "others/support.py",
        "images.shape[1] != 3",
        "False",
        "Test8BadInput.test_images_are_checked_before_anything_changes",
    ),
    (
        "the output leaves 0 to 255",
        "model.py",
        "piece[inner].clamp_(0, 255)",
        "piece[inner]",
        "TestThorough2Input.test_made_up_images",
    ),
    (
        "prediction writes into its input",
        "model.py",
        "piece = test_input[images][outer].to(self.device).to(torch.float32) / 255",
        "piece = test_input[images][outer].to(self.device).to(torch.float32).div_(255)",
        PREDICTION + "changes_neither_its_input_nor_a_training",
    ),
    (
        "tiles have no halo",
        "model.py",
        "HALO = 5",
        "HALO = 4",
        PREDICTION + "large_image_is_denoised_in_tiles_without_seams",
    ),
    (
        "prediction uses the statistics of the batch",
        "model.py",
        "        self.network.eval()\n        try:",
        "        try:",
        PREDICTION + "image_is_the_same_alone_and_in_a_batch",
    ),
    (
        "an exploded loss goes unseen",
        "others/support.py",
        "return not math.isfinite(loss) or loss > EXPLODED * self.lowest",
        "return False",
        TRAINING + "a_hopeless_training_ends_with_an_error_and_the_last_good_weights",
    ),
    (
        "going back leaves the learning rate",
        "model.py",
        "rate /= 2**watch.rollbacks",
        "pass",
        TRAINING + "a_training_that_explodes_goes_back_and_slows_down",
    ),
    (
        "training never gives up",
        "others/support.py",
        "if self.rollbacks > ROLLBACKS:",
        "if False:",
        TRAINING + "a_hopeless_training_ends_with_an_error_and_the_last_good_weights",
    ),
    (
        "the last step is trusted unseen",
        "model.py",
        "if done < num_steps:  # the last",
        "if False:  # the last",
        TRAINING + "the_last_step_is_not_trusted_unseen",
    ),
    (
        "an interrupted step stays half done",
        "others/support.py",
        "        network.load_state_dict(before)\n        raise",
        "        raise",
        TRAINING + "an_error_within_a_step_leaves_the_weights_from_before_it",
    ),
    (
        "a bad iteration of L-BFGS is kept",
        "model.py",
        "if not after < before:",
        "if False:",
        TRAINING + "an_lbfgs_iteration_that_makes_things_worse_is_undone",
    ),
    (
        "the seed does not reach the batches",
        "model.py",
        "generator=torch.Generator().manual_seed(seed), device",
        "generator=None, device",
        TRAINING + "same_seed_same_weights_and_nothing_else_is_touched",
    ),
    (
        "a checkpoint forgets the optimizer",
        "model.py",
        'stepper.load_state_dict(saved["optimizer"])',
        "pass",
        TRAINING + "resumed_training_ends_where_an_unbroken_one_does",
    ),
    (
        "checkpoints are written in place",
        "others/support.py",
        '    with replaced(path, path.with_name(path.name + ".part")) as temporary:',
        "    for temporary in [path]:",
        FILES + "a_full_disk_leaves_the_file_that_was_there",
    ),
    (
        "pickles may run code",
        "others/support.py",
        "weights_only=True",
        "weights_only=False",
        FILES + "a_pickle_that_runs_code_is_refused",
    ),
    (
        "checksums are not looked at",
        "others/support.py",
        "if zipfile.is_zipfile(file) and",
        "if False and",
        FILES + "flipped_bits",
    ),
    (
        "weights of another network are loaded where they fit",
        "model.py",
        "if not isinstance(weights, dict) or expected != {",
        "if not isinstance(weights, dict) or {} == {",
        "Test7Weights.test_bad_files_give_one_sentence_with_the_path",
    ),
    (
        "damaged files raise whatever they like",
        "others/support.py",
        "except Exception as error:  # damaged pickles",
        "except RuntimeError as error:  # damaged pickles",
        FILES + "truncated_at_every_thousandth_byte",
    ),
    (
        "a photograph that cannot be read stops make-data",
        "others/data.py",
        "except (OSError, ValueError) as error:",
        "except KeyError as error:",
        COMMANDS + "make_data_keeps_photographs_apart_and_repeats_itself",
    ),
    (
        "the share of pairs with Gaussian noise is the share without",
        "others/data.py",
        "generator=generator).item() < gaussian:",
        "generator=generator).item() > gaussian:",
        COMMANDS + "gaussian_noise_is_added_to_a_share_of_the_inputs_and_to_no_target",
    ),
    (
        "errors reach the user as tracebacks",
        "__main__.py",
        "except (OSError, ValueError, TypeError,",
        "except (TypeError,",
        COMMANDS + "errors_are_one_line_with_status_2",
    ),
    (
        "16-bit pictures are cut off at 255",
        "others/pictures.py",
        ".point(lambda value: value / 257)",
        "",
        FILES + "pictures_of_every_kind",
    ),
    (
        "pictures are not turned upright",
        "others/pictures.py",
        "image = ImageOps.exif_transpose(image)",
        "pass",
        FILES + "pictures_of_every_kind",
    ),
)


def main():
    unnoticed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for what, file, text, instead, test in BREAKAGES:
            copy = Path(scratch) / "copy"
            shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
            broken = copy / "Miniproject_1" / file
            source = broken.read_text()
            if text not in source:
                raise ValueError(f"{file} has no {text!r} any more")
            broken.write_text(source.replace(text, instead))
            command = [sys.executable, "test.py", "--thorough", test]
            result = subprocess.run(command, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            noticed = result.returncode != 0 and "0 passed, 1 failed" in result.stdout
            unnoticed += not noticed
            print(f"{'noticed' if noticed else 'UNNOTICED':10} {what}", flush=True)
            shutil.rmtree(copy)
    print(f"{len(BREAKAGES) - unnoticed} of {len(BREAKAGES)} noticed")
    sys.exit(unnoticed > 0)


if __name__ == "__main__":
    main()
