"""The report's text has no number that was typed by hand, and nothing in it goes round the lookups."""

import re

# Not looked at for typed numbers: in prose comments, the preamble, names with digits and lookups, ...
COMMENT = r"(?<!\\)%.*"
PREAMBLE = r"\\documentclass\[\w+\]\{article\}|\\usepackage\{house\}"
NAMES = r"\b(?:HAM10000|F1|MobileNetV2)\b"
LOOKUPS = r"\\(?:result(?:table|figure)?|whenresults|place|setting|cited|cite[pt]?|[cC]?ref|label|bibliography)\*?((?:\[[^]]*\])*)\{[^}/]*\}"
# ... in house.sty its marked block, lengths, parameters, figures with their source, and the licence and address of the data.
LAYOUT = r"(?s)% Layout.*?% End of the layout"
LENGTHS = r"#\d|\[\d\]|\{0\}|multicolumn\{\d\}|[\d.]+(?:pt|em|\\text)"
SOURCED = r"(?m)^\\defcited(?:\[\w+\]|\{(?:licence|dataset)\}).*"

# Numbers in digits and in words: eighty, two per cent, one in ten, thirds, a third of, half of the.
DIGITS = r"\d+(?:[.,]\d+)*"
LARGE = r"(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty|(?:thir|four|fif|six|seven|eigh|nine)teen|hundred|thousand|million|dozen)s?\b"
SMALL = r"(?:half\s+a|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
SHARE = rf"{SMALL}(?:[\s~-]|\\[,;: ])*(?:per\s?cent|\\%|points?\b)|{SMALL}\s+(?:in|out\s+of)\s+{SMALL}\b"
PART = r"(?:third|quarter|(?:four|fif|six|seven|eigh|nin|ten|twentie)th)"
FRACTION = rf"{PART}s\b|{PART}\s+of\b|half\s+(?:of\s+)?(?:the|all|them)\b"
# All that may stand in prose besides the lookups: anything else could go round them.
COMMANDS = (
    "section|subsection|paragraph|caption|item|heading|asked|askedfirst|askedalso|sidebyside|intervals|credit|emph|textbf|textit|texttt|small|"
    "centering|noindent|medskip|FloatBarrier|ifgenerated|else|fi|begin|end|title|author|date|provenance|maketitle|appendix|bibliographystyle")
ENVIRONMENTS = "document|abstract|table|figure|description|itemize|enumerate|checklist"
TYPED = rf"{DIGITS}|(?i:\b(?:{LARGE}|{SHARE}|{FRACTION}))"
OTHERWISE = rf"(?<!\\)(?:\\\\)*(?:\\(?!(?:{COMMANDS})(?![A-Za-z]))[A-Za-z]+|\\begin(?!\{{(?:{ENVIRONMENTS})\*?\}})\s*\{{?\w*)"
ELSEWHERE = r"\\input(?!\{(?:generated/|sections/\}))"
FORBIDDEN = {TYPED: r"typed by hand, use \result, \setting or \cited", OTHERWISE: r"for house.sty, use \resulttable or \resultfigure"}
FORBIDDEN_IN_HOUSE = {TYPED: r"typed by hand, use \result or \setting, or name its source", ELSEWHERE: "of a file that is not checked"}


class ReportError(ValueError):
    """The report cannot be built honestly; the message says what to mend."""


def check(folder):
    """No result is typed by hand: no number stands in prose, captions or arguments, nothing goes round the lookups, and no other file is read.

    Raises
    ------
    ReportError
        File, line and what was found.
    """
    sections = sorted((folder / "sections").rglob("*.tex"))
    names = "|".join(re.escape(file.relative_to(folder / "sections").with_suffix("").as_posix()) for file in sections)
    reads = rf"\\(?:input\{{sections/|sectionof\{{\d\d\}}\{{)(?:{names})\}}"
    for file in [folder / "main.tex", *sections]:
        check_text(file, folder, FORBIDDEN, unseen=[COMMENT, PREAMBLE, NAMES, LOOKUPS, reads])
    check_text(folder / "house.sty", folder, FORBIDDEN_IN_HOUSE, unseen=[LAYOUT, COMMENT, NAMES, SOURCED, LOOKUPS, LENGTHS])


def check_text(file, folder, forbidden, *, unseen):
    """Stop at the first forbidden pattern in a file, once what need not be seen is taken out; notes of citations and line ends stay."""
    text = file.read_text()
    for pattern in unseen:
        text = re.sub(pattern, lambda found: "".join(found.groups("")) + "\n" * found[0].count("\n"), text)
    for pattern, mend in forbidden.items():
        found = re.search(pattern, text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            raise ReportError(f"{file.relative_to(folder)}, line {line}: {found.group()!r} is {mend}")
