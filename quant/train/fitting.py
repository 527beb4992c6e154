"""Fitting, saving and reading back Keras networks, whatever they are trained on.

TensorFlow takes seconds to import, so it is imported inside the functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import ConfigError
from gateformer.quant.train.attention import attention_class, keras
from gateformer.quant.train.pruning import Course

Print = Callable[[str], None]
"""Where lines about the progress of a fit go."""

Judge = Callable[[NDArray[np.floating]], tuple[float, str]]
"""Outputs for the validation inputs -> how good they are, and the same in words."""

Epochs = Iterator[tuple[NDArray[np.float32], NDArray[np.int8]]]
"""Inputs and labels of one epoch after the other, in the order of their steps."""


def fit(
    model: Any,
    data: Epochs,
    batch: int,
    epochs: int,
    steps: int,
    rate: float,
    key: str,
    valid: NDArray[np.float32],
    judge: Judge,
    say: Print,
    course: Course | None = None,
) -> None:
    """Fit `model` with Adam and a cosine-shaped learning rate; keep its best epoch.

    Parameters
    ----------
    model:
        A Keras model with a softmax at its end.
    data:
        Gives at least `epochs` epochs.
    batch, epochs, steps:
        Samples a step, epochs to fit, and steps an epoch; samples beyond are left out.
    rate:
        Adam's initial learning rate.
    key:
        Its name in a recipe, for messages.
    valid, judge:
        Inputs after each epoch, and what tells the best.
    say:
        Takes a line an epoch.
    course:
        Which weights become or stay zero; then the best epoch is one in which they are.

    Raises
    ------
    ConfigError
        E009 where the loss is no number.
    """
    import tensorflow as tf

    schedule = keras().optimizers.schedules.CosineDecay(rate, epochs * steps)
    model.compile(
        optimizer=keras().optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        # Compiling takes longer than a short fit, and halves the time of a long one.
        jit_compile=epochs * steps * batch > 100_000,
    )
    best, weights = -1.0, model.get_weights()
    kernels = [weight for weight in model.trainable_weights if "kernel" in weight.name]
    for epoch, (x, y) in zip(range(epochs), data, strict=False):
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch, drop_remainder=True)
        zeros = course.zeros([k.numpy() for k in kernels], epoch / epochs) if course else []
        clearing = [_clearing(kernels, zeros)] if course else []
        loss = model.fit(batches, verbose=0, callbacks=clearing).history["loss"][0]
        reached, words = judge(model.predict(valid, 4096, verbose=0))
        say(f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, {words}")
        if not math.isfinite(loss + reached):
            raise ConfigError(
                "E009",
                "training that diverges",
                layer=f"training.{key}",
                cause=f"the loss is {loss:g} after epoch {epoch + 1}, at a rate of {rate:g}",
                fix=f"Lower training.{key}, and run the command again",
            )
        ripe = course is None or course.settled(epoch / epochs) or epoch + 1 == epochs
        if ripe and reached > best:
            best, weights = reached, model.get_weights()
    model.set_weights(weights)


def _clearing(kernels: list[Any], zeros: list[NDArray[np.bool_]]) -> Any:
    """Return a Keras callback that makes weights zero after each step."""
    kept = [(~mask).astype(np.float32) for mask in zeros]

    def clear(batch: int, logs: Any) -> None:
        for kernel, mask in zip(kernels, kept, strict=True):
            kernel.assign(kernel * mask)

    return keras().callbacks.LambdaCallback(on_batch_end=clear)


def score_ranges(model: Any, x: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """Return the smallest and the largest score of each attention layer over the inputs `x`."""
    layers = [layer for layer in model.layers if isinstance(layer, attention_class())]
    probe = keras().Model(model.input, [layer.input for layer in layers])
    found = probe.predict(x, 4096, verbose=0)
    ranges = []
    for layer, inputs in zip(layers, found if len(layers) > 1 else [found], strict=True):
        parts = np.array_split(inputs, -(-len(x) // 4096))
        extremes = np.array([[s.min(), s.max()] for s in (layer.scores(p).numpy() for p in parts)])
        ranges.append((float(extremes[:, 0].min()), float(extremes[:, 1].max())))
    return tuple(ranges)


def save_model(model: Any, path: Path) -> None:
    """Write `model` in the legacy .h5 format (JSON and arrays, no code), whole or not at all."""
    temporary = path.with_name(f".{path.stem}.part.h5")
    try:
        model.save(temporary, save_format="h5", include_optimizer=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_model(path: Path) -> Any:
    """Read a network that `save_model` wrote, as a Keras model."""
    known = {"QMultiHeadAttention": attention_class()}
    from qkeras.utils import _add_supported_quantized_objects

    _add_supported_quantized_objects(known)
    return keras().models.load_model(path, custom_objects=known, compile=False)
