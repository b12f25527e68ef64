"""Protections of packet traces: padding, delaying and re-shaping."""

from app.defences.traces.base import TraceDefence
from app.defences.traces.burst_padding import BurstPadding
from app.defences.traces.front import Front
from app.defences.traces.regulator import RegulaTor
from app.defences.traces.tamaraw import Tamaraw
from app.defences.traces.walkie_talkie import WalkieTalkie
from app.defences.traces.wtf_pad import WTFPad

DEFENCES: dict[str, type[TraceDefence]] = {
    "burst-padding": BurstPadding,
    "front": Front,
    "wtf-pad": WTFPad,
    "regulator": RegulaTor,
    "walkie-talkie": WalkieTalkie,
    "tamaraw": Tamaraw,
}
"""The protections by slug, from the weakest to the strongest against the best attacker that knows the defence."""
