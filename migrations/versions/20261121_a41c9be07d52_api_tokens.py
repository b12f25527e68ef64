"""Tokens of the REST API, and the keys with which an upload is sent once only."""

import sqlalchemy as sa
from alembic import op

revision = "a41c9be07d52"
down_revision = "7b320678a49d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("prefix", sa.String(length=12), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("session_key", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_api_token_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_token_digest")),
    )
    op.create_index(op.f("ix_api_token_user_id"), "api_token", ["user_id"], unique=False)
    op.add_column("upload", sa.Column("idempotency_key", sa.String(length=255), nullable=True))
    op.create_index("ix_upload_idempotency", "upload", ["user_id", "idempotency_key"], unique=True)


def downgrade() -> None:
    """Change them back."""
    op.drop_index("ix_upload_idempotency", table_name="upload")
    op.drop_column("upload", "idempotency_key")
    op.drop_table("api_token")
