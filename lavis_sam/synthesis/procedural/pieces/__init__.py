"""Pieces of furniture as solids: each builder gives surfaces, and rectangles that touch the ground.

A piece stands at the origin with its front towards z.
"""

from lavis_sam.synthesis.procedural.pieces.cases import CASES
from lavis_sam.synthesis.procedural.pieces.parts import Look, Piece
from lavis_sam.synthesis.procedural.pieces.seats import SEATS
from lavis_sam.synthesis.procedural.pieces.tables import TABLES

PIECES: dict[str, Piece] = {**SEATS, **TABLES, **CASES}

__all__ = ["PIECES", "Look", "Piece"]
