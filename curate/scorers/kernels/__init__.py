"""Compiled loops along the outlines of masks, shared by several signals.

The constants are columns of what a walk along outlines measures, in the order of ``Geometry``.
"""

FRAGMENT_COUNT, LARGEST_PX, HOLE_COUNT, HOLE_PX, LARGEST_HOLE_PX = range(5)
SMALL_ISLAND_PX, SMALL_HOLE_PX = range(5, 7)
PERIMETER_PX, OUTLINE_PX, RAGGED_PX, STRAIGHT_PX, BORDER_PX, CUT_PX = range(7, 13)
THICK_PX, HULL_PX2 = range(13, 15)
MEAN_X, MEAN_Y, VAR_XX, VAR_YY, VAR_XY = range(15, 20)
