"""What the teaching staff does, as JSON; every resource here asks for an admin with the scope admin."""

from app.api.blueprint import Access, Resource


def resource(name: str, description: str) -> Resource:
    """A resource behind the guard of all of these."""
    return Resource(f"admin_{name}", f"admin-{name}", description, Access.ADMIN)
