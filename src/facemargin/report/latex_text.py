"""Text for LaTeX, which any version of it reads without packages and fonts for other scripts."""

import re
import unicodedata

_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedblright{}", "`": r"\`{}",
    "\N{NO-BREAK SPACE}": "~", "\N{NON-BREAKING HYPHEN}": "-",
    "–": "--", "—": "---", "…": r"\dots{}", "‘": "`{}", "’": "'{}", "“": "``{}", "”": "''{}",
    "−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "×": r"$\times$", "·": r"$\cdot$", "°": r"$^\circ$",
    "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\rightarrow$", "ρ": r"$\rho$", "λ": r"$\lambda$", "²": "$^2$",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}",
}  # fmt: skip

_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip


def latex_text(text: str) -> str:
    """`text` as ASCII in which nothing is a command. A character for which LaTeX has no command becomes its number, as
    in [U+4E2D]."""
    # two of these in a row would become one sign
    apart = re.sub(r"([-,'!?])(?=[-,'`])", "\\1\0", " ".join(text.split("\n")))
    return "".join(map(_character, apart)).replace("\0", "{}")


def _character(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character == "\0" or " " <= character <= "\x7e":
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(character):04X}]"
