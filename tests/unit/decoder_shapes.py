"""Small decoders of the three families whose runtimes are tested."""

from gateformer.quant.decoder import Decoder

GPT = Decoder("gpt", 2, 64, 4, 4, 16, 256, 301, 64)
OPT = Decoder("opt", 2, 64, 4, 4, 16, 256, 301, 64, activation="relu")
LLAMA = Decoder(
    "llama", 3, 64, 4, 2, 16, 160, 301, 64,
    norm="rms", activation="silu", gated=True, positions="rotary",
    bias_qkv=False, bias_projection=False, bias_ffn=False, tied=False,
)  # fmt: skip
SHAPES = {shape.name: shape for shape in (GPT, OPT, LLAMA)}
