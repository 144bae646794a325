"""Texts as people paste them: 420 that are easily turned into other tokens than CLIP's."""

from __future__ import annotations

import html
import unicodedata

WORDS = (
    "cell",
    "the cells",
    "Nuclei",
    "red rings",
    "a photo of filaments",
    "fluorescence",
    "coffee cup",
    "DAPI",
    "naïve café",
    "Zelle und Gefäß",
    "12 µm spots",
    "5 % of 3.5 mm²",
    "细胞核",
    "клетки",
    "κύτταρος",
)


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _ligatures(text: str) -> str:
    pairs = (("ffi", "\ufb03"), ("ff", "\ufb00"), ("fi", "\ufb01"), ("fl", "\ufb02"))
    for plain, one in pairs:
        text = text.replace(plain, one)
    return text + " \ufb01t \u0133s \u01c6 \ufb06"


def _misread(text: str, encoding: str = "latin-1") -> str:
    """Decode the text's UTF-8 with the wrong encoding, as broken files show it."""
    return f"{text}’s – é".encode().decode(encoding, "replace")


# name of a difficulty: how a text gets it
DIFFICULTIES = {
    "typographic apostrophe": lambda t: f"{t}’s",
    "typographic quotes": lambda t: f"“{t}” ‘{t}’ „{t}‟",
    "guillemets and primes": lambda t: f"«{t}» ‹{t}› 5′ 3″",
    "modifier apostrophe": lambda t: f"{t}ʼs isnʼt {t}`s {t}´s",
    "contractions": lambda t: f"{t}'s {t.upper()}'LL we’re I’m they’d don’t",
    "full width": _wide,
    "half width": lambda t: f"{t} \uff76\uff9e\uff97\uff7d \uffe0",
    "ligatures": _ligatures,
    "entities": lambda t: f"{t}&nbsp;&amp; {t}&lt;{t}&gt; &copy",
    "entity of an apostrophe": lambda t: f"{t}&#39;s {t}&rsquo;s {t}&#x2019;s",
    "entities, escaped twice": lambda t: html.escape(html.escape(f"<b>{t}</b> & '{t}'")),
    "entities, escaped thrice": lambda t: "< " + html.escape(html.escape(html.escape(f"{t} & é"))),
    "misread as Latin-1": _misread,
    "misread as Windows-1252": lambda t: _misread(t, "cp1252"),
    "misread twice": lambda t: _misread(_misread(t)),
    "control characters": lambda t: f"\x00{t}\x07 {t}\x1f\x7f{t}\x85\ufeff{t}\ufffd",
    "terminal colors": lambda t: f"\x1b[31m{t}\x1b[0m",
    "line ends": lambda t: f"{t}\r\n{t}\u2028{t}\u2029{t}\x0b{t}\x0c",
    "white space": lambda t: f"\u00a0{t}\u3000 \u2009{t}\t\t\u200a ",
    "invisible characters": lambda t: f"{t}\u200b{t}\u00ad{t}\u2060{t}\u200f{t}",
    "emoji": lambda t: f"{t}🔬 👩\u200d🔬 ❤\ufe0f 👍🏽 🇨🇭",
    "CJK": lambda t: f"{t}细胞，細胞。「{t}」세포",
    "decomposed": lambda t: unicodedata.normalize("NFD", f"{t} é ñ Å 각"),
    "stacked accents": lambda t: f"{t}\u0301\u0323 q\u0307\u0323 {t}\u20dd",
    "dashes and dots": lambda t: f"{t}–{t}—{t}…{t}‐{t}−5",
    "numbers of other kinds": lambda t: f"{t} ½ ² Ⅷ ٣ ₂ ①",
    "capitals of other kinds": lambda t: f"{t.upper()} İ ẞ Σ ΚΥΤΤΑΡΟΣ K Å ſ ǅ '\u017f",
    "special tokens": lambda t: f"{t}<|endoftext|> <|ENDOFTEXT|>{t}<|startoftext|>",
}
HARD_TEXTS = {
    f"{name}: {word}": spoil(word) for name, spoil in DIFFICULTIES.items() for word in WORDS
}
