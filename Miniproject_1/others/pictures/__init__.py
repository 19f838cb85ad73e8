"""Picture files in and out. Pillow does the work, and is imported only where it is used."""

from .comparison import comparison
from .picture import FORMATS, Picture, pillow
from .reading import load_picture, read_picture
from .writing import check_fit, check_picture_output, save_picture, write_picture

__all__ = [
    "FORMATS",
    "Picture",
    "check_fit",
    "check_picture_output",
    "comparison",
    "load_picture",
    "pillow",
    "read_picture",
    "save_picture",
    "write_picture",
]
