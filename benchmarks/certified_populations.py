"""Populations whose true error rates are known, to count how often a promise about them is broken.

Some people are "wolves" (Doddington et al., 1998). A pair with a wolf scores from 1 to 2 with probability `reach`, any
other from 0 to 1, uniformly. Some are "goats", whose genuine pairs score from −2 to −1, those of others from 1 to 2.
The people of one sample are drawn independently. Shapes: N people, S images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DELTA = 0.05


@dataclass(frozen=True)
class Population:
    """`wolves`, `goats`: their shares of all people."""

    wolves: float = 0.0
    reach: float = 1.0
    goats: float = 0.0

    @property
    def high(self) -> float:
        """How many pairs of different people score from 1 on."""
        return (1 - (1 - self.wolves) ** 2) * self.reach

    def true_fmr(self, threshold: float | None) -> float:
        """0 without a threshold: nothing is accepted."""
        if threshold is None:
            return 0.0
        low, high = np.clip([1 - threshold, 2 - threshold], 0, 1)
        return float((1 - self.high) * low + self.high * high)

    def true_fnmr(self, threshold: float | None) -> float:
        if threshold is None:
            return 0.0
        low, high = np.clip([threshold + 2, threshold - 1], 0, 1)
        return float(self.goats * low + (1 - self.goats) * high)

    def sample(self, person_S: NDArray[np.int64], generator: np.random.Generator) -> FloatArray:
        """The scores (S, S) of images of people 0, 1, …, who are drawn anew."""
        people, images = int(person_S.max()) + 1, len(person_S)
        wolf_N = generator.random(people) < self.wolves
        goat_N = generator.random(people) < self.goats
        with_wolf_SS = wolf_N[person_S][:, None] | wolf_N[person_S]
        high_SS = with_wolf_SS & (generator.random((images, images)) < self.reach)
        genuine_SS = person_S[:, None] == person_S
        start_SS = np.where(genuine_SS, np.where(goat_N[person_S], -2.0, 1.0), high_SS)
        return np.asarray(start_SS + generator.random((images, images)))


def tight(people: int, delta: float = DELTA) -> Population:
    """Wolves match everybody, nobody else matches, and δ of all samples have no wolf. No bound that holds for every
    population is broken less often in all of them."""
    return Population(wolves=1 - delta ** (1 / people))


def lowest_fmr(people: int, delta: float = DELTA) -> float:
    """The lowest FMR that so many people, all compared with each other, can certify, rounded up a little."""
    return (1 - delta ** (1 / (people // 2))) * (1 + 1e-9)


POPULATIONS = {
    "homogeneous": Population(),
    ".1 % wolves": Population(wolves=0.001),
    ".3 % wolves": Population(wolves=0.003),
    "1 % wolves, p = .3": Population(wolves=0.01, reach=0.3),
    "3 % wolves, p = .3": Population(wolves=0.03, reach=0.3),
}


def draw(population: Population, people: int, seed: int) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """One image of each of so many people, all compared: scores and people on both sides."""
    first, second = np.triu_indices(people, 1)
    scores = population.sample(np.arange(people), np.random.default_rng(seed))
    return scores[first, second], first, second
