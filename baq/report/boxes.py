"""The box with which a chapter opens: what it asks, what came out, and how far that goes."""

from __future__ import annotations

from IPython.display import Markdown

__all__ = ["opening"]


def opening(question: str, answer: str, limits: str) -> Markdown:
    """A chapter's question with its answer, in a cell tagged ``opening`` at the chapter's end.

    The answer is written from the chapter's tables, which the last cells alone have all; the book shows
    the box below the chapter's title, and at its foot when and in how many minutes it was executed.

    Arguments:
        question: what the chapter asks, without markup.
        answer: what came out, in two sentences with numbers, in Markdown.
        limits: how far that goes, in Markdown.
    """
    return Markdown(
        f"::::{{admonition}} {question}\n:class: finding\n\n{answer}\n\n*Limits.* {limits}\n::::"
    )
