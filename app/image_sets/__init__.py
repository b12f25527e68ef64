"""Labelled images from untrusted HDF5 and npz files.

An HDF5 file can name other files, promise terabytes and ask for code to unpack itself. So its structure is looked at
first, and only plain numbers that lie in the file itself are read.
"""

from app.image_sets.images import ImageSet, ImageSetLimits
from app.image_sets.reading import read

__all__ = ["ImageSet", "ImageSetLimits", "read"]
