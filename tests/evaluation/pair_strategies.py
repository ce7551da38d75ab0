"""Hypothesis strategies for small sets of scored pairs, with many ties."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def scored_pairs(draw, max_pairs=24):
    """scores_K (whole numbers, so that ties are common) and same_K with at least one pair of each kind."""
    same = [True, False, *draw(st.lists(st.booleans(), max_size=max_pairs - 2))]
    scores = draw(st.lists(st.integers(-6, 6), min_size=len(same), max_size=len(same)))
    return np.array(scores, dtype=np.float64), np.array(same)


@st.composite
def people_pairs(draw, max_people=5):
    """Scores, labels and identities of pairs of images of a few people, two or more of whom are compared."""
    people = draw(st.integers(2, max_people))
    impostors = [(a, b) for a in range(people) for b in range(people) if a < b]
    chosen = [(0, 0), (0, 1)]
    chosen += draw(st.lists(st.sampled_from(impostors + [(a, a) for a in range(people)]), min_size=2, max_size=20))
    scores = draw(st.lists(st.integers(-4, 4), min_size=len(chosen), max_size=len(chosen)))
    a, b = np.array(chosen).T
    return np.array(scores, dtype=np.float64), a == b, a, b
