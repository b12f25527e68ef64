"""The games. Cards are listed here; a game is imported on first use, because games load heavy libraries."""
