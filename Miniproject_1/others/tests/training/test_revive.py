"""Channels that died."""

from ....model import Model, build_network
from ...training.revive import dead_channels, mortal_layers, revive
from .. import TestCase, random_images, weights_of


class TestRevive(TestCase):
    def test_channels_can_die_where_a_relu_follows_but_no_batch_norm(self):
        self.assertEqual(mortal_layers(build_network()), [0, 2, 17, 19])

    def test_revived_channels_change_nothing_and_learn(self):
        model = Model("default", device="cpu")
        images = random_images(4, 8, 8)
        inputs = images / 255
        killed = {0: 3, 2: 5, 17: 60, 19: 7}
        for index, channel in killed.items():
            model.network[index].bias.data[channel] = -1e3
        before = model.predict(images)

        dead = dead_channels(model.network, inputs)
        for index, channel in killed.items():
            self.assertTrue(dead[index][channel])
        num_dead = sum(int(channels.sum()) for channels in dead.values())
        self.assertGreaterEqual(revive(model.network, inputs), num_dead)
        self.assertClose(model.predict(images), before, 1e-2)
        self.assertEqual(revive(model.network, inputs), 0)

        revived = weights_of(model)
        model.train(images, images, 3, False, 2, "ADAM", 0.001, progress=False)
        learned = weights_of(model)
        for index, channel in killed.items():
            name = f"{index}.bias"
            self.assertDiffer(learned[name][channel], revived[name][channel])
