"""The multi-head attention layer that QKeras lacks.

TensorFlow takes seconds to import, so it is imported inside the functions.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Any

from gateformer.quant.errors import ToolError

SETTINGS = {
    "TF_USE_LEGACY_KERAS": "1",  # QKeras is written for Keras 2
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its sums depend on the machine
    "TF_CPP_MIN_LOG_LEVEL": "3",  # messages about accelerators that are not there
}
"""How TensorFlow must be set up before its first import."""


def keras() -> Any:
    """Return Keras 2 as a module, with QKeras and TensorFlow behind it."""
    if "tensorflow" not in sys.modules:
        os.environ.update(SETTINGS)
    try:
        import_module("qkeras")
        found = import_module("tf_keras")
        in_use = import_module("tensorflow").keras.layers.Layer
    except ImportError as error:
        raise ToolError(
            "E505",
            "cannot train: Python package not installed",
            layer=error.name,
            fix="Install the qkeras extra: pip install -e '.[qkeras]'",
        ) from error
    if in_use is not found.layers.Layer:
        raise ToolError(
            "E504",
            "tensorflow was imported with Keras 3, for which QKeras is not made",
            fix="Set TF_USE_LEGACY_KERAS=1 before the first import of tensorflow",
        )
    return found


@cache
def attention_class() -> type[Any]:
    """Return the Keras layer class `QMultiHeadAttention`.

    Its configuration and its weights in an .h5 file are those of the class of the same name in
    the QKeras fork behind the networks of arXiv:2402.01047: `query`, `key` and `value` kernels
    [features, heads, key_dim] with biases [heads, key_dim], and an `attention_output` kernel
    [heads, value_dim, features] with a bias [features].  Kernels and biases are quantized; scores
    are divided by sqrt(key_dim); nothing is masked, and activations inside are not quantized.
    """
    layer: Any = keras().layers.Layer
    import tensorflow as tf
    from qkeras.qlayers import Clip
    from qkeras.quantizers import get_quantizer

    serialize = keras().utils.legacy.serialize_keras_object

    class QMultiHeadAttention(layer):  # type: ignore[misc] # keras is untyped
        """Scaled dot-product attention with quantized projections."""

        def __init__(
            self,
            num_heads: int,
            key_dim: int,
            value_dim: int | None = None,
            use_bias: bool = True,
            kernel_quantizer: Any = None,
            bias_quantizer: Any = None,
            score_limit: float | None = None,
            **options: Any,
        ) -> None:
            """Take sizes and quantizers.

            `score_limit` adds a penalty on larger scores in training and is not saved.
            """
            super().__init__(**options)
            self.num_heads = num_heads
            self.key_dim = key_dim
            self.value_dim = value_dim or key_dim
            self.use_bias = use_bias
            self.kernel_quantizer = get_quantizer(kernel_quantizer)
            self.bias_quantizer = get_quantizer(bias_quantizer)
            self.score_limit = score_limit

        def build(self, shape: Any) -> None:
            """Make the weights for inputs of `shape` [batch, tokens, features]."""
            self.input_dims = list(shape)
            keys, values = (self.num_heads, self.key_dim), (self.num_heads, self.value_dim)
            width = shape[-1]
            self.weight_pairs = {
                "query": self._pair("query", (width, *keys), keys),
                "key": self._pair("key", (width, *keys), keys),
                "value": self._pair("value", (width, *values), values),
                "attention_output": self._pair("attention_output", (*values, width), (width,)),
            }
            super().build(shape)

        def _pair(self, name: str, kernel: Any, bias: Any) -> list[Any]:
            made = [self._weight(f"{name}/kernel", kernel, "glorot_uniform", self.kernel_quantizer)]
            if self.use_bias:
                made.append(self._weight(f"{name}/bias", bias, "zeros", self.bias_quantizer))
            return made

        def _weight(self, name: str, shape: Any, initializer: str, quantizer: Any) -> Any:
            # As in QDense: a weight out of range would stay there, where its gradient is lost.
            clip = None if quantizer is None else Clip(quantizer.min(), quantizer.max())
            return self.add_weight(name=name, shape=shape, initializer=initializer, constraint=clip)

        def _project(self, equation: str, x: Any, name: str) -> Any:
            kernel, *bias = self.weight_pairs[name]
            if self.kernel_quantizer is not None:
                kernel = self.kernel_quantizer(kernel)
            y = tf.einsum(equation, x, kernel)
            for vector in bias:
                quantize = self.bias_quantizer or tf.identity
                y += quantize(vector)
            return y

        def scores(self, query: Any) -> Any:
            """Return q k / sqrt(key_dim), shape [batch, heads, tokens, tokens]."""
            q = self._project("btf,fhd->bthd", query, "query")
            k = self._project("btf,fhd->bthd", query, "key")
            return tf.einsum("bqhd,bkhd->bhqk", q, k) / self.key_dim**0.5

        def call(self, query: Any, value: Any, training: bool | None = None) -> Any:
            """Attend from `query` to `value`, which must be the same tensor."""
            scores = self.scores(query)
            if training and self.score_limit is not None:
                over = tf.nn.relu(tf.abs(scores) - self.score_limit)
                self.add_loss(tf.reduce_mean(tf.reduce_sum(tf.square(over), axis=[1, 2, 3])))
            v = self._project("btf,fhd->bthd", value, "value")
            context = tf.einsum("bhqk,bkhd->bqhd", tf.nn.softmax(scores), v)
            return self._project("bqhd,hdf->bqf", context, "attention_output")

        def get_config(self) -> dict[str, Any]:
            """Return the configuration, with the fork's keys."""
            return {
                **super().get_config(),
                "num_heads": self.num_heads,
                "key_dim": self.key_dim,
                "value_dim": self.value_dim,
                "dropout": 0.0,
                "use_bias": self.use_bias,
                "output_shape": None,
                "attention_axes": [1],
                "kernel_quantizer": serialize(self.kernel_quantizer),
                "bias_quantizer": serialize(self.bias_quantizer),
                "query_shape": self.input_dims,
                "key_shape": self.input_dims,
                "value_shape": self.input_dims,
            }

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            """Make a layer from `get_config`'s result; what is always the same is not read."""
            fixed = {"dropout", "output_shape", "attention_axes"}
            shapes = {"query_shape", "key_shape", "value_shape"}
            return cls(**{k: v for k, v in config.items() if k not in fixed | shapes})

    return QMultiHeadAttention
