"""`evaluate`: scores with and without clean images."""

import torch

from ...model import Model
from ..data.files import load_pairs
from ..metrics import error_from_noisy_pairs, estimated_psnr, psnr
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
        for average, options in ((True, ()), (False, ("--one-pass",))):
            denoised = self.model.predict(self.noisy, average).cpu()
            out = self.succeed("evaluate", ".", *options)
            self.assertIn(f"noisy    {before:.2f} dB mean PSNR", out)
            self.assertIn(f"denoised {psnr(denoised, self.clean).mean():.2f} dB mean PSNR", out)

    def test_a_result_behind_its_input_is_called_that(self):
        self.assertIn("BEHIND its noisy input", self.evaluate(self.clean, self.noisy)[0])
        exact = self.noisy.clone()
        exact[0] = self.clean[0]
        self.assertNotIn("BEHIND", self.evaluate(exact, self.clean)[0])

    def test_values_that_cannot_be_0_to_255_are_warned_of_in_one_line(self):
        _, err = self.evaluate(self.noisy.float() - 128, self.clean.float() - 128)
        self.assertRegex(err, r"\nwarning: [^\n]* should have values 0 to 255, got -1\d\d [^\n]*\n")

    def test_from_noisy_pairs_it_is_an_estimate(self):
        (self.folder / "val_data.pkl").unlink()
        noisy_1, noisy_2 = load_pairs(self.folder, "train_data.pkl")
        out = self.succeed("evaluate", ".", "--one-pass")
        denoised = self.model.predict(noisy_1, average=False).cpu()
        errors = error_from_noisy_pairs(denoised, noisy_1, noisy_2)
        self.assertIn(f"noisy    {estimated_psnr(errors.noisy)} PSNR of the mean error", out)
        self.assertIn(f"denoised {estimated_psnr(errors.denoised)} PSNR of the mean error", out)
        self.assertIn("estimates without clean images", out)
