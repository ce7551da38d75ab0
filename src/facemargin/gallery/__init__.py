"""People, images and vectors: who is together with whom, who is enrolled, who somebody is."""

from facemargin.gallery.certificate import GalleryCertificate
from facemargin.gallery.cluster import Clusters, cluster
from facemargin.gallery.enrolment import Enrolment, EnrolmentOutcome
from facemargin.gallery.gallery import Gallery
from facemargin.gallery.identification import Candidate, Identification
from facemargin.gallery.store import EnrolledImage, EnrolledPerson
from facemargin.gallery.video import IdentifiedVideo

__all__ = [
    "Candidate",
    "Clusters",
    "EnrolledImage",
    "EnrolledPerson",
    "Enrolment",
    "EnrolmentOutcome",
    "Gallery",
    "GalleryCertificate",
    "Identification",
    "IdentifiedVideo",
    "cluster",
]
