"""Names in generated C++: a model's names as identifiers, apart from what C++ means by them.

Owns ``Names``, ``LIBRARY``, ``MACROS``, ``HEADERS`` and ``fixed``. Imports the naming of RTL and
the types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from itertools import count

from gateformer.hw.naming import plain
from gateformer.quant.types import Fixed

_WORDS = """
    alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char char16_t
    char32_t class compl const const_cast constexpr continue decltype default delete do double
    dynamic_cast else enum explicit export extern false float for friend goto if inline int long
    mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
    register reinterpret_cast return short signed sizeof static static_assert static_cast struct
    switch template this thread_local throw true try typedef typeid typename union unsigned using
    virtual void volatile wchar_t while xor xor_eq
    gf hls input main nnet result std t tokens
    ac_channel ac_fixed ac_int ac_o_mode ac_q_mode ac_rnd ac_rnd_conv ac_rnd_conv_odd ac_rnd_inf
    ac_rnd_min_inf ac_rnd_zero ac_sat ac_sat_sym ac_sat_zero ac_trn ac_trn_zero ac_wrap
    ap_fixed ap_fixed_base ap_int ap_int_base ap_o_mode ap_q_mode ap_rnd ap_rnd_conv ap_rnd_inf
    ap_rnd_min_inf ap_rnd_zero ap_sat ap_sat_sym ap_sat_zero ap_shift_reg ap_trn ap_trn_zero
    ap_ufixed ap_uint ap_wrap ap_wrap_sm
    environ errno signgam stderr stdin stdout
    bufsiz clocks_per_sec config_t eof exit_failure exit_success huge_val infinity linux m_e m_pi
    nan null rand_max seek_cur seek_end seek_set unix
    clock_t div_t file fpos_t id_t int16_t int32_t int64_t int8_t key_t ldiv_t loff_t mode_t off_t
    pid_t ptrdiff_t quad_t size_t ssize_t time_t u_char u_int u_long u_short uint uint16_t uint32_t
    uint64_t uint8_t ulong ushort wint_t
"""

RESERVED = frozenset(_WORDS.split())
"""Keywords of C++11, names that the generated code uses, macros and types of the C library, types
and modes of fixed point."""

_LIBRARY = """
    abort abs acos asin atan atan2 atexit atof atoi cbrt ceil clock clone copysign cos cosh div
    drem erf erfc exit exp exp2 expm1 fabs fdim floor fma fmax fmin fmod
    free frexp gamma getc gets hypot index isinf isnan j0 j1 jn labs ldexp lgamma link log log10
    log1p log2 logb lround malloc modf nan pause pipe pow printf putc puts rand random read
    realloc remainder remove rename rewind rindex rint round scalb scanf select signal
    signbit significand sin sinh sleep sqrt stat stream stream_in stream_out
    swab sync system tan tanh tgamma time trunc unlink wait write y0 y1 yn
"""

LIBRARY = frozenset(_LIBRARY.split())
"""Names of the C library and of hls4ml's streams, which neither a variable of the project may take
nor a function that is no template."""

MACROS = frozenset({"div_roundup", "max", "min"})
"""Macros of hls4ml's defines.h, in small letters."""

_HEADERS = """
    defines parameters nnet_common nnet_helpers nnet_mult nnet_stream nnet_types
    gf_arithmetic gf_cast gf_io gf_layout gf_lookup gf_matmul gf_normalize gf_reduce gf_tree
    gf_types gf_weights
"""

HEADERS = frozenset(_HEADERS.split())
"""Headers of a project, apart from which its own one stays: that is named as its top function."""

_DERIVED = re.compile(
    r"_(t|in|out|config|fork|run|task|token|so_far|phase\d+(_\d+)?|frame\d*(_\d+|_in|_out)?"
    r"|from(_token|_feature)?|operand\d+(_from)?|(copy|rest)\d+(_t|_out|_fork)?)"
)
"""What the generated code appends to a name for something that belongs to it."""


class Names:
    """Gives every key one identifier of its own.

    Parameters
    ----------
    *taken : str
        Identifiers that are in use already.
    """

    def __init__(self, *taken: str) -> None:
        self._taken = {name.lower() for name in (*RESERVED, *taken)}
        self._joined = {_joined(name) for name in taken}

    def new(self, wanted: str, apart: Set[str] = frozenset()) -> str:
        """``wanted`` as an identifier, numbered from 2 on where it would be mistaken.

        It also stays clear of the names in ``apart``. Neither case nor underscores tell names
        apart: file systems ignore case, and hls4ml makes ``XOneOutPipe`` of ``x_one_out``.
        Underscores in front, by which compilers know their own names, are left out.
        """
        name = next(
            name
            for name in _numbered(_plain(wanted))
            if name.lower() not in apart and not self._mistaken(name.lower())
        )
        self._taken.add(name.lower())
        self._joined.add(_joined(name))
        return name

    def _mistaken(self, name: str) -> bool:
        """Whether a name is taken, or belongs to a taken one, or a taken one to it."""
        return (
            name in self._taken
            or _joined(name) in self._joined
            or any(_belongs(name, other) or _belongs(other, name) for other in self._taken)
        )


def _plain(wanted: str) -> str:
    name = plain(wanted).lstrip("_")
    return name if name[:1].isalpha() else f"n{name}"


def _numbered(name: str) -> Iterator[str]:
    """A name and what may stand for it; ``mix_frame_2`` too would belong to ``mix``."""
    yield name
    for number in count(2):
        yield f"{name}_{number}"
        yield f"{name}_n{number}"


def _joined(name: str) -> str:
    return name.lower().replace("_", "")


def _belongs(name: str, owner: str) -> bool:
    return name.startswith(owner) and bool(_DERIVED.fullmatch(name, len(owner)))


def fixed(kind: Fixed) -> str:
    """A type as the templates call it: ``gf::fixed<17, 7>``."""
    return f"gf::{'' if kind.signed else 'u'}fixed<{kind.width}, {kind.integer}>"
