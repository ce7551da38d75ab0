"""All pairs of the ORL faces of some people, by name: "orl:31-40"."""

from facemargin.data.formats.data_format import Location
from facemargin.data.formats.orl import embedded_verification_set, people_named
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet


@register_pair_format("orl", "orl, orl:31-40", order=0)
def _open(at: Location) -> VerificationSet | None:
    named = people_named(at.given)
    return None if named is None else embedded_verification_set(*named)
