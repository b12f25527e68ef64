"""The sentences of an HTML page: the text of each block once, cut where sentences end."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, Tag

from app.errors import InvalidUpload, Reason
from app.language.corpora import FORBIDDEN, Corpus
from app.language.fetching import Page
from app.language.tokens import tokenise

MAX_TAGS = 200_000
SHORTEST, LONGEST = 10, 300
"""Characters of a sentence; what is shorter or longer is a menu or a list."""
BLOCKS = frozenset(
    (
        *("address", "article", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main"),
        *("ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul"),
    )
)
"""Elements whose text is not the same sentence as that before and after them."""
LEFT_OUT = frozenset(
    (
        *("aside", "audio", "button", "canvas", "footer", "form", "head", "iframe", "math", "menu", "nav", "noscript"),
        *("object", "option", "select", "script", "style", "svg", "template", "textarea", "video"),
    )
)
"""Elements that are no running text."""
ENDS = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])")
ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“])(?:[A-Za-z]|[a-z]\.[a-z]|al|approx|cf|ch|Dr|ed|eds|Eq|eq|Fig|fig|Gen|Mr|Mrs|Ms|No|nos?|pp?|Prof"
    r"|Ref|Sec|sec|St|U\.S|vol|Vol|vs)\.$"
)


def corpus(page: Page) -> Corpus:
    """The different sentences of a page as a corpus. Raises InvalidUpload when there are fewer than two."""
    blocks = _lines(page) if page.type == "text/plain" else text_blocks(page.content, page.charset)
    found = dict.fromkeys(sentence for block in blocks for sentence in sentences(block))
    result = Corpus(tuple(found), page.url)
    if len(result.distinct) < 2:
        rule = f"The page has at least two sentences of {SHORTEST} to {LONGEST} characters."
        raise InvalidUpload([Reason(rule, str(len(result)), "Give another address, or paste the text.")])
    return result


def _lines(page: Page) -> list[str]:
    text = page.content.decode("utf-8", "replace")
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def text_blocks(content: bytes, charset: str = "") -> list[str]:
    """The text of each block of an HTML page in its order, blanks as one space.

    A text belongs to the innermost block around it and is taken once, however deep that block lies in others. Raises
    InvalidUpload for a page of too many elements.
    """
    if content.count(b"<") > MAX_TAGS:
        rule = f"A page has at most {MAX_TAGS:,} elements."
        raise InvalidUpload([Reason(rule, "it has more", "Give another address, or paste the text.")])
    soup = BeautifulSoup(content, "html.parser", from_encoding=charset or None)
    found = [" ".join("".join(run).split()) for run in _runs(soup)]
    return [block for block in found if block]


def _runs(soup: BeautifulSoup) -> Iterator[list[str]]:
    """The texts between two borders of blocks."""
    # Parents come before their children, so one look at the parent tells everything, whatever the depth.
    block: dict[int, int | None] = {id(soup): id(soup)}
    run: list[str] = []
    last: int | None = None
    for element in soup.descendants:
        above = block[id(element.parent)]
        if isinstance(element, Tag):
            block[id(element)] = _block(element, above)
            if element.name in BLOCKS and run:
                yield run
                run = []
        elif _is_text(element) and above is not None:
            if above != last and run:
                yield run
                run = []
            run.append(str(element))
            last = above
    if run:
        yield run


def _block(element: Tag, above: int | None) -> int | None:
    """The block that the element's text belongs to; None for what is left out."""
    if above is None or element.name in LEFT_OUT:
        return None
    return id(element) if element.name in BLOCKS else above


def _is_text(element: PageElement) -> bool:
    """Whether it is text itself, not a comment, a declaration or a script."""
    return type(element) is NavigableString


def sentences(text: str) -> list[str]:
    """The sentences of a text, of SHORTEST to LONGEST characters; each ends with a mark.

    Numbers such as 3.14, initials and common abbreviations do not end a sentence.
    """
    found, begin = [], 0
    for end in ENDS.finditer(text):
        if not ABBREVIATION.search(text[max(0, end.start() - 12) : end.start()]):
            found.append(text[begin : end.end()].strip())
            begin = end.end()
    found.append(text[begin:].strip())
    whole = [FORBIDDEN.sub("", one if one[-1] in ".!?…\"'”’)]" else f"{one}.") for one in found if one]
    return [one for one in whole if SHORTEST <= len(one) <= LONGEST and tokenise(one) not in ([], ["."])]
