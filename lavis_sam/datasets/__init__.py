"""Room 2 of the way of the data: annotation -> sample -> padded batch.

All but `builders` works without LAVIS.
"""
