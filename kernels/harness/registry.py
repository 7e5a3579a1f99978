"""Every primitive, in one table."""

from ..channelwise_delta_rule.cases import CHANNELWISE_DELTA_RULE
from ..gated_delta_rule.cases import GATED_DELTA_RULE
from ..gated_long_conv.cases import GATED_LONG_CONV
from ..gated_short_conv.cases import GATED_SHORT_CONV, SHORT_CONV
from ..linear_attention.cases import LINEAR_ATTENTION
from ..selective_scan.cases import SELECTIVE_SCAN
from ..ssd.cases import SSD
from ..structured_attention.cases import (
    BANDED_SOFTMAX_ATTENTION,
    DIFFERENTIAL_ATTENTION,
    PAIRWISE_ATTENTION,
)
from ..swiglu.cases import SWIGLU
from .operation import Operation

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        CHANNELWISE_DELTA_RULE,
        GATED_DELTA_RULE,
        GATED_LONG_CONV,
        SELECTIVE_SCAN,
        GATED_SHORT_CONV,
        SHORT_CONV,
        SSD,
        BANDED_SOFTMAX_ATTENTION,
        DIFFERENTIAL_ATTENTION,
        LINEAR_ATTENTION,
        PAIRWISE_ATTENTION,
        SWIGLU,
    )
}
