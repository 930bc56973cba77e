"""The colours of the lab, safe for colour-blind readers, the same in every panel, figure and lesson.

Process colours are Okabe and Ito's palette, strongest contrast on white first; byte values are drawn in
cividis. Nothing but names of colours lives here, so that a worker may import it for nothing.
"""

PROCESS_COLOURS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
)
"""One colour a process, in order of appearance: the first process of a panel is blue everywhere."""

INK = "#1A1A1A"
PAPER = "#FFFFFF"
QUIET = "#6B6B6B"
"""Text that may be overlooked: 5.3 : 1 on white."""
CHANGED = "#E69F00"
"""What has changed since the last look."""
RIGHT = "#007A5A"
WRONG = "#B34700"
MARKED = {"+": RIGHT, "~": CHANGED, "-": WRONG}
"""What is new, has changed or is gone, by its sign."""

LIGHT = frozenset({"#CC79A7", "#E69F00", "#56B4E9"})
"""Process colours on which white can't be read."""


def ink_on(colour: str) -> str:
    """Return what is written in on a process's colour, ``"#RRGGBB"``: white, or on a light one black."""
    return INK if colour in LIGHT else PAPER


BYTE_COLOURMAP = "cividis"
"""matplotlib's name of the map from byte value (0 dark, 255 bright) to colour."""
