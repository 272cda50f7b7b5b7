"""What a Penn Treebank token looks like: the classes of tokens that `ptb.py` tells apart.

Every rule is a pattern for a token, and possibly one for what must follow it. They describe, in our own words, what
Stanford's PTBTokenizer 3.4.1 (the one that pycocoevalcap runs in Java) was observed to do;
`tests/metrics/make_ptb_fixture.py` asks the original again. The patterns work on the shape of a text, `ptb_shape.py`.
"""

import re
from dataclasses import dataclass

from lavis_sam.metrics.ptb_shape import CAPITAL, DIGIT, MARK, NOTHING, SMALL, SOFT_HYPHEN


@dataclass(frozen=True)
class Rule:
    """One class of tokens.

    Attributes:
        name: What it is; `ptb.py` treats some by name.
        first: Pattern of the character that it can begin with; rules that cannot match are not tried.
        pattern: Group 1 is the token, the rest is what must follow; the whole length decides between rules.
    """

    name: str
    first: re.Pattern[str]
    pattern: re.Pattern[str]


def _one_of(words: str) -> str:
    """Return the pattern of any of the words (patterns themselves), separated by white space, in any case."""
    return f"(?i:{'|'.join(words.split())})"


# Words that are two tokens.
_TWO_WORDS = _one_of("cannot gonna gotta lemme gimme wanna")
# Abbreviations: with their period; with it unless more than one character is glued to it; with it before numbers only.
_TITLES = _one_of(
    "adj adm adv alex assoc asst attys ave brig capt cf cie cmdr col comdr cpl dept det drs? elec ens ft gen govs? "
    "hon insp invt jos lieut lt maj messrs mlle mme mrs? ms msgr mt natl pfc ph pres profs? pvt reps? rev sens? sfc "
    "sgt spc ste? supts? vs wm"
)
_PLACES_AND_DATES = _one_of(
    "al ala apr ariz assn aug bancorp bhd bldg blvd bros calif cos? colo conn corp ct dak dec esq est etc ext feb fla "
    "fri ga inc ind intl jan jr jul jun kans? ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn plc rd rt "
    r"sept? seq sq sr sys tel tenn thu thurs tues? univ va vt wed wisc? wyo (?:ed|ph)\.d"
)
_TITLES_IN_THIS_CASE = "[mM][tf]g"
_PLACES_IN_THIS_CASE = (
    "A(?i:rk|z)|Del|DEL|Ill|ILL|La|LA|Mass|MASS|Miss|MISS|Ore|ORE|Pa|PA|Tex|TEX|Wash|WASH|[pP]t[ey]s?"
)
_BEFORE_NUMBERS = _one_of("art ca figs? nos? op pp prop")
# After these the period of a single letter ends a sentence; everywhere else the letter is an initial.
_SENTENCE_STARTS = _one_of(
    "a about according additionally after an as at but earlier he her here however if in it last many more mr[.] ms[.] "
    "now once one other our she since so some such that the their then there these they this we what when while yet you"
)
# One token with the apostrophe, for which % stands.
_APOSTROPHE_WORDS = (
    "%n% ol% ev%ry li%l nat%l nor%easter cont%d[.] %em c%mon o%clock %cause c%est cap%n somethin% dunkin% e%er s%mores "
    "%till? %[2-9]0s"
)
_FILE_ENDINGS = _one_of(
    "bat bmp c class cgi cpp dll docx? exe gif gz h html? jar java jpe?g mov mp3 pdf php pl png ppt ps py sql tar txt "
    "wav x xml zip wmv"
)

_L = f"A-Za-z{CAPITAL}{SMALL}"
_D = f"0-9{DIGIT}"
_W = f"{_L}{MARK}{SOFT_HYPHEN}"
_APOSTROPHE = "(?:['’]|&apos;)"
_ANY_APOSTROPHE = "(?:['’‘`]|&apos;)"
_CLITIC = _APOSTROPHE + _one_of("[msd] re ve ll")
_NOT = f"[nN]{_ANY_APOSTROPHE}[tT]"

# Words, also with full stops and no space between them; d'Arcy-Smith; AT&T; 1.5-inch; he/she; U.S.; +3.14; <b id="1">.
_ACCENTED = "&[aeiouAEIOU](?:acute|grave|uml);"
_SYLLABLES = f"(?:[{_W}]|{_ACCENTED})(?:[{_W}{_D}]|{_ACCENTED})*"
_WORD = rf"{_SYLLABLES}(?:[.!?]{_SYLLABLES})*"
_PART = f"(?:[dDoOlL]{_ANY_APOSTROPHE}[{_L}{_D}])?[{_L}{_D}]+"
_HYPHENATED = f"{_PART}(?:[-_‐]{_PART})*"
_INITIALS = "[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+"
_COMPOUND = rf"[A-Za-z0-9][A-Za-z0-9.,{SOFT_HYPHEN}]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9{SOFT_HYPHEN}]+))+"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
_ACRONYM = r"(?:[A-Za-z](?:\.[A-Za-z])*|(?i:Canada|Sino|Korean|EU|Japan|non)-(?i:U\.S)|(?i:U\.S\.-(?:U\.K|U\.S\.S\.R)))"
_NUMBER = f"[-+]?(?:[{_D}]*(?:[.:,{SOFT_HYPHEN}٫][{_D}]+)+|[{_D}]+)"
_TAG = (
    r"<(?:[!?][A-Za-z-][^>]*|/[A-Za-z][-A-Za-z0-9_.:]*|[A-Za-z][-A-Za-z0-9_.:]*"
    r"(?: +(?:[A-Za-z][A-Za-z0-9_.:-]*(?: *= *(?:'[^']*'|\"[^\"]*\"))?))* */?) *>"
)
_TELEPHONE = (
    r"(?:\([0-9]{2,3}\) ?|(?:\+\+?)?(?:[0-9]{2,4}[- ])?[0-9]{2,4}[- ])[0-9]{3,4}[- ]?[0-9]{3,5}"
    r"|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
_OUTSIDE = r' \t"<>|(){}'  # no address has these
_URL = rf"(?i:https?)://[^{_OUTSIDE}]+[^{_OUTSIDE}.!?,-]"
_SITE = (
    rf"(?:www\.(?:[^{_OUTSIDE}.!?,]+\.)+[a-zA-Z]{{2,4}}"
    # The range from , to _ leaves out capitals and digits too.
    rf"|(?:[^ \t\"`'<>|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu))(?:/[^ \t\"<>|()]+[^{_OUTSIDE}.!?,-])?"
)
_MAIL = rf"(?:<|&lt;)?(?:mailto:)?[a-zA-Z0-9][^{_OUTSIDE}]*@(?:[^{_OUTSIDE}.]+\.)*[^{_OUTSIDE}.]+(?:>|&gt;)?"
_ENTITY = "&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+|lt|gt|quot|nbsp);"
_FACE = r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]"
_SIDEWAYS_FACE = r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([-^x=~<>']-[-^x=~<>'`]\)"
_FIXED = _one_of(r"-(?:[RL][RCS]B)- C\.D\.s pro- anti- S(?:&|&amp;)P-500 S(?:&|&amp;)Ls [C]\+\+ [CF]\#")

# Name, what it can begin with, the token, what must follow. The longest match wins, then the earlier rule.
_TABLE = [
    ("two words", "[cglwCGLW]", _TWO_WORDS, ""),
    ("'t and a word", "'", "'" + _one_of("tis twas"), ""),
    ("tag", "<", _TAG, ""),
    ("dash", "[–&]", "&(?:MD|mdash|ndash);|–", ""),
    ("ampersand", "&", "&amp;", ""),
    ("entity", "&", _ENTITY, ""),
    ("word", f"[{_W}&]", _WORD, _CLITIC),
    ("word", "[A-Za-z]", "[A-Za-z]*?[A-MO-Za-mo-z]", _NOT),
    ("number", f"[{_D}]", f"[{_D}]+", _CLITIC),
    ("word", f"[{_W}&]", _WORD, ""),
    *(("word", "[A-Za-z'’&]", _one_of(word.replace("%", _APOSTROPHE)), "") for word in _APOSTROPHE_WORDS.split()),
    ("word", "[lLdDjJ]", f"[lLdDjJ]{_APOSTROPHE}", ""),
    ("word", "[A-HJ-XZn]", f"[A-HJ-XZn]{_ANY_APOSTROPHE}[{_L}]{{2,}}", ""),
    ("word", f"[{_L}]", f"[{_L}]+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z][{_L}]*", ""),
    ("word", "['’&]", f"{_APOSTROPHE}[nN]", ""),
    ("word", "[yY]", f"[yY]{_APOSTROPHE}", f"[{_L}]"),
    ("address", "[hH]", _URL, ""),
    ("address", ".", _SITE, ""),
    ("address", "[A-Za-z0-9<&]", _MAIL, ""),
    ("address", "[@#]", rf"@[a-zA-Z_][a-zA-Z_0-9]*|\#(?:[{_W}]|{_ACCENTED})+", ""),
    ("clitic", "['’&]", _CLITIC, "[^A-Za-z]"),
    ("quote", "'", "'", r"[A-Za-z][^ \t]"),
    ("clitic", "['’&]", _CLITIC, ""),
    ("clitic", "[nN]", _NOT, ""),
    ("number", f"[{_D}]", rf"[{_D}]{{1,2}}[-/][{_D}]{{1,2}}[-/][{_D}]{{2,4}}", ""),
    ("number", f"[-+{_D}.:,{SOFT_HYPHEN}٫]", _NUMBER, ""),
    ("number", "[²₂]", "²+|₂+", ""),
    ("fraction", f"[{_D}]", rf"(?:[{_D}]{{1,4}}[- ])?[{_D}]{{1,4}}(?:\\?/|⁄)[{_D}]{{1,4}}", ""),
    ("fraction character", "½", "½", ""),
    ("word", "[-A-Za-z]", _FIXED, ""),
    ("word", "['’&]", f"{_APOSTROPHE}[0-9][0-9]", " "),
    ("word", f"[{_L}{_D}]", _HYPHENATED, ""),
    ("word", "[A-Z]", _INITIALS, ""),
    ("word", "[A-Za-z0-9]", _SLASHED, ""),
    ("currency", r"[A-Z$\#]", r"[A-Z]*\$|\#", ""),
    ("currency sign", "¢", "¢", ""),
    ("word", "[A-Za-z]", rf"(?:{_TITLES}|{_TITLES_IN_THIS_CASE})\.", ""),
    ("word", "[A-Za-z]", rf"(?:{_PLACES_AND_DATES}|{_PLACES_IN_THIS_CASE})\.", ".."),
    ("word", "[A-Za-z]", rf"{_BEFORE_NUMBERS}\.", f" ?[{_D}]"),
    ("word", "[A-Za-z]", rf"{_ACRONYM}\.", ""),
    ("word", "[A-Za-z]", "[A-Za-z]", rf"\. +(?:(?=[A-Z]){_SENTENCE_STARTS}|{_TAG}) "),
    ("word", "[A-Za-z0-9]", _COMPOUND, ""),
    *(
        ("word", f"[{_W}{_D}&]", rf"(?:{word})\.", "[,;:、]")
        for word in (_WORD, f"[{_D}]+", _HYPHENATED, _INITIALS, _COMPOUND)
    ),
    ("word", f"[{_L}{_D}]", rf"[{_L}{_D}]+(?:\.[{_L}{_D}]+)*\.{_FILE_ENDINGS}", r"[ \t.,?!]"),
    ("telephone", "[(+0-9]", _TELEPHONE, ""),
    ("face", "[<>:;=]", _FACE, "[^A-Za-z0-9]"),
    ("face", "[-(^x=~<>']", _SIDEWAYS_FACE, ""),
    ("dots", "[.…]", r"\.{3,5}|(?:\. ){2,4}\.|…", ""),
    ("run", r"[-@\#_*\\?!]", r"@+|\#+|_+|\*+|(?:\\\*){1,3}|-+|[?!]+", ""),
    ("quote", "['`’‘“„\"&]", f"''|[`‘’“„]{{1,2}}|{_APOSTROPHE}|\"|&quot;", ""),
    ("other", "[<>]", "<<|>>", ""),
    ("other", f"[^{NOTHING}‐٫]", ".", ""),
]
RULES = tuple(Rule(name, re.compile(first), re.compile(f"({token}){after}")) for name, first, token, after in _TABLE)
