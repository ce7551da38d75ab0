"""What formats without pictures say of them."""

from facemargin.counting import counted
from facemargin.report.blocks import DecisionsBlock, FacesBlock, ReconstructionsBlock
from facemargin.report.document import Document

PictureBlock = FacesBlock | DecisionsBlock | ReconstructionsBlock


def count_pictures(block: PictureBlock) -> str:
    """ "Lowest quality: 8 pictures, not in this format" """
    match block:
        case FacesBlock():
            heading, number = block.heading, len(block)
        case DecisionsBlock():
            heading, number = "Decisions", 2 * len(block.gallery.examples)
        case ReconstructionsBlock():
            heading, number = "Face reconstruction", len(block.gallery.captions)
    return f"{heading}: {counted(number, 'picture')}, not in this format"


def pictures_left_out(document: Document) -> str:
    """Where the pictures of faces are; empty if the report has none."""
    kinds = (FacesBlock, DecisionsBlock, ReconstructionsBlock)
    has_pictures = any(isinstance(block, kinds) for section in document.sections for block in section.blocks)
    return "Pictures of faces are in report.html alone." if has_pictures else ""
