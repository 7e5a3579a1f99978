"""The LIV classes, written down once: codes, ids, names. CSVs, ledgers and genome files hold ids,
so a row never changes, and a new class takes the next free id.

A code is that of the operator, with `d` behind it for a differential class.
"""

from typing import NamedTuple


class ClassRow(NamedTuple):
    """A class that has a name."""

    name: str
    code: str
    id: int
    description: str


STAR = (  # the pool of arXiv 2411.17800
    ClassRow("SA-1", "12123", 1, "softmax attention"),
    ClassRow("SA-2", "22123", 2, "softmax attention with short convolutions"),
    ClassRow("SA-3", "32123", 3, "grouped-query attention, keys/values x4"),
    ClassRow("SA-4", "42123", 4, "grouped-query attention, keys/values x2"),
    ClassRow("Rec-1", "54111", 5, "selective state space, state 16"),
    ClassRow("Rec-2", "64111", 6, "selective state space, state 2"),
    ClassRow("GConv-1", "73111", 7, "gated short convolution, length 3"),
    ClassRow("GConv-2", "83111", 8, "gated long convolution, implicit kernel"),
    ClassRow("GMemless", "91142", 9, "SwiGLU"),
    ClassRow("SA-1-Diff", "12123d", 10, "differential softmax attention"),
    ClassRow("SA-2-Diff", "22123d", 11, "differential softmax attention with short convolutions"),
    ClassRow("SA-3-Diff", "32123d", 12, "differential grouped-query attention, keys/values x4"),
    ClassRow("SA-4-Diff", "42123d", 13, "differential grouped-query attention, keys/values x2"),
    ClassRow("Rec-1-Diff", "54111d", 14, "differential selective state space, state 16"),
    ClassRow("Rec-2-Diff", "64111d", 15, "differential selective state space, state 2"),
    ClassRow("GConv-1-Diff", "73111d", 16, "differential gated short convolution, length 3"),
    ClassRow("GConv-2-Diff", "83111d", 17, "differential gated long convolution, implicit kernel"),
)
EXTENDED = (
    ClassRow("LinAttn", "12113", 18, "linear attention, fixed state"),
    ClassRow("SA-3-Band", "32223", 19, "grouped-query sliding-window attention"),
    ClassRow("ReLUAttn", "12133", 20, "ReLU attention"),
    ClassRow("SwishAttn", "12143", 21, "swish attention"),
    ClassRow("GatedDelta", "10.4.1.1.3", 22, "gated delta rule, matrix-valued state"),
    ClassRow("SSD", "11.4.1.1.3", 23, "state-space dual (Mamba-2), state 64"),
)

# Ids of the other valid operators by code. `<alphabet>+operators` has them all.
# fmt: off
UNNAMED = {
    "91112": 100, "91132": 102,
    "12113d": 107, "12133d": 111, "12143d": 113, "12213": 114, "12213d": 115, "12223": 116,
    "12223d": 117, "12233": 118, "12233d": 119, "12243": 120, "12243d": 121,
    "22113": 122, "22113d": 123, "22133": 126, "22133d": 127, "22143": 128, "22143d": 129,
    "22213": 130, "22213d": 131, "22223": 132, "22223d": 133, "22233": 134, "22233d": 135,
    "22243": 136, "22243d": 137,
    "32113": 138, "32113d": 139, "32133": 142, "32133d": 143, "32143": 144, "32143d": 145,
    "32213": 146, "32213d": 147, "32223d": 149, "32233": 150, "32233d": 151, "32243": 152,
    "32243d": 153,
    "42113": 154, "42113d": 155, "42133": 158, "42133d": 159, "42143": 160, "42143d": 161,
    "42213": 162, "42213d": 163, "42223": 164, "42223d": 165, "42233": 166, "42233d": 167,
    "42243": 168, "42243d": 169,
    "10.4.1.1.3d": 179, "11.4.1.1.3d": 180,
}
# fmt: on

FIRST_FREE = 10_000  # ids of classes that users register, up to LAST_FREE
LAST_FREE = 99_999
