"""Text from a backend, made harmless: no control characters, no change of direction, bounded length."""

from __future__ import annotations

LONGEST = 1000  # characters of one text that are printed
MOST_LINES = 60  # of one text of several lines


def printable(text: str) -> str:
    """Return text with control characters escaped: a backend's name or message must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Return text on one line of bounded length: a name or message must not look like a line of the report."""
    shortened = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return printable(shortened).replace("\n", "\\n")


def bounded(text: str, longest: int = LONGEST) -> str:
    """Return text on one line, escaped and cut after so many characters; a cut text says how long the whole is."""
    shown = printable(text[:longest]).replace("\n", "\\n")
    return _noted(shown, text, longest, len(text) > longest)


def bounded_lines(text: str, longest: int = LONGEST) -> str:
    """Return text of several lines, escaped and cut after so many characters or MOST_LINES lines, as `bounded` does."""
    kept = "\n".join(text[:longest].split("\n")[:MOST_LINES])
    return _noted(printable(kept), text, longest, len(kept) < len(text))


def _noted(shown: str, text: str, longest: int, cut: bool) -> str:
    if not cut and len(shown) <= longest:
        return shown
    return f"{shown[:longest]}… ({len(text):,} characters in all)"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
