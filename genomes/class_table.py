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
RELEASED = (  # operators of released models
    ClassRow("QKNorm-1", "12.2.1.2.3", 24, "softmax attention with QK-norm"),
    ClassRow("QKNorm-2", "13.2.1.2.3", 25, "grouped-query attention x2 with QK-norm"),
    ClassRow("QKNorm-4", "14.2.1.2.3", 26, "grouped-query attention x4 with QK-norm"),
    ClassRow("QKNorm-8", "15.2.1.2.3", 27, "grouped-query attention x8 with QK-norm"),
    ClassRow("NoPE-1", "16.2.1.2.3", 28, "softmax attention without positions"),
    ClassRow("NoPE-4", "17.2.1.2.3", 29, "grouped-query attention x4 without positions"),
    ClassRow("GatedAttn-8", "18.2.1.2.3", 30, "Qwen3-Next's gated attention, a quarter rotated"),
    ClassRow("GatedAttn-4", "19.2.1.2.3", 31, "LFM3's gated attention, half rotated"),
    ClassRow("GatedAttn-4-Band", "20.2.2.2.3", 32, "LFM3's gated attention over a window of 256"),
    ClassRow("GQA-3", "21.2.1.2.3", 33, "grouped-query attention, keys/values x3"),
    ClassRow("GQA-8", "22.2.1.2.3", 34, "grouped-query attention, keys/values x8"),
    ClassRow("Window-256", "23.2.2.2.3", 35, "grouped-query attention x4 over a window of 256"),
    ClassRow("GConv-7", "25.3.1.1.1", 36, "gated short convolution, length 7"),
    ClassRow("SSD-128", "26.4.1.1.3", 37, "state-space dual (Mamba-2), state 128"),
    ClassRow("KDA", "30.4.1.1.3", 40, "Kimi Delta Attention, channel-wise decay"),
    ClassRow("MLA", "31.2.1.2.3", 41, "multi-head latent attention"),
    ClassRow("ReLU2", "33.1.1.3.2", 42, "squared ReLU, no gate"),
    ClassRow("MLA-NoPE", "32.2.1.2.3", 43, "multi-head latent attention without positions"),
    ClassRow("GatedDelta-Neg", "34.4.1.1.3", 44, "gated delta rule, negative eigenvalues"),
    ClassRow("JointQKNorm", "35.2.1.2.3", 45, "softmax attention, QK-norm of all heads together"),
    ClassRow("JointQKNorm-NoPE", "36.2.1.2.3", 46, "JointQKNorm without positions"),
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
    "12.2.2.2.3": 200, "13.2.2.2.3": 201, "14.2.2.2.3": 202, "15.2.2.2.3": 203, "16.2.2.2.3": 204,
    "17.2.2.2.3": 205, "18.2.2.2.3": 206, "21.2.2.2.3": 207, "22.2.2.2.3": 208,
    "30.4.1.1.3d": 300,
}
# fmt: on

FIRST_FREE = 10_000  # ids of classes that users register, up to LAST_FREE
LAST_FREE = 99_999
