"""Composites, one a file: what frontends make and what becomes primitives."""

from gateformer.quant.expand import float32_functions, onnx_functions, qkeras_functions
from gateformer.quant.expand.affine import Affine
from gateformer.quant.expand.attend import Attend
from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.causal import Causal
from gateformer.quant.expand.elementwise import Elementwise
from gateformer.quant.expand.embedding import Embedding
from gateformer.quant.expand.exact import Exact
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.expand.linear import Linear
from gateformer.quant.expand.log_quantize import LogSqrt2
from gateformer.quant.expand.norm import LayerNorm, RMSNorm
from gateformer.quant.expand.parameter import Parameter
from gateformer.quant.expand.pool import Pool
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.quantize_each import QuantizeEach
from gateformer.quant.expand.requantize import Requantize
from gateformer.quant.expand.scale import Scale
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.expand.shares import Shares
from gateformer.quant.expand.softmax import Softmax
from gateformer.quant.expand.table import Table

REGISTERED = (float32_functions, onnx_functions, qkeras_functions)
"""Modules imported for the elementwise functions that they register."""

__all__ = [
    "FUNCTIONS",
    "Affine",
    "Attend",
    "Attention",
    "Causal",
    "Elementwise",
    "Embedding",
    "Exact",
    "FoldedAttention",
    "LayerNorm",
    "Linear",
    "LogSqrt2",
    "Parameter",
    "Pool",
    "Quantize",
    "QuantizeEach",
    "RMSNorm",
    "Requantize",
    "Scale",
    "ScaledQuantize",
    "Shares",
    "Softmax",
    "Table",
]
