"""LH2Face's renderer and face reconstruction: one picture → depth, albedo, light, view → the face from anywhere."""

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
