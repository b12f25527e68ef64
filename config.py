"""Every setting of the platform: the only file that reads the environment.

`.env` (private) and `.flaskenv` (public) are read first; real environment variables win over both.
The README's table of settings is compared with this file by a test.
"""

import os
import re
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

from dotenv import load_dotenv

ROOT = Path(__file__).resolve().parent
load_dotenv(ROOT / ".env")
load_dotenv(ROOT / ".flaskenv")

Number = TypeVar("Number", int, float)


def text(name: str, default: str = "") -> str:
    """A text from the environment; an empty variable counts as unset."""
    return os.environ.get(name) or default


def whole(name: str, default: int) -> int:
    """A whole number from the environment. Raises ValueError, naming the variable, for anything else."""
    return _parsed(name, str(default), int, "a whole number")


def number(name: str, default: float) -> float:
    """A number from the environment. Raises ValueError, naming the variable, for anything else."""
    return _parsed(name, str(default), float, "a number")


def _parsed(name: str, default: str, parse: Callable[[str], Number], wanted: str) -> Number:
    value = text(name, default)
    try:
        return parse(value)
    except ValueError:
        raise ValueError(f"{name} must be {wanted}, not {value!r}") from None


def flag(name: str, default: bool = False) -> bool:
    """A switch: unset means the default, 0/false/no/off mean no, anything else means yes."""
    return text(name, str(default)).strip().lower() not in {"0", "false", "no", "off"}


INSTANCE = Path(text("SRS_INSTANCE", str(ROOT / "instance"))).resolve()
"""The folder that holds everything that this installation keeps: database, uploads, mails, broker."""


def broker_socket() -> Path:
    """Where the embedded broker listens."""
    # The address of a Unix socket may have 107 bytes and stands in a URL; a deep or oddly named installation folder
    # moves it to the temporary folder.
    path = INSTANCE / "broker" / "valkey.sock"
    if len(str(path)) < 100 and re.fullmatch(r"[\w/.-]+", str(path), re.ASCII):
        return path
    return Path(tempfile.gettempdir()) / f"srs-{os.getuid()}-{sha256(str(path).encode()).hexdigest()[:12]}" / path.name


def _embedded_broker() -> str:
    return f"redis+socket://:{quote(text('BROKER_PASSWORD'), safe='')}@{broker_socket()}?virtual_host=0"


def redis_url(url: str, socket_scheme: str) -> str:
    """A broker or backend address as redis clients write it; empty when it is not a Redis or Valkey."""
    if url.startswith("redis+socket://"):
        parts = urlsplit(url)
        return f"{socket_scheme}://{parts.netloc}{parts.path}?db=0"
    return url if url.startswith(("redis://", "rediss://")) else ""


class Config:
    """The settings of a running platform."""

    # Identity and sessions.
    SECRET_KEY = text("SECRET_KEY")
    PUBLIC_URL = text("PUBLIC_URL", "http://127.0.0.1:5000").rstrip("/")
    SESSION_COOKIE_HTTPONLY = True
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
    REMEMBER_COOKIE_HTTPONLY = True
    REMEMBER_COOKIE_SAMESITE = "Lax"
    REMEMBER_COOKIE_SECURE = SESSION_COOKIE_SECURE
    PROXIES = whole("PROXIES", 0)
    VERIFY_EMAIL = flag("VERIFY_EMAIL", False)
    PASSWORD_RESET = flag("PASSWORD_RESET", True)
    PASSWORD_MIN_LENGTH = whole("PASSWORD_MIN_LENGTH", 10)
    LINK_HOURS = whole("LINK_HOURS", 48)
    LOGIN_RATE_LIMIT = text("LOGIN_RATE_LIMIT", "30 per minute")
    API_RATE_LIMIT = text("API_RATE_LIMIT", "600 per minute")
    REGISTER_RATE_LIMIT = text("REGISTER_RATE_LIMIT", "60 per hour")
    ARGON2_MEMORY_KIB = whole("ARGON2_MEMORY_KIB", 19456)

    # Database, broker, storage.
    SQLALCHEMY_DATABASE_URI = text("DATABASE_URL", f"sqlite:///{INSTANCE / 'app.db'}")
    CELERY_BROKER_URL = text("CELERY_BROKER_URL", _embedded_broker())
    RESULT_BACKEND = text("RESULT_BACKEND", CELERY_BROKER_URL if redis_url(CELERY_BROKER_URL, "unix") else "rpc://")
    UPLOAD_FOLDER = text("UPLOAD_FOLDER", str(INSTANCE / "uploads"))
    TEMPORARY_UPLOAD_FOLDER = text("TEMPORARY_UPLOAD_FOLDER", str(INSTANCE / "temporary"))
    S3_ENDPOINT_URL = text("S3_ENDPOINT_URL")
    RATELIMIT_STORAGE_URI = (
        redis_url(CELERY_BROKER_URL, "redis+unix") or redis_url(RESULT_BACKEND, "redis+unix") or "memory://"
    )
    RATELIMIT_IN_MEMORY_FALLBACK_ENABLED = True
    RATELIMIT_HEADERS_ENABLED = True

    # Mail.
    MAIL_SERVER = text("MAIL_SERVER")
    MAIL_PORT = whole("MAIL_PORT", 25)
    MAIL_USE_TLS = bool(text("MAIL_USE_TLS"))
    MAIL_USE_SSL = bool(text("MAIL_USE_SSL"))
    MAIL_USERNAME = text("MAIL_USERNAME") or None
    MAIL_PASSWORD = text("MAIL_PASSWORD") or None
    MAIL_DEFAULT_SENDER = text("MAIL_DEFAULT_SENDER", "srs@localhost.localdomain")
    MAIL_CA_FILE = text("MAIL_CA_FILE")
    MAIL_TIMEOUT_SECONDS = number("MAIL_TIMEOUT_SECONDS", 20)
    MAIL_FOLDER = text("MAIL_FOLDER", str(INSTANCE / "mail"))
    MAIL_TEST_RECEIVER_FORMAT = text("MAIL_TEST_RECEIVER_FORMAT", "{}@example.org")
    ADMIN = text("ADMIN")

    # The competition.
    MAX_TEAM_SIZE = whole("MAX_TEAM_SIZE", 2)
    TEAM_LOCK_DATE = text("TEAM_LOCK_DATE")
    REGISTRATION_OPEN = flag("REGISTRATION_OPEN", True)
    MATCHES_PER_PAGE = whole("MATCHES_PER_PAGE", 120)
    MATCHES_PER_TEAM = whole("MATCHES_PER_TEAM", 3)
    LEADERBOARD_CACHE_TIME = number("LEADERBOARD_CACHE_TIME", 5)
    NB_CLASSES = whole("NB_CLASSES", 100)
    NB_TRACES_TO_CLASSIFY = whole("NB_TRACES_TO_CLASSIFY", 300)
    MEAN_NB_REP_PER_CLASS = whole("MEAN_NB_REP_PER_CLASS", 32)
    DEVIATION_NB_REP_PER_CLASS = whole("DEVIATION_NB_REP_PER_CLASS", 7)
    ROWS_PER_CAPTURE = whole("ROWS_PER_CAPTURE", 5)
    DEFENCE_COLUMNS = text("DEFENCE_COLUMNS", "cell_id,rep,direction_size,timestamp")
    ATTACK_COLUMNS = text("ATTACK_COLUMNS", "team_id,capture_id")
    UPLOADS_PER_DAY = whole("UPLOADS_PER_DAY", 20)
    UPLOADS_PER_PHASE = whole("UPLOADS_PER_PHASE", 60)

    # Uploads and their evaluation.
    MAX_CONTENT_LENGTH = whole("MAX_CONTENT_LENGTH", 32) * 1024 * 1024
    MAX_FORM_MEMORY_SIZE = 1024 * 1024
    CHECK_MEMORY_MB = whole("CHECK_MEMORY_MB", 4096)
    CHECK_SECONDS = whole("CHECK_SECONDS", 300)
    ADVERSARY_MEMORY_MB = whole("ADVERSARY_MEMORY_MB", 8192)
    ADVERSARY_SECONDS = whole("ADVERSARY_SECONDS", 1800)
    JOB_MEMORY_MB = whole("JOB_MEMORY_MB", 8192)
    JOB_SECONDS = whole("JOB_SECONDS", 3600)
    JOB_BEAT_SECONDS = number("JOB_BEAT_SECONDS", 1)
    JOBS_PER_USER = whole("JOBS_PER_USER", 100)
    ASSETS_PER_USER = whole("ASSETS_PER_USER", 50)
    GPU_WORKER = flag("GPU_WORKER", False)
    HEARTBEAT_SECONDS = number("HEARTBEAT_SECONDS", 5)
    STALE_SECONDS = number("STALE_SECONDS", 60)
    SWEEP_SECONDS = number("SWEEP_SECONDS", 15)
    MAX_TRIES = whole("MAX_TRIES", 3)

    # Logging and front end.
    LOG_LEVEL = text("LOG_LEVEL", "INFO")
    LOG_FOLDER = text("LOG_FOLDER", str(INSTANCE / "logs"))
    WTF_CSRF_TIME_LIMIT = None
    TEMPLATES_AUTO_RELOAD = False


class TestingConfig(Config):
    """The settings of the tests: everything in one temporary folder, nothing from this machine's `.env`."""

    TESTING = True
    SECRET_KEY = "testing-only"  # noqa: S105
    SQLALCHEMY_DATABASE_URI = "sqlite://"
    CELERY_BROKER_URL = "memory://"
    RESULT_BACKEND = "cache+memory://"
    RATELIMIT_STORAGE_URI = "memory://"
    RATELIMIT_ENABLED = False
    WTF_CSRF_ENABLED = False
    PUBLIC_URL = "http://localhost"
    SESSION_COOKIE_SECURE = False
    REMEMBER_COOKIE_SECURE = False
    ARGON2_MEMORY_KIB = 64
    MAIL_SERVER = ""
    VERIFY_EMAIL = False
    LOG_FOLDER = ""
    LEADERBOARD_CACHE_TIME = 0.0
