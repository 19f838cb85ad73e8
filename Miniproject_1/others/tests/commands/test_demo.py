"""The demonstration, without a command."""

from unittest import mock

from ....model import Model
from ...pictures import read_picture
from .. import needs_pillow
from . import CommandCase


@needs_pillow
class TestDemo(CommandCase):
    def setUp(self):
        super().setUp()

        def predict(model, images, **options):
            return images.float()

        self.patch(mock.patch.object(Model, "predict", predict))

    def test_prints_the_scores_and_writes_a_picture_where_it_is_told(self):
        out = self.succeed("--output", "shown.png")
        self.assertIn("noisy    22.70 dB mean PSNR", out)
        self.assertIn("shown.png shows", out)
        self.assertGreater(read_picture(self.folder / "shown.png").shape[2], 15 * 32)

    def test_replaces_no_picture_unless_told(self):
        (self.folder / "denoised.png").write_bytes(b"mine")
        self.refuse("denoised.png exists already.*--overwrite")
        self.refuse("no does not exist", "--output", "no/o.png")
        self.succeed("--overwrite")
        self.assertNotEqual((self.folder / "denoised.png").read_bytes(), b"mine")
