"""What a Brevitas recipe says: the tables of its TOML file, each with its checks.

Owns ``Network``, ``Bits``, ``Techniques``, ``Training``, ``Refinement``, ``Samples`` and
``Recipe``. Imports the standard library alone; ``reading`` makes them from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Norm = Literal["none", "layer", "prepbn", "batch"]
"""What follows a residual sum."""

Softmax = Literal["plain", "clipped", "log_sqrt2"]
"""How attention's shares are made of its scores."""


FALLBACK: Mapping[str, str] = MappingProxyType(
    {"score": "attention", "share": "attention", "sum": "activation", "hidden": "activation"}
)
"""Widths that may be left out -> the width that then holds."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The labelled inputs of a run.

    Attributes
    ----------
    seed
        Of the order in which samples are dealt out.
    train, valid, test
        Samples to fit, to choose the best epoch by, and to report on; ``test = 0``: all the rest.
    calibration
        Training samples shipped for choosing the types of values that are not quantized.
    tokens
        Tokens of an input where the task lets choose; 0: the task's own.
    """

    seed: int
    train: int
    valid: int
    calibration: int
    test: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.valid, self.calibration) < 1:
            raise ValueError("train, valid and calibration start at 1")
        if self.calibration > self.train:
            raise ValueError("calibration samples are among the training ones")
        if min(self.seed, self.test, self.tokens) < 0:
            raise ValueError("seed, test and tokens start at 0")
        if self.tokens > 4096:
            raise ValueError("tokens end at 4096")


@dataclass(frozen=True, slots=True)
class Network:
    """A transformer encoder that classifies.

    Attributes
    ----------
    blocks, width, heads, key_dim, ffn
        Blocks of attention and a feed-forward pair; features of a token between them; heads and
        features of one; features between the pair.
    norm
        After each residual sum, or before each branch where `norm_first` says so.
    activation
        Between the feed-forward pair and after each layer of the head.
    pool
        How the tokens become one: their mean, or all in a row.
    head
        Units of the dense layers between pooling and logits.
    norm_first
        Whether normalization comes before attention and the feed-forward pair (pre-norm).
    """

    blocks: int
    width: int
    heads: int
    key_dim: int
    ffn: int
    norm: Norm = "layer"
    activation: Literal["relu", "gelu"] = "relu"
    pool: Literal["mean", "flatten"] = "mean"
    head: tuple[int, ...] = ()
    norm_first: bool = False

    def __post_init__(self) -> None:
        sizes = (self.blocks, self.width, self.heads, self.key_dim, self.ffn, *self.head)
        if not all(1 <= size <= 4096 for size in sizes):
            raise ValueError("sizes lie in 1..4096")


@dataclass(frozen=True, slots=True)
class Bits:
    """Widths of the network's numbers, 2 to 16 bits, and how their scales are made.

    Attributes
    ----------
    input, weight, activation, attention
        Inputs; kernels; sums and activations; queries, keys, values, scores and shares.
    score, share
        Attention scores, which index softmax's table, and shares, where they differ from
        `attention`.
    sum, hidden
        Both sides of a residual sum, which is only added, and what follows a ReLU or GELU, where
        they differ from `activation`.
    scale
        ``float``: any scale, learned; ``power_of_two``: its power of two above.
    per_channel
        Whether each output of a layer has a weight scale of its own.
    """

    input: int = 8
    weight: int = 8
    activation: int = 8
    attention: int = 8
    score: int | None = None
    share: int | None = None
    sum: int | None = None
    hidden: int | None = None
    scale: Literal["float", "power_of_two"] = "float"
    per_channel: bool = True

    def __post_init__(self) -> None:
        kinds = ("input", "weight", "activation", "attention", *FALLBACK)
        if not all(2 <= self.of(kind) <= 16 for kind in kinds):
            raise ValueError("widths lie in 2..16")

    def of(self, kind: str) -> int:
        """Width of a kind of number: of an attribute, or of what it falls back on."""
        width: int | None = getattr(self, kind)
        return self.of(FALLBACK[kind]) if width is None else width


@dataclass(frozen=True, slots=True)
class Techniques:
    """What a recipe switches on by name; nothing by default. docs/train.md has the sources.

    Attributes
    ----------
    clipped_softmax
        Shares are ``clip((zeta - gamma) p + gamma, 0, 1)`` with these (gamma, zeta).
    log_sqrt2
        Shares are powers of sqrt(2), of so many bits.
    gated_attention
        Each head's result is multiplied by ``sigmoid(Linear(x))``, a number a head and token.
    prepbn
        LayerNorm becomes an affine function in the course of the training.
    accumulator_bits
        Bits that no sum of a layer leaves, by a bound on its weights.
    pruning
        Share of each layer's weights that becomes zero.
    relu_topk
        Share of the feed-forward activations that stays above zero.
    """

    clipped_softmax: tuple[float, float] | None = None
    log_sqrt2: int | None = None
    gated_attention: bool = False
    prepbn: bool = False
    accumulator_bits: int | None = None
    pruning: float = 0.0
    relu_topk: float | None = None

    def __post_init__(self) -> None:
        if self.clipped_softmax is not None:
            gamma, zeta = self.clipped_softmax
            if self.log_sqrt2 is not None:
                raise ValueError("clipped_softmax and log_sqrt2 exclude each other")
            if not (-1.0 <= gamma <= 0.0 and 1.0 <= zeta <= 2.0):
                raise ValueError("clipped_softmax is gamma in -1..0 and zeta in 1..2")
        if self.log_sqrt2 is not None and not 2 <= self.log_sqrt2 <= 6:
            raise ValueError("log_sqrt2 takes 2 to 6 bits")
        if self.accumulator_bits is not None and not 4 <= self.accumulator_bits <= 32:
            raise ValueError("accumulator_bits lie in 4..32")
        if not 0.0 <= self.pruning < 1.0:
            raise ValueError("pruning is a share below 1")
        if self.relu_topk is not None and not 0.0 < self.relu_topk <= 1.0:
            raise ValueError("relu_topk is a share above 0")

    @property
    def softmax(self) -> Softmax:
        """The softmax that they ask for."""
        if self.log_sqrt2 is not None:
            return "log_sqrt2"
        return "plain" if self.clipped_softmax is None else "clipped"


@dataclass(frozen=True, slots=True)
class Training:
    """The fit: in floating point first, then with quantizers.

    Attributes
    ----------
    seed
        Of the initial weights and of the order of the samples.
    batch
        Samples a step.
    float_epochs, float_rate
        Passes over the training samples, and Adam's initial learning rate.
    quantized_epochs, quantized_rate
        The same with quantizers.
    decay
        AdamW's weight decay.
    """

    seed: int
    batch: int
    float_epochs: int
    float_rate: float
    quantized_epochs: int
    quantized_rate: float
    decay: float = 0.0

    def __post_init__(self) -> None:
        if min(self.batch, self.float_epochs, self.quantized_epochs) < 1 or self.seed < 0:
            raise ValueError("batch and epochs start at 1, the seed at 0")
        if min(self.float_rate, self.quantized_rate) <= 0.0 or self.decay < 0.0:
            raise ValueError("learning rates are above 0, and the decay is not below")


@dataclass(frozen=True, slots=True)
class Refinement:
    """How the fit with quantizers differs from the one in floating point; nothing by default.

    Attributes
    ----------
    distill
        Weight of the shares that the floating-point network gives the classes, in place of the
        labels, in the loss.
    fixed_norms
        Part of this fit after which batch normalizations, and what PRepBN leaves of them, keep
        their means: these are read anew, with quantizers, and what is trained is then what is
        exported.
    """

    distill: float = 0.0
    fixed_norms: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.distill <= 1.0 and 0.0 <= self.fixed_norms <= 1.0):
            raise ValueError("distill and fixed_norms lie in 0..1")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe: `task` names the samples, each other attribute is a table of the file."""

    task: str
    data: Samples
    network: Network
    training: Training
    bits: Bits = field(default_factory=Bits)
    techniques: Techniques = field(default_factory=Techniques)
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        network, wanted = self.network, self.techniques
        if wanted.prepbn and network.norm not in ("layer", "prepbn"):
            raise ValueError("prepbn takes the place of norm = 'layer'")
        if wanted.relu_topk is not None and network.activation != "relu":
            raise ValueError("relu_topk needs activation = 'relu'")
        if self.fixed_norms < 1.0 and self.norm not in ("batch", "prepbn"):
            raise ValueError("fixed_norms needs norm = 'batch' or prepbn")

    @property
    def fixed_norms(self) -> float:
        """Part of the fit with quantizers after which norms keep their means; 1: never."""
        return 1.0 if self.refinement is None else self.refinement.fixed_norms

    @property
    def distill(self) -> float:
        """Weight of the floating-point network's shares in the fit with quantizers."""
        return 0.0 if self.refinement is None else self.refinement.distill

    @property
    def norm(self) -> Norm:
        """The normalization, techniques considered."""
        return "prepbn" if self.techniques.prepbn else self.network.norm
