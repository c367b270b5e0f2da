"""The Gaussian slab: what the images of a flat specimen have in common, frequency by frequency.

Image i, mapped onto the middle plane of the specimen, shows at a frequency k of the plane the
transform of the density at depth frequency a_i . k, where a_i is how far it displaces what lies
1 px above the plane. For random matter of thickness T the transforms V_i of two images then have
the coherence p((a_i - a_j) . k T), and are, whitened, Gaussian with the covariance

    C_ij = c_i c_j p((a_i - a_j) . k T) + delta_ij (1 - c_i²)

where c² is the share of the specimen in an image's power. All images speak at once, each pair with
the weight that it deserves. The likelihood is that of a multivariate Student t distribution: how
strong the specimen is at a frequency of a window is not known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.complex64]

#: Degrees of freedom of the likelihood: few, as powers differ much from window to window.
FREEDOM = 4.0
#: A share that is larger here than elsewhere does not count for more, unless all are: few things
#: that lie at few depths have it, as membranes, and no random matter.
MOST_HERE = 0.5


def coherence(x: npt.ArrayLike, surface: float = 0.0, rough: float = 0.0) -> Array:
    """Of two images whose lines of sight part by x slab periods.

    Parameters
    ----------
    x : array
        T (a_i - a_j) . k.
    surface : float
        Share of the matter that lies on the two surfaces, as ice and dirt do; the rest fills the
        slab evenly.
    rough : float
        Standard deviation of the height of the surfaces, against T.

    Returns
    -------
    array
        sin(pi x) / (pi x) of the slab, and cos(pi x) of its surfaces.
    """
    at = np.asarray(x, dtype=np.float64)
    flat = (1 - surface) * np.sinc(at) + surface * np.cos(np.pi * at)
    return np.asarray(flat * np.exp(-2 * (np.pi * rough * at) ** 2))


@dataclass(frozen=True, kw_only=True)
class Slab:
    """Density across the specimen.

    Parameters
    ----------
    thickness : float
        [working px]
    surface : float
        Share of the matter on its surfaces.
    rough : float
        Standard deviation of their height, against the thickness.
    """

    thickness: float
    surface: float = 0.0
    rough: float = 0.0

    def times(self, factor: float) -> Slab:
        """One so many times as thick."""
        return replace(self, thickness=self.thickness * float(factor))

    def coherence(self, depths: npt.ArrayLike) -> Array:
        """Of images that see depth frequencies so far apart [cycles per px]."""
        at = self.thickness * np.asarray(depths, dtype=np.float64)
        return coherence(at, self.surface, self.rough)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """The covariance of whitened images, at all frequencies of a window.

    Parameters
    ----------
    k : (K, 2) array
        Frequencies of half the plane [cycles per working px].
    parallax : (n, 2) array
        a_i: displacement in the plane of what lies 1 px above it.
    coherent : (n, K) array
        c: the root of the specimen's share in the power of each image.
    level : (W,) array
        By how much that share is larger in each window, up to `MOST_HERE`.
    thicker : (W,) array
        Factor by which the specimen is thicker there.
    band : (n, K) bool array
        Where images say something.
    slab : Slab
        Of the specimen.
    independent : float
        Share of the frequencies of a window that are independent.
    """

    k: Array
    parallax: Array
    coherent: Array
    level: Array
    thicker: Array
    band: npt.NDArray[np.bool_]
    slab: Slab
    independent: float

    def within(self, level: Array) -> Array:
        """Roots of the share in a window of this level: as `coherent`."""
        share = self.coherent**2
        return np.asarray(np.sqrt(np.minimum(level * share, np.maximum(share, MOST_HERE))))


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """The log-likelihood of displacements, and its derivatives.

    Parameters
    ----------
    by_window : (W,) array
        The log-likelihood of each window.
    gradient : (W, n, 2) array
        By the displacement of each image in each window [1/px].
    information : (W, n, 2, n, 2) array
        Of each window [1/px²].
    residual : (W, n, K) complex array
        C^-1 V.
    precision : (W, n, K) array
        Diagonal of C^-1: V - residual / precision is what the other images predict. Of no
        frequency if the information was not asked for.
    weights : (W, K) array
        Of frequencies: low where the model does not hold.
    """

    by_window: Array
    gradient: Array
    information: Array
    residual: Spectra
    precision: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    @property
    def log_likelihood(self) -> float:
        """Of all windows."""
        return float(self.by_window.sum())


def displaced(spectra: Spectra, k: Array, by: Array) -> Spectra:
    """Spectra of images whose content is moved back by displacements, (n, 2) or (W, n, 2) [px]."""
    from tomoset.align.images import _kernels

    by = np.ascontiguousarray(np.broadcast_to(by, (*spectra.shape[:2], 2)))
    return np.asarray(_kernels.displace(np.ascontiguousarray(spectra), np.ascontiguousarray(k), by))


def terms(
    model: Model, spectra: Spectra, used: npt.NDArray[np.bool_], *, informed: bool, threads: int
) -> Terms:
    """The likelihood of images as they lie, and how it changes where their content moves.

    Parameters
    ----------
    model : Model
    spectra : (W, n, K) complex64 array
        Whitened, of each window.
    used : (W, n) bool array
        Which images show each window.
    informed : bool
        Whether the information is needed; it is 0 otherwise.
    threads : int

    Returns
    -------
    Terms
    """
    from tomoset.align.images import _kernels

    # Windows of which the same images show something, as much and as deep, have one covariance.
    kinds, which = np.unique(
        np.column_stack([model.thicker, model.level, used]), axis=0, return_inverse=True
    )
    along = (model.parallax @ model.k.T).astype(np.float32)
    slab, which = model.slab, which.reshape(-1)
    shapes = [[slab.times(factor).thickness, slab.surface, slab.rough] for factor in kinds[:, 0]]
    c = np.array([model.within(level) for level in kinds[:, 1]], np.float32)
    laid = np.ascontiguousarray  # arrays laid out in another way would be compiled for anew
    U, quad, count, log_det, precision, parts = _kernels.solve(
        laid(spectra),
        laid(kinds[:, 2:] > 0),
        which,
        laid(model.band),
        laid(along),
        laid(c),
        np.array(shapes, np.float32),
        laid(model.k),
        FREEDOM,
        informed,
        threads,
    )
    n = len(model.parallax)
    information = parts.sum(axis=0).transpose(2, 0, 1).reshape(-1, 3, n, n)
    solved = _Solved(U, quad, count[which], log_det[which], precision[which], information)
    return _terms(model, spectra, solved)


@dataclass(frozen=True, eq=False)
class _Solved:
    """C^-1 V, V^H C^-1 V, images that count, log det C, the diagonal of C^-1; each by window.

    And the lower halves of the information on x and x, x and y, y and y: (W, 3, n, n).
    """

    residual: Spectra
    quad: Array
    count: Array
    log_det: Array
    precision: npt.NDArray[np.float32]
    information: Array


def _terms(model: Model, spectra: Spectra, solved: _Solved) -> Terms:
    m, quad = solved.count, solved.quad
    weights = (FREEDOM + m) / (FREEDOM + quad)
    likelihood = ((FREEDOM + m) * np.log1p(quad / FREEDOM) + solved.log_det) * (m > 0)
    slope = 2 * np.real(np.conj(2j * np.pi * spectra) * solved.residual) * weights[:, None]
    gradient = -model.independent * (slope.astype(np.float64) @ model.k)
    below = np.tril(solved.information, -1)
    both = below + np.swapaxes(below, 2, 3)
    # A displacement of all images alike is not seen: of C and its inverse, rows sum to 1.
    n = len(model.parallax)
    both[..., range(n), range(n)] = -both.sum(axis=3)
    information = np.empty((len(spectra), n, 2, n, 2))
    for a, b, part in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        information[:, :, a, :, b] = both[:, part]
    return Terms(
        by_window=-model.independent * likelihood.sum(axis=1, dtype=np.float64),
        gradient=gradient,
        information=information * (2 * (2 * np.pi) ** 2 * model.independent),
        residual=solved.residual,
        precision=solved.precision,
        weights=weights.astype(np.float32),
    )


def terms_slowly(model: Model, spectra: Spectra, used: npt.NDArray[np.bool_]) -> Terms:
    """The same as `terms`, frequency by frequency in NumPy."""
    n_windows, n, n_k = spectra.shape
    U, quad = np.zeros_like(spectra), np.zeros((n_windows, n_k))
    count, log_det = np.zeros((n_windows, n_k)), np.zeros((n_windows, n_k))
    precision, parts = np.zeros((n_windows, n, n_k), np.float32), np.zeros((n_windows, 3, n, n))
    for w in range(n_windows):
        slab = model.slab.times(model.thicker[w])
        for q, k in enumerate(model.k):
            at = np.flatnonzero(used[w] & model.band[:, q])
            if len(at) < 2:
                continue
            along = model.parallax[at] @ k
            c = model.within(model.level[w])[at, q]
            C = np.outer(c, c) * slab.coherence(along[:, None] - along)
            C[np.diag_indices(len(at))] = 1.0
            inverse = np.linalg.inv(C)
            V = spectra[w, at, q]
            U[w, at, q] = inverse @ V
            quad[w, q] = float(np.real(V.conj() @ inverse @ V))
            count[w, q], log_det[w, q] = len(at), np.linalg.slogdet(C)[1]
            precision[w, at, q] = inverse.diagonal()
            weight = (FREEDOM + len(at)) / (FREEDOM + quad[w, q])
            value = np.tril(weight * (C * inverse - np.eye(len(at))))
            for part, square in enumerate((k[0] ** 2, k[0] * k[1], k[1] ** 2)):
                parts[w, part][np.ix_(at, at)] += value * square
    return _terms(model, spectra, _Solved(U, quad, count, log_det, precision, parts))
