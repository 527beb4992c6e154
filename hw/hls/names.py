"""Names in generated C++: a model's names as identifiers, apart from what C++ means by them.

Owns ``Names`` and ``fixed``. Imports the naming of RTL and the types.
"""

from __future__ import annotations

import re

from gateformer.hw.naming import identifier
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
"""

RESERVED = frozenset(_WORDS.split())
"""Keywords of C++11, and names that the generated code itself uses."""

_DERIVED = re.compile(
    r"_(t|in|out|config|fork|from|so_far|phase\d+(_\d+)?|frame\d*(_\d+)?|operand\d+(_from)?"
    r"|(copy|rest)\d+(_t|_out|_fork)?)"
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

    def new(self, wanted: str) -> str:
        """``wanted`` as an identifier, numbered from 2 on where it would be mistaken.

        Case does not tell names apart: file systems and hls4ml ignore it.
        """
        clean = identifier(wanted)
        name, number = clean, 2
        while self._mistaken(name.lower()):
            name, number = f"{clean}_{number}", number + 1
        self._taken.add(name.lower())
        return name

    def _mistaken(self, name: str) -> bool:
        """Whether a name is taken, or belongs to a taken one, or a taken one to it."""
        return name in self._taken or any(
            _belongs(name, other) or _belongs(other, name) for other in self._taken
        )


def _belongs(name: str, owner: str) -> bool:
    return name.startswith(owner) and bool(_DERIVED.fullmatch(name, len(owner)))


def fixed(kind: Fixed) -> str:
    """A type as the templates call it: ``gf::fixed<17, 7>``."""
    return f"gf::{'' if kind.signed else 'u'}fixed<{kind.width}, {kind.integer}>"
