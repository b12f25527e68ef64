"""What every resource has in common: who may ask, the shape of refusals, pages, tags of unchanged answers."""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from flask import Request, Response, request, url_for
from flask_smorest import Blueprint
from marshmallow.validate import Range
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import IntegerConverter, Map

from app.api import auth
from app.extensions import csrf

MAX_ID = (1 << 31) - 1
"""The largest number that every database takes as an id."""
PROBLEM = "application/problem+json"


class Identity(IntegerConverter):
    """An id in an address; a number that no database can hold is an address that does not exist."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=MAX_ID)


class Access(Enum):
    """Who may use a resource."""

    PUBLIC = "public"
    PERSON = "person"
    ADMIN = "admin"


class Parser(FlaskParser):
    """Reads arguments; a body of another kind than JSON is refused as that, not as an empty one."""

    def load_json(self, req: Request, schema: Any) -> Any:
        """The body as JSON."""
        if not req.is_json and req.get_data(cache=True):
            raise UnsupportedMediaType("Send the body as application/json.")
        return super().load_json(req, schema)

    def load_files(self, req: Request, schema: Any) -> Any:
        """The files of a form."""
        if req.mimetype != "multipart/form-data":
            raise UnsupportedMediaType("Send the file in a form, as multipart/form-data.")
        return super().load_files(req, schema)


class Resource(Blueprint):
    """The operations of one noun, all behind the same guard."""

    ARGUMENTS_PARSER = Parser()
    DEFAULT_PAGINATION_PARAMETERS: Mapping[str, int] = {"page": 1, "page_size": 50, "max_page_size": 200}

    def __init__(self, name: str, tag: str, description: str, access: Access = Access.PERSON) -> None:
        super().__init__(name, __name__, description=description)
        self.tag, self.access = tag, access
        if access is not Access.PUBLIC:
            self.before_request(auth.require_admin if access is Access.ADMIN else auth.require_person)
        # A session's state changes are checked in `auth.guard`; those of a token need no check.
        csrf.exempt(self)

    def _store_endpoint_docs(self, endpoint: str, *args: Any, **options: Any) -> None:
        """Note for the document under which heading an operation stands and who may use it."""
        super()._store_endpoint_docs(endpoint, *args, **options)
        for method, about in self._docs[endpoint].items():
            if method != "parameters":
                manual = about.setdefault("manual_doc", {})
                manual["security"] = self._security(method)
                manual["operationId"] = f"{self.name}-{endpoint}".replace("_", "-")
                about["tags"] = [self.tag]

    def _security(self, method: str) -> list[dict[str, list[str]]]:
        if self.access is Access.PUBLIC:
            return [{}]
        scope = auth.needed(method, is_admin=self.access is Access.ADMIN)
        return [{"token": [scope.value]}, {"session": []}]

    def paginate(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Pages of a list; the number of a page is bounded by what a database can skip."""
        usual = super().paginate(*args, **options)

        def bounded(view: Any) -> Any:
            wrapped = usual(view)
            schema = wrapped._apidoc["pagination"]["parameters"]["schema"]
            schema._declared_fields["page"].validators = [Range(min=1, max=MAX_ID)]
            return wrapped

        return bounded

    def _set_pagination_metadata(self, page_params: Any, result: Any, headers: Any) -> tuple[Any, Any]:
        result, headers = super()._set_pagination_metadata(page_params, result, headers)
        headers["Link"] = ", ".join(_links(page_params.page, page_params.page_size, page_params.item_count))
        return result, headers


def _links(page: int, size: int, total: int) -> list[str]:
    """The addresses of the other pages, as RFC 8288 writes them."""
    last = max(1, -(-total // size))
    pages = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
    return [f'<{_address(number, size)}>; rel="{rel}"' for rel, number in pages.items() if 1 <= number <= last]


def _address(page: int, size: int) -> str:
    arguments = {**request.args.to_dict(), **(request.view_args or {}), "page": page, "page_size": size}
    return url_for(str(request.endpoint), _external=True, **arguments)


def tag_answer(response: Response) -> Response:
    """Give every JSON answer a tag by its content, and answer 304 to whoever has this content already."""
    response.vary.update({"Authorization", "Cookie"})
    if request.method in {"GET", "HEAD"} and response.status_code == 200:
        response.headers.setdefault("Cache-Control", "private, no-cache")
        if response.is_json and not response.is_streamed:
            response.add_etag()
        if response.get_etag()[0]:
            response.make_conditional(request)
    if response.status_code == 304 or request.method == "HEAD":
        # Werkzeug forgets the file behind an answer that has no body.
        response.close()
    return response


def plain_name(filename: str | None) -> str:
    """A name that a browser sent, without what no database and no header can hold."""
    return re.sub(r"[^\w .,()+-]", "_", filename or "")[-255:] or "upload"
