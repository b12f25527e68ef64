"""Tables: columns and relations, no queries, no URLs. One table per file."""

from app.models.api_token import ApiToken
from app.models.asset import Asset
from app.models.attack import Attack
from app.models.audit_entry import AuditEntry
from app.models.defence import Defence
from app.models.issue import Issue
from app.models.job import Job
from app.models.mail import Mail
from app.models.match import Match
from app.models.membership import Membership
from app.models.phase_change import PhaseChange
from app.models.reference_result import ReferenceResult
from app.models.round import Round
from app.models.site_setting import SiteSetting
from app.models.team import Team
from app.models.types import MailStatus, Status, UploadKind, now
from app.models.upload import Upload
from app.models.user import User
from app.models.work import Work

__all__ = [
    "ApiToken",
    "Asset",
    "Attack",
    "AuditEntry",
    "Defence",
    "Issue",
    "Job",
    "Mail",
    "MailStatus",
    "Match",
    "Membership",
    "PhaseChange",
    "ReferenceResult",
    "Round",
    "SiteSetting",
    "Status",
    "Team",
    "Upload",
    "UploadKind",
    "User",
    "Work",
    "now",
]
