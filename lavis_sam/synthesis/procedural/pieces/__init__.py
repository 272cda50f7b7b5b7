"""Pieces of furniture as solids: each builder gives surfaces, and rectangles that touch the ground.

parts    boards, legs, cushions; what a piece is and how it looks
seats    what people sit and lie on
tables   tables, desks and lamps
cases    furniture to put objects into

A piece stands at the origin with its front towards z.
"""

from lavis_sam.synthesis.procedural.pieces.cases import CASES
from lavis_sam.synthesis.procedural.pieces.parts import Look, Piece
from lavis_sam.synthesis.procedural.pieces.seats import SEATS
from lavis_sam.synthesis.procedural.pieces.tables import TABLES

PIECES: dict[str, Piece] = {**SEATS, **TABLES, **CASES}

__all__ = ["PIECES", "Look", "Piece"]
