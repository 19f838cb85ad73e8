"""`evaluate`: scores with and without clean images."""

import re
from unittest import mock

import torch

from ....model import Model
from ...data.files import SAMPLE, load_pairs
from ...metrics import psnr, psnr_of_mean_error
from . import CommandCase


class TestEvaluate(CommandCase):
    def setUp(self):
        super().setUp()
        self.data_files()

    def test_prints_the_mean_psnr_of_what_predict_returns(self):
        noisy, clean = load_pairs(self.folder, "val_data.pkl")
        model = Model()
        model.load_pretrained_model()
        expected = psnr(model.predict(noisy, average=False).cpu(), clean).mean().item()
        out = self.succeed("evaluate", self.folder, "--one-pass")
        self.assertIn(f"noisy    {psnr(noisy, clean).mean().item():.2f} dB mean PSNR", out)
        self.assertIn(f"denoised {expected:.2f} dB mean PSNR", out)

    def test_hands_its_options_to_predict(self):
        clean = load_pairs(self.folder, "val_data.pkl")[1].float()
        with mock.patch.object(Model, "predict", return_value=clean) as predict:
            out = self.succeed("evaluate", "val_data.pkl", "--precision", "bfloat16")
            self.assertEqual(predict.call_args[0][1], True)
            self.assertEqual(predict.call_args[1]["precision"], "bfloat16")
            self.succeed("evaluate", "val_data.pkl", "--one-pass")
            self.assertEqual(predict.call_args[0][1], False)
        self.assertIn("denoised all images exact", out)

    def test_exchanged_images_are_warned_of(self):
        noisy, clean = load_pairs(self.folder, "val_data.pkl")
        torch.save([clean.clone(), noisy.clone()], self.folder / "exchanged.pkl")
        _, _, err = self.run_command("evaluate", "exchanged.pkl", "--one-pass")
        self.assertIn("warning: the second images are noisier than the first", err)


class TestWithoutCleanImages(CommandCase):
    def setUp(self):
        super().setUp()
        noisy, self.clean = load_pairs(SAMPLE, "val_data.pkl")
        generator = torch.Generator().manual_seed(0)
        noise = 20 * torch.randn((2, *noisy.shape), generator=generator)
        self.noisy_1, self.noisy_2 = self.clean + noise
        torch.save([self.noisy_1, self.noisy_2], self.folder / "train_data.pkl")
        denoised = 0.5 * (self.noisy_1 + self.clean)
        self.patch(mock.patch.object(Model, "predict", return_value=denoised))
        self.denoised = denoised

    def test_the_interval_holds_the_psnr_against_the_clean_images(self):
        out = self.succeed("evaluate", self.folder)
        for name, images in (("noisy", self.noisy_1), ("denoised", self.denoised)):
            pattern = rf"{name} +([\d.]+) dB \(([\d.]+) to ([\d.]+)\) PSNR of the mean error"
            self.assertRegex(out, pattern)
            found = [float(number) for number in re.search(pattern, out).groups()]
            truth = psnr_of_mean_error(images, self.clean)
            self.assertAlmostEqual(found[0], truth, delta=0.1)
            self.assertLess(found[1], truth)
            self.assertGreater(found[2], truth)
        self.assertIn("estimates without clean images", out)

    def test_any_file_can_be_said_to_hold_noisy_pairs(self):
        (self.folder / "train_data.pkl").rename(self.folder / "mine.pkl")
        out = self.succeed("evaluate", "--noisy-pairs", "mine.pkl")
        self.assertIn("PSNR of the mean error", out)
        self.assertNotIn("PSNR of the mean error", self.succeed("evaluate", "mine.pkl"))
