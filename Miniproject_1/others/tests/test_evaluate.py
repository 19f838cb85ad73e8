"""`evaluate`: scores with and without clean images."""

import re

import torch

from ...model import Model
from ..data.files import SAMPLE, load_pairs
from ..metrics import psnr, psnr_of, squared_errors
from .test_commands import CommandCase


class TestEvaluate(CommandCase):
    def setUp(self):
        super().setUp()
        self.data_files()
        self.noisy, self.clean = load_pairs(self.folder, "val_data.pkl")
        self.model = Model()
        self.model.load_pretrained_model()

    def evaluate(self, noisy, references, name="mine.pkl"):
        """The standard output and standard error of `evaluate` for these images."""
        torch.save((noisy, references), self.folder / name)
        status, out, err = self.run_command("evaluate", name, "--one-pass")
        self.assertEqual(status, 0, err)
        return out, err

    def test_prints_the_mean_psnr_of_what_predict_returns(self):
        before = psnr(self.noisy, self.clean).mean()
        for average, options in ((True, ()), (False, ("--one-pass", "--precision", "bfloat16"))):
            precision = "float32" if average else "bfloat16"
            denoised = self.model.predict(self.noisy, average, precision=precision).cpu()
            out = self.succeed("evaluate", ".", *options)
            self.assertIn(f"noisy    {before:.2f} dB mean PSNR", out)
            self.assertIn(f"denoised {psnr(denoised, self.clean).mean():.2f} dB mean PSNR", out)
            self.assertNotIn("BEHIND", out)

    def test_a_result_behind_its_input_is_called_that(self):
        self.assertIn("BEHIND its noisy input", self.evaluate(self.clean, self.noisy)[0])
        exact = self.noisy.clone()
        exact[0] = self.clean[0]
        self.assertNotIn("BEHIND", self.evaluate(exact, self.clean)[0])

    def test_values_that_cannot_be_0_to_255_are_warned_of_in_one_line(self):
        _, err = self.evaluate(self.noisy.float() - 128, self.clean.float() - 128)
        self.assertRegex(err, r"\nwarning: [^\n]* should have values 0 to 255, got -1\d\d [^\n]*\n")

    def test_the_interval_of_an_estimate_holds_the_psnr_against_the_clean_images(self):
        clean = load_pairs(SAMPLE, "val_data.pkl")[1][::4]
        generator = torch.Generator().manual_seed(0)
        noisy_1, noisy_2 = clean + 20 * torch.randn((2, *clean.shape), generator=generator)
        out, _ = self.evaluate(noisy_1, noisy_2, "train_data.pkl")
        denoised = self.model.predict(noisy_1, average=False).cpu()
        for name, images in (("noisy", noisy_1), ("denoised", denoised)):
            pattern = rf"{name} +([\d.]+) dB \(([\d.]+) to ([\d.]+)\) PSNR of the mean error"
            self.assertRegex(out, pattern)
            value, lowest, highest = map(float, re.search(pattern, out).groups())
            truth = psnr_of(squared_errors(images, clean).mean().item())
            self.assertAlmostEqual(value, truth, delta=0.3)
            self.assertTrue(lowest < truth < highest)
        self.assertIn("estimates without clean images", out)

    def test_a_folder_without_clean_images_is_estimated_from_its_pairs(self):
        (self.folder / "val_data.pkl").unlink()
        out = self.succeed("evaluate", ".", "--one-pass")
        self.assertIn("estimates without clean images", out)
