"""Every field of the model comes back through both dialects, from Python and from files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoset import Optics, ParticleSet, Tomogram, TomogramSet, star
from tomoset.formats._relion_sets import particles_from_star, particles_to_star

DIALECTS = ("relion4", "relion5")
NUMBERS = st.floats(-1e4, 1e4, allow_nan=False)
#: Coefficients; all 0 is what files say where there is none.
ZERNIKE = st.lists(NUMBERS, max_size=6).filter(lambda c: not c or any(c)).map(tuple)

SET = TomogramSet(
    [
        Tomogram(name=name, n_tilts=3, size=(40, 41, 20), optics=Optics(pixel_size=2.5))
        for name in ("a", "b")
    ]
)


@st.composite
def optics(draw: st.DrawFn, group: str) -> Optics:
    return Optics(
        pixel_size=2.5,
        voltage=draw(st.sampled_from([80.0, 200.0, 300.0])),
        spherical_aberration=draw(st.sampled_from([0.01, 2.7])),
        amplitude_contrast=draw(st.floats(0, 1)),
        group=group,
        aberrations=(draw(ZERNIKE), draw(ZERNIKE)),
        beam_tilt=draw(st.sampled_from([(0.0, 0.0), (0.1, -0.25)])),
        magnification=draw(st.sampled_from([((1.0, 0.0), (0.0, 1.0)), ((1.01, 0.1), (0.2, 0.9))])),
    )


@st.composite
def particle_sets(draw: st.DrawFn) -> ParticleSet:
    n = draw(st.integers(1, 6))
    groups = {3: draw(optics("first")), 7: draw(optics("second"))}

    def each(values: list[int]) -> list[int]:
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))

    return ParticleSet(
        tomogram_names=np.array([("a", "b")[i] for i in each([0, 1])]),
        coordinates=np.ones((n, 3)),
        visible=[np.array(each([0, 1, 1])[:1] * 3, dtype=bool) for _ in range(n)],
        halves=draw(st.none() | st.just(0).map(lambda _: np.array(each([0, 1])))),
        optics_groups=np.array(each([3, 7])),
        optics=groups,
        pixel_sizes=np.full(n, 2.5),
    )


def through(particles: ParticleSet, dialect: str) -> ParticleSet:
    return particles_from_star(
        star.loads(star.dumps(particles_to_star(particles, dialect, SET))), SET
    )


def same(one: ParticleSet, other: ParticleSet) -> None:
    for field in ("tomogram_names", "coordinates", "halves", "optics_groups", "pixel_sizes"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert [m.tolist() for m in one.visible or ()] == [m.tolist() for m in other.visible or ()]
    assert one.optics == other.optics


@settings(deadline=None, max_examples=40)
@given(particle_sets(), st.sampled_from(DIALECTS), st.sampled_from(DIALECTS), st.data())
def test_particles(made: ParticleSet, first: str, second: str, data: st.DataObject) -> None:
    read = through(made, first)
    same(made, read)
    same(made, through(read, second))
    # What is changed after reading is written; the rest keeps its text.
    changed = replace(
        read,
        halves=None if read.halves is None else 1 - read.halves,
        optics={**read.optics, 3: data.draw(optics("third"))},
    )
    same(changed, through(changed, second))
    # As in a task of another process, where texts are left behind.
    same(changed, through(replace(changed, source=None), second))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_new_optics_group_among_old_ones(dialect: str) -> None:
    p = ParticleSet(
        tomogram_names=["a", "b"],
        coordinates=np.ones((2, 3)),
        optics_groups=[1, 1],
        optics={1: Optics(pixel_size=2.5)},
    )
    read = through(p, dialect)
    new = Optics(pixel_size=2.5, group="new", aberrations=((), (0.0, 3.0)))
    split = replace(read, optics_groups=[1, 2], optics={**read.optics, 2: new})
    file = particles_to_star(split, dialect, SET)
    assert list(file["optics"]["rlnOddZernike"]) == ["[0.0,0.0]", "[0.0,3.0]"]
    same(split, through(split, dialect))
    fewer = replace(split, optics={2: new}, optics_groups=[2, 2])
    same(fewer, through(fewer, dialect))
