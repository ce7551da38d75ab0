"""The general verification protocol: pairs of images and whether they show the same person, in any format that
`open_verification` reads: a list `path1 path2 label`, LFW's pairs.txt, a .bin file, ..."""

from pathlib import Path

from facemargin.data.open import open_verification
from facemargin.evaluation.protocols.protocol import PairExperiment, Protocol, Rule, register_protocol

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


@register_protocol("pairs", "verification: any list of pairs of images")
def load_pairs(folder: Path, rule: Rule) -> Protocol:
    pairs = open_verification(str(folder))
    experiment = PairExperiment(pairs.name, pairs.first_K, pairs.second_K, pairs.same_K, FARS, pairs.identities_N)
    return Protocol("pairs", pairs.images, (experiment,))
