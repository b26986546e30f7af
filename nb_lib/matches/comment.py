"""comment: words for the reader; every packet matches.

Linux: net/netfilter/xt_comment.c comment_mt().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nb_lib import kinds
from nb_lib.options import HIT, Answer, Context, Extension, Option, Use

if TYPE_CHECKING:
    from nb_lib.packet import Packet


_LONGEST = 255  # XT_MAX_COMMENT_LEN less the final zero


def _test(_use: Use, _packet: Packet, _ctx: Context) -> Answer:
    return HIT


COMMENT = Extension(
    "comment",
    (Option("--comment", kinds.CutText(longest=_LONGEST), required=True, label="comment",
            listed="/* {value} */",
            help="up to 255 characters for the reader"),),
    test=_test,
    summary="words for the reader; every packet matches",
    source="net/netfilter/xt_comment.c; iptables-extensions(8) comment",
)  # fmt: skip
