"""Make the checkpoint from which `reproduce` goes on, out of the weights in half precision and the record.

    python -m Miniproject_1.others.training.run.checkpoint PHOTOS FILE

writes FILE.checkpoint; then: python -m Miniproject_1 reproduce PHOTOS --resume FILE.checkpoint
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from ....model import load_file
from .. import longrun, reproduce

HERE = Path(__file__).resolve().parent


def main(photos, output):
    output, record = Path(output), json.loads((HERE / "new.pth.json").read_text())
    model, training, *_ = reproduce.start(
        SimpleNamespace(photos=Path(photos)), dict(reproduce.RECIPE), longrun.Alone("cpu")
    )
    model.network.load_state_dict(load_file(HERE / "state.pth"))
    state = record.pop("state")
    for name, value in dict(loss=0.0125, learning_rate=0.0, evaluations=1, seconds=3600 * state["hours"]).items():
        training.history[name] = [value] * state["step"]  # only their number and the last seconds matter
    training.good, training.mean, training.lowest = model.network.state_dict(), 0.0125, 0.0125
    about = dict(record, settings=dict(reproduce.RECIPE), output=str(output.resolve()))
    longrun.save_checkpoint(training, output.with_name(output.name + ".checkpoint"), about)


if __name__ == "__main__":
    main(*sys.argv[1:])
