"""LH2Face's renderer and face reconstruction: from one picture to depth, albedo, light and view, and from these to the
face seen from any direction."""

from facemargin.reconstruction.camera import PinholeCamera
from facemargin.reconstruction.config import ReconstructionConfig
from facemargin.reconstruction.losses import reconstruction_losses
from facemargin.reconstruction.reconstructor import RECOGNIZER_CHANNELS, FaceReconstructor, Reconstruction
from facemargin.reconstruction.reprojection import Reprojection, reproject
from facemargin.reconstruction.shading import lambertian, shade, surface_normals

__all__ = [
    "RECOGNIZER_CHANNELS",
    "FaceReconstructor",
    "PinholeCamera",
    "Reconstruction",
    "ReconstructionConfig",
    "Reprojection",
    "lambertian",
    "reconstruction_losses",
    "reproject",
    "shade",
    "surface_normals",
]
