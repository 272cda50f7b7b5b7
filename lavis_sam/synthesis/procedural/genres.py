"""Genres of invented books: what they are called, and what their covers show."""

from collections.abc import Mapping
from dataclasses import dataclass

from lavis_sam.synthesis.procedural.render.paint import Colour


@dataclass(frozen=True)
class Genre:
    """What books of a genre look like and are called.

    Attributes:
        titles: Patterns; `$a` and `$b` stand for words of the lists.
        art: Names of `cover_art.ARTISTS`.
        fonts: Files in `fonts/`, without their ending.
    """

    titles: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]
    art: tuple[str, ...]
    subjects: tuple[str, ...]
    fonts: tuple[str, ...]
    colours: tuple[tuple[Colour, Colour], ...]


_DARK: tuple[tuple[Colour, Colour], ...] = (
    ((28, 36, 58), (226, 170, 70)),
    ((44, 28, 46), (208, 84, 74)),
    ((20, 52, 56), (236, 190, 110)),
)
_BRIGHT: tuple[tuple[Colour, Colour], ...] = (
    ((246, 214, 110), (222, 84, 62)),
    ((120, 198, 206), (250, 226, 120)),
    ((244, 160, 150), (86, 130, 180)),
    ((160, 206, 130), (250, 236, 190)),
)
_CALM: tuple[tuple[Colour, Colour], ...] = (
    ((232, 222, 202), (122, 62, 50)),
    ((196, 210, 206), (52, 84, 96)),
    ((96, 116, 96), (236, 224, 190)),
    ((58, 84, 122), (232, 206, 150)),
)
_PLACES = (
    "Harbour", "Valley", "Lighthouse", "Garden", "Island", "Mill", "Orchard", "Station", "Bridge", "Villa",
)  # fmt: skip

GENRES: Mapping[str, Genre] = {
    "mystery": Genre(
        titles=("The $a $b", "Murder at the $b", "A Key to the $b", "The Secret of the $b"),
        a=("Silent", "Locked", "Hidden", "Last", "Forgotten"),
        b=_PLACES,
        art=("skyline", "single", "hills"),
        subjects=("key", "candle", "mantelpiece clock", "lock"),
        fonts=("oswald", "cinzel"),
        colours=_DARK,
    ),
    "romance": Genre(
        titles=("A $a in the $b", "Letters from the $b", "The $b of My Heart", "One $a at the $b"),
        a=("Summer", "Kiss", "Promise", "Waltz", "Spring"),
        b=_PLACES,
        art=("hills", "single", "scattered"),
        subjects=("rose", "tulip", "envelope"),
        fonts=("caveat", "eb-garamond"),
        colours=_BRIGHT,
    ),
    "science fiction": Genre(
        titles=("The $a of $b", "Beyond $b", "$b Station", "Signals from $b"),
        a=("Engines", "Children", "Archive", "Edge", "Clocks"),
        b=("Orion", "Kepler", "Titan", "Vega", "Europa", "Callisto"),
        art=("planet",),
        subjects=("rocket",),
        fonts=("oswald", "cinzel"),
        colours=(((36, 44, 96), (226, 134, 84)), ((28, 70, 84), (214, 196, 120)), ((74, 36, 92), (112, 196, 214))),
    ),
    "fantasy": Genre(
        titles=("The $a of $b", "$b and the $a", "Crown of $b", "The Last $a"),
        a=("Dragon", "Wizard", "Sword", "Raven", "Witch"),
        b=("Eldoria", "Nareth", "the North", "Winterfall", "Tarn"),
        art=("hills", "single"),
        subjects=("crown", "owl", "candle"),
        fonts=("cinzel",),
        colours=(((46, 40, 84), (226, 150, 96)), ((30, 66, 62), (226, 210, 130)), ((84, 36, 44), (240, 190, 96))),
    ),
    "history": Genre(
        titles=("The $a of $b", "$b: A History", "A Short History of $b", "How $b Was Won"),
        a=("Fall", "Rise", "Kings", "Merchants", "Builders"),
        b=("Rome", "Carthage", "Venice", "Athens", "Byzantium", "Prague"),
        art=("temple",),
        subjects=("crown",),
        fonts=("cinzel", "eb-garamond"),
        colours=_CALM,
    ),
    "cooking": Genre(
        titles=("The $a Kitchen", "$a Dishes for $b", "Cooking with $b", "$a $b at Home"),
        a=("Simple", "Green", "Rustic", "Sunny", "Quick"),
        b=("Friends", "Vegetables", "Herbs", "Every Day", "Two"),
        art=("scattered", "single"),
        subjects=("avocado", "broccoli", "carrot", "tomato", "lemon", "croissant", "cheese wedge"),
        fonts=("eb-garamond", "caveat"),
        colours=_BRIGHT,
    ),
    "travel": Genre(
        titles=("$a Through $b", "A Year in $b", "$b on Foot", "The Road to $b"),
        a=("Walking", "Sailing", "Cycling", "Wandering"),
        b=("Norway", "Portugal", "the Andes", "Iceland", "Tuscany", "Japan"),
        art=("hills", "rays"),
        subjects=("compass", "airplane", "sailboat", "tent"),
        fonts=("oswald", "eb-garamond"),
        colours=(((70, 150, 190), (250, 214, 140)), ((236, 140, 96), (90, 60, 90)), ((56, 120, 104), (246, 216, 150))),
    ),
    "children's": Genre(
        titles=("The $a $b", "$b Goes to School", "Good Night, $b", "Where Is $b?"),
        a=("Little", "Curious", "Brave", "Sleepy"),
        b=("Elephant", "Penguin", "Hedgehog", "Owl", "Duck", "Turtle"),
        art=("rays", "single", "scattered"),
        subjects=("elephant", "penguin", "hedgehog", "owl", "duck", "turtle"),
        fonts=("caveat",),
        colours=_BRIGHT,
    ),
    "medical": Genre(
        titles=("$a of the $b", "Atlas of $a", "The $b in Practice", "Clinical $a"),
        a=("Anatomy", "Surgery", "Imaging", "Physiology"),
        b=("Heart", "Knee", "Lung", "Spine", "Brain"),
        art=("pulse",),
        subjects=("microscope",),
        fonts=("oswald",),
        colours=(((30, 84, 120), (226, 72, 72)), ((24, 110, 104), (246, 226, 140)), ((236, 240, 242), (200, 50, 60))),
    ),
    "business": Genre(
        titles=("The $a $b", "$b That Lasts", "$a Your $b", "Rules of the $b"),
        a=("Smart", "Lean", "Honest", "Bold"),
        b=("Company", "Market", "Leader", "Strategy", "Team"),
        art=("bars", "tiles"),
        subjects=("briefcase",),
        fonts=("oswald",),
        colours=(((30, 44, 76), (240, 170, 60)), ((236, 236, 232), (36, 120, 150)), ((120, 30, 44), (240, 214, 160))),
    ),
    "poetry": Genre(
        titles=("$a and $b", "Songs of $b", "Under $b", "The Colour of $b"),
        a=("Ashes", "Salt", "Feathers", "Ink", "Rain"),
        b=("Light", "Winter", "Snow", "Dusk", "the Sea"),
        art=("tiles", "single", "hills"),
        subjects=("maple leaf", "crescent moon", "butterfly"),
        fonts=("eb-garamond", "caveat"),
        colours=_CALM,
    ),
    "gardening": Genre(
        titles=("The $a Garden", "$b Month by Month", "Growing $b", "$a $b for Beginners"),
        a=("Wild", "Urban", "Kitchen", "Shady"),
        b=("Tomatoes", "Roses", "Herbs", "Tulips", "Cacti"),
        art=("scattered", "single", "rays"),
        subjects=("potted plant", "tulip", "sunflower", "tomato", "cactus", "honeybee"),
        fonts=("eb-garamond", "oswald"),
        colours=(((214, 228, 190), (70, 110, 60)), ((92, 130, 84), (250, 230, 160)), ((246, 226, 196), (190, 80, 60))),
    ),
}  # fmt: skip

# Authors.
FIRST_NAMES = (
    "Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas", "Karen", "Louis",
    "Maria", "Nadia", "Oscar", "Paula", "Robert", "Sofia", "Thomas", "Vera", "Walter", "Yasmin",
)  # fmt: skip
LAST_NAMES = (
    "Abelard", "Bexley", "Corvino", "Dunmore", "Ellery", "Fairweather", "Grantham", "Hollis", "Ivanov", "Jansen",
    "Kowal", "Lindqvist", "Marchetti", "Norwood", "Okafor", "Pemberton", "Quintana", "Rosewood", "Sandoval",
    "Thornbury", "Varga", "Whitlock", "Yamada", "Zimmer",
)  # fmt: skip
