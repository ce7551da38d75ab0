"""Folders of the field's protocols, made up: a few people, a few generated images."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from facemargin.data.alignment import TEMPLATE_52


def write_image(path: Path, person: int, seed: int, side: int = 24) -> None:
    """Noise that is the same for a person, and a little of the image's own."""
    base = np.random.default_rng(person).integers(0, 256, (side, side, 3))
    own = np.random.default_rng(seed + 1000).normal(scale=25, size=base.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), (base + own).clip(0, 255).astype(np.uint8))


class IJB:
    """An IJB folder of `people` with a gallery and two probe templates each, the galleries by turns. `images` are
    (name, template, media, person, detector score), `subjects` {template: person}."""

    def __init__(self, root: Path, name="ijbc", people=8, pictures=True, seed=0):
        rng = np.random.default_rng(seed)
        self.root, self.name, self.meta = root, name, root / "meta"
        self.galleries = {"ijbc": ("G1", "G2"), "ijbb": ("S1", "S2")}[name]
        self.subjects = {10 * person + k: person for person in range(1, people + 1) for k in range(3)}
        entries = [
            (template, int(media), person)
            for template, person in self.subjects.items()
            for media in rng.integers(1, 4, rng.integers(1, 5))
        ]
        order = rng.permutation(len(entries))
        self.images = [
            (f"{number}.png", *entries[index], round(float(rng.uniform(0.5, 1)), 3))
            for number, index in enumerate(order, 1)
        ]
        templates = list(self.subjects)
        self.pairs = [
            (a, b, int(self.subjects[a] == self.subjects[b])) for a in templates[::3] for b in templates if b % 10
        ]
        self.gallery_of = [{10 * p: p for p in range(1, people + 1) if p % 2 == side} for side in (1, 0)]
        self.probes = {template: person for template, person in self.subjects.items() if template % 10}
        self.write_lists()
        if pictures:
            for name, template, media, person, _ in self.images:
                write_image(root / "loose_crop" / name, person, template * 10 + media, side=112)

    def write_lists(self):
        self.meta.mkdir(parents=True, exist_ok=True)
        landmarks = " ".join(f"{value:.3f}" for value in TEMPLATE_52.ravel())
        self.write("face_tid_mid.txt", [f"{n} {t} {m}" for n, t, m, _, _ in self.images])
        self.write("name_5pts_score.txt", [f"{n} {landmarks} {score}" for n, *_, score in self.images])
        self.write("template_pair_label.txt", [f"{a} {b} {label}" for a, b, label in self.pairs])
        header = "TEMPLATE_ID,SUBJECT_ID,FILENAME"
        for gallery, subjects in zip(self.galleries, self.gallery_of, strict=True):
            lines = [f"{t},{s},img/{t}.jpg" for t, s in subjects.items() for _ in range(2)]
            self.write(f"1N_gallery_{gallery}.csv", [header, *lines])
        self.write("1N_probe_mixed.csv", [header, *(f"{t},{s},x" for t, s in self.probes.items())])

    def path(self, name: str) -> Path:
        return self.meta / f"{self.name}_{name}"

    def write(self, name: str, lines) -> None:
        self.path(name).write_text("\n".join(lines) + "\n")


def cells(names) -> np.ndarray:
    """A cell array of texts, as MATLAB keeps names of files."""
    names = np.array(names)
    found = np.empty(names.shape, dtype=object)
    for place, name in np.ndenumerate(names):
        found[place] = str(name)
    return found


def write_tinyface(root: Path, people=5, distractors=7) -> None:
    testing = root / "Testing_Set"
    lists = {"Gallery_Match": [], "Probe": []}
    for folder, names in lists.items():
        for person in range(1, people + 1):
            for number in range(2):
                names.append(f"{person}_{folder[0]}{number}.png")
                write_image(testing / folder / names[-1], person, 10 * person + number + len(folder))
    for number in range(distractors):
        write_image(testing / "Gallery_Distractor" / f"{number}.png", 100 + number, number)
    for kind, folder, variable in (("gallery_match", "Gallery_Match", "gallery"), ("probe", "Probe", "probe")):
        ids = [[int(name.split("_")[0])] for name in lists[folder]]
        content = {f"{variable}_set": cells(lists[folder])[:, None], f"{variable}_ids": np.array(ids, dtype=np.uint16)}
        scipy.io.savemat(testing / f"{kind}_img_ID_pairs.mat", content, do_compression=True)


def write_survface(root: Path, people=6) -> None:
    verification = root / "Face_Verification_Test_Set"
    for person in range(people):
        for number in range(2):
            write_image(verification / "verification_images" / f"{person}_{number}.png", person, 10 * person + number)
    positive = [(f"{p}_0.png", f"{p}_1.png") for p in range(people)]
    negative = [(f"{p}_0.png", f"{q}_1.png") for p in range(people) for q in range(people) if p != q]
    for kind, pairs in (("positive", positive), ("negative", negative)):
        scipy.io.savemat(verification / f"{kind}_pairs_names.mat", {f"{kind}_pairs_names": cells(pairs)})
    identification = root / "Face_Identification_Test_Set"
    gallery = [f"{p}_g{n}.png" for p in range(1, people + 1) for n in range(2)]
    mated = [f"{p}_p.png" for p in range(1, people + 1)]
    for folder, names in (("gallery", gallery), ("mated_probe", mated)):
        for name in names:
            write_image(identification / folder / name, int(name.split("_")[0]), len(name) + ord(name[-5]))
        content = {f"{folder}_set": cells(names)[:, None], f"{folder}_ids": [[int(n.split("_")[0])] for n in names]}
        scipy.io.savemat(identification / f"{folder}_img_ID_pairs.mat", content)
    for number in range(5):
        write_image(identification / "unmated_probe" / f"u{number}.png", 200 + number, number)
