"""Texts as CLIP's own tokenizer cleans them, before they are split into tokens."""

from __future__ import annotations

import html
import re


def clean_text(text: str) -> str:
    """Clean a text as the code published with CLIP does it.

    Typographic quotes become straight ones; full-width letters, ligatures and text that was
    decoded with the wrong encoding are repaired, and control characters removed (all by
    `ftfy.fix_text`, with its defaults); HTML entities become what they stand for; each run
    of white space becomes one space; letters become small.

    Parameters
    ----------
    text : str
        A prompt as it was typed or pasted.

    Returns
    -------
    str
        What the model was trained to read. It is not cleaned twice: an entity that was escaped
        three times would become another text.

    Examples
    --------
    >>> clean_text("The  cell\u2019s \uff4e\uff55\uff43\uff4c\uff45\uff49 &amp; \ufb01bers")
    "the cell's nuclei & fibers"
    """
    from ftfy import fix_text  # only texts need it

    # Twice, as CLIP does: texts from the web are often escaped twice.
    unescaped = html.unescape(html.unescape(fix_text(text)))
    return re.sub(r"\s+", " ", unescaped).strip().lower()
