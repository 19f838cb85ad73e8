"""Channels that died."""

from ....model import Model, build_network
from ...training.revive import dead_channels, mortal_layers, revive
from .. import TestCase, random_images, weights_of


class TestRevive(TestCase):
    def test_channels_can_die_where_a_relu_follows_but_no_batch_norm(self):
        self.assertEqual(mortal_layers(build_network()), [0, 2, 17, 19])

    def test_revived_channels_change_nothing_and_learn(self):
        model, images = Model("default", device="cpu"), random_images(4, 8, 8)
        killed = {0: 3, 2: 5, 17: 60, 19: 7}
        for index, channel in killed.items():
            model.network[index].bias.data[channel] = -1e3
        dead = dead_channels(model.network, images / 255)
        for index, channel in killed.items():
            self.assertTrue(dead[index][channel])
        before = model.predict(images)

        num_dead = sum(int(channels.sum()) for channels in dead.values())
        self.assertGreaterEqual(revive(model.network, images / 255), num_dead)
        self.assertLess((model.predict(images) - before).abs().max(), 1e-2)
        self.assertEqual(revive(model.network, images / 255), 0)

        revived = weights_of(model)
        model.train(images, images, 3, False, 2, "ADAM", 0.001, progress=False)
        for index, channel in killed.items():
            name = f"{index}.weight"
            moved = weights_of(model)[name] - revived[name]
            if index > 4:  # a transposed convolution
                moved = moved.transpose(0, 1)
            self.assertGreater(moved[channel].abs().max(), 0)
