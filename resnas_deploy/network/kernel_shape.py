"""The sizes of one residual reduction, as the kernel wants them. Needs neither torch nor triton."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.arch.elements import NORM_EPS
from resnas_deploy.errors import BadInput

_CHANNELS_A_WARP = 256  # 8 for each of its 32 threads: one access of 16 bytes in fp16, two in fp32
_MOST_WARPS = 8


@dataclass(frozen=True)
class ReductionShape:
    """A reduction of `side` x `side` tokens of `width` channels to a quarter of the tokens, of `out_width` channels.

    Raises `BadInput` for an odd side, or for fewer channels after the reduction than before it.
    """

    side: int
    width: int
    out_width: int

    def __post_init__(self) -> None:
        if self.side < 2 or self.side % 2:
            raise BadInput(f"the side of a reduction must be even and at least 2, found {self.side}")
        if not 1 <= self.width <= self.out_width:
            raise BadInput(
                f"the widths of a reduction must be positive and not shrink, found {self.width} to {self.out_width}"
            )

    @property
    def tokens(self) -> int:
        """Tokens before the reduction, the class token among them."""
        return 1 + self.side**2

    @property
    def out_tokens(self) -> int:
        """Tokens after it."""
        return 1 + self.side**2 // 4

    @property
    def block(self) -> int:
        """Channels that one program works on: a power of two, as the Triton language asks; those beyond are masked."""
        return 1 << (self.out_width - 1).bit_length()

    @property
    def warps(self) -> int:
        """Warps of one program, a power of two."""
        return min(max(self.block // _CHANNELS_A_WARP, 1), _MOST_WARPS)

    def constants(self, with_norm: bool) -> dict[str, int | float | bool]:
        """What is constant in the compiled kernel, by the names of its parameters."""
        return {
            "SIDE": self.side,
            "WIDTH": self.width,
            "OUT_WIDTH": self.out_width,
            "BLOCK": self.block,
            "WITH_NORM": with_norm,
            "EPS": NORM_EPS,
        }
