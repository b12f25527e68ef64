"""P2: poisoning as a post-protection of federated models (IEEE TDSC, 2025), as published, corrected and distilled.

The rule: the protection acts after training, on the clients' own records, and changes nothing in the federated process;
what it costs and what it brings is measured, never assumed.
"""

from app.defences.p2.base import PostProtection, Shares
from app.defences.p2.corrected import Corrected
from app.defences.p2.directions import cosines, farthest
from app.defences.p2.distilled import Distilled
from app.defences.p2.poison import poison
from app.defences.p2.published import AsPublished

__all__ = ["AsPublished", "Corrected", "Distilled", "PostProtection", "Shares", "cosines", "farthest", "poison"]
