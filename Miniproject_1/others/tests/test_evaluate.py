"""`evaluate`: scores with and without clean images."""

import re

import torch

from ...model import Model
from ..data.files import load_pairs
from ..metrics import psnr, psnr_of
from .test_commands import CommandCase


class TestEvaluate(CommandCase):
    def setUp(self):
        super().setUp()
        self.data_files()
        self.noisy, self.clean = load_pairs(self.folder, "val_data.pkl")
        self.model = Model()
        self.model.load_pretrained_model()

    def evaluate(self, noisy, clean):
        """The standard output and standard error of `evaluate` for these images."""
        torch.save((noisy, clean), self.folder / "mine.pkl")
        status, out, err = self.run_command("evaluate", "mine.pkl", "--one-pass")
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

    def test_from_noisy_pairs_it_is_an_estimate_with_an_interval(self):
        generator = torch.Generator().manual_seed(0)
        shape = (10, *self.clean.shape)  # the images ten times
        noisy_1, noisy_2 = self.clean + 20 * torch.randn((2, *shape), generator=generator)
        (self.folder / "val_data.pkl").unlink()
        torch.save((noisy_1.flatten(0, 1), noisy_2.flatten(0, 1)), self.folder / "train_data.pkl")
        out = self.succeed("evaluate", ".", "--one-pass")
        self.assertIn("estimates without clean images", out)
        denoised = self.model.predict(noisy_1.flatten(0, 1), average=False).cpu().view(shape)
        for name, images in (("noisy", noisy_1), ("denoised", denoised)):
            pattern = rf"{name} +([\d.]+) dB \(([\d.]+) to ([\d.]+)\) PSNR of the mean error"
            value, lowest, highest = map(float, re.search(pattern, out).groups())
            truth = psnr_of((images - self.clean).square().mean().item() / 255**2)
            self.assertAlmostEqual(value, truth, delta=0.3)
            self.assertTrue(lowest <= value <= highest)
