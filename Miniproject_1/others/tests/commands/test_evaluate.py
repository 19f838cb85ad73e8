"""`evaluate`: scores with and without clean images."""

import re
from unittest import mock

import torch

from ....model import Model
from ...data.files import SAMPLE, load_pairs
from ...metrics import psnr, psnr_of, squared_errors
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

    def test_noisy_images_in_place_of_clean_ones_are_warned_of(self):
        pairs = load_pairs(SAMPLE, "train_data.pkl")
        torch.save([images[:100].clone() for images in pairs], self.folder / "mine.pkl")
        with mock.patch.object(Model, "predict", return_value=pairs[0][:100].float()):
            _, _, err = self.run_command("evaluate", "mine.pkl", "--one-pass")
        self.assertIn("warning: the second images are as noisy as the first ones", err)


class TestWithoutCleanImages(CommandCase):
    def test_the_interval_holds_the_psnr_against_the_clean_images(self):
        noisy, clean = load_pairs(SAMPLE, "val_data.pkl")
        generator = torch.Generator().manual_seed(0)
        noisy_1, noisy_2 = clean + 20 * torch.randn((2, *noisy.shape), generator=generator)
        torch.save([noisy_1, noisy_2], self.folder / "mine.pkl")
        denoised = 0.5 * (noisy_1 + clean)
        with mock.patch.object(Model, "predict", return_value=denoised):
            out = self.succeed("evaluate", "--noisy-pairs", "mine.pkl")
        for name, images in (("noisy", noisy_1), ("denoised", denoised)):
            pattern = rf"{name} +([\d.]+) dB \(([\d.]+) to ([\d.]+)\) PSNR of the mean error"
            self.assertRegex(out, pattern)
            value, lowest, highest = map(float, re.search(pattern, out).groups())
            truth = psnr_of(squared_errors(images, clean).mean().item())
            self.assertAlmostEqual(value, truth, delta=0.1)
            self.assertTrue(lowest < truth < highest)
        self.assertIn("estimates without clean images", out)
