"""Classify handwritten digits on a PYNQ-Z2, or on a simulated board.

On the board, in the folder with pynq_digits.bit and all that came with it, as root:

    python3 classify.py pynq_digits.bit digits.npz

Here, where the integers are the same but time is not:

    python fpga_projects/pynq_digits/classify.py --simulate fpga_projects/digits/digits.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from gateformer.host import Accelerator

PROJECT = Path(__file__).parent


def main() -> None:
    """Classify all test images and say how many are right, and how long it took."""
    asked = argparse.ArgumentParser(description="Classify handwritten digits.")
    asked.add_argument("--simulate", action="store_true", help="simulate the board with numpy")
    asked.add_argument("bitstream", nargs="?", default="pynq_digits.bit", help="the .bit")
    asked.add_argument("images", help="digits.npz")
    given = asked.parse_args()
    with np.load(given.images, allow_pickle=False) as file:
        images, labels = file["x_test"].astype(np.float64), file["y_test"]
    if given.simulate:
        from gateformer.host import simulated

        chip = simulated(PROJECT)
    else:
        chip = Accelerator.open(given.bitstream)
    with chip:
        start = perf_counter()
        shares = chip.predict(images)
        seconds = perf_counter() - start
    right = int((np.argmax(shares, axis=-1) == labels).sum())
    print(f"{right} of {len(labels)} right, {1e6 * seconds / len(labels):.1f} us an image")


if __name__ == "__main__":
    main()
